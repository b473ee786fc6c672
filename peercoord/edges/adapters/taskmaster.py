"""A TaskMaster database in SQLite: table ``tasks`` with id, title, description, status, priority, dependencies.

Schemas differ from one to the next, so columns are found by name, case aside. Dependencies are a JSON list, a list
with commas, or rows of a table ``task_dependencies``. Subtasks are a JSON column, a table ``subtasks``, or rows of
``tasks`` with a ``parent_id``: all become steps of the topmost task above them, and whatever depends on such a row
depends on a step.

Promise: reading changes nothing (see ``sqlite_tables``). A table that says what depends on what and is not
understood is an error: tasks without their edges would be done in the wrong order.
"""

from __future__ import annotations

import shlex
from typing import Any

from peercoord.core import ids
from peercoord.core.errors import BrokenFileError, NotFoundError, PeercoordError, UsageError
from peercoord.edges.adapters import files, projects, sqlite_tables, words
from peercoord.edges.adapters.imported import Origin, Reading, Row, StepRow, build
from peercoord.edges.adapters.sqlite_tables import Table, Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    Record = dict[str, Any]
    Refused = list[tuple[str, str]]

KIND = "sqlite"
TASKS = "tasks"

EDGE_TABLES = ("task_dependencies", "task_deps")
STEP_TABLES = ("subtasks", "sub_tasks", "task_subtasks")
WANTED = (TASKS, *EDGE_TABLES, *STEP_TABLES)
"""Tables that are read, in lower case."""

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
_MORE = ("details", "testStrategy", "acceptanceCriteria")
_LEFT = ("instance_progress", "coordination_data", "parenttaskid", "parentid")  # no part of what a task is
STEP_OF = ("task_id", "parent_id", "parent_task_id")
EDGE_FROM = ("task_id", "task", "from_id", "source_id")
EDGE_TO = (
    *("depends_on_task_id", "depends_on_id", "depends_on", "dependency_id", "dependency_task_id", "dependency"),
    *("blocker_id", "to_id", "target_id"),
)
EDGE_KIND = ("type", "dependency_type", "kind")
NO_BLOCK = ("related", "relates-to", "relates_to", "discovered-from", "duplicates", "supersedes", "soft", "optional")


def read(
    path: Path,
    tag: str | None = None,
    wait: float = sqlite_tables.LOCK_SECONDS,
    home: Path | None = None,
    project: str = "",
) -> Reading:
    """Read the tasks of a database.

    Args:
        path: The database file.
        tag: Only rows whose column ``tag`` says so; all rows by default.
        wait: Seconds to wait for a program that has it locked.
        home: The project that they are read for, if there is one.
        project: What a database of several projects calls it, if not like its directory.

    Raises:
        NotFoundError: It is not there, or no row has the tag.
        BrokenFileError: It is no database, is damaged, or holds no tasks of this kind.
        StorageError: It is locked or cannot be read.
        UsageError: A tag was asked of a database that has none, or several projects cannot be told apart.
    """
    tables = sqlite_tables.read(path, (*WANTED, projects.TABLE), wait)
    tasks = tasks_of(tables, files.quoted(path))
    key = _column(tasks.columns, "id") or "id"
    why = projects.cut(tables, TASKS, key, [name for name, _ in beside(tables)], _names(home, project))
    if why:
        raise projects.refusal(files.quoted(path), shlex.quote(str(path)), why)
    tasks = tables.found[TASKS]
    if tag is not None:
        tables.found[TASKS] = Table(tasks.columns, _of_tag(tasks, tag, path))
    made, refused = rows_of(tables, files.quoted(path))
    return build(made, Origin(KIND, path, tag, home), refused)


def _names(home: Path | None, project: str) -> list[str]:
    """Give what a database may call a project, the likeliest first."""
    return [project] if project or home is None else [home.name, str(home)]


def rows_of(tables: Tables, where: str) -> tuple[list[Row], Refused]:
    """Make rows of tables: one for each topmost task, with its edges and steps.

    Args:
        tables: Those of ``WANTED`` that there are.
        where: The database's name, as it is shown.

    Raises:
        BrokenFileError: A table of what depends on what is not understood.
    """
    refused: Refused = []
    steps = _step_table(tables, refused)
    return _rows(tables.found[TASKS].rows, _edge_table(tables, where), steps, refused), refused


def row_of(record: Record, refused: Refused) -> Row:
    """Make a row of one record of ``tasks`` that stands alone: no rows below it, no other tables to look into."""
    fields = _Fields(record)
    found = _row(fields, words.references(fields["needs"]))
    found.steps = _json_steps(fields["steps"], words.identifier(fields["id"]), refused)
    return found


