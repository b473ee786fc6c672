"""The system calls that this protocol makes, on paths below one root; and which filesystem that is.

``Files`` is built on this and gives each errno its meaning; here an ``OSError`` is passed on unchanged. Tests replace
this object by a directory in memory, by one that crashes before or after a call, or by one that interleaves peers. So
no other code touches the coordination directory.

Every call takes a full path and none keeps a directory open: an evicted peer must find its path gone, and a descriptor
of a moved directory would still work.
"""

from __future__ import annotations

import errno
import os
import stat as _stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Protocol

    class DiskLike(Protocol):
        """The calls that ``Files`` needs; see ``Disk`` for what each promises."""

        def listdir(self, path: str) -> list[str]: ...  # noqa: D102
        def irregular(self, path: str) -> list[str]: ...  # noqa: D102
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


class Stat(NamedTuple):
    """The state of a path."""

    is_dir: bool  # it is a directory; links are not followed
    size: int  # bytes
    modified_ns: int  # last change of the content, in nanoseconds of the filesystem's own clock
    links: int  # the number of its names
    changed_ns: int = 0  # last change of anything, a rename among it
    is_special: bool = False  # it is a link, FIFO, socket or device

    @property
    def is_file(self) -> bool:
        """It is a regular file."""
        return not self.is_dir and not self.is_special


def shown(seen: os.stat_result) -> Stat:
    """Convert the kernel's answer."""
    is_dir, is_file = _stat.S_ISDIR(seen.st_mode), _stat.S_ISREG(seen.st_mode)
    times = seen.st_mtime_ns, seen.st_ctime_ns
    return Stat(is_dir, seen.st_size, times[0], seen.st_nlink, times[1], not is_dir and not is_file)


def irregular(where: str | int) -> list[str]:
    """Names in a directory, given by path or descriptor, that are not regular files."""
    with os.scandir(where) as entries:
        return [entry.name for entry in entries if not entry.is_file(follow_symlinks=False)]


