"""The agent's side of the sandbox door: requests are served once, answered the same however often they are asked.

See ``core.door`` for names and formats. Sequence of one request: executed → caller told → answer kept; the request
itself goes later, and then its answer, so that no caller takes its id for a free one. A crash before the answer is
kept executes it again, before anything that came after it: the verbs say the same twice. Then the kept answer stands.

A question (``request-task``, ``check-status``) whose caller is gone is dropped: a task claimed for nobody would lie in
hands that do not know of it. A statement is served whenever it is found, unless the world has moved on since.
"""

from __future__ import annotations

import zlib
from contextlib import suppress

from peercoord.core import door, ids, records
from peercoord.core.door import Answer, Request
from peercoord.core.errors import BrokenFileError, LostError, PeercoordError, StorageError
from peercoord.fs.fifo import Door, Wake
from peercoord.fs.files import refused
from peercoord.fs.mutex import held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from peercoord.core.names import Ticket
    from peercoord.fs.files import Files

LEAST_DOORS = 3  # with fewer left, more are made
DOORS = 8  # FIFOs kept ready: so many callers can be at the door at once before one has to wait
KEPT_SECONDS = 60.0  # a served request and its answer stay so long
LOCK_SECONDS = 10.0
INCOMPLETE_SECONDS = 600.0  # a request that stays incomplete so long was never finished


