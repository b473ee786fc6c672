"""For tests: a PostgreSQL server, from Debian's package, in a temporary directory, and lists in its databases."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from peercoord.tasklists.sql_engine import Address
from peercoord.tasklists.sql_engine import Database as Door
from peercoord.tasklists.sql_projects import Team
from peercoord.tasklists.sql_store import SqlTaskList
from support.lists import ROWS, Lists


class Server:
    """A running server that is reached through a socket in its own directory."""

    def __init__(self, home: Path, binaries: Path, user: str) -> None:
        self.home, self.binaries, self.user = home, binaries, user
        self.data = home / "data"
        self.count = 0

    def _as_user(self, *words: str) -> list[str]:
        other = os.geteuid() == 0
        return [*(["runuser", "-u", self.user, "--"] if other else []), str(self.binaries / words[0]), *words[1:]]

    def do(self, *words: str) -> str:
        ended = subprocess.run(
            self._as_user(*words), cwd="/", capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240
        )
        assert ended.returncode == 0, f"{words[0]}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories='{self.home}' -c fsync=off"
        self.do("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.home / "log"), "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop it: ``immediate`` is what a power cut or ``kill -9`` is to its clients."""
        self.do("pg_ctl", "-D", str(self.data), "-w", "-m", how, "stop")

    def database(self) -> str:
        """Create an empty database and return its URL."""
        self.count += 1
        name = f"db{self.count}"
        self.do("createdb", "-h", str(self.home), "-U", self.user, name)
        return f"postgresql://{self.user}@/{name}?host={self.home}"


@contextmanager
def server() -> Iterator[Server]:
    """Start a server; skips with the reason where it cannot be had."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    if not found:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="pip install 'peercoord[postgres]'")
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    home = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            try:
                shutil.chown(home, user)
            except LookupError:
                pytest.skip("no user postgres to run the server as, and it does not run as root")
        made = Server(home, found[-1].parent, user)
        made.do("initdb", "-D", str(made.data), "-U", user, "-A", "trust", "-N", "--no-instructions")
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


class PgLists(Lists):
    """A project whose database is on a server."""

    def __init__(self, home: Path, url: str) -> None:
        super().__init__(home)
        self.url = url
        self.engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        named = {f"v{at}": value for at, value in enumerate(values)}
        for name in named:
            statement = statement.replace("?", f":{name}", 1)
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), named)
            return [tuple(row) for row in result.all()] if result.returns_rows else []

    def make(self, script: str, *rows: Any) -> None:
        for statement in filter(str.strip, script.split(";")):
            self.sql(statement)
        for row in rows:
            self.sql(ROWS, *row)

    def store(self, **more: Any) -> SqlTaskList:
        team = more.pop("team", None) or Team(self.root.store_id, "proj", self.home)
        door = Door(Address.read(self.url), more.pop("wait", 1.0))
        return SqlTaskList(door, team, self.clock.now, self.queue.all_tasks, **more)
