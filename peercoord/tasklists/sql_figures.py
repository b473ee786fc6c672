"""Figures for other programs that read the database: progress and time of change of a task, the state of a project.

They go into columns and rows that the schema has for them, and are never read to decide anything. A cell that the
database refuses keeps its value, and its task is written all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from peercoord.tasklists import normalize
from peercoord.tasklists.normalize import TaskStatus
from peercoord.tasklists.sql_engine import tried
from peercoord.tasklists.sql_projects import KEY, NAME
from peercoord.tasklists.sql_schema import PROJECT_COLUMNS, PROJECT_NUMBER, PROJECTS, SUMMARIES, UPDATED

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from peercoord.tasklists.port import RowUpdate
    from peercoord.tasklists.sql_projects import ProjectFilter, Team
    from peercoord.tasklists.sql_schema import Column, Table

    Json = dict[str, Any]

PROGRESS = ("progress", "percent_complete", "completion_percentage", "completion")
OVERALL = ("overall_progress", *PROGRESS)
COUNTS = {
    "total_tasks": ("total_tasks", "tasks_total", "task_count"),
    "completed": ("completed_tasks", "tasks_completed", "done_tasks"),
    "in_progress": ("in_progress_tasks", "tasks_in_progress", "active_tasks"),
}
_SUMMARY = "progress_summary"
_ACTIVE, _COMPLETED = ("active", "in-progress", "in_progress"), ("completed", "complete", "done", "finished")
_KNOWN_MOST = 50  # values of a column to learn its format from
_MILLISECONDS = 10**11  # a larger number cannot be seconds since 1970 in this millennium
_SPACED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")  # as SQLite's own functions write it


# -- tasks -------------------------------------------------------------------------------------------------------


def of_tasks(
    connection: Connection, projects: ProjectFilter, updates: Sequence[tuple[object, RowUpdate]], now: str
) -> None:
    """Write progress and time of change of the tasks that a transaction has written."""
    from sqlalchemy import bindparam

    table = projects.schema.tasks
    progress, updated = table.column(PROGRESS), table.column(UPDATED)
    if not updates or not (progress or updated):
        return
    how = Scale(connection, table, progress) if progress else None
    when = {updated.name: moment(connection, table, updated, now)} if updated else {}
    rows: dict[bool, list[Json]] = {True: [], False: []}
    for task, update in updates:
        share = _share(update.ours)
        cell = how.cell(share) if how and share is not None else None
        rows[cell is not None].append({"b_key": task, "b_cell": cell})
    own = table.cell(projects.schema.id) == bindparam("b_key")
    statement = table.clause.update().where(*projects.where(table), *projects.schema.in_use(), own)
    for has_cell, batch in rows.items():
        cells = {**when, **({progress.name: bindparam("b_cell")} if progress and has_cell else {})}
        if cells:
            tried(connection, partial(connection.execute, statement.values(cells)), batch)


def _share(ours: Json) -> float | None:
    if ours.get("state") == TaskStatus.DONE:
        return 1.0
    said = ours.get("instance_progress")
    share = said.get("progress") if isinstance(said, dict) else None
    return float(share) if isinstance(share, (int, float)) else None


class Scale:
    """How a column writes a share: 0 to 1, or percent; as numbers or as text."""

    def __init__(self, connection: Connection, table: Table, column: Column) -> None:
        known = _known(connection, table, column)
        texts = [normalize.one_line(value) for value in known if isinstance(value, str)]
        numbers = [number for value in known if (number := _number(value)) is not None]
        is_whole = "INT" in column.kind or "SERIAL" in column.kind
        self.is_text = bool(texts) or (not known and not column.is_number and bool(column.kind))
        self.sign = "%" if self.is_text and (not texts or any(text.endswith("%") for text in texts)) else ""
        self.percent = bool(self.sign) or is_whole or any(number > 1 for number in numbers)
        self.fits = not (column.is_json or column.is_array or column.refers) and len(numbers) == len(known)

    def cell(self, share: float) -> object:
        """Return what says a share; ``None`` if the column holds something else."""
        number: float = round(share * 100) if self.percent else round(share, 4)
        return None if not self.fits else f"{number}{self.sign}" if self.is_text else number


def _number(value: object) -> float | None:
    try:
        return float(normalize.one_line(value).removesuffix("%"))
    except ValueError:
        return None


def _known(connection: Connection, table: Table, column: Column) -> list[object]:
    """Return some of the values that a column holds."""
    from sqlalchemy import select

    at = table.clause.c[column.name]
    return list(connection.execute(select(at).where(at.is_not(None)).distinct().limit(_KNOWN_MOST)).scalars())


def moment(connection: Connection, table: Table, column: Column, now: str) -> object:
    """Return a time in the format of the column's other rows: text, or seconds or milliseconds since 1970."""
    known = next(iter(_known(connection, table, column)), None)
    at = datetime.fromisoformat(now)
    if not isinstance(known, str) and (known is not None or column.is_number):
        thousands = isinstance(known, (int, float)) and known > _MILLISECONDS
        return int(at.timestamp() * (1000 if thousands else 1))
    return f"{at:%Y-%m-%d %H:%M:%S}" if isinstance(known, str) and _SPACED.fullmatch(known) else now


