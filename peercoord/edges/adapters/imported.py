"""Rows of another program's task list made into definitions, each with the state that it had there.

Promises: one bad row costs that row, never the list; what is left out is said, in ``Reading.refused`` or in the
notes of its task; edges are given as they were written, unknown ones and cycles included (the importer parks
those). Shaped by task files from the field: ids as numbers here and as text there, one id twice after a merge,
steps that build on steps of other tasks.

A task is claimed whole, and steps are its parts. So what lies between steps of different tasks becomes a note:
as edges they would be cycles. A task that depends on a step, ``"3.1"``, depends on task 3, unless that step is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from peercoord.core import ids, records
from peercoord.core.errors import UsageError
from peercoord.core.limits import RECORD_BYTES, TEXT_CHARS
from peercoord.edges.adapters import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path, PurePath

    from peercoord.core.records import Definition

    Json = dict[str, Any]

EXTRA_BYTES = 8 << 10  # unknown keys kept of one task; larger ones stay in the source and are named in a note


@dataclass(frozen=True, slots=True)
class Imported:
    """A task as it was found.

    Attributes:
        definition: The task, checked.
        state: ``open``, ``done``, ``held`` (a person has it in progress), ``review``, ``blocked``, ``cancelled`` or
            ``deferred``.
        reason: Why, for people; empty for ``open`` and ``done``.
    """

    definition: Definition
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source holds.

    Attributes:
        tasks: The tasks, in the source's order.
        refused: What could not become a task or a step, and why: ``(what, why)``. The rest went on.
    """

    tasks: list[Imported]
    refused: list[tuple[str, str]]


@dataclass(frozen=True)
class Origin:
    """Where rows come from.

    Attributes:
        kind: The kind of source.
        path: Its file.
        tag: Its tag, where it has such.
        home: The project. A path inside it is noted as it is seen from there, so that the project can be moved.
    """

    kind: str
    path: PurePath
    tag: str | None = None
    home: Path | None = None

    @cached_property
    def noted(self) -> str:
        """The path as it is noted."""
        inside = self.home is not None and self.path.is_relative_to(self.home)
        return str(self.path.relative_to(self.home)) if inside and self.home else str(self.path)


@dataclass(slots=True)
class StepRow:
    """A subtask as found.

    Attributes:
        step: Its id.
        title: Its title.
        status: A status word of that program.
        needs: What it builds on: steps by full id (``2.1``), tasks by theirs.
        more: Keys that its record keeps.
        at: Where it stands there, for whoever writes its status back.
    """

    step: object
    title: object
    status: object = None
    needs: list[str] = field(default_factory=list)
    more: Json = field(default_factory=dict)
    at: object = None


@dataclass(slots=True)
class Row:
    """A task as found, nothing checked.

    Attributes:
        task: Its id.
        title: Its title.
        description: Text, or nothing.
        status: A status word of that program.
        priority: A word or a number.
        needs: What it depends on, as written: tasks, or steps of tasks.
        steps: Its subtasks.
        assignee: Who has it there.
        notes: Notes to begin with.
        more: Keys that the definition keeps under the same name.
        extra: Keys that are kept under ``source``, if they are small.
        aside: A state that holds instead of ``open`` or ``held``, with its reason.
    """

    task: object
    title: object
    description: object = ""
    status: object = None
    priority: object = None
    needs: list[str] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    assignee: object = None
    notes: list[str] = field(default_factory=list)
    more: Json = field(default_factory=dict)
    extra: Json = field(default_factory=dict)
    aside: tuple[str, str] | None = None


def build(rows: Iterable[Row], origin: Origin, refused: Iterable[tuple[str, str]] = ()) -> Reading:
    """Make tasks of rows.

    Args:
        rows: The rows, in the source's order.
        origin: Where they come from.
        refused: What was refused before.
    """
    out = list(refused)
    admitted = _admit(rows, out)
    steps = {task: _steps(task, row, out) for task, row in admitted.items()}
    done = {step: words.state(row.status) == "done" for of_task in steps.values() for step, row in of_task.items()}
    home = {step: task for task, of_task in steps.items() for step in of_task}
    tasks = []
    for task, row in admitted.items():
        try:
            tasks.append(_Made(task, row, steps[task], admitted, home, done).imported(origin))
        except UsageError as error:
            out.append((f"task {task}", error.message))
    return Reading(tasks, out)


def _admit(rows: Iterable[Row], refused: list[tuple[str, str]]) -> dict[str, Row]:
    """Sort out the rows that can be tasks: an id of its own, also where case does not count, and a title."""
    admitted: dict[str, Row] = {}
    folded: dict[str, str] = {}
    for at, row in enumerate(rows, 1):
        task, title = words.identifier(row.task), words.one_line(row.title)
        what = f"task {ids.shown(task)}" if task else f"entry {at}"
        if title:
            what += f" ({ids.shown(title)})"
        if not task:
            refused.append((what, "it has no id"))
        elif not ids.is_id(task):
            refused.append((what, "its id is not allowed: letters, digits, '.', '_', '-', at most 64"))
        elif not title:
            refused.append((what, "it has no title"))
        elif task in admitted:
            refused.append((what, "an earlier task has the same id"))
        elif task.lower() in folded:
            refused.append((what, f"its id differs only in case from '{folded[task.lower()]}'"))
        else:
            admitted[task] = row
            folded[task.lower()] = task
    return admitted


def _steps(task: str, row: Row, refused: list[tuple[str, str]]) -> dict[str, StepRow]:
    """Sort out the subtasks that can be steps, by full id. What is left out is told to whoever takes the task, too."""
    steps: dict[str, StepRow] = {}
    for at, found in enumerate(row.steps, 1):
        step, why = _step_id(found, task)
        if not why and step in steps:
            why = "an earlier step has the same id"
        if not why:
            steps[step] = found
            continue
        what = f"step {ids.shown(step) if step else at} of task {task}"
        if title := _step_title(found):
            what += f" ({ids.shown(title)})"
        refused.append((what, why))
        row.notes.append(f"{what} was left out: {why}")
    return steps


