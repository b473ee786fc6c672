"""What a database remembers of a team: which one it belongs to, the term of its leader, and what was last agreed on.

Three tables of our own, made beside the others::

    peercoord_store   one row for each coordination directory: its store id, its project, the highest term
    peercoord_sync    one row for each task and list: our mark and their digest, as they were when both last agreed
    peercoord_base    beside it, both sides' values as they were then: the ancestor

The first of the last two is read whole at every sync, and so is small; the other only for what has changed.

Promise: the term is checked and stored by one statement, before anything else is written; whoever comes with a lower
one finds that it changed no row. On SQLite that transaction is the only writer from its beginning on; on
PostgreSQL the row is locked, and who waited for it fails and does it again.
"""

from __future__ import annotations

import json

from peercoord.core import ids
from peercoord.core.errors import LostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection

    Json = dict[str, Any]

_MAKE = (
    "CREATE TABLE IF NOT EXISTS peercoord_store"
    " (store_id VARCHAR(64) NOT NULL PRIMARY KEY, project TEXT, term BIGINT NOT NULL, adopted_at TEXT)",
    "CREATE TABLE IF NOT EXISTS peercoord_sync"
    " (store_id VARCHAR(64) NOT NULL, place VARCHAR(200) NOT NULL, task_id VARCHAR(64) NOT NULL,"
    " mark TEXT, digest TEXT, PRIMARY KEY (store_id, place, task_id))",
    "CREATE TABLE IF NOT EXISTS peercoord_base"
    " (store_id VARCHAR(64) NOT NULL, place VARCHAR(200) NOT NULL, task_id VARCHAR(64) NOT NULL,"
    " base TEXT, PRIMARY KEY (store_id, place, task_id))",
)
_TERM = "SELECT term FROM peercoord_store WHERE store_id = :store"
_STORES = "SELECT store_id, project FROM peercoord_store ORDER BY store_id"
_RAISE = "UPDATE peercoord_store SET term = :term, project = :project WHERE store_id = :store AND term <= :term"
_ENTER = "INSERT INTO peercoord_store (store_id, project, term, adopted_at) VALUES (:store, :project, :term, :now)"
_FORGET = (
    "DELETE FROM peercoord_store WHERE store_id = :store",
    "DELETE FROM peercoord_sync WHERE store_id = :store",
    "DELETE FROM peercoord_base WHERE store_id = :store",
)
_AGREED = "SELECT task_id, mark, digest FROM peercoord_sync WHERE store_id = :store AND place = :place"
_BASES = "SELECT task_id, base FROM peercoord_base WHERE store_id = :store AND place = :place"
_SOME_BASES = f"{_BASES} AND task_id IN :tasks"
_REMEMBER = (
    "INSERT INTO peercoord_sync (store_id, place, task_id, mark, digest)"
    " VALUES (:store, :place, :task, :mark, :digest)"
    " ON CONFLICT (store_id, place, task_id) DO UPDATE SET mark = excluded.mark, digest = excluded.digest",
    "INSERT INTO peercoord_base (store_id, place, task_id, base) VALUES (:store, :place, :task, :base)"
    " ON CONFLICT (store_id, place, task_id) DO UPDATE SET base = excluded.base",
)
_MOST = 400  # ids in one statement


TABLES = ("peercoord_store", "peercoord_sync", "peercoord_base")


