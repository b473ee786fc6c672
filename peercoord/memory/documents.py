"""The documents of the memory bank: read and replace them whole.

People edit them with any program at any time. So a document keeps its mode, links are not followed, and the directory
is never created here: if it is missing, a filesystem is not mounted or another branch is checked out.

A plain rename would destroy what a person saved since the last look. So the new text and the document *exchange* their
names, and the displaced text is checked: if it is not the text that the merge was made from, or a program still has it
open for writing, it goes back. The staged file's name says which text it holds and which it displaces, so that after a
crash a person's text is recognized. Where files cannot be exchanged, a rename right after the last look is all there
is.
"""

from __future__ import annotations

import errno
import os
import stat as _stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from peercoord.errors import BrokenFileError, NotFoundError, StorageError
from peercoord.memory.contribution import check_document
from peercoord.memory.journal import state_of
from peercoord.store import ids
from peercoord.store.refusals import ABSENT, NO_FILE, refused
from peercoord.store.settings import DOCUMENT_BYTES
from peercoord.system.disk import Disk

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable
    from typing import Protocol

    from peercoord.system.disk import DiskLike, Stat

    class BankDiskLike(DiskLike, Protocol):
        """What ``Documents`` needs of a directory; see ``BankDisk`` for what is more than in ``DiskLike``."""

        def exchange(self, source: str, target: str) -> None: ...  # noqa: D102
        def match(self, path: str, other: str) -> None: ...  # noqa: D102
        def written(self, path: str) -> bool: ...  # noqa: D102


T = TypeVar("T")
A = TypeVar("A")
STAGED = ".peercoord-"  # hidden, beside the documents: only there is a rename sure to be atomic
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)
_STRANGE = "?"  # state of anything but a regular file; no text has it
_MARK = 16  # characters of a hash in the name of a staged file
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h> and <linux/fs.h>


class BankDisk(Disk):
    """A real directory, in which two files can be exchanged and an open file is noticed."""

    def exchange(self, source: str, target: str) -> None:
        """Exchange two names in one step; ``ENOSYS`` or ``EINVAL`` where the system cannot."""
        call = _renameat2()
        if call is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
        if call(_HERE, os.fsencode(self.below + source), _HERE, os.fsencode(self.below + target), _EXCHANGE):
            import ctypes

            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), target)

    def match(self, path: str, other: str) -> None:
        """Copy the mode of another file, if that one exists."""
        with suppress(FileNotFoundError):
            os.chmod(self.below + path, _stat.S_IMODE(os.lstat(self.below + other).st_mode))

    def written(self, path: str) -> bool:
        """Check whether a program has a file open to write; ``False`` where that cannot be told."""
        import fcntl
        import signal

        if sys.platform != "linux":
            return False
        try:
            handle = os.open(self.below + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)  # ignored; the usual one would end this process
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)  # not given while anyone may write
        except OSError as error:
            return error.errno == errno.EAGAIN
        else:
            return False
        finally:
            os.close(handle)


@cache
def _renameat2() -> ctypes._NamedFuncPointer | None:
    import ctypes

    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return call


@dataclass(frozen=True, slots=True)
class Replacement:
    """A document's replacement, staged and not finished."""

    name: str  # the document
    before: str  # state (``state_of``) that it is made from, or how that begins; empty for none
    after: str  # state that it makes, or how that begins; empty for none
    token: str  # random word in the name of the staged file

    @property
    def path(self) -> str:
        """The file that holds the new text until the two change places, and then the old one."""
        return f"{STAGED}{self.name}-{self.before[:_MARK]}-{self.after[:_MARK]}-{self.token}"

    @classmethod
    def read(cls, path: str) -> Replacement | None:
        """Read the name of a staged file; ``None`` if it can hold no displaced text."""
        parts = path.removeprefix(STAGED).rsplit("-", 3)
        return cls(*parts) if path.startswith(STAGED) and len(parts) == len(cls.__slots__) else None

    def knows(self, state: str) -> bool:
        """Check whether a text is the old or the new one of this replacement."""
        return state[:_MARK] in (self.before[:_MARK], self.after[:_MARK])


