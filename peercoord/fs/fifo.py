"""FIFOs between a caller in a sandbox and the agent outside: waking without polling, and knowing that the other died.

The agent holds the write end of a door from before its caller comes, so the caller's read ends at once when the agent
dies, whatever pid namespace either is in. And the agent, holding no read end, sees whether a caller is there.
"""

from __future__ import annotations

import os
import select
import stat
from contextlib import suppress

_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


class Door:
    """The write end of a FIFO on which one caller will wait.

    Args:
        path: Absolute path where it appears, once it can be waited on.

    Raises:
        OSError: This filesystem has no FIFOs, or ``path`` is taken.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        staged = f"{path}.new"
        os.mkfifo(staged, 0o600)
        try:
            both = os.open(staged, os.O_RDWR | _FLAGS)
            try:
                _share(both, path)
                self._handle = os.open(staged, os.O_WRONLY | _FLAGS)
            finally:
                os.close(both)
            os.rename(staged, path)
        except OSError:
            os.unlink(staged)
            raise

    def attended(self) -> bool:
        """Tell whether a caller has it open."""
        poller = select.poll()
        poller.register(self._handle, select.POLLOUT)
        return not any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0))

    def send(self, data: bytes) -> None:
        """Send an answer; what does not fit into the pipe is sent by a thread while the caller reads."""
        try:
            sent = os.write(self._handle, data)
        except BrokenPipeError:
            return  # the caller has gone; the answer is kept
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            import threading

            rest = os.dup(self._handle)
            threading.Thread(target=_pour, args=(rest, data[sent:]), daemon=True).start()

    def close(self) -> None:
        """End it; its caller, if one waits, reads the end."""
        os.close(self._handle)
        with suppress(FileNotFoundError):
            os.unlink(self.path)


def _share(handle: int, path: str) -> None:
    """Let those use a FIFO who may write into its directory."""
    os.fchmod(handle, os.stat(os.path.dirname(path)).st_mode & 0o666)


def _pour(handle: int, data: bytes) -> None:
    os.set_blocking(handle, True)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
    except BrokenPipeError:
        return
    finally:
        os.close(handle)


class Wake:
    """The read end of the FIFO by which callers wake the agent.

    Args:
        path: Its absolute path; whatever stood there is replaced.

    Raises:
        OSError: This filesystem has no FIFOs.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with suppress(FileNotFoundError):
            os.unlink(path)
        os.mkfifo(path, 0o600)
        self._handle = os.open(path, os.O_RDWR | _FLAGS)
        _share(self._handle, path)

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._handle

    def read(self) -> list[str]:
        """Give the lines that came."""
        try:
            return os.read(self._handle, 1 << 16).decode("ascii", "replace").split()
        except BlockingIOError:
            return []

    def intact(self) -> bool:
        """Tell whether the FIFO still stands where callers look for it."""
        try:
            found, own = os.lstat(self.path), os.fstat(self._handle)
        except OSError:
            return False
        return stat.S_ISFIFO(found.st_mode) and (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)

    def close(self) -> None:
        """End it."""
        os.close(self._handle)


def ring(path: str, line: str) -> bool:
    """Write a line into a FIFO that someone reads; ``False`` if nobody does."""
    try:
        handle = os.open(path, os.O_WRONLY | _FLAGS)
    except OSError:
        return False
    try:
        os.write(handle, f"{line}\n".encode())
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
