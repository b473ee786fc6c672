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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from peercoord.errors import LostError, UsageError
from peercoord.foreign import shown
from peercoord.tasklists.sql_figures import tried

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

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
_MAX_IDS = 400  # ids in one statement

TABLES = ("peercoord_store", "peercoord_sync", "peercoord_base")


def _run(connection: Connection, statement: str, values: Json | list[Json] | None = None) -> Any:
    from sqlalchemy import text

    return connection.execute(text(statement), values)


@dataclass(frozen=True)
class SyncState:
    """What one database remembers of one coordination directory.

    Attributes:
        store_id: Which coordination directory.
        project: Its project's name, for people.
        shown: The database's name in messages.
        word: Its name in a command.
    """

    store_id: str
    project: str
    shown: str
    word: str
    _seen: WeakSet[Connection] = field(default_factory=WeakSet, compare=False, repr=False)

    def exists(self, connection: Connection) -> bool:
        """Check whether the tables are there; each connection, which is one transaction, is asked once."""
        from sqlalchemy import inspect

        if connection not in self._seen and inspect(connection).has_table("peercoord_store"):
            self._seen.add(connection)
        return connection in self._seen

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
        raise LostError(
            f"term {term} is over, so nothing was changed in {self.shown}: "
            f"a leader of term {seen} has written to it since",
            hint="the current leader will sync; see who that is: claude-coordination-status",
            code="stale-term",
        )

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
            for statement in _FORGET:
                _run(connection, statement, {"store": store})

    # -- what was agreed on ----------------------------------------------------------------------------------

    def agreed(self, connection: Connection, place: str) -> Agreed:
        """Return, for each task agreed on in a list, our version and their digest as they were then."""
        if not self.exists(connection):
            return {}
        found = _run(connection, _AGREED, {"store": self.store_id, "place": place}).all()
        return {task: (version, digest) for task, version, digest in found}

    def bases(self, connection: Connection, place: str, tasks: Sequence[str]) -> dict[str, Json]:
        """Return what was agreed on for these tasks."""
        from sqlalchemy import bindparam, text

        if not tasks or not self.exists(connection):
            return {}
        values: Json = {"store": self.store_id, "place": place}
        query = text(_BASES)
        if len(tasks) <= _MAX_IDS:
            query = text(_SOME_BASES).bindparams(bindparam("tasks", expanding=True))
            values["tasks"] = list(tasks)
        wanted = set(tasks)
        return {task: json.loads(base) for task, base in connection.execute(query, values).all() if task in wanted}

    def remember(self, connection: Connection, place: str, agreed: Mapping[str, tuple[str, str, Json]]) -> None:
        """Keep what was agreed on: for each task our version, their digest, and the base."""
        values = [
            {
                "store": self.store_id,
                "place": place,
                "task": task,
                "mark": version,
                "digest": digest,
                "base": json.dumps(base, ensure_ascii=False, separators=(",", ":")),
            }
            for task, (version, digest, base) in agreed.items()
        ]
        for statement in _REMEMBER if values else ():
            _run(connection, statement, values)


@dataclass(frozen=True)
class Agreements:
    """What is remembered of one list, inside a transaction.

    Attributes:
        state: What the database remembers.
        connection: The transaction.
        place: Which list.
    """

    state: SyncState
    connection: Connection
    place: str

    @property
    def term(self) -> int:
        """The highest term so far."""
        return self.state.term(self.connection)

    @property
    def agreed(self) -> Agreed:
        """For each task our version and their digest."""
        return self.state.agreed(self.connection, self.place)

    def bases(self, tasks: Sequence[str]) -> tuple[Mapping[str, Json], set[str]]:
        """Return what was agreed on for these tasks, and that no other leader has agreed on them since."""
        return self.state.bases(self.connection, self.place, tasks), set()

    def remember(
        self,
        updates: Sequence[RowUpdate],
        held: Mapping[str, Json],
        digests: Mapping[str, str],
        refused: Mapping[str, str],
    ) -> None:
        """Keep what was agreed on.

        A new row that was refused is remembered as such: it is tried again when the task changes, and not before.

        Args:
            updates: What was to be written.
            held: The values that the rows hold now.
            digests: The digests of the rows now.
            refused: Why rows were refused.
        """
        agreed = {}
        for update in updates:
            if update.task in held:
                base = update.base(held[update.task])
                agreed[update.task] = (update.version, digests.get(update.task, ""), base)
            elif update.new:
                why: Json = {"ours": {}, "theirs": {}, "refused": refused[update.task]}
                agreed[update.task] = (update.version, "", why)
        self.state.remember(self.connection, self.place, agreed)


