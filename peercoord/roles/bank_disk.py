"""The documents of the memory bank: read and replaced, whole, and nothing but documents.

They belong to people, who edit them with any program at any time; so a document keeps its mode, no link is followed
(neither read through nor replaced by a file), and the directory itself is never made here: where it is missing, a
filesystem is not mounted or another branch is checked out, and an empty bank would stand in the way of the real one.

A rename over a document would destroy what a person saved since the last look at it, however short that is ago. So the
new text and the document *change places*, and what came out is looked at: if it is not what the merge was made from,
it goes back; so it does if a program still has it open to write, whose words would end in a file without a name. The
file under way says in its name which text it was staged with and which it is to displace: whoever
finds it after a crash sees whether it holds a person's words. Where the system can do neither (it is no Linux, or the
filesystem is remote), a rename right after the last look is all there is.
"""

from __future__ import annotations

import errno
import os
import stat as _stat
import sys
from contextlib import suppress
from functools import cache

from peercoord.core import ids
from peercoord.core.errors import BrokenFileError, NotFoundError, StorageError
from peercoord.core.limits import DOCUMENT_BYTES
from peercoord.core.memory import ledger
from peercoord.core.memory.contributions import check_document
from peercoord.fs.disk import Disk
from peercoord.fs.files import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable
    from typing import Protocol

    from peercoord.fs.disk import DiskLike, Stat

    class BankDiskLike(DiskLike, Protocol):
        """What ``Documents`` needs of a directory; see ``BankDisk`` for what is more than in ``DiskLike``."""

        def exchange(self, source: str, target: str) -> None: ...  # noqa: D102
        def match(self, path: str, other: str) -> None: ...  # noqa: D102
        def written(self, path: str) -> bool: ...  # noqa: D102


STAGED = ".peercoord-"  # hidden, beside the documents: only there a rename is sure to be one
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_NO_FILE = (errno.ELOOP, errno.ENXIO, errno.EISDIR)
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM)
_STRANGE = "?"  # the state of what is no file, unlike that of any text
_MARK = 16  # characters of a hash in the name of a file under way
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h> and <linux/fs.h>


