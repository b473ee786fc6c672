"""Rows of another program's task list made into definitions, each with the state that it has there.

Promises: one bad row costs that row, never the list; what is left out is named, in ``Reading.refused`` or in the notes
of its task; edges are kept as they were written, unknown ones and cycles included (the importer parks those).

A task is claimed whole, and steps are its parts. So a dependency between steps of different tasks becomes a note: as an
edge it would be a cycle. A task that depends on a step, ``"3.1"``, depends on task 3, unless that step is done.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from peercoord.errors import UsageError
from peercoord.foreign import shown
from peercoord.store import ids, records
from peercoord.store.settings import RECORD_BYTES, TEXT_CHARS
from peercoord.tasklists import normalize, reconcile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path, PurePath

    from peercoord.store.records import Definition

    Json = dict[str, Any]

EXTRA_BYTES = 8 << 10  # of unknown keys kept for one task; larger ones are named in a note


@dataclass(frozen=True, slots=True)
class Imported:
    """A task as it was found.

    Its state is ``open``, ``done``, ``held`` (a person has it in progress), ``review``, ``blocked``, ``cancelled`` or
    ``deferred``.
    """

    definition: Definition
    state: str
    reason: str  # why, in words; empty for ``open`` and ``done``


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source holds."""

    tasks: list[Imported]  # in the source's order
    refused: list[tuple[str, str]]  # what could not become a task or a step, and why
    tag: str | None = None  # which list of the source it is, where the source has several


@dataclass(frozen=True)
class Origin:
    """Where rows come from. A path inside the project is noted relative to it, so that the project can be moved."""

    kind: str  # the kind of source
    path: PurePath  # its file
    tag: str | None = None  # its tag, if it has tags
    home: Path | None = None  # the project

    @cached_property
    def noted(self) -> str:
        """The path in the form in which it is recorded."""
        inside = self.home is not None and self.path.is_relative_to(self.home)
        return str(self.path.relative_to(self.home)) if inside and self.home else str(self.path)


@dataclass(slots=True)
class StepRow:
    """A subtask as found."""

    step: object  # its id
    title: object
    status: object = None  # a status word of that program
    needs: list[str] = field(default_factory=list)  # what it builds on: steps by full id (``2.1``), tasks by theirs
    more: Json = field(default_factory=dict)  # keys that its record keeps
    at: object = None  # its place there, for writing its status back


@dataclass(slots=True)
class Row:
    """A task as found, nothing checked."""

    task: object  # its id
    title: object
    description: object = ""
    status: object = None  # a status word of that program
    priority: object = None  # a word or a number
    needs: list[str] = field(default_factory=list)  # what it depends on, as written: tasks, or steps of tasks
    steps: list[StepRow] = field(default_factory=list)
    assignee: object = None  # who has it there
    notes: list[str] = field(default_factory=list)  # to begin with
    more: Json = field(default_factory=dict)  # keys that the definition keeps under the same name
    extra: Json = field(default_factory=dict)  # keys that are kept under ``source``, if they are small
    aside: tuple[str, str] | None = None  # a state that holds instead of ``open`` or ``held``, with its reason


def source_of(definition: Definition) -> Json:
    """Return where a task was imported from; empty if it was added here."""
    source = definition.raw.get("source")
    return source if isinstance(source, dict) else {}


def build(rows: Iterable[Row | None], origin: Origin, refused: Iterable[tuple[str, str]] = ()) -> Reading:
    """Return the tasks that rows make, in their order; ``None`` is an entry that is no task object.

    What was ``refused`` before is listed first.
    """
    out = list(refused)
    admitted = _admit(rows, out)
    steps = {task: _steps(task, row, out) for task, row in admitted.items()}
    rows_of_steps = {step: (task, row) for task, of_task in steps.items() for step, row in of_task.items()}
    tasks = []
    for task, row in admitted.items():
        try:
            tasks.append(_Made(task, row, steps[task], admitted, rows_of_steps).imported(origin))
        except UsageError as error:
            out.append((f"task {task}", error.message))
    return Reading(tasks, out, origin.tag)