class Ledger:
    """The memory of one coordination directory in one database.

    Args:
        store_id: Which coordination directory.
        project: Its project's name, for people.
        shown: The database's name in messages.
        word: Its name in a command.
    """

    def __init__(self, store_id: str, project: str, shown: str, word: str) -> None:
        self.store_id, self.project, self.shown, self.word = store_id, project, shown, word

    def exists(self, connection: Connection) -> bool:
        """Tell whether the tables are there."""
        from sqlalchemy import inspect

        return inspect(connection).has_table("peercoord_store")

    def missing(self, connection: Connection) -> list[str]:
        """Give those of its tables that are yet to be made."""
        from sqlalchemy import inspect

        look = inspect(connection)
        return [name for name in TABLES if not look.has_table(name)]

    def make(self, connection: Connection) -> None:
        """Make the tables, where they are missing."""
        for statement in _MAKE:
            connection.exec_driver_sql(statement)

    def term(self, connection: Connection) -> int:
        """Give the highest term under which this directory's leader wrote; -1 if none did."""
        from sqlalchemy import text

        if not self.exists(connection):
            return -1
        row = connection.execute(text(_TERM), {"store": self.store_id}).first()
        return -1 if row is None else int(row[0])

    def others(self, connection: Connection) -> list[tuple[str, str]]:
        """Give the other coordination directories that this database knows: store id and project."""
        if not self.exists(connection):
            return []
        from sqlalchemy import text

        found = connection.execute(text(_STORES)).all()
        return [(str(store), str(project)) for store, project in found if store != self.store_id]

    def fence(self, connection: Connection, term: int, now: str) -> None:
        """Check that the term is not over, and store it.

        Raises:
            LostError: A later leader has written; nothing was changed.
        """
        from sqlalchemy import text

        values = {"store": self.store_id, "term": term, "project": self.project, "now": now}
        stored = connection.execute(text(_RAISE), values)
        if stored.rowcount:
            return
        seen = self.term(connection)
        if seen < 0:
            connection.execute(text(_ENTER), values)
            return
        raise LostError(
            f"term {term} is over, so nothing was changed in {self.shown}: "
            f"a leader of term {seen} has written to it since",
            hint="the leader of now does it; see who that is: claude-coordination-status",
            code="stale-term",
        )

    def refuse_others(self, connection: Connection) -> None:
        """Refuse a database that is another team's.

        Raises:
            UsageError: It is; the message names the team.
        """
        others = self.others(connection)
        if others:
            store, project = others[0]
            raise UsageError(
                f"{self.shown} is kept in step with another team: project {ids.shown(project)}, store {store}",
                hint="name another database, or if that team is no more: "
                f"peercoord sync --database {self.word} --take-over",
                code="other-store",
            )

    def forget(self, connection: Connection, stores: Iterable[str]) -> None:
        """Forget other coordination directories: their place is taken over."""
        from sqlalchemy import text

        for store in stores:
            for statement in _FORGET:
                connection.execute(text(statement), {"store": store})

    # -- what was agreed on ----------------------------------------------------------------------------------

    def agreed(self, connection: Connection, place: str) -> dict[str, tuple[str, str]]:
        """Give, for each task agreed on in a list, our mark and their digest as they were then."""
        from sqlalchemy import text

        if not self.exists(connection):
            return {}
        found = connection.execute(text(_AGREED), {"store": self.store_id, "place": place}).all()
        return {task: (mark, digest) for task, mark, digest in found}

    def bases(self, connection: Connection, place: str, tasks: Sequence[str]) -> dict[str, Json]:
        """Give what was agreed on for these tasks."""
        from sqlalchemy import bindparam, text

        if not self.exists(connection):
            return {}
        values = {"store": self.store_id, "place": place}
        found: list[Any] = []
        if len(tasks) > _MOST:
            found = list(connection.execute(text(_BASES), values).all())
        elif tasks:
            query = text(_SOME_BASES).bindparams(bindparam("tasks", expanding=True))
            found = list(connection.execute(query, {**values, "tasks": list(tasks)}).all())
        wanted = set(tasks)
        return {task: json.loads(base) for task, base in found if task in wanted}

    def remember(self, connection: Connection, place: str, agreed: Mapping[str, tuple[str, str, Json]]) -> None:
        """Keep what was agreed on: for each task our mark, their digest, and the base."""
        from sqlalchemy import text

        if not agreed:
            return
        values = [
            {
                "store": self.store_id,
                "place": place,
                "task": task,
                "mark": mark,
                "digest": digest,
                "base": json.dumps(base, ensure_ascii=False, separators=(",", ":")),
            }
            for task, (mark, digest, base) in agreed.items()
        ]
        for statement in _REMEMBER:
            connection.execute(text(statement), values)
