"""Which rows of a database are one project's, where several projects share it.

Their ids all begin at 1, so a row beside ``tasks`` names a task of ours only if it says so: by a project column of its
own; or, without one, because no two projects can have the same id, or no other project is there.

Promise: in no table a row of another project is read as ours, changed or deleted; a new row says which project it is.
A database in which a table's rows cannot be told apart is refused, whole and by that table's name: tasks without their
edges would be done in the wrong order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import UsageError
from peercoord.foreign import shown
from peercoord.tasklists.normalize import identifier
from peercoord.tasklists.sql_schema import PROJECT_COLUMNS, PROJECT_NUMBER, PROJECTS, TASKS, Rows

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import ColumnElement, Connection

    from peercoord.foreign import Json
    from peercoord.tasklists.sql_schema import Column, Schema, Table

KEY = ("id", PROJECT_NUMBER)
NAME = ("name", "title", "slug", "path")
"""Columns of the table ``projects``."""
_ALIKE = ("project", "project_name", "project_key")  # columns of these names hold the same
_MAX_SHOWN = 9  # projects in one message


@dataclass(frozen=True)
class Team:
    """Whose tasks they are."""

    store_id: str  # which coordination directory
    project: str  # the project's name
    home: Path  # its directory
    key: str = ""  # what the database calls the project, if the user said so

    @property
    def names(self) -> list[str]:
        """What a database may call the project, the likeliest first."""
        return [self.key] if self.key else [self.project, str(self.home)]


class ProjectFilter:
    """The rows of one project in a database."""

    def __init__(self, schema: Schema, project: object = None, *, is_alone: bool = True) -> None:
        self.schema = schema
        self.project = project  # what the project column of ``tasks`` holds for ours; ``None``: it tells nothing apart
        self.is_alone = is_alone  # no other project is there at this moment
        self.nameless: list[tuple[str, str]] = []  # tables with rows that name no project, and what is done about them

    def column(self, table: Table) -> Column | None:
        """Return the column by which a table tells projects apart, as ``tasks`` does."""
        own = self.schema.project
        name = None if self.project is None else table.first((own, *_ALIKE) if own in _ALIKE else (own,))
        return None if name is None else table.columns[name]

    def value(self, column: Column) -> object:
        """Return what a project column holds for ours."""
        return str(self.project) if "CHAR" in column.kind or "TEXT" in column.kind else self.project

    def where(self, table: Table) -> list[ColumnElement[bool]]:
        """Return the conditions under which a row is ours, as far as its table says it."""
        column = self.column(table)
        return [] if column is None else [table.clause.c[column.name] == self.value(column)]

    def cells(self, table: Table) -> Json:
        """Return what a new row needs in order to be ours, by real column name."""
        column = self.column(table)
        return {} if column is None else {column.name: self.value(column)}

    def read(self, connection: Connection, columns: Sequence[str]) -> dict[str, Rows]:
        """Read our rows of ``tasks``, these columns, and of the tables beside it."""
        tasks = self.schema.tasks
        if not self.schema.has_tasks:
            return {TASKS: Rows([], [])}
        found = {TASKS: tasks.select(connection, columns, *self.where(tasks), *self.schema.in_use())}
        self.nameless = []
        for name, table, of in self.schema.beside():
            found[name] = table.select(connection, list(table.columns), *self.where(table))
            column = self.column(table)
            nobodys = table.clause.c[column.name].is_(None) if column is not None and of else None
            if of and nobodys is not None and (rows := table.select(connection, [of], nobodys).tuples):
                self.nameless.append((f"table {shown(name)}", f"rows without a project are skipped: {len(rows)}"))
        return found


def filter_for_sync(connection: Connection, schema: Schema, team: Team) -> ProjectFilter:
    """Return the rows of a team.

    Raises:
        UsageError: The project is not known there, or a table does not tell projects apart.
    """
    if not schema.project:
        return ProjectFilter(schema)
    used = set(schema.tasks.select(connection, [schema.project], distinct=True).values(schema.project))
    there, listed = used - {None, ""}, _listed(connection, schema)
    project = _matching(team.names, there, listed)
    if project is None and team.key and not listed:
        project = team.key  # the first tasks of a new project
    elif project is None and (listed or (there and not team.key)):
        raise _unknown(schema, team.names[0], there or listed, listed)
    elif project is None and not used:
        project = team.project
    found = ProjectFilter(schema, project, is_alone=not there - {project})
    for name, table, of in schema.beside() if project is not None else ():
        if not of or found.column(table):
            continue
        other = table.first(PROJECT_COLUMNS)
        if other:
            raise _indistinct(schema, name, f"says whose a row is by '{other}', and '{TASKS}' by '{schema.project}'")
        if not found.is_alone and not schema.has_unique_ids:
            why = f"does not say whose a row is, and other projects in '{TASKS}' have the same ids"
            raise _indistinct(schema, name, why)
    return found


def filter_for_import(connection: Connection, schema: Schema, names: Sequence[str]) -> ProjectFilter:
    """Return the rows of one project in a database that is read once; all rows where ids cannot be confused.

    Raises:
        UsageError: Several projects have the same ids and cannot be told apart.
    """
    if not schema.project:
        return ProjectFilter(schema)
    pairs = schema.tasks.select(connection, [schema.id, schema.project]).tuples
    there = {project for _, project in pairs} - {None, ""}
    if len(there) < 2:
        return ProjectFilter(schema)
    listed = _listed(connection, schema)
    project = _matching(names, there, listed)
    if project is None:
        if len({identifier(key) for key, _ in pairs}) < len(pairs):
            raise _unknown(schema, names[0], there, listed, ", with --project NAME beside --tasks, or")
        return ProjectFilter(schema)
    found = ProjectFilter(schema, project, is_alone=False)
    ours = {identifier(key) for key, whose in pairs if whose == project}
    crossed = any(identifier(key) in ours for key, whose in pairs if whose != project)
    for name, table, of in schema.beside():
        if of and crossed and found.column(table) is None:
            raise _indistinct(schema, name, "does not say whose a row is, and other projects have the same ids")
    return found


def _matching(names: Sequence[str], there: Iterable[object], listed: dict[object, str]) -> object:
    """Return the project column's value for the first of these names that it knows; ``None`` if it knows none."""
    values = [*there, *listed]
    named = next((v for name in names for v in values if listed.get(v, str(v)) == name), None)
    if named is not None or len(names) > 1:
        return named
    return next((v for v in values if str(v) == names[0]), None)  # a person gave its number


def _listed(connection: Connection, schema: Schema) -> dict[object, str]:
    """Return the names of projects by number, where ``tasks`` names projects by number."""
    table = schema.tables.get(PROJECTS)
    if table is None or schema.project != PROJECT_NUMBER:
        return {}
    key, name = table.first(KEY), table.first(NAME)
    return {row[0]: str(row[1]) for row in table.select(connection, [key, name]).tuples} if key and name else {}


def _unknown(
    schema: Schema, name: str, there: Collection[object], listed: dict[object, str], how: str = ""
) -> UsageError:
    known = ", ".join(shown(listed.get(value, value)) for value in sorted(there, key=str)[:_MAX_SHOWN])
    return UsageError(
        f"{schema.shown} keeps several projects, told apart by its column '{schema.project}', and none of them is "
        f"{shown(name)}; known: {known}",
        hint=f"say which one is meant{how}: peercoord sync --database {schema.word} --project NAME",
        code="no-project-row",
    )


def _indistinct(schema: Schema, table: str, why: str) -> UsageError:
    return UsageError(
        f"{schema.shown} keeps several projects, but its table {shown(table)} {why}",
        hint=f"give it a column '{schema.project}' and fill that, "
        "or name a database for this project alone with --database",
        code="no-project-column",
    )
