"""The files below a worktree, which belong to a coding agent that may have been talked into anything.

The agent can replace any file, and any directory on the way to one, by a link, a FIFO or a device, at any moment. So no
path below the worktree is given to the kernel as a whole. Each call walks down from the worktree one directory at a
time, opens each without following links, and works relative to the last descriptor. A link on the way is ``ENOTDIR``,
in the last place ``ELOOP``. Files are regular and have one name: a second name could be that of a file outside.

New files are open to the same users as their directory, under any umask: see ``InstanceFiles.restrict``. The
coordination directory is read by path instead, because a descriptor would outlive an eviction (see ``system.disk``).
"""

from __future__ import annotations

import errno
import os
import stat as _stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError, StorageError
from peercoord.store.files import Files
from peercoord.store.refusals import refused
from peercoord.store.settings import RECORD_BYTES
from peercoord.system import clock
from peercoord.system.disk import Stat, create_file, irregular, open_file, read_file, shown, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from peercoord.foreign import Json

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
_GROUP = 0o2020  # of a directory: the group makes files in it, and they are the group's
_SPARE = 4096  # bytes by which an overwritten file may be longer than twice its content
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Beneath:
    """The directory ``inside`` a worktree: the calls of ``Disk`` and some more.

    The coding agent cannot replace ``top``, its worktree. Links in the path of ``top`` are followed, below it none.
    """

    def __init__(self, top: str, inside: str = "") -> None:
        self.top, self.inside = top, inside
        self.root = f"{top}/{inside}" if inside else top

    @contextmanager
    def _at(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the directory that holds ``path``; yield its descriptor and the last part of the path."""
        parts = [*filter(None, f"{self.inside}/{path}".split("/"))]
        if ".." in parts or "." in parts:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        handle = os.open(self.top, _DIRECTORY & ~os.O_NOFOLLOW)
        try:
            for part in parts[:-1]:
                inner = os.open(part, _DIRECTORY, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle, parts[-1] if parts else "."
        finally:
            os.close(handle)

    # -- the calls of a disk ---------------------------------------------------------------------------------

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, in no order."""
        return self._listing(path, os.listdir)

    def irregular(self, path: str) -> list[str]:
        """Names in a directory that are not regular files."""
        return self._listing(path, irregular)

    def _listing(self, path: str, names: Callable[[int], list[str]]) -> list[str]:
        with self._at(path) as (at, name):
            handle = os.open(name, _LISTED, dir_fd=at)
        try:
            return names(handle)
        finally:
            os.close(handle)

    def read(self, path: str, most: int) -> bytes:
        """The content of a regular file, at most ``most`` bytes."""
        with self._at(path) as (at, name):
            return read_file(name, most, at, single=True)

    def create(self, path: str, data: bytes, durable: bool) -> None:
        """Make a new file with this content; ``FileExistsError`` if the name is taken."""
        with self._at(path) as (at, name):
            _create(at, name, data, durable)

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file that one writer owns; made if missing."""
        handle = self.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            write_all(handle, data)
        finally:
            os.close(handle)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name, only if that is free. The caller removes the first."""
        with self._at(source) as (there, old), self._at(target) as (at, new):
            os.link(old, new, src_dir_fd=there, dst_dir_fd=at, follow_symlinks=False)

    def rename(self, source: str, target: str) -> None:
        """Move a file or directory in one step."""
        with self._at(source) as (there, old), self._at(target) as (at, new):
            os.rename(old, new, src_dir_fd=there, dst_dir_fd=at)

    def unlink(self, path: str) -> None:
        """Remove a file's name, or a link itself."""
        with self._at(path) as (at, name):
            os.unlink(name, dir_fd=at)

    def mkdir(self, path: str) -> None:
        """Make one directory; its parent must exist."""
        with self._at(path) as (at, name):
            home = os.fstat(at).st_mode
            os.mkdir(name, (home | 0o700) & 0o777, dir_fd=at)
            _share(home, at, name)

    def rmdir(self, path: str) -> None:
        """Remove a directory, only if it is empty."""
        with self._at(path) as (at, name):
            os.rmdir(name, dir_fd=at)

    def stat(self, path: str) -> Stat:
        """Look at a path without following links."""
        return shown(self.lstat(path))

    def sync(self, path: str) -> None:
        """Make the names in a directory survive a power cut."""
        with self._at(path) as (at, name):
            handle = os.open(name, _LISTED, dir_fd=at)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def touch(self, path: str) -> None:
        """Set a file's time of change to now; made if missing."""
        handle = self.open(path, os.O_WRONLY | os.O_CREAT)
        try:
            os.utime(handle)
        finally:
            os.close(handle)

    def flush(self) -> None:
        """Write out all that the system holds back."""
        os.sync()

    # -- more ------------------------------------------------------------------------------------------------

    def open(self, path: str, flags: int, mode: int = 0o666) -> int:
        """Open a regular file that has one name; the caller closes the descriptor."""
        with self._at(path) as (at, name):
            if not flags & os.O_CREAT:
                return open_file(name, flags, at=at, single=True)
            home = os.fstat(at).st_mode
            handle = open_file(name, flags, (home | 0o700) & mode, at, single=True)
            _share(home, at, name)
            return handle

    def open_any(self, path: str) -> int:
        """Open a file or directory to inspect it; the caller closes the descriptor."""
        with self._at(path) as (at, name):
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=at)

    def lstat(self, path: str) -> os.stat_result:
        """Look at a path without following links, in full."""
        with self._at(path) as (at, name):
            return os.stat(name, dir_fd=at, follow_symlinks=False)

    def replace(self, path: str, staged: str, data: bytes, program: bool = False, durable: bool = False) -> None:
        """Replace a file as a whole; a directory in its place is ``IsADirectoryError``.

        The content is first written to ``staged``, a new name in the same directory.
        """
        with self._at(path) as (at, name):
            try:
                _create(at, staged, data, durable, 0o777 if program else 0o666)
                os.rename(staged, name, src_dir_fd=at, dst_dir_fd=at)
            except OSError:
                with suppress(OSError):
                    os.unlink(staged, dir_fd=at)
                raise
        if durable:
            self.sync(path.rpartition("/")[0])

    def make_fifo(self, path: str) -> None:
        """Make a FIFO for its owner alone; ``FileExistsError`` if the name is taken."""
        with self._at(path) as (at, name):
            os.mkfifo(name, 0o600, dir_fd=at)

    def open_fifo(self, path: str, flags: int) -> int:
        """Open a FIFO without waiting for its other end; the caller closes the descriptor."""
        with self._at(path) as (at, name):
            handle = os.open(name, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=at)
        if not _stat.S_ISFIFO(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.ENXIO, "no FIFO", path)
        return handle

    def make_directories(self, path: str) -> None:
        """Create a directory and its missing parents; a link on the way is ``ENOTDIR``."""
        made = ""
        for part in filter(None, path.split("/")):
            made = f"{made}/{part}" if made else part
            with suppress(FileExistsError):
                self.mkdir(made)

    def make_link(self, target: str, path: str) -> None:
        """Make a symbolic link; ``FileExistsError`` if the name is taken."""
        with self._at(path) as (at, name):
            os.symlink(target, name, dir_fd=at)

    def read_link(self, path: str) -> str:
        """The target of a symbolic link; ``OSError`` if it is not one."""
        with self._at(path) as (at, name):
            return os.readlink(name, dir_fd=at)

    def remove_tree(self, path: str) -> None:
        """Remove a directory with its content; links are removed, not followed."""
        import shutil

        with self._at(path) as (at, name):
            shutil.rmtree(name, dir_fd=at)


