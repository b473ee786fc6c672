"""A list of tasks in memory: the smallest ``TaskList``, for tests that are not about any program's format."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from peercoord.errors import LostError
from peercoord.tasklists import imported, normalize, reconcile
from peercoord.tasklists.imported import Origin, Reading, Row, compared
from peercoord.tasklists.normalize import STATUS_WORDS, TaskStatus, status_or_blocked
from peercoord.tasklists.port import ListSnapshot
from peercoord.tasklists.reconcile import TWICE

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.tasklists.port import Refused, RowUpdate


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


class _Snapshot(ListSnapshot):
    def __init__(self, rows: list[Json], term: int, agreed: dict[str, tuple[str, str]], bases: dict[str, Json]) -> None:
        def some(tasks: Sequence[str]) -> tuple[dict[str, Json], set[str]]:
            return {task: bases[task] for task in tasks if task in bases}, set()

        super().__init__(term, agreed, ORIGIN, some, {})
        self.rows = rows
        for row in rows:
            task = normalize.identifier(row.get("id"))
            self.has_rows_without_id |= not task
            if task:
                self.digests[task] = TWICE if task in self.digests else repr(sorted(row.items()))

    def _read(self) -> Reading:
        return imported.build(map(_row, self.rows), ORIGIN)

    def _values(self, task: str) -> Json | None:
        return _values(next(row for row in self.rows if row["id"] == task))
