"""Fix what can be fixed without losing anything: half-done sequences, lost or doubled tickets, missing agents."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from peercoord.agent import control
from peercoord.doctor.checks import duplicate_tickets, leader_tickets
from peercoord.errors import PeercoordError
from peercoord.foreign import whole
from peercoord.membership import liveness
from peercoord.membership import membership as members
from peercoord.membership.membership import judge
from peercoord.queue import renaming
from peercoord.queue.duplicates import remove_duplicates_of
from peercoord.queue.progress import Reports
from peercoord.queue.recovery import Janitor
from peercoord.queue.retention import Archivist
from peercoord.store import down, ids, paths
from peercoord.store import root as roots
from peercoord.system import process
from peercoord.system.clock import wait_until

if TYPE_CHECKING:
    from peercoord.queue.queue import Queue
    from peercoord.store.paths import Incarnation
    from peercoord.store.root import Root

LOOK_SECONDS, PAUSE = 1.0, 0.05  # to look for a ticket before a new one is created, and between two looks


def fix_team(queue: Queue, by: Incarnation | None) -> list[str]:
    """Finish what crashes left, and start missing agents of this host; return what was done, in words."""
    root = queue.root
    janitor = Janitor(queue, "doctor")
    parted = _duplicates(queue)
    janitor.tidy()
    Archivist(root).litter()
    parted += [f"wrote {paths.README}, which explains the entries there"] if roots.explain(root.files) else []
    done = [*parted, *_missing(queue), *_leader(root)]
    for who in members.living(root):
        try:
            done += _peer(janitor, who, by)
        except PeercoordError as error:
            done.append(f"not mended: {who}: {error.message}")
    return done


def _peer(janitor: Janitor, who: Incarnation, by: Incarnation | None) -> list[str]:
    root = janitor.root
    record, verdict = members.record_of(root, who), judge(root, who)
    if verdict.state == liveness.DEAD and by is not None:
        return [f"evicted {who}: {verdict.because}"] if janitor.evict(who, by, verdict.because) else []
    agent, tree = liveness.agent_of(record), str(record.get("worktree", ""))
    here = liveness.elsewhere(record, process.here()) is None
    if not here or not os.path.isdir(tree) or (agent is not None and process.running(agent)):
        return []
    if down.read(root.files) is not None:
        return []  # a person took the team down: `down` again lets the peer leave
    project = os.path.dirname(root.files.place)
    try:
        return [f"started the agent of {who.peer}, pid {control.start(tree, project)}"]
    except PeercoordError as error:
        return [f"could not start the agent of {who.peer}: {error.message}"]


def _duplicates(queue: Queue) -> list[str]:
    """Remove the lower of two names of one ticket file.

    Where they are two files, which of them is the ticket is for a person to say.
    """
    done = []
    for task in duplicate_tickets(queue):
        with queue.root.intake():
            done += [f"task {task}: removed {path}" for path in remove_duplicates_of(queue, task)]
    return done


def _missing(queue: Queue) -> list[str]:
    """Create the ticket of a task that has none, above every known epoch."""
    done = []
    missing = sorted(set(queue.all_tasks()) - queue.survey().keys(), key=ids.natural)
    renamed = renaming.unfinished(queue) if missing else {}
    for task in missing:
        if task in renamed:
            renaming.rename(queue, task, renamed[task])
            done.append(f"task {task}: finished its renaming to {renamed[task]}")
            continue
        with queue.root.intake():
            if wait_until(partial(queue.locate, task), LOOK_SECONDS, PAUSE):
                continue
            ticket = paths.Ticket(task, _last_epoch(queue, task) + 1)
            path = paths.parked("held", ticket)
            if queue.files.ticket(path):
                done.append(f"task {task}: created its ticket again, {queue.place(path, ticket)}")
    return done


def _last_epoch(queue: Queue, task: str) -> int:
    """Return the highest epoch of a task in results, reports and assignments."""
    known = [queue.highest_epoch(task)]
    reports = Reports(queue)
    for name in queue.files.scan(paths.REPORTS):
        entries = reports.read(name.removesuffix(".json"))["assigned_tasks"] if name.endswith(".json") else []
        epochs = [entry.get("epoch") for entry in entries if ids.read(entry.get("task_id")) == task]
        known += [epoch for epoch in map(whole, epochs) if epoch is not None]
    for base in (paths.PEERS, paths.DEPARTED):
        for home in queue.files.scan(base):
            found = queue.files.scan(paths.assignments_dir(f"{base}/{home}"))
            named = (paths.parse_ticket(name.removesuffix(".json")) for name in found)
            known += [ticket.epoch for ticket in named if ticket and ticket.task == task]
    return max(known)


def _leader(root: Root) -> list[str]:
    """Keep the leader's ticket of the latest term; create one if there is none."""
    found = leader_tickets(root)
    if not found:
        path = paths.leader(paths.LEADER, _last_term(root) + 1)
        return [f"made {path}"] if root.files.ticket(path) else []
    latest = max(found, key=_term)
    early = [path for path in found if path != latest and _term(path) < _term(latest)]
    return [f"removed {path}, an earlier term's" for path in early if root.files.remove(path)]


def _term(path: str) -> int:
    return paths.parse_leader(path.rpartition("/")[2]) or 0


def _last_term(root: Root) -> int:
    known = [0]
    for name in root.files.scan(paths.EVENTS):
        terms = (whole(event.get("term")) for event in root.files.lines(f"{paths.EVENTS}/{name}"))
        known += [term for term in terms if term is not None]
    return max(known)
