"""The only module that signals processes of other commands: agents of a worktree, after proof that they are.

A pid alone proves nothing: it is another process on another host, in another container, after a restart, or once it is
used again. The proof has three parts: the agent's record was written on this machine, in this boot and these
namespaces; the process under its pid has the recorded start; and its command line is that of an agent of the recorded
worktree. Where the system can, the process is opened before it is checked (pidfd), so the checked process gets the
signal. What is not proven is left alone, and the error says what was seen.

A process can forge its own command line, never another's; so it can only get itself ended.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import time
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.foreign import shown
from peercoord.membership import liveness
from peercoord.system import process
from peercoord.system.clock import wait_until
from peercoord.system.watch import ExitWatch

if TYPE_CHECKING:
    from collections.abc import Collection

    from peercoord.foreign import Json

POLL_SECONDS = 0.02  # between two looks at a process that cannot be watched


class NotOursError(PeercoordError):
    """A process was not signalled, because it is not proven to be the agent."""

    code = "not-ours"


def worktree_of(words: list[str]) -> str:
    """Return the worktree of an agent's command line; empty if it is no agent's.

    The words must stand where Python and our own commands put them: a program that is only told of an agent
    (``strace python -m peercoord …``) is none.
    """
    program = os.path.basename(words[0]).lower() if words else ""
    if not program.startswith(("python", "pypy")):
        return ""
    rest = words[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        rest = rest[1:]
    if rest[:2] == ["-m", "peercoord"]:
        rest = rest[2:]
    elif rest and os.path.basename(rest[0]) == "peercoord":
        rest = rest[1:]
    else:
        return ""
    return rest[1] if rest[:1] == ["-C"] and rest[2:4] == ["agent", "run"] else ""


def send(record: Json, *numbers: int, wait: float = 0.0) -> bool:
    """Signal the agent that a record names, once that is proven, and wait for its end.

    Args:
        record: What the agent wrote of itself in the coordination directory (``peer.json``), or what ``visible`` saw.
        numbers: The signals, in order; none: only wait.
        wait: Seconds to wait for its end.

    Returns:
        Whether it has ended.

    Raises:
        NotOursError: It is not proven that the process is this agent; nothing was signalled.
    """
    agent, tree = liveness.agent_of(record) or {}, str(record.get("worktree", ""))
    apart = liveness.elsewhere(record, process.here())
    if apart is not None and not liveness.in_sight(record, process.here()):
        raise NotOursError(
            f"the agent of {shown(tree, 200)} was not signalled: {apart.because}",
            f"stop it there: peercoord -C {shlex.quote(tree)} agent stop",
        )
    if apart is not None or not process.running(agent):
        return True
    pid = int(agent["pid"])
    watch = _opened(pid)
    try:
        if not process.running(agent):  # asked again once it is open: this is the process that was recorded
            return True
        words = process.command_line(pid)
        if worktree_of(words) != tree:
            seen = shown(" ".join(words), 200) or "not to be read"
            raise NotOursError(
                f"process {pid} was not signalled: it is recorded as the agent of {shown(tree, 200)}, but its command "
                f"line is {seen}",
                f"if you know that it is the agent: kill {pid}",
            )
        return _signalled(pid, watch, numbers, tree) or _ended(agent, watch, wait)
    finally:
        if watch is not None:
            watch.close()


def _opened(pid: int) -> ExitWatch | None:
    """Open a process; ``None`` where the system cannot, or where it has just ended."""
    try:
        return ExitWatch(pid)
    except OSError:
        return None


def _signalled(pid: int, watch: ExitWatch | None, numbers: Collection[int], tree: str) -> bool:
    """Send the signals; return whether the process was already gone."""
    by_handle = watch is not None and hasattr(signal, "pidfd_send_signal")
    try:
        for number in numbers:
            if by_handle and watch is not None:
                signal.pidfd_send_signal(watch.fileno(), number)
            else:
                os.kill(pid, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        text = f"process {pid}, the agent of {shown(tree, 200)}, belongs to another user, and was not signalled"
        raise NotOursError(text, f"as that user: kill {pid}") from None
    return False


def _ended(agent: Json, watch: ExitWatch | None, seconds: float) -> bool:
    if watch is not None:
        return bool(select.select([watch], [], [], seconds)[0])
    return wait_until(lambda: not process.running(agent), seconds, POLL_SECONDS)


def visible(worktrees: Collection[str] | None = None) -> list[Json]:
    """Find agents of these worktrees, or of any, by their command line, as records that ``send`` takes.

    The only trace of an agent that has not joined yet, or whose worktree or coordination directory is gone. Only
    processes of this user count that see the same files under the same names: what runs in a container may have
    another worktree of the same path.
    """
    import psutil

    here, found = process.here(), []
    for pid in psutil.pids():
        tree = worktree_of(process.command_line(pid))
        if tree and (worktrees is None or tree in worktrees) and _is_neighbour(pid):
            identity = process.identify(pid)
            found += [{**here, "agent": identity, "worktree": tree}] if identity else []
    return found


def _is_neighbour(pid: int) -> bool:
    import psutil

    try:
        if psutil.Process(pid).uids().real != os.getuid():
            return False
        root = os.stat(f"/proc/{pid}/root") if os.path.isdir("/proc/self/ns") else os.stat("/")
    except (psutil.Error, OSError):
        return False
    apart = any(process.namespace(pid, kind) != process.namespace("self", kind) for kind in ("pid", "mnt"))
    return not apart and os.path.samestat(root, os.stat("/"))


def end(records: Collection[Json], seconds: float = 10.0) -> None:
    """End agents and wait for their end; kill those that do not end in time.

    They resign the leadership if they can. They keep their claims: the worktree's next agent goes on with them.
    """
    failed: list[PeercoordError] = []
    for record in records:
        _shielded(failed, record, signal.SIGTERM, signal.SIGCONT)
    until = time.monotonic() + seconds
    for record in records:
        if not _shielded([], record, wait=max(0.0, until - time.monotonic())):
            _shielded(failed, record, signal.SIGKILL, wait=seconds)
    if failed:
        raise failed[0]


def _shielded(failed: list[PeercoordError], record: Json, *numbers: int, wait: float = 0.0) -> bool:
    try:
        ended = send(record, *numbers, wait=wait)
    except PeercoordError as error:
        failed.append(error)
        return True
    if not ended and signal.SIGKILL in numbers:
        pid = (liveness.agent_of(record) or {}).get("pid")
        text = f"the agent of {shown(record.get('worktree'), 200)}, process {pid}, was killed and does not end"
        failed.append(NotFoundError(text, f"see what it waits for: cat /proc/{pid}/wchan"))
    return ended