class BankDisk(Disk):
    """A real directory, in which two files can change places and whoever has one open is noticed."""

    def exchange(self, source: str, target: str) -> None:
        """Let two names change places in one step; ``ENOSYS`` or ``EINVAL`` where that cannot be."""
        call = _renameat2()
        if call is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
        if call(_HERE, os.fsencode(self._full(source)), _HERE, os.fsencode(self._full(target)), _EXCHANGE):
            import ctypes

            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), target)

    def match(self, path: str, other: str) -> None:
        """Give a file the mode of another one, if that is there."""
        with suppress(FileNotFoundError):
            os.chmod(self._full(path), _stat.S_IMODE(os.lstat(self._full(other)).st_mode))

    def written(self, path: str) -> bool:
        """Tell whether a program has a file open to write; ``False`` where that cannot be told."""
        import fcntl
        import signal

        if sys.platform != "linux":
            return False
        try:
            handle = os.open(self._full(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
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


class Step:
    """A replacement of a document under way.

    Attributes:
        name: The document.
        before: State (``ledger.state``) that it is made from, or how that begins; empty for none.
        after: State that it makes, or how that begins; empty for none.
        path: The file that holds the new text until the two change places, and then the old one.
    """

    __slots__ = ("after", "before", "name", "path")

    def __init__(self, name: str, before: str, after: str, token: str) -> None:
        self.name, self.before, self.after = name, before, after
        self.path = f"{STAGED}{name}-{before[:_MARK]}-{after[:_MARK]}-{token}"

    @classmethod
    def read(cls, path: str) -> Step | None:
        """Read the name of a file under way; ``None`` if it is none in which anything was displaced."""
        parts = path.removeprefix(STAGED).rsplit("-", 3)
        return cls(*parts) if path.startswith(STAGED) and len(parts) == len(cls.__slots__) else None

    def knows(self, state: str) -> bool:
        """Tell whether a text is one that this replacement brought or is to displace: nobody else's."""
        return state[:_MARK] in (self.before[:_MARK], self.after[:_MARK])


class Documents:
    """The documents of one memory bank.

    Args:
        disk: The system calls, on its directory.
        token: Gives a new random word at each call, for names of files under way.
    """

    def __init__(self, disk: BankDiskLike, token: Callable[[], str]) -> None:
        self.disk, self.token = disk, token

    def there(self) -> bool:
        """Tell whether the directory is there."""
        try:
            self.disk.listdir("")
        except OSError as error:
            if error.errno in _ABSENT:
                return False
            raise refused(error, self._shown("")) from None
        return True

    def require(self) -> None:
        """Refuse where the directory is missing.

        Raises:
            NotFoundError: It is.
        """
        if not self.there():
            raise NotFoundError(
                f"the memory bank {self._shown('')} is not there: nothing is merged until it is",
                hint="is a filesystem not mounted, or another branch checked out? look with: peercoord doctor",
                code="no-bank",
            )

    def names(self) -> list[str]:
        """Names of the documents, sorted; what lies below folders is none."""
        try:
            found = sorted(name for name in self.disk.listdir("") if ids.is_id(name) and name.endswith(".md"))
        except OSError as error:
            if error.errno in _ABSENT:
                return []
            raise refused(error, self._shown("")) from None
        return [name for name in found if (seen := self._stat(name)) and not seen.is_dir]

    def read(self, name: str) -> bytes | None:
        """Give a document; ``None`` if there is none of that name.

        Raises:
            BrokenFileError: A link or a folder stands in its place, or it is too large.
            StorageError: The filesystem would not let us read it.
            UsageError: The name is none of a document.
        """
        check_document(name)
        try:
            data = self.disk.read(name, DOCUMENT_BYTES + 1)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            if error.errno in _NO_FILE:
                raise BrokenFileError(
                    f"{self._shown(name)} is a link or no file: it is left alone",
                    hint="put a plain file in its place",
                    code="link",
                ) from None
            raise refused(error, self._shown(name)) from None
        if len(data) > DOCUMENT_BYTES:
            raise BrokenFileError(
                f"{self._shown(name)} has more than {DOCUMENT_BYTES} bytes: it is left alone",
                hint="divide it into several documents",
                code="too-large",
            )
        return data

    def modified_ns(self, name: str) -> int | None:
        """Tell when a document was last written, in nanoseconds of the filesystem's clock; ``None`` if it is gone."""
        seen = self._stat(name)
        return seen.modified_ns if seen else None

    def written(self, name: str) -> bool:
        """Tell whether a program has a document open to write, as far as the system knows."""
        return self.disk.written(name)

    # -- replacing -------------------------------------------------------------------------------------------

    def stage(self, name: str, before: bytes | None, after: bytes | None) -> Step:
        """Write what a document is to become beside it, whole and durable; ``None`` to remove it.

        Give what comes of it to ``swap``, or to ``drop``.

        Raises:
            StorageError: The filesystem refused.
        """
        step = Step(name, ledger.state(before), ledger.state(after), self.token())
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

    def swap(self, step: Step) -> bool:
        """Replace a document by what was staged, durable, if it is still what that was made from.

        Returns:
            Whether it was. What a person saved until the very moment of the replacement stays, or is back.

        Raises:
            BrokenFileError: A link or a folder stands in its place now, or it is too large.
            StorageError: The filesystem refused; the document is as it was, or ``mend`` puts it right.
        """
        try:
            if ledger.state(self.read(step.name)) != step.before:
                return False
            landed = self._put(step)
            if landed:
                self.disk.sync("")
        except OSError as error:
            landed = self._state(step.name) == step.after  # an error is not an answer: it may be done
            if landed or error.errno in _ABSENT:
                return landed and step.knows(self._state(step.path) or step.after)
            raise refused(error, self._shown(step.name)) from None
        else:
            return landed
        finally:
            self.drop(step.path)

    def mend(self, name: str) -> list[bytes]:
        """Put back what a replacement displaced that was not known, and that its maker did not live to look at.

        Returns:
            Displaced texts that someone saved another one over since: to be kept elsewhere.
        """
        overtaken = []
        for path, _ in self.litter():
            step = Step.read(path)
            if step and step.name == name and not step.knows(found := self._state(path)):
                if self._state(name)[:_MARK] == step.after and found:
                    with suppress(OSError):  # it is tried again before the next change
                        self._put_back(step, found)
                    self.drop(path)
                elif data := self._text(path):
                    overtaken.append(data)
                    with suppress(OSError):
                        self.disk.unlink(path)
        return overtaken

    def litter(self) -> list[tuple[str, Stat]]:
        """Give the files under way, a crash's litter among them."""
        try:
            found = [name for name in self.disk.listdir("") if name.startswith(STAGED)]
        except OSError:
            return []
        return [(name, seen) for name in found if (seen := self._stat(name))]

    def drop(self, path: str) -> None:
        """Remove a file under way, unless it holds what is nowhere else."""
        step = Step.read(path)
        with suppress(OSError, StorageError):
            if path.startswith(STAGED) and (step is None or step.knows(self._state(path))):
                self.disk.unlink(path)

    # -- one replacement -------------------------------------------------------------------------------------

    def _put(self, step: Step) -> bool:
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

    def _linked(self, step: Step) -> bool:
        """Give what was staged the document's name, only if that is free."""
        try:
            self.disk.link(step.path, step.name)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            self.disk.rename(step.path, step.name)
        return True

    def _put_back(self, step: Step, found: str) -> None:
        if step.after:
            self._exchange(step, found, self._state(step.name))
        else:
            self._linked(step)

    def _exchange(self, step: Step, new: str, old: str) -> int:
        """Let a file under way, in state ``new``, change places with its document, in state ``old``.

        What comes out and is not ``old`` was saved meanwhile: it is newer, and goes back. Then what comes out must be
        ``new``; and so on, for as long as people save. So the newest stands in the end. What a program still writes
        goes back too.

        Returns:
            How often they changed places: once if all was as expected.
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

    def _text(self, path: str) -> bytes | None:
        try:
            return self.disk.read(path, DOCUMENT_BYTES + 1)
        except OSError:
            return None

    def _state(self, path: str) -> str:
        """Give the state of a document or of a file under way, whatever it is; empty if it is not there."""
        try:
            return ledger.state(self.disk.read(path, DOCUMENT_BYTES + 1))
        except OSError as error:
            if error.errno in _ABSENT:
                return ""
            if error.errno in _NO_FILE:
                return _STRANGE
            raise refused(error, self._shown(path)) from None

    def _stat(self, name: str) -> Stat | None:
        try:
            return self.disk.stat(name)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise refused(error, self._shown(name)) from None

    def _shown(self, name: str) -> str:
        home = getattr(self.disk, "root", "memory bank")
        return f"{home}/{name}" if name else str(home)
