"""Values of other programs in our terms and back: text, ids, references, status words, priority words.

Text that comes in is made safe first: a terminal acts on escape sequences, and a right-to-left mark makes a title read
as another one. A list keeps its own words: the word it already uses for a status or priority is written, else the
first word of the table below, and never a word that the list forbids. Pure functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from math import isfinite
from typing import Any

import orjson

from peercoord.foreign import clean
from peercoord.store import paths
from peercoord.store.settings import TEXT_CHARS, TITLE_CHARS

_SEPARATORS = re.compile(r"[,;\s]+")
_NOTHING = ("", "none", "null", "nil", "-", "n/a")
_MAX_DEPTH = 20  # levels of nested values to keep; a record cannot hold deeper ones


# -- statuses and priorities -------------------------------------------------------------------------------------


class TaskStatus(StrEnum):
    """The status of a task, as far as both sides of a sync have words for it."""

    OPEN = "open"
    HELD = "held"
    DONE = "done"
    REVIEW = "review"
    BLOCKED = "blocked"
    DEFERRED = "deferred"
    CANCELLED = "cancelled"


STATUS_WORDS = {
    TaskStatus.OPEN: (
        *("pending", "todo", "to-do", "open", "new", "ready", "planned", "queued", "not-started", "backlog"),
    ),
    TaskStatus.HELD: (
        *("in-progress", "doing", "started", "active", "wip", "working", "assigned", "claimed", "hooked"),
    ),
    TaskStatus.DONE: ("done", "completed", "complete", "closed", "finished", "resolved"),
    TaskStatus.REVIEW: ("review", "in-review", "needs-review", "reviewing"),
    TaskStatus.BLOCKED: ("blocked", "on-hold", "waiting", "stuck", "failed"),
    TaskStatus.DEFERRED: ("deferred", "postponed", "later", "someday", "paused", "snoozed", "pinned"),
    TaskStatus.CANCELLED: (
        *("cancelled", "canceled", "wontfix", "wont-do", "abandoned", "rejected", "obsolete", "dropped"),
    ),
}
"""The words for each status. The first is written where a list has no word of its own."""

_INSTEAD = {
    TaskStatus.REVIEW: (TaskStatus.HELD, TaskStatus.BLOCKED, TaskStatus.OPEN),
    TaskStatus.BLOCKED: (TaskStatus.OPEN,),
    TaskStatus.DEFERRED: (TaskStatus.BLOCKED, TaskStatus.OPEN),
    TaskStatus.CANCELLED: (TaskStatus.DEFERRED, TaskStatus.BLOCKED),
    TaskStatus.HELD: (TaskStatus.OPEN,),
}
"""What to write where a list forbids every word for a status. Never fall back to 'done'."""

PRIORITY_WORDS = {
    "critical": ("critical", "urgent", "highest", "blocker", "asap", "emergency"),
    "high": ("high", "important", "major"),
    "medium": ("medium", "normal", "moderate", "default", "med"),
    "low": ("low", "minor"),
    "lowest": ("lowest", "trivial", "someday", "backlog"),
}
"""The words for each of ``paths.PRIORITIES``. The first is written where a list has no word of its own."""

_STATUS_OF = {word: status for status, listed in STATUS_WORDS.items() for word in listed}
_PRIORITY_OF = {word: priority for priority, listed in PRIORITY_WORDS.items() for word in listed}
_NUMBERED = re.compile(r"[pP][0-9]")  # P0 … P4


def status_of(word: object) -> TaskStatus | None:
    """Return the status that a word means, however it is written: ``OPEN`` for no word, ``None`` for an unknown one."""
    said = re.sub(r"[\s_-]+", "-", one_line(word).lower())
    return TaskStatus.OPEN if said in _NOTHING else _STATUS_OF.get(said)


def status_or_blocked(word: object) -> TaskStatus:
    """Return the status that a word means; an unknown word means blocked, as in an import."""
    return status_of(word) or TaskStatus.BLOCKED


def priority_of(value: object) -> str | None:
    """Return the priority of ``paths.PRIORITIES`` that a word or a number means; ``None`` for an unknown word.

    The smaller a number, the more urgent, as in P0 … P4: 0 and below is critical, 4 and above lowest. The same number
    always means the same, whatever other rows hold.
    """
    said = one_line(value).lower()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number: float = value
    elif said in _NOTHING:
        return "medium"
    elif found := re.fullmatch(r"p?(-?[0-9]{1,9})(?:\.[0-9]{1,9})?", said):
        number = int(found[1])
    else:
        return _PRIORITY_OF.get(said)
    if number != number:  # not a number
        return "medium"
    return paths.PRIORITIES[int(min(max(number, 0), len(paths.PRIORITIES) - 1))]


class ColumnWords:
    """The words that one column of a list uses."""

    def __init__(self, used: Iterable[object], allowed: Collection[str] | None = None) -> None:
        self.counts = Counter(word for word in map(one_line, used) if word)
        self.allowed = list(allowed) if allowed else None
        self._statuses = self._by_meaning(status_of)
        self._priorities = self._by_meaning(priority_of)

    def _by_meaning(self, meaning: Callable[[object], str | None]) -> dict[str, str]:
        """Return for each meaning its word: the most used one, else the first that is allowed."""
        found: dict[str, str] = {}
        for word in [*(w for w, _ in self.counts.most_common()), *(self.allowed or [])]:
            means = meaning(word)
            if means is not None:
                found.setdefault(means, word)
        return found

    def status(self, status: TaskStatus, now: object = None) -> str | None:
        """Return the word to write for a status: the one that is there ``now``, if it means that.

        ``None`` if the column has no word near it.
        """
        if one_line(now) and status_of(now) == status:
            return one_line(now)
        return self._nearest((status, *_INSTEAD.get(status, ())), self._statuses, STATUS_WORDS[status][0])

    def priority(self, priority: str, now: object = None) -> str | None:
        """Return the word to write for a priority; ``None`` if the column has no word near it."""
        if one_line(now) and priority_of(now) == priority:
            return one_line(now)
        level = paths.PRIORITIES.index(priority)
        numbered = next(filter(_NUMBERED.fullmatch, self.counts), "")
        if numbered:
            return f"{numbered[0]}{level}"
        near = sorted(paths.PRIORITIES, key=lambda other: abs(paths.PRIORITIES.index(other) - level))
        return self._nearest(near, self._priorities, priority)

    def _nearest(self, meanings: Sequence[str], words: Mapping[str, str], first: str) -> str | None:
        """Return the word for the first of these meanings that has one; ``first`` where any word is allowed."""
        if self.allowed is None:
            return words.get(meanings[0], first)
        return next((words[near] for near in meanings if near in words), None)

    @property
    def numbers(self) -> bool:
        """The column holds numbers rather than words."""
        found = sum(n for word, n in self.counts.items() if word.lstrip("-").replace(".", "", 1).isdigit())
        return found * 2 > self.counts.total()


# -- text and references -----------------------------------------------------------------------------------------


def plain(value: object) -> str:
    """Return text without escape sequences and control characters, cut at the allowed length."""
    if value is None:
        return ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return (text if text.isprintable() else clean(text))[:TEXT_CHARS]


def one_line(value: object, max_chars: int = TITLE_CHARS) -> str:
    """Return text folded into one line; empty if none of it is visible."""
    line = " ".join(plain(value).split())
    if not line.isprintable() and not any(char.isprintable() and not char.isspace() for char in line):
        return ""
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def kept(value: object, depth: int = _MAX_DEPTH) -> Any:
    """Return a value as a record can hold it: plain text, numbers of 64 bits, lists and objects of these."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else plain(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [kept(item, depth - 1) for item in value] if depth else "…"
    if isinstance(value, dict):
        return {plain(key)[:200]: kept(item, depth - 1) for key, item in value.items()} if depth else "…"
    return plain(value)


def identifier(value: object) -> str:
    """Return an id as text, unchecked: whole numbers as their digits, however a column holds them."""
    if isinstance(value, bool) or value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else one_line(value)


def references(value: object) -> list[str]:
    """Return the ids in a field: a list, a JSON list in text, text with commas or blanks, or one id.

    Ids are not checked. A leading ``#`` is dropped; an object in the list counts by its ``id``.
    """
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = orjson.loads(value)
        except ValueError:
            value = str(value).strip("[] \n")
    if isinstance(value, (str, bytes)):
        value = _SEPARATORS.split(plain(value))
    items = value if isinstance(value, list) else [value]
    found = (identifier(item.get("id") if isinstance(item, dict) else item).removeprefix("#") for item in items)
    return [item for item in found if item.lower() not in _NOTHING]


def full_step_id(step: object, task: str) -> str:
    """Return the id of a step with its task's in front: ``2.1``."""
    own = identifier(step)
    return own if own.startswith(f"{task}.") else f"{task}.{own}"


def tick(step: object, is_done: bool) -> None:
    """Correct the status word of a step, unless it says the same already."""
    if isinstance(step, dict) and (status_of(step.get("status")) == TaskStatus.DONE) != is_done:
        step["status"] = "done" if is_done else "pending"
