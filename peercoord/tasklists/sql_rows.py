"""The rows of a TaskMaster database as tasks: edges, steps and parents put together.

Dependencies are a JSON list, a list with commas, or rows of a table ``task_dependencies``. Subtasks are a JSON column,
a table ``subtasks``, or rows of ``tasks`` with a ``parent_id``: all become steps of the topmost task above, and what
depends on such a row depends on a step. Import and sync read through here.

A table of dependencies that is not understood is an error: tasks without their edges would be done in the wrong order.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from peercoord.errors import NotFoundError, PeercoordError, UsageError
from peercoord.foreign import shown
from peercoord.tasklists import files, normalize, sql_engine
from peercoord.tasklists.imported import Origin, Reading, Row, StepRow, build
from peercoord.tasklists.sql_projects import filter_for_import
from peercoord.tasklists.sql_schema import (
    COLUMNS,
    EDGE_FROM,
    EDGE_KIND,
    EDGE_TABLES,
    EDGE_TO,
    NO_BLOCK,
    STEP_OF,
    STEP_TABLES,
    TASKS,
    Rows,
    first,
    reflect,
    unfit,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    Record = dict[str, Any]
    Refused = list[tuple[str, str]]

KIND = "sqlite"
_MORE = ("details", "testStrategy", "acceptanceCriteria")
_LEFT = ("instance_progress", "coordination_data", "parenttaskid", "parentid")  # no part of what a task is


def read(
    path: Path,
    tag: str | None = None,
    wait: float = sql_engine.READ_LOCK_SECONDS,
    home: Path | None = None,
    project: str = "",
) -> Reading:
    """Read the tasks of a SQLite database once, as ``source.read_source`` says; the file is left as it is."""
    where = files.quoted(path)
    names = [project] if project or home is None else [home.name, str(home)]

    def work(connection: Connection) -> dict[str, Rows]:
        schema = reflect(connection, where, shlex.quote(str(path)))
        schema.require()
        mine = filter_for_import(connection, schema, names)
        return mine.read(connection, list(schema.tasks.columns))

    tables = sql_engine.read_only(path, work, wait)
    if tag is not None:
        tables[TASKS] = _of_tag(tables[TASKS], tag, where)
    rows, refused = rows_of(tables, where)
    return build(rows, Origin(KIND, path, tag, home), refused)


def is_taskmaster(path: Path) -> bool:
    """Check whether a file is a TaskMaster database beyond doubt: all columns, dependencies among them.

    Applications of every kind have a table ``tasks``; hardly any but a task master says what depends on what.
    """
    try:
        schema = sql_engine.read_only(path, reflect, wait=0.2)
    except PeercoordError:
        return False
    is_linked = schema.keys["needs"] or any(name in schema.tables for name in EDGE_TABLES)
    return bool(is_linked) and all(schema.keys[key] for key in ("id", "title", "status", "priority"))


def _of_tag(tasks: Rows, tag: str, where: str) -> Rows:
    column = first(tasks.columns, COLUMNS["tag"])
    if column is None:
        raise UsageError(f"{where} has no tags", hint="leave --tag out")
    tags = [normalize.one_line(value) for value in tasks.values(column)]
    if tag not in tags:
        there = ", ".join(map(shown, sorted(set(tags)))) or "none"
        raise NotFoundError(f"{where} has no tag {shown(tag)}", hint=f"its tags are {there}")
    return Rows(tasks.columns, [row for row, own in zip(tasks.tuples, tags, strict=True) if own == tag])


# -- rows --------------------------------------------------------------------------------------------------------


def rows_of(tables: Mapping[str, Rows], where: str) -> tuple[list[Row], Refused]:
    """Return one row for each topmost task, with its edges and steps, and what was refused."""
    refused: Refused = []
    edges, steps = _edge_tables(tables, where), _step_tables(tables, refused)
    found = [_Fields(record) for record in tables[TASKS].dicts]
    above = _topmost((fields["id"], fields["parent"]) for fields in found)
    own = {task: task if task.startswith(f"{top}.") else f"{top}.{task}" for task, top in above.items()}
    made: dict[str, Row] = {}
    rows: list[Row] = []
    below: list[tuple[str, _Fields, list[str]]] = []
    for fields in found:
        task = normalize.identifier(fields["id"])
        needs = normalize.references(fields["needs"]) + edges.get(task, [])
        needs = [own.get(need, need) for need in needs]
        if task in above:
            below.append((task, fields, needs))
            continue
        row = fields.row(needs)
        row.steps = _json_steps(fields["steps"], task, refused) + steps.get(task, [])
        rows.append(row)
        made.setdefault(task, row)
    for task, fields, needs in below:
        made[above[task]].steps.append(fields.step(own[task], needs, (TASKS, None, fields["id"])))
    return rows, refused


def row_of(record: Record, refused: Refused) -> Row:
    """Return one record of ``tasks`` as a row, if no other row or table belongs to it."""
    fields = _Fields(record)
    row = fields.row(normalize.references(fields["needs"]))
    row.steps = _json_steps(fields["steps"], normalize.identifier(fields["id"]), refused)
    return row


def topmost(tables: Mapping[str, Rows]) -> dict[str, str]:
    """Return, for each row of ``tasks`` below another, the topmost row above it."""
    tasks = tables[TASKS]
    key, parent = (first(tasks.columns, COLUMNS[meaning]) for meaning in ("id", "parent"))
    return _topmost(zip(tasks.values(key), tasks.values(parent), strict=True)) if parent else {}


def _topmost(pairs: Iterable[tuple[object, object]]) -> dict[str, str]:
    """Return the topmost row above each row, from pairs of row and parent. Rows in a ring of parents stay tasks."""
    parent = {normalize.identifier(key): normalize.identifier(of) for key, of in pairs}
    found = {}
    for task in parent:
        above, seen = task, set()
        while above not in seen and parent[above] in parent:
            seen.add(above)
            above = parent[above]
        if above not in seen and seen:
            found[task] = above
    return found


class _Fields(dict[str, Any]):
    """A row by meaning instead of column; ``None`` where no column has a meaning."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record, names = record, _meanings(tuple(record))
        super().__init__({meaning: record[name] if name else None for meaning, name in names.items()})
        self.status = self["status"]
        if names["status"] is None and names["finished"] is not None:  # a column such as ``completed``
            is_done = normalize.one_line(self["finished"]).lower() in ("1", "true", "yes", "t")
            self.status = "done" if is_done else "pending"
        self.more = {key: self[key] for key in _MORE if self[key]}
        read = {*_LEFT, *names.values()} - {names["tag"], names["finished"]}
        self.extra = {k: v for k, v in record.items() if k not in read and v not in (None, "")}

    def row(self, needs: list[str]) -> Row:
        """Return it as a task."""
        notes = normalize.plain(self["notes"]).strip()
        return Row(
            self["id"],
            self["title"],
            description=self["description"],
            status=self.status,
            priority=self["priority"],
            needs=needs,
            assignee=self["assignee"],
            notes=[notes] if notes else [],
            more=self.more,
            extra=self.extra,
        )

    def step(self, step: object, needs: list[str], place: object) -> StepRow:
        """Return it as a step of this id."""
        description = {"description": self["description"]} if self["description"] else {}
        return StepRow(step, self["title"], self.status, needs, description | self.more | self.extra, place)


