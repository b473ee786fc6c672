"""Bringing to an end what crashes left: eviction, the sweep of what a departed peer held, and half-done sequences.

Anyone may run any of this at any moment, also several at once: every step is one rename of one name, and whoever
finds a name gone goes on to the next.

The zombie that shaped the sweep: a network client may follow a peer's directory for seconds after it was moved, and
put a ticket into a ``claims/`` that was just listed as empty. So a sweep ends only with ``rmdir claims/``, the seal,
which the file server refuses as long as anything lies in there.
"""

from __future__ import annotations

from contextlib import suppress

from peercoord.core import ids, names, records, tickets
from peercoord.core.errors import BrokenFileError, StorageError
from peercoord.core.names import Ticket
from peercoord.roles import membership as members
from peercoord.roles import twins
from peercoord.roles.progress import Reports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.names import Incarnation
    from peercoord.core.records import Json
    from peercoord.roles.queue import Queue
    from peercoord.roles.root import Root

SWEEPS_MOST = 64  # listings of one departed peer in one sweep: each finds only what a zombie put there since the last
HAND_OVER = (
    "progress",
    "steps_done",
    "achievements",
    "blockers",
    "completion_estimate",
    "time_spent",
    "worktree",
    "branch",
    "commit",
    "dirty_files",
)
"""What the next holder of a task is told of the last one's work, where it is known."""


