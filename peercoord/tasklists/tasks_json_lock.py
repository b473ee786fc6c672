"""The lock that claude-task-master takes on its ``tasks.json``, in both ways that it does.

It is ``tasks.json.lock`` beside the file: a directory (its library) or a file (its command line). The process that
makes it holds it; a lock that was not touched for ten seconds is stale, and anybody may remove it. We make a directory,
for both ways of the program can remove that if we are killed.

Promise: no clock of another machine is believed. The age of a lock is measured against a file made beside it just now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from peercoord.errors import LostError, StorageError
from peercoord.store.refusals import refused
from peercoord.system import clock as clocks
from peercoord.system.clock import wait_until

if TYPE_CHECKING:
    from peercoord.system.disk import DiskLike, Stat

STALE_SECONDS = 10.0
_PAUSE = 0.02  # seconds between two tries; doubled up to _LONGEST
_LONGEST = 0.2


class Hold:
    """A lock that is held, by its name in the directory of the file."""

    def __init__(self, disk: DiskLike, name: str) -> None:
        self._disk, self._name = disk, name
        self._seen = _changed(disk, name)

    def refresh(self) -> None:
        """Mark the lock as still in use; a ``LostError`` if it was taken away while this process stood still."""
        self.require()
        root = getattr(self._disk, "root", None)
        if root:
            with suppress(OSError):
                os.utime(f"{root}/{self._name}")
        self._seen = _changed(self._disk, self._name)

    def require(self) -> None:
        """Raise a ``LostError`` if it is no longer held."""
        if not self.is_held:
            raise LostError(f"the lock {self._name} was taken away meanwhile", hint="try again")

    @property
    def is_held(self) -> bool:
        """It is still the one that was made here."""
        return self._seen is not None and _changed(self._disk, self._name) == self._seen


@contextmanager
def locked(disk: DiskLike, name: str, wait: float) -> Iterator[Hold]:
    """Hold the lock of a file in a directory; try for ``wait`` seconds."""
    lock = f"{name}.lock"

    def taken() -> bool:
        made = _made(disk, lock)
        if not made and _is_stale(disk, lock):
            _remove(disk, lock)
            made = _made(disk, lock)
        return made

    if not wait_until(taken, wait, _PAUSE, _LONGEST):
        raise StorageError(f"{name} is locked by another program", hint=f"wait, or remove {lock}", code="locked")
    hold = Hold(disk, lock)
    try:
        yield hold
    finally:
        if hold.is_held:
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


def _changed(disk: DiskLike, name: str) -> int | None:
    try:
        return disk.stat(name).modified_ns
    except OSError:
        return None


def _is_stale(disk: DiskLike, lock: str) -> bool:
    made = _changed(disk, lock)
    probe = f".{lock}.{clocks.token()}"
    try:
        disk.create(probe, b"", False)
        now: Stat = disk.stat(probe)
        disk.unlink(probe)
    except OSError as error:
        raise refused(error, probe) from None
    return made is not None and now.modified_ns - made > STALE_SECONDS * 1e9


def _remove(disk: DiskLike, lock: str) -> None:
    """Remove a stale lock by one rename: of several processes that try, one succeeds."""
    seen, aside = _changed(disk, lock), f"{lock}.stale.{clocks.token()}"
    try:
        disk.rename(lock, aside)
    except OSError:
        return  # another process was first
    if _changed(disk, aside) != seen:  # it was a new lock, made just now
        with suppress(OSError):
            disk.rename(aside, lock)
        return
    with suppress(OSError):
        if disk.stat(aside).is_dir:
            disk.rmdir(aside)
        else:
            disk.unlink(aside)
