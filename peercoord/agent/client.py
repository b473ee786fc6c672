"""A call of ``coordinate.sh`` that no agent answered: served here, given to an agent, or queued.

Inside a sandbox the coordination directory may not be writable, and a process started there may end with the sandbox.
Then a statement stays in the mailbox for the next agent, and a question is refused. No request is carried out twice:
this call and an agent that started meanwhile share the mailbox's lock and its answers.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.agent import control, while_down
from peercoord.agent.host import Worktree
from peercoord.errors import BrokenFileError, DownError, NotFoundError, PeercoordError, StorageError
from peercoord.mailbox import protocol, verbs
from peercoord.mailbox.fifo import ring
from peercoord.mailbox.protocol import Answer, Request
from peercoord.mailbox.server import Outbox, refusal
from peercoord.membership import membership as members
from peercoord.store import down, ids, paths, records
from peercoord.store.refusals import refused
from peercoord.store.settings import RECORD_BYTES
from peercoord.system import clock as clocks
from peercoord.system import process
from peercoord.system.disk import read_named
from peercoord.system.sessions import SANDBOX_MARKS, Caller
from peercoord.worktree import reporting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.foreign import Json
    from peercoord.mailbox.verbs import Verb
    from peercoord.store.paths import Ticket
    from peercoord.worktree.context import Place

WAIT_SECONDS = 30.0
POLL_SECONDS = 0.05
_SILENT = "the agent of this worktree does not answer"
NO_AGENT = "PEERCOORD_NO_AGENT"  # set: no call starts an agent


def call(place: Place, words: list[str], number: str = "") -> Answer:
    """Carry out a request of a caller in this worktree: these words, or those that the mailbox has under its id."""
    stored, age = _stored(place, number), _age(place, number)
    if not words and stored is None:
        return _kept(place, number) or _unknown(number)
    given = verbs.read(words) if words else None
    if given is not None and given.path:
        given = verbs.with_content(given, _held(given.path))
        words = verbs.words(given)
    request = _request(place, words or (stored.words if stored else []), number)
    request.meaning = given
    verb = verbs.of(request)
    mark = down.read(place.shared_files())
    if mark is not None:
        return _while_down(place, request, stored is not None, mark)
    if not os.access(place.coordination, os.W_OK):
        return _outside(place, request)
    host = _Here(place)
    outbox = Outbox(place.files(), host.serve, host.standing, time.monotonic, host.closed, host.late)

    seconds = verb.wait - age
    untold: bytes | None = None

    def ask() -> tuple[Answer, bool]:
        nonlocal untold
        answer = outbox.serve_directly(request)
        alone = os.environ.get(NO_AGENT) or sandboxed(place) or (seconds > 0 and _is_stopped(place))
        if untold is None and not alone and not control.locked(place.worktree, place.checkout):
            control.start_apart(place.project, place.worktree)  # once per call
        answer.tell_first(untold or b"")
        untold = answer.err
        return answer, answer.unready

    try:
        if seconds <= 0:
            return ask()[0]
        from peercoord.worktree import waiting

        return waiting.until_ready(place, seconds, ask)
    except StorageError as error:
        return _queued(place, request, error.message)


def _is_stopped(place: Place) -> bool:
    """Check whether a person stopped the agent: a caller that waited must not start it again at once."""
    me = place.incarnation
    record = members.read_record(place.shared_files(), paths.peer_dir(me)) if me else None
    return bool(record and record.get("stopped_at"))


def _age(place: Place, number: str) -> float:
    """Return for how many seconds a request's caller has waited already."""
    seen = place.files().stat(protocol.request(number)) if ids.is_id(number) else None
    return max(0.0, time.time() - seen.modified_ns / 1e9) if seen else 0.0


def overdue(place: Place, words: list[str], number: str) -> Answer:
    """Return the answer for a request that the agent did not answer in time; ``words`` as for ``call``."""
    kept, stored = _kept(place, number), _stored(place, number)
    if kept is not None or stored is None:
        return kept or _unknown(number, words)
    if stored.verb in protocol.STATEMENTS:
        return _queued(place, stored, _SILENT, "peercoord agent status")
    with suppress(PeercoordError):
        place.files().remove(protocol.request(number))
    return refusal(NotFoundError(_SILENT, "ask again; see: peercoord agent status"), verbs.of(stored).as_json)


def queued_while_down(place: Place, verb: Verb) -> DownError | None:
    """Queue a statement that was not made through the mailbox, because the team is down.

    Returns:
        The error that says so; ``None`` for a question, or if the team is up again.
    """
    mark = down.read(place.shared_files())
    if mark is None or not isinstance(verb, verbs.STATEMENTS):
        return None
    if isinstance(verb, verbs.ReportProgress) and verb.of_file:
        entries = reporting.entries_of(place, verb.path, verb.content)
        verb = verbs.with_content(verb, records.encode({"assigned_tasks": entries}).decode())
    elif verb.path:
        from peercoord.worktree.contributing import text_of

        verb = verbs.with_content(verb, text_of(verb.path))
    return while_down.error(place.shared_files(), _queue(place, verbs.words(verb)), mark)


def _queue(place: Place, words: list[str]) -> Request:
    """Queue a statement in this worktree's mailbox; a ``StorageError`` means that nothing is queued."""
    request = _request(place, words, "")
    return Outbox(place.files(), _unserved, lambda: ("", []), time.monotonic).queue(request)


