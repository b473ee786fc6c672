"""The one door to the coordination directory: each errno gets its meaning here, once.

Promises:

- *Everything appears whole.* A file is written under ``tmp/``, flushed where that matters, then linked (only if
  the name is free) or renamed into place. A crash leaves the old state, the new one, or litter in ``tmp/``.
- *An error is not an answer.* A network filesystem may say "no such file" for a rename that it has done. After
  any failure to move, link, replace or make something we look whether it is there, and answer from that.
- *Nobody's return.* A peer's own directory is never made on the way to a file in it: that it is gone is the news, and
  a zombie that made it anew would be taken for living.
- *Nothing is taken for empty.* What cannot be read is an error that names the file; ``quarantine`` sets it aside.

Losing a race is ``False``; a filesystem that refuses is a ``StorageError`` that says which path and why.
"""

from __future__ import annotations

import errno
from contextlib import suppress

from peercoord.core import names
from peercoord.core.errors import BrokenFileError, StorageError
from peercoord.core.limits import EVENTS_BYTES, RECORD_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.fs.disk import DiskLike, Stat

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)
_ASIDE_BYTES = 200  # of a path, in a name under quarantine/; a name has 255, a token and ".why" follow
_TRIES = 16  # who makes a directory that others remove as soon as it is empty may lose this often in a crowd, no more

_WHY = {
    errno.ENOSPC: ("the disk is full", "free some space; claims, releases and heartbeats go on meanwhile"),
    errno.EDQUOT: ("the disk quota is used up", "free some space; claims, releases and heartbeats go on meanwhile"),
    errno.EROFS: ("the filesystem is read-only", "mount it read-write, or work through the background agent"),
    errno.EACCES: ("permission denied", "check the owner and mode of that path: peercoord doctor"),
    errno.EPERM: ("not permitted", "check the owner, mode and mount options of that path: peercoord doctor"),
    errno.ENOENT: ("its directory is gone", "look with: peercoord doctor"),
    errno.ENXIO: ("something that is no file stands where a file should be", "remove it: peercoord doctor"),
    errno.EISDIR: ("a directory stands where a file should be", "move it away: peercoord doctor"),
    errno.ELOOP: ("a symbolic link stands where a file should be", "remove the link: peercoord doctor"),
    errno.EXDEV: ("the coordination directory spans two filesystems", "keep all of it on one: peercoord doctor"),
}


def refused(error: OSError, path: str) -> StorageError:
    """Turn what the kernel said about a path into an error that says what to do."""
    reason, hint = _WHY.get(error.errno or 0, (error.strerror or str(error), "look with: peercoord doctor"))
    return StorageError(f"{path}: {reason}", hint, code=errno.errorcode.get(error.errno or 0, "EIO").lower())


def parent(path: str) -> str:
    """Give the directory that a path lies in."""
    return path.rpartition("/")[0]


def _aside(path: str) -> str:
    flat = path.replace("/", "+")
    whole = flat.encode("utf-8", "surrogateescape")
    if len(whole) > _ASIDE_BYTES:
        flat = f"{whole[:_ASIDE_BYTES].decode('utf-8', 'ignore')}+{names.cksum(whole):08x}"
    return f"{names.QUARANTINE}/{flat}~"