class Documents:
    """The documents of one memory bank."""

    def __init__(self, disk: BankDiskLike, token: Callable[[], str]) -> None:
        self.disk, self.token = disk, token
        self.place = str(getattr(disk, "root", ""))  # empty for a bank in memory

    def require(self) -> None:
        """Refuse with a ``NotFoundError`` where the directory is missing."""
        if self._looked(self.disk.listdir, "", None) is None:
            raise NotFoundError(
                f"the memory bank {self._shown('')} is not there: nothing is merged until it is",
                hint="is a filesystem not mounted, or another branch checked out? look with: peercoord doctor",
                code="no-bank",
            )

    def names(self) -> list[str]:
        """Names of the documents, sorted; files in subfolders are none."""
        found = sorted(name for name in self._looked(self.disk.listdir, "", []) if ids.is_id(name))
        return [name for name in found if name.endswith(".md") and (seen := self._stat(name)) and not seen.is_dir]

    def read(self, name: str) -> bytes | None:
        """Return a document; ``None`` if there is none of that name.

        A ``BrokenFileError`` says that a link or a folder stands in its place, or that it is too large.
        """
        check_document(name)
        try:
            data = self.disk.read(name, DOCUMENT_BYTES + 1)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            if error.errno in NO_FILE:
                raise BrokenFileError(
                    f"{self._shown(name)} is a symlink or not a regular file: it is skipped",
                    hint="put a plain file in its place",
                    code="link",
                ) from None
            raise refused(error, self._shown(name)) from None
        if len(data) > DOCUMENT_BYTES:
            raise BrokenFileError(
                f"{self._shown(name)} has more than {DOCUMENT_BYTES} bytes: it is skipped",
                hint="divide it into several documents",
                code="too-large",
            )
        return data

    def modified_ns(self, name: str) -> int | None:
        """Return when a document was last written, by the filesystem's clock; ``None`` if it is gone."""
        seen = self._stat(name)
        return seen.modified_ns if seen else None

    # -- replacing -------------------------------------------------------------------------------------------

    def stage(self, name: str, before: bytes | None, after: bytes | None) -> Replacement:
        """Write a document's new text beside it, whole and durable, for ``swap``; ``None`` removes it."""
        step = Replacement(name, state_of(before), state_of(after), self.token())
        if after is None:
            return step
        scratch = f"{STAGED}{self.token()}"
        try:
            self.disk.create(scratch, after, True)
            self.disk.match(scratch, name)
            self.disk.rename(scratch, step.path)  # under that name it is never half a text
        except OSError as error:
            if self._state(step.path) != step.after:
                with suppress(OSError):
                    self.disk.unlink(scratch)
                raise refused(error, self._shown(name)) from None
        return step

    def swap(self, step: Replacement) -> bool:
        """Replace a document by its staged text, durable, unless the document changed meanwhile.

        After a replacement the staged file holds the displaced text: ``drop`` it once the journal has the entry.
        """
        landed = False
        try:
            if state_of(self.read(step.name)) == step.before:
                landed = self._put(step)
                if landed:
                    self.disk.sync("")
        except OSError as error:
            landed = self._state(step.name) == step.after  # an error is not an answer: it may be done
            if not landed and error.errno not in ABSENT:
                raise refused(error, self._shown(step.name)) from None
            landed = landed and step.knows(self._state(step.path) or step.after)
        finally:
            if not landed:
                self.drop(step.path)
        return landed

    def was_replaced(self, name: str, before: str, after: str) -> bool:
        """Check whether a staged file proves that a document was replaced: it holds the displaced text.

        Nothing proves that a document was made or removed.
        """
        marks = (before[:_MARK], after[:_MARK])
        steps = [step for path, _ in self.litter() if (step := Replacement.read(path)) and step.name == name]
        proofs = [step.path for step in steps if all(marks) and (step.before, step.after) == marks]
        return any(self._state(path)[:_MARK] == marks[0] for path in proofs)

    def mend(self, name: str) -> list[bytes]:
        """Put back unknown texts that replacements displaced before they crashed; return those that are outdated."""
        overtaken = []
        for path, _ in self.litter():
            step = Replacement.read(path)
            if step and step.name == name and not step.knows(found := self._state(path)):
                if self._state(name)[:_MARK] == step.after and found:
                    with suppress(OSError):  # it is tried again before the next change
                        self._put_back(step, found)
                    self.drop(path)
                else:
                    with suppress(OSError):
                        if data := self.disk.read(path, DOCUMENT_BYTES + 1):
                            overtaken.append(data)
                            self.disk.unlink(path)
        return overtaken

    def litter(self) -> list[tuple[str, Stat]]:
        """Return the staged files, those of crashed leaders among them."""
        try:
            found = [name for name in self.disk.listdir("") if name.startswith(STAGED)]
        except OSError:
            return []
        return [(name, seen) for name in found if (seen := self._stat(name))]

    def drop(self, path: str) -> None:
        """Remove a staged file, unless it holds text that is nowhere else."""
        step = Replacement.read(path)
        with suppress(OSError, StorageError):
            if path.startswith(STAGED) and (step is None or step.knows(self._state(path))):
                self.disk.unlink(path)

    # -- one replacement -------------------------------------------------------------------------------------

    def _put(self, step: Replacement) -> bool:
        if not step.before:
            return self._linked(step)
        if step.after:
            return self._exchange(step, step.after, step.before) == 1
        self.disk.rename(step.name, step.path)
        busy, found = self.disk.written(step.path), self._state(step.path)
        if busy or found != step.before:
            self._put_back(step, found)
            return False
        return True

    def _linked(self, step: Replacement) -> bool:
        """Give the staged file the document's name, only if that is free."""
        try:
            self.disk.link(step.path, step.name)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            self.disk.rename(step.path, step.name)
        return True

    def _put_back(self, step: Replacement, found: str) -> None:
        if step.after:
            self._exchange(step, found, self._state(step.name))
        else:
            self._linked(step)

    def _exchange(self, step: Replacement, new: str, old: str) -> int:
        """Exchange a staged file, in state ``new``, with its document, in state ``old``.

        What comes out and is not ``old`` was saved meanwhile: it is newer, and goes back. Then what comes out must be
        ``new``; and so on, for as long as people save. So the newest stands in the end. What a program still writes
        goes back too.
        """
        count = 0
        while True:
            try:
                self.disk.exchange(step.path, step.name)
            except OSError as error:
                if error.errno in _CANNOT and not count:
                    self.disk.rename(step.path, step.name)
                    return 1
                if self._state(step.path) == new:
                    raise
            count += 1
            busy = self.disk.written(step.path) if count == 1 else False  # first: who opens it later finds the other
            found = self._state(step.path)
            if found == old and not busy:
                return count
            new, old = found, new

    def _state(self, path: str) -> str:
        """Return the state of a document or staged file; empty if it is missing."""
        try:
            return state_of(self.disk.read(path, DOCUMENT_BYTES + 1))
        except OSError as error:
            if error.errno in ABSENT:
                return ""
            if error.errno in NO_FILE:
                return _STRANGE
            raise refused(error, self._shown(path)) from None

    def _stat(self, name: str) -> Stat | None:
        return self._looked(self.disk.stat, name, None)

    def _looked(self, look: Callable[[str], T], name: str, absent: A) -> T | A:
        try:
            return look(name)
        except OSError as error:
            if error.errno in ABSENT:
                return absent
            raise refused(error, self._shown(name)) from None

    def _shown(self, name: str) -> str:
        home = self.place or "memory bank"
        return f"{home}/{name}" if name else home
