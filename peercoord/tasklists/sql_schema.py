"""How a TaskMaster database keeps tasks: which tables, which column means what, what columns may hold.

Schemas differ, so columns are found by name, case aside, by SQLAlchemy's reflection; every name is quoted. A database
is reflected again by every sync, for people alter tables. Reading is tolerant; what cannot be written is refused by
name.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from peercoord.errors import BrokenFileError
from peercoord.foreign import shown

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Inspector, Select, TableClause

TASKS = "tasks"
EDGE_TABLES = ("task_dependencies", "task_deps")
STEP_TABLES = ("subtasks", "sub_tasks", "task_subtasks")
ASSIGNMENTS = "instance_assignments"
ASSIGNMENT_COLUMNS = ("id", "task_id", "instance_id", "assigned_at", "status")
PROJECTS = "projects"
SUMMARIES = (PROJECTS, "project_status", "project_progress")
"""Tables with one row for each project."""
_KNOWN_TABLES = (TASKS, *EDGE_TABLES, *STEP_TABLES, ASSIGNMENTS, *SUMMARIES)

OUTWARD = ("assigned_instance", "instance_progress", "coordination_data")
"""The columns that the mission adds to ``tasks``."""
COLUMNS = {
    "id": ("id", "task_id", "uuid"),
    "title": ("title", "name", "subject", "summary"),
    "description": ("description", "desc", "body", "content"),
    "status": ("status", "state"),
    "finished": ("completed", "done", "is_done", "is_completed"),
    "priority": ("priority",),
    "needs": ("dependencies", "depends_on", "depends", "blocked_by", "deps"),
    "parent": ("parent_id", "parent_task_id", "parent"),
    "steps": ("subtasks",),
    "assignee": ("assigned_instance", "assignee", "assigned_to", "owner"),
    "notes": ("notes",),
    "tag": ("tag",),
    "details": ("details", "implementation_details"),
    "testStrategy": ("test_strategy", "teststrategy"),
    "acceptanceCriteria": ("acceptance_criteria", "acceptancecriteria"),
}
"""The names that a column of a task goes by, for each meaning."""
PUT_AWAY = ("deleted_at", "deleted", "is_deleted", "archived_at", "archived", "is_archived")
"""Columns by which programs delete or archive a row and keep it."""
NOT_PUT_AWAY = ("", "0", "false", "f", "no", "n")
"""What that column holds, in lower case, in a row that is in use."""
CREATED = ("created_at", "created", "added_at")
UPDATED = ("updated_at", "updated", "modified_at", "last_updated", "last_modified")
STEP_OF = ("task_id", "parent_id", "parent_task_id")
EDGE_FROM = ("task_id", "task", "from_id", "source_id")
EDGE_TO = (
    *("depends_on_task_id", "depends_on_id", "depends_on", "dependency_id", "dependency_task_id", "dependency"),
    *("blocker_id", "to_id", "target_id"),
)
EDGE_KIND = ("type", "dependency_type", "kind")
NO_BLOCK = ("related", "relates-to", "relates_to", "discovered-from", "duplicates", "supersedes", "soft", "optional")
PROJECT_COLUMNS = ("project", "project_name", "project_key", "project_id", "project_path")
PROJECT_NUMBER = "project_id"

_READ = (*OUTWARD, *(name for names in COLUMNS.values() for name in names))
_NUMBERS = re.compile("INT|NUM|REAL|FLOA|DOUB|DEC|SERIAL")
_MAX_WORDS = 200  # in a table that lists what a column may hold
_LITERAL = re.compile(r"'((?:[^']|'')*)'")


def first(columns: Container[str], names: Iterable[str]) -> str | None:
    """Return the first of these names that is a column."""
    return next(filter(columns.__contains__, names), None)


@dataclass(slots=True)
class Rows:
    """Rows of one table, with the columns that were read, in lower case."""

    columns: list[str]
    tuples: Sequence[Sequence[Any]]

    @property
    def dicts(self) -> list[dict[str, Any]]:
        """The rows by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.tuples]

    def values(self, column: str | None) -> list[Any]:
        """Return what one column holds; nothing if there is no such column."""
        if column is None or column not in self.columns:
            return []
        at = self.columns.index(column)
        return [row[at] for row in self.tuples]


@dataclass(slots=True)
class Column:
    """One column."""

    name: str  # its real name
    kind: str  # its type, in capitals; empty if none is declared. SQLite holds any value under any type
    is_required: bool  # a row needs a value for it
    type: Any = None  # SQLAlchemy's type, where the driver cares (PostgreSQL)
    refers: str = ""  # the table, in lower case, that it is a foreign key to; empty if it is none

    @property
    def is_number(self) -> bool:
        """It is declared to hold numbers."""
        return bool(_NUMBERS.search(self.kind))

    @property
    def is_json(self) -> bool:
        """Whether the driver takes lists and objects for it; SQLite's takes text for any declared type."""
        return self.type is not None and "JSON" in self.kind

    @property
    def is_array(self) -> bool:
        """The driver takes lists for it."""
        return self.type is not None and ("[]" in self.kind or "ARRAY" in self.kind)


