"""What a peer does with tasks: claim, report, complete, fail, release.

Promises: a task is in one peer's hands or in none. A claim is one rename from where anyone may take it to a name
that only this peer makes; completing has a private commit point, the rename to ``~done`` inside the peer's own
directory, so that whoever comes after a crash carries the task to ``done/`` and never back to the queue.

The zombie that shaped this: a peer stopped for an hour, evicted meanwhile, goes on exactly where it was. Every path
it knows is gone, so every step fails, and it is told who holds its task now.
"""

from __future__ import annotations

from contextlib import suppress

from peercoord.core import ids, names, records, tickets
from peercoord.core.errors import BrokenFileError, EvictedError, LostError, NotFoundError, StorageError
from peercoord.core.names import Ticket
from peercoord.roles import progress, twins
from peercoord.roles.janitor import HAND_OVER, Janitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.core.names import Incarnation
    from peercoord.core.records import Definition, Json
    from peercoord.core.tickets import Sighting
    from peercoord.roles.membership import Membership
    from peercoord.roles.queue import Queue

DENIED = ("eacces", "eperm")  # by one user's rights, not by the state of the disk
TELLING = ("progress", "steps_done", "achievements", "blockers", "dirty_files")  # in a result: something was done
LOOK_BACK = 8  # results, from the newest, in which something to hand over is looked for
PASSES_MOST = 64  # a listing that shows only what is long gone, as a network filesystem's may, is not believed for ever


class Claim:
    """A task in this peer's hands.

    Attributes:
        ticket: Its id and epoch.
        definition: What it is.
        hand_over: What its last holder left, if anyone held it before: progress, achievements, branch, commit …
        again: It was held already, and is answered again.
    """

    __slots__ = ("again", "definition", "hand_over", "ticket")

    def __init__(self, ticket: Ticket, definition: Definition, hand_over: Json, again: bool = False) -> None:
        self.ticket, self.definition, self.hand_over, self.again = ticket, definition, hand_over, again

    @property
    def task(self) -> str:
        """The task's id."""
        return self.ticket.task


