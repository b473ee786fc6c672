"""The system calls this protocol makes, and no others: fourteen, on paths below one root.

``Files`` is built on this and gives each errno its meaning; here an ``OSError`` is passed on as the kernel said it.
Tests put another object with the same methods in this place: a directory in memory, one that crashes before or
after every call, one that interleaves peers. That is why nothing else in the package touches the coordination
directory.

Every call takes a full path and none holds a directory open: a peer that was evicted must find its path gone, and
whoever holds a handle on a moved directory would not.
"""

from __future__ import annotations

import errno
import os
import stat as _stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class DiskLike(Protocol):
        """What ``Files`` needs of a directory; see ``Disk`` for what each call promises."""

        def listdir(self, path: str) -> list[str]: ...  # noqa: D102
        def read(self, path: str, most: int) -> bytes: ...  # noqa: D102
        def create(self, path: str, data: bytes, durable: bool) -> None: ...  # noqa: D102
        def append(self, path: str, data: bytes) -> None: ...  # noqa: D102
        def link(self, source: str, target: str) -> None: ...  # noqa: D102
        def rename(self, source: str, target: str) -> None: ...  # noqa: D102
        def unlink(self, path: str) -> None: ...  # noqa: D102
        def mkdir(self, path: str) -> None: ...  # noqa: D102
        def rmdir(self, path: str) -> None: ...  # noqa: D102
        def stat(self, path: str) -> Stat: ...  # noqa: D102
        def sync(self, path: str) -> None: ...  # noqa: D102
        def touch(self, path: str) -> None: ...  # noqa: D102
        def flush(self) -> None: ...  # noqa: D102


class Stat:
    """What a look at a path shows.

    Attributes:
        is_dir: It is a directory (a symbolic link never is: links are not followed).
        size: Bytes.
        modified_ns: Last change of the content, in nanoseconds of the filesystem's own clock.
        changed_ns: Last change of anything, a rename among it.
        links: How many names it has.
    """

    __slots__ = ("changed_ns", "is_dir", "links", "modified_ns", "size")

    def __init__(self, is_dir: bool, size: int, modified_ns: int, links: int, changed_ns: int = 0) -> None:
        self.is_dir, self.size, self.links = is_dir, size, links
        self.modified_ns, self.changed_ns = modified_ns, changed_ns


class Disk:
    """A real directory.

    Args:
        root: Absolute path of a directory that exists. It is never created here: under an unmounted mount point
            every host would make a world of its own.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, in no order. While files move it may miss one or show it twice."""
        return os.listdir(self._full(path))

    def read(self, path: str, most: int) -> bytes:
        """Content of a regular file, ``most`` bytes at the most. Links are not followed, a FIFO or device is ENXIO."""
        handle = os.open(self._full(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(handle).st_mode
            if not _stat.S_ISREG(mode) and not _stat.S_ISDIR(mode):
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), path)
            return _read_all(handle, most)
        finally:
            os.close(handle)

    def create(self, path: str, data: bytes, durable: bool) -> None:
        """Make a new file with this content; ``FileExistsError`` if the name is taken."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._full(path), flags, 0o666)
        try:
            _write_all(handle, data)
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file that one writer owns; made if missing."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._full(path), flags, 0o666)
        try:
            _write_all(handle, data)
        finally:
            os.close(handle)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name, only if that is free."""
        os.link(self._full(source), self._full(target), follow_symlinks=False)

    def rename(self, source: str, target: str) -> None:
        """Move a file or directory in one step."""
        os.rename(self._full(source), self._full(target))

    def unlink(self, path: str) -> None:
        """Remove a file's name."""
        os.unlink(self._full(path))

    def mkdir(self, path: str) -> None:
        """Make one directory; its parent must exist."""
        os.mkdir(self._full(path))

    def rmdir(self, path: str) -> None:
        """Remove a directory, only if it is empty."""
        os.rmdir(self._full(path))

    def stat(self, path: str) -> Stat:
        """Look at a path without following links."""
        seen = os.lstat(self._full(path))
        return Stat(_stat.S_ISDIR(seen.st_mode), seen.st_size, seen.st_mtime_ns, seen.st_nlink, seen.st_ctime_ns)

    def sync(self, path: str) -> None:
        """Make the names in a directory survive a power cut."""
        handle = os.open(self._full(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def touch(self, path: str) -> None:
        """Set a file's time of change to now; made if missing."""
        handle = os.open(self._full(path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            os.utime(handle)
        finally:
            os.close(handle)

    def flush(self) -> None:
        """Write out all that the system holds back."""
        os.sync()


def _read_all(handle: int, most: int) -> bytes:
    parts, left = [], most
    while left > 0 and (part := os.read(handle, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