@dataclass
class Table:
    """One table; its columns are known by their names in lower case."""

    name: str  # its real name
    columns: dict[str, Column] = field(default_factory=dict)
    allowed: dict[str, list[str]] = field(default_factory=dict)  # the only words that some columns may hold
    unique: set[str] = field(default_factory=set)  # columns without repeated values; of shared ``tasks`` only
    is_view: bool = False  # it cannot be written

    def first(self, names: Iterable[str]) -> str | None:
        """Return the first of these names that is a column."""
        return first(self.columns, names)

    def column(self, names: Iterable[str]) -> Column | None:
        """Return the first column that has one of these names."""
        return self.columns.get(self.first(names) or "")

    @cached_property
    def clause(self) -> TableClause:
        """The table for statements."""
        from sqlalchemy import column, table

        return table(self.name, *[column(c.name, c.type) for c in self.columns.values()])

    def cell(self, name: str) -> ColumnElement[Any]:
        """Return a column for statements, by its lower-case name."""
        return self.clause.c[self.columns[name].name]

    def select(
        self, connection: Connection, names: Sequence[str], *where: ColumnElement[bool], distinct: bool = False
    ) -> Rows:
        """Read these columns of all rows that fulfil the conditions; ``distinct``: equal ones once.

        Text that is not UTF-8 costs its bad bytes, not the table.
        """
        from sqlalchemy import select
        from sqlalchemy.exc import OperationalError

        query = select(*map(self.cell, names)).where(*where)
        query = query.distinct() if distinct else query
        try:
            return Rows(list(names), connection.execute(query).all())
        except OperationalError as error:
            driver = connection.connection.driver_connection
            if "decode" not in str(error.orig) or driver is None:
                raise
            driver.text_factory = lambda data: data.decode("utf-8", "replace")
            return Rows(list(names), connection.execute(query).all())


class Schema:
    """The tables that matter, as they are now, by lower-case name; and the names of all tables."""

    def __init__(self, tables: dict[str, Table], names: Sequence[str], shown: str = "", word: str = "") -> None:
        self.tables, self.names = tables, names
        self.shown, self.word = shown, word  # the database's name in messages, and in a command
        self.tasks = tables.get(TASKS) or Table(TASKS)  # without columns if there is none
        self.keys = {meaning: first(self.tasks.columns, names) for meaning, names in COLUMNS.items()}

    @property
    def has_tasks(self) -> bool:
        """There is a table of tasks."""
        return bool(self.tasks.columns)

    @property
    def id(self) -> str:
        """The column of ``tasks`` that holds ids."""
        return self.keys["id"] or "id"

    @property
    def project(self) -> str:
        """The column of ``tasks`` that names the project, in lower case; empty if there is none."""
        return self.tasks.first(PROJECT_COLUMNS) or ""

    @property
    def edges(self) -> tuple[Table, str, str, str | None] | None:
        """The table of dependencies, with its columns: which task, on what, in what way."""
        for name in EDGE_TABLES:
            if name in self.tables:
                table = self.tables[name]
                start, end = table.first(EDGE_FROM), table.first(EDGE_TO)
                if start and end:
                    return table, start, end, table.first(EDGE_KIND)
        return None

    @property
    def has_unique_ids(self) -> bool:
        """Whether the database forbids two rows of ``tasks`` with one id, even of different projects."""
        return self.keys["id"] in self.tasks.unique

    @property
    def read_columns(self) -> list[str]:
        """The columns of ``tasks`` that a sync reads."""
        return [name for name in self.tasks.columns if name in _READ]

    @property
    def is_flat(self) -> bool:
        """A task is one row of one table: nothing else has to be read to understand it."""
        return self.keys["parent"] is None and self.tables.keys().isdisjoint((*EDGE_TABLES, *STEP_TABLES))

    def beside(self) -> list[tuple[str, Table, str | None]]:
        """Return the tables beside ``tasks``, each with the column that names the task, if it has one."""
        kinds = ((EDGE_TABLES, EDGE_FROM), (STEP_TABLES, STEP_OF))
        return [
            (name, self.tables[name], self.tables[name].first(of))
            for names, of in kinds
            for name in names
            if name in self.tables
        ]

    def in_use(self) -> list[ColumnElement[bool]]:
        """Return the conditions under which a row of ``tasks`` is neither deleted nor archived."""
        from sqlalchemy import Text, cast, func, or_

        cells = [self.tasks.cell(name) for name in PUT_AWAY if name in self.tasks.columns]
        return [or_(cell.is_(None), func.lower(cast(cell, Text)).in_(NOT_PUT_AWAY)) for cell in cells]

    def column(self, meaning: str) -> Column | None:
        """Return the column of ``tasks`` for a meaning."""
        return self.tasks.columns.get(self.keys[meaning] or "")

    def require(self) -> None:
        """Refuse a database without tasks, or whose tasks have no id or title."""
        if not self.has_tasks:
            raise unfit(self.shown, f"it has no table '{TASKS}'", "tables", self.names)
        for key in ("id", "title"):
            if self.keys[key] is None:
                raise unfit(self.shown, f"its table '{TASKS}' has no column '{key}'", "columns", self.tasks.columns)


