"""Issues exported by beads: one JSON object a line.

Only dependencies that block there become edges: ``blocks``, ``conditional-blocks`` and ``waits-for``. A
``parent-child`` dependency does not make the child wait for its parent, despite its name: it passes on what blocks the
parent. So a child gets the edges of its ancestors. The parent waits for its children: otherwise two agents would do the
same work, one on an epic and one on a part of it. An issue to be done only if another one fails, or that is no work at
all (messages, gates, templates), is deferred until a person decides.

The file is an export: it is read, never written.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from peercoord.errors import BrokenFileError
from peercoord.foreign import shown
from peercoord.tasklists import files, normalize
from peercoord.tasklists.imported import Origin, Reading, Row, StepRow, build

if TYPE_CHECKING:
    from pathlib import Path

    Json = dict[str, Any]

KIND = "beads"

CANCELLED = "cancelled: "
"""How the reason of an issue begins that was closed because its task was cancelled."""
EXPORTED_BY = "peercoord"
"""Who made an edge that an export of ours wrote."""
_CONDITION = "conditional-blocks"
_BLOCKING = ("blocks", _CONDITION, "waits-for")
_PARENT = "parent-child"
_NO_WORK = ("message", "gate", "molecule", "event", "agent", "role", "rig", "merge-request")
_NO_WORK_FLAGS = ("ephemeral", "pinned", "is_template")
_DELETED = "tombstone"
USEFUL = {
    "design": "design",
    "acceptance_criteria": "acceptanceCriteria",
    "labels": "tags",
    "issue_type": "type",
    "assignee": "assignee",
    "estimated_minutes": "estimatedMinutes",
    "external_ref": "externalRef",
    "due_at": "due",
}
_OWN = ("id", "title", "description", "status", "priority", "dependencies", "comments", "notes")


def read(path: Path, home: Path | None = None) -> Reading:
    """Read the issues of an export, as ``source.read_source`` says."""
    issues: list[Json] = []
    refused: list[tuple[str, str]] = []
    for at, line in enumerate(files.whole(path).split("\n"), 1):
        if line.strip():
            found = _parsed(line)
            if isinstance(found, dict):
                issues.append(found)
            else:
                refused.append((f"line {at}", found))
    if not issues:
        why = f" ({refused[0][0]}: {refused[0][1]})" if refused else ""
        raise BrokenFileError(f"{files.quoted(path)} holds no issues{why}", hint="name an export with one issue a line")
    alive = [issue for issue in issues if issue.get("status") != _DELETED]
    deleted = [_id(issue) for issue in issues if issue.get("status") == _DELETED]
    refused.extend((f"task {shown(name)}", "it was deleted there") for name in deleted)
    own = {_id(issue): parent for issue in alive if (parent := _step_of(issue))}
    steps = [issue for issue in alive if own.get(_id(issue)) in {_id(one) for one in alive} - own.keys()]
    rest = [issue for issue in alive if issue not in steps] if steps else alive
    edges = _edges(rest, set(deleted))
    rows = [_row(issue, edges[_id(issue)]) for issue in rest]
    for row in rows:
        for step in (step for step in steps if own[_id(step)] == normalize.identifier(row.task)):
            more = {"description": step["description"]} if step.get("description") else {}
            row.steps.append(StepRow(_id(step), step.get("title"), step.get("status"), more=more))
    return build(rows, Origin(KIND, path, home=home), refused)


def is_export(path: Path) -> bool:
    """Check whether the first two lines of a file hold an object each: a ``tasks.json`` never looks like that."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as lines:
            first = list(islice(filter(str.strip, lines), 2))
    except OSError as error:
        raise files.unreadable(path, error) from None
    return len(first) == 2 and all(isinstance(_parsed(line), dict) for line in first)


def _parsed(line: str) -> Json | str:
    """Return the issue of a line, or why it holds none."""
    try:
        found = json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {error}"
    return found if isinstance(found, dict) else "it is no issue"


