"""Identify processes by pid and start time, so that a reused pid or a stepped clock never passes for another process.

On Linux the start is the kernel's own tick count since boot (``/proc/<pid>/stat``, field 22), which no change of the
wall clock moves; it is counted in the reader's time namespace, so that namespace is part of where a process runs.
Elsewhere psutil supplies it. A zombie, dead and not yet collected by its parent, counts as gone.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from peercoord.foreign import whole
from peercoord.system.cksum import cksum
from peercoord.system.sessions import Caller, coding_agent, mark_in, program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psutil

    from peercoord.foreign import Json

T = TypeVar("T")

_LINUX = sys.platform.startswith("linux")
_ANCESTORS = 64  # levels looked up for a coding agent
_HOLDERS_MOST = 200  # processes among which the holder of a door is looked for
_FILES_MOST = 256  # open files of each
_COMMAND_BYTES = 1 << 16  # read of a command line: more than the path of a worktree and of Python take


def here() -> Json:
    """Where this process runs: host, machine, boot, namespaces. Pids can be compared only if they agree."""
    return {
        "host": os.uname().nodename,
        "machine": _machine(),
        "boot_id": _boot_id(),
        "pid_ns": _namespace("pid"),
        "time_ns": _namespace("time"),
    }


def identify(pid: int) -> Json | None:
    """A process's identity, ``{"pid", "start"}``; ``None`` if it does not exist or is a zombie."""
    start = _start(pid)
    return None if start is None else {"pid": pid, "start": start}


def running(process: Json) -> bool:
    """Check whether a process still runs under the recorded start."""
    pid, start = whole(process.get("pid")), process.get("start")
    return pid is not None and pid > 0 and start is not None and _start(pid) == start


def stopped(process: Json) -> bool:
    """Check whether a running process is stopped by a signal or a debugger."""
    pid = whole(process.get("pid"))
    if pid is None or not running(process):
        return False
    if _LINUX:
        fields = _stat_fields(pid)
        return fields is not None and fields[0] in ("T", "t")
    import psutil

    return _by_psutil(pid, lambda process: bool(process.status() == psutil.STATUS_STOPPED), False)


def parent_of(pid: int) -> int:
    """The parent's pid; 0 if none is visible."""
    if not _LINUX:
        return _by_psutil(pid, lambda process: process.ppid(), 0)
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else 0


def words_of(pid: int) -> list[str]:
    """The command line of a process as text for people; empty if it cannot be read."""
    return [os.fsencode(word).decode("utf-8", "replace") for word in command_line(pid)]


def command_line(pid: int) -> list[str]:
    """Return the whole command line of a process, undecodable bytes kept; empty if it cannot be read."""
    if not _LINUX:
        return _by_psutil(pid, lambda process: list(process.cmdline()), [])
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as handle:
            data = handle.read(_COMMAND_BYTES)
    except OSError:
        return []
    return [os.fsdecode(word) for word in data.removesuffix(b"\0").split(b"\0")] if data else []


def caller_of(pid: int) -> Caller:
    """Find the caller: the nearest ancestor that is a known coding agent, else the calling process."""
    name = ""
    for ancestor in _above(pid):
        words = words_of(ancestor)
        known = coding_agent(words)
        found = identify(ancestor) if known else None
        if found:
            return Caller({**found, "program": known}, known)
        name = name or program(words)
    return Caller(None, name)


def calling(environ: Mapping[str, str]) -> Caller:
    """Return who called this process: a coding agent shows by an ancestor, or by its mark in the environment."""
    return replace(caller_of(os.getpid()), mark=mark_in(environ))


def terminal() -> str:
    """Return the terminal that this process was called in; empty if none of its streams is one."""
    for stream in (0, 1, 2):
        try:
            return os.ttyname(stream)
        except OSError:
            continue
    return ""


def _above(pid: int) -> Iterator[int]:
    for _ in range(_ANCESTORS):
        pid = parent_of(pid)
        if pid < 1:
            return
        yield pid  # the first process among them: in a container it may be the coding agent


