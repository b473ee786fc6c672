"""What a peer does with a task that it holds: report, complete, fail, release, park.

Completing has a private commit point, the rename to ``~done`` inside the peer's own directory: after a crash, a later
repair carries the task to ``done/`` and never back to the queue.

The zombie behind this: a peer stopped for an hour and evicted meanwhile goes on exactly where it was. Every path it
knows is gone, so every step fails, and the error says who holds its task now.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import EvictedError, LostError, NotFoundError, StorageError
from peercoord.queue import progress
from peercoord.queue.claims import Claims
from peercoord.queue.recovery import HAND_OVER, WORK
from peercoord.store import paths, records

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.store.paths import Ticket
    from peercoord.store.records import Definition


class Worker(Claims):
    """One incarnation at work."""

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
            holder, where = self._whereabouts(task)
        except NotFoundError as error:
            if self.membership.present():
                raise
            holder, where = "", error.message
        if self.membership.present():
            return LostError(
                f"{self.me.peer} does not hold task {task}: {where}",
                hint="see what is held: coordinate.sh check-status",
            )
        evicted = self.membership.evicted()
        return EvictedError(f"{evicted.message}; {where}", evicted.hint, {task: holder or None})

    def _whereabouts(self, task: str) -> tuple[str, str]:
        """Who holds a task (empty: no peer), and in words where it is."""
        location = self.queue.find(task)
        holder = paths.parse_incarnation(location.detail) if location.state == "claimed" else None
        if holder:
            return holder.peer, f"task {task} is held by {holder.peer} now (epoch {location.epoch})"
        if location.state == "done":
            by = (self.queue.result(task) or (0, "", {}))[2].get("peer")
            return "", f"task {task} is done{f', by {by}' if by else ''}"
        word = paths.PARKED_WORDS.get(location.detail, location.detail)
        detail = f" ({word})" if location.state == "parked" else ""
        return "", f"task {task} is {location.state}{detail} now"

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
        """Return the entry with this report in it, and the time since the claim."""
        return progress.measured(progress.updated(entry, definition, said), self.root.clock.now())

    def _entry(self, ticket: Ticket, definition: Definition) -> Json:
        """The report's entry of a claim."""
        return progress.entry_of(self.report_of([ticket]), ticket) or self.reports.opened(ticket, definition)

    # -- a claim that was released ---------------------------------------------------------------------------

    def has_released(self, ticket: Ticket) -> bool:
        """Check whether this peer, in this or an earlier incarnation, held a claim and released it."""
        return self.queue.released_result(ticket).get("peer") == self.me.peer

    def reclaim(self, ticket: Ticket) -> bool:
        """Claim a task again that this peer released, with what it had reported; ``False`` if it is not free."""
        self.seen_held = None
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
        late = {"status": status, "at": self.root.clock.now()}
        record = {**self._amended(ticket.task, self.queue.read_record(path) or {}, said), "reported_late": late}
        self.files.put(path, records.encode_stored(record), durable=True)
        self.root.event(self.me.peer, "reported-late", task=ticket.task, epoch=ticket.epoch, status=status)
        self.files.ring()
        return record

    # -- completing ------------------------------------------------------------------------------------------

    def complete(self, task: str, said: Json | None = None, facts: Json | None = None) -> Json:
        """Complete a task this peer holds. A repeated call returns the same result, with new facts added.

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
            self._sync_done(task, self.home)  # an earlier call may have been stopped before it did
            return self._complete_again(task, known, said or {}, facts or {})
        entry = self._last_entry(ticket, said, "done") | {"progress": 1.0}
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
        marked = any(ticket.done and ticket.task == task for ticket in self._own_tickets())
        if not self.membership.present() or not (marked or self.queue.is_done(task)):
            return None
        last = self.queue.result(task)
        return last[2] if last and last[1] == "done" and last[2].get("incarnation") == str(self.me) else None

    def _finish_marked(self, task: str) -> Json | None:
        """Finish a task that is marked as done and whose result a crash lost."""
        for ticket in self._own_tickets():
            if ticket.done and ticket.task == task:
                self.janitor.finish(paths.claim(self.home, ticket), ticket, self.me)
                return self._completed_before(task)
        return None

    def _complete_again(self, task: str, known: Json, said: Json, facts: Json) -> Json:
        """Update the result of a completed task: its peer may have gone on, or amended its commit."""
        if not said and not facts:
            return known
        record = {**self._amended(task, known, said), "progress": 1.0, **facts}
        if record != known:
            epoch = (self.queue.result(task) or (0, "", {}))[0]
            self.files.put(paths.result(task, epoch, "done"), records.encode_stored(record), durable=True)
            self.files.ring()
        return record

    def _amended(self, task: str, result: Json, said: Json) -> Json:
        """A result with what its holder says of the work now."""
        new = progress.updated({key: result[key] for key in WORK if key in result}, self._readable(task), said)
        return {**result, **{key: new[key] for key in WORK if key in new}}

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
        """End a failed attempt: queue the task again, or park it after ``max_attempts``. Return the ticket's path."""
        ticket = self.require(task)
        entry = self._last_entry(ticket, said, "failed")
        self._write_result(ticket, "failed", entry, facts, reason=reason)
        return self._close(ticket, entry, "failed", reason)

    def release(self, task: str, reason: str = "released", facts: Json | None = None) -> str:
        """Give a task back, which is no failure. Its next holder is told how far it came. Return the ticket's path."""
        ticket = self.require(task)
        entry = self._last_entry(ticket, None, "released")
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
        ticket = self.require(task)
        entry = self._last_entry(ticket, said, why)
        self._write_result(ticket, "released", entry, facts, reason=reason)
        if not self.queue.park(paths.claim(self.home, ticket), ticket, why, reason):
            raise self._moved(task)
        self._forget(ticket, entry)

    def _last_entry(self, ticket: Ticket, said: Json | None, status: str) -> Json:
        """The report's entry of a claim as it ends; completing a task completes all of its steps."""
        definition = self._readable(ticket.task)
        steps = {"steps": [step.step for step in definition.steps]} if status == "done" else {}
        entry = self._updated(self._entry(ticket, definition), definition, {**(said or {}), **steps})
        return {**entry, "status": status}

    def _write_result(self, ticket: Ticket, outcome: str, entry: Json, facts: Json | None, **more: object) -> Json:
        """Write the result of a claim that is about to end."""
        self.seen_held = None
        own = {"peer": self.me.peer, "incarnation": str(self.me)}
        own |= {"assigned_at": entry["started_at"]} if entry.get("started_at") else {}
        work = {key: entry[key] for key in HAND_OVER if key in entry}
        result = self.queue.result_record(ticket, outcome, self.me.peer, **own) | {**work, **(facts or {}), **more}
        self.files.put(paths.result(ticket.task, ticket.epoch, outcome), records.encode_stored(result), durable=True)
        return result

    def _forget(self, ticket: Ticket, entry: Json) -> None:
        """Close the report's entry and remove the assignment record: both are for people."""
        with suppress(StorageError):
            self.reports.write(self.me, entry)
            self.files.remove(paths.assignment(self.home, ticket))
        self.files.ring()
