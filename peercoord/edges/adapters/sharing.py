"""Which rows of a database are one project's, where several projects share it.

Their ids all begin at 1, so a row of a table beside ``tasks`` names a task of ours only if it says so: by a project
column of its own; or, without one, because no two projects can have the same id, or no other project is there.

Promise: in no table a row of another project is read as ours, changed or deleted; a row that is added says whose it
is. A database in which a table's rows cannot be told apart is refused, whole and by that table's name: tasks without
their edges would be done in the wrong order.
"""

from __future__ import annotations

from typing import Any

from peercoord.core import ids
from peercoord.core.errors import UsageError
from peercoord.edges.adapters import projects, taskmaster
from peercoord.edges.adapters.sqlite_tables import Table, Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Connection

    from peercoord.edges.adapters.engine import Address
    from peercoord.edges.adapters.layout import Column, Layout, Shape
    from peercoord.edges.adapters.store import Team

    Json = dict[str, Any]


class Part:
    """The rows of one project.

    Attributes:
        layout: How the database keeps tasks.
        project: What the project column of ``tasks`` says of ours; ``None`` if it does not tell projects apart.
        alone: No other project is there at this moment.
        nameless: Tables beside ``tasks`` with rows that name no project, and why those are left out.
    """

    def __init__(self, layout: Layout, project: object = None, *, alone: bool = True) -> None:
        self.layout, self.project, self.alone = layout, project, alone
        self.nameless: list[tuple[str, str]] = []

    def column(self, shape: Shape) -> Column | None:
        """Give the column by which a table tells projects apart, in the way in which ``tasks`` does."""
        name = None if self.project is None else shape.first(projects.alike(self.layout.project))
        return None if name is None else shape.columns[name]

    def value(self, column: Column) -> object:
        """Give what a project column holds of ours."""
        return str(self.project) if "CHAR" in column.kind or "TEXT" in column.kind else self.project

    def where(self, shape: Shape) -> list[ColumnElement[bool]]:
        """Give the conditions under which a row of a table is ours, as far as the table itself says it."""
        column = self.column(shape)
        return [] if column is None else [shape.clause().c[column.name] == self.value(column)]

    def cells(self, shape: Shape) -> Json:
        """Give what a new row of a table needs in order to be ours, by real column name."""
        column = self.column(shape)
        return {} if column is None else {column.name: self.value(column)}

    # -- reading ---------------------------------------------------------------------------------------------

    def read(self, connection: Connection) -> Tables:
        """Read our tasks, and what the tables beside them say of these."""
        tasks, found = self.layout.tasks, {}
        if not self.layout.has_tasks:
            return Tables({taskmaster.TASKS: Table([], [])}, list(self.layout.shapes))
        found[taskmaster.TASKS] = tasks.select(connection, self.layout.wanted, *self.where(tasks))
        for name, shape, _ in self.layout.beside():  # a row that names a task which is not ours counts for none
            found[name] = shape.select(connection, list(shape.columns), *self.where(shape))
        self.nameless = list(self._nameless(connection))
        return Tables(found, list(self.layout.shapes))

    def _nameless(self, connection: Connection) -> Iterator[tuple[str, str]]:
        for name, shape, of in self.layout.beside():
            column = self.column(shape)
            if column is None or not of:
                continue
            none = shape.clause().c[column.name].is_(None)
            rows = len(shape.select(connection, [of], none).tuples)
            if rows:
                yield f"table {ids.shown(name)}", f"rows that name no project are nobody's; there are {rows}"

    # -- refusing --------------------------------------------------------------------------------------------

    def require(self, address: Address) -> None:
        """Refuse a database that has a table whose rows may be any project's.

        Raises:
            UsageError: It has; the message names the table.
        """
        if self.project is None:
            return
        for name, shape, of in self.layout.beside():
            if not of or self.column(shape):
                continue
            other = shape.first(projects.COLUMNS)
            if other:
                why = f"says whose a row is by '{other}', and '{taskmaster.TASKS}' by '{self.layout.project}'"
            elif not self.alone and not self.layout.unique_ids:
                why = f"does not say whose a row is, and other projects in '{taskmaster.TASKS}' have the same ids"
            else:
                continue
            raise UsageError(
                f"{address.shown} keeps several projects, but its table {ids.shown(name)} {why}",
                hint=f"give it a column '{self.layout.project}' and fill that, "
                "or name a database for this project alone with --database",
                code="no-project-column",
            )


def part_of(connection: Connection, layout: Layout, team: Team, address: Address) -> Part:
    """Find out which rows are a team's.

    Raises:
        UsageError: It cannot be told: the project is not known there, or a table does not tell projects apart.
    """
    if not layout.project:
        return Part(layout)
    used = {row[0] for row in layout.tasks.select(connection, [layout.project], distinct=True).tuples}
    there = {value for value in used if value not in (None, "")}
    project = _project(connection, layout, team, address, used, there)
    part = Part(layout, project, alone=not there - {project})
    part.require(address)
    return part


def _project(
    connection: Connection, layout: Layout, team: Team, address: Address, used: set[object], there: set[object]
) -> object:
    """Give what the project column says of a team's tasks; ``None`` if it says nothing of any."""
    listed = _listed(connection, layout)
    ours = [team.key] if team.key else [team.project, str(team.home)]
    found = projects.matching(ours, there, listed)
    if found is not None:
        return found
    if team.key and not listed:
        return team.key
    if listed or (there and not team.key):
        raise UsageError(
            f"{address.shown} tells projects apart by its column '{layout.project}', and none is "
            f"{ids.shown(ours[0])}; those there are: {projects.shown(there or listed, listed)}",
            hint=f"say which one is meant: peercoord sync --database {address.word} --project NAME",
            code="no-project-row",
        )
    return None if used else team.project


def _listed(connection: Connection, layout: Layout) -> dict[object, str]:
    """Give the projects of a table of their own, where the column holds their numbers: number and name."""
    shape = layout.shapes.get(projects.TABLE)
    if shape is None or layout.project != projects.NUMBERED:
        return {}
    key, name = shape.first(projects.TABLE_KEY), shape.first(projects.TABLE_NAME)
    if key is None or name is None:
        return {}
    return {row[0]: str(row[1]) for row in shape.select(connection, [key, name]).tuples}
