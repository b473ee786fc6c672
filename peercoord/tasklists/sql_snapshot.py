"""What a TaskMaster database holds at one moment: digests of all rows, and the values of those that changed.

An unchanged row costs one digest and nothing else. The values of a changed row are those that an import would give,
because both use the same reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from peercoord.tasklists import imported, normalize, reconcile, sql_rows
from peercoord.tasklists.imported import Imported, Origin, Reading, Row, compared
from peercoord.tasklists.normalize import status_or_blocked
from peercoord.tasklists.port import ListSnapshot
from peercoord.tasklists.reconcile import TWICE
from peercoord.tasklists.sql_schema import OUTWARD, TASKS, Rows

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.tasklists.port import Agreed, Bases, Memo
    from peercoord.tasklists.sql_projects import ProjectFilter


class SqlSnapshot(ListSnapshot):
    """What a database holds at one moment."""

    def __init__(
        self,
        projects: ProjectFilter,
        tables: dict[str, Rows],
        term: int,
        agreed: Agreed,
        origin: Origin,
        bases: Bases,
        memo: Memo,
    ) -> None:
        super().__init__(term, agreed, origin, bases, memo)
        self.projects, self.schema, self.tables = projects, projects.schema, tables
        self.records: dict[str, Sequence[Any]] = {}
        self._rows: dict[str, Row] | None = None
        self._by_task: dict[str, Imported] = {}
        if self.schema.has_tasks and self.schema.is_flat:
            self._digest_rows()
        elif self.schema.has_tasks:
            self._digest_groups()

    def _digest_rows(self) -> None:
        """Digest each row by itself."""
        tasks = self.tables[TASKS]
        key = tasks.columns.index(self.schema.id)
        missing = (None,) * sum(name not in self.schema.tasks.columns for name in OUTWARD)  # not added yet
        dumps, digests, records = orjson.dumps, self.digests, self.records
        for row in tasks.tuples:  # ten thousand times in a row
            value = row[key]
            task = str(value) if type(value) is int else normalize.identifier(value)
            try:
                data = dumps((*row, *missing), default=repr)
            except orjson.JSONEncodeError:  # a lone surrogate
                data = repr((*row, *missing)).encode("utf-8", "surrogatepass")
            digests[task] = TWICE if task in digests else blake2b(data, digest_size=9).hexdigest()
            records[task] = row

    def _digest_groups(self) -> None:
        """Digest each topmost row together with all that says something of it: rows below, edges, steps."""
        tasks = self.tables[TASKS]
        key = tasks.columns.index(self.schema.id)
        top = sql_rows.topmost(self.tables)
        parts: dict[str, list[str]] = {}
        twice = set()
        for row in tasks.tuples:
            task = normalize.identifier(row[key])
            if task not in top:
                if task in self.records:
                    twice.add(task)
                self.records[task] = row
            parts.setdefault(top.get(task, task), []).append(repr(tuple(row)))
        for name, _, of in self.schema.beside():
            rows = self.tables[name]
            for task, row in zip(map(normalize.identifier, rows.values(of)), rows.tuples, strict=False):
                if top.get(task, task) in parts:
                    parts[top.get(task, task)].append(repr(tuple(row)))
        for task, said in parts.items():
            data = "\n".join(said).encode("utf-8", "surrogatepass")
            self.digests[task] = TWICE if task in twice else blake2b(data, digest_size=9).hexdigest()
        for task in twice:
            del self.records[task]

    def raw(self, task: str) -> Json:
        """Return a task's row by lower-case column; empty if it has none."""
        columns = self.tables[TASKS].columns
        return dict(zip(columns, self.records[task], strict=True)) if task in self.records else {}

    def source_row(self, task: str) -> Row | None:
        """Return a task's row as it was read, with the places of its steps."""
        if self.schema.is_flat:
            return sql_rows.row_of(self.raw(task), []) if task in self.records else None
        if self._rows is None:
            rows, _ = sql_rows.rows_of(self.tables, self.origin.path.name)
            self._rows = {normalize.identifier(row.task): row for row in rows}
        return self._rows.get(task)

    def _alone(self, task: str) -> Imported | None:
        """Read one row by itself; ``None`` if it names something that only the others can explain."""
        row = sql_rows.row_of(self.raw(task), [])
        if any(need not in self.digests for need in row.needs):
            return None
        made = imported.build([row], self.origin).tasks
        return made[0] if made else None

    def _read(self) -> Reading:
        rows, refused = sql_rows.rows_of(self.tables, self.origin.path.name)
        return imported.build(rows, self.origin, [*refused, *self.projects.nameless])

    def _values(self, task: str) -> Json | None:
        # read one row by itself, unless all rows are read anyway, as in a first sync
        alone = self.schema.is_flat and self.agreed and "reading" not in vars(self)
        found = self._alone(task) if alone else None
        if found is None:
            self._by_task = self._by_task or {task.definition.task: task for task in self.reading.tasks}
            found = self._by_task.get(task)
        if found is None:
            return None
        keys, raw = self.schema.keys, self.raw(task)
        values = compared(found, [key for key in reconcile.TEXTS if keys.get(key)])
        if keys["priority"] is None:
            del values["priority"]
        if keys["needs"] is None and self.schema.edges is None:
            del values["dependencies"]
        if keys["steps"] is None and self.schema.is_flat:
            del values["steps"], values["steps_done"]
        if keys["status"] or keys["finished"]:
            values["state"] = status_or_blocked(found.definition.raw["source"]["status"])
        for name in OUTWARD:  # a column not added yet is empty
            said = raw.get(name)
            values[name] = _parsed(said) if name != "assigned_instance" else said or None
        return values


def _parsed(value: object) -> object:
    """Return what a JSON column holds; the text itself if it is no JSON."""
    if not isinstance(value, (str, bytes)):
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        return normalize.plain(value)
