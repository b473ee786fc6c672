"""How a database keeps its tasks: which table, which columns by which names, what they may hold.

Schemas differ from one to the next, so columns are found by name, case aside. What is here is found again at every
sync, for people alter tables; and every name is quoted, for a table may be called ``Order``.
"""

from __future__ import annotations

import re
from typing import Any

from peercoord.core.errors import BrokenFileError
from peercoord.edges.adapters import projects, taskmaster
from peercoord.edges.adapters.sqlite_tables import Table, Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, Inspector, Select, TableClause

OUTWARD = ("assigned_instance", "instance_progress", "coordination_data")
_READ = (*OUTWARD, *(name for wanted in taskmaster.COLUMNS.values() for name in wanted))
_LITERAL = re.compile(r"'((?:[^']|'')*)'")


class Column:
    """One column: its real name, its type if the database cares, and whether a row needs a value for it."""

    __slots__ = ("kind", "name", "needed", "type")

    def __init__(self, name: str, kind: str, needed: bool, type_: Any = None) -> None:
        self.name, self.kind, self.needed, self.type = name, kind, needed, type_


class Shape:
    """One table: its real name, its columns by lower-case name, the words that some of them may hold.

    Of a table that several projects may share, also the columns that hold no value twice.
    """

    __slots__ = ("_clause", "allowed", "columns", "name", "unique")

    def __init__(
        self, name: str, columns: dict[str, Column], allowed: dict[str, list[str]], unique: Iterable[str] = ()
    ) -> None:
        self.name, self.columns, self.allowed = name, columns, allowed
        self.unique = frozenset(unique)
        self._clause: TableClause | None = None

    def first(self, wanted: Iterable[str]) -> str | None:
        """Give the first of these columns that there is, in lower case."""
        return next((name for name in wanted if name in self.columns), None)

    def clause(self) -> TableClause:
        """Give the table for statements."""
        from sqlalchemy import column, table

        if self._clause is None:
            made = [column(c.name, c.type) if c.type is not None else column(c.name) for c in self.columns.values()]
            self._clause = table(self.name, *made)
        return self._clause

    def select(
        self, connection: Connection, wanted: Sequence[str], *where: ColumnElement[bool], distinct: bool = False
    ) -> Table:
        """Read these columns of all rows for which the conditions hold; ``distinct``: equal ones once."""
        from sqlalchemy import select

        clause = self.clause()
        query = select(*[clause.c[self.columns[name].name] for name in wanted]).where(*where)
        return Table(list(wanted), _all(connection, query.distinct() if distinct else query))


def _all(connection: Connection, query: Select[Any]) -> Sequence[Any]:
    """Give all rows. Text that is not UTF-8 costs its bad bytes, not the table; asked for only where there is some."""
    from sqlalchemy.exc import OperationalError

    try:
        return connection.execute(query).all()
    except OperationalError as error:
        if "decode" not in str(error.orig) or connection.connection.driver_connection is None:
            raise
        connection.connection.driver_connection.text_factory = lambda data: data.decode("utf-8", "replace")
        return connection.execute(query).all()


class Layout:
    """The tables that matter, as they are now.

    Attributes:
        shapes: Each by its lower-case name.
        tasks: The table of tasks.
    """

    def __init__(self, shapes: dict[str, Shape]) -> None:
        self.shapes = shapes
        self.tasks = shapes.get(taskmaster.TASKS) or Shape(taskmaster.TASKS, {}, {})
        self.keys = {key: self.tasks.first(wanted) for key, wanted in taskmaster.COLUMNS.items()}

    @property
    def has_tasks(self) -> bool:
        """There is a table of tasks."""
        return bool(self.tasks.columns)

    @property
    def project(self) -> str:
        """The column, in lower case, that says which project a task belongs to; empty if there is none."""
        return self.tasks.first(projects.COLUMNS) or ""

    @property
    def edges(self) -> tuple[Shape, str, str, str | None] | None:
        """The table of what depends on what, with its columns: which task, on what, in what way."""
        for name in taskmaster.EDGE_TABLES:
            shape = self.shapes.get(name)
            if shape is not None:
                start, end = shape.first(taskmaster.EDGE_FROM), shape.first(taskmaster.EDGE_TO)
                if start and end:
                    return shape, start, end, shape.first(taskmaster.EDGE_KIND)
        return None

    @property
    def unique_ids(self) -> bool:
        """No two rows of ``tasks`` have the same id, whatever their project: the database sees to it."""
        return self.keys["id"] in self.tasks.unique

    @property
    def wanted(self) -> list[str]:
        """The columns of ``tasks`` that are read."""
        return [name for name in self.tasks.columns if name in _READ]

    def beside(self) -> list[tuple[str, Shape, str | None]]:
        """Give the tables that say something of tasks, each with its column that names the task, if it has one."""
        kinds = ((taskmaster.EDGE_TABLES, taskmaster.EDGE_FROM), (taskmaster.STEP_TABLES, taskmaster.STEP_OF))
        return [
            (name, self.shapes[name], self.shapes[name].first(of))
            for wanted, of in kinds
            for name in wanted
            if name in self.shapes
        ]

    @property
    def stands_alone(self) -> bool:
        """A task is one row of one table: nothing else has to be read to understand it."""
        others = (*taskmaster.EDGE_TABLES, *taskmaster.STEP_TABLES)
        return self.keys["parent"] is None and not any(name in self.shapes for name in others)

    def column(self, key: str) -> Column | None:
        """Give the column of ``tasks`` that goes by a meaning, as ``title``."""
        name = self.keys[key]
        return None if name is None else self.tasks.columns[name]


