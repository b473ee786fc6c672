"""A TaskMaster database at one moment, as a comparison needs it: what changed, and the values of what changed.

Promise: a row that nobody touched costs one digest and nothing else. Of one that was touched, the values are those
that an import would give, for they come through the same reading.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from peercoord.core import ids, sync
from peercoord.edges.adapters import imported, taskmaster, words
from peercoord.edges.adapters.imported import Imported, Origin, Reading
from peercoord.edges.adapters.layout import OUTWARD
from peercoord.edges.adapters.vocabulary import state_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from peercoord.edges.adapters.imported import Row
    from peercoord.edges.adapters.sharing import Part
    from peercoord.edges.adapters.sqlite_tables import Tables

    Json = dict[str, Any]
    Bases = Callable[[Sequence[str]], tuple[Mapping[str, Json], set[str]]]

TWICE = "twice"
"""The digest of an id that two rows have: such rows are left alone."""


class RowSight:
    """What a database holds.

    Args:
        part: Which rows of it are looked at.
        tables: What was read of it.
        term: The highest term under which it was written.
        agreed: What was agreed on, by task.
        bases: Reads what was agreed on, and says which tasks someone else has agreed on since.
        origin: Where tasks come from that are taken in.
        memo: Values of rows by task and digest, kept from one look to the next.
    """

    def __init__(
        self,
        part: Part,
        tables: Tables,
        term: int,
        agreed: Mapping[str, tuple[str, str]],
        bases: Bases,
        origin: Origin,
        memo: dict[str, tuple[str, Json | None]],
    ) -> None:
        self.part, self.layout = part, part.layout
        self.tables, self.origin, self.memo = tables, origin, memo
        self.term, self.agreed = term, agreed
        self.overtaken: set[str] = set()
        self._bases = bases
        self.records: dict[str, tuple[Any, ...]] = {}
        self.digests = self._digests()
        self._rows: dict[str, Row] | None = None
        self._reading: Reading | None = None
        self._by_task: dict[str, Imported] = {}

    # -- what changed ----------------------------------------------------------------------------------------

    def _digests(self) -> dict[str, str]:
        if not self.layout.has_tasks:
            return {}
        tasks = self.tables.found[taskmaster.TASKS]
        key = tasks.columns.index(self.layout.keys["id"] or "id")
        if not self.layout.stands_alone:
            return self._grouped(key)
        found: dict[str, str] = {}
        missing = sum(name not in self.layout.tasks.columns for name in OUTWARD)
        encoded, records = _encoder((None,) * missing), self.records
        for row in tasks.tuples:
            value = row[key]
            task = str(value) if type(value) is int else words.identifier(value)
            found[task] = TWICE if task in found else blake2b(encoded(row), digest_size=9).hexdigest()
            records[task] = row
        return found

    def _grouped(self, key: int) -> dict[str, str]:
        """Digest each topmost row together with all that says something of it: rows below, edges, steps."""
        tasks = self.tables.found[taskmaster.TASKS]
        top = taskmaster.topmost(self.tables)
        parts: dict[str, list[str]] = {}
        for row in tasks.tuples:
            task = words.identifier(row[key])
            if task not in top and task in parts:
                self.records.pop(task, None)
                parts[task] = [TWICE, TWICE]
                continue
            if task not in top:
                self.records[task] = row
            parts.setdefault(top.get(task, task), []).append(repr(tuple(row)))
        for name, of in taskmaster.beside(self.tables):
            table = self.tables.found[name]
            at = table.columns.index(of)
            for row in table.tuples:
                task = words.identifier(row[at])
                if top.get(task, task) in parts:
                    parts[top.get(task, task)].append(repr(tuple(row)))
        return {task: _digest(said) for task, said in parts.items()}

    def bases(self, tasks: Sequence[str]) -> Mapping[str, Json]:
        """Give what was agreed on for these tasks; ``overtaken`` names those that someone has agreed on since."""
        found, self.overtaken = self._bases(tasks)
        return found

    # -- the values ------------------------------------------------------------------------------------------

    def row(self, task: str) -> Json | None:
        """Give the values of a task; ``None`` if its row is none, or there are two."""
        digest = self.digests.get(task, TWICE)
        if digest == TWICE:
            return None
        known = self.memo.get(task)
        if known is None or known[0] != digest:
            found = self._alone(task) if self.layout.stands_alone and self._reading is None else None
            found = found or self._imported().get(task)
            known = self.memo[task] = (digest, None if found is None else self._values(found))
        return known[1]

    def raw(self, task: str) -> Json:
        """Give a task's row by lower-case column."""
        columns = self.tables.found[taskmaster.TASKS].columns
        return dict(zip(columns, self.records[task], strict=True))

    def source_row(self, task: str) -> Row | None:
        """Give a task's row as it was read, with the places of its steps."""
        if self.layout.stands_alone:
            return taskmaster.row_of(self.raw(task), []) if task in self.records else None
        if self._rows is None:
            rows, _ = taskmaster.rows_of(self.tables, self.origin.path.name)
            self._rows = {words.identifier(row.task): row for row in rows}
        return self._rows.get(task)

    def _alone(self, task: str) -> Imported | None:
        """Read one row by itself; ``None`` if it names something that only the others can explain."""
        row = taskmaster.row_of(self.raw(task), [])
        if any(need not in self.digests for need in row.needs):
            return None
        made = imported.build([row], self.origin).tasks
        return made[0] if made else None

    def _all(self) -> Reading:
        if self._reading is None:
            if not self.layout.has_tasks:
                self._reading = Reading([], [])
            else:
                rows, refused = taskmaster.rows_of(self.tables, self.origin.path.name)
                self._reading = imported.build(rows, self.origin, refused)
        return self._reading

    def _imported(self) -> dict[str, Imported]:
        if not self._by_task:
            self._by_task = {task.definition.task: task for task in self._all().tasks}
        return self._by_task

    def _values(self, found: Imported) -> Json:
        keys, task = self.layout.keys, found.definition.task
        raw = self.raw(task)
        columns = [key for key in sync.TEXTS if keys.get(key)]
        values = theirs(found, columns)
        if keys["priority"] is None:
            del values["priority"]
        if keys["needs"] is None and self.layout.edges is None:
            del values["dependencies"]
        if keys["steps"] is None and self.layout.stands_alone:
            del values["steps"], values["steps_done"]
        if keys["status"] or keys["finished"]:
            values["state"] = state_of(found.definition.raw["source"]["status"])
        for name in OUTWARD:  # a column that is yet to be added is empty
            said = raw.get(name)
            values[name] = _parsed(said) if name != "assigned_instance" else said or None
        return values

    def incoming(self, tasks: Sequence[str]) -> Sequence[Imported]:
        """Give tasks as they are to be taken in."""
        wanted = set(tasks)
        return [task for task in self._all().tasks if task.definition.task in wanted]

    def refused(self) -> Sequence[tuple[str, str]]:
        """Say what could not be a task, and why."""
        twice = [(f"task {ids.shown(t)}", "two rows have its id; both are left alone") for t in self._twice()]
        return [*self._all().refused, *twice, *self.part.nameless]

    def _twice(self) -> Iterable[str]:
        return (task for task, digest in self.digests.items() if digest == TWICE)

    def state_of(self, word: object) -> str:
        """Say what a status word means."""
        return state_of(word)

    def is_source(self, source: Json) -> bool:
        """Tell whether a task that says where it comes from comes from here."""
        return same_source(source, self.origin)


