"""Writing tasks into a database: each field in the column and the words that the database has for it.

Promise: one row that the database refuses costs that row, never the sync; it is told, and tried again. Only columns
whose meaning is known are written, and of those only the ones whose value changes.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from peercoord.core import ids, names, sync
from peercoord.edges.adapters import taskmaster, words
from peercoord.edges.adapters.layout import OUTWARD
from peercoord.edges.adapters.vocabulary import Vocabulary, state_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Executable

    from peercoord.edges.adapters.layout import Column, Shape
    from peercoord.edges.adapters.sight import RowSight
    from peercoord.roles.database import Entry

    Json = dict[str, Any]

_NUMBERS = ("INT", "NUM", "REAL", "FLOA", "DOUB", "DEC", "SERIAL")


class Writer:
    """Writes the entries of one transaction.

    Args:
        connection: The transaction.
        sight: What the database held as it began.
        now: The time, RFC 3339, for columns that need one.
    """

    def __init__(self, connection: Connection, sight: RowSight, now: str) -> None:
        self.connection, self.sight, self.now = connection, sight, now
        self.part, self.layout = sight.part, sight.layout
        self.shape = sight.layout.tasks
        self.table = self.shape.clause()
        self.status = self._vocabulary("status")
        self.priority = self._vocabulary("priority")
        self.refused: dict[str, str] = {}

    def _vocabulary(self, key: str) -> Vocabulary:
        name = self.layout.keys[key]
        if name is None:
            return Vocabulary(())
        tasks = self.sight.tables.found[taskmaster.TASKS]
        at = tasks.columns.index(name)
        return Vocabulary((row[at] for row in tasks.tuples), self.shape.allowed.get(name))

    # -- entries ---------------------------------------------------------------------------------------------

    def write(self, entries: Sequence[Entry]) -> dict[str, Json]:
        """Write entries.

        Returns:
            For each that was written, the values that the row holds now. The others are in ``refused``.
        """
        held: dict[str, Json] = {}
        updates: dict[tuple[str, ...], list[tuple[str, Json]]] = {}
        inserts: list[tuple[str, Json]] = []
        for entry in entries:
            values, cells = self._cells(entry)
            held[entry.task] = values
            if entry.new:
                self._insertion(entry, cells, inserts)
            elif cells:
                updates.setdefault(tuple(sorted(cells)), []).append((entry.task, cells))
        for columns, rows in updates.items():
            self._each(rows, partial(self._update, columns))
        self._each(inserts, self._insert)
        for entry in entries if not self.layout.stands_alone else ():
            if entry.task not in self.refused:
                self._each([(entry.task, {})], partial(self._beside, entry))
        return {task: values for task, values in held.items() if task not in self.refused}

    def key(self, task: str) -> object:
        """Give a task's id as the database holds it."""
        name = self.layout.keys["id"] or "id"
        if task in self.sight.records:
            return self.sight.raw(task)[name]
        kind = self.shape.columns[name].kind
        whole = names.number(task) is not None
        if any(word in kind for word in _NUMBERS):
            return int(task) if whole else None
        tasks = self.sight.tables.found[taskmaster.TASKS]
        at = tasks.columns.index(name)
        numbers = not kind and any(isinstance(row[at], int) for row in tasks.tuples)
        return int(task) if whole and numbers else task

    def _insertion(self, entry: Entry, cells: Json, inserts: list[tuple[str, Json]]) -> None:
        key = self.key(entry.task)
        if key is None:
            self.refused[entry.task] = f"its id {ids.shown(entry.task)} does not fit into a column of whole numbers"
            return
        cells = {self.layout.keys["id"] or "id": key, **cells}
        cells |= {name.lower(): value for name, value in self.part.cells(self.shape).items()}
        for name, column in self.shape.columns.items():
            if column.needed and cells.get(name) is None:
                cells[name] = self._filler(column)
        inserts.append((entry.task, cells))

    def _filler(self, column: Column) -> object:
        """Give something for a column that must not be empty and of which we know nothing."""
        if "TIME" in column.kind or "DATE" in column.kind or column.name.lower().endswith("_at"):
            return self.now
        if "BOOL" in column.kind:
            return False
        return 0 if any(word in column.kind for word in _NUMBERS) else ""

    # -- cells -----------------------------------------------------------------------------------------------

    def _cells(self, entry: Entry) -> tuple[Json, Json]:
        """Give the values that a row will hold, and its cells by lower-case column."""
        raw = self.sight.raw(entry.task) if entry.task in self.sight.records else {}
        values = dict(self.sight.row(entry.task) or {}) if raw else self._holds(entry)
        cells: Json = {}
        for field, value in entry.outgoing.items():
            said = self._cell(field, value, raw)
            if said is None:
                continue
            name, cell, means = said
            values[field] = means
            if name:
                cells[name] = cell
        if entry.new:
            self._steps_inside(entry, cells)
        elif isinstance(entry.outgoing.get("steps_done"), list):
            self._ticked_inside(entry, raw, cells)
        return values, cells

    def _holds(self, entry: Entry) -> Json:
        """Give the values that a new row will hold, where writing does not change them."""
        if self.layout.keys["steps"]:
            return {"steps": entry.ours["steps"], "steps_done": entry.ours["steps_done"]}
        return {}

    def _cell(self, field: str, value: Any, raw: Json) -> tuple[str, object, object] | None:
        """Give column, cell and meaning of a field; ``None`` if this database cannot say it."""
        keys = self.layout.keys
        if field in sync.TEXTS:
            text = words.one_line(value) if field == "title" else words.plain(value)
            name = keys[field]
            return (name, text, text) if name else None
        if field in OUTWARD:
            return self._outward(field, value)
        if field == "state":
            return self._state(str(value), raw)
        if field == "priority" and keys["priority"]:
            return self._priority(keys["priority"], str(value), raw.get(keys["priority"]))
        if field == "dependencies" and keys["needs"]:
            return keys["needs"], self._needs(keys["needs"], value), value
        if field == "dependencies" and self.layout.edges:
            return "", None, value
        return ("", None, value) if field == "steps_done" else None

    def _outward(self, field: str, value: object) -> tuple[str, object, object] | None:
        column = self.shape.columns.get(field)
        if column is None:
            return None
        if value is None or field == "assigned_instance" or "JSON" in column.kind:
            return field, value, value
        return field, json.dumps(value, ensure_ascii=False), value

    def _state(self, state: str, raw: Json) -> tuple[str, object, object] | None:
        status, finished = self.layout.keys["status"], self.layout.keys["finished"]
        if status:
            word = self.status.status(state, raw.get(status))
            return None if word is None else (status, word, state_of(word))
        if not finished:
            return None
        done = state == sync.DONE
        boolean = "BOOL" in self.shape.columns[finished].kind and self.connection.dialect.name == "postgresql"
        return finished, done if boolean else int(done), sync.DONE if done else sync.OPEN

    def _priority(self, name: str, word: str, now: object) -> tuple[str, object, object] | None:
        if any(kind in self.shape.columns[name].kind for kind in _NUMBERS) or self.priority.numbers:
            level = names.PRIORITIES.index(word)
            return name, level if isinstance(now, int) or self._is_number(name) else str(level), word
        said = self.priority.priority(word, now)
        return None if said is None else (name, said, words.priority(said))

    def _is_number(self, name: str) -> bool:
        return any(kind in self.shape.columns[name].kind for kind in _NUMBERS)

    def _needs(self, name: str, needs: list[str]) -> object:
        """Write dependencies as this column writes them: a JSON list unless it has lists with commas."""
        kind = self.shape.columns[name].kind
        public = [ids.public(need) for need in needs]
        if "[]" in kind or "ARRAY" in kind:
            return public if "INT" in kind else needs
        if "JSON" in kind:
            return public
        tasks = self.sight.tables.found[taskmaster.TASKS]
        at = tasks.columns.index(name)
        said = [text for text in (words.one_line(row[at]) for row in tasks.tuples) if text]
        if any(text[0] != "[" for text in said) and not any(text[0] == "[" for text in said):
            return ",".join(needs)
        return json.dumps(public)

    # -- steps -----------------------------------------------------------------------------------------------

    def _steps_inside(self, entry: Entry, cells: Json) -> None:
        name = self.layout.keys["steps"]
        steps = entry.ours["steps"]
        if name and steps:
            done = set(entry.ours["steps_done"])
            listed = [
                {
                    "id": ids.public(step.removeprefix(f"{entry.task}.")),
                    "title": title,
                    "status": "done" if step in done else "pending",
                }
                for step, title in steps
            ]
            cells[name] = listed if "JSON" in self.shape.columns[name].kind else json.dumps(listed, ensure_ascii=False)

    def _ticked_inside(self, entry: Entry, raw: Json, cells: Json) -> None:
        """Put the status of steps right that stand in a JSON column of their task."""
        name = self.layout.keys["steps"]
        row = self.sight.source_row(entry.task)
        if name is None or row is None or not any(isinstance(step.at, int) for step in row.steps):
            return
        kept = raw[name]
        listed = json.loads(words.plain(kept)) if isinstance(kept, (str, bytes)) else kept
        done = set(entry.outgoing["steps_done"])
        for step in row.steps:
            if isinstance(step.at, int) and isinstance(listed[step.at], dict):
                _tick(listed[step.at], _full_id(step.step, entry.task) in done)
        cells[name] = json.dumps(listed, ensure_ascii=False) if isinstance(kept, (str, bytes)) else listed

    def _beside(self, entry: Entry, _: object) -> None:
        """Write what stands in other rows and tables: steps, and what depends on what."""
        if isinstance(entry.outgoing.get("steps_done"), list) and not entry.new:
            self._tick_rows(entry)
        edges = self.layout.edges
        if edges and self.layout.keys["needs"] is None and "dependencies" in entry.outgoing:
            self._write_edges(entry, edges)

    def _tick_rows(self, entry: Entry) -> None:
        row = self.sight.source_row(entry.task)
        done = set(entry.outgoing["steps_done"])
        for step in row.steps if row else []:
            if not isinstance(step.at, tuple):
                continue
            name, of, key = step.at
            shape = self.layout.shapes[name]
            is_done, shall_be = words.state(step.status) == "done", _full_id(step.step, entry.task) in done
            if is_done != shall_be:
                self._tick_row(shape, of, key, step.status, shall_be)

    def _tick_row(self, shape: Shape, of: object, key: object, now: object, done: bool) -> None:
        columns = taskmaster.COLUMNS
        table, status, finished = shape.clause(), shape.first(columns["status"]), shape.first(columns["finished"])
        own = shape.first(columns["id"])
        if own is None or not (status or finished):
            return
        word = self.status.status(sync.DONE if done else sync.OPEN, now) if status else done
        where = [*self.part.where(shape), table.c[shape.columns[own].name] == key]
        above = shape.first(taskmaster.STEP_OF)
        if of is not None and above:
            where.append(table.c[shape.columns[above].name] == of)
        column = shape.columns[status or finished or ""].name
        self.connection.execute(table.update().where(*where).values({column: word}))

    def _write_edges(self, entry: Entry, edges: tuple[Shape, str, str, str | None]) -> None:
        shape, start, end, kind = edges
        table, key = shape.clause(), self.key(entry.task)
        c = {name: table.c[column.name] for name, column in shape.columns.items()}
        ours = [*self.part.where(shape), c[start] == key]
        old = self.connection.execute(table.select().where(*ours)).mappings().all()
        blocking = [row for row in old if not kind or words.one_line(row[c[kind]]).lower() not in taskmaster.NO_BLOCK]
        there = {words.identifier(row[c[end]]): row[c[end]] for row in blocking}
        for need, value in there.items():
            if need not in entry.outgoing["dependencies"]:
                self.connection.execute(table.delete().where(*ours, c[end] == value))
        new = [need for need in entry.outgoing["dependencies"] if need not in there]
        if new:
            cells = {**self.part.cells(shape), c[start].name: key}
            self.connection.execute(table.insert(), [{**cells, c[end].name: self.key(need)} for need in new])

    # -- statements ------------------------------------------------------------------------------------------

    def _each(self, rows: list[tuple[str, Json]], do: Callable[[list[tuple[str, Json]]], None]) -> None:
        """Write rows together; if the database refuses, one by one, to find out which it means."""
        from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, StatementError

        if not rows:
            return
        attempt = self.connection.begin_nested()
        try:
            do(rows)
        except (DataError, IntegrityError, ProgrammingError) as error:
            attempt.rollback()
            if len(rows) == 1:
                self.refused[rows[0][0]] = f"the database refuses its row: {words.one_line(error.orig, 200)}"
                return
            for row in rows:
                self._each([row], do)
        except StatementError as error:
            if error.__class__ is not StatementError:
                raise  # the connection is gone, or the disk is full: no row's fault
            attempt.rollback()
            self.refused.update({task: f"its row cannot be written: {error.orig}" for task, _ in rows})
        else:
            attempt.commit()

    def _update(self, columns: tuple[str, ...], rows: list[tuple[str, Json]]) -> None:
        from sqlalchemy import bindparam

        key = self.shape.columns[self.layout.keys["id"] or "id"].name
        where = [*self.part.where(self.shape), self.table.c[key] == bindparam("b_key")]
        values: Json = {self.shape.columns[name].name: bindparam(f"b{at}") for at, name in enumerate(columns)}
        statement: Executable = self.table.update().where(*where).values(values)
        self.connection.execute(
            statement,
            [
                {"b_key": self.key(task), **{f"b{at}": cells[name] for at, name in enumerate(columns)}}
                for task, cells in rows
            ],
        )

    def _insert(self, rows: list[tuple[str, Json]]) -> None:
        columns = dict.fromkeys(name for _, cells in rows for name in cells)
        self.connection.execute(
            self.table.insert(),
            [{self.shape.columns[name].name: cells.get(name) for name in columns} for _, cells in rows],
        )


def _tick(step: Json, done: bool) -> None:
    if (words.state(step.get("status")) == "done") != done:
        step["status"] = "done" if done else "pending"


def _full_id(step: object, task: str) -> str:
    own = words.identifier(step)
    return own if own.startswith(f"{task}.") else f"{task}.{own}"
