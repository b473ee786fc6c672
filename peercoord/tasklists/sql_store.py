"""A TaskMaster database as one side of a sync: read in one moment, changed in one transaction.

A transaction, in this order: adopt the database if it is not yet (a backup first), check and store the term, read,
compare, write rows, write assignments, remember what was agreed on. A kill anywhere leaves the database unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, LostError
from peercoord.foreign import shown
from peercoord.tasklists import normalize, sql_figures, sql_migration, sql_rows
from peercoord.tasklists.imported import Origin
from peercoord.tasklists.normalize import ColumnWords, TaskStatus, status_or_blocked
from peercoord.tasklists.sql_projects import ProjectFilter, Team, filter_for_sync
from peercoord.tasklists.sql_schema import ASSIGNMENT_COLUMNS, ASSIGNMENTS, EDGE_TABLES, EDGE_TO, TASKS, Schema, reflect
from peercoord.tasklists.sql_snapshot import SqlSnapshot
from peercoord.tasklists.sql_state import Agreements, SyncState, write_assignments
from peercoord.tasklists.sql_writer import Writer

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from peercoord.foreign import Json
    from peercoord.tasklists.port import Agreed, Bases, ListSnapshot, Memo, Refused, RowUpdate
    from peercoord.tasklists.sql_engine import Database

PLACE = ""
"""The place of a database's own tasks in what it remembers."""
_MAX_TRIES = 3  # of a transaction that conflicts with another one


