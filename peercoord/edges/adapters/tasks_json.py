"""claude-task-master's ``tasks.json``, read in each of its shapes.

Three shapes are in use, and its own program turns one into another: ``{"tasks": […]}``, the same with a
``metadata`` object, and one object of that kind for each tag. A file can hold both, for the program writes the tag
beside what was there. So a tag is whatever key holds an object with a list of tasks; a list at the top is the tag
that its metadata names, or ``master``.

Promise: no tag is guessed. The asked one is read, else the only one there is, else the current one of
``.taskmaster/state.json``, ``master`` if that file says nothing; a tag that is not there is an error that names those
that are.
"""

from __future__ import annotations

from typing import Any

from peercoord.core import ids
from peercoord.core.errors import BrokenFileError, NotFoundError
from peercoord.edges.adapters import files, words
from peercoord.edges.adapters.imported import Origin, Reading, Row, StepRow, build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    Json = dict[str, Any]

KIND = "tasks.json"
DEFAULT_TAG = "master"

_OWN = ("id", "title", "description", "status", "priority", "dependencies", "subtasks")
_USEFUL = (
    "details",
    "testStrategy",
    "acceptanceCriteria",
    "relevantFiles",
    "complexity",
    "effort",
    "assignee",
    "tags",
)
_STEP_OWN = ("id", "title", "status", "dependencies", "parentId", "parentTaskId")


def read(path: Path, tag: str | None = None, home: Path | None = None) -> Reading:
    """Read the tasks of one tag.

    Args:
        path: The file.
        tag: The tag; by default the current one.
        home: The project that they are read for, if there is one.

    Raises:
        NotFoundError: The file or the tag is not there.
        BrokenFileError: The file, or the one that names the current tag, is not understood.
        PeercoordError: It cannot be read.
    """
    lists = tagged(files.json_object(path), path)
    chosen = choose(lists, path, tag)
    rows: list[Row] = []
    refused: list[tuple[str, str]] = []
    for at, entry in enumerate(lists[chosen], 1):
        if isinstance(entry, dict):
            rows.append(row(entry))
        else:
            refused.append((f"entry {at}", "it is no task object"))
    return build(rows, Origin(KIND, path, chosen, home), refused)


def tagged(data: Json, path: Path) -> dict[str, list[Any]]:
    """Give the task lists of a file by tag.

    Raises:
        BrokenFileError: There is no task list in it.
    """
    lists = {
        key: value["tasks"]
        for key, value in data.items()
        if isinstance(value, dict) and isinstance(value.get("tasks"), list)
    }
    if isinstance(data.get("tasks"), list):
        lists.setdefault(DEFAULT_TAG if lists else _named_tag(data), data["tasks"])
    if not lists:
        raise BrokenFileError(
            f"{files.quoted(path)} holds no list of tasks",
            hint='name a tasks.json: an object with "tasks", or one such object for each tag',
        )
    return lists


def row(entry: Json) -> Row:
    """Take a task object apart; unknown keys are kept."""
    task = words.identifier(entry.get("id"))
    subtasks = entry.get("subtasks")
    return Row(
        entry.get("id"),
        entry.get("title"),
        description=entry.get("description"),
        status=entry.get("status"),
        priority=entry.get("priority"),
        needs=words.references(entry.get("dependencies")),
        steps=[step(found, task) for found in subtasks] if isinstance(subtasks, list) else [],
        assignee=entry.get("assignee"),
        more={key: entry[key] for key in _USEFUL if entry.get(key)},
        extra={key: value for key, value in entry.items() if key not in _OWN + _USEFUL and value not in (None, "")},
    )


def step(found: object, task: str) -> StepRow:
    """Take a subtask apart. Where it names another without a dot, a sibling is meant."""
    if not isinstance(found, dict):
        return StepRow(None, None)
    needs = [need if "." in need else f"{task}.{need}" for need in words.references(found.get("dependencies"))]
    more = {key: value for key, value in found.items() if key not in _STEP_OWN and value not in (None, "")}
    return StepRow(found.get("id"), found.get("title"), found.get("status"), needs, more)


def _named_tag(data: Json) -> str:
    metadata = data.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return tags[0] if isinstance(tags, list) and len(tags) == 1 and isinstance(tags[0], str) else DEFAULT_TAG


def choose(lists: dict[str, list[Any]], path: Path, tag: str | None) -> str:
    """Give the tag to read.

    Raises:
        NotFoundError: It is not there; the hint names those that are.
        BrokenFileError: The file that names the current one is not understood.
    """
    there = ", ".join(ids.shown(name) for name in lists)
    if tag is not None:
        if tag in lists:
            return tag
        raise NotFoundError(f"{files.quoted(path)} has no tag {ids.shown(tag)}", hint=f"its tags are {there}")
    if len(lists) == 1:
        return next(iter(lists))
    current = _current(path) or DEFAULT_TAG
    if current in lists:
        return current
    raise NotFoundError(
        f"{files.quoted(path)} has no tag {ids.shown(current)}, which is its current one",
        hint=f"say which with --tag: {there}",
    )


def _current(path: Path) -> str | None:
    """Give the tag that the project's ``state.json`` calls current, if there is such a file."""
    folder = path.resolve().parent.parent
    if folder.name != ".taskmaster":
        return None
    try:
        current = files.json_object(folder / "state.json").get("currentTag")
    except NotFoundError:
        return None
    except BrokenFileError as error:
        raise BrokenFileError(error.message, hint="repair it, or say which tag with --tag") from None
    return current if isinstance(current, str) and current else None
