"""Rows of another program's task list made into definitions, each with the state that it has there.

Promises: one bad row costs that row, never the list; what is left out is named, in ``Reading.refused`` or in the notes
of its task; edges are kept as they were written, unknown ones and cycles included (the importer parks those).

A task is claimed whole, and steps are its parts. So a dependency between steps of different tasks becomes a note: as an
edge it would be a cycle. A task that depends on a step, ``"3.1"``, depends on task 3, unless that step is done.
"""

from __future__ import annotations

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
        tag: Which list of the source it is, where the source has several.
    """

    tasks: list[Imported]
    refused: list[tuple[str, str]]
    tag: str | None = None


@dataclass(frozen=True)
class Origin:
    """Where rows come from.

    Attributes:
        kind: The kind of source.
        path: Its file.
        tag: Its tag, if it has tags.
        home: The project. A path inside it is noted relative to it, so that the project can be moved.
    """

    kind: str
    path: PurePath
    tag: str | None = None
    home: Path | None = None

    @cached_property
    def noted(self) -> str:
        """The path in the form in which it is recorded."""
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
        at: Its place there, for writing its status back.
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


def build(rows: Iterable[Row | None], origin: Origin, refused: Iterable[tuple[str, str]] = ()) -> Reading:
    """Return the tasks that rows make.

    Args:
        rows: The rows, in the source's order; ``None`` for an entry that is no task object.
        origin: Where they come from.
        refused: What was refused before.
    """
    out = list(refused)
    admitted = _admit(rows, out)
    steps = {task: _steps(task, row, out) for task, row in admitted.items()}
    done = {
        step: normalize.status_of(row.status) == "done" for of_task in steps.values() for step, row in of_task.items()
    }
    home = {step: task for task, of_task in steps.items() for step in of_task}
    tasks = []
    for task, row in admitted.items():
        try:
            tasks.append(_Made(task, row, steps[task], admitted, home, done).imported(origin))
        except UsageError as error:
            out.append((f"task {task}", error.message))
    return Reading(tasks, out, origin.tag)


def _admit(rows: Iterable[Row | None], refused: list[tuple[str, str]]) -> dict[str, Row]:
    """Return the rows that can be tasks, by id: a title, and an id of its own, also where case does not count."""
    admitted: dict[str, Row] = {}
    folded: dict[str, str] = {}
    for at, row in enumerate(rows, 1):
        if row is None:
            refused.append((f"entry {at}", "it is no task object"))
            continue
        task, title = normalize.identifier(row.task), normalize.one_line(row.title)
        what = f"task {shown(task)}" if task else f"entry {at}"
        if title:
            what += f" ({shown(title)})"
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
    """Return the subtasks that can be steps, by full id. The notes of the task name what is left out."""
    steps: dict[str, StepRow] = {}
    for at, found in enumerate(row.steps, 1):
        step, why = _step_id(found, task)
        if not why and step in steps:
            why = "an earlier step has the same id"
        if not why:
            steps[step] = found
            continue
        what = f"step {shown(step) if step else at} of task {task}"
        if title := _step_title(found):
            what += f" ({shown(title)})"
        refused.append((what, why))
        row.notes.append(f"{what} was left out: {why}")
    return steps


def _step_id(found: StepRow, task: str) -> tuple[str, str]:
    """Return the full id of a step, and why it cannot be one."""
    own = normalize.identifier(found.step)
    if not own:
        return "", "it has no id"
    try:
        step = records.step_id(own, task)
    except UsageError:
        return own, "its id is not allowed"
    return step, "" if _step_title(found) else "it has no title"


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
        home: Mapping[str, str],
        done: Mapping[str, bool],
    ) -> None:
        self.task, self.row, self.steps = task, row, steps
        self._tasks, self._home, self._done = tasks, home, done
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
            self.notes.append(f"it depends on {shown(need)}, which is no task id")

    def _step(self, step: str, row: StepRow) -> Json:
        needs = dict.fromkeys(row.needs)
        inside = [need for need in needs if need in self.steps]
        self.notes.extend(f"step {step} builds on {self._named(need)}" for need in needs if need not in self.steps)
        status = {"open": "pending", "done": "done"}.get(normalize.status_of(row.status) or "")
        return {
            "id": step,
            "title": _step_title(row),
            "status": status or normalize.one_line(row.status).lower(),
            "dependencies": inside,
            **{key: normalize.kept(value) for key, value in row.more.items()},
        }

    def _named(self, need: str) -> str:
        if need in self._home:
            return f"step {need}"
        return f"task {need}" if need in self._tasks else f"{shown(need)}, which is not there"

    def _text(self, key: str, value: object) -> str:
        if isinstance(value, (str, bytes)) and len(value) > TEXT_CHARS:
            self.notes.append(f"'{key}' was cut at {TEXT_CHARS} characters")
        return normalize.plain(value)

    def _more(self, key: str, value: object) -> Any:
        text = key == "details" or isinstance(value, (str, bytes))  # a definition's details are text, always
        return self._text(key, value) if text else normalize.kept(value)

    def _source(self, origin: Origin) -> Json:
        source: Json = {"kind": origin.kind, "path": normalize.plain(origin.noted)}
        if origin.tag is not None:
            source["tag"] = normalize.one_line(origin.tag)
        source["status"] = normalize.one_line(self.row.status)
        extra, left = _within(self.row.extra)
        if extra:
            source["extra"] = extra
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


def _within(extra: Json) -> tuple[Json, list[str]]:
    """Return the values that fit into ``EXTRA_BYTES``, the first ones first, and the names of the others."""
    import json

    room, inside, left = EXTRA_BYTES, {}, []
    for key, value in extra.items():
        name, clean = normalize.one_line(key, 200), normalize.kept(value)
        size = len(name) + len(json.dumps(clean))
        if size <= room:
            inside[name] = clean
            room -= size
        else:
            left.append(shown(name))
    return inside, left


# -- for comparing -----------------------------------------------------------------------------------------------


def compared(found: Imported, texts: Iterable[str]) -> Json:
    """Return the values of a task in a list, in the form in which they are compared.

    Args:
        found: The task as an import would give it.
        texts: Those of ``reconcile.TEXTS`` that the list can hold.
    """
    raw = found.definition.raw
    steps = found.definition.steps
    said = {key: str(raw.get(key) or "") for key in texts}
    if "description" in said:
        said["description"] = reconcile.described(found.definition.title, said["description"])
    return {
        **said,
        "priority": raw["priority"],
        "dependencies": sorted(found.definition.dependencies, key=ids.natural),
        "steps": [[step.step, step.title] for step in steps],
        "steps_done": sorted(step.step for step in steps if step.done),
        "raw_steps": raw.get("subtasks", []),
        "reason": found.reason,
    }
