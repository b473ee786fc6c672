"""A call of ``coordinate.sh`` that no agent answered at its door: served here, put to an agent by hand, or queued.

From inside a sandbox the coordination directory may not be writable, and processes started there may die with it: then
a statement stays in the outbox for the agent to come, and a question is told that nobody answers. Nobody's work is
done twice: an agent that came up meanwhile and this call share the outbox's lock and its answers.
"""

from __future__ import annotations

import os
import time

from peercoord.core import door, names, records
from peercoord.core.door import Answer, Request
from peercoord.core.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError
from peercoord.core.sessions import SANDBOX_MARKS
from peercoord.edges import agentctl
from peercoord.edges.host import Worktree
from peercoord.fs import clock as clocks
from peercoord.fs import process
from peercoord.fs.fifo import ring
from peercoord.roles.outbox import Outbox, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.records import Json
    from peercoord.edges.context import Place

WAIT_SECONDS = 30.0
POLL_SECONDS = 0.05
NO_AGENT = "PEERCOORD_NO_AGENT"  # set: no call starts an agent


def call(place: Place, words: list[str], number: str = "") -> Answer:
    """Execute a request that a caller in this worktree makes.

    Args:
        place: The worktree.
        words: The verb and its arguments.
        number: The id under which the request lies in the outbox already; empty if it does not.
    """
    request = _request(place, words, number)
    if not os.access(place.coordination, os.W_OK):
        return _outside(place, request)
    host = _Here(place)
    outbox = Outbox(place.files(), host.serve, host.standing, time.monotonic)
    try:
        answer = outbox.direct(request)
    except StorageError as error:
        return _queued(place, request, error.message)
    if not os.environ.get(NO_AGENT) and not sandboxed(place) and not agentctl.locked(place.worktree):
        agentctl.start_apart(place.worktree)
    return answer


def sandboxed(place: Place) -> bool:
    """Tell whether this process runs inside a coding agent's sandbox: what it starts may die with it."""
    if any(os.environ.get(mark) for mark in SANDBOX_MARKS):
        return True
    before = _agent_record(place)
    here = process.here()
    same_boot: bool = before.get("boot_id") == here["boot_id"]
    return same_boot and before.get("pid_ns") != here["pid_ns"]


def _agent_record(place: Place) -> Json:
    try:
        data = place.files().read("agent.json")
        return records.decode(data, "agent.json") if data else {}
    except (BrokenFileError, StorageError):
        return {}


class _Here(Worktree):
    """This worktree, served by the call itself."""

    def __init__(self, place: Place) -> None:
        super().__init__(place, lambda _: None, lambda _: None)

    def _session(self, request: Request) -> Json | None:
        mine = request.pid == os.getpid()
        return process.session_of(os.getpid()) if mine else self._known_session()


def _request(place: Place, words: list[str], number: str) -> Request:
    files = place.files()
    number = number or f"0-{os.getpid()}-{clocks.token(6)}"
    data = files.read(door.CURRENT) or b""
    said = data.decode("ascii", "replace").split() or [str(place.incarnation or "")]
    return Request(
        number,
        words,
        incarnation=said[0],
        tickets=said[1:],
        pid=os.getpid(),
        parent=os.getppid(),
        cwd=os.getcwd(),
    )


def _outside(place: Place, request: Request) -> Answer:
    """Put a request to an agent that may run where this process cannot look."""
    files = place.files()
    try:
        if not files.listed(door.request(request.number)):
            files.disk.create(door.request(request.number), request.encode(), False)
        ring(f"{place.worktree}/{names.INSTANCE}/{door.WAKE}", request.number)
    except OSError as error:
        fault = StorageError(f"{place.worktree}/{names.INSTANCE}: {error.strerror}", "is it this user's?")
        return refusal(fault, request.words)
    end = time.monotonic() + WAIT_SECONDS
    while agentctl.locked(place.worktree) and time.monotonic() < end:
        kept = _kept(place, request.number)
        if kept is not None:
            return kept
        if not files.listed(door.request(request.number)):
            break
        time.sleep(POLL_SECONDS)
    kept = _kept(place, request.number)
    return kept or _queued(place, request, f"{place.coordination} cannot be written from here, and no agent answers")


def _kept(place: Place, number: str) -> Answer | None:
    try:
        data = place.files().read(door.answer(number))
        return Answer.read(records.decode(data, "answer")) if data else None
    except (BrokenFileError, KeyError):
        return None


def _queued(place: Place, request: Request, why: str) -> Answer:
    start = f"outside the sandbox: peercoord -C {place.worktree} agent start"
    if request.verb in door.STATEMENTS:
        queued = NotFoundError(f"{why}: the request stays queued and will be served", f"start one {start}")
        return refusal(queued, request.words)
    try:
        place.files().remove(door.request(request.number))
    except PeercoordError as error:
        why = f"{why} ({error.message})"
    return refusal(NotFoundError(why, f"start one {start}"), request.words)
