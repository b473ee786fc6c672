"""The assignment record of a claim: which coding session works on it. For people; the ticket decides."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError, StorageError
from peercoord.membership import liveness
from peercoord.store import ids, paths, records
from peercoord.system import process

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.queue.tasks import Tasks
    from peercoord.store.paths import Incarnation, Ticket
    from peercoord.store.records import Definition
    from peercoord.system.sessions import Caller


class Assignments:
    """The assignment records of one incarnation, and the caller who asks for a task, if one does."""

    def __init__(self, tasks: Tasks, me: Incarnation, home: str) -> None:
        self.tasks = tasks
        self.files = tasks.files
        self.me = me
        self.home = home
        self.caller: Caller | None = None

    def write(self, ticket: Ticket, definition: Definition, **facts: object) -> None:
        """Write the record of a new claim, with these facts."""
        self.files.put(paths.assignment(self.home, ticket), self._record(ticket, definition, **facts))

    def write_awaited(self, ticket: Ticket, definition: Definition) -> None:
        """Record that an answer assigned a task to a waiting caller, unless the caller was told of it by now."""
        self.files.publish(paths.assignment(self.home, ticket), self._record(ticket, definition, awaited=True))

    def _record(self, ticket: Ticket, definition: Definition, **facts: object) -> bytes:
        assignment = {
            "task_id": ids.public(ticket.task),
            "title": definition.title,
            "assigned_to": self.me.peer,
            "status": "in-progress",
            "assigned_at": self.tasks.root.clock.now(),
            "dependencies_satisfied": True,
            "epoch": ticket.epoch,
            "incarnation": str(self.me),
            **self._claimant(),
            **facts,
        }
        return records.encode_stored(assignment)

    def _claimant(self) -> Json:
        """Who claims: a coding session, or the program name of an unknown caller."""
        if self.caller is None:
            return {}
        return {"session": self.caller.session} if self.caller.session else {"caller": self.caller.program}

    def bind(self, ticket: Ticket) -> bool:
        """Record that the calling coding session works on a task, unless another session that still runs does.

        Return whether an answer put the task here for a waiting caller, which is told of it now.
        """
        path = paths.assignment(self.home, ticket)
        record = self._read(ticket)
        if not record:  # an answer that just moved the ticket here may be about to write that nobody was told
            with suppress(BrokenFileError, NotFoundError, StorageError):
                if self.files.publish(path, self._record(ticket, self.tasks.definition(ticket.task))):
                    return False
            record = self._read(ticket)
        awaited = bool(record.pop("awaited", False))
        session = self.caller.session if self.caller else None
        known = next(iter(liveness.known_sessions({"session": record.get("session")})), None)
        if awaited:
            record |= self._claimant()
        elif not record or not session or known == session or (known and process.running(known)):
            return False
        else:
            record = {**{key: value for key, value in record.items() if key != "caller"}, "session": session}
        try:
            self.files.put(path, records.encode_stored(record))
        except StorageError:
            if awaited:
                with suppress(StorageError):
                    self.files.remove(path)  # the caller was told of the task, so it must not be given back
        return awaited

    def is_awaited(self, ticket: Ticket) -> bool:
        """Check whether an answer assigned a task to a waiting caller that has not been told of it yet."""
        return bool(self._read(ticket).get("awaited"))

    def of_unknown_caller(self, ticket: Ticket) -> bool:
        """Check whether an unknown caller made a claim; such a claim does not end with any session."""
        record = self._read(ticket)
        claimed = "caller" in record or isinstance(record.get("session"), dict)  # else a person assigned it
        return claimed and not liveness.known_sessions({"session": record.get("session")})

    def _read(self, ticket: Ticket) -> Json:
        return self.tasks.read_record(paths.assignment(self.home, ticket)) or {}
