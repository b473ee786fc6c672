"""The one door to the coordination directory.

- *Everything appears whole.* A file is written under ``tmp/``, flushed if that matters, then linked (only if the name
  is free) or renamed into place. A crash leaves the old state, the new one, or litter in ``tmp/``.
- *An error is not an answer.* A network filesystem may report "no such file" for a rename that it has done. After a
  failed move, link or replace, the caller's answer comes from another look.
- *A peer's directory is never made again* on the way to a file in it. Its absence means eviction, and a zombie that
  made it again would look alive.
- *Nothing counts as empty.* What cannot be read is an error that names the file; ``quarantine`` sets it aside.

Losing a race is ``False``; a filesystem that refuses is a ``StorageError`` with the path and the reason.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from peercoord.errors import BrokenFileError, StorageError
from peercoord.foreign import clean
from peercoord.store import paths, records
from peercoord.store.refusals import ABSENT, NO_FILE, refused
from peercoord.store.settings import EVENTS_BYTES, RECORD_BYTES
from peercoord.system import cksum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from peercoord.foreign import Json
    from peercoord.system.disk import DiskLike, Stat

T = TypeVar("T")
A = TypeVar("A")
_GONE = tuple(errno.errorcode[number].lower() for number in ABSENT)
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)
_ASIDE_BYTES = 200  # of a path, in a name under quarantine/; a name has 255, a token and ".why" follow
_FEW = 8  # files that are flushed one by one; more are flushed together
_TRIES = 16  # attempts to use a directory that other peers remove whenever it is empty


def parent(path: str) -> str:
    """The directory that a path lies in."""
    return path.rpartition("/")[0]


def _aside(path: str) -> str:
    flat = path.replace("/", "+")
    whole = flat.encode("utf-8", "surrogateescape")
    if len(whole) > _ASIDE_BYTES:
        flat = f"{whole[:_ASIDE_BYTES].decode('utf-8', 'ignore')}+{cksum.cksum(whole):08x}"
    return f"{paths.QUARANTINE}/{flat}~"


class Files:
    """The coordination directory; ``token`` returns a new random word for each name in ``tmp/`` and ``quarantine/``."""

    def __init__(self, disk: DiskLike, token: Callable[[], str]) -> None:
        self.disk = disk
        self.token = token

    @property
    def place(self) -> str:
        """Absolute path of the directory; empty for one in memory."""
        return str(getattr(self.disk, "root", ""))

    # -- looking ---------------------------------------------------------------------------------------------

    def scan(self, path: str) -> list[str]:
        """Names in a directory, in no order; none if it does not exist."""
        return self._looked(self.disk.listdir, path, [])

    def marks(self, path: str) -> list[tuple[str, int, int]]:
        """Name, time of change and size of all that is in a directory, in no order; none if it does not exist."""
        look = getattr(self.disk, "marks", None)
        if look is not None:
            return self._looked(look, path, [])
        found = ((name, self.stat(f"{path}/{name}")) for name in self.scan(path))
        return [(name, seen.modified_ns, seen.size) for name, seen in found if seen]

    def contents(self, path: str) -> list[tuple[tuple[str, int, int], bytes]]:
        """The marks of all that is in a directory, each with its content: none of what is too large, or no file."""
        look = getattr(self.disk, "contents", None)
        if look is not None:
            return self._looked(lambda home: look(home, RECORD_BYTES), path, [])
        found = []
        for mark in self.marks(path):
            with suppress(BrokenFileError):
                found.append((mark, self.read(f"{path}/{mark[0]}") or b""))
        return found

    def stat(self, path: str) -> Stat | None:
        """Return the state of a path; ``None`` if it does not exist."""
        return self._looked(self.disk.stat, path, None)

    def irregular(self, path: str) -> list[str]:
        """Names in a directory that are not regular files; none if it does not exist."""
        return self._looked(self.disk.irregular, path, [])

    def _looked(self, look: Callable[[str], T], path: str, absent: A) -> T | A:
        try:
            return look(path)
        except OSError as error:
            if error.errno in ABSENT:
                return absent
            raise refused(error, path) from None

    def listed(self, path: str) -> bool:
        """Check whether a listing of its directory shows a path. No network cache falsifies a listing."""
        home, _, name = path.rpartition("/")
        return name in self.scan(home)

    def read(self, path: str) -> bytes | None:
        """The content of a file; ``None`` if it does not exist; ``BrokenFileError`` if it can be no record."""
        try:
            data = self.disk.read(path, RECORD_BYTES + 1)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            if error.errno in NO_FILE:
                raise BrokenFileError(refused(error, path).message) from None
            raise refused(error, path) from None
        if len(data) > RECORD_BYTES:
            raise BrokenFileError(f"{path}: larger than any record may be ({RECORD_BYTES} bytes)")
        return data

    def record(self, path: str) -> Json | None:
        """A record that only informs; ``None`` if it is missing or broken."""
        try:
            data = self.read(path)
            return None if data is None else records.decode(data, path)
        except BrokenFileError:
            return None

    def lines(self, path: str, *words: str) -> Iterator[Json]:
        """The records at the end of a file that only grows, of lines with all these words, without broken lines."""
        wanted = [word.encode() for word in words]
        for line in self.read_tail(path).splitlines():
            if all(word in line for word in wanted):
                with suppress(BrokenFileError):  # being written, or cut by a crash
                    yield records.decode(line, path)

    def read_tail(self, path: str) -> bytes:
        """The end of a file that only grows, at most the size of a record; empty if it does not exist."""
        return self._looked(lambda path: self.disk.read(path, EVENTS_BYTES), path, b"")[-RECORD_BYTES:]

    def grown(self, path: str, start: int) -> bytes:
        """What a file that only grows holds from a place on; empty if it does not exist."""
        return self._looked(lambda path: self.disk.read(path, 2 * EVENTS_BYTES), path, b"")[start:]

    def now(self) -> int:
        """The filesystem's own time in nanoseconds: the time of a file made for this."""
        probe = f"{paths.TMP}/{self.token()}"
        self.ticket(probe)
        seen = self.stat(probe)
        self.remove(probe)
        return max(seen.modified_ns, seen.changed_ns) if seen else 0

    # -- making ----------------------------------------------------------------------------------------------

    def put(self, path: str, data: bytes, durable: bool = False) -> None:
        """Replace a file as a whole, or make it and its directory. For records with one writer, and views.

        What is ``durable`` survives a power cut once this returns.
        """
        self._put(self.stage(data, durable), path, data)
        if durable:
            self.sync(parent(path))

    def put_all(self, directory: str, files: Mapping[str, bytes], above: int = 1) -> None:
        """Replace files of one directory, by name, as ``put`` does: durable, with one flush of the directory.

        ``above`` directories above it may be new too. A name is given to what was flushed alone: who finds it after a
        crash of this process need not flush it again.
        """
        if len(files) <= _FEW:
            for name, data in files.items():
                self._put(self.stage(data, durable=True), f"{directory}/{name}", data)
        else:
            staged = {name: self.stage(data, durable=False) for name, data in files.items()}
            self.flush()
            for name, path in staged.items():
                self._put(path, f"{directory}/{name}", files[name])
        if files:
            self.sync(directory, above)

    def _put(self, staged: str, path: str, data: bytes) -> None:
        try:
            self._into(path, self.disk.rename, staged, path)
        except StorageError:
            if not self._holds(path, data):
                self.drop(staged)
                raise

    def publish(self, path: str, data: bytes, durable: bool = False) -> bool:
        """Create a file as a whole, and its directory; ``False`` if its name is taken.

        What is ``durable`` survives a power cut once this returns. Where links cannot be counted, it may be ``False``
        for the call's own file after a lost reply; callers for whom that matters put a nonce into the content.
        """
        return self.publish_staged(self.stage(data, durable), path, durable)

    def publish_staged(self, staged: str, path: str, durable: bool = False) -> bool:
        """Create a file as ``publish`` does, from what ``stage`` wrote."""
        try:
            made = self._linked(staged, path)
        finally:
            self.drop(staged)
        if durable:
            self.sync(parent(path))
        return made

    def ticket(self, path: str) -> bool:
        """Create an empty file; ``False`` if its name is taken."""
        return self.make(path, b"")

    def make(self, path: str, data: bytes, durable: bool = False) -> bool:
        """Create a file that no peer reads yet (a crash may leave half of it); ``False`` if its name is taken."""
        return self._into(path, self.disk.create, path, data, durable)

    def make_dir(self, path: str) -> bool:
        """Create a directory; ``False`` if it exists."""
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
        """Wake the peers that watch the bell. It is a hint: nothing depends on it."""
        with suppress(OSError):
            self.disk.touch(paths.BELL_FILE)

    def sync(self, path: str, above: int = 1) -> None:
        """Make the names in a directory survive a power cut, and its own: it may be new, as may more of those above."""
        homes = [path]
        for _ in range(above):
            homes.append(parent(homes[-1]))
        for home in dict.fromkeys(homes):
            try:
                self.disk.sync(home)
            except OSError as error:
                raise refused(error, home) from None

    def sync_move(self, source: str, target: str) -> None:
        """Make a move that was done survive a power cut: by the directory it went to, or the one it came from.

        Either may have been removed since, the ticket having moved on.
        """
        for home in (parent(target), parent(source)):
            try:
                self.sync(home)
                break
            except StorageError as error:
                if error.code not in _GONE:
                    raise

    def flush(self) -> None:
        """Make everything written so far survive a power cut: one flush for a thousand files."""
        try:
            self.disk.flush()
        except OSError as error:
            raise refused(error, paths.ROOT) from None

    # -- moving ----------------------------------------------------------------------------------------------

    def move(self, source: str, target: str, make_home: bool = False) -> bool:
        """Rename a ticket or a directory: the step that decides every race.

        ``False`` if ``source`` is gone, or the target's directory is: the caller looks which, and whether it means
        eviction. After a ``StorageError`` it still lies at ``source``.

        Args:
            source: Where it was seen.
            target: A name that only this peer makes, or that every peer would give the same ticket.
            make_home: Make the target's directory if missing, unless it is a peer's own or its ``claims/``.
        """
        for _ in range(_TRIES):
            try:
                self.disk.rename(source, target)
            except OSError as error:
                if self.stat(source) is None:
                    return self.listed(target)
                if error.errno == errno.EISDIR and self.set_irregular_aside(target):
                    continue  # a directory stood where a ticket goes
                if error.errno not in ABSENT:
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
            if error.errno in ABSENT:
                return False
            raise refused(error, path) from None
        return True

    def remove_dir(self, path: str) -> bool:
        """Remove a directory if it is empty; ``True`` if it is gone now."""
        try:
            self.disk.rmdir(path)
        except OSError as error:
            if error.errno in _NOT_EMPTY:
                return False
            if error.errno in ABSENT:
                return True
            raise refused(error, path) from None
        return True

    def quarantine(self, path: str, reason: str) -> str:
        """Move what could not be read to quarantine, the reason beside it; return where, empty if it was gone."""
        aside = f"{_aside(path)}{self.token()}"
        if not self.move(path, aside, make_home=True):
            return ""
        with suppress(StorageError):  # it is out of the way; the event log has the reason too
            self.put(f"{aside}.why", f"{path}\n{clean(reason)}\n".encode("utf-8", "backslashreplace"))
        return aside

    def set_irregular_aside(self, path: str) -> str:
        """Quarantine what has a ticket's name and is not a regular file; return where it lies, empty if nothing did.

        Two peers may do so at once, and a ticket may come to this path between their looks. So what was moved is
        checked again and goes back if it is a regular file.
        """
        seen = self.stat(path)
        if seen is None or seen.is_file:
            return ""
        aside = self.quarantine(path, "a ticket is a regular file; this is something else under a ticket's name")
        moved = self.stat(aside) if aside else None
        if moved is not None and moved.is_file:
            self.move(aside, path, make_home=True)
            return ""
        return aside

    def set_aside(self, path: str) -> str:
        """The place in quarantine of what was set aside from ``path``; empty if nothing was."""
        prefix = _aside(path).rpartition("/")[2]
        found = [n for n in self.scan(paths.QUARANTINE) if n.startswith(prefix) and not n.endswith(".why")]
        return f"{paths.QUARANTINE}/{min(found)}" if found else ""

    # -- steps -----------------------------------------------------------------------------------------------

    def stage(self, data: bytes, durable: bool) -> str:
        """Write content under ``tmp/``, to be linked or renamed into place; return its path."""
        path = f"{paths.TMP}/{self.token()}"
        try:
            self._into(path, self.disk.create, path, data, durable)
        except StorageError:
            self.drop(path)
            raise
        return path

    def drop(self, staged: str) -> None:
        """Remove a staged file; litter under ``tmp/`` is not a failure."""
        with suppress(OSError):
            self.disk.unlink(staged)

    def _linked(self, staged: str, path: str) -> bool:
        """Link a staged file into place. If the answer was lost, its link count tells."""
        try:
            if self._into(path, self.disk.link, staged, path):
                return True
        except StorageError:
            if not self._has_twin(staged):
                raise
            return True
        return self._has_twin(staged)

    def _has_twin(self, staged: str) -> bool:
        with suppress(OSError):
            return self.disk.stat(staged).links > 1
        return False

    def _holds(self, path: str, data: bytes) -> bool:
        with suppress(OSError):
            return self.disk.read(path, len(data) + 1) == data
        return False

    def _into(self, path: str, step: Callable[..., None], *args: object) -> bool:
        """Run a step that makes ``path``, and make its directory if needed; ``False`` if the name is taken."""
        for _ in range(_TRIES):
            try:
                step(*args)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in ABSENT or not self._home_for(path, make_home=True):
                    raise refused(error, path) from None
            else:
                return True
        raise _unsteady(path)

    def _home_for(self, path: str, make_home: bool) -> bool:
        """Whether a path's directory exists now, having made it if that is allowed."""
        home = parent(path)
        seen = self.stat(home)
        if seen is not None:
            if not seen.is_dir:
                raise StorageError(
                    f"{home}: a file stands where a directory should be", "move it away: peercoord doctor", "enotdir"
                )
            return True
        if not make_home or paths.is_peer_directory(home) or (parent(home) and not self._home_for(home, make_home)):
            return False  # the one above is looked at first: it may be a link, which ``mkdir`` would follow
        self.make_dir(home)
        return True


def _unsteady(path: str) -> StorageError:
    return StorageError(f"{path}: its directory does not stay", "look with: peercoord doctor", "unsteady")
