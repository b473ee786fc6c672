"""Read and write records: task definitions, births, steps, and the texts of reports.

A record is read whole or not at all. A record that cannot be understood is an error that names the file and the fault,
never an empty record. Keys that this version does not know are kept when a record is rewritten, because people and
newer versions put them there. Text from tasks and agents is data: it is cut to its limit, never interpreted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from peercoord import foreign
from peercoord.errors import BrokenFileError, UsageError
from peercoord.foreign import clean, escaped, line, shown
from peercoord.store import ids, paths
from peercoord.store.settings import (
    ANSWERS_MOST,
    DEPENDENCIES_MOST,
    NOTE_CHARS,
    NOTES_CHARS,
    NOTES_MOST,
    RECORD_BYTES,
    STEPS_MOST,
    TEXT_CHARS,
    TITLE_CHARS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from peercoord.foreign import Json

SCHEMA_VERSION = 1
MEDIUM = paths.PRIORITIES.index("medium")
STEP_DONE = ("done", "completed")
_BOM = b"\xef\xbb\xbf"  # many editors write one before the text


def encode(record: Json) -> bytes:
    """Encode a record for people: UTF-8, two spaces, a final newline, keys in their order.

    Characters that steer a terminal are written as JSON escapes. A ``UsageError`` refuses what JSON cannot hold.
    """
    import orjson

    return _encoded(record, orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def encode_line(record: Json) -> bytes:
    """Encode a record as one line, for events."""
    import orjson

    return _encoded(record, orjson.OPT_APPEND_NEWLINE)


def _encoded(record: Json, option: int) -> bytes:
    import orjson

    try:
        return escaped(orjson.dumps(record, option=option))
    except TypeError as error:
        message = f"this cannot be written as JSON: {error}"
        raise UsageError(message, hint="give plain UTF-8 text", code="bad-text") from None


def encode_stored(record: Json) -> bytes:
    """Encode a record that must be readable again: as ``encode``, within the size that ``decode`` accepts."""
    return within_limit(encode(record))


def within_limit(data: bytes) -> bytes:
    """Return an encoded record, or refuse one that is larger than ``decode`` accepts."""
    if len(data) > RECORD_BYTES:
        raise UsageError(
            f"this would be a record of {len(data)} bytes; one has at most {RECORD_BYTES}",
            hint="shorten its texts, or keep them in a file and name it",
            code="too-large",
        )
    return data


def decode(data: bytes, where: str) -> Json:
    """Read a JSON object; a ``BrokenFileError`` names ``where`` it is, if it is none or too large."""
    import orjson

    if len(data) > RECORD_BYTES:
        raise BrokenFileError(f"{where} holds {len(data)} bytes; a record has at most {RECORD_BYTES}")
    try:
        record = orjson.loads(data.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise BrokenFileError(f"{where} is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise BrokenFileError(f"{where} holds no JSON object")
    return record


def is_blank(data: bytes) -> bool:
    """Check whether a file is empty or has only zero bytes, as after a power cut before a flush."""
    return not data.strip(b"\0")


def is_cut(data: bytes) -> bool:
    """Check whether a record that cannot be read lacks its end or some of its blocks, as after a power cut."""
    return b"\0" in data or not data.endswith(b"}\n")


def is_remnant(data: bytes, whole: bytes) -> bool:
    """Check whether a power cut can have turned ``whole`` into this: cut off, or zeros in lost blocks."""
    return len(data) <= len(whole) and all(byte in (0, was) for byte, was in zip(data, whole, strict=False))


# -- definitions -------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """A subtask: a step of its task, reported and counted, never claimed alone."""

    step: str  # its id, dotted: ``2.1``
    title: str  # what is to be done
    done: bool  # it is done here or was done where the task came from
    raw: Json  # the whole record, including unknown keys


class Definition(NamedTuple):
    """What a task is. Made by ``Definition.read`` from a file or ``define`` from a person's input."""

    task: str  # task id
    level: int  # priority level, 0 (critical) … 4 (lowest)
    dependencies: list[str]  # ids of the tasks that must be done first, in order, without repeats
    steps: list[Step]  # its subtasks
    raw: Json  # the whole record, including unknown keys

    @property
    def title(self) -> str:
        """One line that names the task."""
        return line(str(self.raw["title"]))

    @property
    def cancelled(self) -> str | None:
        """The reason if the task was cancelled: any value but ``null`` and ``false`` cancels it."""
        note = self.raw.get("cancelled")
        if note is None or note is False:
            return None
        reason = note.get("reason") if isinstance(note, dict) else note
        return reason if isinstance(reason, str) and reason.strip() else "cancelled"

    @property
    def note(self) -> Json:
        """The note that parks the task, with ``why``, ``reason`` and who said so; empty if there is none."""
        note = self.raw.get("parked")
        return note if isinstance(note, dict) else {}

    @property
    def set_aside(self) -> tuple[str, str] | None:
        """Where and why the task is parked: ``(why, reason)``; ``None`` if no known reason parks it."""
        why = self.note.get("why")
        return (str(why), str(self.note.get("reason", ""))) if why in paths.PARKED_WHY else None

    @classmethod
    def read(cls, raw: Json, where: str, task: str) -> Definition:
        """Check a definition read from ``where``, whose name says that it is of ``task``."""
        try:
            made = checked(raw)
        except UsageError as error:
            raise BrokenFileError(f"{where}: {error.message}", error.hint) from None
        if made.task != task:
            raise BrokenFileError(f"{where}: task_id is {shown(made.task)}, its name says '{task}'")
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
    """Make a checked definition from a person's input.

    Args:
        task: Task id.
        title: One line.
        description: Any text.
        priority: A word of ``paths.PRIORITIES`` or a level 0 … 4.
        dependencies: Ids of the tasks that must be done first.
        steps: Subtasks, each with at least ``id`` and ``title``.
        more: Further keys, kept as they are.

    Raises:
        UsageError: Something is not allowed; the message says what.
    """
    return checked(
        {
            "$schema": f"../../{paths.schema('definition')}",
            "schema_version": SCHEMA_VERSION,
            "task_id": ids.public(ids.check(task)),
            "title": clean(title),
            "description": clean(description),
            "priority": paths.PRIORITIES[priority_level(priority)],
            "dependencies": [ids.public(ids.check(d, "dependency")) for d in dependencies],
            "subtasks": list(steps),
            **more,
        }
    )