# -- the project -------------------------------------------------------------------------------------------------


def of_project(
    connection: Connection, projects: ProjectFilter, team: Team, summary: Callable[[], Json], now: str
) -> None:
    """Write a project's status and overall progress into its row of each summary table."""
    wanted = (*OVERALL, *(name for names in COUNTS.values() for name in names), _SUMMARY, "status")
    there = projects.schema.tables
    tables = [there[name] for name in SUMMARIES if name in there and there[name].column(wanted)]
    figures = summary() if tables else {}
    for table in tables if figures else ():
        _write_row(connection, projects, team, table, figures, now)


def _write_row(
    connection: Connection, projects: ProjectFilter, team: Team, table: Table, figures: Json, now: str
) -> None:
    clause = table.clause
    is_list = table.name.lower() == PROJECTS  # elsewhere, "id" is the row's own number
    key = table.column(KEY if is_list else (PROJECT_NUMBER,))
    title = table.column((*(name for name in PROJECT_COLUMNS if name != PROJECT_NUMBER), *NAME))
    where: list[ColumnElement[bool]] = []
    new: Json = {}
    if projects.schema.project == PROJECT_NUMBER and key and projects.project is not None:
        where = [clause.c[key.name] == projects.project]
        new = {} if is_list else {key.name: projects.project}
    elif title:
        where = [clause.c[title.name].in_(team.names)]
        new = {title.name: team.names[0]}
    elif not projects.is_alone:
        return  # a row could be another project's
    rows = connection.execute(clause.select().where(*where)).mappings().all()
    cells = _cells(connection, table, figures, rows[0] if rows else {})
    if len(rows) > 1 or (rows and all(rows[0][name] == value for name, value in cells.items())):
        return  # several rows match, or the one that does says so already
    if updated := table.column(UPDATED):
        cells[updated.name] = moment(connection, table, updated, now)
    if rows:
        update = clause.update().where(*where).values(cells)
        tried(connection, lambda _: connection.execute(update), [table])
    elif new:
        tried(connection, partial(connection.execute, clause.insert()), [{**new, **cells}])


def _cells(connection: Connection, table: Table, figures: Json, row: Any) -> Json:
    cells: Json = {}
    if overall := table.column(OVERALL):
        cell = Scale(connection, table, overall).cell(float(figures["overall_progress"]))
        cells |= {overall.name: cell} if cell is not None else {}
    for figure, names in COUNTS.items():
        cells |= {column.name: figures[figure]} if (column := table.column(names)) else {}
    if column := table.columns.get(_SUMMARY):
        cells[column.name] = figures if column.is_json else json.dumps(figures)
    if column := table.columns.get("status"):
        word = _status(figures, row.get(column.name), table.allowed.get("status"))
        cells |= {column.name: word} if word else {}
    return cells


def _status(figures: Json, now: object, allowed: Iterable[str] | None) -> str:
    """Return the word to write for a project's status; empty to leave the cell alone."""
    counted = figures["total_tasks"] - figures["cancelled"]
    done = counted > 0 and figures["completed"] >= counted
    said = normalize.one_line(now).lower() if now is not None else ""
    wanted = _COMPLETED if done else _ACTIVE
    if said in wanted or (said and said not in (*_ACTIVE, *_COMPLETED)):
        return ""
    return next((word for word in allowed or wanted if word.lower() in wanted), "")
