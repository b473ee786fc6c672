"""Which process is which: pids with their start, so that a reused pid or a stepped clock never passes for another.

On Linux the start is the kernel's own tick count since boot (``/proc/<pid>/stat``, field 22), which no change of the
wall clock moves; elsewhere it is what psutil gives. A zombie, dead and not yet collected by its parent, is gone.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.records import Json

_LINUX = sys.platform.startswith("linux")


def here() -> Json:
    """Say where this process runs: host name, boot, pid namespace. Only where all agree can pids be compared."""
    return {"host": os.uname().nodename, "boot_id": _boot_id(), "pid_ns": _pid_namespace()}


def identify(pid: int) -> Json | None:
    """Give a process's identity, ``{"pid", "start"}``; ``None`` if there is none by that pid, or only a zombie."""
    start = _start(pid)
    return None if start is None else {"pid": pid, "start": start}


def running(process: Json) -> bool:
    """Tell whether a process still runs under the very start that was recorded."""
    pid, start = process.get("pid"), process.get("start")
    return isinstance(pid, int) and pid > 0 and start is not None and _start(pid) == start


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
    import psutil

    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return 0


def name_of(pid: int) -> str:
    """Give the file name of what a process runs: its program, or the script of an interpreter."""
    import psutil

    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return ""
    return " ".join(os.path.basename(word) for word in words[:2])


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


def _boot_id() -> str:
    if _LINUX:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as handle:
            return handle.read().strip()
    import psutil

    return str(int(psutil.boot_time()))


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