def _id(issue: Json) -> str:
    return normalize.identifier(issue.get("id"))


def _row(issue: Json, needs: list[str]) -> Row:
    said = issue.get("close_reason")  # beads has no word for cancelled, so our export says it in the reason
    cancelled = issue.get("status") == "closed" and isinstance(said, str) and said.startswith(CANCELLED)
    return Row(
        issue.get("id"),
        issue.get("title"),
        description=issue.get("description"),
        status="cancelled" if cancelled else issue.get("status"),
        priority=issue.get("priority"),
        needs=needs,
        assignee=issue.get("assignee"),
        notes=_notes(issue),
        more={ours: issue[key] for key, ours in USEFUL.items() if issue.get(key)},
        extra={k: v for k, v in issue.items() if k not in _OWN and k not in USEFUL and v not in (None, "")},
        aside=_aside(issue),
    )


def _step_of(issue: Json) -> str:
    """Return the task of which an issue is a step; empty if none. Only our exports write steps as issues."""
    found = issue.get("dependencies")
    for edge in found if isinstance(found, list) else []:
        if isinstance(edge, dict) and edge.get("type") == _PARENT and edge.get("created_by") == EXPORTED_BY:
            parent = normalize.identifier(edge.get("depends_on_id"))
            if _id(issue).startswith(f"{parent}."):
                return parent
    return ""


def _notes(issue: Json) -> list[str]:
    notes = [normalize.plain(issue["notes"])] if issue.get("notes") else []
    comments = issue.get("comments")
    said = [c for c in comments if isinstance(c, dict) and c.get("text")] if isinstance(comments, list) else []
    notes.extend(f"{normalize.one_line(c.get('author'), 80) or 'somebody'}: {normalize.plain(c['text'])}" for c in said)
    if issue.get("defer_until"):
        notes.append(f"put off there until {normalize.one_line(issue['defer_until'], 80)}")
    return notes


def _aside(issue: Json) -> tuple[str, str] | None:
    """Return state and reason of an open issue that cannot be claimed."""
    if _is_no_work(issue):
        kind = normalize.one_line(issue.get("issue_type"), 80) or "record"
        return "deferred", f"it is a {shown(kind)} there, not work to be claimed"
    for kind, need in _dependencies(issue):
        if kind == _CONDITION:
            return "deferred", f"it is to be done only if task {shown(need)} fails"
    return None


def _is_no_work(issue: Json) -> bool:
    return issue.get("issue_type") in _NO_WORK or any(issue.get(flag) for flag in _NO_WORK_FLAGS)


# -- edges -------------------------------------------------------------------------------------------------------


def _dependencies(issue: Json) -> list[tuple[str, str]]:
    """Return kind and issue of each dependency, as written."""
    found = issue.get("dependencies")
    listed = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    return [(str(item.get("type", "blocks")), normalize.identifier(item.get("depends_on_id"))) for item in listed]


def _edges(issues: list[Json], deleted: set[str]) -> dict[str, list[str]]:
    """Return what each issue waits for; nothing waits for a deleted one."""
    given: dict[str, list[str]] = {_id(issue): [] for issue in issues}
    children: dict[str, list[str]] = {name: [] for name in given}
    for issue in issues:
        for kind, need in _dependencies(issue):
            if kind in _BLOCKING and need not in deleted:
                given[_id(issue)].append(need)
            elif kind == _PARENT and need in children and not _is_no_work(issue):
                children[need].append(_id(issue))
    edges = {name: [*needs, *children[name]] for name, needs in given.items()}
    for name, needs in given.items():
        below, stack = {name}, [name] if needs else []
        while stack:
            new = [child for child in children[stack.pop()] if child not in below]
            below.update(new)
            stack += new
        passed_on = [need for need in needs if need not in below]
        for child in below - {name}:
            edges[child].extend(passed_on)
    return edges