class Files:
    """The coordination directory.

    Args:
        disk: The system calls, on one root.
        token: Gives a new random word at each call, for names under ``tmp/`` and ``quarantine/``.
    """

    def __init__(self, disk: DiskLike, token: Callable[[], str]) -> None:
        self.disk = disk
        self.token = token

    # -- looking ---------------------------------------------------------------------------------------------

    def scan(self, path: str) -> list[str]:
        """Names in a directory, in no order; none if it is not there."""
        try:
            return self.disk.listdir(path)
        except OSError as error:
            if error.errno in _ABSENT:
                return []
            raise refused(error, path) from None

    def stat(self, path: str) -> Stat | None:
        """Look at a path; ``None`` if it is not there."""
        try:
            return self.disk.stat(path)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise refused(error, path) from None

    def listed(self, path: str) -> bool:
        """Tell whether a listing of its directory shows a path: the look that no network cache falsifies."""
        home, _, name = path.rpartition("/")
        return name in self.scan(home)

    def read(self, path: str) -> bytes | None:
        """Content of a file; ``None`` if it is not there.

        Raises:
            BrokenFileError: Something else stands in its place, or it is too large for a record.
            StorageError: The filesystem would not let us read it.
        """
        try:
            data = self.disk.read(path, RECORD_BYTES + 1)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            if error.errno in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
                raise BrokenFileError(refused(error, path).message) from None
            raise refused(error, path) from None
        if len(data) > RECORD_BYTES:
            raise BrokenFileError(f"{path}: larger than any record may be ({RECORD_BYTES} bytes)")
        return data

    def read_tail(self, path: str) -> bytes:
        """The last whole lines of a file that only grows, a record's size of them; nothing if it is not there."""
        try:
            data = self.disk.read(path, EVENTS_BYTES)
        except OSError as error:
            if error.errno in _ABSENT:
                return b""
            raise refused(error, path) from None
        return data[-RECORD_BYTES:]

    # -- making ----------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, durable: bool = False) -> None:
        """Replace a file, whole. For records with one writer, and views.

        Args:
            path: Where; its directory is made if it is missing.
            data: The new content.
            durable: It survives a power cut once this returns.
        """
        staged = self._stage(data, durable)
        try:
            self._into(path, lambda: self.disk.rename(staged, path))
        except StorageError:
            if not self._holds(path, data):
                self._drop(staged)
                raise
        if durable:
            self.sync(parent(path))

    def publish(self, path: str, data: bytes, durable: bool = False, ticket: str = "") -> bool:
        """Make a file, whole, only if its name is free.

        Args:
            path: Where; its directory is made if it is missing.
            data: The content.
            durable: It survives a power cut once this returns.
            ticket: A ticket to make first, as durable; but not before the content is written, so that a full disk
                is met while nothing has changed.

        Returns:
            Whether this call made it. Where links cannot be counted it may say ``False`` for its own file, after a
            reply lost on the way: where that matters the content carries a nonce to look for.
        """
        staged = self._stage(data, durable)
        try:
            if ticket:
                self.ticket(ticket)
                if durable:
                    self.sync(parent(ticket))
            made = self._linked(staged, path)
        finally:
            self._drop(staged)
        if durable:
            self.sync(parent(path))
        return made

    def ticket(self, path: str) -> bool:
        """Make an empty file; ``False`` if its name is taken."""
        return self.make(path, b"")

    def make(self, path: str, data: bytes, durable: bool = False) -> bool:
        """Make a new file where nobody looks yet: a crash may leave half of it. ``False`` if its name is taken."""
        return self._into(path, lambda: self.disk.create(path, data, durable))

    def make_dir(self, path: str) -> bool:
        """Make a directory; ``False`` if it is there."""
        try:
            self.disk.mkdir(path)
        except OSError as error:
            if error.errno == errno.EEXIST:
                return False
            seen = self.stat(path)
            if seen is None or not seen.is_dir:
                raise refused(error, path) from None
        return True

    def append(self, path: str, data: bytes) -> None:
        """Add to a file that one writer owns."""
        try:
            self.disk.append(path, data)
        except OSError as error:
            raise refused(error, path) from None

    def ring(self) -> None:
        """Wake whoever watches the bell. A hint: that nobody heard it changes nothing."""
        try:
            self.disk.touch(names.BELL_FILE)
        except OSError:
            return

    def sync(self, path: str) -> None:
        """Make the names in a directory survive a power cut."""
        try:
            self.disk.sync(path)
        except OSError as error:
            raise refused(error, path) from None

    def flush(self) -> None:
        """Make all that was written so far survive a power cut, at once: one flush for a thousand files."""
        self.disk.flush()

    # -- moving ----------------------------------------------------------------------------------------------

    def move(self, source: str, target: str, make_home: bool = False) -> bool:
        """Rename a ticket or a directory: the one thing that decides anything here.

        Args:
            source: Where it was seen.
            target: A name that only this peer makes, or one that every peer would give the same ticket.
            make_home: Make the target's directory if it is missing, unless it is a peer's own or its ``claims/``.

        Returns:
            ``True`` if the ticket now lies at ``target``; ``False`` if ``source`` is gone, or the target's
            directory is and was not to be made. Which of the two, and whether that means eviction, the caller
            finds out by looking.

        Raises:
            StorageError: The filesystem refused and the ticket still lies at ``source``.
        """
        for _ in range(_TRIES):
            try:
                self.disk.rename(source, target)
            except OSError as error:
                if self.stat(source) is None:
                    return self.listed(target)
                if error.errno not in _ABSENT:
                    raise refused(error, target) from None
                if not self._home_for(target, make_home):
                    return False
            else:
                return True
        if not make_home:
            return False  # a cached look may go on showing a directory that is gone
        raise _unsteady(target)

    def remove(self, path: str) -> bool:
        """Remove a file; ``False`` if it was gone."""
        try:
            self.disk.unlink(path)
        except OSError as error:
            if error.errno in _ABSENT:
                return False
            raise refused(error, path) from None
        return True

    def remove_dir(self, path: str) -> bool:
        """Remove a directory if it is empty; ``True`` if it is gone, whoever removed it."""
        try:
            self.disk.rmdir(path)
        except OSError as error:
            if error.errno in _NOT_EMPTY:
                return False
            if error.errno in _ABSENT:
                return True
            raise refused(error, path) from None
        return True

    def quarantine(self, path: str, reason: str) -> str:
        """Set aside what could not be read, with the reason beside it.

        Returns:
            Where it lies now; empty if it was gone.
        """
        aside = f"{_aside(path)}{self.token()}"
        if not self.move(path, aside, make_home=True):
            return ""
        try:
            self.put(f"{aside}.why", f"{path}\n{reason}\n".encode("utf-8", "backslashreplace"))
        except StorageError:
            return aside  # what matters is that it is out of the way; the event log has the reason as well
        return aside

    def set_aside(self, path: str) -> str:
        """Give the place in quarantine of what was set aside from ``path``; empty if nothing was."""
        prefix = _aside(path).rpartition("/")[2]
        found = [n for n in self.scan(names.QUARANTINE) if n.startswith(prefix) and not n.endswith(".why")]
        return f"{names.QUARANTINE}/{min(found)}" if found else ""

    # -- steps -----------------------------------------------------------------------------------------------

    def _stage(self, data: bytes, durable: bool) -> str:
        path = f"{names.TMP}/{self.token()}"
        try:
            self._into(path, lambda: self.disk.create(path, data, durable))
        except StorageError:
            self._drop(path)
            raise
        return path

    def _drop(self, staged: str) -> None:
        """Clear away what was staged; litter under ``tmp/`` is no reason to fail."""
        with suppress(OSError):
            self.disk.unlink(staged)

    def _linked(self, staged: str, path: str) -> bool:
        """Link what was staged into place; a second link of it is the proof where the answer is not."""
        try:
            if self._into(path, lambda: self.disk.link(staged, path)):
                return True
        except StorageError:
            if not self._has_twin(staged):
                raise
            return True
        return self._has_twin(staged)

    def _has_twin(self, staged: str) -> bool:
        try:
            return self.disk.stat(staged).links > 1
        except OSError:
            return False

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            return self.disk.read(path, len(data) + 1) == data
        except OSError:
            return False

    def _into(self, path: str, step: Callable[[], None]) -> bool:
        """Take a step that makes ``path``, making its directory if needed; ``False`` if the name is taken."""
        for _ in range(_TRIES):
            try:
                step()
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _ABSENT or not self._home_for(path, make_home=True):
                    raise refused(error, path) from None
            else:
                return True
        raise _unsteady(path)

    def _home_for(self, path: str, make_home: bool) -> bool:
        """Tell whether a path's directory is there now, having made it where that is allowed."""
        home = parent(path)
        seen = self.stat(home)
        if seen is not None:
            if not seen.is_dir:
                raise StorageError(
                    f"{home}: a file stands where a directory should be", "move it away: peercoord doctor", "enotdir"
                )
            return True
        if not make_home or names.is_news(home) or (parent(home) and not self._home_for(home, make_home)):
            return False
        self.make_dir(home)
        return True


def _unsteady(path: str) -> StorageError:
    return StorageError(f"{path}: its directory does not stay", "look with: peercoord doctor", "unsteady")
