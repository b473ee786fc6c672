"""The tasks as other programs keep them, so that a team can leave as easily as it came.

Three forms: claude-task-master's ``tasks.json``, beads' issues one a line, and a table for everything else. What a
task brought with it from such a program goes back under its own names; what only this team knows stands where the
program leaves it alone. Pure: time is an argument.
"""

from __future__ import annotations

import csv as csv_format
import io
import json
from typing import Any

from peercoord.core import ids, names, sync
from peercoord.edges.adapters import beads as beads_format
from peercoord.edges.adapters import words
from peercoord.edges.adapters.tasks_file import KEY, STATUS_WORDS
from peercoord.edges.adapters.tasks_json import DEFAULT_TAG
from peercoord.edges.adapters.vocabulary import Vocabulary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.core.records import Definition

    Json = dict[str, Any]

FORMATS = ("tasks.json", "beads", "csv")
_TM_KEYS = ("acceptanceCriteria", "relevantFiles", "complexity", "effort", "assignee", "tags")
_TM_PRIORITIES = ("high", "medium", "low")
_BEADS_STATUS = {
    sync.OPEN: "open",
    sync.HELD: "in_progress",
    sync.REVIEW: "in_progress",
    sync.BLOCKED: "blocked",
    sync.DEFERRED: "deferred",
    sync.DONE: "closed",
    sync.CANCELLED: "closed",
}
_COLUMNS = (
    *("id", "title", "status", "priority", "dependencies", "assigned_to", "progress", "epoch", "steps_done"),
    *("description", "reason"),
)
_FORMULA = ("=", "+", "-", "@", "\t")


class Task:
    """A task with all that is known of it.

    Attributes:
        definition: What it is.
        values: What the tickets say, as ``Ours.values`` gives it.
        added: When it was added, RFC 3339; empty if that is not known.
        ended: When it was finished or cancelled; empty if it was not.
    """

    def __init__(self, definition: Definition, values: Json, added: str = "", ended: str = "") -> None:
        self.definition, self.values, self.added, self.ended = definition, values, added, ended

    @property
    def state(self) -> str:
        """One of ``sync.STATES``."""
        return str(self.values["state"])

    def brought(self, kind: str) -> Json:
        """Give the keys that it brought from a program of this kind and that have no name here."""
        source = self.definition.raw.get("source")
        if not isinstance(source, dict) or source.get("kind") != kind:
            return {}
        kept = source.get("extra")
        return dict(kept) if isinstance(kept, dict) else {}


def export(tasks: Sequence[Task], form: str, now: str) -> str:
    """Write tasks in one of ``FORMATS``.

    Args:
        tasks: The tasks, in order.
        form: Which.
        now: The time, RFC 3339.
    """
    made = {"tasks.json": _tasks_json, "beads": _beads, "csv": _csv}
    return made[form](tasks, now)


# -- claude-task-master ------------------------------------------------------------------------------------------


def _tasks_json(tasks: Sequence[Task], now: str) -> str:
    status, priority = Vocabulary((), STATUS_WORDS), Vocabulary((), _TM_PRIORITIES)
    listed = [_tm_task(task, status, priority) for task in tasks]
    metadata = {"created": now, "updated": now, "description": "Tasks for master context"}
    whole = {DEFAULT_TAG: {"tasks": listed, "metadata": metadata}}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def _tm_task(task: Task, status: Vocabulary, priority: Vocabulary) -> Json:
    raw = task.definition.raw
    extra = task.brought("tasks.json")
    metadata = extra.pop("metadata", None)
    metadata = {k: v for k, v in metadata.items() if k != KEY} if isinstance(metadata, dict) else {}
    if task.values["summary"]:
        metadata[KEY] = task.values["summary"]
    return {
        "id": ids.public(task.definition.task),
        "title": task.definition.title,
        "description": str(raw.get("description") or "") or task.definition.title,
        "details": str(raw.get("details") or ""),
        "testStrategy": str(raw.get("testStrategy") or ""),
        "status": status.status(task.state),
        "dependencies": raw.get("dependencies", []),
        "priority": priority.priority(str(task.values["priority"])),
        "subtasks": [_tm_step(step, task) for step in raw.get("subtasks", [])],
        **{key: raw[key] for key in _TM_KEYS if raw.get(key)},
        **extra,
        **({"metadata": metadata} if metadata else {}),
    }