class Worker:
    """One incarnation at work.

    Args:
        queue: The tasks.
        membership: The incarnation's place in the team.
    """

    def __init__(self, queue: Queue, membership: Membership) -> None:
        self.queue = queue
        self.membership = membership
        self.root = queue.root
        self.files = queue.files
        self.me = membership.me
        self.home = membership.home
        self.janitor = Janitor(queue, self.me.peer)
        self.reports = progress.Reports(queue)
        self.session: Json | None = None  # the coding session that claims, where that is known

    # -- claiming --------------------------------------------------------------------------------------------

    def held(self) -> list[Ticket]:
        """List what this peer holds, carrying to the end what a crash left completed but not filed."""
        mine = []
        for ticket in filter(None, map(names.parse_ticket, self.files.scan(names.claims_dir(self.home)))):
            path = names.claim(self.home, ticket)
            if not twins.alone(self.queue, path, ticket.task):
                continue
            if ticket.done:
                with suppress(StorageError):  # it is completed; where it lies matters to nobody but the next look
                    self.janitor.finish(path, ticket, self.me)
            else:
                mine.append(ticket)
        return sorted(mine, key=self._claimed_at, reverse=True)

    def _claimed_at(self, ticket: Ticket) -> tuple[str, int]:
        record = self.queue.read_record(names.assignment(self.home, ticket)) or {}
        return str(record.get("assigned_at", "")), ticket.epoch

    def request(self) -> Claim | None:
        """Claim the next task; asked again, answer with what is held already, newest first.

        Returns:
            The claim; ``None`` if nothing is ready now.

        Raises:
            EvictedError: This incarnation is no longer a peer.
        """
        self.membership.require()
        for ticket in self.held():
            try:
                definition = self.queue.definition(ticket.task)
                if definition.cancelled is None:
                    return Claim(ticket, definition, self.hand_over(ticket), again=True)
            except (BrokenFileError, NotFoundError):
                pass
            except StorageError as error:
                if error.code not in DENIED:
                    raise  # it may be well in a moment
            self.queue.place(names.claim(self.home, ticket), ticket)
        return self._claim_next()

    def _claim_next(self) -> Claim | None:
        for _ in range(PASSES_MOST):
            seen = False
            for path, ticket in self._candidates():
                seen = True
                mine = self._take(path, ticket)
                if mine is None:
                    continue
                claim = self._look(mine)
                if claim:
                    return claim
                break  # it was put elsewhere, not lost to anyone: look again, from the most urgent
            if not seen:
                return None
        return None

    def _candidates(self) -> Iterator[tuple[str, Ticket]]:
        """Go over what anyone may claim: what was taken from this peer before it came back, then by urgency and age."""
        for task, epoch in self.reports.unfinished(self.me.peer):
            path = self.queue.ready_path(Ticket(task, epoch))
            if path and self.files.stat(path) is not None:
                yield path, Ticket(task, epoch)
        for home in self.queue.ready_homes():
            entries = tickets.in_order(self.files.scan(home))
            if not entries and not home.endswith(f"/{names.ready_shard(0)}"):
                with suppress(StorageError):
                    self.files.remove_dir(home)
            for ticket in tickets.attempt_order(entries, self.root.chance()):
                yield f"{home}/{ticket}", ticket

    def _take(self, path: str, ticket: Ticket) -> Ticket | None:
        """Try for one ticket; the rename decides. ``None`` if someone else has it."""
        mine = self.queue.next_claim(ticket)
        if self.files.move(path, names.claim(self.home, mine)):
            return mine
        self.membership.require()
        if self.files.stat(names.claims_dir(self.home)) is None:
            raise StorageError(
                f"{names.claims_dir(self.home)} is not there", hint=f"leave and join again as {self.me.peer}"
            )
        return None

    def _look(self, mine: Ticket) -> Claim | None:
        """Look once more at a task just claimed; put its ticket where it belongs if it cannot be worked on."""
        if not twins.alone(self.queue, names.claim(self.home, mine), mine.task):
            return None
        if self.queue.spot(mine.task) != tickets.READY:
            self.queue.place(names.claim(self.home, mine), mine)
            return None
        definition = self.queue.definition(mine.task)
        with suppress(StorageError):  # on a full disk the record for people is lost, the claim is not
            self.record(mine, definition)
        return Claim(mine, definition, self.hand_over(mine))

    def record(self, ticket: Ticket, definition: Definition) -> None:
        """Write the mission's assignment record and open the report's entry for a claim."""
        assignment = {
            "task_id": ids.public(ticket.task),
            "title": definition.title,
            "assigned_to": self.me.peer,
            "status": "in-progress",
            "assigned_at": self.root.clock.now(),
            "dependencies_satisfied": True,
            "epoch": ticket.epoch,
            "incarnation": str(self.me),
            **({"session": self.session} if self.session else {}),
        }
        self.files.put(names.assignment(self.home, ticket), records.encode_stored(assignment))
        self.reports.begin(self.me, ticket, definition)
        self.root.event(self.me.peer, "claimed", task=ticket.task, epoch=ticket.epoch, incarnation=str(self.me))
        self.files.ring()

    def hand_over(self, ticket: Ticket) -> Json:
        """Give what the last holder of a task left, if it was held before.

        One who held it without a word hides nothing of what the one before had reached.
        """
        results = filter(None, map(names.parse_result, self.queue.results(ticket.task)))
        ended = [(r[1], r[2] == "evicted", r[2]) for r in results if r[0] == ticket.task and 0 < r[1] < ticket.epoch]
        newest: Json = {}
        for epoch, _, outcome in sorted(ended, reverse=True)[:LOOK_BACK]:
            record = self.queue.read_record(names.result(ticket.task, epoch, outcome)) or {}
            kept = {key: record[key] for key in ("peer", "reason", "at", *HAND_OVER) if key in record}
            left = {"epoch": epoch, "outcome": outcome, **kept}
            if any(record.get(key) for key in TELLING):
                return left
            newest = newest or left
        return newest

    # -- reporting -------------------------------------------------------------------------------------------

    def require(self, task: str) -> Ticket:
        """Give this peer's ticket for a task.

        Raises:
            EvictedError: This incarnation is no longer a peer; the message says who holds the task.
            LostError: The task is in other hands, or nobody's.
            NotFoundError: There is no such task.
        """
        if self.membership.present():
            for ticket in self.held():
                if ticket.task == task:
                    return ticket
        raise self._not_mine(task)

    def _not_mine(self, task: str) -> LostError:
        """Say who has a task that this peer has not; an eviction in the middle of a call counts as one before it."""
        try:
            sighting = self.queue.find(task)
        except NotFoundError as error:
            if self.membership.present():
                raise
            holder, where = None, error.message
        else:
            holder = names.parse_incarnation(sighting.detail) if sighting.state == "claimed" else None
            where = self._whereabouts(sighting, holder)
        if self.membership.present():
            return LostError(
                f"{self.me.peer} does not hold task {task}: {where}",
                hint="see what is held: coordinate.sh check-status",
            )
        evicted = self.membership.evicted()
        holders = {task: holder.peer if holder else None}
        return EvictedError(f"{evicted.message}; {where}", evicted.hint, holders)

    def _whereabouts(self, sighting: Sighting, holder: Incarnation | None) -> str:
        task = sighting.task
        if holder:
            return f"task {task} is held by {holder.peer} now (epoch {sighting.epoch})"
        if sighting.state == "done":
            by = (self.queue.result(task) or (0, "", {}))[2].get("peer")
            return f"task {task} is done{f', by {by}' if by else ''}"
        detail = f" ({sighting.detail})" if sighting.state == "parked" else ""
        return f"task {task} is held by nobody now, it is {sighting.state}{detail}"

    def report(self, task: str, said: Json) -> Json:
        """Report progress on a task this peer holds.

        Args:
            task: Which.
            said: See ``progress.updated``.

        Returns:
            The report's entry as it is now.

        Raises:
            LostError: The task is not this peer's, or no longer; EvictedError among them.
            UsageError: A value is not allowed.
        """
        ticket = self.require(task)
        definition = self.queue.definition(task)
        entry = self._entry(ticket, definition)
        new = progress.updated(entry, definition, said)
        self.reports.write(self.me, new)
        if new["progress"] != entry.get("progress"):
            self.root.event(self.me.peer, "progress", task=task, epoch=ticket.epoch, progress=new["progress"])
        self.files.ring()
        return new

    def _entry(self, ticket: Ticket, definition: Definition) -> Json:
        return self.reports.entry(self.me.peer, ticket) or self.reports.opened(ticket, definition)

    # -- ending ----------------------------------------------------------------------------------------------

    def complete(self, task: str, said: Json | None = None, facts: Json | None = None) -> Json:
        """Complete a task this peer holds. Asked again after a crash or a lost answer, it answers the same.

        Args:
            task: Which.
            said: What the peer says of its work, see ``progress.updated``.
            facts: What is known of it: ``branch``, ``commit``, ``worktree``.

        Returns:
            The result.

        Raises:
            LostError: The task is not this peer's, or no longer; EvictedError among them.
            StorageError: The result cannot be written; nothing has changed.
        """
        try:
            ticket = self.require(task)
        except LostError:
            known = self._completed_before(task)
            if known is None:
                raise
            return known
        definition = self._readable(task)
        steps = [step.step for step in definition.steps]
        entry = progress.updated(self._entry(ticket, definition), definition, {**(said or {}), "steps": steps})
        entry |= {"progress": 1.0, "status": "done"}
        result = self._result(ticket, "done", entry, facts)
        self.files.put(names.result(task, ticket.epoch, "done"), records.encode_stored(result), durable=True)
        mark = names.claim(self.home, ticket.completed())
        if not self.files.move(names.claim(self.home, ticket), mark):
            raise self._moved(task)
        with suppress(StorageError):  # it is completed; whoever comes next carries it to its end
            self.janitor.finish(mark, ticket, self.me)
            self.files.sync(names.done_dir(task))
        self._forget(ticket, entry)
        return result

    def _moved(self, task: str) -> LostError:
        """Say who has a task that slipped out of this peer's hands in the middle of a call."""
        try:
            self.require(task)
        except LostError as error:
            return error
        return LostError(f"task {task} moved in the middle of this", hint="ask again")

    def _completed_before(self, task: str) -> Json | None:
        """Give this incarnation's own result if the task is done by it: the answer to a call that is repeated."""
        claims = self.files.scan(names.claims_dir(self.home))
        marked = any(t and t.done and t.task == task for t in map(names.parse_ticket, claims))
        if not self.membership.present() or not (marked or self.queue.is_done(task)):
            return None
        last = self.queue.result(task)
        return last[2] if last and last[1] == "done" and last[2].get("incarnation") == str(self.me) else None

    def fail(self, task: str, reason: str, said: Json | None = None, facts: Json | None = None) -> str:
        """End an attempt that failed; the task goes back to the queue, or aside once ``max_attempts`` is reached.

        Returns:
            Where the ticket lies now.
        """
        ticket, entry = self._last_report(task, said, "failed")
        result = self._result(ticket, "failed", entry, facts) | {"reason": reason}
        self.files.put(names.result(task, ticket.epoch, "failed"), records.encode_stored(result), durable=True)
        return self._close(ticket, entry, "failed", reason)

    def release(self, task: str, reason: str = "released", facts: Json | None = None) -> str:
        """Give a task back; nobody's failure. The next holder is told how far it came.

        Returns:
            Where the ticket lies now.
        """
        ticket, entry = self._last_report(task, None, "released")
        with suppress(StorageError):  # on a full disk the hand-over is lost, the release is not
            result = self._result(ticket, "released", entry, facts) | {"reason": reason}
            self.files.put(names.result(task, ticket.epoch, "released"), records.encode_stored(result))
        return self._close(ticket, entry, "released", reason)

    def _close(self, ticket: Ticket, entry: Json, outcome: str, reason: str) -> str:
        placed = self.janitor.close(names.claim(self.home, ticket), ticket, self.me, outcome, reason)
        if not placed:
            raise self._moved(ticket.task)
        self._forget(ticket, entry)
        return placed

    def park(self, task: str, why: str, reason: str, said: Json | None = None, facts: Json | None = None) -> None:
        """Set a task aside for people: ``blocked`` or ``review``, with the reason and how far it came."""
        ticket, entry = self._last_report(task, said, why)
        result = self._result(ticket, "released", entry, facts) | {"reason": reason}
        self.files.put(names.result(task, ticket.epoch, "released"), records.encode_stored(result), durable=True)
        if not self.queue.park(names.claim(self.home, ticket), ticket, why, reason):
            raise self._moved(task)
        self._forget(ticket, entry)

    def _last_report(self, task: str, said: Json | None, status: str) -> tuple[Ticket, Json]:
        ticket = self.require(task)
        definition = self._readable(task)
        entry = progress.updated(self._entry(ticket, definition), definition, said or {})
        return ticket, {**entry, "status": status}

    def _readable(self, task: str) -> Definition:
        """Read a held task's definition, or give a stand-in: work that was done can be ended whatever became of it."""
        try:
            return self.queue.definition(task)
        except (BrokenFileError, NotFoundError, StorageError):
            return records.define(task, f"task {task}")

    def _result(self, ticket: Ticket, outcome: str, entry: Json, facts: Json | None) -> Json:
        return {
            "schema_version": records.SCHEMA_VERSION,
            "task_id": ids.public(ticket.task),
            "epoch": ticket.epoch,
            "outcome": outcome,
            "peer": self.me.peer,
            "incarnation": str(self.me),
            "by": self.me.peer,
            "at": self.root.clock.now(),
            **({"assigned_at": entry["started_at"]} if entry.get("started_at") else {}),
            **{key: entry[key] for key in HAND_OVER if key in entry},
            **(facts or {}),
        }

    def _forget(self, ticket: Ticket, entry: Json) -> None:
        """Close the report's entry and drop the assignment record: both are for people."""
        with suppress(StorageError):
            self.reports.write(self.me, entry)
            self.files.remove(names.assignment(self.home, ticket))
        self.files.ring()