def is_taskmaster(path: Path) -> bool:
    """Tell whether a file is a TaskMaster database beyond doubt: all columns, what depends on what among them.

    Applications of every kind have a table ``tasks``; hardly one but a task master says what depends on what.
    """
    try:
        tables = sqlite_tables.read(path, WANTED, wait=0.2, rows=False)
    except PeercoordError:
        return False
    if TASKS not in tables.found:
        return False
    columns = tables.found[TASKS].columns
    linked = _column(columns, "needs") or any(name in tables.found for name in EDGE_TABLES)
    return bool(linked) and all(_column(columns, key) for key in ("id", "title", "status", "priority"))


def tasks_of(tables: Tables, where: str) -> Table:
    """Give the table of tasks.

    Raises:
        BrokenFileError: There is none, or it has no column for an id or a title.
    """
    if TASKS not in tables.found:
        raise _unfit(where, f"it has no table '{TASKS}'", "tables", tables.names)
    tasks = tables.found[TASKS]
    for key in ("id", "title"):
        if not _column(tasks.columns, key):
            raise _unfit(where, f"its table '{TASKS}' has no column '{key}'", "columns", tasks.columns)
    return tasks


def _unfit(where: str, what: str, kind: str, there: Iterable[str]) -> BrokenFileError:
    listed = ", ".join(ids.shown(name) for name in sorted(there)) or "none"
    return BrokenFileError(
        f"{where} is no TaskMaster database: {what}; its {kind}: {listed}",
        hint=f"name a database with a table '{TASKS}' that has at least the columns id and title",
    )


def _column(columns: Collection[str], key: str) -> str | None:
    """Give the name that a column goes by in this table."""
    return _first(columns, COLUMNS[key])


