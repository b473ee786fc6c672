"""How a peer claims a task, from the request to the claim and the last holder's hand-over.

A task is held by one peer or by none. A claim is one rename, from where any peer may take the ticket to a name that
only this peer makes. Then the claimant looks again: what is not ready any more is placed where it belongs.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError
from peercoord.queue import duplicates, placement, progress
from peercoord.queue.assignments import Assignments
from peercoord.queue.recovery import HAND_OVER, Janitor
from peercoord.store import down, paths, records
from peercoord.store.paths import Ticket
from peercoord.system.schedule import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from peercoord.foreign import Json
    from peercoord.membership.membership import Membership
    from peercoord.queue.queue import Queue
    from peercoord.queue.tasks import Tasks
    from peercoord.store.records import Definition

DENIED = ("eacces", "eperm")  # one user lacks rights; the disk is fine
PASSES_MOST = 64  # a network filesystem may list tickets long after they are gone
_FIRST_BLOCK = f"/{paths.ready_shard(0)}"  # of a level; kept even when empty
_SHOWS_WORK = ("progress", "steps_done", "achievements", "blockers", "dirty_files")
_LOOK_BACK = 8  # newest results to search for work to hand over


class Claim(NamedTuple):
    """A task that this peer holds."""

    ticket: Ticket  # its id and epoch
    definition: Definition  # what it is
    hand_over: Json  # what its last holder left, if there was one: progress, achievements, branch, commit …
    entry: Json  # the entry of its holder's report
    again: bool = False  # it was held already and is returned again

    @property
    def task(self) -> str:
        """The task's id."""
        return self.ticket.task


