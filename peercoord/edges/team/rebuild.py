"""Bringing the coordination directory back: after ``git clean``, a deletion, an older copy put in its place.

Promise: peers never see half of it. What is known is put together under another name and renamed into place, with the
store id that the project's worktrees joined, so that their agents, who lived through it, go on. Epochs go on above any
that is known: a row or a commit of an earlier claim never looks like a later one's.

The accident that shaped the rest: an older copy brings back peers that were long gone, under process numbers that
still run. A worktree knows its own last incarnation; whatever the copy has of it before that one is a ghost.
"""

from __future__ import annotations

import os
import shlex
import shutil
from functools import partial
from pathlib import Path

from peercoord.core import ids, names, records, tickets
from peercoord.core.errors import PeercoordError
from peercoord.core.limits import DEFAULT_SETTINGS
from peercoord.core.names import Ticket
from peercoord.edges.importing import take_in
from peercoord.edges.team import agents, evidence, excludes, record
from peercoord.edges.team.evidence import Known
from peercoord.edges.team.plan import Action
from peercoord.edges.team.seats import MOST, home, seats
from peercoord.fs import process
from peercoord.roles import membership as members
from peercoord.roles import root as roots
from peercoord.roles.peer import Peer
from peercoord.roles.queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from peercoord.core.names import Incarnation
    from peercoord.core.records import Json
    from peercoord.core.tickets import Sighting
    from peercoord.edges.team.evidence import Evidence
    from peercoord.edges.team.plan import Plan, Seat
    from peercoord.edges.team.repository import Project
    from peercoord.roles.root import Root

ACTOR = "rebuild"
LEAP = 10  # epochs: a worktree's own record may lag behind its last claims, and no number may be given twice
STAGED = f"{names.ROOT}.rebuilt"
_SHOWN = 5


def is_gone(project: Project) -> bool:
    """Tell whether a project that was set up has lost its coordination directory, or what makes it one."""
    state = project.directory / names.ROOT
    known = record.read_project(project.common, project.sub).get("store_id")
    return bool(known) and not (state / names.PROTOCOL).exists()


def is_whole(project: Project) -> bool:
    """Tell whether a coordination directory has all its directories: then nothing but its ``protocol.json`` is gone."""
    state = project.directory / names.ROOT
    return all((state / directory).is_dir() for directory in names.SKELETON)


# -- gone --------------------------------------------------------------------------------------------------------


def plan_gone(project: Project, notes: list[str]) -> list[Action]:
    """Plan to bring back a coordination directory that is gone; nothing if it is there, or never was.

    Args:
        project: The project.
        notes: Takes what people should know once it is done.
    """
    if not is_gone(project):
        return []
    if is_whole(project):
        return [Action(f"write {names.ROOT}/{names.PROTOCOL} again", partial(_write_protocol, project, notes))]
    known = evidence.gather(project)
    where = ", ".join(dict.fromkeys(known.origins)) or "nothing: no task is known any more"
    text = f"rebuild {names.ROOT}/, which is gone, from {where}"
    return [Action(text, partial(_rebuild, project, known, notes))]


def _write_protocol(project: Project, notes: list[str]) -> str:
    """Give a directory that lost its ``protocol.json`` another one, with the store id that its worktrees expect."""
    state = project.directory / names.ROOT
    staged = project.directory / STAGED
    _fresh(project, staged, evidence.gather(project, lists=False).store_id)
    os.rename(staged / names.PROTOCOL, state / names.PROTOCOL)
    shutil.rmtree(staged)
    notes.append(
        f"{names.PROTOCOL} is written anew: {_settings_back(project)}; "
        "not to be had back: what was edited in it by hand (see peercoord config)"
    )
    return ""


def _settings_back(project: Project) -> str:
    known = record.read_project(project.common, project.sub)
    lists = record.table(known, "lists").get("database")
    kept = {key: value for key, value in _settings(known).items() if value != DEFAULT_SETTINGS[key]}
    set_ = ", ".join(f"{key} = {value}" for key, value in kept.items())
    where = f"the database {ids.shown(lists, 300)}" if lists else "no choice of a database"
    return f"{where} and {set_ or 'no setting but the defaults'} were on record"


def _settings(known: Json) -> Json:
    """Give the shared settings that the git directory remembers; what is none, or of another kind, is left out."""
    noted = record.table(known, "settings")
    return {key: noted[key] for key, default in DEFAULT_SETTINGS.items() if type(noted.get(key)) is type(default)}


def _fresh(project: Project, staged: Path, store_id: str) -> Root:
    """Make an empty coordination directory, beside its place, with a given store id."""
    if staged.exists():
        shutil.rmtree(staged)
    known = record.read_project(project.common, project.sub)
    root = roots.create(str(staged), project.name, _settings(known))
    excludes.hide(staged)
    chosen = record.table(known, "lists")
    protocol = {**root.protocol, **chosen, "store_id": store_id or root.store_id}
    root.files.put(names.PROTOCOL, records.encode(protocol), durable=True)
    return roots.open_root(str(staged))


