"""The records on disk: what a file must hold to be believed, and what is made of it.

Promises: a record is read whole or not at all; a file that is not understood is an error that names the file and
what is wrong, never an empty record; keys that this version does not know are kept when a record is rewritten
(people and newer versions put them there). Text from tasks and agents is data: it is cut to its limit, never
interpreted.
"""

from __future__ import annotations

from peercoord.core import ids, names
from peercoord.core.errors import BrokenFileError, UsageError
from peercoord.core.limits import (
    DEPENDENCIES_MOST,
    NOTE_CHARS,
    NOTES_CHARS,
    NOTES_MOST,
    RECORD_BYTES,
    STEPS_MOST,
    TEXT_CHARS,
    TITLE_CHARS,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Json = dict[str, Any]

SCHEMA_VERSION = 1
MEDIUM = names.PRIORITIES.index("medium")
STEP_DONE = ("done", "completed")


def encode(record: Json) -> bytes:
    """Write a record as people read it: UTF-8, two spaces, a final newline, keys in their order.

    Raises:
        UsageError: It holds something that JSON cannot: broken text, a number too large.
    """
    import orjson

    try:
        return orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:
        raise _unwritable(error) from None


def encode_line(record: Json) -> bytes:
    """Write a record as one line, for events.

    Raises:
        UsageError: It holds something that JSON cannot.
    """
    import orjson

    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:
        raise _unwritable(error) from None


def encode_stored(record: Json) -> bytes:
    """Write a record that must be readable again: as ``encode``, within the size that ``decode`` takes.

    Raises:
        UsageError: It is too large, or holds something that JSON cannot.
    """
    data = encode(record)
    if len(data) > RECORD_BYTES:
        raise UsageError(
            f"this would be a record of {len(data)} bytes; one has at most {RECORD_BYTES}",
            hint="shorten its texts, or keep them in a file and name it",
            code="too-large",
        )
    return data


def _unwritable(error: TypeError) -> UsageError:
    return UsageError(f"this cannot be written as JSON: {error}", hint="give plain UTF-8 text", code="bad-text")


def decode(data: bytes, where: str) -> Json:
    """Read a JSON object.

    Args:
        data: The whole file.
        where: Its path, for the message.

    Raises:
        BrokenFileError: It is no JSON object, or larger than any record may be.
    """
    import orjson

    if len(data) > RECORD_BYTES:
        raise BrokenFileError(f"{where} holds {len(data)} bytes; a record has at most {RECORD_BYTES}")
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BrokenFileError(f"{where} is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise BrokenFileError(f"{where} holds no JSON object")
    return record


# -- definitions -------------------------------------------------------------------------------------------------


class Step:
    """A subtask: a step of its task, reported and counted, never claimed alone.

    Attributes:
        step: Its id, dotted: ``2.1``.
        title: What is to be done.
        done: It was done where the task came from, or has been since.
        raw: The whole record, unknown keys included.
    """

    __slots__ = ("done", "raw", "step", "title")

    def __init__(self, step: str, title: str, done: bool, raw: Json) -> None:
        self.step, self.title, self.done, self.raw = step, title, done, raw


class Definition:
    """What a task is. Made by ``Definition.read`` from a file or ``define`` from someone's words.

    Attributes:
        task: Task id.
        level: Priority level, 0 (critical) … 4 (lowest).
        dependencies: Ids of the tasks that must be done first, in order, without repeats.
        steps: Its subtasks.
        raw: The whole record, unknown keys included.
    """

    __slots__ = ("dependencies", "level", "raw", "steps", "task")

    def __init__(self, task: str, level: int, dependencies: list[str], steps: list[Step], raw: Json) -> None:
        self.task, self.level, self.dependencies, self.steps, self.raw = task, level, dependencies, steps, raw

    @property
    def title(self) -> str:
        """One line that names the task."""
        return str(self.raw["title"])

    @property
    def cancelled(self) -> str | None:
        """The reason, if the task was cancelled."""
        note = self.raw.get("cancelled")
        return str(note.get("reason", "cancelled")) if isinstance(note, dict) else None

    @property
    def set_aside(self) -> tuple[str, str] | None:
        """Where and why the task is parked from the moment it is added: ``(why, reason)``."""
        note = self.raw.get("parked")
        if isinstance(note, dict) and note.get("why") in names.PARKED_WHY:
            return str(note["why"]), str(note.get("reason", ""))
        return None

    @classmethod
    def read(cls, raw: Json, where: str, task: str) -> Definition:
        """Check a definition read from ``where``, which by its name should be that of ``task``.

        Raises:
            BrokenFileError: A field is missing or of the wrong kind; the message says which.
        """
        try:
            made = checked(raw)
        except UsageError as error:
            raise BrokenFileError(f"{where}: {error.message}", error.hint) from None
        if made.task != task:
            raise BrokenFileError(f"{where}: task_id is {ids.shown(made.task)}, its name says '{task}'")
        return made


def define(
    task: str,
    title: str,
    *,
    description: str = "",
    priority: str | int = "medium",
    dependencies: Iterable[str | int] = (),
    steps: Iterable[Json] = (),
    **more: Any,
) -> Definition:
    """Make a definition from someone's words, checked.

    Args:
        task: Task id.
        title: One line.
        description: Any text.
        priority: A word of ``names.PRIORITIES`` or a level 0 … 4.
        dependencies: Ids of the tasks that must be done first.
        steps: Subtasks, each with at least ``id`` and ``title``.
        more: Further keys, kept as they are.

    Raises:
        UsageError: Something is not allowed; the message says what.
    """
    return checked(
        {
            "$schema": f"../../{names.schema('definition')}",
            "schema_version": SCHEMA_VERSION,
            "task_id": ids.public(ids.check(task)),
            "title": title,
            "description": description,
            "priority": names.PRIORITIES[priority_level(priority)],
            "dependencies": [ids.public(ids.check(d, "dependency")) for d in dependencies],
            "subtasks": list(steps),
            **more,
        }
    )


def checked(raw: Json) -> Definition:
    """Check a definition, whoever wrote it.

    Raises:
        UsageError: A key is missing or of the wrong kind; the message says which.
    """
    task = ids.check(raw.get("task_id"))
    title = raw.get("title")
    if not isinstance(title, str) or not title.strip():
        raise UsageError(f"task {task} has no title", code="no-title")
    if len(title) > TITLE_CHARS or "\n" in title or "\r" in title:
        raise UsageError(f"the title of task {task} must be one line of at most {TITLE_CHARS} characters")
    for key in ("description", "details"):
        text = raw.get(key, "")
        if not isinstance(text, str) or len(text) > TEXT_CHARS:
            raise UsageError(f"'{key}' of task {task} must be text of at most {TEXT_CHARS} characters")
    needs = _list(raw, "dependencies", DEPENDENCIES_MOST, task)
    dependencies = list(dict.fromkeys(ids.check(need, f"dependency of task {task}") for need in needs))
    steps = [_step(step, task) for step in _list(raw, "subtasks", STEPS_MOST, task)]
    if len({step.step for step in steps}) < len(steps):
        raise UsageError(f"two subtasks of task {task} have the same id")
    return Definition(task, priority_level(raw.get("priority", MEDIUM)), dependencies, steps, raw)


def _list(raw: Json, key: str, most: int, task: str) -> list[Any]:
    value = raw.get(key, [])
    if not isinstance(value, list) or len(value) > most:
        raise UsageError(f"'{key}' of task {task} must be a list of at most {most}")
    return value


def _step(raw: object, task: str) -> Step:
    if not isinstance(raw, dict) or not isinstance(raw.get("title"), str):
        raise UsageError(f"a subtask of task {task} has no title")
    return Step(step_id(raw.get("id"), task), raw["title"], raw.get("status") in STEP_DONE, raw)


def step_id(text: object, task: str) -> str:
    """Give a step's full id, ``2.1``, for ``1``, ``"1"`` or ``"2.1"`` of task 2."""
    own = ids.check(text, f"subtask id of task {task}")
    return ids.check(own if own.startswith(f"{task}.") else f"{task}.{own}", f"subtask id of task {task}")


def priority_level(priority: object) -> int:
    """Give the level 0 … 4 of a priority word or level.

    Raises:
        UsageError: It is neither; the message lists the words.
    """
    levels = range(len(names.PRIORITIES))
    if isinstance(priority, str):
        word = priority.strip().lower()
        if word in names.PRIORITIES:
            return names.PRIORITIES.index(word)
        if word in map(str, levels):
            return int(word)
    if isinstance(priority, int) and not isinstance(priority, bool) and priority in levels:
        return priority
    raise UsageError(
        f"priority {ids.shown(priority)} is not known",
        hint=f"one of {', '.join(names.PRIORITIES)}, or 0 … {len(names.PRIORITIES) - 1}, 0 being the most urgent",
    )


# -- births ------------------------------------------------------------------------------------------------------


class Birth:
    """How a task came into being; made once, never edited.

    Attributes:
        task: Task id.
        nonce: The nonce of the one ticket this task has.
        order: Its place in the order of adding, from 0.
        definition: The task as it was added.
    """

    __slots__ = ("definition", "nonce", "order", "task")

    def __init__(self, task: str, nonce: str, order: int, definition: Definition) -> None:
        self.task, self.nonce, self.order, self.definition = task, nonce, order, definition

    def record(self, by: str, at: str) -> Json:
        """Give the record to write: who added it, and when (RFC 3339, UTC)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "task_id": ids.public(self.task),
            "nonce": self.nonce,
            "order": self.order,
            "added_by": by,
            "added_at": at,
            "definition": self.definition.raw,
        }

    @classmethod
    def read(cls, raw: Json, where: str, task: str) -> Birth:
        """Check a birth record.

        Raises:
            BrokenFileError: It is not one.
        """
        nonce, order, inner = raw.get("nonce"), raw.get("order"), raw.get("definition")
        if not isinstance(order, int) or isinstance(order, bool) or order < 0:
            raise BrokenFileError(f"{where} is no birth record: its order is no whole number")
        if not ids.is_id(nonce) or not isinstance(inner, dict):
            raise BrokenFileError(f"{where} is no birth record: it lacks its nonce or definition")
        return cls(task, str(nonce), order, Definition.read(inner, where, task))


# -- progress ----------------------------------------------------------------------------------------------------


def notes(found: object) -> list[str]:
    """Give achievements or blockers within their limits: the newest, each cut."""
    items = found if isinstance(found, (list, tuple)) else []
    kept = [str(item)[:NOTE_CHARS] for item in items if isinstance(item, (str, int, float))][-NOTES_MOST:]
    while sum(map(len, kept)) > NOTES_CHARS:
        kept.pop(0)
    return kept


def fraction(value: object) -> float:
    """Read a progress, 0 … 1.

    Raises:
        UsageError: It is no number in that range.
    """
    try:
        share = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"progress {ids.shown(value)} is not a number from 0 to 1", hint="70 % is written 0.7")
    return share


def steps_progress(definition: Definition, done: Iterable[str]) -> float | None:
    """Give a task's progress as a fact: steps done of all. ``None`` if the task has no steps."""
    if not definition.steps:
        return None
    finished = set(done)
    return sum(step.done or step.step in finished for step in definition.steps) / len(definition.steps)