def unfit(where: str, what: str, kind: str, there: Iterable[str]) -> BrokenFileError:
    """Return the error for a database that keeps no tasks that can be read."""
    listed = ", ".join(shown(name) for name in sorted(there)) or "none"
    return BrokenFileError(
        f"{where} is no TaskMaster database: {what}; its {kind}: {listed}",
        hint=f"name a database with a table '{TASKS}' that has at least the columns id and title",
    )


# -- reflection --------------------------------------------------------------------------------------------------


def reflect(connection: Connection, shown: str = "", word: str = "") -> Schema:
    """Return how a database keeps tasks now; it is called ``shown`` in messages and ``word`` in a command."""
    import warnings

    from sqlalchemy import inspect
    from sqlalchemy.exc import SAWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # of types and indexes that it does not know
        look = inspect(connection)
        views = set(look.get_view_names())
        names = [*look.get_table_names(), *views]
        known = [name for name in names if name.lower() in _KNOWN_TABLES]
        tables = {name.lower(): _table(connection, look, name, name in views) for name in known}
        return Schema(tables, names, shown, word)


def _table(connection: Connection, look: Inspector, name: str, is_view: bool) -> Table:
    is_postgres = connection.dialect.name == "postgresql"
    keys = [] if is_view else look.get_pk_constraint(name)["constrained_columns"]
    table = Table(name, is_view=is_view)
    for found in look.get_columns(name):
        type_, low = found["type"], found["name"].lower()
        kind = "" if type_.__visit_name__ == "null" else str(type_).upper()
        automatic = bool(found.get("identity") or found.get("autoincrement") is True) or found["default"] is not None
        automatic |= bool(found.get("computed"))
        automatic |= not is_postgres and keys == [found["name"]] and kind == "INTEGER"
        required = not found["nullable"] and not automatic
        table.columns[low] = Column(found["name"], kind, required, type_ if is_postgres else None)
        if getattr(type_, "enums", None):
            table.allowed[low] = list(type_.enums)  # type: ignore[attr-defined]
    if is_view:
        return table
    _read_checks(connection, look, table)
    for key in look.get_foreign_keys(name):
        if len(key["constrained_columns"]) == 1:
            column = table.columns[key["constrained_columns"][0].lower()]
            column.refers = key["referred_table"].lower()
            if column.refers != TASKS and key["referred_columns"] and not column.is_number:
                _read_words(connection, table, column, key["referred_table"], key["referred_columns"][0])
    if name.lower() == TASKS and table.first(PROJECT_COLUMNS):
        alone: list[Any] = [keys, *(found["column_names"] for found in look.get_unique_constraints(name))]
        alone += [
            index["column_names"]
            for index in look.get_indexes(name)
            if index["unique"] and not any(key.endswith("_where") for key in index.get("dialect_options", {}))
        ]
        table.unique = {found[0].lower() for found in alone if len(found) == 1 and found[0]}
    return table


def _read_checks(connection: Connection, look: Inspector, table: Table) -> None:
    """Read the words of a ``CHECK (column IN ('a', 'b'))``."""
    if connection.dialect.name == "postgresql":
        texts = [f"CHECK ({check['sqltext']})" for check in look.get_check_constraints(table.name)]
    else:  # SQLAlchemy's own reading of SQLite's checks takes only those on a line of their own
        query = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
        texts = [str(text) for (text,) in connection.exec_driver_sql(query, (table.name,)).all()]
    for low, column in table.columns.items():
        name = re.escape(column.name)
        check = rf"CHECK\s*\([\s(\"'`\[]*{name}\b[^,]*?(?:\bIN\s*\(|\bARRAY\[)([^\])]*)"
        for text in texts:
            found = re.search(check, text, re.IGNORECASE)
            if found:
                table.allowed.setdefault(low, [word.replace("''", "'") for word in _LITERAL.findall(found[1])])


def _read_words(connection: Connection, table: Table, column: Column, other: str, target: str) -> None:
    """Read the words that a column may hold because another table lists them."""
    from sqlalchemy import column as named
    from sqlalchemy import select
    from sqlalchemy import table as of
    from sqlalchemy.exc import OperationalError

    query: Select[Any] = select(named(target)).select_from(of(other)).limit(_MAX_WORDS)
    try:
        rows = connection.execute(query).all()
    except OperationalError:
        return  # the table that it names is missing
    table.allowed.setdefault(column.name.lower(), [str(value) for (value,) in rows if value is not None])
