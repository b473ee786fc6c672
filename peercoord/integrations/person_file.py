"""A file of a person's, read and replaced as a whole: links are followed, its mode and owner stay."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from peercoord.errors import PeercoordError
from peercoord.foreign import plain
from peercoord.system import clock

MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class PersonFile:
    """A file as it was when it was read.

    Attributes:
        path: Where it is, with all links followed.
        data: What it holds; ``None`` if it does not exist.
        by_hand: What to type instead, if it cannot be written.
    """

    path: Path
    data: bytes | None
    by_hand: str

    @classmethod
    def read(cls, named: Path, by_hand: str, *, may_write: bool = True) -> PersonFile:
        """Read a file.

        Args:
            named: Its path.
            by_hand: What to type instead, if it cannot be written.
            may_write: It is to be replaced: refuse one that is read-only.

        Raises:
            PeercoordError: It is no file that peercoord may write; nothing was changed.
        """
        path = Path(os.path.realpath(named))
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return cls(path, None, by_hand)
        except OSError as error:
            raise cls._refusal(path, str(error.strerror).lower(), by_hand) from None
        seen = os.fstat(handle)
        if not stat.S_ISREG(seen.st_mode):
            os.close(handle)
            raise cls._refusal(path, "it is no regular file", by_hand)
        with os.fdopen(handle, "rb") as file:
            if may_write and not seen.st_mode & stat.S_IWUSR:
                to_type = f"make it writable (chmod u+w {shlex.quote(str(path))}) and type the same again, or {by_hand}"
                raise cls._refusal(path, "it is read-only", to_type)
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise cls._refusal(path, "it is too large", by_hand)
        return cls(path, data, by_hand)

    @property
    def text(self) -> str:
        """The text without a byte order mark; empty if the file does not exist.

        Raises:
            PeercoordError: It is not UTF-8.
        """
        try:
            return (self.data or b"").decode().removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise self.refusal("it is not UTF-8") from None

    def replace(self, text: str) -> None:
        """Replace what the file holds, in one step.

        Raises:
            PeercoordError: It changed since it was read, or cannot be written.
        """
        mark = "\ufeff" if (self.data or b"").startswith("\ufeff".encode()) else ""
        staged = self.path.with_name(f".{self.path.name}.{clock.token()}")
        try:
            with open(staged, "xb", opener=_private if self.data is not None else None) as file:
                file.write((mark + text).encode())
                if self.data is not None:
                    seen = os.stat(self.path)
                    with suppress(PermissionError):  # only root may give a file to its owner
                        os.fchown(file.fileno(), seen.st_uid, seen.st_gid)
                    os.fchmod(file.fileno(), stat.S_IMODE(seen.st_mode))
                file.flush()
                os.fsync(file.fileno())
            self._check_unchanged()
            os.rename(staged, self.path)
        except OSError as error:
            raise self.refusal(str(error.strerror).lower()) from None
        finally:
            with suppress(OSError):
                os.unlink(staged)

    def remove(self) -> None:
        """Remove the file."""
        self._check_unchanged()
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def refusal(self, why: str) -> PeercoordError:
        """Return the error that says why the file is left as it is, and what to type."""
        return self._refusal(self.path, why, self.by_hand)

    @staticmethod
    def _refusal(path: Path, why: str, by_hand: str) -> PeercoordError:
        return PeercoordError(f"{plain(path)} is left as it is: {why}", by_hand, code="left-alone")

    def _check_unchanged(self) -> None:
        try:
            now: bytes | None = self.path.read_bytes()
        except FileNotFoundError:
            now = None
        if now != self.data:
            raise self.refusal("another program has just written it")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
