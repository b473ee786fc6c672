"""What a database remembers of a team: its owner, the leader's term, what was last agreed on, assignments.

Three tables of our own, made beside the others::

    peercoord_store   one row for each coordination directory: its store id, its project, the highest term
    peercoord_sync    one row for each task and list: our version and their digest, as both last agreed
    peercoord_base    beside it, both sides' values as they were then

``peercoord_sync`` is read whole by every sync and so is small; ``peercoord_base`` only for what has changed.

Promise: the term is checked and stored by one statement, before anything else is written; a leader with a lower term
finds that it changed no row. On SQLite that transaction is the only writer from its beginning on; on PostgreSQL the row
is locked, and a leader that waited for it fails and tries again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from peercoord.errors import UsageError
from peercoord.foreign import shown
from peercoord.tasklists.port import stale_term
from peercoord.tasklists.sql_engine import tried

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from peercoord.foreign import Json
    from peercoord.tasklists.port import Agreed, RowUpdate
    from peercoord.tasklists.sql_schema import Table

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
_AGREED = "SELECT task_id, mark, digest FROM peercoord_sync WHERE store_id = :store AND place = :place"
_BASES = "SELECT task_id, base FROM peercoord_base WHERE store_id = :store AND place = :place"
_REMEMBER = (
    "INSERT INTO peercoord_sync (store_id, place, task_id, mark, digest)"
    " VALUES (:store, :place, :task, :mark, :digest)"
    " ON CONFLICT (store_id, place, task_id) DO UPDATE SET mark = excluded.mark, digest = excluded.digest",
    "INSERT INTO peercoord_base (store_id, place, task_id, base) VALUES (:store, :place, :task, :base)"
    " ON CONFLICT (store_id, place, task_id) DO UPDATE SET base = excluded.base",
)
_MAX_IDS = 400  # ids in one statement
_TIMES = ("assigned_at", "ended_at")
_LATER = ("instance_id", "status", *_TIMES)  # what changes in a row of the assignments

TABLES = ("peercoord_store", "peercoord_sync", "peercoord_base")


def _run(connection: Connection, statement: str, values: Json | list[Json] | None = None) -> Any:
    from sqlalchemy import text

    return connection.execute(text(statement), values)


@dataclass(frozen=True)
class SyncState:
    """What one database remembers of one coordination directory."""

    store_id: str  # which coordination directory
    project: str  # its project's name, for people
    shown: str  # the database's name in messages
    word: str  # its name in a command

    def exists(self, connection: Connection) -> bool:
        """Check whether the tables are there; each connection, which is one transaction, is asked once."""
        from sqlalchemy import inspect

        if not connection.info.get(TABLES[0]):
            connection.info[TABLES[0]] = inspect(connection).has_table(TABLES[0])
        return bool(connection.info[TABLES[0]])

    def missing(self, connection: Connection) -> list[str]:
        """Return those of the tables that have yet to be made."""
        from sqlalchemy import inspect

        look = inspect(connection)
        return [name for name in TABLES if not look.has_table(name)]

    def make(self, connection: Connection) -> None:
        """Make the tables that are missing."""
        for statement in _MAKE:
            connection.exec_driver_sql(statement)

    def term(self, connection: Connection) -> int:
        """Return the highest term under which this directory's leader wrote; -1 if none did."""
        if not self.exists(connection):
            return -1
        row = _run(connection, _TERM, {"store": self.store_id}).first()
        return -1 if row is None else int(row[0])

    def others(self, connection: Connection) -> list[tuple[str, str]]:
        """Return the other coordination directories that this database knows: store id and project."""
        if not self.exists(connection):
            return []
        return [(str(row[0]), str(row[1])) for row in _run(connection, _STORES) if row[0] != self.store_id]

    def fence(self, connection: Connection, term: int, now: str) -> None:
        """Check that the term is not over, and store it.

        Raises:
            LostError: A later leader has written; nothing was changed.
        """
        values = {"store": self.store_id, "term": term, "project": self.project, "now": now}
        stored = _run(connection, _RAISE, values)
        if stored.rowcount:
            return
        seen = self.term(connection)
        if seen < 0:
            _run(connection, _ENTER, values)
            return
        raise stale_term(term, self.shown, f"a leader of term {seen} has written to it since")

    def refuse_others(self, connection: Connection) -> None:
        """Refuse a database that is another team's."""
        others = self.others(connection)
        if others:
            store, project = others[0]
            raise UsageError(
                f"{self.shown} is kept in step with another team: project {shown(project)}, store {store}",
                hint="name another database, or if that team no longer exists: "
                f"peercoord sync --database {self.word} --take-over",
                code="other-store",
            )

    def forget(self, connection: Connection, stores: Iterable[str]) -> None:
        """Forget coordination directories."""
        for store in stores:
            for table in TABLES:
                _run(connection, f"DELETE FROM {table} WHERE store_id = :store", {"store": store})  # noqa: S608