class Outbox:
    """The requests of one worktree.

    Args:
        files: Its ``.claude-instance/``.
        serve: Executes a request.
        standing: Gives the incarnation and tickets that this worktree has now.
        now: Monotonic time, seconds.
    """

    def __init__(
        self,
        files: Files,
        serve: Callable[[Request], Answer],
        standing: Callable[[], tuple[str, Sequence[Ticket]]],
        now: Callable[[], float],
    ) -> None:
        self.files = files
        self.root = str(getattr(files.disk, "root", ""))
        self._serve, self._standing, self._now = serve, standing, now
        self._doors: dict[str, Door] = {}
        self._seen: dict[str, float] = {}  # requests answered or incomplete, and since when this process knows
        self._told: set[str] = set()  # questions answered: to ask again is to get the answer of that moment
        self._served: dict[str, int] = {}  # requests answered by this process, and when each had been written
        self._last = 0
        self._current = b""
        self.wake: Wake | None = None

    # -- opening ---------------------------------------------------------------------------------------------

    def open(self) -> Wake | None:
        """Make the door ready for callers.

        Returns:
            What to listen on; ``None`` if this filesystem has no FIFOs, and the outbox must be looked at often.
        """
        self._folders()
        for name in self.files.scan(door.INBOX):
            if name.endswith((".door", ".new")):
                self.files.remove(f"{door.INBOX}/{name}")  # of an agent that died: there is only one at a time
        self._last = max(map(_count, ["", *self.files.scan(door.OUTBOX), *self.files.scan(door.INBOX)]))
        try:
            self.wake = Wake(f"{self.root}/{door.WAKE}")
            self.refresh()
            self._ready()
        except OSError:
            self.wake = None
        return self.wake

    def _folders(self) -> None:
        for folder in (door.OUTBOX, door.INBOX):
            self.files.make_dir(folder)
            seen = self.files.stat(folder)
            if seen is None or not seen.is_dir:
                raise StorageError(f"{self.root}/{folder} is a link or a file, not a folder", "remove it")

    def _ready(self) -> None:
        while len(self._doors) < DOORS:
            self._last += 1
            number = f"{self._last:08d}-{self.files.token()[:6]}"
            self._doors[number] = Door(f"{self.root}/{door.fifo(number)}")

    def refresh(self) -> None:
        """Write down the incarnation and tickets that requests should name, if they changed."""
        incarnation, tickets = self._standing()
        line = " ".join([incarnation, *map(str, tickets)]).encode() + b"\n"
        if line != self._current:
            self._write(door.CURRENT, line)
            self._current = line

    def close(self) -> None:
        """Take the doors away; who waits at one reads the end."""
        for one in self._doors.values():
            one.close()
        self._doors.clear()
        if self.wake is not None:
            self.wake.close()
            self.files.remove(door.WAKE)
            self.wake = None

    # -- serving ---------------------------------------------------------------------------------------------

    def heard(self) -> None:
        """Serve the callers who rang."""
        for number in dict.fromkeys(self.wake.read() if self.wake else ()):
            if ids.is_id(number):
                self.answer(number)

    def hang_up(self) -> None:
        """Let the callers who wait read the end, so that they try another way; the door stays open for others."""
        for number in [number for number, one in self._doors.items() if one.attended()]:
            self._doors.pop(number).close()
        with suppress(OSError):
            self._ready()

    def rescan(self) -> list[Request]:
        """Serve whatever lies in the outbox, rung for or not, and clear away what has served its time.

        Returns:
            The requests served now.
        """
        self._folders()
        if self.wake is not None and not self.wake.intact():
            raise StorageError(
                f"{self.root}/{door.WAKE} was replaced", "restart the agent: peercoord agent stop, start"
            )
        listed = [n for n in (door.parse_name(name) for name in sorted(self.files.scan(door.OUTBOX))) if n]
        served = [request for request in map(self.answer, [n for n in listed if self._is_new(n)]) if request]
        self._clear(listed)
        self._mend()
        return served

    def _is_new(self, number: str) -> bool:
        return number not in self._served or self._written(number) != self._served[number]

    def _written(self, number: str) -> int:
        seen = self.files.stat(door.request(number))
        return seen.modified_ns if seen else 0

    def _mend(self) -> None:
        """Make doors anew whose FIFO was taken away, and take away what only looks like one."""
        there = {n for n in (door.parse_name(name, ".door") for name in self.files.scan(door.INBOX)) if n}
        for number in [n for n, one in self._doors.items() if n not in there and not one.attended()]:
            self._doors.pop(number).close()
        for number in there - self._doors.keys():
            self.files.remove(door.fifo(number))  # a caller that came when the door had just gone made a plain file
        if self.wake is not None:
            self._ready()

    def answer(self, number: str) -> Request | None:
        """Serve one request, if it is there, complete and not answered yet, and tell its caller.

        Returns:
            The request, if it was served now.
        """
        try:
            with held(f"{self.root}/outbox.lock", wait=LOCK_SECONDS):
                return self._answer(number)
        except LostError:
            return None  # a direct call takes long over another one: the next look serves this

    def _answer(self, number: str) -> Request | None:
        data = self._read(number) if number not in self._told else None
        if data is None:
            return None
        self._seen.setdefault(number, self._now())
        request = door.parse_request(data, number)
        if request is None:
            return None
        kept = self.kept(number, _mark(data))
        if kept is not None:
            self._served[number] = self._written(number)
            self._tell(request, kept)
            return None
        mine = self._doors.get(number)
        if self.wake is not None and request.verb in door.QUESTIONS and (mine is None or not mine.attended()):
            self.files.remove(door.request(number))
            return None
        reply = self._execute(request)
        self._tell(request, reply)
        self._keep(request, reply, _mark(data))
        return request

    def _tell(self, request: Request, reply: Answer) -> None:
        mine = self._doors.pop(request.number, None)
        if mine is not None:
            mine.send(reply.stream(request.pid))
            mine.close()
            if len(self._doors) < LEAST_DOORS:
                with suppress(OSError):
                    self._ready()

    def _keep(self, request: Request, reply: Answer, mark: str) -> None:
        """Keep the answer; where that is impossible the request goes at once instead."""
        self._served[request.number] = self._written(request.number)
        if request.verb in door.QUESTIONS:
            self._told.add(request.number)
            return
        try:
            self._write(door.answer(request.number), records.encode(reply.record(mark)))
        except StorageError:
            self.files.remove(door.request(request.number))

    def _execute(self, request: Request) -> Answer:
        incarnation, tickets = self._standing()
        unfit = door.outdated(request, incarnation, tickets)
        if unfit:
            error = LostError(f"request {request.number} is refused: {unfit}", "ask again, if it still holds")
            return refusal(error, request.words)
        reply = self._serve(request)
        with suppress(PeercoordError):
            self.refresh()
        return reply

    def _read(self, number: str) -> bytes | None:
        try:
            return self.files.read(door.request(number))
        except BrokenFileError:
            self.files.remove(door.request(number))  # a link, a FIFO, or larger than any request: nobody's words
            return None

    def kept(self, number: str, mark: str) -> Answer | None:
        """Read the answer given before to the request of this content."""
        try:
            data = self.files.read(door.answer(number))
            record = records.decode(data, door.answer(number)) if data is not None else {}
        except BrokenFileError:
            return None
        return Answer.read(record) if record.get("request") == mark else None

    def direct(self, request: Request) -> Answer:
        """Serve a request on behalf of a caller that is this very process: no agent answers.

        What lies in the outbox from before is served first. Raises what the filesystem says if it will not let us;
        the request then lies in the outbox.
        """
        self._folders()
        if not self.files.listed(door.request(request.number)):
            self._write(door.request(request.number), request.encode())
        with held(f"{self.root}/outbox.lock", busy="another call of this worktree is at work"):
            for name in sorted(self.files.scan(door.OUTBOX)):
                self._served_before(door.parse_name(name) or "", request.number)
            data = self._read(request.number) or request.encode()
            mark = _mark(data)
            reply = self.kept(request.number, mark) or self._execute(request)
            self.files.remove(door.request(request.number))
            self.files.remove(door.answer(request.number))
        return reply

    def _served_before(self, number: str, mine: str) -> None:
        """Serve a statement that lies in the outbox; a question is its own caller's affair."""
        data = self._read(number) if number and number != mine else None
        other = door.parse_request(data, number) if data is not None else None
        if data is None or other is None or other.verb not in door.STATEMENTS:
            return
        if self.kept(number, _mark(data)) is None:
            self._keep(other, self._execute(other), _mark(data))

    # -- keeping order ---------------------------------------------------------------------------------------

    def _clear(self, listed: Iterable[str]) -> None:
        """Remove what was answered a while ago: the request first, so that it is never found without its answer."""
        now = self._now()
        there = set(listed)
        for number in there:
            age = now - self._seen.setdefault(number, now)
            served = number in self._served or self.files.listed(door.answer(number))
            if age > (KEPT_SECONDS if served else INCOMPLETE_SECONDS):
                self.files.remove(door.request(number))
        answered = {n for n in (door.parse_name(name, ".answer") for name in self.files.scan(door.INBOX)) if n}
        for number in answered - there:
            if now - self._seen.setdefault(number, now) > KEPT_SECONDS:
                self.files.remove(door.answer(number))
                answered.discard(number)
        self._seen = {number: at for number, at in self._seen.items() if number in there | answered}
        self._served = {number: at for number, at in self._served.items() if number in there}
        self._told &= there

    def _write(self, path: str, data: bytes) -> None:
        """Replace a file whole, staged beside it."""
        staged = f"{path}.{self.files.token()}"
        try:
            self.files.disk.create(staged, data, False)
        except OSError as error:
            self.files.remove(staged)
            raise refused(error, f"{self.root}/{path}") from None
        self.files.move(staged, path)


def refusal(error: PeercoordError, words: Sequence[str] = ()) -> Answer:
    """Make the answer that tells an error: to a program, if the request's words ask for JSON."""
    if "--json" in words:
        said = {"code": error.code, "message": error.message, "hint": error.hint}
        return Answer(error.exit_code, records.encode({"schema_version": 1, "error": said}), b"")
    hint = f"hint: {error.hint}\n" if error.hint else ""
    return Answer(error.exit_code, b"", f"peercoord: {error.message}\n{hint}".encode())


def _mark(data: bytes) -> str:
    """Tell requests of the same id apart by what they hold."""
    return f"{zlib.crc32(data):08x}{len(data)}"


def _count(name: str) -> int:
    digits = name.partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 12 else 0