def _first(columns: Collection[str], names: Iterable[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _of_tag(tasks: Table, tag: str, path: Path) -> list[tuple[Any, ...]]:
    column = _column(tasks.columns, "tag")
    if column is None:
        raise UsageError(f"{files.quoted(path)} has no tags", hint="leave --tag out")
    at = tasks.columns.index(column)
    rows = [row for row in tasks.tuples if words.one_line(row[at]) == tag]
    if not rows:
        there = sorted({words.one_line(row[at]) for row in tasks.tuples})
        raise NotFoundError(
            f"{files.quoted(path)} has no tag {ids.shown(tag)}",
            hint=f"its tags are {', '.join(ids.shown(name) for name in there) or 'none'}",
        )
    return rows


# -- edges and steps in tables of their own ----------------------------------------------------------------------


def _edge_table(tables: Tables, where: str) -> dict[str, list[str]]:
    """Give what each task needs, as far as a table of its own says so."""
    edges: dict[str, list[str]] = {}
    for name in EDGE_TABLES:
        if name not in tables.found:
            continue
        table = tables.found[name]
        start, end = _first(table.columns, EDGE_FROM), _first(table.columns, EDGE_TO)
        if start is None or end is None:
            raise _unfit(where, f"its table '{name}' does not say what depends on what", "columns", table.columns)
        kind = _first(table.columns, EDGE_KIND)
        for row in table.rows:
            if kind is None or words.one_line(row[kind]).lower() not in NO_BLOCK:
                edges.setdefault(words.identifier(row[start]), []).extend(words.references(row[end]))
    return edges


def _step_table(tables: Tables, refused: Refused) -> dict[str, list[StepRow]]:
    """Give the steps of each task, as far as a table of their own holds them."""
    steps: dict[str, list[StepRow]] = {}
    for name in STEP_TABLES:
        if name not in tables.found:
            continue
        table = tables.found[name]
        of = _first(table.columns, STEP_OF)
        if of is None:
            refused.append((f"table '{name}'", "it has no column that names the task of a subtask"))
            continue
        for row in table.rows:
            task = words.identifier(row[of])
            found = _step({k: v for k, v in row.items() if k != of}, task)
            found.at = (name, row[of], _Fields(row)["id"])
            steps.setdefault(task, []).append(found)
    return steps


def _step(record: Mapping[str, Any], task: str) -> StepRow:
    """Take a subtask apart. Where it names another without a dot, a sibling is meant."""
    fields = _Fields(record)
    needs = [need if "." in need else f"{task}.{need}" for need in words.references(fields["needs"])]
    return StepRow(fields["id"], fields["title"], fields.status(), needs, fields.step_more())


def _json_steps(value: object, task: str, refused: Refused) -> list[StepRow]:
    """Give the steps of a column that holds them as JSON."""
    import json

    if words.one_line(value) in ("", "null"):
        return []
    try:
        found = json.loads(words.plain(value))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        refused.append((f"subtasks of task {ids.shown(task)}", "they are no JSON list"))
        return []
    steps = [_step({k.lower(): v for k, v in item.items()} if isinstance(item, dict) else {}, task) for item in found]
    for at, step in enumerate(steps):
        step.at = at
    return steps


# -- rows --------------------------------------------------------------------------------------------------------


class _Fields:
    """A row by what its columns mean."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        self.names = {key: _column(record, key) for key in COLUMNS}

    def __getitem__(self, key: str) -> Any:
        name = self.names[key]
        return None if name is None else self.record[name]

    def status(self) -> object:
        """Give the status, or what a column such as ``completed`` says where there is none."""
        if self.names["status"] is None and self.names["finished"] is not None:
            return "done" if words.one_line(self["finished"]).lower() in ("1", "true", "yes", "t") else "pending"
        return self["status"]

    def more(self) -> Record:
        return {key: self[key] for key in _MORE if self[key]}

    def extra(self) -> Record:
        read = {self.names[key] for key in COLUMNS if key not in ("tag", "finished")}
        rest = {k: v for k, v in self.record.items() if k not in read and k not in _LEFT}
        return {k: v for k, v in rest.items() if v not in (None, "")}

    def step_more(self) -> Record:
        description = {"description": self["description"]} if self["description"] else {}
        return description | self.more() | self.extra()


def _rows(
    rows: list[Record], edges: dict[str, list[str]], steps: dict[str, list[StepRow]], refused: Refused
) -> list[Row]:
    """Make rows of the topmost tasks; the rows below become their steps."""
    every = [_Fields(record) for record in rows]
    top = _topmost(every)
    own = {task: _step_of(task, above) for task, above in top.items()}
    made: dict[str, Row] = {}
    below: list[tuple[str, _Fields]] = []
    out: list[Row] = []
    for fields in every:
        task = words.identifier(fields["id"])
        if task in top:
            below.append((task, fields))
            continue
        found = _row(fields, [own.get(n, n) for n in _needs(task, fields, edges)])
        found.steps = _json_steps(fields["steps"], task, refused) + steps.get(task, [])
        out.append(found)
        made.setdefault(task, found)
    for task, fields in below:
        needs = [own.get(need, need) for need in _needs(task, fields, edges)]
        at = (TASKS, None, fields["id"])
        step = StepRow(own[task], fields["title"], fields.status(), needs, fields.step_more(), at)
        made[top[task]].steps.append(step)
    return out


def topmost(tables: Tables) -> dict[str, str]:
    """Give, for each row of ``tasks`` below another, the topmost row above it."""
    return _topmost([_Fields(record) for record in tables.found[TASKS].rows])


def beside(tables: Tables) -> list[tuple[str, str]]:
    """Give the tables that say something of tasks, each with its column that names the task."""
    kinds = ((EDGE_TABLES, EDGE_FROM), (STEP_TABLES, STEP_OF))
    return [
        (name, of)
        for wanted, columns in kinds
        for name in wanted
        if name in tables.found and (of := _first(tables.found[name].columns, columns))
    ]


def _step_of(task: str, above: str) -> str:
    return task if task.startswith(f"{above}.") else f"{above}.{task}"


def _needs(task: str, fields: _Fields, edges: dict[str, list[str]]) -> list[str]:
    return words.references(fields["needs"]) + edges.get(task, [])


def _row(fields: _Fields, needs: list[str]) -> Row:
    notes = words.plain(fields["notes"]).strip()
    return Row(
        fields["id"],
        fields["title"],
        description=fields["description"],
        status=fields.status(),
        priority=fields["priority"],
        needs=needs,
        assignee=fields["assignee"],
        notes=[notes] if notes else [],
        more=fields.more(),
        extra=fields.extra(),
    )


def _topmost(every: list[_Fields]) -> dict[str, str]:
    """Give, for each row below another, the topmost row above it. A ring of parents leaves its rows as tasks."""
    parent = {words.identifier(f["id"]): words.identifier(f["parent"]) for f in every}
    top = {}
    for task in parent:
        above, seen = task, set()
        while above not in seen and parent[above] in parent:
            seen.add(above)
            above = parent[above]
        if above not in seen and seen:
            top[task] = above
    return top