class SqlTaskList:
    """One TaskMaster database; a ``TaskList``."""

    def __init__(
        self,
        database: Database,
        team: Team,  # whose tasks it keeps
        now: Callable[[], str],  # the time, RFC 3339
        tasks: Callable[[], Sequence[str]] = list,  # ids of all tasks here, for a table that has yet to be made
        take_over: bool = False,  # another team's claim on this database is forgotten
        summary: Callable[[], Json] = dict,  # figures of the project
    ) -> None:
        self.database, self.team, self.now, self.tasks = database, team, now, tasks
        self.take_over, self.summary = take_over, summary
        address = database.address
        self.state = SyncState(team.store_id, team.project, address.shown, address.word)
        self.backup = ""
        self._memo: Memo = {}

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.database.address.shown

    @property
    def noted(self) -> str:
        """Its name in records."""
        return self.origin.noted

    @property
    def origin(self) -> Origin:
        """Where tasks that are imported from here come from."""
        address = self.database.address
        if address.path is None:
            return Origin("postgresql", PurePath(address.shown))
        return Origin(sql_rows.KIND, address.path, None, self.team.home)

    # -- reading ---------------------------------------------------------------------------------------------

    def snapshot(self) -> ListSnapshot:
        """Read what the list holds, changing nothing."""
        with self.database.reading() as connection:
            return self._snapshot(connection, self._projects(connection))

    def bases_later(self, place: str, agreed: Agreed, tasks: Sequence[str]) -> tuple[Mapping[str, Json], set[str]]:
        """Return what was agreed on for these tasks, and those that another leader has synced since the snapshot."""
        with self.database.reading() as connection:
            agreements = Agreements(self.state, connection, place)
            now, (bases, _) = agreements.agreed, agreements.bases(tasks)
        return bases, {task for task in tasks if now.get(task) != agreed.get(task)}

    def _snapshot(self, connection: Connection, projects: ProjectFilter, bases: Bases | None = None) -> SqlSnapshot:
        agreed = Agreements(self.state, connection, PLACE).agreed
        if not agreed and projects.project is None and not self.take_over:
            self.state.refuse_others(connection)
        tables, term = projects.read(connection, projects.schema.read_columns), self.state.term(connection)
        bases = bases or partial(self.bases_later, PLACE, agreed)
        return SqlSnapshot(projects, tables, term, agreed, self.origin, bases, self._memo)

    def _projects(self, connection: Connection) -> ProjectFilter:
        schema = reflect(connection, self.name, self.database.address.word)
        if schema.tasks.is_view:
            message = f"{self.name}: 'tasks' is a view, which cannot be written"
            raise BrokenFileError(message, hint="name another database")
        if schema.has_tasks:
            schema.require()
        table = schema.tables.get(ASSIGNMENTS)
        there = {column.name for column in table.columns.values()} if table else ASSIGNMENT_COLUMNS
        missing = [shown(name) for name in ASSIGNMENT_COLUMNS if name not in there]
        if missing:
            message = f"{self.name}: its table '{ASSIGNMENTS}' has no column {', '.join(missing)}"
            raise BrokenFileError(message, hint="add it, or rename that table; peercoord then makes its own")
        return filter_for_sync(connection, schema, self.team)

    # -- writing ---------------------------------------------------------------------------------------------

    def update(self, term: int, work: Callable[[ListSnapshot], Sequence[RowUpdate]]) -> Refused:
        """Change it in one transaction, and remember what was agreed on."""

        def inside(connection: Connection) -> Refused:
            projects = self._prepare(connection, term)
            agreements = Agreements(self.state, connection, PLACE)
            found = self._snapshot(connection, projects, agreements.bases)
            updates = work(found)
            writer = Writer(connection, projects, found, self.now())
            held = writer.write(updates)
            why = self._write_others(connection, projects, writer, [u for u in updates if u.task in held])
            digests = found.digests
            if any(update.outgoing for update in updates):
                digests = self._snapshot(connection, projects).digests
            agreements.remember(updates, held, digests, writer.refused)
            self._memo.clear()
            refused = [(f"task {task}", said) for task, said in writer.refused.items()]
            return refused + ([(f"table {shown(ASSIGNMENTS)}", f"the database refuses a row: {why}")] if why else [])

        return self._again(inside)

    def _write_others(
        self, connection: Connection, projects: ProjectFilter, writer: Writer, written: Sequence[RowUpdate]
    ) -> str:
        """Write assignments, and the figures that the schema has columns for; return why assignments were refused."""
        table = projects.schema.tables[ASSIGNMENTS]
        claims = [(writer.key(update.task), claim) for update in written for claim in update.ours.get("claims", ())]
        whose = None if projects.project is None else projects.value(table.columns["project"])
        why = write_assignments(connection, table, claims, whose)
        keyed = [(writer.key(update.task), update) for update in written if update.outgoing]
        sql_figures.of_tasks(connection, projects, keyed, self.now())
        sql_figures.of_project(connection, projects, self.team, self.summary, self.now())
        return why

    def _again(self, inside: Callable[[Connection], Refused]) -> Refused:
        """Run a transaction, again if another one crossed it."""
        for left in range(_MAX_TRIES - 1, -1, -1):
            try:
                with self.database.writing() as connection:
                    return inside(connection)
            except LostError as error:
                if error.code == "stale-term" or not left:
                    raise
        return []

    def _prepare(self, connection: Connection, term: int) -> ProjectFilter:
        """Adopt the database if it is not yet, check and store the term; return the project's rows as they are then."""
        projects = self._projects(connection)
        if not self._is_adopted(connection, projects.schema):
            self.backup = sql_migration.adopt(self.database, connection, projects.schema, self.tasks)
            self.state.make(connection)
            projects = self._projects(connection)
        if projects.project is None and self.state.term(connection) < 0:
            if self.take_over:
                self.state.forget(connection, [store for store, _ in self.state.others(connection)])
            self.state.refuse_others(connection)
        self.state.fence(connection, term, self.now())
        return projects

    def _is_adopted(self, connection: Connection, schema: Schema) -> bool:
        missing = sql_migration.missing_tables(schema) or sql_migration.missing_columns(schema)
        return self.state.exists(connection) and not missing

    # -- for other lists -------------------------------------------------------------------------------------

    def remembered(self, place: str) -> tuple[int, Agreed]:
        """Return the highest term, and what was agreed on of another list."""
        with self.database.reading() as connection:
            return self.state.term(connection), Agreements(self.state, connection, place).agreed

    def remembering(self, place: str, term: int, do: Callable[[Agreements], Refused]) -> Refused:
        """Change another list while this database holds off every other leader, and remember what was agreed on."""

        def inside(connection: Connection) -> Refused:
            self._prepare(connection, term)
            return do(Agreements(self.state, connection, place))

        return self._again(inside)

    # -- explaining ------------------------------------------------------------------------------------------

    def adoption(self) -> Json | None:
        """Return what comes before the first change: backup, new tables and columns; ``None`` if that is done."""
        with self.database.reading() as connection:
            schema = reflect(connection)
            if self._is_adopted(connection, schema):
                return None
            return {
                "backup": sql_migration.backup_place(self.database, connection, schema) or None,
                "tables": [*sql_migration.missing_tables(schema), *self.state.missing(connection)],
                "columns": [
                    {"table": table.name, "column": name}
                    for table, columns in sql_migration.missing_columns(schema)
                    for name in columns
                ],
            }

    def explain(self) -> Json:
        """Return the meaning of each column, and the words read and written for each status."""
        with self.database.reading() as connection:
            projects = self._projects(connection)
            schema = projects.schema
            tasks = projects.read(connection, schema.read_columns)[TASKS]
        columns = {key: column.name for key in schema.keys if (column := schema.column(key))}
        status, priority = (tasks.values(schema.keys[key]) for key in ("status", "priority"))
        writes = ColumnWords(status, schema.tasks.allowed.get(schema.keys["status"] or ""))
        project = None if projects.project is None else {"column": schema.project, "value": str(projects.project)}
        said = sorted({normalize.one_line(word) for word in status if word is not None})
        return {
            "database": self.name,
            "columns": columns,
            "dependencies": schema.edges[0].name if schema.edges else columns.get("needs"),
            "tables": _explain_tables(projects),
            "project": project,
            "status_words": {word: status_or_blocked(word).value for word in said},
            "written_words": {status.value: writes.status(status) for status in TaskStatus},
            "priority_words": {
                word: normalize.priority_of(word) or "medium" for word in sorted(set(map(str, filter(None, priority))))
            },
        }


def _explain_tables(projects: ProjectFilter) -> list[Json]:
    """Return what the tables beside ``tasks`` hold, and by which columns."""
    found = []
    for name, table, of in projects.schema.beside():
        is_edge = name in EDGE_TABLES
        on, whose = table.column(EDGE_TO), projects.column(table)
        found.append(
            {
                "table": table.name,
                "holds": "dependencies" if is_edge else "steps",
                "task": table.columns[of].name if of else None,
                **({"on": on.name if on else None} if is_edge else {}),
                "project": whose.name if whose else None,
            }
        )
    return found