class Janitor:
    """Repairs one coordination directory.

    Args:
        queue: Its tasks.
        by: Who repairs, for results and events.
    """

    def __init__(self, queue: Queue, by: str) -> None:
        self.queue = queue
        self.root: Root = queue.root
        self.files = queue.files
        self.by = by

    def evict(self, who: Incarnation, by: Incarnation, because: str) -> bool:
        """Evict a peer, by one rename that revokes all it holds, and sweep what it held.

        Args:
            who: The incarnation to evict.
            by: The incarnation that evicts.
            because: The verdict's reason.

        Returns:
            Whether this call evicted it; ``False`` if it was gone.
        """
        if not self.files.move(names.peer_dir(who), names.departed_dir(who, by), make_home=True):
            return False
        self.root.event(by.peer, "evicted", who=str(who), because=because)
        self.sweep(who, by)
        return True

    def sweep(self, who: Incarnation, by: Incarnation) -> None:
        """Give back what a departed peer held, then seal its directory. Repeatable, by several at once.

        What the filesystem will not let us move now stays, unsealed, for the next sweep; it holds up nothing else.
        """
        self.queue.tried(self._sweep, names.departed_dir(who, by), who, by)

    def _sweep(self, home: str, who: Incarnation, by: Incarnation) -> None:
        tried = self.queue.tried
        for _ in range(SWEEPS_MOST):
            well = tried(self._lay_down, home, who=str(who))
            for name in self.files.scan(names.claims_dir(home)):
                well &= tried(self._give_back, home, name, who, by, who=str(who), claim=ids.shown(name))
            if not well or self.files.remove_dir(names.claims_dir(home)):
                return

    def _lay_down(self, home: str) -> None:
        for name in self.files.scan(home):
            term = names.parse_leader(name)
            if term is not None:
                self.files.move(f"{home}/{name}", names.leader(names.LEADER, term), make_home=True)

    def _give_back(self, home: str, name: str, who: Incarnation, by: Incarnation) -> None:
        path = f"{names.claims_dir(home)}/{name}"
        ticket = names.parse_ticket(name)
        if ticket is None:
            self.files.quarantine(path, "claims hold tickets and nothing else")
        elif not twins.alone(self.queue, path, ticket.task, unseen=True):
            return  # its other name is the later one, and stays
        elif ticket.done:
            self.finish(path, ticket, who)
        else:
            outcome = "released" if who == by else "evicted"
            self.close(path, ticket, who, outcome, f"{who} left" if who == by else f"{who} was evicted by {by}")

    def finish(self, path: str, ticket: Ticket, who: Incarnation) -> None:
        """Carry a ticket marked as done to ``done/``, and place what waited for it. Repeatable.

        Args:
            path: Where the ``~done`` ticket lies.
            ticket: What it says.
            who: Who completed the task.
        """
        if not self.files.listed(names.result(ticket.task, ticket.epoch, "done")):
            self.note(ticket, who, "done", "its result was lost in a crash")
        if self.files.move(path, names.done(ticket.task), make_home=True):
            self.root.event(self.by, "done", task=ticket.task, epoch=ticket.epoch, incarnation=str(who))
        self.queue.place_waiting(ticket.task)
        self.files.ring()

    def close(self, path: str, ticket: Ticket, who: Incarnation, outcome: str, reason: str) -> str:
        """End an attempt that did not complete the task: its result, then the ticket goes back, or aside as poison.

        Args:
            path: Where the ticket lies.
            ticket: What it says.
            who: Who held it.
            outcome: ``failed``, ``evicted`` or ``released``.
            reason: Why, for people.

        Returns:
            Where the ticket lies now; empty if someone else moved it.
        """
        with suppress(StorageError):  # on a full disk the hand-over is lost, the task is not
            self.note(ticket, who, outcome, reason)
        if outcome != "released":
            most = self.root.number("max_attempts")
            if tickets.attempts(ticket.task, self.queue.results(ticket.task)) >= most:
                target = names.parked("failed", ticket)
                if not self.files.move(path, target, make_home=True):
                    return ""
                self.root.event(self.by, "poison", task=ticket.task, attempts=most)
                return target
        placed = self.queue.place(path, ticket)
        if placed:
            self.root.event(self.by, outcome, task=ticket.task, epoch=ticket.epoch, incarnation=str(who), reason=reason)
        return placed

    def note(self, ticket: Ticket, who: Incarnation, outcome: str, reason: str) -> None:
        """Write the result of an attempt on behalf of its holder, with what is known for the next one."""
        record: Json = {
            "schema_version": records.SCHEMA_VERSION,
            "task_id": ids.public(ticket.task),
            "epoch": ticket.epoch,
            "outcome": outcome,
            "peer": who.peer,
            "incarnation": str(who),
            "by": self.by,
            "at": self.root.clock.now(),
            "reason": reason,
            **self.known_work(ticket, who),
        }
        self.files.publish(names.result(ticket.task, ticket.epoch, outcome), records.encode_stored(record))

    def known_work(self, ticket: Ticket, who: Incarnation) -> Json:
        """Give what a holder last published about a task, and where it worked, for its result and the next holder."""
        entry = Reports(self.queue).entry(who.peer, ticket) or {}
        departed = (names.departed_dir(who, by) for one, by in members.departed(self.root) if one == who)
        homes = [names.peer_dir(who), *departed]
        record = next(filter(None, (members.read_record(self.root, home) for home in homes)), {})
        known = {**record, **entry}
        return {key: known[key] for key in HAND_OVER if known.get(key) is not None}

    # -- what crashes left -----------------------------------------------------------------------------------

    def tidy(self) -> None:
        """Finish what is half done: tickets with two names, departed peers, tasks being added, stale placements."""
        twins.part_all(self.queue)
        self.sweep_departed()
        self.settle_new()
        self.place_again()

    def sweep_departed(self) -> None:
        """Sweep and seal the directories of departed peers that are not sealed yet."""
        for name in self.queue.found(names.DEPARTED):
            both = names.parse_departed(name)
            left = self.queue.found(f"{names.DEPARTED}/{name}") if both else []
            if both and ("claims" in left or any(names.parse_leader(entry) is not None for entry in left)):
                self.sweep(*both)

    def settle_new(self) -> None:
        """Finish adding what has a birth record; remove tickets that lost the race for one.

        A ticket without any birth record stays: its adder may only be slow, and whether it is cannot be told.
        """
        for name in self.queue.found(names.NEW):
            new = names.parse_new(name)
            if new is None:
                continue
            path = f"{names.NEW}/{name}"
            try:
                birth = self.queue.birth(new[0])
                if birth is None:
                    continue
                if birth.nonce == new[1]:
                    self.queue.settle(path, birth, self.queue.born_done(birth.task))
                else:
                    self.files.remove(path)
            except (BrokenFileError, StorageError) as error:  # the others go on
                self.root.event(self.by, "unreadable", path=names.birth(new[0]), reason=error.message)

    def place_again(self) -> None:
        """Place again whose reason to lie where it lies is gone: a dependency, a cycle, an older definition."""
        for dependency in filter(ids.is_id, self.queue.found(names.WAITING)):
            self.queue.tried(self._place_waiting, dependency)
        self.queue.place_blocked()
        self.queue.place_edited()

    def _place_waiting(self, dependency: str) -> None:
        if self.queue.standing(dependency) != "open":
            self.queue.place_waiting(dependency)