def same_source(source: Json, origin: Origin) -> bool:
    """Tell whether what a definition notes as its source is this one."""
    path = source.get("path")
    return source.get("kind") == origin.kind and path in (origin.noted, str(origin.path))


def theirs(found: Imported, texts: Iterable[str]) -> Json:
    """Give the values of a task as a list holds it, in the form in which they are compared.

    Args:
        found: The task as an import would give it.
        texts: Those of ``sync.TEXTS`` that the list can hold.
    """
    raw = found.definition.raw
    steps = found.definition.steps
    said = {key: str(raw.get(key) or "") for key in texts}
    if "description" in said:
        said["description"] = sync.described(found.definition.title, said["description"])
    return {
        **said,
        "priority": raw["priority"],
        "dependencies": sorted(found.definition.dependencies, key=ids.natural),
        "steps": [[step.step, step.title] for step in steps],
        "steps_done": sorted(step.step for step in steps if step.done),
        "raw_steps": raw.get("subtasks", []),
        "reason": found.reason,
    }


def _encoder(more: tuple[None, ...]) -> Callable[[Sequence[Any]], bytes]:
    """Give what writes a row as bytes, the same for the same row: this is done ten thousand times in a row.

    Args:
        more: What its columns will hold that are yet to be added.
    """
    from orjson import JSONEncodeError, dumps

    def encoded(row: Sequence[Any]) -> bytes:
        try:
            return dumps((*row, *more), default=repr)
        except JSONEncodeError:  # a character that is none
            return repr((*row, *more)).encode("utf-8", "surrogatepass")

    return encoded


def _digest(said: Sequence[str]) -> str:
    if said[:2] == [TWICE, TWICE]:
        return TWICE
    return blake2b("\n".join(said).encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def _parsed(value: object) -> object:
    """Give what a JSON column holds, or what stands there if that is no JSON."""
    if not isinstance(value, (str, bytes)):
        return value
    import json

    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return words.plain(value)


def origin_of(path: Path, home: Path | None) -> Origin:
    """Give where tasks of a SQLite database come from."""
    return Origin(taskmaster.KIND, path, None, home)
