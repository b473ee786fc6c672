"""Which process is which: pids with their start, so that a reused pid or a stepped clock never passes for another.

On Linux the start is the kernel's own tick count since boot (``/proc/<pid>/stat``, field 22), which no change of the
wall clock moves; it is counted in the reader's time namespace, so that one is part of where a process runs. Elsewhere
it is what psutil gives. A zombie, dead and not yet collected by its parent, is gone.
"""

from __future__ import annotations

import os
import sys
from functools import cache

from peercoord.core.names import cksum
from peercoord.core.sessions import coding_agent, runs_one_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.core.records import Json

_LINUX = sys.platform.startswith("linux")
_ANCESTORS = 64  # levels looked up for a coding agent
_JUST_NOW = 2.0  # seconds: a shell that was started so shortly before a call was started for it


def here() -> Json:
    """Say where this process runs: host, machine, boot, namespaces. Only where these agree can pids be compared."""
    return {
        "host": os.uname().nodename,
        "machine": _machine(),
        "boot_id": _boot_id(),
        "pid_ns": _namespace("pid"),
        "time_ns": _namespace("time"),
    }


def identify(pid: int) -> Json | None:
    """Give a process's identity, ``{"pid", "start"}``; ``None`` if there is none by that pid, or only a zombie."""
    start = _start(pid)
    return None if start is None else {"pid": pid, "start": start}


def running(process: Json) -> bool:
    """Tell whether a process still runs under the very start that was recorded."""
    pid, start = process.get("pid"), process.get("start")
    return isinstance(pid, int) and pid > 0 and start is not None and _start(pid) == start


def stopped(process: Json) -> bool:
    """Tell whether a process that runs is stopped by a signal or a debugger."""
    pid = process.get("pid")
    if not isinstance(pid, int) or not running(process):
        return False
    if _LINUX:
        fields = _stat_fields(pid)
        return fields is not None and fields[0] in ("T", "t")
    import psutil

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def session_leader(pid: int) -> int:
    """Give the pid of the session leader of a process, the process itself if that cannot be told."""
    try:
        return os.getsid(pid) or pid
    except OSError:
        return pid


def parent_of(pid: int) -> int:
    """Give the parent's pid, 0 if there is none to see."""
    fields = _stat_fields(pid) if _LINUX else None
    if fields:
        return int(fields[1])
    if _LINUX:
        return 0
    import psutil

    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return 0


def words_of(pid: int) -> list[str]:
    """Give the command line of a process; empty if it cannot be read."""
    if _LINUX:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as handle:
                return handle.read(4096).decode("utf-8", "replace").rstrip("\0").split("\0")
        except OSError:
            return []
    import psutil

    try:
        return list(psutil.Process(pid).cmdline())
    except psutil.Error:
        return []


def session_of(pid: int) -> Json | None:
    """Find the coding session on whose behalf a process was called.

    The nearest ancestor that is a known coding agent; else the session leader, unless that one was started for this
    very call (some agents give each command a session of its own): then the leader above it.

    Args:
        pid: The process that calls.

    Returns:
        Its identity, and ``program`` where that is known; ``None`` if none can be told.
    """
    for ancestor in _above(pid):
        program = coding_agent(words_of(ancestor))
        found = identify(ancestor) if program else None
        if found:
            return {**found, "program": program}
    return _lasting_leader(pid)


def _above(pid: int) -> Iterator[int]:
    for _ in range(_ANCESTORS):
        pid = parent_of(pid)
        if pid <= 1:
            return
        yield pid


def _lasting_leader(pid: int) -> Json | None:
    called = identify(pid)
    for _ in range(_ANCESTORS):
        leader = identify(session_leader(pid))
        if called is None or leader is None:
            return None
        young = called["start"] - leader["start"] <= _JUST_NOW * _ticks()
        if not young or not (leader["pid"] == called["pid"] or runs_one_command(words_of(leader["pid"]))):
            return leader
        pid = parent_of(leader["pid"])
        if pid <= 1:
            return None
    return None


@cache
def _ticks() -> float:
    """Units of a start in a second."""
    return float(os.sysconf("SC_CLK_TCK")) if _LINUX else 1.0


def _start(pid: int) -> int | float | None:
    if _LINUX:
        fields = _stat_fields(pid)
        return None if fields is None or fields[0] in ("Z", "X") else int(fields[19])
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat after the command, which may hold spaces and parentheses of its own."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            return handle.read().rpartition(")")[2].split()
    except OSError:
        return None


@cache
def _boot_id() -> str:
    if _LINUX:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as handle:
            return handle.read().strip()
    return _sysctl("kern.bootsessionuuid") or _boot_time()


def _boot_time() -> str:
    import psutil

    return str(int(psutil.boot_time()))


@cache
def _machine() -> str:
    """What tells this machine from others of the same name: a digest, for the number itself is nobody's business."""
    words = _sysctl("kern.uuid") if sys.platform == "darwin" else ""
    try:
        with open("/etc/machine-id", "rb") as handle:
            words = handle.read(64).decode("ascii", "replace").strip()
    except OSError:
        pass
    return f"{cksum(words.encode()):08x}" if words else ""


def _sysctl(name: str) -> str:
    """Ask a BSD kernel for a text; empty where there is none to ask."""
    import ctypes

    ask = getattr(ctypes.CDLL(None), "sysctlbyname", None)
    if ask is None:
        return ""
    text, size = ctypes.create_string_buffer(128), ctypes.c_size_t(128)
    return text.value.decode("ascii", "replace") if ask(name.encode(), text, ctypes.byref(size), None, 0) == 0 else ""


@cache
def _namespace(kind: str) -> str:
    try:
        return os.readlink(f"/proc/self/ns/{kind}")
    except OSError:
        return ""
