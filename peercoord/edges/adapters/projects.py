"""Which project a row belongs to: the columns that say so, and a database that is only read cut down to one project.

A database that several projects share holds each id several times. Taken in whole, one project would be given the
tasks of another, or their edges and steps.
"""

from __future__ import annotations

from peercoord.core import ids
from peercoord.core.errors import UsageError
from peercoord.edges.adapters import words
from peercoord.edges.adapters.sqlite_tables import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from peercoord.edges.adapters.sqlite_tables import Tables

COLUMNS = ("project", "project_name", "project_key", "project_id", "project_path")
TABLE = "projects"
NUMBERED = "project_id"
TABLE_KEY = ("id", "project_id")
TABLE_NAME = ("name", "title", "slug", "path")
_NAMES = ("project", "project_name", "project_key")  # columns of these names hold the same
_MOST = 9  # projects in one message


def alike(own: str) -> tuple[str, ...]:
    """Give the columns that hold the same as a project column of ``tasks``, that one first."""
    return (own, *_NAMES) if own in _NAMES else (own,)


def first(columns: Collection[str], wanted: Iterable[str]) -> str | None:
    """Give the first of these columns that there is."""
    return next((name for name in wanted if name in columns), None)


def matching(wanted: Iterable[str], there: Iterable[object], listed: dict[object, str]) -> object:
    """Give what a project column says of the first of these projects that it knows; ``None`` if it knows none.

    Args:
        wanted: Names of the project, the likeliest first.
        there: What the column holds.
        listed: The names of projects by number, where it holds numbers.
    """
    values = [*there, *listed]
    return next((v for name in wanted for v in values if name in (str(v), listed.get(v))), None)


def shown(values: Iterable[object], listed: dict[object, str]) -> str:
    """Name projects for a message."""
    return ", ".join(ids.shown(listed.get(value, value)) for value in sorted(values, key=str)[:_MOST])


def cut(tables: Tables, tasks: str, key: str, beside: Iterable[str], wanted: Sequence[str]) -> str:
    """Leave of some tables the rows of one project; all, if they hold one at most, or others but no id twice.

    Args:
        tables: What was read; it is changed.
        tasks: The table of tasks.
        key: Its column of ids.
        beside: The tables beside it.
        wanted: Names of the project, the likeliest first.

    Returns:
        Why the rows cannot be told apart; empty if they can.
    """
    table = tables.found[tasks]
    own = first(table.columns, COLUMNS)
    there = _values(table, own) if own else set()
    if own is None or len(there) < 2:
        return ""
    listed = _listed(tables) if own == NUMBERED else {}
    project = matching(wanted, there, listed)
    if project is None:
        none = f"none of them is {ids.shown(wanted[0])}; those there are: {shown(there, listed)}"
        return none if len(_ids(table, key)) < len(table.tuples) else ""
    ours = tables.found[tasks] = _where(table, own, project)
    mine = _ids(ours, key)
    crossed = any(_ids(_where(table, own, other), key) & mine for other in there - {project})
    for name in beside:
        table = tables.found[name]
        column = first(table.columns, alike(own))
        if column is None and crossed:
            return f"its table {ids.shown(name)} does not say whose a row is, and other projects have the same ids"
        if column:
            tables.found[name] = _where(table, column, project)
    return ""


def refusal(database: str, word: str, why: str) -> UsageError:
    """Make the error for a database of several projects of which one cannot be read."""
    return UsageError(
        f"{database} keeps several projects: {why}",
        hint=f"say which one is meant, with --project NAME beside --tasks, or: "
        f"peercoord sync --database {word} --project NAME",
        code="no-project-row",
    )


def _values(table: Table, column: str) -> set[object]:
    at = table.columns.index(column)
    return {row[at] for row in table.tuples} - {None, ""}


def _where(table: Table, column: str, value: object) -> Table:
    at = table.columns.index(column)
    return Table(table.columns, [row for row in table.tuples if row[at] == value])


def _ids(table: Table, key: str) -> set[str]:
    at = table.columns.index(key)
    return {words.identifier(row[at]) for row in table.tuples}


def _listed(tables: Tables) -> dict[object, str]:
    table = tables.found.get(TABLE)
    if table is None:
        return {}
    key, name = first(table.columns, TABLE_KEY), first(table.columns, TABLE_NAME)
    return {row[key]: str(row[name]) for row in table.rows} if key and name else {}