def _rebuild(project: Project, known: Evidence, notes: list[str]) -> str:
    staged = project.directory / STAGED
    root = _fresh(project, staged, known.store_id)
    record.note_project(project.common, project.sub, store_id=root.store_id)
    queue = Queue(root, ACTOR)
    _bear(queue, known.tasks, notes)
    for task in known.tasks.values():
        _raise(queue, task)
    _put_reports(queue, known, known.tasks)
    root.event(ACTOR, "rebuilt", tasks=len(known.tasks), origins=known.origins)
    root.files.flush()
    _put_in_place(staged, project.directory / names.ROOT)
    notes += [*known.notes, *_said(known)]
    return ""


def _put_in_place(staged: Path, state: Path) -> None:
    if state.exists():  # something is there that is no coordination directory: kept inside the new one
        os.rename(state, staged / names.QUARANTINE / "before-rebuild")
    os.rename(staged, state)


def _said(known: Evidence) -> Iterable[str]:
    """Say what came back, and what did not."""
    done = sum(task.state == "done" for task in known.tasks.values())
    yield f"{len(known.tasks)} tasks are back, {done} of them done; whoever held one claims it again first"
    titled = [task.definition.task for task in known.tasks.values() if task.titled]
    if titled:
        some = ", ".join(sorted(titled, key=ids.natural)[:_SHOWN])
        yield f"of {len(titled)} tasks only the title is known ({some}): write them again with peercoord task edit"
    yield (
        "not to be had back: settings edited by hand (see peercoord config), tasks and edits that no list had, "
        "events, older results, "
        "contributions to the memory bank that were queued and not merged"
    )


# -- epochs and ends ---------------------------------------------------------------------------------------------


def _bear(queue: Queue, tasks: dict[str, Known], notes: list[str]) -> None:
    intake = take_in(queue, list(tasks.values()))
    notes.extend(f"task {ids.shown(what)} could not be taken in: {why}" for what, why in intake.refused)


def _raise(queue: Queue, known: Known) -> None:
    """Lift a task to what is known of it: its epoch, its end, what its last holder left.

    Also out of the hands that an older copy shows: whoever held it since has gone on above that claim.
    """
    task, epoch = known.definition.task, known.epoch
    sighting = queue.locate(task)
    if sighting is None:
        return
    outcome = "done" if known.state == "done" else "released"
    if epoch:
        _write_result(queue, known, outcome)
    if sighting.state == "done":
        return
    if outcome == "done":
        if queue.files.move(sighting.path, names.done(task), make_home=True):
            queue.place_waiting(task)
    else:
        queue.place(sighting.path, Ticket(task, max(sighting.epoch, epoch + LEAP)))


def _put_reports(queue: Queue, known: Evidence, raised: Iterable[str]) -> None:
    """Publish the worktrees' own reports, each unfinished task at its epoch of now: so its last holder is preferred."""
    raised = set(raised)
    for peer, report in known.reports.items():
        entries = []
        for entry in report["assigned_tasks"]:
            task = str(entry.get("task_id")) if isinstance(entry, dict) else ""
            sighting = queue.locate(task) if task in raised else None
            if sighting and sighting.state != "done" and entry.get("epoch") == known.tasks[task].epoch:
                entry = {**entry, "epoch": sighting.epoch}
            entries.append(entry)
        queue.files.put(names.report(peer), records.encode({**report, "assigned_tasks": entries}))


def _write_result(queue: Queue, known: Known, outcome: str) -> None:
    task = known.definition.task
    result: Json = {
        "schema_version": records.SCHEMA_VERSION,
        "task_id": ids.public(task),
        "epoch": known.epoch,
        "outcome": outcome,
        "by": ACTOR,
        "at": queue.root.clock.now(),
        "reason": "the coordination directory was lost and rebuilt",
        **known.left,
    }
    queue.files.publish(names.result(task, known.epoch, outcome), records.encode_stored(result))


# -- an older copy -----------------------------------------------------------------------------------------------


def plan_ghosts(project: Project, made: Plan | None = None) -> list[Action]:
    """Plan to retire peers that are none any more: their worktree is gone, or has gone on under a later incarnation.

    Args:
        project: The project.
        made: The plan that this is part of: its notes take how a worktree comes back that is gone and stays so.
    """
    root = opened(project)
    if root is None:
        return []
    found = ghosts(project, root, evidence.gather(project, lists=False))
    if made is not None:
        made.notes += [note for who in found if (note := _comes_back(project, root, who, made.seats))]
    text = "retire {}, which is not there any more, and give its tasks back"
    return [Action(text.format(who), partial(_retire, root, who)) for who in found]


