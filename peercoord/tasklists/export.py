"""The tasks as other programs keep them, so that a team can leave as easily as it came.

Three forms: claude-task-master's ``tasks.json``, beads' issues one a line, and a table for everything else. What a
task brought from such a program goes back under its own names; what only this team knows is written where the program
leaves it alone.
"""

from __future__ import annotations

import csv as csv_format
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError
from peercoord.foreign import escaped
from peercoord.store import ids, paths
from peercoord.tasklists import beads as beads_format
from peercoord.tasklists import normalize
from peercoord.tasklists.imported import source_of
from peercoord.tasklists.normalize import STATUS_WORDS, ColumnWords, TaskStatus
from peercoord.tasklists.snapshot import Tickets
from peercoord.tasklists.tasks_json import DEFAULT_TAG, KEY

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.queue.queue import Queue
    from peercoord.store.records import Definition

FORMATS = ("tasks.json", "beads", "csv")
WHOLE = "whole"  # a ``tasks.json`` that loses nothing when it is imported here again
_TM_KEYS = ("acceptanceCriteria", "relevantFiles", "complexity", "effort", "assignee", "tags")
_TM_PRIORITIES = ("critical", "high", "medium", "low")
_BEADS_WORDS = ColumnWords((), ("open", "in_progress", "blocked", "deferred", "closed"))
_COLUMNS = (
    *("id", "title", "status", "priority", "dependencies", "assigned_to", "progress", "epoch", "steps_done"),
    *("description", "reason"),
)
_STEP_WORDS = {listed[0] for status, listed in STATUS_WORDS.items() if status != TaskStatus.DONE}
_FORMULA = ("=", "+", "-", "@", "\t")


@dataclass(frozen=True)
class Task:
    """A task with all that is known of it."""

    definition: Definition
    values: Json  # what the tickets say, as ``Tickets.values`` returns it
    added: str = ""  # when it was added, RFC 3339; empty if that is not known
    ended: str = ""  # when it was finished or cancelled; empty if it was not

    @property
    def state(self) -> TaskStatus:
        """Its status."""
        return TaskStatus(self.values["state"])

    def brought(self, kind: str) -> Json:
        """Return the keys of a program of this kind for which there is no name here."""
        source = source_of(self.definition)
        kept = source.get("extra") if source.get("kind") == kind else None
        return dict(kept) if isinstance(kept, dict) else {}


def gather(queue: Queue) -> tuple[list[Task], list[tuple[str, str]]]:
    """Read all tasks, in order; return also the unreadable ones, each with the reason."""
    tickets = Tickets(queue)
    found, left_out = [], []
    here = tickets.snapshot()
    for task in sorted({*here.versions, *here.moving}, key=ids.natural):
        if task not in here.versions:
            here.versions.update(tickets.snapshot().versions)  # it was moving
        if task not in here.versions:
            left_out.append((task, "it is moving between two places: export again"))
            continue
        try:
            values, definition = tickets.values(task, here.versions[task]), queue.definition(task)
            birth = queue.read_record(paths.birth(task)) or {}
            ended = _ended(queue, definition, values["state"])
            found.append(Task(definition, values, str(birth.get("added_at", "")), ended))
        except (BrokenFileError, NotFoundError) as error:
            left_out.append((task, error.message))
    return found, left_out


def _ended(queue: Queue, definition: Definition, state: str) -> str:
    if state == TaskStatus.CANCELLED:
        note = definition.raw.get("cancelled")
        return str(note.get("at", "")) if isinstance(note, dict) else ""
    last = queue.result(definition.task) if state == TaskStatus.DONE else None
    return str(last[2].get("at", "")) if last else ""


def export(tasks: Sequence[Task], form: str, now: str) -> str:
    """Write tasks, in order, in one of ``FORMATS``, or ``WHOLE``.

    The same board gives the same bytes, whenever it is written: ``now`` stands only where no task says a time.
    """
    newest = max((moment for task in tasks for moment in (task.added, task.ended) if moment), default=now)
    if form in ("tasks.json", WHOLE):
        return _tasks_json(tasks, newest, exact=form == WHOLE)
    return _beads(tasks, newest) if form == "beads" else _csv(tasks)


# -- claude-task-master ------------------------------------------------------------------------------------------


def _tasks_json(tasks: Sequence[Task], now: str, exact: bool = False) -> str:
    status, priority = ColumnWords(()), ColumnWords((), paths.PRIORITIES if exact else _TM_PRIORITIES)
    listed = [_tm_task(task, status, priority) for task in tasks]
    metadata = {"created": now, "updated": now, "description": "Tasks for master context"}
    whole = {DEFAULT_TAG: {"tasks": listed, "metadata": metadata}}
    return _written(json.dumps(whole, ensure_ascii=False, indent=2)) + "\n"


