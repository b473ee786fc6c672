"""claude-task-master's ``tasks.json``: its shapes, its tags, and how its text is written.

Three shapes are in use, and the program turns one into another: ``{"tasks": […]}``, the same with a ``metadata``
object, and an object like these for each tag. So a tag is any key that holds a list of tasks, or an object with one. A
list at the top called ``tasks`` is the tag that its metadata names, or ``master``.

Promise: no tag is guessed. The requested one is read, else the only one, else the current one of
``.taskmaster/state.json`` (``master`` if that file says nothing); a missing tag is an error that names the others.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError
from peercoord.foreign import escaped, shown
from peercoord.tasklists import files, normalize
from peercoord.tasklists.imported import Origin, Reading, Row, StepRow, build

if TYPE_CHECKING:
    from pathlib import Path

    from peercoord.foreign import Json

KIND = "tasks.json"
KEY = "peercoord"
"""The key of a task's ``metadata`` under which it keeps what only the team knows."""
DEFAULT_TAG = "master"

_OWN = ("id", "title", "description", "status", "priority", "dependencies", "subtasks")
_USEFUL = (
    *("details", "testStrategy", "acceptanceCriteria", "relevantFiles", "complexity", "effort", "assignee", "tags"),
)
_INDENT = re.compile(r"[\[{]\r?\n([ \t]+)\S")
_FLOAT_DIGITS = 17  # a number written with no more of them is read as the same one by every program
_HALF = re.compile("[\ud800-\udfff]")
_STEP_OWN = ("id", "title", "status", "dependencies", "parentId", "parentTaskId")


def read(path: Path, tag: str | None = None, home: Path | None = None) -> Reading:
    """Read the tasks of one tag, as ``source.read_source`` says."""
    lists = tagged(files.json_object(path), path)
    chosen = choose(lists, path, tag)
    return build(rows(lists[chosen]), Origin(KIND, path, chosen, home))


# -- tags --------------------------------------------------------------------------------------------------------


def tagged(data: Json, path: Path) -> dict[str, list[Any]]:
    """Return the task lists of a file by tag, or refuse a file that holds none."""
    lists = {
        key: value["tasks"]
        for key, value in data.items()
        if isinstance(value, dict) and isinstance(value.get("tasks"), list)
    }
    if isinstance(data.get("tasks"), list):
        metadata = data.get("metadata")
        tags = metadata.get("tags") if isinstance(metadata, dict) and not lists else None
        is_named = isinstance(tags, list) and len(tags) == 1 and isinstance(tags[0], str)
        lists.setdefault(tags[0] if tags and is_named else DEFAULT_TAG, data["tasks"])
    else:  # beside a list called 'tasks', another list may be anything
        lists |= {key: value for key, value in data.items() if _is_bare(value)}
    if not lists:
        raise BrokenFileError(
            f"{files.quoted(path)} holds no list of tasks",
            hint='name a tasks.json: an object with "tasks", or one such object for each tag',
        )
    return lists


def _is_bare(value: object) -> bool:
    """Check whether a value is a list of tasks without an object around it."""
    entries = value if isinstance(value, list) else []
    return bool(entries) and all(isinstance(e, dict) and {"id", "title"} <= e.keys() for e in entries)


def choose(lists: dict[str, list[Any]], path: Path, tag: str | None) -> str:
    """Return the tag to read; if it is missing, the error's hint names the others."""
    there = ", ".join(shown(name) for name in lists)
    if tag is not None:
        if tag in lists:
            return tag
        raise NotFoundError(
            f"{files.quoted(path)} has no tag {shown(tag)}",
            hint=f"its tags are {there}; say which with --tag",
            code="no-tag",
        )
    if len(lists) == 1:
        return next(iter(lists))
    current = current_tag(path) or DEFAULT_TAG
    if current in lists:
        return current
    raise NotFoundError(
        f"{files.quoted(path)} has no tag {shown(current)}, which is its current one",
        hint=f"say which with --tag: {there}",
    )


def current_tag(path: Path) -> str | None:
    """Return the tag that the project's ``state.json`` calls current, if there is such a file."""
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


# -- tasks -------------------------------------------------------------------------------------------------------


def rows(entries: list[Any]) -> list[Row | None]:
    """Return the entries of a list as rows; ``None`` for one that is no object."""
    return [row(entry) if isinstance(entry, dict) else None for entry in entries]


def row(entry: Json) -> Row:
    """Return a task object as a row; unknown keys are kept."""
    task = normalize.identifier(entry.get("id"))
    subtasks = entry.get("subtasks")
    return Row(
        entry.get("id"),
        entry.get("title"),
        description=entry.get("description"),
        status=entry.get("status"),
        priority=_priority(entry),
        needs=normalize.references(entry.get("dependencies")),
        steps=[_step(found, task) for found in subtasks] if isinstance(subtasks, list) else [],
        assignee=entry.get("assignee"),
        more={key: entry[key] for key in _USEFUL if entry.get(key)},
        extra={key: value for key, value in entry.items() if key not in _OWN + _USEFUL and value not in (None, "")},
    )


