"""Rebuild a lost coordination directory; bring an outdated one up to what the worktrees know.

The new directory has the old one's store id, so agents that lived through the loss go on. It is filled beside its place
and renamed there: peers never see half of it. Its tasks come from the lists; the worktrees' own records say how far
they got. Epochs go on above any that is known, so a stale claim never looks like a later one (decision 0060).

A restored backup brings back peers that are gone, under process numbers that may be in use again. A worktree knows its
own last incarnation: an earlier one in the directory is stale.
"""

from __future__ import annotations

import os
import shlex
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.foreign import shown
from peercoord.membership import liveness
from peercoord.membership import membership as members
from peercoord.memory import copy
from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.store import ids, manifest, paths, records
from peercoord.store import root as roots
from peercoord.store.files import Files
from peercoord.store.paths import Ticket
from peercoord.store.settings import DEFAULT_SETTINGS
from peercoord.system import clock, process
from peercoord.system.disk import Disk
from peercoord.tasklists import selection
from peercoord.tasklists.imported import Imported
from peercoord.tasklists.importer import take_in
from peercoord.team import agents, excludes
from peercoord.team.evidence import Evidence, gather
from peercoord.team.plan import Action
from peercoord.team.repository import MOST, home, team_instances

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from peercoord.foreign import Json
    from peercoord.store.paths import Incarnation
    from peercoord.store.project import Project
    from peercoord.store.root import Root
    from peercoord.team.evidence import Known
    from peercoord.team.plan import Instance, Plan

ACTOR = "rebuild"
EPOCH_GAP = 10  # a worktree's own record may lag behind its last claims, and no epoch may be used twice
STAGED = f"{paths.ROOT}.rebuilt"
_LEFT = f"{paths.QUARANTINE}/before-rebuild"
_SHOWN = 5


def plan(project: Project, made: Plan) -> set[str]:
    """Plan to repair the coordination directory and its peers."""
    gone = is_gone(project)
    if gone:
        made.actions += plan_gone(project, made.notes)
    again = {instance.peer for instance in made.instances} if gone else unknown_to_root(project)
    made.actions += _plan_note(project)
    made.actions += plan_stale(project, made)
    root = opened(project)
    known = gather(project, lists=False) if root else Evidence()
    late = behind(Queue(root), known) if root else {}
    if root and late:
        some = ", ".join(sorted(late, key=ids.natural)[:_SHOWN])
        text = f"bring {len(late)} tasks up to what the worktrees know of them: {some}"
        made.actions.append(Action(text, partial(_catch_up, project, root, known, late, made.notes)))
    return again


def opened(project: Project) -> Root | None:
    """Open a project's coordination directory; ``None`` if it is missing or not the one that set-up made."""
    known = manifest.read_project(project.common, project.sub).get("store_id")
    try:
        return roots.open_root(str(project.directory / paths.ROOT), known if isinstance(known, str) else "")
    except PeercoordError:
        return None


def is_gone(project: Project) -> bool:
    """Check whether a project that was set up has lost its coordination directory or its ``protocol.json``."""
    known = manifest.read_project(project.common, project.sub).get("store_id")
    return bool(known) and not roots.has_protocol(str(project.directory / paths.ROOT))


def is_whole(project: Project) -> bool:
    """Check whether a coordination directory lacks at most its ``protocol.json``."""
    state = project.directory / paths.ROOT
    return all((state / directory).is_dir() for directory in paths.SKELETON)


def _plan_note(project: Project) -> list[Action]:
    """Plan to note in the git directory what a lost ``protocol.json`` needs."""
    root = None if manifest.read_project(project.common, project.sub).get("store_id") else opened(project)
    if root is None:
        return []
    settings, choice = root.protocol.get("settings"), selection.Choice.of(root.protocol)
    facts: Json = {"store_id": root.store_id, "settings": settings if isinstance(settings, dict) else {}}
    if choice:
        facts["lists"] = {key: value for key, value in choice.facts().items() if value is not None}
    note = partial(manifest.note_project, project.common, project.sub, **facts)
    return [Action("note in the git directory which store this project has", note)]


# -- a directory that is gone --------------------------------------------------------------------------------------


def plan_gone(project: Project, notes: list[str]) -> list[Action]:
    """Plan to create a lost coordination directory again; nothing if it is there or never was."""
    if not is_gone(project):
        return []
    if is_whole(project):
        return [Action(f"write {paths.ROOT}/{paths.PROTOCOL} again", partial(_write_protocol, project, notes))]
    known = gather(project)
    where = ", ".join(dict.fromkeys(known.origins)) or "nothing: no task is known any more"
    text = f"rebuild {paths.ROOT}/, which is gone, from {where}"
    return [Action(text, partial(_rebuild, project, known, notes))]


