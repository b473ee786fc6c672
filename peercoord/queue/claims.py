"""What a peer does with tasks: claim, report, complete, fail, release, park.

A task is held by one peer or by none. A claim is one rename, from where any peer may take the ticket to a name that
only this peer makes. Completing has a private commit point, the rename to ``~done`` inside the peer's own directory:
after a crash, a later repair carries the task to ``done/`` and never back to the queue.

The zombie behind this: a peer stopped for an hour and evicted meanwhile goes on exactly where it was. Every path it
knows is gone, so every step fails, and the error says who holds its task now.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from peercoord.errors import BrokenFileError, EvictedError, LostError, NotFoundError, PeercoordError, StorageError
from peercoord.queue import duplicates, placement, progress
from peercoord.queue.assignments import Assignments
from peercoord.queue.recovery import Janitor
from peercoord.queue.results import HAND_OVER, WORK, hand_over, result_record
from peercoord.store import down, paths, records
from peercoord.store.paths import Ticket
from peercoord.store.records import Definition
from peercoord.system.schedule import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from peercoord.foreign import Json
    from peercoord.membership.membership import Membership
    from peercoord.queue.placement import Location
    from peercoord.queue.queue import Queue
    from peercoord.store.paths import Incarnation

DENIED = ("eacces", "eperm")  # the rights of one user, not the state of the disk
_FIRST_BLOCK = f"/{paths.ready_shard(0)}"  # of a level: it stays when it is empty
PASSES_MOST = 64  # a network filesystem may go on listing tickets that are long gone


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


class Worker:
    """One incarnation at work."""

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

    # -- claiming --------------------------------------------------------------------------------------------

    def held(self) -> list[Ticket]:
        """List this peer's tickets, newest claim first. What a crash left completed is filed as done."""
        mine = []
        for ticket in self._claims():
            path = paths.claim(self.home, ticket)
            if not duplicates.is_unique(self.queue, path, ticket.task):
                continue
            if ticket.done:
                with suppress(StorageError):  # it is completed; a later repair files it
                    self.janitor.finish(path, ticket, self.me)
            else:
                mine.append(ticket)
        return sorted(mine, key=self._claimed_at, reverse=True) if len(mine) > 1 else mine

    def _claims(self) -> list[Ticket]:
        names = self.files.scan(paths.claims_dir(self.home))
        return [ticket for ticket in map(paths.parse_ticket, names) if ticket]

    def _claimed_at(self, ticket: Ticket) -> tuple[int, int]:
        """When the ticket was claimed, by the filesystem's clock: its record may be lost."""
        seen = self.files.stat(paths.claim(self.home, ticket))
        return seen.changed_ns if seen else 0, ticket.epoch

    def request(self) -> Claim | None:
        """Claim the next task; ``None`` if none is ready. If this peer holds some, return the newest of them."""
        down.require_up(self.files)
        self.membership.require()
        for ticket in self.held():
            before: Json | None = None
            try:
                definition = self.queue.definition(ticket.task)
                if definition.cancelled is None:
                    before = hand_over(self.queue, ticket, definition)
            except (BrokenFileError, NotFoundError):
                pass
            except StorageError as error:
                if error.code not in DENIED:
                    raise  # it may work again in a moment
            if before is not None:  # the task is kept, though its holder's report may be refused
                entry = progress.entry_of(self.report_of([ticket]), ticket) or {}
                return Claim(ticket, definition, before, entry, again=True)
            self.queue.place(paths.claim(self.home, ticket), ticket)
        return self._claim_next()

    def _claim_next(self) -> Claim | None:
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
                break  # it was placed elsewhere, not lost to another peer: start again from the most urgent
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

    def report_of(self, tickets: Iterable[Ticket]) -> Json:
        """This peer's report, with an entry for each of these claims: a reassigner writes none (decision 0066)."""
        report = self.reports.read(self.me.peer)
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

    # -- reporting -------------------------------------------------------------------------------------------

    def require(self, task: str) -> Ticket:
        """Return this peer's ticket for a task; an error says who holds it, or that this incarnation is no peer."""
        if self.membership.present():
            for ticket in self.held():
                if ticket.task == task:
                    return ticket
        raise self._not_mine(task)

    def _not_mine(self, task: str) -> LostError:
        """The error for a task that this peer does not hold. An eviction during the call counts as one before it."""
        try:
            location = self.queue.find(task)
        except NotFoundError as error:
            if self.membership.present():
                raise
            holder, where = None, error.message
        else:
            holder = paths.parse_incarnation(location.detail) if location.state == "claimed" else None
            where = self._whereabouts(location, holder)
        if self.membership.present():
            return LostError(
                f"{self.me.peer} does not hold task {task}: {where}",
                hint="see what is held: coordinate.sh check-status",
            )
        evicted = self.membership.evicted()
        holders = {task: holder.peer if holder else None}
        return EvictedError(f"{evicted.message}; {where}", evicted.hint, holders)

    def _whereabouts(self, location: Location, holder: Incarnation | None) -> str:
        task = location.task
        if holder:
            return f"task {task} is held by {holder.peer} now (epoch {location.epoch})"
        if location.state == "done":
            by = (self.queue.result(task) or (0, "", {}))[2].get("peer")
            return f"task {task} is done{f', by {by}' if by else ''}"
        word = paths.PARKED_WORDS.get(location.detail, location.detail)
        detail = f" ({word})" if location.state == "parked" else ""
        return f"task {task} is {location.state}{detail} now"

    def report(self, task: str, said: Json) -> Json:
        """Report progress on a task this peer holds, as ``progress.updated`` takes it; return the report's entry."""
        ticket = self.require(task)
        definition = self.queue.definition(task)
        report = self.report_of([ticket])
        entry = progress.entry_of(report, ticket) or self.reports.opened(ticket, definition)
        new = self._updated(entry, definition, said)
        self.reports.write(self.me, new, report)
        self.assignments.bind(ticket)
        if new["progress"] != entry.get("progress"):
            self.root.event(self.me.peer, "progress", task=task, epoch=ticket.epoch, progress=new["progress"])
        self.files.ring()
        return new

    def _updated(self, entry: Json, definition: Definition, said: Json) -> Json:
        return progress.measured(progress.updated(entry, definition, said), self.root.clock.now())

    def _entry(self, ticket: Ticket, definition: Definition) -> Json:
        return progress.entry_of(self.report_of([ticket]), ticket) or self.reports.opened(ticket, definition)

    # -- a claim that was released ---------------------------------------------------------------------------

    def has_released(self, ticket: Ticket) -> bool:
        """Check whether this peer, in this or an earlier incarnation, held a claim and released it."""
        return self.queue.released_result(ticket).get("peer") == self.me.peer

    def reclaim(self, ticket: Ticket) -> bool:
        """Claim a task again that this peer released, with what it had reported; ``False`` if it is not free."""
        path = self.queue.ready_path(ticket)
        mine = self._take(path, ticket) if path and self.files.stat(path) is not None else None
        claim = self._check(mine) if mine else None
        if claim is None:
            return False
        left = self.queue.read_record(paths.result(ticket.task, ticket.epoch, "released")) or {}
        entry = self._entry(claim.ticket, claim.definition)
        self.reports.write(self.me, {**entry, **{key: left[key] for key in WORK if key in left}})
        return True

    def report_late(self, ticket: Ticket, said: Json, status: str) -> Json:
        """Add a late report of a released claim, with its status, to its result, for the task's next holder."""
        path = paths.result(ticket.task, ticket.epoch, "released")
        record = self.queue.read_record(path) or {}
        entry = {key: record[key] for key in WORK if key in record}
        new = progress.updated(entry, self._readable(ticket.task), said)
        late = {"status": status, "at": self.root.clock.now()}
        record |= {**{key: new[key] for key in WORK if key in new}, "reported_late": late}
        self.files.put(path, records.encode_stored(record), durable=True)
        self.root.event(self.me.peer, "reported-late", task=ticket.task, epoch=ticket.epoch, status=status)
        self.files.ring()
        return record

    # -- completing ------------------------------------------------------------------------------------------

    def complete(self, task: str, said: Json | None = None, facts: Json | None = None) -> Json:
        """Complete a task this peer holds. A repeated call returns the same result, with what is new added to it.

        Raises:
            LostError: This peer does not hold the task, or no longer; EvictedError among them.
            StorageError: The result cannot be written; nothing has changed.
        """
        try:
            ticket = self.require(task)
        except LostError:
            known = self._completed_before(task) or self._finish_marked(task)
            if known is None:
                raise
            self._sync_done(task, self.home)  # the call before this one may have been stopped before it did
            return self._complete_again(task, known, said or {}, facts or {})
        definition = self._readable(task)
        steps = [step.step for step in definition.steps]
        entry = self._updated(self._entry(ticket, definition), definition, {**(said or {}), "steps": steps})
        entry |= {"progress": 1.0, "status": "done"}
        result = self._write_result(ticket, "done", entry, facts)
        mark = paths.claim(self.home, ticket.completed())
        if not self.files.move(paths.claim(self.home, ticket), mark):
            raise self._moved(task)
        with suppress(StorageError):  # it is completed; a later repair finishes this
            self.janitor.finish(mark, ticket, self.me)
        self._sync_done(task, mark)
        self._forget(ticket, entry)
        return result

    def _completed_before(self, task: str) -> Json | None:
        """This incarnation's own result if it completed the task: the answer to a repeated call."""
        marked = any(ticket.done and ticket.task == task for ticket in self._claims())
        if not self.membership.present() or not (marked or self.queue.is_done(task)):
            return None
        last = self.queue.result(task)
        return last[2] if last and last[1] == "done" and last[2].get("incarnation") == str(self.me) else None

    def _finish_marked(self, task: str) -> Json | None:
        """Finish a task that is marked as done and whose result a crash lost."""
        for ticket in self._claims():
            if ticket.done and ticket.task == task:
                self.janitor.finish(paths.claim(self.home, ticket), ticket, self.me)
                return self._completed_before(task)
        return None

    def _complete_again(self, task: str, known: Json, said: Json, facts: Json) -> Json:
        """Update the result of a completed task: its peer may have gone on, or amended its commit."""
        if not said and not facts:
            return known
        entry = {key: known[key] for key in WORK if key in known}
        new = progress.updated(entry, self._readable(task), said) | {"progress": 1.0}
        record = {**known, **{key: new[key] for key in WORK if key in new}, **facts}
        if record != known:
            epoch = (self.queue.result(task) or (0, "", {}))[0]
            self.files.put(paths.result(task, epoch, "done"), records.encode_stored(record), durable=True)
            self.files.ring()
        return record

    def _sync_done(self, task: str, mark: str) -> None:
        """Make a completion survive a power cut, wherever its ticket lies."""
        self.files.sync_move(mark, paths.done(task) if self.queue.is_done(task) else mark)

    def _moved(self, task: str) -> LostError:
        """The error for a task that another peer took in the middle of a call."""
        try:
            self.require(task)
        except LostError as error:
            return error
        return LostError(f"task {task} moved in the middle of this", hint="ask again")

    # -- ending without completing ---------------------------------------------------------------------------

    def fail(self, task: str, reason: str, said: Json | None = None, facts: Json | None = None) -> str:
        """End an attempt that failed: the task is queued again, or parked after ``max_attempts``. Return where."""
        ticket, entry = self._last_report(task, said, "failed")
        self._write_result(ticket, "failed", entry, facts, reason=reason)
        return self._close(ticket, entry, "failed", reason)

    def release(self, task: str, reason: str = "released", facts: Json | None = None) -> str:
        """Give a task back, which is not a failure; the next holder is told how far it came. Return where it lies."""
        ticket, entry = self._last_report(task, None, "released")
        with suppress(StorageError):  # on a full disk the hand-over is lost, the release is not
            self._write_result(ticket, "released", entry, facts, reason=reason)
        return self._close(ticket, entry, "released", reason)

    def _close(self, ticket: Ticket, entry: Json, outcome: str, reason: str) -> str:
        placed = self.janitor.close(paths.claim(self.home, ticket), ticket, self.me, outcome, reason)
        if not placed:
            raise self._moved(ticket.task)
        self.files.sync_move(paths.claim(self.home, ticket), placed)
        self._forget(ticket, entry)
        return placed

    def park(self, task: str, why: str, reason: str, said: Json | None = None, facts: Json | None = None) -> None:
        """Set a task aside for people: ``blocked`` or ``review``, with the reason and how far it came."""
        ticket, entry = self._last_report(task, said, why)
        self._write_result(ticket, "released", entry, facts, reason=reason)
        if not self.queue.park(paths.claim(self.home, ticket), ticket, why, reason):
            raise self._moved(task)
        self._forget(ticket, entry)

    def _last_report(self, task: str, said: Json | None, status: str) -> tuple[Ticket, Json]:
        ticket = self.require(task)
        definition = self._readable(task)
        entry = self._updated(self._entry(ticket, definition), definition, said or {})
        return ticket, {**entry, "status": status}

    def _readable(self, task: str) -> Definition:
        """A held task's definition, or a stand-in: work can be ended although the file is lost or broken."""
        try:
            return self.queue.definition(task)
        except (BrokenFileError, NotFoundError, StorageError):
            return records.define(task, f"task {task}")

    def _write_result(self, ticket: Ticket, outcome: str, entry: Json, facts: Json | None, **more: object) -> Json:
        assigned: Json = {"assigned_at": entry["started_at"]} if entry.get("started_at") else {}
        work = {key: entry[key] for key in HAND_OVER if key in entry}
        result = result_record(self.queue, ticket, self.me, outcome, self.me.peer, **assigned, **work)
        result |= {**(facts or {}), **more}
        self.files.put(paths.result(ticket.task, ticket.epoch, outcome), records.encode_stored(result), durable=True)
        return result

    def _forget(self, ticket: Ticket, entry: Json) -> None:
        """Close the report's entry and remove the assignment record: both are for people."""
        with suppress(StorageError):
            self.reports.write(self.me, entry)
            self.files.remove(paths.assignment(self.home, ticket))
        self.files.ring()