def _tm_step(step: Json, task: Task) -> Json:
    own = task.definition.task
    full = words.identifier(step.get("id"))
    full = full if full.startswith(f"{own}.") else f"{own}.{full}"
    needs = [need.removeprefix(f"{own}.") for need in words.references(step.get("dependencies"))]
    done = full in task.values["steps_done"]
    kept = {key: value for key, value in step.items() if key not in ("id", "status", "dependencies")}
    return {
        "id": ids.public(full.removeprefix(f"{own}.")),
        **kept,
        "description": str(step.get("description") or ""),
        "dependencies": [ids.public(need) for need in needs],
        "status": "done" if done else _open_word(step),
    }


def _open_word(step: Json) -> str:
    word = words.one_line(step.get("status"))
    return word if word in STATUS_WORDS and word != "done" else "pending"


# -- beads -------------------------------------------------------------------------------------------------------


def _beads(tasks: Sequence[Task], now: str) -> str:
    issues = [issue for task in tasks for issue in (_issue(task, now), *_children(task, now))]
    return "".join(f"{json.dumps(issue, ensure_ascii=False)}\n" for issue in issues)


def _issue(task: Task, now: str) -> Json:
    raw, values = task.definition.raw, task.values
    assignee = values["assigned_instance"] or raw.get("assignee")
    notes = [words.plain(note) for note in raw.get("notes", [])]
    kept = {theirs: raw[ours] for theirs, ours in beads_format.USEFUL.items() if raw.get(ours) and ours != "assignee"}
    return {
        "id": task.definition.task,
        "title": task.definition.title,
        "description": "\n\n".join(filter(None, (str(raw.get("description") or ""), str(raw.get("details") or "")))),
        "issue_type": "task",
        **task.brought(beads_format.KIND),
        **kept,
        **({"notes": "\n".join(notes)} if notes else {}),
        **_standing(task.state, task.added or now, task.ended or now, _reason(task)),
        "priority": names.PRIORITIES.index(str(values["priority"])),
        **({"assignee": assignee} if assignee else {}),
        "dependencies": [_edge(task.definition.task, need, "blocks", now) for need in values["dependencies"]],
    }


def _children(task: Task, now: str) -> list[Json]:
    """Give the steps as issues below their task, which is what they are there."""
    own, done = task.definition.task, set(task.values["steps_done"])
    return [
        {
            "id": step.step,
            "title": step.title,
            "description": str(step.raw.get("description") or ""),
            "issue_type": "task",
            **_standing(sync.DONE if step.step in done else sync.OPEN, task.added or now, task.ended or now, "Closed"),
            "priority": names.PRIORITIES.index(str(task.values["priority"])),
            "dependencies": [_edge(step.step, own, "parent-child", now)],
        }
        for step in task.definition.steps
    ]


def _standing(state: str, added: str, ended: str, reason: str) -> Json:
    closed = {"closed_at": ended, "close_reason": reason} if _BEADS_STATUS[state] == "closed" else {}
    return {"status": _BEADS_STATUS[state], "created_at": added, "updated_at": ended if closed else added, **closed}


def _edge(issue: str, need: str, kind: str, now: str) -> Json:
    return {"issue_id": issue, "depends_on_id": need, "type": kind, "created_at": now, "created_by": KEY}


def _reason(task: Task) -> str:
    return f"cancelled: {task.definition.cancelled}" if task.definition.cancelled is not None else "Closed"


# -- a table -----------------------------------------------------------------------------------------------------


def _csv(tasks: Sequence[Task], now: str) -> str:  # noqa: ARG001 - one signature for every form
    out = io.StringIO()
    table = csv_format.writer(out, lineterminator="\n")
    table.writerow(_COLUMNS)
    for task in tasks:
        summary = task.values["summary"] or {}
        row = {
            "id": task.definition.task,
            "title": task.definition.title,
            "status": task.state,
            "priority": task.values["priority"],
            "dependencies": " ".join(task.values["dependencies"]),
            "assigned_to": summary.get("assigned_to", ""),
            "progress": 1.0 if task.state == sync.DONE else summary.get("progress", 0.0),
            "epoch": summary.get("epoch", 0),
            "steps_done": f"{len(task.values['steps_done'])}/{len(task.definition.steps)}"
            if task.definition.steps
            else "",
            "description": str(task.definition.raw.get("description") or ""),
            "reason": summary.get("reason", ""),
        }
        table.writerow([_cell(row[column]) for column in _COLUMNS])
    return out.getvalue()


def _cell(value: object) -> str:
    """Write a cell that no spreadsheet takes for a formula, whoever wrote its text."""
    text = words.plain(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