def _write_protocol(project: Project, notes: list[str]) -> None:
    state, staged = project.directory / paths.ROOT, project.directory / STAGED
    _create(project, staged, gather(project, lists=False).store_id)
    aside = Files(Disk(str(state)), clock.token).quarantine(paths.PROTOCOL, "a part of it is lost")
    if aside:
        notes.append(f"what was left of {paths.PROTOCOL} is kept as {paths.ROOT}/{aside}")
    os.rename(staged / paths.PROTOCOL, state / paths.PROTOCOL)
    shutil.rmtree(staged)
    known = manifest.read_project(project.common, project.sub)
    database = manifest.table(known, "lists").get("database")
    changed = [f"{key} = {value}" for key, value in _settings(known).items() if value != DEFAULT_SETTINGS[key]]
    notes.append(
        f"{paths.PROTOCOL} was written again: "
        f"{f'the database {shown(database, 300)}' if database else 'no choice of a database'} and "
        f"{', '.join(changed) or 'no setting but the defaults'} were on record; "
        "hand edits could not be recovered (see peercoord config)"
    )


def _settings(known: Json) -> Json:
    """Return the shared settings in the git directory's record; values of another kind are left out."""
    noted = manifest.table(known, "settings")
    return {key: noted[key] for key, default in DEFAULT_SETTINGS.items() if type(noted.get(key)) is type(default)}


def _create(project: Project, staged: Path, store_id: str) -> Root:
    """Create an empty coordination directory beside its place, with the store id that the worktrees joined."""
    state, left = project.directory / paths.ROOT, staged / _LEFT
    if left.exists() and not state.exists():
        os.rename(left, state)  # a rebuild before this one was stopped between its two renames
    if staged.exists():
        shutil.rmtree(staged)
    known = manifest.read_project(project.common, project.sub)
    root = roots.create(str(staged), project.name, _settings(known))
    excludes.hide(staged)
    protocol = {**root.protocol, **manifest.table(known, "lists"), "store_id": store_id or root.store_id}
    root.files.put(paths.PROTOCOL, records.encode(protocol), durable=True)
    return roots.open_root(str(staged))


def _rebuild(project: Project, known: Evidence, notes: list[str]) -> None:
    staged, state = project.directory / STAGED, project.directory / paths.ROOT
    root = _create(project, staged, known.store_id)
    manifest.note_project(project.common, project.sub, store_id=root.store_id)
    queue = Queue(root, ACTOR)
    _import(queue, known.tasks.values(), notes)
    _bring_forward(queue, known.tasks.values())
    _put_reports(queue, known, known.tasks)
    root.event(ACTOR, "rebuilt", tasks=len(known.tasks), origins=known.origins)
    root.files.flush()
    if state.exists():  # left by a deletion that failed half way
        os.rename(state, staged / _LEFT)
        notes.append(f"what was left of {paths.ROOT}/ is kept in {paths.ROOT}/{_LEFT}")
    os.rename(staged, state)
    done = sum(task.state == "done" for task in known.tasks.values())
    notes += [*known.notes, f"{len(known.tasks)} tasks are back, {done} of them done; the last holder claims first"]
    titled = [task.definition.task for task in known.tasks.values() if task.titled]
    if titled:
        some = ", ".join(sorted(titled, key=ids.natural)[:_SHOWN])
        notes.append(f"of {len(titled)} tasks only the title is known ({some}): complete them with peercoord task edit")
    notes.append(
        "lost: settings edited by hand (see peercoord config), tasks and edits that no list had, events, older "
        "results, and contributions to the memory bank that were queued and not merged"
    )
    copy.publish_now(str(project.directory))


def _import(queue: Queue, tasks: Iterable[Known], notes: list[str]) -> None:
    intake = take_in(queue, [Imported(task.definition, task.state, task.reason) for task in tasks])
    notes.extend(f"task {shown(what)} could not be taken in: {why}" for what, why in intake.refused)


def _bring_forward(queue: Queue, tasks: Iterable[Known]) -> None:
    """Bring tickets to their known epoch, or to ``done/``, also out of claims in an older copy."""
    for known in tasks:
        task = known.definition.task
        sighting = queue.locate(task)
        if sighting is None:
            continue
        if known.epoch:
            outcome = "done" if known.state == "done" else "released"
            result: Json = {
                "schema_version": records.SCHEMA_VERSION,
                "task_id": ids.public(task),
                "epoch": known.epoch,
                "outcome": outcome,
                "by": ACTOR,
                "at": queue.root.clock.now(),
                "reason": "the coordination directory was lost and rebuilt",
                **known.hand_over,
            }
            queue.files.publish(paths.result(task, known.epoch, outcome), records.encode_stored(result))
        if sighting.state == "done":
            continue
        if known.state != "done":
            queue.place(sighting.path, Ticket(task, max(sighting.epoch, known.epoch + EPOCH_GAP)))
        elif queue.files.move(sighting.path, paths.done(task), make_home=True):
            queue.place_waiting(task)