def inspect(connection: Connection, where: str) -> Layout:
    """Find out how a database keeps its tasks.

    Raises:
        BrokenFileError: It has tasks that are not understood: no id, no title, or a view instead of a table.
    """
    look = _postgres if connection.dialect.name == "postgresql" else _sqlite
    layout = Layout(look(connection))
    if layout.has_tasks:
        if layout.tasks.name == "":
            raise BrokenFileError(f"{where}: 'tasks' is a view, which cannot be written", hint="name another database")
        taskmaster.tasks_of(Tables({"tasks": Table(list(layout.tasks.columns), [])}, list(layout.shapes)), where)
    return layout


_BESIDE = (*taskmaster.WANTED, "instance_assignments", projects.TABLE)


def _sqlite(connection: Connection) -> dict[str, Shape]:
    shapes = {}
    listed = connection.exec_driver_sql("SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view')")
    for name, kind, text in listed.all():
        if name.lower() not in _BESIDE:
            continue
        rows = connection.exec_driver_sql("SELECT * FROM pragma_table_info(?)", (name,)).all()
        alone = [row for row in rows if row[5]]
        columns = {}
        for _, column, type_, not_null, default, key in rows:
            automatic = bool(key) and len(alone) == 1 and type_.upper() == "INTEGER"
            columns[column.lower()] = Column(
                column, type_.upper(), bool(not_null) and default is None and not automatic
            )
        allowed = {low: found for low, c in columns.items() if (found := _listed(c.name, text or ""))}
        unique: set[str] = set()
        if name.lower() == taskmaster.TASKS and projects.first(columns, projects.COLUMNS):
            unique = {alone[0][1].lower()} if len(alone) == 1 else set()
            unique |= _sqlite_unique(connection, name)
        shapes[name.lower()] = Shape(name if kind == "table" else "", columns, allowed, unique)
    return shapes


def _sqlite_unique(connection: Connection, table: str) -> set[str]:
    """Give the columns that have a unique index of their own over all rows."""
    query = (
        "SELECT min(c.name) FROM pragma_index_list(?) AS i JOIN pragma_index_info(i.name) AS c"
        ' WHERE i."unique" AND NOT i.partial GROUP BY i.name HAVING count(*) = 1'
    )
    return {name.lower() for (name,) in connection.exec_driver_sql(query, (table,)).all() if name}


def _listed(column: str, text: str) -> list[str]:
    """Give the words of a ``CHECK (column IN ('a', 'b'))`` in a table's definition."""
    found = re.search(rf"CHECK\s*\(\s*[\"'`\[]?{re.escape(column)}[\"'`\]]?\s+IN\s*\(([^)]*)\)", text, re.IGNORECASE)
    return [word.replace("''", "'") for word in _LITERAL.findall(found[1])] if found else []


def _postgres(connection: Connection) -> dict[str, Shape]:
    from sqlalchemy import inspect as inspector_of

    look = inspector_of(connection)
    shapes = {}
    for name in [*look.get_table_names(), *look.get_view_names()]:
        if name.lower() not in _BESIDE:
            continue
        columns, allowed = {}, {}
        for found in look.get_columns(name):
            automatic = bool(found.get("identity")) or bool(found.get("autoincrement")) or found["default"] is not None
            needed = not found["nullable"] and not automatic
            type_ = found["type"]
            columns[found["name"].lower()] = Column(found["name"], str(type_).upper(), needed, type_)
            if getattr(type_, "enums", None):
                allowed[found["name"].lower()] = list(type_.enums)  # type: ignore[attr-defined]
        for check in look.get_check_constraints(name):
            text = check["sqltext"]
            for low, column in columns.items():
                if re.match(rf"\W*{re.escape(column.name)}\W", text) and "ARRAY[" in text:
                    allowed.setdefault(low, [word.replace("''", "'") for word in _LITERAL.findall(text)])
        shared = name.lower() == taskmaster.TASKS and projects.first(columns, projects.COLUMNS)
        unique = _postgres_unique(look, name) if shared else set()
        shapes[name.lower()] = Shape(name if name in look.get_table_names() else "", columns, allowed, unique)
    return shapes


def _postgres_unique(look: Inspector, table: str) -> set[str]:
    """Give the columns that are a key, or have a unique index, of their own over all rows."""
    keys: list[Any] = [look.get_pk_constraint(table)["constrained_columns"]]
    keys += [found["column_names"] for found in look.get_unique_constraints(table)]
    for index in look.get_indexes(table):
        if index["unique"] and not index.get("dialect_options", {}).get("postgresql_where"):
            keys.append(index["column_names"])
    return {key[0].lower() for key in keys if len(key) == 1 and key[0]}
