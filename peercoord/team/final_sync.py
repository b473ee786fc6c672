"""When a team goes: bring lists, memory bank and views up to date, and keep the tasks that only it knows.

After ``down`` no peer leads, so the person's command updates them one last time, under the term that the leader gave
up; a leader of a later term fences it out.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError
from peercoord.membership import membership as members
from peercoord.membership.membership import judge
from peercoord.memory import runner as banking
from peercoord.queue.progress import Reports
from peercoord.queue.queue import Queue
from peercoord.status.board import Reader
from peercoord.store import down, ids, manifest, paths
from peercoord.store.refusals import refused
from peercoord.system import process
from peercoord.system.disk import Disk
from peercoord.tasklists import export, reconcile, runner, selection
from peercoord.tasklists.export import gather
from peercoord.tasklists.normalize import TaskStatus
from peercoord.tasklists.snapshot import Tickets
from peercoord.tasklists.source import read_source
from peercoord.team import agents, tasklist
from peercoord.team.plan import Action

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from peercoord.foreign import Json
    from peercoord.store.project import Project
    from peercoord.store.root import Root

ACTOR = "person"


def bring_up_to_date(project: Project, root: Root) -> str:
    """Bring lists, memory bank, reports and views up to date; return the failures."""
    troubles = []
    for who in members.living(root):
        peer, where = members.record_of(root, who), "is still there"
        if peer.get("machine") != process.here()["machine"]:
            where = f"works on another machine, {peer.get('host')}"
        troubles.append(f"{who.peer} {where}, and leaves once it sees that the team is down")
    steps = partial(sync_lists, project, root), partial(merge_memory, root), partial(_publish, root)
    for step in steps:
        try:
            step()
        except PeercoordError as error:
            troubles.append(error.message)
    if not troubles and down.read(root.files) is not None:
        down.write(root, ACTOR, settled_at=root.clock.now())
    return "; ".join(troubles)


def sync_lists(project: Project, root: Root) -> None:
    """Sync the lists of the project as the calling person."""
    choice = selection.Choice.of(root.protocol)
    if not choice:
        return
    lists = runner.Lists(root, ACTOR, choice)
    path = lists.database.database.address.path
    if path is not None and not path.exists() and path == manifest.database(project.common, project.sub):
        lists.create()
    runner.run(lists)


def merge_memory(root: Root) -> None:
    """Merge contributions into the memory bank and refresh ``progress.md``, if there is a bank."""
    with suppress(NotFoundError):
        banking.run(root, ACTOR)


def _publish(root: Root) -> None:
    living = members.living(root)
    queue = Queue(root, ACTOR)
    for peer in {name.removesuffix(".json") for name in root.files.scan(paths.REPORTS)} - {who.peer for who in living}:
        Reports(queue).interrupt(peer)
    Reader(queue, lambda who: judge(root, who)).publish()


# -- tasks that only this team knows -------------------------------------------------------------------------------


TASKS = "tasks"  # a person names this, like a peer, to throw away tasks that only this team knows
_SHOWN = 20
_TELLING = ("progress", "achievements", "blockers", "steps_done")


def require_sync(project: Project, named: Collection[str]) -> None:
    """Sync the lists, or refuse to go on if that fails."""
    root = agents.opened(project.directory / paths.ROOT)
    if root is None or TASKS in named:
        return
    try:
        sync_lists(project, root)
    except PeercoordError as error:
        began, queue = str(runner.health(root).get("last_ok_began") or ""), Queue(root)
        lost = []
        for task in sorted(queue.all_tasks(), key=ids.natural):
            epoch, end, record = queue.result(task) or (0, "", {})
            lost += [task] if epoch and end == "done" and str(record.get("at", "")) >= began else []
        some = ", ".join(lost[:_SHOWN]) + (f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else "")
        what = f"; tasks done here that it may not know: {some}" if lost else ""
        where = runner.Lists.shown(selection.Choice.of(root.protocol))
        raise PeercoordError(
            f"what was done here cannot be written to {where}: {error.message}{what}",
            "fix that and call again; keep the tasks in a file instead: peercoord sync --database none; "
            f"throw them away: peercoord down --purge --discard {TASKS}",
            code="not-in-step",
        ) from None


def plan_keep_tasks(project: Project, named: Collection[str], notes: list[str], dry_run: bool = False) -> list[Action]:
    """Plan to keep tasks that only this team knows in a file."""
    root = agents.opened(project.directory / paths.ROOT)
    if TASKS in named:
        return []
    if root is None:
        return _plan_own_database(project, notes)
    elsewhere = _known_elsewhere(project, root, dry_run)
    alone = sorted(set(Queue(root).all_tasks()) - elsewhere, key=ids.natural)
    if not alone:
        return []
    path = _free(project, ".json")
    text = f"keep {_many(len(alone))} that only this team knows in {path}"
    return [Action(text, partial(_keep, project, root, elsewhere, notes))]


def _keep(project: Project, root: Root, elsewhere: set[str], notes: list[str]) -> None:
    found, unreadable = gather(Queue(root))
    if unreadable:
        task, why = unreadable[0]
        text = f"task {task} cannot be kept: {why}"
        hint = f"fix it: peercoord doctor; throw such tasks away: peercoord down --purge --discard {TASKS}"
        raise PeercoordError(text, hint, code="unreadable")
    tasks = [task for task in found if task.definition.task not in elsewhere]
    path = _free(project, ".json")
    _write(path, export.export(tasks, export.WHOLE, root.clock.now()).encode())
    notes.append(_kept(f"{_many(len(tasks))} that only this team knew", project, path))


def _many(tasks: int) -> str:
    return "1 task" if tasks == 1 else f"{tasks} tasks"


def _kept(what: str, project: Project, path: Path) -> str:
    again = f"peercoord -C {shlex.quote(str(project.directory))} task import {shlex.quote(str(path))}"
    return f"{what}: kept in {path}; in a new team, take them in again: {again}"


def _free(project: Project, suffix: str) -> Path:
    """Return an unused name in the git directory."""
    import time

    stem = f"peercoord-tasks-{time.strftime('%Y-%m-%d', time.gmtime())}"
    numbered = (f"{stem}-{number}" for number in range(2, 10**6))
    return next(path for name in (stem, *numbered) if not os.path.lexists(path := project.common / f"{name}{suffix}"))


def _write(path: Path, data: bytes) -> None:
    """Create a file that survives a power cut."""
    disk = Disk(str(path.parent))
    try:
        disk.create(path.name, data, True)
        disk.sync("")
    except OSError as error:
        raise refused(error, str(path)) from None


# -- what others know --------------------------------------------------------------------------------------------


def _known_elsewhere(project: Project, root: Root, dry_run: bool) -> set[str]:
    """Return the tasks that a list which outlives the team knows whole."""
    queue = Queue(root)
    found: set[str] = set()
    choice = selection.Choice.of(root.protocol)
    if choice:
        kept = runner.Lists(root, ACTOR, choice)
        own = kept.database.database.address.path == manifest.database(project.common, project.sub)
        for store, here in zip(kept.all, _planned(kept, dry_run), strict=False):
            if store is not kept.database or not own:
                found |= here
    return found | set(_as_imported(project, queue, [task for task in queue.all_tasks() if task not in found]))


def _planned(kept: runner.Lists, dry_run: bool) -> Iterator[set[str]]:
    """Yield for each list the tasks that it knows whole, or would after a sync."""
    try:
        everything, next_ = kept.plan(every=True), kept.plan() if dry_run else []
    except NotFoundError:
        if not dry_run:
            raise
        return  # the list does not exist yet
    for at, (_, outcome) in enumerate(everything):
        to_come = {entry.task for entry in next_[at][1].comparisons if not entry.why} if dry_run else set()
        yield {entry.task for entry in outcome.comparisons if _says_all(entry) or entry.task in to_come}


def _says_all(comparison: reconcile.Comparison) -> bool:
    if comparison.why:
        return False
    if comparison.kind == reconcile.GONE:
        return comparison.ours.get("state") == TaskStatus.CANCELLED  # a person deleted it there
    return comparison.kind == reconcile.BOTH and not comparison.resolution.outgoing


def _as_imported(project: Project, queue: Queue, tasks: Collection[str]) -> Iterator[str]:
    """Yield the tasks that equal their entry in the list they came from."""
    ours = Tickets(queue)
    versions = ours.snapshot().versions
    read: dict[tuple[str, str | None], dict[str, Json]] = {}
    for task in tasks:
        try:
            definition = queue.definition(task)
            source = definition.raw.get("source")
            if not isinstance(source, dict) or task not in versions or not isinstance(source.get("path"), str):
                continue
            place = source["path"], source.get("tag") if isinstance(source.get("tag"), str) else None
            if place not in read:
                read[place] = _read(project, *place)
            values = ours.values(task, versions[task])
        except (BrokenFileError, NotFoundError):
            continue
        told = values["instance_progress"] or {}
        here = {**reconcile.shared(definition), "state": values["state"]}
        if read[place].get(task) == here and not any(told.get(key) for key in _TELLING):
            yield task


def _read(project: Project, path: str, tag: str | None) -> dict[str, Json]:
    """Read a list; empty if it cannot be read."""
    where = path if "://" in path else str(project.directory / path)
    try:
        reading = read_source(where, tag, project.directory, tasklist.key_in(project, where, ""))
    except (PeercoordError, OSError):
        return {}
    return {item.definition.task: {**reconcile.shared(item.definition), "state": item.state} for item in reading.tasks}


# -- without a coordination directory ----------------------------------------------------------------------------


def _plan_own_database(project: Project, notes: list[str]) -> list[Action]:
    """Plan to keep the team's own database if only it still has the tasks."""
    own = manifest.database(project.common, project.sub)
    if not own.is_file() or not (project.directory / paths.ROOT).parent.is_dir():
        return []
    path = _free(project, ".db")
    return [Action(f"keep the team's own database as {path}", partial(_keep_database, project, own, notes))]


def _keep_database(project: Project, own: Path, notes: list[str]) -> None:
    import sqlite3
    from contextlib import closing

    path = _free(project, ".db")
    _write(path, b"")
    try:
        with closing(sqlite3.connect(own)) as there, closing(sqlite3.connect(path)) as here:
            there.backup(here)
    except sqlite3.Error as error:
        path.unlink()
        raise PeercoordError(f"{own} cannot be copied: {error}", f"throw it away: --discard {TASKS}") from None
    notes.append(_kept("the tasks that the team's own database had", project, path))
