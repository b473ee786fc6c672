"""Mending what can be mended without losing anything: half-done sequences, tickets lost or doubled, missing agents."""

from __future__ import annotations

import os
import time

from peercoord.core import ids, liveness, names, records, tickets
from peercoord.core.errors import BrokenFileError, PeercoordError
from peercoord.edges import agentctl
from peercoord.edges.doctor.team import leader_tickets, said, twins
from peercoord.fs import process
from peercoord.roles import membership as members
from peercoord.roles.archivist import Archivist
from peercoord.roles.janitor import Janitor
from peercoord.roles.peer import judge
from peercoord.roles.progress import Reports
from peercoord.roles.twins import part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.names import Incarnation
    from peercoord.roles.queue import Queue
    from peercoord.roles.root import Root

LOOKS, PAUSE = 20, 0.05  # looks for a ticket, and seconds between them, before a new one is made


def mend(queue: Queue, by: Incarnation | None) -> list[str]:
    """Bring to an end what crashes left, and start agents that are missing here.

    Args:
        queue: The tasks.
        by: Who mends, where evicting needs a name; ``None``: nobody is evicted.

    Returns:
        What was done, in words.
    """
    root = queue.root
    janitor = Janitor(queue, "doctor")
    parted = _twins(queue)
    janitor.tidy()
    Archivist(root).litter()
    done = [*parted, *_missing(queue), *_leader(root)]
    for who in members.living(root):
        done += _peer(janitor, who, by)
    return done


def _peer(janitor: Janitor, who: Incarnation, by: Incarnation | None) -> list[str]:
    root = janitor.root
    record, verdict = said(root, who), judge(root, who)
    if verdict.state == liveness.DEAD and by is not None:
        return [f"evicted {who}: {verdict.because}"] if janitor.evict(who, by, verdict.because) else []
    agent, tree = liveness.agent_of(record), str(record.get("worktree", ""))
    here = liveness.elsewhere(record, process.here()) is None
    if not here or not os.path.isdir(tree) or (agent is not None and process.running(agent)):
        return []
    try:
        return [f"started the agent of {who.peer}, pid {agentctl.start(tree)}"]
    except PeercoordError as error:
        return [f"could not start the agent of {who.peer}: {error.message}"]


def _twins(queue: Queue) -> list[str]:
    """Remove the lower of two names of one ticket: one file under both, as a rename that was broken off leaves it.

    Where they are two files, which of them is the ticket is for a person to say.
    """
    done = []
    for task in twins(queue):
        with queue.root.intake():
            done += [f"task {task}: removed {path}" for path in part(queue, task)]
    return done


def _missing(queue: Queue) -> list[str]:
    """Make the ticket of a task that has none, seen nowhere however often one looks; its epoch goes on."""
    done = []
    for task in sorted(set(queue.all_tasks()) - queue.survey().keys(), key=ids.natural):
        with queue.root.intake():
            if any(_seen(queue, task) for _ in range(LOOKS)):
                continue
            ticket = names.Ticket(task, _last_epoch(queue, task) + 1)
            path = names.parked("held", ticket)
            if queue.files.ticket(path):
                done.append(f"task {task}: made its ticket anew, {queue.place(path, ticket)}")
    return done


def _seen(queue: Queue, task: str) -> bool:
    if queue.locate(task) is not None:
        return True
    time.sleep(PAUSE)
    return False


def _last_epoch(queue: Queue, task: str) -> int:
    """Give the highest epoch that anything tells of a task: results, reports, assignments of whoever was here."""
    known = [tickets.highest_epoch(task, queue.results(task))]
    reports = Reports(queue)
    for name in queue.files.scan(names.REPORTS):
        entries = reports.read(name.removesuffix(".json"))["assigned_tasks"] if name.endswith(".json") else []
        epochs = [entry.get("epoch") for entry in entries if str(entry.get("task_id")) == task]
        known += [epoch for epoch in epochs if isinstance(epoch, int)]
    for base in (names.PEERS, names.DEPARTED):
        for home in queue.files.scan(base):
            found = queue.files.scan(names.assignments_dir(f"{base}/{home}"))
            named = (names.parse_ticket(name.removesuffix(".json")) for name in found)
            known += [ticket.epoch for ticket in named if ticket and ticket.task == task]
    return max(known)


def _leader(root: Root) -> list[str]:
    """Leave one leader's ticket, that of the latest term; make one, above every term on record, if there is none."""
    found = leader_tickets(root)
    if not found:
        path = names.leader(names.LEADER, _last_term(root) + 1)
        return [f"made {path}"] if root.files.ticket(path) else []
    latest = max(found, key=_term)
    early = [path for path in found if path != latest and _term(path) < _term(latest)]
    return [f"removed {path}, an earlier term's" for path in early if root.files.remove(path)]


def _term(path: str) -> int:
    return names.parse_leader(path.rpartition("/")[2]) or 0


def _last_term(root: Root) -> int:
    known = [0]
    for name in root.files.scan(names.EVENTS):
        for line in root.files.read_tail(f"{names.EVENTS}/{name}").splitlines():
            try:
                term = records.decode(line, name).get("term")
            except BrokenFileError:
                continue
            known += [term] if isinstance(term, int) else []
    return max(known)