def _create(at: int, name: str, data: bytes, durable: bool, most: int = 0o666) -> None:
    """Make a new file. Others may use it as they may use the directory."""
    home = os.fstat(at).st_mode
    create_file(name, data, durable, (home | 0o700) & most, at)
    _share(home, at, name)


def _share(home: int, at: int, name: str) -> None:
    """Let the group use a new file in a directory of the group, under any umask; ``home`` is the directory's mode."""
    if home & _GROUP != _GROUP:
        return
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    try:
        now = os.fstat(handle).st_mode
        if now & 0o060 != 0o060:
            os.fchmod(handle, (now & 0o7777) | (0o070 if now & 0o100 else 0o060))
    except PermissionError:
        return  # another user's
    finally:
        os.close(handle)


def _rights(root: str) -> tuple[int, int]:
    """Permissions and group of an instance's directories, as the coordination directory has them."""
    seen = os.stat(root)
    return (0o2770 if seen.st_mode & 0o020 else 0o700), seen.st_gid


class InstanceFiles(Files):
    """The files of one worktree, with the calls of ``Files``."""

    def __init__(self, beneath: Beneath, token: Callable[[], str] = clock.token) -> None:
        super().__init__(beneath, token)
        self.beneath = beneath

    def replace(self, path: str, data: bytes, program: bool = False, durable: bool = False) -> None:
        """Replace a file as a whole; a link in its place is removed, a directory is set aside.

        It is staged beside its place, not in a ``tmp/``: an agent may work in that directory, inside a sandbox. What
        is not ``durable`` is made again by the next call or set-up after a power cut.
        """
        staged = f".{path.rpartition('/')[2]}.{self.token()}"
        try:
            try:
                self.beneath.replace(path, staged, data, program, durable)
            except IsADirectoryError:
                self._set_apart(path)
                self.beneath.replace(path, staged, data, program, durable)
        except OSError as error:
            raise refused(error, f"{self.beneath.root}/{path}") from None

    def overwrite(self, path: str, data: bytes) -> None:
        """Write a file in place, by one call, or replace it; for text in which blanks at the end mean nothing.

        To replace a file costs some filesystems a flush. A reader may see half of it, and a power cut may leave that.
        """
        with suppress(OSError):
            handle = self.beneath.open(path, os.O_WRONLY)
            try:
                size = os.fstat(handle).st_size
                fits = size <= min(2 * len(data) + _SPARE, RECORD_BYTES)  # a longer one is not read
                if fits and os.pwrite(handle, data.ljust(size), 0) == max(size, len(data)):
                    return
            finally:
                os.close(handle)
        self.replace(path, data)

    def restrict(self, root: str) -> None:
        """Close the directories to users who may not write into the coordination directory."""
        mode, group = _rights(root)
        inside = []
        for name in self.scan(""):
            with suppress(OSError):  # no directory
                inside += [f"{name}/{inner}" for inner in self.beneath.listdir(name)]
        for path in ("", *self.scan(""), *inside):
            with suppress(OSError):  # another user's
                self._restrict(path, mode, group)

    def is_restricted(self, root: str) -> bool:
        """Check whether the directories are closed as ``restrict`` closes them."""
        mode, _ = _rights(root)
        kinds = (self.beneath.lstat(path).st_mode for path in ("", *self.scan("")))
        return all(kind & 0o7777 == mode for kind in kinds if _stat.S_ISDIR(kind))

    def _restrict(self, path: str, mode: int, group: int) -> None:
        handle = self.beneath.open_any(path)
        try:
            seen = os.fstat(handle)
            if group != seen.st_gid and mode & _GROUP == _GROUP:
                os.fchown(handle, -1, group)
            if _stat.S_ISDIR(seen.st_mode):
                os.fchmod(handle, mode)
            elif seen.st_nlink == 1 and _stat.S_ISREG(seen.st_mode):
                os.fchmod(handle, (seen.st_mode & mode & 0o777) | (mode & 0o660))
        finally:
            os.close(handle)

    def peek(self, path: str) -> bytes | None:
        """Read a file; ``None`` also if it is not a regular file or cannot be read."""
        try:
            return self.read(path)
        except PeercoordError:
            return None

    def peek_record(self, path: str) -> Json:
        """Read a record; empty also if it is broken or cannot be read."""
        try:
            return self.record(path) or {}
        except StorageError:
            return {}

    def claim_directory(self, path: str) -> None:
        """Create a directory if missing; anything else in its place is set aside."""
        seen = self.stat(path)
        if seen is not None and not seen.is_dir:
            self._set_apart(path)
        self.make_dir(path)

    def _set_apart(self, path: str) -> None:
        kind = self.beneath.lstat(path).st_mode
        if _stat.S_ISDIR(kind) or _stat.S_ISREG(kind):
            self.move(path, f"{path}.{self.token()}.aside")
        else:
            self.remove(path)  # a link, a FIFO, a socket: it holds nothing

    def held(self, path: str, wait: float = 30.0, busy: str = "") -> AbstractContextManager[int]:
        """Hold a mutex of this worktree; see ``lock.held``."""
        from peercoord.store import lock

        opened = lambda: self.beneath.open(path, os.O_RDWR | os.O_CREAT)  # noqa: E731
        return lock.held(f"{self.beneath.root}/{path}", wait, busy, opened)
