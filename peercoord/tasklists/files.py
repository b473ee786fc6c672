"""Reading a source's file whole, or refusing it with its name and the next step.

Nothing is written or created. A directory, or a pipe that would never end, is refused before it is opened.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.foreign import shown

BYTES_MOST = 256 << 20
SQLITE_MAGIC = b"SQLite format 3\0"


def quoted(path: Path) -> str:
    """Quote a path for a message."""
    return shown(str(path), most=300)


def head(path: Path, size: int = 100) -> bytes:
    """Read the first ``size`` bytes of a plain file; refuse one that is empty or larger than ``BYTES_MOST``."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            what = "a directory" if stat.S_ISDIR(found.st_mode) else "no plain file"
            raise UsageError(f"{quoted(path)} is {what}, not a task file", hint="name the file itself")
        with open(path, "rb") as file:
            start = file.read(size)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if not start:
        raise BrokenFileError(f"{quoted(path)} is empty", hint="name a file that holds tasks")
    if found.st_size > BYTES_MOST:
        raise BrokenFileError(
            f"{quoted(path)} holds {found.st_size} bytes; a task source has at most {BYTES_MOST}",
            hint="name a smaller file",
        )
    return start


def whole(path: Path) -> str:
    """Read a text file whole."""
    head(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrokenFileError(
            f"{quoted(path)} is not text in UTF-8 (byte {error.start})", hint="name a text file, or repair this one"
        ) from None


def json_object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object."""
    return parse_object(whole(path), path)


def parse_object(text: str, path: Path) -> dict[str, Any]:
    """Parse the text of a file that holds one JSON object."""
    import json

    try:
        found = json.loads(text.removeprefix("\ufeff"), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        conflict = "<<<<<<<" in text and ">>>>>>>" in text
        raise BrokenFileError(
            f"{quoted(path)} is not JSON: {_reason(error)}",
            hint="resolve the merge conflict in it first" if conflict else "repair the file, then try again",
        ) from None
    if not isinstance(found, dict):
        raise BrokenFileError(f"{quoted(path)} holds no JSON object", hint="name another file, or repair this one")
    return found


def unreadable(path: Path, error: Exception) -> PeercoordError:
    """Return the error for a file that could not be opened or read."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return NotFoundError(f"{quoted(path)} is not there", hint="name an existing file")
    if isinstance(error, PermissionError):
        return StorageError(f"{quoted(path)} may not be read: {error.strerror}", hint="allow reading it")
    return StorageError(f"{quoted(path)} cannot be read: {getattr(error, 'strerror', None) or error}")


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