def _admit(rows: Iterable[Row | None], refused: list[tuple[str, str]]) -> dict[str, Row]:
    """Return the rows that can be tasks, by id. Each needs a title and a unique id, even if case is ignored."""
    admitted: dict[str, Row] = {}
    folded: dict[str, str] = {}
    for at, row in enumerate(rows, 1):
        if row is None:
            refused.append((f"entry {at}", "it is no task object"))
            continue
        task, title = normalize.identifier(row.task), normalize.one_line(row.title)
        twin, why = folded.get(task.lower()), ""
        if not task:
            why = "it has no id"
        elif not ids.is_id(task):
            why = "its id is not allowed: letters, digits, '.', '_', '-', at most 64"
        elif not title:
            why = "it has no title"
        elif task in admitted:
            why = "an earlier task has the same id"
        elif twin:
            why = f"its id differs only in case from '{twin}'"
        if why:
            what = f"task {shown(task)}" if task else f"entry {at}"
            refused.append((f"{what} ({shown(title)})" if title else what, why))
        else:
            admitted[task] = row
            folded[task.lower()] = task
    return admitted


def _steps(task: str, row: Row, refused: list[tuple[str, str]]) -> dict[str, StepRow]:
    """Return the subtasks that can be steps, by full id. The notes of the task name what is left out."""
    steps: dict[str, StepRow] = {}
    for at, found in enumerate(row.steps, 1):
        step, title, why = normalize.identifier(found.step), _step_title(found), ""
        try:
            step = records.step_id(step, task) if step else ""
        except UsageError:
            why = "its id is not allowed"
        if not step:
            why = "it has no id"
        elif not why and not title:
            why = "it has no title"
        elif not why and step in steps:
            why = "an earlier step has the same id"
        if why:
            what = f"step {shown(step) if step else at} of task {task}" + (f" ({shown(title)})" if title else "")
            refused.append((what, why))
            row.notes.append(f"{what} was left out: {why}")
        else:
            steps[step] = found
    return steps


def _step_title(found: StepRow) -> str:
    return normalize.one_line(found.title) or normalize.one_line(found.more.get("description"))


