"""Connections to a database: SQLite or PostgreSQL, opened for one task and closed again.

Promises: a database is created only when a user names it; nothing waits longer than its limit, for a lock, a
server or a statement; a transaction that writes may write from its first statement on (SQLite), or fails whole if
another one wrote the same rows (PostgreSQL). A URL is shown without its password, always.

A read-only open leaves nothing behind: a SQLite file in WAL mode that no program has open would be given two new files
by a mere reader, which stay. So it is read as an unchanging file, and again the ordinary way if it changed meanwhile.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from peercoord.errors import BrokenFileError, LostError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.tasklists import files, normalize

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

LOCK_SECONDS = 2.0
READ_LOCK_SECONDS = 5.0
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60
SQLITE, POSTGRES = "sqlite", "postgresql"
_SCHEMES = {"sqlite": SQLITE, "postgres": POSTGRES, "postgresql": POSTGRES}
_UNSETTLED = ("40001", "40P01")  # serialization failure, deadlock: safe to do again
_POSTGRES_REFUSALS = {
    "55P03": (" is locked by another program", "try again", "locked"),
    "25006": (" may not be written", "ask its administrator", "read-only"),
    "53100": (": the server's disk is full", "free some", "enospc"),
}
_UNFINISHED = ("SQLITE_READONLY_ROLLBACK", "SQLITE_READONLY_RECOVERY", "SQLITE_READONLY_CANTINIT")
_WAL = 2  # byte 18 of the header of a database in WAL mode

T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """Where a database is."""

    path: Path | None  # its file; ``None`` for PostgreSQL
    url: str  # its URL with the password; empty for SQLite
    shown: str  # its name in messages

    @property
    def word(self) -> str:
        """Its name in a command for people to type; never with its password."""
        where = self.shown if self.path is None else str(self.path)
        return shlex.quote(where) if where.isprintable() else "PATH_OR_URL"

    @classmethod
    def read(cls, where: str, home: Path | None = None) -> Address:
        """Parse a path or URL.

        Args:
            where: A path, ``sqlite:///PATH`` or ``postgresql://…``. A leading ``~`` is the home directory.
            home: What a relative path begins at; the working directory if left out.

        Raises:
            UsageError: It is neither.
        """
        scheme, colon, rest = where.partition("://")
        if not colon:
            return cls._file(where, home)
        kind = _SCHEMES.get(scheme.lower().partition("+")[0])
        if kind is None:
            raise UsageError(
                f"a database cannot be reached by a URL of the kind {files.quoted(Path(scheme))}",
                hint="name a file, sqlite:///PATH, or postgresql://USER@HOST/DATABASE",
            )
        if kind == POSTGRES:
            from sqlalchemy.engine import make_url
            from sqlalchemy.exc import ArgumentError

            try:
                url = make_url(where).set(drivername="postgresql+psycopg")
            except (ArgumentError, ValueError):
                raise UsageError(
                    "this URL of a database is not understood", hint="write postgresql://USER@HOST/DATABASE"
                ) from None
            shown = url.set(drivername=POSTGRES)._replace(password=None).render_as_string(hide_password=True)
            return cls(None, url.render_as_string(hide_password=False), shown)
        path = rest.partition("?")[0]
        if not path.startswith("/") or path in ("/", "/:memory:"):
            raise UsageError(
                "this sqlite URL names no file", hint="write sqlite:///PATH, with four slashes a full path"
            )
        return cls._file(path[1:], home)

    @classmethod
    def _file(cls, where: str, home: Path | None) -> Address:
        path = Path(os.path.abspath((home or Path()) / os.path.expanduser(where)))
        return cls(path, "", files.quoted(path))


class Database:
    """Opens one database; waits so many seconds for another program that has it locked."""

    def __init__(self, address: Address, wait: float = LOCK_SECONDS) -> None:
        self.address, self.wait = address, wait
        self._engine: Engine | None = None

    @property
    def is_postgres(self) -> bool:
        """It is PostgreSQL."""
        return self.address.path is None

    def create(self) -> bool:
        """Create an empty SQLite file that the user has just named if it is missing. Return whether it was created."""
        path = self.address.path
        if path is None or path.exists():
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb"):
                return True
        except FileExistsError:
            return False
        except OSError as error:
            raise StorageError(f"{self.address.shown} cannot be made: {error.strerror}") from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Return a connection on which all that is read is of one moment."""
        with self._connected("BEGIN") as connection:
            yield connection
            connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Return a connection in a transaction, committed at the end of the block unless that raises.

        Raises:
            LostError: Another transaction wrote the same at this moment; safe to do again.
        """
        with self._connected("BEGIN IMMEDIATE") as connection:
            yield connection
            connection.commit()

    @contextmanager
    def _connected(self, begin: str) -> Iterator[Connection]:
        from sqlalchemy import event
        from sqlalchemy.exc import DBAPIError

        self._check()
        if self._engine is None and self.is_postgres:
            self._engine = _postgres(self.address.url, self.wait)
        elif self._engine is None:
            self._engine = _sqlite_engine(f"file:{quote(str(self.address.path))}?mode=rw", self.wait)
            event.listen(self._engine, "begin", lambda c: c.exec_driver_sql(c.info.get("begin", "BEGIN")))
        try:
            with self._engine.connect() as connection:
                connection.info["begin"] = begin
                yield connection
        except DBAPIError as error:
            raise self.refusal(error) from None

    def _check(self) -> None:
        """Refuse what is no database file before SQLite is asked: it would wait, or create one."""
        path = self.address.path
        if path is None:
            return
        try:
            is_plain, start = stat.S_ISREG(os.stat(path).st_mode), b""
            if is_plain:
                with open(path, "rb") as handle:
                    start = handle.read(len(files.SQLITE_MAGIC))
        except FileNotFoundError:
            raise NotFoundError(
                f"the database {self.address.shown} is not there",
                hint="mount or restore it, or name another one: peercoord sync --database PATH_OR_URL",
                code="no-database",
            ) from None
        except OSError as error:
            raise files.unreadable(path, error) from None
        if not is_plain or (start and start != files.SQLITE_MAGIC):  # an empty file is an empty database
            raise BrokenFileError(f"{self.address.shown} is not a SQLite database", hint="name another file")

    def refusal(self, error: DBAPIError) -> PeercoordError:
        """Return the error that says what the database refused."""
        where = self.address.shown
        if not self.is_postgres:
            return _sqlite_refusal(where, error)
        state = str(getattr(error.orig, "sqlstate", "") or "")
        if state in _UNSETTLED:
            return LostError(f"{where} was written by another program at this moment", hint="try again")
        if state in _POSTGRES_REFUSALS:
            what, hint, code = _POSTGRES_REFUSALS[state]
            return StorageError(f"{where}{what}", hint=hint, code=code)
        said = " ".join(str(error.orig).split())[:300]
        return StorageError(f"{where} cannot be used: {said}", hint="is the server running?")


def _sqlite_engine(uri: str, wait: float, lenient: bool = False) -> Engine:
    import sqlite3

    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None)
        if lenient:
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
        return connection

    return create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)


def _postgres(url: str, wait: float) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    milliseconds = max(1, int(wait * 1000))
    options = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "peercoord",
        "tcp_user_timeout": CONNECT_SECONDS * 1000,
        "options": f"-c lock_timeout={milliseconds} -c statement_timeout={STATEMENT_SECONDS * 1000}",
    }
    try:
        return create_engine(url, poolclass=NullPool, connect_args=options, isolation_level="REPEATABLE READ")
    except ModuleNotFoundError:
        raise UsageError(
            "PostgreSQL needs the driver psycopg, which is not installed here",
            hint="install it with: pip install 'peercoord[postgres]'",
            code="no-driver",
        ) from None


# -- SQLite, read once -------------------------------------------------------------------------------------------


def read_only(path: Path, work: Callable[[Connection], T], wait: float = READ_LOCK_SECONDS) -> T:
    """Read a SQLite file and leave no other file beside it."""
    from sqlalchemy.exc import DBAPIError

    def read(mode: str) -> T:
        uri = f"file:{quote(os.path.abspath(path))}?{mode}"
        with _sqlite_engine(uri, wait, lenient=True).connect() as connection:
            connection.exec_driver_sql("BEGIN")
            return work(connection)

    header = files.head(path)
    if not header.startswith(files.SQLITE_MAGIC):
        raise BrokenFileError(f"{files.quoted(path)} is not a SQLite database", hint="name a database or a tasks.json")
    try:
        before = _state(path)
        if header[18:19] == bytes([_WAL]) and not before[-1]:  # no program has it open
            try:
                found = read("immutable=1")
            except (DBAPIError, PeercoordError):
                if _state(path) == before:
                    raise
            else:
                if _state(path) == before:
                    return found
        return read("mode=ro")
    except DBAPIError as error:
        raise _sqlite_refusal(files.quoted(path), error) from None


def _state(path: Path) -> tuple[int, int, int, bool]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, os.path.exists(f"{path}-wal")


def _sqlite_refusal(where: str, error: DBAPIError) -> PeercoordError:
    """Return the error that says what SQLite refused, and what to do."""
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


# -- what the database may refuse --------------------------------------------------------------------------------


class UnfitError(Exception):
    """A row cannot hold what it should."""


def tried(connection: Connection, do: Callable[[list[T]], object], rows: Sequence[T]) -> list[tuple[T, str]]:
    """Write rows that the database may refuse: all of them together, or else each that it takes.

    Returns:
        The rows that were refused, and why.
    """
    from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError, ProgrammingError, StatementError

    if not rows:
        return []
    attempt = connection.begin_nested()
    try:
        do([*rows])
    except (StatementError, UnfitError) as error:
        its_fault = (DataError, IntegrityError, NotSupportedError, ProgrammingError, UnfitError)
        if error.__class__ is not StatementError and not isinstance(error, its_fault):
            raise  # the connection is gone, or the disk is full: no row's fault
        attempt.rollback()
        if len(rows) == 1:
            return [(rows[0], normalize.one_line(getattr(error, "orig", error), 200))]
        return [refused for row in rows for refused in tried(connection, do, [row])]
    attempt.commit()
    return []