def _step_id(found: StepRow, task: str) -> tuple[str, str]:
    """Give the full id of a step, and why it cannot be one."""
    own = words.identifier(found.step)
    if not own:
        return "", "it has no id"
    try:
        step = records.step_id(own, task)
    except UsageError:
        return own, "its id is not allowed"
    return step, "" if _step_title(found) else "it has no title"


def _step_title(found: StepRow) -> str:
    return words.one_line(found.title) or words.one_line(found.more.get("description"))


class _Made:
    """One task in the making: its edges, notes and state, with the others at hand to resolve what it names."""

    def __init__(
        self,
        task: str,
        row: Row,
        steps: Mapping[str, StepRow],
        tasks: Mapping[str, Row],
        home: Mapping[str, str],
        done: Mapping[str, bool],
    ) -> None:
        self.task, self.row, self.steps = task, row, steps
        self._tasks, self._home, self._done = tasks, home, done
        self.notes = [words.plain(note) for note in row.notes]
        self.edges: list[str] = []
        self.unusable: list[str] = []

    def imported(self, origin: Origin) -> Imported:
        """Give the task, or raise ``UsageError`` if it cannot be one."""
        for need in dict.fromkeys(self.row.needs):
            self._edge(need)
        steps = [self._step(step, row) for step, row in self.steps.items()]
        priority = words.priority(self.row.priority)
        if priority is None:
            self.notes.append(f"its priority {ids.shown(words.one_line(self.row.priority))} is not known: medium")
        source = self._source(origin)
        state, reason = self._state(origin)
        definition = records.define(
            self.task,
            words.one_line(self.row.title),
            description=self._text("description", self.row.description),
            priority=priority or "medium",
            dependencies=list(dict.fromkeys(self.edges)),
            steps=steps,
            **{key: self._more(key, value) for key, value in self.row.more.items()},
            notes=records.notes(self.notes),
            source=source,
        )
        size = len(records.encode(definition.raw))
        if size > RECORD_BYTES:
            raise UsageError(f"its record would hold {size} bytes; at most {RECORD_BYTES} are allowed")
        return Imported(definition, state, reason)

    def _edge(self, need: str) -> None:
        if need not in self._tasks and need in self._home:
            home = self._home[need]
            self.notes.append(f"it builds on step {need}" + (f" of task {home}" if home != self.task else ""))
            if home != self.task and not self._done[need]:
                self.edges.append(home)
        elif ids.is_id(need):
            self.edges.append(need)
        else:
            self.unusable.append(need)
            self.notes.append(f"it depends on {ids.shown(need)}, which is no task id")

    def _step(self, step: str, row: StepRow) -> Json:
        needs = dict.fromkeys(row.needs)
        inside = [need for need in needs if need in self.steps]
        self.notes.extend(f"step {step} builds on {self._named(need)}" for need in needs if need not in self.steps)
        status = {"open": "pending", "done": "done"}.get(words.state(row.status) or "")
        return {
            "id": step,
            "title": _step_title(row),
            "status": status or words.one_line(row.status).lower(),
            "dependencies": inside,
            **{key: words.kept(value) for key, value in row.more.items()},
        }

    def _named(self, need: str) -> str:
        if need in self._home:
            return f"step {need}"
        return f"task {need}" if need in self._tasks else f"{ids.shown(need)}, which is not there"

    def _text(self, key: str, value: object) -> str:
        if isinstance(value, (str, bytes)) and len(value) > TEXT_CHARS:
            self.notes.append(f"'{key}' was cut at {TEXT_CHARS} characters")
        return words.plain(value)

    def _more(self, key: str, value: object) -> Any:
        text = key == "details" or isinstance(value, (str, bytes))  # a definition's details are text, always
        return self._text(key, value) if text else words.kept(value)

    def _source(self, origin: Origin) -> Json:
        source: Json = {"kind": origin.kind, "path": words.plain(origin.noted)}
        if origin.tag is not None:
            source["tag"] = words.one_line(origin.tag)
        source["status"] = words.one_line(self.row.status)
        extra, left = _within(self.row.extra)
        if extra:
            source["extra"] = extra
        if left:
            self.notes.append(f"left in the source for their size: {', '.join(left)}")
        return source

    def _state(self, origin: Origin) -> tuple[str, str]:
        state, said = words.state(self.row.status), words.one_line(self.row.status, 80)
        there = f"in {ids.shown(origin.path.name)}"
        if state is None:
            return "blocked", f"its status {ids.shown(said)} {there} is not known"
        if state in ("open", "held") and self.row.aside:
            return self.row.aside
        if state in ("open", "held") and self.unusable:
            return "blocked", f"it depends on {ids.shown(self.unusable[0])}, which is no task id"
        if state in ("open", "done"):
            return state, ""
        who = words.one_line(self.row.assignee, 80)
        return state, f"it is {ids.shown(said)} {there}" + (f", assigned to {ids.shown(who)}" if who else "")


def _within(extra: Json) -> tuple[Json, list[str]]:
    """Give the values that fit into ``EXTRA_BYTES``, first come, first kept, and the names of the others."""
    import json

    room, inside, left = EXTRA_BYTES, {}, []
    for key, value in extra.items():
        name, clean = words.one_line(key, 200), words.kept(value)
        size = len(name) + len(json.dumps(clean))
        if size <= room:
            inside[name] = clean
            room -= size
        else:
            left.append(ids.shown(name))
    return inside, left