def checked(raw: Json) -> Definition:
    """Check a definition; a ``UsageError`` says which key is missing or of the wrong kind."""
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
    """Return a step's full id, ``2.1``, for ``1``, ``"1"`` or ``"2.1"`` of task 2."""
    own = ids.check(text, f"subtask id of task {task}")
    return ids.check(own if own.startswith(f"{task}.") else f"{task}.{own}", f"subtask id of task {task}")


def priority_level(priority: object) -> int:
    """Return the level 0 … 4 of a priority word or level."""
    levels = range(len(paths.PRIORITIES))
    if isinstance(priority, str):
        word = priority.strip().lower()
        if word in paths.PRIORITIES:
            return paths.PRIORITIES.index(word)
        if (word.lstrip("0") or word[:1]) in map(str, levels):  # "03" too, which the schema has always taken
            return int(word[-1])
    level = foreign.whole(priority)
    if level is not None and level in levels:
        return level
    raise UsageError(
        f"priority {shown(priority)} is not known",
        hint=f"one of {', '.join(paths.PRIORITIES)}, or 0 … {len(paths.PRIORITIES) - 1}, 0 being the most urgent",
    )


# -- births ------------------------------------------------------------------------------------------------------


class Birth(NamedTuple):
    """A task's birth record; made once, never edited."""

    task: str  # task id
    nonce: str  # the nonce of the one ticket this task has
    order: int  # its place in the order of adding, from 0
    definition: Definition  # the task as it was added

    def record(self, by: str, at: str) -> Json:
        """The record to write: who added the task, and when (RFC 3339, UTC)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "task_id": ids.public(self.task),
            "nonce": self.nonce,
            "order": self.order,
            "added_by": by,
            "added_at": at,
            "definition": self.definition.raw,
        }

    @property
    def mark(self) -> Json:
        """What identifies the task: after a renaming the new task has it as ``renamed_from``."""
        return {"task": ids.public(self.task), "nonce": self.nonce}

    @classmethod
    def read(cls, raw: Json, where: str, task: str) -> Birth:
        """Check a birth record; a ``BrokenFileError`` says why it is none."""
        nonce, order, inner = raw.get("nonce"), foreign.whole(raw.get("order")), raw.get("definition")
        if order is None or order < 0:
            raise BrokenFileError(f"{where} is no birth record: its order is no whole number")
        if not ids.is_id(nonce) or not isinstance(inner, dict):
            raise BrokenFileError(f"{where} is no birth record: it lacks its nonce or definition")
        return cls(task, str(nonce), order, Definition.read(inner, where, task))


# -- progress ----------------------------------------------------------------------------------------------------


def notes(found: object) -> list[str]:
    """Return achievements or blockers within their limits: the newest, each cut."""
    items = found if isinstance(found, (list, tuple)) else []
    kept = [clean(str(item))[:NOTE_CHARS] for item in items if isinstance(item, (str, int, float))][-NOTES_MOST:]
    while sum(map(len, kept)) > NOTES_CHARS:
        kept.pop(0)
    return kept


def answers(found: object) -> list[Json]:
    """Return people's answers about a task within their limits: the newest, each text cut."""
    items = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    texts = ("question", "asked_by", "answer", "by", "at")
    kept: list[Json] = []
    for item in items:
        told: Json = {key: clean(item[key])[:NOTE_CHARS] for key in texts if isinstance(item.get(key), str)}
        epoch = foreign.whole(item.get("epoch"))
        if told.get("answer"):
            kept.append(told if epoch is None else {**told, "epoch": epoch})
    return kept[-ANSWERS_MOST:]


def fraction(value: object) -> float:
    """Read a progress, 0 … 1."""
    try:
        share = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"progress {shown(value)} is not a number from 0 to 1", hint="write 0.7 or 70%")
    return share


def percent(share: float) -> str:
    """Write progress in whole percent; never 100 % before all is done."""
    return f"{min(99, int(share * 100 + 0.5)) if share < 1 else 100}%"


def steps_progress(definition: Definition, done: Iterable[str]) -> float | None:
    """A task's progress as steps done of all steps; ``None`` if it has no steps."""
    if not definition.steps:
        return None
    finished = set(done)
    return sum(step.done or step.step in finished for step in definition.steps) / len(definition.steps)
