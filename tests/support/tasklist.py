"""A list of tasks in memory: the smallest ``TaskList``, for tests that are not about any program's format."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from peercoord.errors import LostError
from peercoord.tasklists import imported, normalize, reconcile
from peercoord.tasklists.imported import Imported, Origin, Reading, Row, compared, doubled, is_from
from peercoord.tasklists.normalize import STATUS_WORDS, TaskStatus, status_or_blocked
from peercoord.tasklists.reconcile import TWICE

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.tasklists.port import ListSnapshot, Refused, RowUpdate


class MemoryTaskList:
    """Tasks as dictionaries with ``id``, ``title``, ``description``, ``status``, ``priority``, ``needs``."""

    name = noted = "a list in memory"

    def __init__(self) -> None:
        self.rows: list[Json] = []
        self.term = -1
        self.agreed: dict[str, tuple[str, str]] = {}
        self.bases: dict[str, Json] = {}

    def snapshot(self) -> ListSnapshot:
        """Return a copy, which later changes do not reach."""
        return _Snapshot(copy.deepcopy(self.rows), self.term, dict(self.agreed), copy.deepcopy(self.bases))

    def update(self, term: int, work: Callable[[ListSnapshot], Sequence[RowUpdate]]) -> Refused:
        """Change it: first a copy, which takes its place when all is done."""
        if term < self.term:
            raise LostError(f"term {term} is over, so nothing was changed in {self.name}", code="stale-term")
        updates = work(self.snapshot())
        rows, held = copy.deepcopy(self.rows), {}
        for update in updates:
            row: Json = next((row for row in rows if row["id"] == update.task), {})
            if update.new:
                row = {"id": update.task}
                rows.append(row)
            row.update(_written(update.outgoing))
            held[update.task] = _values(row) or {}
        after = _Snapshot(rows, term, {}, {})
        self.rows, self.term = rows, term
        for update in updates:
            self.agreed[update.task] = (update.version, after.digests.get(update.task, ""))
            self.bases[update.task] = copy.deepcopy(update.base(held[update.task]))
        return []


ORIGIN = Origin("memory", PurePath("memory"))


def _written(fields: Json) -> Json:
    written: Json = {}
    for field, value in fields.items():
        if field == "state":
            written["status"] = STATUS_WORDS[TaskStatus(value)][0]
        elif field == "dependencies":
            written["needs"] = value
        elif field in (*reconcile.TEXTS, "priority", "summary"):
            written[field] = value
    return written


def _row(row: Json) -> Row:
    more = {key: row[key] for key in reconcile.TEXTS[2:] if row.get(key)}
    return Row(
        row.get("id"),
        row.get("title"),
        description=row.get("description"),
        status=row.get("status"),
        priority=row.get("priority"),
        needs=list(row.get("needs", ())),
        more=more,
    )


def _values(row: Json) -> Json | None:
    made = imported.build([_row(row)], ORIGIN).tasks
    if not made:
        return None
    values = compared(made[0], reconcile.TEXTS)
    del values["steps"], values["steps_done"]
    return {**values, "state": status_or_blocked(row.get("status")), "summary": row.get("summary")}


class _Snapshot:
    def __init__(self, rows: list[Json], term: int, agreed: dict[str, tuple[str, str]], bases: dict[str, Json]) -> None:
        self.rows, self.term, self.agreed, self._bases = rows, term, agreed, bases
        self.overtaken: set[str] = set()
        self.digests: dict[str, str] = {}
        self.has_rows_without_id = False
        for row in rows:
            task = normalize.identifier(row.get("id"))
            self.has_rows_without_id |= not task
            if task:
                self.digests[task] = TWICE if task in self.digests else repr(sorted(row.items()))

    def bases(self, tasks: Sequence[str]) -> Mapping[str, Json]:
        return {task: self._bases[task] for task in tasks if task in self._bases}

    def row(self, task: str) -> Json | None:
        if self.digests.get(task, TWICE) == TWICE:
            return None
        return _values(next(row for row in self.rows if row["id"] == task))

    def _all(self) -> Reading:
        return imported.build(map(_row, self.rows), ORIGIN)

    def incoming(self, tasks: Sequence[str]) -> Sequence[Imported]:
        return [task for task in self._all().tasks if task.definition.task in tasks]

    def refused(self) -> Sequence[tuple[str, str]]:
        return self._all().refused

    def twice(self) -> Sequence[tuple[str, str]]:
        return doubled(self.digests, "row")

    def is_source(self, source: Json) -> bool:
        return is_from(source, ORIGIN)

    def is_beside(self, source: Any) -> bool:
        return False
