"""Finish what crashes left: evict a peer, sweep what a departed peer held, and end half-done sequences.

Any peer may run any of this at any moment, also several at once: every step is one rename of one name, and a peer that
finds a name gone goes on to the next.

The zombie behind the sweep: a network client may follow a peer's directory for seconds after it was moved, and put a
ticket into a ``claims/`` that was just listed as empty. So a sweep ends only with ``rmdir claims/``, the seal, which
the file server refuses as long as anything lies in it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError, StorageError
from peercoord.foreign import shown
from peercoord.membership import membership as members
from peercoord.queue import duplicates, placement
from peercoord.queue.progress import Reports
from peercoord.store import ids, paths, records
from peercoord.store.paths import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.queue.placement import Location
    from peercoord.queue.queue import Queue
    from peercoord.store.paths import Incarnation
    from peercoord.store.root import Root

WORK = ("progress", "steps_done", "achievements", "blockers", "completion_estimate", "time_spent")
"""What a holder reports of its work."""
HAND_OVER = (*WORK, "worktree", "branch", "commit", "dirty_files", "kept")
"""What a task's next holder learns of its last one, where known."""
SWEEPS_MOST = 64  # listings of one departed peer in one sweep: each finds only what a zombie put there since the last


class Janitor:
    """Repairs one coordination directory, on behalf of ``by``."""

    def __init__(self, queue: Queue, by: str) -> None:
        self.queue = queue
        self.root: Root = queue.root
        self.files = queue.files
        self.by = by
        self._edited: dict[str, tuple[int, int]] = {}  # times of tickets placed after an edit, and of their definitions
        self._ticked: int | None = None  # the filesystem's clock in the current pass

    # -- eviction --------------------------------------------------------------------------------------------

    def evict(self, who: Incarnation, by: Incarnation, because: str) -> bool:
        """Evict a peer by one rename that revokes all it holds, and sweep what it held; ``False`` if it was gone."""
        if not self.files.move(paths.peer_dir(who), paths.departed_dir(who, by), make_home=True):
            return False
        self.root.event(by.peer, "evicted", who=str(who), because=because)
        self.sweep(who, by)
        return True

    def sweep(self, who: Incarnation, by: Incarnation) -> None:
        """Give back what a departed peer held, then seal its directory. Repeatable, and safe for several peers at once.

        A ticket that the filesystem refuses to move now stays, unsealed, for the next sweep; the others are swept.
        """
        self.queue.attempt(self._sweep, paths.departed_dir(who, by), who, by)

    def _sweep(self, home: str, who: Incarnation, by: Incarnation) -> None:
        attempt = self.queue.attempt
        for _ in range(SWEEPS_MOST):
            well = attempt(self._return_leader_ticket, home, who=str(who))
            for name in self.files.scan(paths.claims_dir(home)):
                well &= attempt(self._give_back, home, name, who, by, who=str(who), claim=shown(name))
            if not well or self.files.remove_dir(paths.claims_dir(home)):
                return

    def _return_leader_ticket(self, home: str) -> None:
        for name in self.files.scan(home):
            term = paths.parse_leader(name)
            if term is not None and not self.queue.set_irregular_aside(f"{home}/{name}"):
                self.files.move(f"{home}/{name}", paths.leader(paths.LEADER, term), make_home=True)

    def _give_back(self, home: str, name: str, who: Incarnation, by: Incarnation) -> None:
        path = f"{paths.claims_dir(home)}/{name}"
        ticket = paths.parse_ticket(name)
        if ticket is None:
            self.files.quarantine(path, "claims hold tickets and nothing else")
        elif not duplicates.is_unique(self.queue, path, ticket.task, if_unseen=True):
            return  # its other name is the later one, and stays
        elif ticket.done:
            self.finish(path, ticket, who)
        else:
            outcome = "released" if who == by else "evicted"
            self.close(
                path, ticket, who, outcome, f"{who.peer} left" if who == by else f"{who.peer} was evicted by {by.peer}"
            )

    def finish(self, path: str, ticket: Ticket, who: Incarnation) -> None:
        """Carry a ``~done`` ticket, completed by ``who``, to ``done/``, and place what waited for it. Repeatable."""
        if not self.files.listed(paths.result(ticket.task, ticket.epoch, "done")):
            self.write_result(ticket, who, "done", "its result was lost in a crash")
        if self.files.move(path, paths.done(ticket.task), make_home=True):
            self.root.event(self.by, "done", task=ticket.task, epoch=ticket.epoch, incarnation=str(who))
        self.queue.place_waiting(ticket.task)
        self.files.ring()

    def close(self, path: str, ticket: Ticket, who: Incarnation, outcome: str, reason: str) -> str:
        """End an attempt that did not complete the task: write its result, then place the ticket or park it as failed.

        Returns:
            Where the ticket lies now; empty if another peer moved it.
        """
        with suppress(StorageError):  # on a full disk the hand-over is lost, the task is not
            self.write_result(ticket, who, outcome, reason)
        if outcome != "released":
            most = self.root.number("max_attempts")
            if placement.attempts(self.queue.outcomes(ticket.task)) >= most:
                target = paths.parked("failed", ticket)
                if not self.files.move(path, target, make_home=True):
                    return ""
                self.root.event(self.by, "poison", task=ticket.task, attempts=most)
                return target
        placed = self.queue.place(path, ticket)
        if placed:
            self.root.event(self.by, outcome, task=ticket.task, epoch=ticket.epoch, incarnation=str(who), reason=reason)
        return placed

    def write_result(self, ticket: Ticket, who: Incarnation, outcome: str, reason: str) -> None:
        """Write the result of an attempt on its holder's behalf, unless there is one, with the hand-over."""
        entry = Reports(self.queue).entry(who.peer, ticket) or {}
        departed = (paths.departed_dir(who, by) for one, by in members.departed(self.root) if one == who)
        homes = [paths.peer_dir(who), *departed]
        known = {**next(filter(None, (members.read_record(self.root.files, home) for home in homes)), {}), **entry}
        assignments = (self.queue.read_record(paths.assignment(home, ticket)) for home in homes)
        began = entry.get("started_at") or next(filter(None, assignments), {}).get("assigned_at")
        work = {key: known[key] for key in HAND_OVER if known.get(key) is not None}
        work |= {"assigned_at": began} if began else {}
        own = {"peer": who.peer, "incarnation": str(who), "reason": reason}
        record = self.queue.result_record(ticket, outcome, self.by, **own, **work)
        self.files.publish(paths.result(ticket.task, ticket.epoch, outcome), records.encode_stored(record))

    # -- what crashes left -----------------------------------------------------------------------------------

    def tidy(self) -> None:
        """Finish what is half done: duplicate names, departed peers, tasks being added, outdated placements."""
        self.set_irregular_aside()
        duplicates.remove_duplicates(self.queue)
        self.sweep_departed()
        self.finish_new()
        self.place_again()

    def set_irregular_aside(self) -> None:
        """Quarantine everything with a ticket's name that is not a regular file: a directory, link, FIFO or device.

        Other names are left alone; a wrong name in a departed peer's ``claims/`` is handled by the sweep.
        """
        queue = self.queue
        places: list[tuple[str, Callable[[str], object]]] = []
        for directory, state, _ in queue.ticket_directories(queue.list_or_empty):
            is_ticket = ids.is_id if state == "done" else paths.parse_new if state == "new" else paths.parse_ticket
            places.append((directory, is_ticket))
        homes = (paths.LEADER, *queue.homes_or_none())
        places += [(home, lambda name: paths.parse_leader(name) is not None) for home in homes]
        for directory, is_named in places:
            for name in filter(is_named, queue.list_or_empty(directory, self.files.irregular)):
                queue.attempt(queue.set_irregular_aside, f"{directory}/{name}")

    def sweep_departed(self) -> None:
        """Sweep and seal the directories of departed peers that are not sealed yet."""
        for name in self.queue.list_or_empty(paths.DEPARTED):
            both = paths.parse_departed(name)
            left = self.queue.list_or_empty(f"{paths.DEPARTED}/{name}") if both else []
            if both and ("claims" in left or paths.terms(left)):
                self.sweep(*both)

    def finish_new(self) -> None:
        """Finish adding tasks that have a birth record; remove tickets that lost the race for one.

        A ticket without any birth record stays: its adder may only be slow, and whether it is cannot be told.
        """
        for name in self.queue.list_or_empty(paths.NEW):
            new = paths.parse_new(name)
            if new is None:
                continue
            path = f"{paths.NEW}/{name}"
            try:
                birth = self.queue.birth(new[0])
                if birth is None:
                    continue
                if birth.nonce == new[1]:
                    self.queue.finish_adding(path, birth, self.queue.was_added_done(birth.task))
                else:
                    self.files.remove(path)
            except (BrokenFileError, StorageError) as error:  # the others go on
                self.root.event(self.by, "unreadable", path=paths.birth(new[0]), reason=error.message)

    # -- outdated placements ---------------------------------------------------------------------------------

    def place_again(self) -> None:
        """Place again the tickets that no longer belong where they are."""
        for dependency in filter(ids.is_id, self.queue.list_or_empty(paths.WAITING)):
            self.queue.attempt(self._place_waiting, dependency)
        self.queue.place_blocked()
        for why in ("failed", "review"):  # a blocked one is placed again in any case
            for ticket in self.queue.tickets_or_none(f"{paths.PARKED}/{why}"):
                self.queue.attempt(self._place_if_answered, why, ticket)
        self._place_edited()

    def _place_waiting(self, dependency: str) -> None:
        if self.queue.dependency_state(dependency) != "open":
            self.queue.place_waiting(dependency)

    def _place_if_answered(self, why: str, ticket: Ticket) -> None:
        """Place a task again that a person answered before a crash kept its ticket from moving."""
        with suppress(NotFoundError):  # a ticket without a task
            if self.queue.is_answered(self.queue.definition(ticket.task), ticket.epoch):
                with self.root.intake():  # not in the middle of the answer
                    self.queue.place(paths.parked(why, ticket), ticket)

    def _place_edited(self) -> None:
        """Place waiting and ready tasks again that were edited by hand, or by a call that crashed.

        A ticket's last rename is compared with the last change of its definition, both by the filesystem's own clock.
        That clock ticks, so an edit may have the same time as the rename before it, as nearly every task just added
        does. That ticket is placed again when its tick is over: any later edit shows a later time.
        """
        before, self._edited, self._ticked = self._edited, {}, None
        for directory, state, detail in self.queue.ticket_directories(self.queue.list_or_empty):
            if state in ("waiting", "ready"):  # the others, done tasks among them, are not even listed
                for seen in self.queue.tickets_in(directory, state, detail, self.queue.list_or_empty):
                    self.queue.attempt(self._place_if_edited, seen, before.get(seen.path))

    def _place_if_edited(self, seen: Location, before: tuple[int, int] | None) -> None:
        ticket, definition = self.files.stat(seen.path), self.files.stat(paths.definition(seen.task))
        if not ticket or not definition or definition.changed_ns < max(1, ticket.changed_ns):
            return  # not edited since, or the filesystem does not record that time
        times = (ticket.changed_ns, definition.changed_ns)
        over = times == before or self._is_over(definition.changed_ns)  # asked before the definition is read
        if times != before and (over or definition.changed_ns > ticket.changed_ns):
            self.queue.place(seen.path, Ticket(seen.task, seen.epoch))
        if over:
            self._edited[seen.path] = times

    def _is_over(self, tick: int) -> bool:
        """Whether the filesystem's clock has moved on from a tick. It is read once in a pass."""
        if self._ticked is None:
            self._ticked = 0
            with suppress(StorageError):  # a full disk: the next pass asks again
                self._ticked = self.files.now()
        return tick < self._ticked
