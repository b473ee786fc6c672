"""The lock that claude-task-master takes on its ``tasks.json``, in both ways that it does.

It lies beside the file as ``tasks.json.lock``: a directory (its library) or a file (its command line). Whoever makes
it has it; one that was not touched for ten seconds is stale and anybody may take it away. We make a directory, for
both ways of the program can clear that away if we are killed.

Promise: no clock of another machine is believed. How old a lock is, is told against a file made beside it just now.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress

from peercoord.core.errors import LostError, StorageError
from peercoord.fs.files import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.fs.disk import DiskLike, Stat

STALE_SECONDS = 10.0
_PAUSE = 0.02  # seconds between two tries; doubled up to _LONGEST
_LONGEST = 0.2


class Hold:
    """A lock that is held.

    Args:
        disk: The directory.
        name: The lock's name in it.
    """

    def __init__(self, disk: DiskLike, name: str) -> None:
        self._disk, self._name = disk, name
        self._mark = _mark(disk, name)

    def refresh(self) -> None:
        """Say that it is still in use.

        Raises:
            LostError: It was taken away: this process stood still for too long.
        """
        self.require()
        root = getattr(self._disk, "root", None)
        if root:
            with suppress(OSError):
                os.utime(f"{root}/{self._name}")
        self._mark = _mark(self._disk, self._name)

    def require(self) -> None:
        """Go on only while it is held.

        Raises:
            LostError: It was taken away.
        """
        if not self.stands:
            raise LostError(f"the lock {self._name} was taken away meanwhile", hint="try again")

    @property
    def stands(self) -> bool:
        """It is still the one that was made here."""
        return self._mark is not None and _mark(self._disk, self._name) == self._mark


@contextmanager
def locked(disk: DiskLike, name: str, token: Callable[[], str], wait: float) -> Iterator[Hold]:
    """Hold the lock of a file.

    Args:
        disk: The directory that the file lies in.
        name: The file's name.
        token: Gives a new random word at each call.
        wait: Seconds to try for.

    Raises:
        StorageError: Another program holds it all the while, or it cannot be made.
    """
    lock, pause, end = f"{name}.lock", _PAUSE, time.monotonic() + wait
    while not _made(disk, lock):
        if _is_stale(disk, lock, token):
            _clear_away(disk, lock, token)
        elif time.monotonic() >= end:
            raise StorageError(f"{name} is locked by another program", hint=f"wait, or remove {lock}", code="locked")
        else:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
    hold = Hold(disk, lock)
    try:
        yield hold
    finally:
        if hold.stands:
            with suppress(OSError):
                disk.rmdir(lock)


def _made(disk: DiskLike, lock: str) -> bool:
    try:
        disk.mkdir(lock)
    except FileExistsError:
        return False
    except OSError as error:
        raise refused(error, lock) from None
    return True


def _mark(disk: DiskLike, name: str) -> int | None:
    try:
        return disk.stat(name).modified_ns
    except OSError:
        return None


def _is_stale(disk: DiskLike, lock: str, token: Callable[[], str]) -> bool:
    made = _mark(disk, lock)
    probe = f".{lock}.{token()}"
    try:
        disk.create(probe, b"", False)
        now: Stat = disk.stat(probe)
        disk.unlink(probe)
    except OSError as error:
        raise refused(error, probe) from None
    return made is not None and now.modified_ns - made > STALE_SECONDS * 1e9


def _clear_away(disk: DiskLike, lock: str, token: Callable[[], str]) -> None:
    """Take a stale lock away by one rename: of several who try, one succeeds."""
    seen, aside = _mark(disk, lock), f"{lock}.stale.{token()}"
    try:
        disk.rename(lock, aside)
    except OSError:
        return  # someone else was first
    if _mark(disk, aside) != seen:  # it was a new one, made at this moment
        with suppress(OSError):
            disk.rename(aside, lock)
        return
    with suppress(OSError):
        if disk.stat(aside).is_dir:
            disk.rmdir(aside)
        else:
            disk.unlink(aside)