# -- edges and steps ---------------------------------------------------------------------------------------------


def _edge_tables(tables: Mapping[str, Rows], where: str) -> dict[str, list[str]]:
    """Return what each task needs, as far as a table of its own says so."""
    edges: dict[str, list[str]] = {}
    for name in filter(tables.__contains__, EDGE_TABLES):
        columns = tables[name].columns
        start, end, kind = first(columns, EDGE_FROM), first(columns, EDGE_TO), first(columns, EDGE_KIND)
        if start is None or end is None:
            raise unfit(where, f"its table '{name}' does not say what depends on what", "columns", columns)
        for row in tables[name].dicts:
            if kind is None or normalize.one_line(row[kind]).lower() not in NO_BLOCK:
                edges.setdefault(normalize.identifier(row[start]), []).extend(normalize.references(row[end]))
    return edges


def _step_tables(tables: Mapping[str, Rows], refused: Refused) -> dict[str, list[StepRow]]:
    """Return the steps of each task, as far as a table of their own holds them."""
    steps: dict[str, list[StepRow]] = {}
    for name in filter(tables.__contains__, STEP_TABLES):
        of = first(tables[name].columns, STEP_OF)
        if of is None:
            refused.append((f"table '{name}'", "it has no column that names the task of a subtask"))
            continue
        for row in tables[name].dicts:
            task = normalize.identifier(row[of])
            fields = _Fields({k: v for k, v in row.items() if k != of})
            steps.setdefault(task, []).append(_step(fields, task, (name, row[of], _Fields(row)["id"])))
    return steps


def _json_steps(value: object, task: str, refused: Refused) -> list[StepRow]:
    """Return the steps in a column that holds them as JSON."""
    if normalize.one_line(value) in ("", "null"):
        return []
    try:
        found = value if isinstance(value, list) else orjson.loads(normalize.plain(value))
    except ValueError:
        found = None
    if not isinstance(found, list):
        refused.append((f"subtasks of task {shown(task)}", "they are no JSON list"))
        return []
    records = [{k.lower(): v for k, v in item.items()} if isinstance(item, dict) else {} for item in found]
    return [_step(_Fields(record), task, at) for at, record in enumerate(records)]


def _step(fields: _Fields, task: str, place: object) -> StepRow:
    """Return a subtask as a row. A dependency without a dot names a sibling."""
    needs = [need if "." in need else f"{task}.{need}" for need in normalize.references(fields["needs"])]
    return fields.step(fields["id"], needs, place)


@lru_cache(maxsize=8)
def _meanings(columns: tuple[str, ...]) -> dict[str, str | None]:
    """Return the column for each meaning."""
    return {meaning: first(columns, names) for meaning, names in COLUMNS.items()}