def _put_reports(queue: Queue, known: Evidence, raised: Collection[str]) -> None:
    """Publish the worktrees' reports, with new epochs so that the last holders come first."""
    for peer, report in known.reports.items():
        entries = []
        for entry in report["assigned_tasks"]:
            task = ids.read(entry.get("task_id")) if isinstance(entry, dict) else ""
            sighting = queue.locate(task) if task in raised else None
            if sighting and sighting.state != "done" and entry.get("epoch") == known.tasks[task].epoch:
                entry = {**entry, "epoch": sighting.epoch}
            entries.append(entry)
        queue.files.put(paths.report(peer), records.encode({**report, "assigned_tasks": entries}))


# -- a directory that is older than its worktrees --------------------------------------------------------------------


def plan_stale(project: Project, made: Plan | None = None) -> list[Action]:
    """Plan to retire peers whose worktree is gone or has joined again."""
    root = opened(project)
    if root is None:
        return []
    found = stale_peers(project, root, gather(project, lists=False))
    if made is not None:
        made.notes += [note for who in found if (note := _comes_back(project, root, who, made.instances))]
    text = "retire {}, which is not there any more, and give its tasks back"
    return [Action(text.format(who), partial(_retire, root, who), str(who)) for who in found]


def stale_peers(project: Project, root: Root, known: Evidence) -> list[Incarnation]:
    """List peers whose worktree is gone or has joined under a later incarnation."""
    places = {str(instance.directory) for instance in team_instances(project)}
    found = []
    for who in members.living(root):
        peer = members.record_of(root, who)
        worktree = peer.get("worktree")
        if not isinstance(worktree, str) or not liveness.in_sight(peer, process.here()):
            continue  # on another machine or in a container: cannot be judged from here
        later = known.numbers.get(who.peer, 0) > who.number
        if later or (worktree not in places and not os.path.isdir(worktree)):
            found.append(who)
    return found


def unknown_to_root(project: Project) -> set[str]:
    """Return the names of stale peers and of those whose agent serves an unknown incarnation."""
    root = opened(project)
    if root is None:
        return set()
    known = gather(project, lists=False)
    found = stale_peers(project, root, known)
    if not found:
        return set()
    living = {(who.peer, who.number) for who in members.living(root)}
    lost = {peer for peer, number in known.numbers.items() if (peer, number) not in living}
    return lost | {who.peer for who in found}


def _comes_back(project: Project, root: Root, who: Incarnation, team: Collection[Instance]) -> str:
    """Return the hint that brings back a retired peer's worktree; empty if the team did not make it."""
    worktree = members.record_of(root, who).get("worktree")
    index = next((n for n in range(1, MOST + 1) if worktree == str(home(project, n) / project.sub)), 0)
    if not index or index in {instance.index for instance in team}:
        return ""
    count = max([index, *(instance.index for instance in team)])
    again = f"claude-team-coordinated {shlex.quote(str(project.directory))} {count}"
    return f"the worktree of {who.peer} is gone; {again} brings it back on its branch"


def _retire(root: Root, who: Incarnation) -> None:
    worktree = members.record_of(root, who).get("worktree")
    if isinstance(worktree, str) and not os.path.isdir(worktree):
        agents.end(agents.at([Path(worktree)]))
    if str(who) in root.files.scan(paths.PEERS):
        Peer.resume(root, who).leave()


def behind(queue: Queue, known: Evidence) -> dict[str, Known]:
    """Find the tasks about which the worktrees know more than the coordination directory."""
    found = {}
    for task, said in known.tasks.items():
        sighting = queue.locate(task)
        if sighting is None:
            late = True
        elif said.state == "done" and sighting.state != "done" and said.epoch >= sighting.epoch:
            # a reopened task still has the result of its end; an older copy never had it
            late = (said.epoch, "done") not in queue.outcomes(task)
        else:
            late = queue.highest_epoch(task, sighting.epoch) < said.epoch
        if late:
            found[task] = said
    return found


def _catch_up(project: Project, root: Root, known: Evidence, late: dict[str, Known], notes: list[str]) -> None:
    queue = Queue(root, ACTOR)
    listed = gather(project).tasks
    _import(queue, [listed.get(task, said) for task, said in late.items() if queue.birth(task) is None], notes)
    _bring_forward(queue, late.values())
    _put_reports(queue, known, late)
    queue.place_blocked()
    root.event(ACTOR, "caught up", tasks=sorted(late))
    notes.append(
        f"{paths.ROOT}/ was older than what the worktrees know: {len(late)} tasks were brought up to it; "
        "what no worktree's own record mentions is as it was in that copy"
    )
