"""The documents of the memory bank: read and replaced, whole, and nothing but documents.

They belong to people, who edit them with any program at any time; so a document keeps its mode, no link is followed
(neither read through nor replaced by a file), and the directory itself is never made here: where it is missing, a
filesystem is not mounted or another branch is checked out, and an empty bank would stand in the way of the real one.
"""

from __future__ import annotations

import errno
import os
import stat as _stat
from contextlib import suppress

from peercoord.core import ids
from peercoord.core.errors import BrokenFileError, NotFoundError, StorageError
from peercoord.core.limits import DOCUMENT_BYTES
from peercoord.core.memory.contributions import check_document
from peercoord.fs.disk import Disk
from peercoord.fs.files import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.fs.disk import DiskLike, Stat

STAGED = ".peercoord-"  # hidden, beside the documents: only there a rename is sure to be one
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_NO_FILE = (errno.ELOOP, errno.ENXIO, errno.EISDIR)


class BankDisk(Disk):
    """A real directory in which a file that replaces another gets that one's mode."""

    def rename(self, source: str, target: str) -> None:
        """Move a file in one step, over another one."""
        with suppress(FileNotFoundError):
            os.chmod(self._full(source), _stat.S_IMODE(os.lstat(self._full(target)).st_mode))
        super().rename(source, target)


class Documents:
    """The documents of one memory bank.

    Args:
        disk: The system calls, on its directory.
        token: Gives a new random word at each call, for names of files under way.
    """

    def __init__(self, disk: DiskLike, token: Callable[[], str]) -> None:
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

    def replace(self, name: str, data: bytes | None) -> None:
        """Replace a document, whole and durable; ``None`` removes it.

        Raises:
            StorageError: The filesystem refused; the document is as it was.
        """
        staged = f"{STAGED}{self.token()}"
        try:
            if data is None:
                self.disk.unlink(name)
            else:
                self.disk.create(staged, data, True)
                self.disk.rename(staged, name)
            self.disk.sync("")
        except OSError as error:
            if self._holds(name, data):  # an error is not an answer: a network filesystem may have done it
                return
            with suppress(OSError):
                self.disk.unlink(staged)
            raise refused(error, self._shown(name)) from None

    def litter(self) -> list[tuple[str, Stat]]:
        """Give the files under way, a crash's litter among them."""
        try:
            found = [name for name in self.disk.listdir("") if name.startswith(STAGED)]
        except OSError:
            return []
        return [(name, seen) for name in found if (seen := self._stat(name))]

    def drop(self, name: str) -> None:
        """Remove a file under way."""
        if name.startswith(STAGED):
            with suppress(OSError):
                self.disk.unlink(name)

    def _holds(self, name: str, data: bytes | None) -> bool:
        try:
            return self.read(name) == data
        except (BrokenFileError, StorageError):
            return False

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
