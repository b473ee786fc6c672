"""Connections to the database: SQLite or PostgreSQL, opened for one task and closed again.

Promises: a database is never created on the way, only when someone names it; nothing waits longer than it was told to,
be it for a lock, for a server that is gone or for a statement; a transaction that writes has the right to write from
its first statement on (SQLite), or fails whole if another one wrote the same rows meanwhile (PostgreSQL). A URL is
shown without its password, always.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from peercoord.core.errors import BrokenFileError, LostError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.edges.adapters import files, sqlite_tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

LOCK_SECONDS = 2.0
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60
SQLITE, POSTGRES = "sqlite", "postgresql"
_SCHEMES = {"sqlite": SQLITE, "postgres": POSTGRES, "postgresql": POSTGRES}
_UNSETTLED = ("40001", "40P01")  # serialization failure, deadlock: safe to do again


class Address:
    """Where a database is.

    Attributes:
        kind: ``sqlite`` or ``postgresql``.
        path: Its file; ``None`` for PostgreSQL.
        url: Its URL, password included; empty for SQLite.
        shown: What it is called in messages.
    """

    def __init__(self, kind: str, path: Path | None, url: str, shown: str) -> None:
        self.kind, self.path, self.url, self.shown = kind, path, url, shown

    @property
    def word(self) -> str:
        """How a shell is given it, in a command that people are told to type; never with its password."""
        import shlex

        where = self.shown if self.path is None else str(self.path)
        return shlex.quote(where) if where.isprintable() else "PATH_OR_URL"

    @classmethod
    def read(cls, where: str, home: Path | None = None) -> Address:
        """Understand a path or URL.

        Args:
            where: A path, ``sqlite:///PATH`` or ``postgresql://…``. A ``~`` at the beginning is the home directory.
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
            return cls(POSTGRES, None, url.render_as_string(hide_password=False), shown)
        path = rest.partition("?")[0]
        if not path.startswith("/") or path in ("/", "/:memory:"):
            raise UsageError(
                "this sqlite URL names no file", hint="write sqlite:///PATH, with four slashes a full path"
            )
        return cls._file(path[1:], home)

    @classmethod
    def _file(cls, where: str, home: Path | None) -> Address:
        path = Path(os.path.abspath((home or Path()) / os.path.expanduser(where)))
        return cls(SQLITE, path, "", files.quoted(path))


class Database:
    """The door to one database.

    Args:
        address: Where it is.
        wait: Seconds to wait for another program that has it locked.
    """

    def __init__(self, address: Address, wait: float = LOCK_SECONDS) -> None:
        self.address, self.wait = address, wait
        self._engine: Engine | None = None

    @property
    def is_postgres(self) -> bool:
        """It is PostgreSQL."""
        return self.address.kind == POSTGRES

    def create(self) -> bool:
        """Make an empty database if there is none: only when someone has just named it.

        Returns:
            Whether it was made. A PostgreSQL database is never made here.
        """
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
        """Give a connection on which all that is read is of one moment.

        Raises:
            PeercoordError: It cannot be opened or read; the message says why.
        """
        with self._connected("BEGIN") as connection:
            yield connection
            connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection in a transaction, committed at the end of the block unless that raises.

        Raises:
            LostError: Another one wrote the same at this moment; safe to do again.
            PeercoordError: It cannot be opened or written; the message says why.
        """
        with self._connected("BEGIN IMMEDIATE") as connection:
            yield connection
            connection.commit()

    @contextmanager
    def _connected(self, begin: str) -> Iterator[Connection]:
        from sqlalchemy.exc import DBAPIError

        self._check()
        try:
            with self._open().connect() as connection:
                connection.info["begin"] = begin
                yield connection
        except DBAPIError as error:
            raise self.refusal(error) from None

    def _check(self) -> None:
        """Refuse what is no database file before SQLite is asked: it would wait, or make one."""
        path = self.address.path
        if path is None:
            return
        try:
            plain = stat.S_ISREG(os.stat(path).st_mode)
            start = _head(path) if plain else b""
        except FileNotFoundError:
            raise NotFoundError(
                f"the database {self.address.shown} is not there",
                hint="mount or restore it, or name another one: peercoord sync --database PATH_OR_URL",
                code="no-database",
            ) from None
        except OSError as error:
            raise files.unreadable(path, error) from None
        if not plain or (start and start != files.SQLITE_MAGIC):  # an empty file is an empty database
            raise BrokenFileError(f"{self.address.shown} is not a SQLite database", hint="name another file")

    def _open(self) -> Engine:
        if self._engine is None:
            self._engine = _postgres(self.address.url, self.wait) if self.is_postgres else self._sqlite()
        return self._engine

    def _sqlite(self) -> Engine:
        import sqlite3

        from sqlalchemy import create_engine, event
        from sqlalchemy.pool import NullPool

        uri = f"file:{quote(str(self.address.path))}?mode=rw"

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(uri, uri=True, timeout=self.wait, isolation_level=None)

        engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)

        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(connection.info.get("begin", "BEGIN"))

        event.listen(engine, "begin", begin)
        return engine

    def refusal(self, error: DBAPIError) -> PeercoordError:
        """Make the error that says what the database refused."""
        if not self.is_postgres:
            return sqlite_tables.refusal(self.address.shown, error)
        state = str(getattr(error.orig, "sqlstate", "") or "")
        said = " ".join(str(error.orig).split())[:300]
        if state in _UNSETTLED:
            return LostError(f"{self.address.shown} was written by another one at this moment", hint="try again")
        if state == "55P03":
            return StorageError(f"{self.address.shown} is locked by another program", hint="try again", code="locked")
        if state == "25006":
            return StorageError(f"{self.address.shown} may not be written", hint="ask who runs it", code="read-only")
        if state == "53100":
            return StorageError(f"{self.address.shown}: the server's disk is full", hint="free some", code="enospc")
        return StorageError(f"{self.address.shown} cannot be used: {said}", hint="is the server running?")


def _head(path: Path) -> bytes:
    with open(path, "rb") as handle:
        return handle.read(len(files.SQLITE_MAGIC))


def _postgres(url: str, wait: float) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    milliseconds = max(1, int(wait * 1000))
    options: dict[str, Any] = {
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