def _tm_task(task: Task, status: ColumnWords, priority: ColumnWords) -> Json:
    raw = task.definition.raw
    extra = task.brought("tasks.json")
    metadata = extra.pop("metadata", None)
    metadata = {k: v for k, v in metadata.items() if k != KEY} if isinstance(metadata, dict) else {}
    word = str(task.values["priority"])
    kept = {"priority": word} if priority.priority(word) != word else {}
    if task.values["summary"] or kept:
        metadata[KEY] = {**(task.values["summary"] or {}), **kept}
    return {
        "id": ids.public(task.definition.task),
        "title": task.definition.title,
        "description": str(raw.get("description") or "") or task.definition.title,
        "details": str(raw.get("details") or ""),
        "testStrategy": str(raw.get("testStrategy") or ""),
        "status": status.status(task.state),
        "dependencies": raw.get("dependencies", []),
        "priority": priority.priority(word),
        "subtasks": [_tm_step(step, task) for step in raw.get("subtasks", [])],
        **{key: raw[key] for key in _TM_KEYS if raw.get(key)},
        **extra,
        **({"metadata": metadata} if metadata else {}),
    }


def _tm_step(step: Json, task: Task) -> Json:
    own = task.definition.task
    full = normalize.full_step_id(step.get("id"), own)
    needs = [need.removeprefix(f"{own}.") for need in normalize.references(step.get("dependencies"))]
    word = normalize.one_line(step.get("status"))
    open_word = word if word in _STEP_WORDS else "pending"
    kept = {key: value for key, value in step.items() if key not in ("id", "status", "dependencies")}
    return {
        "id": ids.public(full.removeprefix(f"{own}.")),
        **kept,
        "description": str(step.get("description") or ""),
        "dependencies": [ids.public(need) for need in needs],
        "status": "done" if full in task.values["steps_done"] else open_word,
    }


# -- beads -------------------------------------------------------------------------------------------------------


def _beads(tasks: Sequence[Task], now: str) -> str:
    issues = [issue for task in tasks for issue in (_issue(task, now), *_children(task, now))]
    return "".join(f"{_written(json.dumps(issue, ensure_ascii=False))}\n" for issue in issues)


def _issue(task: Task, now: str) -> Json:
    raw, values, cancelled = task.definition.raw, task.values, task.definition.cancelled
    reason = "Closed" if cancelled is None else f"{beads_format.CANCELLED}{cancelled}"
    assignee = values["assigned_instance"] or raw.get("assignee")
    notes = [normalize.plain(note) for note in raw.get("notes", [])]
    kept = {theirs: raw[ours] for theirs, ours in beads_format.USEFUL.items() if raw.get(ours) and ours != "assignee"}
    return {
        "id": task.definition.task,
        "title": task.definition.title,
        "description": "\n\n".join(filter(None, (str(raw.get("description") or ""), str(raw.get("details") or "")))),
        "issue_type": "task",
        **task.brought(beads_format.KIND),
        **kept,
        **({"notes": "\n".join(notes)} if notes else {}),
        **_standing(task.state, task.added or now, task.ended or now, reason),
        "priority": paths.PRIORITIES.index(str(values["priority"])),
        **({"assignee": assignee} if assignee else {}),
        "dependencies": [_edge(task.definition.task, need, "blocks", now) for need in values["dependencies"]],
    }


def _children(task: Task, now: str) -> list[Json]:
    """Return the steps as issues below their task, as beads has them."""
    own, done = task.definition.task, set(task.values["steps_done"])
    states = {True: TaskStatus.DONE, False: TaskStatus.OPEN}
    return [
        {
            "id": step.step,
            "title": step.title,
            "description": str(step.raw.get("description") or ""),
            "issue_type": "task",
            **_standing(states[step.step in done], task.added or now, task.ended or now, "Closed"),
            "priority": paths.PRIORITIES.index(str(task.values["priority"])),
            "dependencies": [_edge(step.step, own, "parent-child", now)],
        }
        for step in task.definition.steps
    ]


def _standing(state: str, added: str, ended: str, reason: str) -> Json:
    over = state in (TaskStatus.DONE, TaskStatus.CANCELLED)  # beads has one word for both
    closed = {"closed_at": ended, "close_reason": reason} if over else {}
    word = _BEADS_WORDS.status(TaskStatus.DONE if over else TaskStatus(state))
    return {"status": word, "created_at": added, "updated_at": ended if closed else added, **closed}


def _edge(issue: str, need: str, kind: str, now: str) -> Json:
    return {
        "issue_id": issue,
        "depends_on_id": need,
        "type": kind,
        "created_at": now,
        "created_by": beads_format.EXPORTED_BY,
    }


# -- a table -----------------------------------------------------------------------------------------------------


def _csv(tasks: Sequence[Task]) -> str:
    out = io.StringIO()
    table = csv_format.writer(out, lineterminator="\n")
    table.writerow(_COLUMNS)
    for task in tasks:
        summary, steps = task.values["summary"] or {}, task.definition.steps
        row = {
            "id": task.definition.task,
            "title": task.definition.title,
            "status": task.state,
            "priority": task.values["priority"],
            "dependencies": " ".join(task.values["dependencies"]),
            "assigned_to": summary.get("assigned_to", ""),
            "progress": 1.0 if task.state == TaskStatus.DONE else summary.get("progress", 0.0),
            "epoch": summary.get("epoch", 0),
            "steps_done": f"{len(task.values['steps_done'])}/{len(steps)}" if steps else "",
            "description": str(task.definition.raw.get("description") or ""),
            "reason": summary.get("reason", ""),
        }
        cells = [normalize.plain(row[column]) for column in _COLUMNS]
        table.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])  # no formula
    return out.getvalue()


def _written(text: str) -> str:
    """Write JSON for people to look at: what steers a terminal as escapes."""
    return escaped(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