def holder_of(pid: int, name: str, fifo: tuple[int, int]) -> int:
    """Find the process that waits at a FIFO, also one in a pid namespace below this one; 0 if none is seen.

    Args:
        pid: The pid that it gave: another process here, or none, if it is in a namespace of its own.
        name: The FIFO's file name, under which every mount shows it.
        fifo: Device and inode.
    """
    if not _LINUX:
        return pid
    if pid and _has_open(pid, name, fifo):
        return pid
    try:
        others = sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    except OSError:
        return 0
    inside = (one for one in others if namespace(one, "pid") not in ("", _namespace("pid")))
    return next((one for one in islice(inside, _HOLDERS_MOST) if _has_open(one, name, fifo)), 0)


def _has_open(pid: int, name: str, file: tuple[int, int]) -> bool:
    """Check whether a process has a file open, among its first ones: a process that waits at a door has few.

    Only files of that name are looked at, because a look at any other may wait for a disk that does not answer.
    """
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in islice(entries, _FILES_MOST):
                with suppress(FileNotFoundError):  # closed meanwhile
                    if os.readlink(entry.path).endswith(f"/{name}"):
                        seen = os.stat(entry.path)
                        if (seen.st_dev, seen.st_ino) == file:
                            return True
    except OSError:  # it is gone, or another user's
        pass
    return False


def coding_agents_in(directory: str) -> list[Json]:
    """Find the known coding agents that run in a directory or below, where their working directory can be seen."""
    found = []
    for pid in _all_pids():
        known = coding_agent(words_of(pid))
        if known and f"{_directory_of(pid)}/".startswith(f"{directory}/"):
            identity = identify(pid)
            found += [{**identity, "program": known}] if identity else []
    return found


def _all_pids() -> list[int]:
    if _LINUX:
        try:
            return [int(name) for name in os.listdir("/proc") if name.isdigit()]
        except OSError:
            return []
    import psutil

    return list(psutil.pids())


def _directory_of(pid: int) -> str:
    if _LINUX:
        try:
            return os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            return ""
    return _by_psutil(pid, lambda process: str(process.cwd()), "")


def _start(pid: int) -> int | float | None:
    if _LINUX:
        fields = _stat_fields(pid)
        return None if fields is None or fields[0] in ("Z", "X") else int(fields[19])
    import psutil

    return _by_psutil(pid, lambda p: None if p.status() == psutil.STATUS_ZOMBIE else p.create_time(), None)


def _by_psutil(pid: int, ask: Callable[[psutil.Process], T], otherwise: T) -> T:
    """Ask about a process where there is no ``/proc``."""
    import psutil

    try:
        return ask(psutil.Process(pid))
    except psutil.Error:
        return otherwise


def _stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat after the command, which may hold spaces and parentheses of its own."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            return handle.read().rpartition(")")[2].split()
    except OSError:
        return None


@cache
def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as handle:
            return handle.read().strip()
    except OSError:  # not Linux, or it is hidden
        pass
    import psutil

    return _sysctl("kern.bootsessionuuid") or str(int(psutil.boot_time()))


@cache
def _machine() -> str:
    """A digest of the machine's own number, which tells it from others of the same name. The number stays private."""
    words = _sysctl("kern.uuid") if sys.platform == "darwin" else ""
    try:
        with open("/etc/machine-id", "rb") as handle:
            words = handle.read(64).decode("ascii", "replace").strip()
    except OSError:
        pass
    return f"{cksum(words.encode()):08x}" if words else ""


def _sysctl(name: str) -> str:
    """Ask a BSD kernel for a text; empty on other systems."""
    import ctypes

    ask = getattr(ctypes.CDLL(None), "sysctlbyname", None)
    if ask is None:
        return ""
    text, size = ctypes.create_string_buffer(128), ctypes.c_size_t(128)
    return text.value.decode("ascii", "replace") if ask(name.encode(), text, ctypes.byref(size), None, 0) == 0 else ""


@cache
def _namespace(kind: str) -> str:
    return namespace("self", kind)


def namespace(pid: int | str, kind: str) -> str:
    """Return a process's namespace of a kind (``pid``, ``mnt`` …); empty if there is none to see."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""