def _unserved(request: Request) -> Answer:
    raise NotFoundError(f"{request.verb} is queued", code="queued")


def _while_down(place: Place, request: Request, stored: bool, mark: Json) -> Answer:
    """Queue a statement, unless all of it is in the mailbox already; withdraw a question."""
    try:
        if request.verb in protocol.STATEMENTS and not (stored and _flushed(place, request.number)):
            request = _queue(place, request.words)
        elif request.verb in protocol.QUESTIONS and stored:
            place.files().remove(protocol.request(request.number))
    except PeercoordError as error:
        return refusal(error, verbs.of(request).as_json)
    return while_down.answer(place.shared_files(), request, mark)


def sandboxed(place: Place) -> bool:
    """Check whether this process runs in a coding agent's sandbox, with which its child processes may end."""
    if any(os.environ.get(mark) for mark in SANDBOX_MARKS):
        return True
    before = place.files().peek_record("agent.json")
    here = process.here()
    same_boot: bool = before.get("boot_id") == here["boot_id"]
    return same_boot and before.get("pid_ns") != here["pid_ns"]


class _Here(Worktree):
    """This worktree, served by the call's own process."""

    def __init__(self, place: Place) -> None:
        super().__init__(place, lambda _: None, lambda *_: None)

    def _caller(self, request: Request) -> Caller:
        return process.caller_of(os.getpid()) if request.pid == os.getpid() else Caller()


def _request(place: Place, words: list[str], number: str) -> Request:
    files = place.files()
    number = number or f"0-{os.getpid()}-{clocks.token(6)}"
    data = files.peek(protocol.CURRENT) or b""
    incarnation, _, names = data.decode("ascii", "replace").strip().partition(" ")
    tickets: Sequence[Ticket] = protocol.parse_tickets(names)
    if not incarnation:  # what the caller saw is not known: take what is true now
        incarnation, tickets = _Here(place).standing()
    where: Json = {"pid": os.getpid(), "parent": os.getppid(), "cwd": _cwd()}
    return Request(number, words, incarnation=incarnation, tickets=tickets, **where)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # it was removed


def _held(path: str) -> str:
    """Read a file that a caller named, as ``coordinate.sh`` does."""
    try:
        return read_named(path, RECORD_BYTES + 1).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", "name a file that you may read") from None


def _stored(place: Place, number: str) -> Request | None:
    """Read a request from the mailbox; ``None`` if it is not there, or incomplete."""
    try:
        data = place.files().read(protocol.request(number)) if ids.is_id(number) else None
    except (BrokenFileError, StorageError):
        return None
    return protocol.parse_request(data, number) if data is not None else None


def _unknown(number: str, words: Sequence[str] = ()) -> Answer:
    """Return the answer for a request that is neither in the mailbox nor answered."""
    lost = NotFoundError(f"what became of request {number} is not known", "see: coordinate.sh check-status")
    return refusal(lost, "--json" in words)


def _outside(place: Place, request: Request) -> Answer:
    """Give a request to an agent that may run where this process cannot see it."""
    files, stored = place.files(), protocol.request(request.number)
    try:
        if not files.listed(stored):
            files.disk.create(stored, request.encode(), True)
    except OSError as error:
        with suppress(PeercoordError):
            files.remove(stored)  # an incomplete request
        return refusal(refused(error, f"{place.worktree}/{paths.INSTANCE}/{stored}"), verbs.of(request).as_json)
    ring(files.beneath, protocol.WAKE, request.number)

    def over() -> bool:
        answered = files.listed(protocol.answer(request.number)) or not files.listed(stored)
        return answered or not control.locked(place.worktree, place.checkout)

    clocks.wait_until(over, WAIT_SECONDS + verbs.of(request).wait, POLL_SECONDS)
    kept = _kept(place, request.number)
    return kept or _queued(place, request, f"{place.coordination} cannot be written from here, and no agent answers")


def _kept(place: Place, number: str) -> Answer | None:
    record = place.files().record(protocol.answer(number))
    return Answer.read(record) if record and record.keys() >= {"code", "out", "err"} else None


def _queued(place: Place, request: Request, why: str, hint: str = "") -> Answer:
    """Return the answer that a statement stays queued, if it is complete; withdraw a question."""
    import shlex

    start = f"outside the sandbox: peercoord -C {shlex.quote(place.worktree)} agent start"
    if request.verb in protocol.STATEMENTS:
        if _stored(place, request.number) is None or not _flushed(place, request.number):
            lost = StorageError(f"{why}: the request was not kept", "try again later")
            return refusal(lost, verbs.of(request).as_json)
        queued = NotFoundError(f"{why}: the request stays queued and will be served", hint or f"start one {start}")
        return refusal(queued, verbs.of(request).as_json)
    try:
        place.files().remove(protocol.request(request.number))
    except PeercoordError as error:
        why = f"{why} ({error.message})"
    return refusal(NotFoundError(why, f"start one {start}"), verbs.of(request).as_json)


def _flushed(place: Place, number: str) -> bool:
    """Flush a request to the disk; ``False`` if that fails."""
    try:
        files = place.files()
        handle = files.beneath.open(protocol.request(number), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        files.sync(protocol.OUTBOX)
    except (OSError, StorageError):
        return False
    return True
