"""The agent's side of the mailbox: each request is carried out once, and the same request gets the same answer.

See ``mailbox.protocol`` for names and formats. The steps of one request: carry it out, keep the answer, tell the
caller. The request is removed later, and then its answer, so that no caller takes its id for a free one. After a crash
before the answer is kept, the request is carried out again, before any later request; the verbs allow that.

A question (``request-task``, ``check-status``) whose caller has gone is dropped: otherwise a task would be claimed that
no caller knows of. A statement is served whenever it is found, unless it is outdated.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, DownError, LostError, PeercoordError, StorageError, UsageError
from peercoord.foreign import plain
from peercoord.mailbox import protocol, verbs
from peercoord.mailbox.doors import LEAST_READY, READY, Doors, last_count
from peercoord.mailbox.protocol import Answer, Request
from peercoord.store import ids, records
from peercoord.store.refusals import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from peercoord.mailbox.fifo import Wake
    from peercoord.store.beneath import InstanceFiles
    from peercoord.store.paths import Ticket

FULL = ("enospc", "edquot")
KEPT_SECONDS = 60.0  # how long a served request and its answer are kept
LOCK_SECONDS = 10.0
INCOMPLETE_SECONDS = 600.0  # how long an incomplete request is kept


class Outbox:
    """The requests of one worktree.

    Args:
        files: Its ``.claude-instance/``.
        serve: Carries out a request.
        standing: Returns the worktree's incarnation and tickets now.
        now: Monotonic time, seconds.
        closed: Returns the answer while nothing may be served; ``None`` while requests are served. Meanwhile
            statements stay in the outbox, and questions are removed.
        late: Serves a statement about a claim that the worktree gave back since; ``None`` for any other.
    """

    def __init__(
        self,
        files: InstanceFiles,
        serve: Callable[[Request], Answer],
        standing: Callable[[], tuple[str, Sequence[Ticket]]],
        now: Callable[[], float],
        closed: Callable[[Request], Answer | None] = lambda _: None,
        late: Callable[[Request], Answer | None] = lambda _: None,
    ) -> None:
        self.files = files
        self.root = files.place
        self._serve, self._standing, self._now = serve, standing, now
        self._closed, self._late = closed, late
        self._doors = Doors(files)
        self._seen: dict[str, float] = {}  # requests answered or incomplete, and when first seen
        self._told: set[str] = set()  # questions that were answered
        self._served: dict[str, int] = {}  # requests answered by this process, and their time of change
        self._waiting: dict[str, tuple[float, bytes]] = {}
        """Questions whose callers wait for a task: until when, and the messages of the answers not sent so far."""
        self._current = b""

    @property
    def wake(self) -> Wake | None:
        """The FIFO to listen on; ``None`` on a filesystem without FIFOs, where the outbox must be polled."""
        return self._doors.wake

    # -- opening ---------------------------------------------------------------------------------------------

    def open(self) -> Wake | None:
        """Make doors for callers; return the FIFO to listen on."""
        self._folders()
        try:
            self._doors.open()
            self.write_current()
            self._doors.refill(self._waiting)
        except OSError:
            self._doors.wake = None
        return self.wake

    def _folders(self) -> None:
        for folder in (protocol.OUTBOX, protocol.INBOX):
            seen = self.files.stat(folder)
            if seen is None:
                self.files.make_dir(folder)
                seen = self.files.stat(folder)
            if seen is None or not seen.is_dir:
                raise StorageError(f"{self.root}/{folder} is a link or a file, not a folder", "remove it")

    def write_current(self) -> None:
        """Write the incarnation and tickets that requests should name, if they changed."""
        incarnation, tickets = self._standing()
        line = " ".join([incarnation, *map(str, tickets)]).encode() + b"\n"
        if line != self._current:
            self.files.overwrite(protocol.CURRENT, line)  # a request that read half of it is outdated, and repeated
            self._current = line

    def close(self) -> None:
        """Remove the doors; a caller that waits at one reads the end of the file."""
        self._doors.close()
        self._waiting.clear()

    # -- serving ---------------------------------------------------------------------------------------------

    def serve_callers(self) -> None:
        """Serve the callers that wrote their id into the wake FIFO."""
        for number in dict.fromkeys(self.wake.read() if self.wake else ()):
            if ids.is_id(number):
                self.answer(number)

    def disconnect_callers(self) -> None:
        """Close the doors of the callers that wait, so that they try another way; make new doors for others."""
        for number in self._doors.attended_all():
            self._doors.drop(number)
            self._waiting.pop(number, None)
        self._refill(READY)

    @property
    def waiting(self) -> bool:
        """Check whether a caller waits for a task."""
        return bool(self._waiting)

    def serve_waiting(self, worth_asking: Callable[[], bool]) -> float | None:
        """Serve again each caller that waits for a task, if the answer may differ; forget those that have gone.

        Returns:
            Seconds until the first caller has waited long enough; ``None`` if no caller waits.
        """
        worth = bool(self._waiting) and worth_asking()
        for number, (end, _) in [*self._waiting.items()]:
            if not self._doors.attended(number) or not self.files.listed(protocol.request(number)):
                self._waiting.pop(number)
                self.files.remove(protocol.request(number))
                self._doors.drop(number)
            elif worth or self._now() >= end:
                self.answer(number)
        self._refill()
        return min(end for end, _ in self._waiting.values()) - self._now() if self._waiting else None

    def rescan(self) -> list[Request]:
        """Serve every new request in the outbox, and remove old requests and answers; return the requests served."""
        self._folders()
        if self.wake is not None and not self.wake.intact():
            raise StorageError(
                f"{self.root}/{protocol.WAKE} was replaced", "restart the agent: peercoord agent stop, start"
            )
        listed = [n for n in (protocol.parse_name(name) for name in sorted(self.files.scan(protocol.OUTBOX))) if n]
        new = [n for n in listed if n not in self._waiting and self._is_new(n)]
        served = [request for request in map(self.answer, new) if request]
        self._clear(listed)
        self._doors.mend()
        self._doors.refill(self._waiting)
        return served

    def _is_new(self, number: str) -> bool:
        return number not in self._served or self._written(number) != self._served[number]

    def _written(self, number: str) -> int:
        seen = self.files.stat(protocol.request(number))
        return seen.modified_ns if seen else 0

    def answer(self, number: str) -> Request | None:
        """Serve one request, if it is complete and not answered yet, and tell its caller; return it if served."""
        try:
            with self.files.held("outbox.lock", wait=LOCK_SECONDS):
                return self._answer(number)
        except LostError:
            return None  # a direct call is at work: the next rescan serves this request

    def _answer(self, number: str) -> Request | None:
        data = self._read(number) if number not in self._told else None
        if data is None:
            return None
        self._seen.setdefault(number, self._now())
        request = protocol.parse_request(data, number)
        if request is None:
            return None
        kept = self.kept(number, _digest(data))
        if kept is not None:
            self._served[number] = self._written(number)
            self._tell(request, kept)
            return None
        attended = self._doors.attended(number)
        if self.wake is not None and request.verb in protocol.QUESTIONS and not attended:
            self.files.remove(protocol.request(number))
            return None
        reply, closed = self._execute_if_open(request)
        end, untold = self._waiting.get(number) or (self._now() + verbs.of(request).wait, b"")
        reply.tell_first(untold)
        if reply.unready and self._doors.is_open(number) and self._now() < end:
            self._waiting[number] = end, reply.err
            return None
        self._waiting.pop(number, None)
        if closed:
            self._leave_queued(request)
        else:
            self._keep(request, reply, _digest(data))
        try:
            told = self._tell(request, reply)
        except (OSError, RuntimeError):  # perhaps no thread for a long answer
            told = False
        if closed:
            return None
        if not told and reply.withdraw is not None:
            reply.withdraw()
            with suppress(PeercoordError):
                self.write_current()
        return request

    def _execute_if_open(self, request: Request) -> tuple[Answer, bool]:
        """Carry out a request; while the team is down, return the answer that says so, and ``True``."""
        closed = self._closed(request)
        if closed is not None:
            return closed, True
        reply = self._execute(request)
        if reply.code == DownError.exit_code:
            closed = self._closed(request)  # the team was taken down meanwhile
        return (reply, False) if closed is None else (closed, True)

    def _leave_queued(self, request: Request) -> None:
        if request.verb in protocol.QUESTIONS:
            self.files.remove(protocol.request(request.number))

    def _tell(self, request: Request, reply: Answer) -> bool:
        """Send an answer to its caller; ``False`` if the caller has gone."""
        told = self._doors.send(request.number, reply.stream(request.pid))
        self._refill()
        return told

    def _refill(self, least: int = LEAST_READY) -> None:
        """Make more doors before none is free; those of callers that wait are taken."""
        with suppress(OSError):
            self._doors.refill(self._waiting, least)

    def _keep(self, request: Request, reply: Answer, mark: str) -> None:
        """Keep the answer; if that fails, remove the request at once."""
        self._served[request.number] = self._written(request.number)
        if request.verb in protocol.QUESTIONS:
            self._told.add(request.number)
            return
        try:
            self.files.replace(protocol.answer(request.number), records.encode(reply.record(mark)))
        except StorageError:
            self.files.remove(protocol.request(request.number))

    def _execute(self, request: Request) -> Answer:
        incarnation, tickets = self._standing()
        unfit = protocol.outdated(request, verbs.of(request).task.removeprefix("#"), incarnation, tickets)
        late = self._late(request)  # also if the worktree has not joined again yet
        if late is not None:
            return late
        if unfit:
            error = LostError(f"request {request.number} is refused: {unfit}", "ask again, if it still holds")
            return refusal(error, verbs.of(request).as_json)
        reply = self._serve(request)
        with suppress(PeercoordError):
            self.write_current()
        return reply

    def _read(self, number: str) -> bytes | None:
        try:
            return self.files.read(protocol.request(number))
        except BrokenFileError:
            self.files.remove(protocol.request(number))  # a link, a FIFO, or too large: no request
            return None

    def kept(self, number: str, mark: str) -> Answer | None:
        """Return the answer kept for a request with this content."""
        record = self.files.record(protocol.answer(number))
        return Answer.read(record) if record and record.get("request") == mark else None

    def serve_directly(self, request: Request) -> Answer:
        """Serve a request whose caller is this process, since no agent answers.

        Statements that lie in the outbox already are served first.

        Raises:
            StorageError: The filesystem refused; the request may lie in the outbox.
        """
        self._folders()
        if not self.files.listed(protocol.request(request.number)):
            try:
                self.files.replace(protocol.request(request.number), request.encode())
            except StorageError as error:
                if error.code not in FULL:
                    raise  # claims and releases need no space on the disk
        with self.files.held("outbox.lock", busy="another call of this worktree is at work"):
            for name in sorted(self.files.scan(protocol.OUTBOX)):
                self._served_before(protocol.parse_name(name) or "", request.number)
            data = self._read(request.number) or request.encode()
            mark = _digest(data)
            reply, closed = self.kept(request.number, mark), False
            if reply is None:
                reply, closed = self._execute_if_open(request)
            if closed:
                self._leave_queued(request)
                return reply
            self.files.remove(protocol.request(request.number))
            self.files.remove(protocol.answer(request.number))
        return reply

    def _served_before(self, number: str, mine: str) -> None:
        """Serve a statement that lies in the outbox; a question is left to its own caller."""
        data = self._read(number) if number and number != mine else None
        other = protocol.parse_request(data, number) if data is not None else None
        if data is None or other is None or other.verb not in protocol.STATEMENTS:
            return
        if self.kept(number, _digest(data)) is None:
            reply, closed = self._execute_if_open(other)
            if not closed:
                self._keep(other, reply, _digest(data))

    def queue(self, request: Request) -> Request:
        """Put a statement into the outbox, behind all others, for the next agent. Return it with its number."""
        self._folders()
        if any("\0" in word for word in request.words):
            raise UsageError("a request cannot hold a NUL byte: it was not queued", "give plain text")
        while True:
            request.number = f"{last_count(self.files) + 1:08d}-{self.files.token()[:6]}"
            path = protocol.request(request.number)
            try:
                self.files.disk.create(path, request.encode(), True)
                self.files.sync(protocol.OUTBOX)
            except FileExistsError:
                continue
            except OSError as error:
                with suppress(PeercoordError):
                    self.files.remove(path)
                raise refused(error, f"{self.root}/{path}") from None
            return request

    # -- keeping order ---------------------------------------------------------------------------------------

    def _clear(self, listed: Iterable[str]) -> None:
        """Remove old requests and then their answers, so that no served request is found without its answer."""
        now = self._now()
        there = set(listed)
        for number in there - self._waiting.keys():
            age = now - self._seen.setdefault(number, now)
            served = number in self._served or self.files.listed(protocol.answer(number))
            if age > (KEPT_SECONDS if served else INCOMPLETE_SECONDS):
                self.files.remove(protocol.request(number))
        answered = {n for n in (protocol.parse_name(name, ".answer") for name in self.files.scan(protocol.INBOX)) if n}
        for number in answered - there:
            if now - self._seen.setdefault(number, now) > KEPT_SECONDS:
                self.files.remove(protocol.answer(number))
                answered.discard(number)
        self._seen = {number: at for number, at in self._seen.items() if number in there | answered}
        self._served = {number: at for number, at in self._served.items() if number in there}
        self._told &= there


def refusal(error: PeercoordError, as_json: bool = False) -> Answer:
    """Return an error as an answer. Its message may quote the request, which may hold any byte."""
    message, hint = plain(error.message), plain(error.hint)
    if as_json:
        said = {"code": error.code, "message": message, "hint": hint}
        return Answer(error.exit_code, records.encode({"schema_version": 1, "error": said}), b"")
    below = f"hint: {hint}\n" if hint else ""
    return Answer(error.exit_code, b"", f"peercoord: {message}\n{below}".encode())


def _digest(data: bytes) -> str:
    """Return a digest of a request's content."""
    return f"{zlib.crc32(data):08x}{len(data)}"