# -- assignments -------------------------------------------------------------------------------------------------


def write_assignments(
    connection: Connection, table: Table, claims: Sequence[tuple[object, Json]], project: object = None
) -> str:
    """Bring the rows of some tasks in ``instance_assignments`` up to date: one for each time a peer held one.

    A row is known by its task and epoch, so writing it again changes nothing. Rows without an epoch are not ours.
    Returned is why the database refused a row, empty if it refused none.
    """
    if not claims:
        return ""
    clause = table.clause
    known = _known(connection, table, {key for key, _ in claims}, project)
    new, changed = [], []
    for key, claim in claims:
        row = known.get((str(key), claim["epoch"]))
        if row is None:
            new.append(_cells(key, claim, project))
        elif _differs(row, claim):
            changed.append({"row": row[0], **_later(row, claim)})
    why = tried(connection, clause.insert(), _numbered(connection, table, new)) if new else ""
    if changed:
        from sqlalchemy import bindparam

        names = ("instance_id", "status", "assigned_at", "ended_at")
        values: Json = {name: bindparam(f"new_{name}") for name in names}
        update = clause.update().where(clause.c.id == bindparam("row")).values(values)
        rows = [{"row": c["row"], **{f"new_{n}": c[n] for n in names}} for c in changed]
        why = tried(connection, update, rows) or why
    return why


def _known(
    connection: Connection, table: Table, keys: set[object], project: object
) -> dict[tuple[str, int], tuple[Any, ...]]:
    from sqlalchemy import select

    c = table.clause.c
    wanted = (c.id, c.task_id, c.epoch, c.instance_id, c.status, c.assigned_at, c.ended_at)
    where: list[ColumnElement[bool]] = [c.epoch.is_not(None)]
    if project is not None:
        where.append(c.project == project)
    if len(keys) <= _MAX_IDS:
        where.append(c.task_id.in_(list(keys)))
    rows = connection.execute(select(*wanted).where(*where)).all()
    found = {}
    for row in rows:
        with suppress(TypeError, ValueError):  # another program's row
            found[str(row[1]), int(row[2])] = tuple(row)
    return found


def _cells(key: object, claim: Json, project: object) -> Json:
    cells = {
        "task_id": key,
        "instance_id": claim["instance"],
        "assigned_at": claim["assigned_at"],
        "status": claim["status"],
        "epoch": claim["epoch"],
        "ended_at": claim["ended_at"],
    }
    return cells if project is None else {**cells, "project": project}


def _differs(row: tuple[Any, ...], claim: Json) -> bool:
    """Check whether a row is out of date. A time stays once it is known: every database writes it in its own way."""
    began, ended = row[5] is None and claim["assigned_at"], row[6] is None and claim["ended_at"]
    return (row[3], row[4]) != (claim["instance"], claim["status"]) or bool(began or ended)


def _later(row: tuple[Any, ...], claim: Json) -> Json:
    return {
        "instance_id": claim["instance"],
        "status": claim["status"],
        "assigned_at": row[5] if row[5] is not None else claim["assigned_at"],
        "ended_at": row[6] if row[6] is not None else claim["ended_at"],
    }


def _numbered(connection: Connection, table: Table, rows: Iterable[Json]) -> list[Json]:
    """Return rows with their numbers, where the database does not number them itself."""
    if not table.columns["id"].is_required:
        return list(rows)
    from sqlalchemy import func, select

    last = connection.execute(select(func.max(table.clause.c.id))).scalar() or 0
    return [{"id": last + at, **row} for at, row in enumerate(rows, 1)]
