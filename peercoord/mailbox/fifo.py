"""FIFOs between a sandboxed caller and the agent: each wakes the other and notices the other's death.

The agent opens the write end of a door before a caller comes. So the caller's read ends at once when the agent dies,
in whatever pid namespace. The agent holds no read end, so it sees whether a caller is there.
"""

from __future__ import annotations

import os
import select
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.system import clock

if TYPE_CHECKING:
    from peercoord.store.beneath import Beneath


class Door:
    """The write end of a FIFO that one caller reads its answer from; ``OSError`` on a filesystem without FIFOs."""

    def __init__(self, beneath: Beneath, path: str) -> None:
        self.beneath, self.path = beneath, path
        staged = f"{path}.{clock.token()}.new"
        beneath.make_fifo(staged)
        try:
            both = beneath.open_fifo(staged, os.O_RDWR)
            try:
                _share(both, beneath, path)
                self._handle = beneath.open_fifo(staged, os.O_WRONLY)
            finally:
                os.close(both)
            beneath.rename(staged, path)
        except OSError:
            with suppress(OSError):
                beneath.unlink(staged)
            raise

    def attended(self) -> bool:
        """Check whether a caller has it open."""
        poller = select.poll()
        poller.register(self._handle, select.POLLOUT)
        return not any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0))

    def send(self, data: bytes) -> bool:
        """Send an answer; a thread sends what does not fit into the pipe. ``False`` if the caller has gone."""
        try:
            sent = os.write(self._handle, data)
        except BrokenPipeError:
            return False
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            import threading

            rest = os.dup(self._handle)
            threading.Thread(target=_pour, args=(rest, data[sent:]), daemon=True).start()
        return True

    def close(self) -> None:
        """Close it; a caller that waits reads the end."""
        os.close(self._handle)
        with suppress(FileNotFoundError, NotADirectoryError):
            self.beneath.unlink(self.path)


def _share(handle: int, beneath: Beneath, path: str) -> None:
    """Give a FIFO the read and write permissions of its directory."""
    os.fchmod(handle, beneath.lstat(path.rpartition("/")[0]).st_mode & 0o666)


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
    """The read end of the FIFO with which callers wake the agent; ``OSError`` on a filesystem without FIFOs."""

    def __init__(self, beneath: Beneath, path: str) -> None:
        self.beneath, self.path = beneath, path
        with suppress(FileNotFoundError):
            beneath.unlink(path)
        beneath.make_fifo(path)
        self._handle = beneath.open_fifo(path, os.O_RDWR)
        _share(self._handle, beneath, path)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._handle

    def read(self) -> list[str]:
        """Return the lines that came."""
        try:
            return os.read(self._handle, 1 << 16).decode("ascii", "replace").split()
        except BlockingIOError:
            return []

    def intact(self) -> bool:
        """Check whether the FIFO is still at its path."""
        try:
            found, own = self.beneath.lstat(self.path), os.fstat(self._handle)
        except OSError:
            return False
        return stat.S_ISFIFO(found.st_mode) and (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)

    def close(self) -> None:
        """Close it."""
        os.close(self._handle)


def ring(beneath: Beneath, path: str, line: str) -> bool:
    """Write a line into a FIFO; ``False`` if no process reads it."""
    try:
        handle = beneath.open_fifo(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(handle, f"{line}\n".encode())
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
