"""Writing tasks into a database: each field in the column and the words that the database has for it.

Promise: a row that the database refuses costs that row; it is reported and retried, and the sync goes on. Only columns
whose meaning is known are written, and of those only the ones whose value changes. A new row in a table that requires
a value of unknown meaning is refused by the column's name: nothing is made up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from peercoord.foreign import shown
from peercoord.store import ids, paths
from peercoord.tasklists import normalize, reconcile
from peercoord.tasklists.normalize import ColumnWords, TaskStatus, full_step_id, status_of, status_or_blocked
from peercoord.tasklists.sql_engine import UnfitError, tried
from peercoord.tasklists.sql_figures import moment
from peercoord.tasklists.sql_schema import COLUMNS, CREATED, NO_BLOCK, OUTWARD, STEP_OF, TASKS, UPDATED, Table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from peercoord.foreign import Json
    from peercoord.tasklists.port import RowUpdate
    from peercoord.tasklists.sql_projects import ProjectFilter
    from peercoord.tasklists.sql_snapshot import SqlSnapshot

    Batch = list[tuple[str, Json]]


class Writer:
    """Writes the updates of one transaction."""

    def __init__(self, connection: Connection, projects: ProjectFilter, found: SqlSnapshot, now: str) -> None:
        self.connection, self.projects, self.found, self.now = connection, projects, found, now
        self.schema, self.table, self.rows = projects.schema, projects.schema.tasks, found.tables[TASKS]
        self.refused: dict[str, str] = {}  # for each task whose row was refused, why
        self._were_broken = self._broken()

    @cached_property
    def _status_words(self) -> ColumnWords:
        return self._words("status")

    @cached_property
    def _priority_words(self) -> ColumnWords:
        return self._words("priority")

    def _words(self, meaning: str) -> ColumnWords:
        name = self.schema.keys[meaning]
        return ColumnWords(self.rows.values(name), self.table.allowed.get(name or ""))

    def write(self, updates: Sequence[RowUpdate]) -> dict[str, Json]:
        """Write updates; return for each that was written the values that its row holds now."""
        held: dict[str, Json] = {}
        changes: dict[tuple[str, ...], Batch] = {}
        inserts: Batch = []
        for update in updates:
            try:
                values, cells = self._cells(update)
                if update.new:
                    inserts.append((update.task, self._new_row(update.task, cells)))
                elif cells:
                    changes.setdefault(tuple(sorted(cells)), []).append((update.task, cells))
                held[update.task] = values
            except UnfitError as error:
                self.refused[update.task] = str(error)
        for columns, rows in changes.items():
            self._each(partial(self._update, columns), rows)
        self._each(self._insert, inserts)
        for update in updates if not self.schema.is_flat else ():
            if update.task not in self.refused:
                self._each(partial(self._write_beside, update), [(update.task, {})])
        return {task: values for task, values in held.items() if task not in self.refused}

    def key(self, task: str) -> object:
        """Return a task's id as the database holds it; ``None`` if its column cannot hold it."""
        raw = self.found.raw(task)
        if raw:
            return raw[self.schema.id]
        column = self.table.columns[self.schema.id]
        is_whole = paths.number(task) is not None
        if column.is_number:
            return int(task) if is_whole else None
        has_numbers = not column.kind and any(isinstance(key, int) for key in self.rows.values(self.schema.id))
        return int(task) if is_whole and has_numbers else task

    # -- cells -----------------------------------------------------------------------------------------------

    def _new_row(self, task: str, cells: Json) -> Json:
        key = self.key(task)
        if key is None:
            raise UnfitError(f"its id {shown(task)} does not fit into a column of whole numbers")
        cells = {self.schema.id: key, **cells}
        cells |= {name.lower(): value for name, value in self.projects.cells(self.table).items()}
        unknown = []
        for name, column in self.table.columns.items():
            if column.is_required and cells.get(name) is None:
                if name in (*CREATED, *UPDATED):
                    cells[name] = moment(self.connection, self.table, column, self.now)
                else:
                    unknown.append(shown(column.name))
        if unknown:
            raise UnfitError(
                f"its row needs a value for {', '.join(unknown)}, which no task has: give the column a default"
            )
        return cells

    def _cells(self, update: RowUpdate) -> tuple[Json, Json]:
        """Return the values that a row will hold, and its cells by lower-case column."""
        raw = self.found.raw(update.task)
        steps = self.schema.keys["steps"]
        values: Json = dict(self.found.row(update.task) or {}) if raw else {}
        if not raw and steps:
            values = {"steps": update.ours["steps"], "steps_done": update.ours["steps_done"]}
        cells: Json = {}
        for field, value in update.outgoing.items():
            said = self._cell(field, value, raw)
            if said is None:
                continue
            name, cell, values[field] = said
            if name:
                cells[name] = cell
        if steps and update.new and update.ours["steps"]:
            cells[steps] = self._new_steps(steps, update)
        elif steps and not update.new and isinstance(update.outgoing.get("steps_done"), list):
            self._tick_json(steps, update, raw, cells)
        return values, cells

    def _cell(self, field: str, value: Any, raw: Json) -> tuple[str, object, object] | None:
        """Return column, cell and meaning of a field; ``None`` if this database cannot hold it."""
        keys = self.schema.keys
        if field in reconcile.TEXTS:
            text = normalize.one_line(value) if field == "title" else normalize.plain(value)
            name = keys[field]
            return (name, text, text) if name else None
        if field in OUTWARD:
            column = self.table.columns.get(field)
            if column is None:
                return None
            is_plain = value is None or field == "assigned_instance" or column.is_json
            return field, value if is_plain else json.dumps(value, ensure_ascii=False), value
        if field == "state":
            return self._state(TaskStatus(value), raw)
        if field == "priority" and keys["priority"]:
            return self._priority(keys["priority"], str(value), raw.get(keys["priority"]))
        if field == "dependencies" and keys["needs"]:
            return keys["needs"], self._needs(keys["needs"], value), value
        if field == "dependencies" and self.schema.edges:
            return "", None, value
        return ("", None, value) if field == "steps_done" else None

    def _state(self, state: TaskStatus, raw: Json) -> tuple[str, object, object] | None:
        status, finished = self.schema.keys["status"], self.schema.keys["finished"]
        if status:
            word = self._status_words.status(state, raw.get(status))
            return None if word is None else (status, word, status_or_blocked(word))
        if not finished:
            return None
        is_done = state == TaskStatus.DONE
        is_boolean = "BOOL" in self.table.columns[finished].kind and self.connection.dialect.name == "postgresql"
        return finished, is_done if is_boolean else int(is_done), TaskStatus.DONE if is_done else TaskStatus.OPEN

    def _priority(self, name: str, word: str, now: object) -> tuple[str, object, object] | None:
        is_number = self.table.columns[name].is_number
        if self._priority_words.numbers or (is_number and not self._priority_words.counts):
            level = paths.PRIORITIES.index(word)
            return name, level if isinstance(now, int) or is_number else str(level), word
        said = self._priority_words.priority(word, now)
        return None if said is None else (name, said, normalize.priority_of(said))

    def _needs(self, name: str, needs: list[str]) -> object:
        """Return dependencies as this column writes them: a JSON list unless it holds lists with commas."""
        column, there = self.table.columns[name], self.rows.values(name)
        public = [ids.public(need) for need in needs]
        if column.is_array:
            return public if "INT" in column.kind else needs
        if column.is_json:
            return public
        if column.refers == TASKS or column.is_number:
            if len(needs) > 1:
                raise UnfitError(f"its column {shown(column.name)} holds one task, and it depends on {len(needs)}")
            return self.key(needs[0]) if needs else None
        if not needs and None in there:
            return None
        said = [text for text in map(normalize.one_line, there) if text]
        if said and not any(text.startswith("[") for text in said):
            return ",".join(needs)
        return json.dumps(public)

    # -- steps and edges -------------------------------------------------------------------------------------

    def _new_steps(self, name: str, update: RowUpdate) -> object:
        done = set(update.ours["steps_done"])
        listed = [
            {
                "id": ids.public(step.removeprefix(f"{update.task}.")),
                "title": title,
                "status": "done" if step in done else "pending",
            }
            for step, title in update.ours["steps"]
        ]
        return listed if self.table.columns[name].is_json else json.dumps(listed, ensure_ascii=False)

    def _tick_json(self, name: str, update: RowUpdate, raw: Json, cells: Json) -> None:
        """Correct the status of steps in a JSON column of their task."""
        row = self.found.source_row(update.task)
        inside = [step for step in row.steps if isinstance(step.at, int)] if row else []
        if not inside:
            return
        kept = raw[name]
        is_text = isinstance(kept, (str, bytes))
        listed = json.loads(normalize.plain(kept)) if is_text else kept
        done = set(update.outgoing["steps_done"])
        for step in inside:
            normalize.tick(listed[step.at], full_step_id(step.step, update.task) in done)
        cells[name] = json.dumps(listed, ensure_ascii=False) if is_text else listed

    def _write_beside(self, update: RowUpdate, _: object) -> None:
        """Write what is in other rows and tables: steps, and what depends on what."""
        if isinstance(update.outgoing.get("steps_done"), list) and not update.new:
            row = self.found.source_row(update.task)
            done = set(update.outgoing["steps_done"])
            for step in row.steps if row else []:
                shall_be = full_step_id(step.step, update.task) in done
                if isinstance(step.at, tuple) and (status_of(step.status) == TaskStatus.DONE) != shall_be:
                    self._tick_row(step.at, step.status, shall_be)
        if self.schema.edges and self.schema.keys["needs"] is None and "dependencies" in update.outgoing:
            self._write_edges(update.task, update.outgoing["dependencies"], *self.schema.edges)

    def _tick_row(self, place: tuple[str, object, object], now: object, done: bool) -> None:
        name, of, key = place
        table = self.schema.tables[name]
        own, status, finished = (table.first(COLUMNS[meaning]) for meaning in ("id", "status", "finished"))
        if own is None or not (status or finished):
            return
        word = self._status_words.status(TaskStatus.DONE if done else TaskStatus.OPEN, now) if status else done
        where = [*self.projects.where(table), table.cell(own) == key]
        above = table.first(STEP_OF)
        if of is not None and above:
            where.append(table.cell(above) == of)
        column = table.columns[status or finished or ""].name
        self.connection.execute(table.clause.update().where(*where).values({column: word}))

    def _write_edges(
        self, task: str, needs: Sequence[str], table: Table, start: str, end: str, kind: str | None
    ) -> None:
        key, clause = self.key(task), table.clause
        ours = [*self.projects.where(table), table.cell(start) == key]
        old = self.connection.execute(clause.select().where(*ours)).mappings().all()
        there = [row for row in old if not kind or normalize.one_line(row[table.cell(kind)]).lower() not in NO_BLOCK]
        for row in there:
            if normalize.identifier(row[table.cell(end)]) not in ("", *needs):
                same = [table.cell(name) == row[table.cell(name)] for name in (end, kind) if name]
                self.connection.execute(clause.delete().where(*ours, *same))
        known = {normalize.identifier(row[table.cell(end)]) for row in there}
        cells = {**self.projects.cells(table), table.columns[start].name: key}
        new = [{**cells, table.columns[end].name: self.key(need)} for need in needs if need not in known]
        if new:
            self.connection.execute(clause.insert(), new)

    # -- statements ------------------------------------------------------------------------------------------

    def _each(self, do: Callable[[Batch], None], rows: Batch) -> None:
        """Write rows together; if the database refuses, one by one, to find out which row it is."""

        def write(rows: Batch) -> None:
            do(rows)
            broken = self._broken() - self._were_broken
            if broken:
                named = ", ".join(sorted({shown(name) for _, name in broken}))
                raise UnfitError(f"it would name a row of {named} that is not there")

        for (task, _), why in tried(self.connection, write, rows):
            self.refused[task] = f"the database refuses its row: {why}"

    def _broken(self) -> set[tuple[object, str]]:
        """Return the rows of ``tasks`` with broken foreign keys, and the tables they name. SQLite must be asked."""
        refers = [column for column in self.table.columns.values() if column.refers]
        if self.connection.dialect.name != "sqlite" or not refers:
            return set()
        query = "SELECT rowid, parent FROM pragma_foreign_key_check(?)"
        return {(row, str(parent)) for row, parent in self.connection.exec_driver_sql(query, (self.table.name,)).all()}

    def _update(self, columns: tuple[str, ...], rows: Batch) -> None:
        from sqlalchemy import bindparam

        own = self.table.cell(self.schema.id) == bindparam("b_key")
        where = [*self.projects.where(self.table), *self.schema.in_use(), own]
        values: Json = {self.table.columns[name].name: bindparam(f"b{at}") for at, name in enumerate(columns)}
        self.connection.execute(
            self.table.clause.update().where(*where).values(values),
            [
                {"b_key": self.key(task), **{f"b{at}": cells[name] for at, name in enumerate(columns)}}
                for task, cells in rows
            ],
        )

    def _insert(self, rows: Batch) -> None:
        names = dict.fromkeys(name for _, cells in rows for name in cells)
        self.connection.execute(
            self.table.clause.insert(),
            [{self.table.columns[name].name: cells.get(name) for name in names} for _, cells in rows],
        )