@dataclass(frozen=True)
class Agreements:
    """What a database remembers of one list, inside a transaction."""

    state: SyncState
    connection: Connection
    place: str  # which list

    @property
    def term(self) -> int:
        """The highest term so far."""
        return self.state.term(self.connection)

    @property
    def agreed(self) -> Agreed:
        """For each task agreed on, our version and their digest as they were then."""
        if not self.state.exists(self.connection):
            return {}
        found = _run(self.connection, _AGREED, {"store": self.state.store_id, "place": self.place}).all()
        return {task: (version, digest) for task, version, digest in found}

    def bases(self, tasks: Sequence[str]) -> tuple[Mapping[str, Json], set[str]]:
        """Return what was agreed on for these tasks, and the tasks overtaken since: none in a transaction."""
        from sqlalchemy import bindparam, text

        if not tasks or not self.state.exists(self.connection):
            return {}, set()
        values: Json = {"store": self.state.store_id, "place": self.place}
        query = text(_BASES)
        if len(tasks) <= _MAX_IDS:
            query = text(f"{_BASES} AND task_id IN :tasks").bindparams(bindparam("tasks", expanding=True))
            values["tasks"] = list(tasks)
        wanted, rows = set(tasks), self.connection.execute(query, values).all()
        return {task: json.loads(base) for task, base in rows if task in wanted}, set()

    def remember(
        self,
        updates: Sequence[RowUpdate],
        held: Mapping[str, Json],
        digests: Mapping[str, str],
        refused: Mapping[str, str],
    ) -> None:
        """Keep what was agreed on: the values and digests that rows hold now.

        A new row that was refused is remembered as such: it is tried again when the task changes, and not before.
        """
        rows = []
        for update in updates:
            if update.task in held:
                base, digest = update.base(held[update.task]), digests.get(update.task, "")
            elif update.new:
                base, digest = {"ours": {}, "theirs": {}, "refused": refused[update.task]}, ""
            else:
                continue
            own = {"store": self.state.store_id, "place": self.place, "task": update.task}
            text = json.dumps(base, ensure_ascii=False, separators=(",", ":"))
            rows.append({**own, "mark": update.version, "digest": digest, "base": text})
        for statement in _REMEMBER if rows else ():
            _run(self.connection, statement, rows)


# -- assignments -------------------------------------------------------------------------------------------------


def write_assignments(
    connection: Connection, table: Table, claims: Sequence[tuple[object, Json]], project: object = None
) -> str:
    """Update the rows of some tasks in ``instance_assignments``: one for each time a peer held the task.

    A row is known by its task and epoch, so writing it again changes nothing. Rows without an epoch are not ours. A
    time stays once it is known: every database writes it in its own way.

    Returns:
        Why the database refused a row; empty if it refused none.
    """
    from sqlalchemy import bindparam, func, select

    clause, c = table.clause, table.clause.c
    where = [c.epoch.is_not(None), *([] if project is None else [c.project == project])]
    keys = {key for key, _ in claims}
    if len(keys) <= _MAX_IDS:
        where.append(c.task_id.in_(list(keys)))
    columns = (c.id, c.task_id, c.epoch, c.instance_id, c.status, c.assigned_at, c.ended_at)
    known = {}
    for row in connection.execute(select(*columns).where(*where)).all() if claims else ():
        with suppress(TypeError, ValueError):  # another program's row
            known[str(row[1]), int(row[2])] = (row[0], dict(zip(_LATER, row[3:], strict=True)))
    whose = {} if project is None else {"project": project}
    new, changed = [], []
    for key, claim in claims:
        cells = {"instance_id": claim["instance"], **{name: claim[name] for name in _LATER[1:]}}
        number, there = known.get((str(key), claim["epoch"]), (None, None))
        if there is None:
            new.append({"task_id": key, "epoch": claim["epoch"], **cells, **whose})
            continue
        cells |= {name: there[name] for name in _TIMES if there[name] is not None}
        if cells != there:
            changed.append({"row": number, **{f"new_{name}": value for name, value in cells.items()}})
    if new and table.columns["id"].is_required:  # the database does not number rows itself
        last = connection.execute(select(func.max(c.id))).scalar() or 0
        new = [{"id": last + at, **row} for at, row in enumerate(new, 1)]
    values: Json = {name: bindparam(f"new_{name}") for name in _LATER}
    refused = tried(connection, partial(connection.execute, clause.insert()), new)
    update = clause.update().where(c.id == bindparam("row")).values(values)
    refused += tried(connection, partial(connection.execute, update), changed)
    return refused[0][1] if refused else ""