class Claims:
    """The claims of one incarnation."""

    def __init__(self, queue: Queue, membership: Membership) -> None:
        self.queue = queue
        self.membership = membership
        self.root = queue.root
        self.files = queue.files
        self.me = membership.me
        self.home = membership.home
        self.janitor = Janitor(queue, self.me.peer)
        self.reports = progress.Reports(queue)
        self.assignments = Assignments(queue, self.me, self.home)
        self.seen_held: list[Ticket] | None = None  # what it holds, if that is known without another look

    def request(self) -> Claim | None:
        """Claim the next task; ``None`` if none is ready. If this peer holds some, return the newest of them."""
        down.require_up(self.files)
        self.membership.require()
        for ticket in self.held():
            again = self._held_again(ticket)
            if again:
                return again
            self.queue.place(paths.claim(self.home, ticket), ticket)
        self.seen_held = None
        claim = self._claim_next()
        if claim:
            self.seen_held = [claim.ticket]  # what was held before has been placed elsewhere
        return claim

    def _held_again(self, ticket: Ticket) -> Claim | None:
        """A held task as a claim; ``None`` if it was cancelled, or its definition cannot be read."""
        try:
            definition = self.queue.definition(ticket.task)
            if definition.cancelled is not None:
                return None
            before = hand_over(self.queue, ticket, definition)
        except (BrokenFileError, NotFoundError):
            return None
        except StorageError as error:
            if error.code not in DENIED:
                raise  # it may work again in a moment
            return None
        entry = progress.entry_of(self.report_of([ticket]), ticket) or {}  # an error here leaves the task held
        return Claim(ticket, definition, before, entry, again=True)

    def _claim_next(self) -> Claim | None:
        """Claim the most urgent ticket that is still ready; place one that is not, and start the pass again."""
        report = self.reports.read(self.me.peer)
        for _ in range(PASSES_MOST):
            seen = False
            for path, ticket in self._candidates(report):
                seen = True
                mine = self._take(path, ticket)
                if mine is None:
                    continue
                try:
                    claim = self._check(mine, report)
                except (PeercoordError, *FAULTS):
                    with suppress(PeercoordError):  # no caller is told of this claim
                        self.queue.place(paths.claim(self.home, mine), mine)
                    raise
                if claim:
                    return claim
                break  # the task was not ready, and its ticket was placed elsewhere: start again
            if not seen:
                return None
        return None

    def _candidates(self, report: Json) -> Iterator[tuple[str, Ticket]]:
        """Go over the ready tickets: first what this peer held before it left, then by urgency and age."""
        for task, epoch in progress.unfinished(report):
            path = self.queue.ready_path(Ticket(task, epoch))
            if path and self.files.stat(path) is not None:
                yield path, Ticket(task, epoch)
        for shard in self.queue.ready_shards():
            names = self.files.scan(shard)
            if entries := placement.in_order(names) if names else []:
                for ticket in placement.attempt_order(entries, self.root.chance()):
                    yield f"{shard}/{ticket}", ticket
            elif not shard.endswith(_FIRST_BLOCK):
                with suppress(StorageError):
                    self.files.remove_dir(shard)

    def _take(self, path: str, ticket: Ticket) -> Ticket | None:
        """Try to claim one ticket; the rename decides. ``None`` if another peer has it, or it is not a ticket."""
        mine = self.queue.next_claim(ticket)
        claimed = paths.claim(self.home, mine)
        if self.files.move(path, claimed):
            return mine if duplicates.is_unique(self.queue, claimed, mine.task) else None
        self.membership.require()
        if self.files.stat(paths.claims_dir(self.home)) is None:
            raise StorageError(
                f"{paths.claims_dir(self.home)} is not there", hint=f"leave and join again as {self.me.peer}"
            )
        return None

    def _check(self, mine: Ticket, report: Json | None = None) -> Claim | None:
        """Look again at a task just claimed; place its ticket elsewhere if it is not ready any more."""
        location, definition = self.queue.look_up(mine.task)
        if location.state != "ready" or definition is None:
            self.queue.place(paths.claim(self.home, mine), mine)
            return None
        entry: Json = {}
        with suppress(StorageError):  # on a full disk the record for people is lost, the claim is not
            self.assignments.write(mine, definition)
            entry = self._open_entry(mine, definition, report)
        return Claim(mine, definition, hand_over(self.queue, mine, definition), entry)

    def report_of(self, tickets: Iterable[Ticket], report: Json | None = None) -> Json:
        """This peer's report, with an entry for each of these claims: a reassigner writes none (decision 0066)."""
        report = report or self.reports.read(self.me.peer)
        for ticket in tickets:
            if progress.entry_of(report, ticket) is None:
                with suppress(StorageError):  # the report is for people; the ticket decides
                    self._open_entry(ticket, self._readable(ticket.task), report)
                report = self.reports.read(self.me.peer)
        return report

    def _open_entry(self, ticket: Ticket, definition: Definition, report: Json | None) -> Json:
        """Open a claim's entry in the report, and log the claim."""
        entry = self.reports.opened(ticket, definition)
        self.reports.write(self.me, entry, report)
        self.root.event(self.me.peer, "claimed", task=ticket.task, epoch=ticket.epoch, incarnation=str(self.me))
        self.files.ring()
        return entry

    # -- what is held ----------------------------------------------------------------------------------------

    def held(self) -> list[Ticket]:
        """List this peer's tickets, newest claim first. What a crash left completed is filed as done."""
        mine = []
        for ticket in self._own_tickets():
            path = paths.claim(self.home, ticket)
            if not duplicates.is_unique(self.queue, path, ticket.task):
                continue
            if ticket.done:
                with suppress(StorageError):  # it is completed; a later repair files it
                    self.janitor.finish(path, ticket, self.me)
            else:
                mine.append(ticket)
        self.seen_held = sorted(mine, key=self._claimed_at, reverse=True) if len(mine) > 1 else mine
        return self.seen_held

    def _own_tickets(self) -> list[Ticket]:
        names = self.files.scan(paths.claims_dir(self.home))
        return [ticket for ticket in map(paths.parse_ticket, names) if ticket]

    def _claimed_at(self, ticket: Ticket) -> tuple[int, int]:
        """When the ticket was claimed, by the filesystem's clock: its record may be lost."""
        seen = self.files.stat(paths.claim(self.home, ticket))
        return seen.changed_ns if seen else 0, ticket.epoch

    def _readable(self, task: str) -> Definition:
        """A held task's definition, or a stand-in if it cannot be read: the work can still be ended."""
        try:
            return self.queue.definition(task)
        except (BrokenFileError, NotFoundError, StorageError):
            return records.define(task, f"task {task}")


def hand_over(tasks: Tasks, ticket: Ticket, definition: Definition) -> Json:
    """What the last holder that reported work left behind (else the last holder), and people's answers."""
    known = tasks.outcomes(ticket.task) if ticket.epoch > 1 else []  # else no peer held it before
    ended = [(epoch, outcome == "evicted", outcome) for epoch, outcome in known if 0 < epoch < ticket.epoch]
    newest: Json = {}
    for epoch, _, outcome in sorted(ended, reverse=True)[:_LOOK_BACK]:
        record = tasks.read_record(paths.result(ticket.task, epoch, outcome)) or {}
        kept = {key: record[key] for key in ("peer", "reason", "at", *HAND_OVER) if key in record}
        left = {"epoch": epoch, "outcome": outcome, **kept}
        if any(record.get(key) for key in _SHOWS_WORK):
            newest = left
            break
        newest = newest or left
    answers = records.answers(definition.raw.get("answers"))
    return {**newest, "answers": answers} if answers else newest