class _Made:
    """Makes one task: its edges, notes and state, with the other tasks to resolve what it names."""

    def __init__(
        self,
        task: str,
        row: Row,
        steps: Mapping[str, StepRow],
        tasks: Mapping[str, Row],
        rows_of_steps: Mapping[str, tuple[str, StepRow]],
    ) -> None:
        self.task, self.row, self.steps = task, row, steps
        self._tasks, self._rows_of_steps = tasks, rows_of_steps
        self.notes = [normalize.plain(note) for note in row.notes]
        self.edges: list[str] = []
        self.unusable: list[str] = []

    def imported(self, origin: Origin) -> Imported:
        """Return the task, or raise ``UsageError`` if it cannot be one."""
        for need in dict.fromkeys(self.row.needs):
            self._edge(need)
        steps = [self._step(step, row) for step, row in self.steps.items()]
        priority = normalize.priority_of(self.row.priority)
        if priority is None:
            self.notes.append(f"its priority {shown(normalize.one_line(self.row.priority))} is not known: medium")
        source = self._source(origin)
        state, reason = self._state(origin)
        definition = records.define(
            self.task,
            normalize.one_line(self.row.title),
            description=self._text("description", self.row.description),
            priority=priority or "medium",
            dependencies=list(dict.fromkeys(self.edges)),
            steps=steps,
            **{key: self._kept(key, value) for key, value in self.row.more.items()},
            notes=records.notes(self.notes),
            source=source,
        )
        size = len(records.encode(definition.raw))
        if size > RECORD_BYTES:
            raise UsageError(f"its record would hold {size} bytes; at most {RECORD_BYTES} are allowed")
        return Imported(definition, state, reason)

    def _edge(self, need: str) -> None:
        if need not in self._tasks and need in self._rows_of_steps:
            home, step = self._rows_of_steps[need]
            self.notes.append(f"it builds on step {need}" + (f" of task {home}" if home != self.task else ""))
            if home != self.task and normalize.status_of(step.status) != "done":
                self.edges.append(home)
        elif ids.is_id(need):
            self.edges.append(need)
        else:
            self.unusable.append(need)
            self.notes.append(f"it depends on {shown(need)}, which is no task id")

    def _step(self, step: str, row: StepRow) -> Json:
        needs = dict.fromkeys(row.needs)
        for need in needs:
            if need not in self.steps:
                named = f"task {need}" if need in self._tasks else f"{shown(need)}, which is not there"
                named = f"step {need}" if need in self._rows_of_steps else named
                self.notes.append(f"step {step} builds on {named}")
        status = {"open": "pending", "done": "done"}.get(normalize.status_of(row.status) or "")
        return {
            "id": step,
            "title": _step_title(row),
            "status": status or normalize.one_line(row.status).lower(),
            "dependencies": [need for need in needs if need in self.steps],
            **{key: normalize.kept(value) for key, value in row.more.items()},
        }

    def _text(self, key: str, value: object) -> str:
        if isinstance(value, (str, bytes)) and len(value) > TEXT_CHARS:
            self.notes.append(f"'{key}' was cut at {TEXT_CHARS} characters")
        return normalize.plain(value)

    def _kept(self, key: str, value: object) -> Any:
        text = key == "details" or isinstance(value, (str, bytes))  # a definition's details are text, always
        return self._text(key, value) if text else normalize.kept(value)

    def _source(self, origin: Origin) -> Json:
        source: Json = {"kind": origin.kind, "path": normalize.plain(origin.noted)}
        if origin.tag is not None:
            source["tag"] = normalize.one_line(origin.tag)
        source["status"] = normalize.one_line(self.row.status)
        room, inside, left = EXTRA_BYTES, {}, []
        for key, value in self.row.extra.items():
            name, clean = normalize.one_line(key, 200), normalize.kept(value)
            size = len(name) + len(json.dumps(clean))
            if size <= room:
                inside[name] = clean
                room -= size
            else:
                left.append(shown(name))
        if inside:
            source["extra"] = inside
        if left:
            self.notes.append(f"left in the source for their size: {', '.join(left)}")
        return source

    def _state(self, origin: Origin) -> tuple[str, str]:
        state, said = normalize.status_of(self.row.status), normalize.one_line(self.row.status, 80)
        there = f"in {shown(origin.path.name)}"
        if state is None:
            return "blocked", f"its status {shown(said)} {there} is not known"
        if state in ("open", "held") and self.row.aside:
            return self.row.aside
        if state in ("open", "held") and self.unusable:
            return "blocked", f"it depends on {shown(self.unusable[0])}, which is no task id"
        if state in ("open", "done"):
            return state, ""
        who = normalize.one_line(self.row.assignee, 80)
        return state, f"it is {shown(said)} {there}" + (f", assigned to {shown(who)}" if who else "")


# -- for comparing -----------------------------------------------------------------------------------------------


def compared(found: Imported, texts: Iterable[str]) -> Json:
    """Return the values of a task in a list, in the form in which they are compared.

    ``texts`` are those of ``reconcile.TEXTS`` that the list can hold.
    """
    left_out = {*reconcile.TEXTS} - {*texts}
    return {
        **{key: value for key, value in reconcile.shared(found.definition).items() if key not in left_out},
        "steps_done": sorted(step.step for step in found.definition.steps if step.done),
        "raw_steps": found.definition.raw.get("subtasks", []),
        "reason": found.reason,
    }