def _comes_back(project: Project, root: Root, who: Incarnation, team: Collection[Seat]) -> str:
    """Say how the worktree of a peer that is retired comes back; nothing if it does, or was not of our making."""
    worktree = (members.read_record(root, names.peer_dir(who)) or {}).get("worktree")
    index = next((n for n in range(1, MOST + 1) if worktree == str(home(project, n) / project.sub)), 0)
    if not index or index in {seat.index for seat in team}:
        return ""
    count = max([index, *(seat.index for seat in team)])
    again = f"claude-team-coordinated {shlex.quote(str(project.directory))} {count}"
    return f"the worktree of {who.peer} is gone; {again} brings it back on its branch"


def astray(project: Project) -> set[str]:
    """Name the peers that a ghost stands for: their agents serve an incarnation that the directory does not have."""
    root = opened(project)
    if root is None:
        return set()
    known = evidence.gather(project, lists=False)
    found = ghosts(project, root, known)
    if not found:
        return set()
    living = {(who.peer, who.number) for who in members.living(root)}
    lost = {peer for peer, number in known.numbers.items() if (peer, number) not in living}
    return lost | {who.peer for who in found}


def plan_behind(project: Project, notes: list[str]) -> list[Action]:
    """Plan to lift a coordination directory that is older than what the worktrees know: a restored backup.

    Args:
        project: The project.
        notes: Takes what people should know once it is done.
    """
    root = opened(project)
    if root is None:
        return []
    known = evidence.gather(project, lists=False)
    made = []
    behind = late(Queue(root), known)
    if behind:
        some = ", ".join(sorted(behind, key=ids.natural)[:_SHOWN])
        text = f"bring {len(behind)} tasks up to what the worktrees know of them: {some}"
        made.append(Action(text, partial(_catch_up, project, root, known, behind, notes)))
    return made


def opened(project: Project) -> Root | None:
    """Open a project's coordination directory; ``None`` if it is not there, or is another one than was made."""
    known = record.read_project(project.common, project.sub).get("store_id")
    try:
        return roots.open_root(str(project.directory / names.ROOT), known if isinstance(known, str) else "")
    except PeercoordError:
        return None


def ghosts(project: Project, root: Root, known: Evidence) -> list[Incarnation]:
    """List incarnations that count as peers although their worktree is gone, or has gone on under a later one."""
    places = {str(seat.directory) for seat in seats(project)}
    found = []
    for who in members.living(root):
        peer = members.read_record(root, names.peer_dir(who)) or {}
        worktree, here = peer.get("worktree"), process.here()
        if not isinstance(worktree, str) or any(peer.get(key) != here[key] for key in ("host", "machine")):
            continue  # of another machine, or no worktree of ours: not to be judged from here
        later = known.numbers.get(who.peer, 0) > who.number
        if later or (worktree not in places and not os.path.isdir(worktree)):
            found.append(who)
    return found


def _retire(root: Root, who: Incarnation) -> str:
    worktree = (members.read_record(root, names.peer_dir(who)) or {}).get("worktree")
    if isinstance(worktree, str) and not os.path.isdir(worktree):
        agents.end(agents.at([Path(worktree)]))
    if str(who) in root.files.scan(names.PEERS):
        Peer.resume(root, who).leave()
    return ""


def late(queue: Queue, known: Evidence) -> dict[str, Known]:
    """Find the tasks of which the worktrees know more than the coordination directory."""
    found = {}
    for task, said in known.tasks.items():
        sighting = queue.locate(task)
        if sighting is None or _is_late(queue, said, sighting):
            found[task] = said
    return found


def _is_late(queue: Queue, said: Known, sighting: Sighting) -> bool:
    task = said.definition.task
    results = queue.results(task)
    if said.state == "done" and sighting.state != "done" and said.epoch >= sighting.epoch:
        # one that was reopened still has the result of its end; an older copy never had it
        return names.result(task, said.epoch, "done").rpartition("/")[2] not in results
    return max(sighting.epoch, tickets.highest_epoch(task, results)) < said.epoch


def _catch_up(project: Project, root: Root, known: Evidence, behind: dict[str, Known], notes: list[str]) -> str:
    queue = Queue(root, ACTOR)
    lists = evidence.gather(project).tasks
    missing = {task: lists.get(task, said) for task, said in behind.items() if queue.birth(task) is None}
    _bear(queue, missing, notes)
    for said in behind.values():
        _raise(queue, said)
    _put_reports(queue, known, behind)
    queue.place_blocked()
    root.event(ACTOR, "caught up", tasks=sorted(behind))
    notes.append(
        f"{names.ROOT}/ was older than what the worktrees know: {len(behind)} tasks were brought up to it; "
        "what nobody's own record mentions is as it was in that copy"
    )
    return ""
