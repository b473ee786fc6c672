"""Tables of a SQLite file, read once, with nothing left behind.

Promise: the file is opened for reading only, it is never created, and nothing appears beside it. A database in WAL
mode that nobody has open would be given two new files by a mere reader, which stay (measured with SQLite 3.40); so it
is read as an unchanging file, and again the ordinary way if it changed meanwhile. Text that is not UTF-8 costs its bad
bytes, not the table.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from peercoord.core.errors import BrokenFileError, PeercoordError, StorageError
from peercoord.edges.adapters import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError

    Record = dict[str, Any]

LOCK_SECONDS = 5.0
_UNFINISHED = ("SQLITE_READONLY_ROLLBACK", "SQLITE_READONLY_RECOVERY", "SQLITE_READONLY_CANTINIT")
_WAL = 2  # what byte 18 of the header says of a database in WAL mode


class Table:
    """One table: its columns in lower case, and its rows as they were read."""

    __slots__ = ("columns", "tuples")

    def __init__(self, columns: list[str], tuples: Sequence[tuple[Any, ...]]) -> None:
        self.columns, self.tuples = columns, tuples

    @property
    def rows(self) -> list[Record]:
        """The rows by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.tuples]


class Tables:
    """What was read: the wanted tables, and the names of all that there are."""

    __slots__ = ("found", "names")

    def __init__(self, found: dict[str, Table], names: list[str]) -> None:
        self.found, self.names = found, names


def read(path: Path, wanted: Collection[str], wait: float = LOCK_SECONDS, rows: bool = True) -> Tables:
    """Read tables whole.

    Args:
        path: The database file.
        wanted: Names in lower case; what is not there is left out.
        wait: Seconds to wait for a program that has it locked.
        rows: Whether to read the rows, or the columns alone.

    Raises:
        NotFoundError: The file is not there.
        BrokenFileError: It is no database, or damaged.
        StorageError: It is locked, or cannot be read.
    """
    from sqlalchemy.exc import DBAPIError

    header = files.head(path)
    if not header.startswith(files.SQLITE_MAGIC):
        raise BrokenFileError(f"{files.quoted(path)} is not a SQLite database", hint="name a database or a tasks.json")
    try:
        if header[18:19] == bytes([_WAL]):
            still = _still(path, wanted, wait, rows)
            if still is not None:
                return still
        return _fetch(path, "mode=ro", wanted, wait, rows)
    except DBAPIError as error:
        raise refusal(files.quoted(path), error) from None


def _still(path: Path, wanted: Collection[str], wait: float, rows: bool) -> Tables | None:
    """Read a database in WAL mode that nobody has open; ``None`` if somebody has, or began to."""
    from sqlalchemy.exc import DBAPIError

    before = _trace(path)
    if before[-1]:
        return None
    try:
        found = _fetch(path, "immutable=1", wanted, wait, rows)
    except DBAPIError:
        if _trace(path) == before:
            raise
        return None
    return found if _trace(path) == before else None


def _trace(path: Path) -> tuple[int, int, int, bool]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, os.path.exists(f"{path}-wal")


def _fetch(path: Path, how: str, wanted: Collection[str], wait: float, rows: bool) -> Tables:
    from sqlalchemy import inspect, select, table, text

    found = {}
    with _open(path, how, wait) as connection:
        look = inspect(connection)
        names = [*look.get_table_names(), *look.get_view_names()]
        for name in names:
            if name.lower() in wanted:
                query = select(text("*")).select_from(table(name)).limit(None if rows else 0)
                result = connection.execute(query)
                columns = [str(column).lower() for column in result.keys()]  # noqa: SIM118 - no dictionary
                found[name.lower()] = Table(columns, [tuple(row) for row in result])
    return Tables(found, names)


@contextmanager
def _open(path: Path, how: str, wait: float) -> Iterator[Connection]:
    import sqlite3

    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?{how}", uri=True, timeout=wait)
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        return connection

    engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def refusal(where: str, error: DBAPIError) -> PeercoordError:
    """Make the error that says what SQLite refused, and what to do.

    Args:
        where: The database's name, as it is shown.
        error: What came up.
    """
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    if name == "SQLITE_NOTADB":
        return BrokenFileError(f"{where} is not a SQLite database", hint="name another file, or restore this one")
    if name.startswith("SQLITE_CORRUPT"):
        return BrokenFileError(
            f"{where} is damaged: {error.orig}", hint="restore it, or save a copy with 'sqlite3 FILE .recover'"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageError(
            f"{where} is locked by another program", hint="close that program, then try again", code="locked"
        )
    if name in _UNFINISHED:
        return StorageError(
            f"{where} holds an unfinished change of a program that ended in the middle",
            hint="open it once with that program, or with sqlite3, then try again",
        )
    if name.startswith("SQLITE_READONLY"):
        return StorageError(
            f"{where} may not be written", hint="allow writing it and the directory it lies in", code="read-only"
        )
    if name == "SQLITE_FULL":
        return StorageError(f"{where}: the disk is full", hint="free some space", code="enospc")
    return StorageError(f"{where} cannot be used: {error.orig}", hint="check the file with sqlite3")