def noted(entry: Json) -> Json | None:
    """Return what the team noted in a task object, if anything."""
    metadata = entry.get("metadata")
    found = metadata.get(KEY) if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else None


def _priority(entry: Json) -> object:
    """Return the priority: the one that an export noted, where the program has no word for it."""
    kept = (noted(entry) or {}).get("priority")
    near = {"lowest": "low"}.get(kept) if isinstance(kept, str) else None
    return kept if near and normalize.priority_of(entry.get("priority")) == near else entry.get("priority")


def _step(found: object, task: str) -> StepRow:
    """Return a subtask as a row. A dependency without a dot names a sibling."""
    if not isinstance(found, dict):
        return StepRow(None, None)
    needs = [need if "." in need else f"{task}.{need}" for need in normalize.references(found.get("dependencies"))]
    more = {key: value for key, value in found.items() if key not in _STEP_OWN and value not in (None, "")}
    return StepRow(found.get("id"), found.get("title"), found.get("status"), needs, more)


# -- the text ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JsonStyle:
    """How a text of JSON is written: the parameters of ``json.dumps``, and what is around it."""

    indent: str | None  # what one level is indented by; ``None``: all in one line
    separators: tuple[str, str]  # what is written between items, and between key and value
    escapes: str  # the characters written as escapes: ``all`` but ASCII, those that ``steer`` a terminal, or ``none``
    newline: str  # the line end
    start: str  # a byte order mark, or nothing
    end: str  # the blanks at the end of the file
    is_exact: bool = True  # writing the value again gives the same text

    @classmethod
    def of(cls, text: str, value: object) -> JsonStyle:
        """Return the style of a text that holds this value.

        Where no style reproduces the text byte for byte, the nearest one is returned, with ``is_exact`` false.
        """
        start = "\ufeff" if text.startswith("\ufeff") else ""
        end = text[len(text.rstrip(" \t\r\n")) :]
        newline = "\r\n" if "\r\n" in text[: len(text) - len(end)] else "\n"
        found = _INDENT.search(text)
        indent = found[1] if found else None
        items = (",",) if found else (", ", ",")
        keys = (": ", ":") if '": ' in text else (":",)
        escapes = ("steer", "all", "none") if "\\u" in text else ("steer", "none")
        for choice in product(items, keys, escapes):
            style = cls(indent, choice[:2], choice[2], newline, start, end)
            with suppress(ValueError):  # an infinite number
                if style.write(value) == text:
                    return style
        return cls(indent, (items[0], keys[0]), "steer", newline, start, end, is_exact=False)

    def write(self, value: object) -> str:
        """Return the text for a value.

        Raises:
            ValueError: It holds a number that JSON has no word for.
        """
        is_ascii, (indent, separators) = self.escapes == "all", (self.indent, self.separators)
        text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=is_ascii, allow_nan=False)
        text = _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)
        if self.escapes == "steer":
            text = escaped(text.encode()).decode()
        return f"{self.start}{text.replace(chr(10), self.newline)}{self.end}"


def reformat_note(path: Path) -> str:
    """Return what to tell people before the first change reformats a file; empty if it need not."""
    with suppress(OSError, UnicodeDecodeError, PeercoordError):  # the sync reports it
        text = path.read_bytes().decode()
        if not JsonStyle.of(text, files.parse_object(text, path)).is_exact:
            where = files.quoted(path)
            return f"the first change reformats {where} as a whole, once: its blanks follow no rule that can be kept"
    return ""


def refuse_lossy(text: str, name: str) -> None:
    """Refuse to reformat a text whose value would lose something."""
    from decimal import Decimal

    def unique(pairs: list[tuple[str, Any]]) -> Json:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for at, (key, _) in enumerate(pairs) if key in dict(pairs[:at]))
            raise ValueError(f"an object has the key {shown(twice)} twice")
        return found

    def number(word: str) -> float:
        found = float(word)
        if found - found != 0:  # infinite, or not a number
            raise ValueError(f"{word} is no number in JSON")
        try:
            exact = Decimal(word)
            is_kept = exact == Decimal(repr(found)) or (found and len(exact.as_tuple().digits) <= _FLOAT_DIGITS)
        except ArithmeticError:  # an exponent beyond all bounds
            is_kept = False
        if not is_kept:
            raise ValueError(f"{shown(word)} has more digits than a number keeps")
        return found

    try:
        json.loads(text.removeprefix("\ufeff"), object_pairs_hook=unique, parse_float=number, parse_constant=number)
    except ValueError as error:
        raise BrokenFileError(
            f"{name} was not changed, for writing it again would lose something: {error}", hint="repair the file"
        ) from None
