"""Assign a task to a chosen peer: reassign it, or answer its question while the asker waits."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import LostError, NotFoundError, StorageError
from peercoord.foreign import shown
from peercoord.membership import liveness
from peercoord.membership import membership as members
from peercoord.queue import placement
from peercoord.queue.assignments import Assignments
from peercoord.queue.queue import moved_meanwhile
from peercoord.queue.recovery import Janitor
from peercoord.store import paths, records
from peercoord.system import process

if TYPE_CHECKING:
    from peercoord.queue.queue import Queue
    from peercoord.store.paths import Incarnation
    from peercoord.store.records import Definition


def answer(queue: Queue, task: str, text: str) -> tuple[str, str]:
    """Answer a parked task. The peer that asked gets it at once if it waits for a task right now.

    Returns:
        Where its ticket lies now, and the peer that holds it; empty if it is back in the queue.
    """
    waiting = _waiting_asker(queue, task)
    home = paths.peer_dir(waiting) if waiting else ""
    placed = queue.reopen(task, text, paths.claims_dir(home) if home else "")
    mine = paths.parse_ticket(placed.rpartition("/")[2])
    if waiting is None or mine is None or not placed.startswith(f"{paths.claims_dir(home)}/"):
        return placed, ""
    with suppress(StorageError):  # the record is for people; the ticket decides
        Assignments(queue, waiting, home).write_awaited(mine, queue.definition(task))
    queue.files.ring()
    return placed, waiting.peer


def _waiting_asker(queue: Queue, task: str) -> Incarnation | None:
    """The peer that parked a task, if it waits for one now and holds none."""
    asker = queue.definition(task).note.get("by")
    found = next((one for one in reversed(members.living(queue.root)) if one.peer == asker), None)
    record = members.read_record(queue.files, paths.peer_dir(found)) if found else None
    waiter = record.get("waiting") if record else None
    if found is None or not isinstance(waiter, dict) or liveness.elsewhere(record, process.here()) is not None:
        return None
    held = queue.files.scan(paths.claims_dir(paths.peer_dir(found)))
    return found if process.running(waiter) and not held else None


def reassign(queue: Queue, task: str, target: str) -> tuple[str, int]:
    """Move a task to another peer by one rename, from its holder or from the queue.

    Returns:
        Which peer held it before (empty: none) and its epoch now.

    Raises:
        NotFoundError: There is no such task or peer.
        LostError: It moved meanwhile, is done, cancelled or waiting, or that peer holds it already.
        UsageError: It is being renamed.
    """
    root = queue.root
    home = next((i for i in reversed(members.living(root)) if i.peer == target), None)
    if home is None:
        known = ", ".join(i.peer for i in members.living(root)) or "none"
        raise NotFoundError(f"there is no peer {shown(target)}", hint=f"peers: {known}", code="no-peer")
    with root.intake():  # no other call edits or renames it meanwhile
        location = queue.find(task)
        holder = paths.parse_incarnation(location.detail) if location.state == "claimed" else None
        _refuse_reassign(task, location.state, location.detail, holder == home)
        if str(paths.Ticket(task, location.epoch)) != location.path.rpartition("/")[2]:
            raise LostError(f"task {task} is completed, by {location.detail}", hint=f"peercoord task reopen {task}")
        ticket = paths.Ticket(task, location.epoch)
        definition = queue.definition(task)
        queue.refuse_renamed(definition)
        if holder is None or definition.cancelled is not None:
            _refuse_unready(queue, definition)
        else:
            with suppress(StorageError):  # on a full disk the hand-over is lost, the reassignment is not
                Janitor(queue, queue.actor).write_result(ticket, holder, "released", f"reassigned to {target}")
        mine = queue.next_claim(ticket)
        claim = paths.claim(paths.peer_dir(home), mine)
        if not root.files.move(location.path, claim):
            raise moved_meanwhile(task)
    root.files.sync_move(location.path, claim)
    with suppress(StorageError):  # the target alone writes its report, and opens the entry itself (decision 0066)
        Assignments(queue, home, paths.peer_dir(home)).write(mine, definition)
    queue.files.ring()
    root.event(queue.actor, "reassigned", task=task, epoch=mine.epoch, to=target, was=str(holder or ""))
    return (holder.peer if holder else "", mine.epoch)


def _refuse_reassign(task: str, state: str, detail: str, same: bool) -> None:
    if same:
        raise LostError(f"{detail} holds task {task} already", hint="see: claude-coordination-status")
    if state == "done":
        raise LostError(f"task {task} is done", hint=f"peercoord task reopen {task}")
    if state == "waiting":
        raise LostError(f"task {task} waits for task {detail}", hint=f"peercoord task show {detail}")
    if state in ("new", "departed"):
        raise LostError(f"task {task} is on its way back to the queue", hint="try again")


def _refuse_unready(queue: Queue, definition: Definition) -> None:
    """Refuse a task that is not ready. A task that a person only set aside may be given to a peer."""
    free = records.checked({key: value for key, value in definition.raw.items() if key != "parked"})
    belongs = placement.location_of(free, queue.dependency_state)
    if belongs.state == "waiting":
        raise LostError(f"task {free.task} waits for task {belongs.detail}", f"peercoord task show {belongs.detail}")
    if belongs.state == "parked":
        raise LostError(
            f"task {free.task} is parked: {belongs.detail}, {belongs.reason}",
            hint=f"peercoord task reopen {free.task}",
        )