class Disk:
    """A real directory. It is never created here: under an unmounted mount point each host would get its own team."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.below = f"{root}/"

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, in no order. While files move, one may be missing or shown twice."""
        return os.listdir(self.below + path)

    def irregular(self, path: str) -> list[str]:
        """Names in a directory that are not regular files, from the listing alone."""
        return irregular(self.below + path)

    def marks(self, path: str) -> list[tuple[str, int, int]]:
        """Name, time of change and size of all that is in a directory."""
        found = []
        with os.scandir(self.below + path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    seen = entry.stat(follow_symlinks=False)
                    found.append((entry.name, seen.st_mtime_ns, seen.st_size))
        return found

    def contents(self, path: str, most: int) -> list[tuple[tuple[str, int, int], bytes]]:
        """The marks of all that is in a directory, each with its content: none of what is no file, or is larger."""
        home, found = os.open(self.below + path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), []
        try:
            for name in os.listdir(home):
                with suppress(FileNotFoundError):
                    seen, data = os.stat(name, dir_fd=home, follow_symlinks=False), b""
                    if _stat.S_ISREG(seen.st_mode) and seen.st_size <= most:
                        handle = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=home)
                        try:
                            data = os.read(handle, seen.st_size)
                        finally:
                            os.close(handle)
                    found.append(((name, seen.st_mtime_ns, seen.st_size), data))
            return found
        finally:
            os.close(home)

    def read(self, path: str, most: int) -> bytes:
        """Content of a regular file, at most ``most`` bytes. Links are not followed; a FIFO or device is ENXIO."""
        return read_file(self.below + path, most)

    def create(self, path: str, data: bytes, durable: bool) -> None:
        """Make a new file with this content; ``FileExistsError`` if the name is taken."""
        create_file(self.below + path, data, durable)

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file that one writer owns; made if missing."""
        handle = open_file(self.below + path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            write_all(handle, data)
        finally:
            os.close(handle)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name, only if that is free."""
        os.link(self.below + source, self.below + target, follow_symlinks=False)

    def rename(self, source: str, target: str) -> None:
        """Move a file or directory in one step."""
        os.rename(self.below + source, self.below + target)

    def unlink(self, path: str) -> None:
        """Remove a file's name."""
        os.unlink(self.below + path)

    def mkdir(self, path: str) -> None:
        """Make one directory; its parent must exist."""
        os.mkdir(self.below + path)

    def rmdir(self, path: str) -> None:
        """Remove a directory, only if it is empty."""
        os.rmdir(self.below + path)

    def stat(self, path: str) -> Stat:
        """Return the state of a path without following links."""
        return shown(os.lstat(self.below + path))

    def sync(self, path: str) -> None:
        """Make the names in a directory survive a power cut."""
        handle = os.open(self.below + path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def touch(self, path: str) -> None:
        """Set a file's time of change to now; made if missing."""
        handle = open_file(self.below + path, os.O_WRONLY | os.O_CREAT)
        try:
            os.utime(handle)
        finally:
            os.close(handle)

    def flush(self) -> None:
        """Write out everything that the system buffers for this filesystem."""
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flush(handle)
        finally:
            os.close(handle)


def flush(handle: int) -> None:
    """Write out everything that is buffered for the filesystem of an open file or directory."""
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        os.sync()  # it waits for every filesystem there is, and reports no fault
        return
    if call(handle):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# -- regular files, and nothing else -----------------------------------------------------------------------------

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_file(path: str, flags: int, mode: int = 0o666, at: int | None = None, single: bool = False) -> int:
    """Open a regular file without following a link and without waiting; the caller closes the descriptor.

    ``at`` is the descriptor of the directory that holds it; with ``single``, it must have no second name (``EMLINK``).
    A link is ``ELOOP``, a directory ``EISDIR``; a FIFO, a socket or a device is ``ENXIO``.
    """
    handle = os.open(path, flags | _FLAGS, mode, dir_fd=at)
    seen = os.fstat(handle)
    if _stat.S_ISREG(seen.st_mode) and (seen.st_nlink <= 1 or not single):
        return handle
    os.close(handle)
    code = errno.EMLINK if _stat.S_ISREG(seen.st_mode) else errno.EISDIR if _stat.S_ISDIR(seen.st_mode) else errno.ENXIO
    raise OSError(code, os.strerror(code), path)


def remove_tree(path: str) -> None:
    """Remove a directory with its content, also read-only directories in it."""
    import shutil

    for folder, _, _ in os.walk(path):
        if not os.access(folder, os.W_OK):
            os.chmod(folder, 0o700)
    shutil.rmtree(path)


def read_file(path: str, most: int, at: int | None = None, single: bool = False) -> bytes:
    """Read a regular file, at most ``most`` bytes; see ``open_file``."""
    handle = open_file(path, os.O_RDONLY, at=at, single=single)
    try:
        parts, left = [], most
        while left > 0 and (part := os.read(handle, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(handle)


def create_file(path: str, data: bytes, durable: bool = False, mode: int = 0o666, at: int | None = None) -> None:
    """Make a new file with this content; ``FileExistsError`` if the name is taken, by a link as well."""
    handle = open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, at)
    try:
        write_all(handle, data)
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)


def read_named(path: str, most: int, patience: float = 60.0) -> bytes:
    """Read a file that a person named: links are followed; a pipe may pause for ``patience`` seconds."""
    import select

    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        parts, left = [], most
        while left > 0:
            try:
                part = os.read(handle, left)
            except BlockingIOError:
                if not select.select([handle], [], [], patience)[0]:
                    raise OSError(errno.ETIMEDOUT, "nothing came through it", path) from None
                continue
            if not part:
                break
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """Write all data to an open file."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


# -- which filesystem --------------------------------------------------------------------------------------------

_LOCAL = {
    *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "tmpfs", "ramfs"),
    *("overlay", "aufs", "rootfs", "fuseblk", "apfs", "hfs", "ufs", "ffs", "hammer2"),
}


def filesystem_type(path: str) -> str:
    """Return the filesystem type of ``path`` from the mount table; empty if unknown."""
    best, found = "", ""
    for point, name in _mounts():
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, found = point, name
    return found


def is_local(name: str) -> bool:
    """Check whether only this machine can reach such a filesystem. An unknown type counts as shared."""
    return name in _LOCAL


def _mounts() -> list[tuple[str, str]]:
    if sys.platform == "linux":
        try:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as handle:
                return [found for found in map(_parse, handle) if found]
        except OSError:
            return []
    import psutil

    return [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]


def _parse(line: str) -> tuple[str, str] | None:
    """Read a line of mountinfo: the mount point is the fifth word, the type is the first after `` - ``."""
    before, dash, after = line.partition(" - ")
    words = before.split(" ")
    if not dash or len(words) < 5:
        return None
    point = words[4].encode("utf-8", "surrogateescape").decode("unicode_escape").encode("latin-1")
    return os.fsdecode(point), after.split(" ", 1)[0]
