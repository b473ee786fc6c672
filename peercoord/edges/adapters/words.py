"""Words of other programs, put into ours: text, states, priorities, references.

Promise: what comes out can be shown on a terminal and written to a record, whatever came in. A terminal acts on
escape sequences, and a right-to-left mark makes a title read as another one; both have reached task lists through
titles that a model wrote. Pure functions; no word here is ever a path or a command.
"""

from __future__ import annotations

import re
from math import isfinite

from peercoord.core import names
from peercoord.core.limits import TEXT_CHARS, TITLE_CHARS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links, device strings
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_BREAKS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SEPARATORS = re.compile(r"[,;\s]+")
_NOTHING = ("", "none", "null", "nil", "-", "n/a")
_DEPTH = 20  # levels of nested values that are kept; deeper ones cannot be written as a record

STATES = {
    "open": ("pending", "todo", "to-do", "open", "new", "ready", "planned", "queued", "not-started", "backlog"),
    "done": ("done", "completed", "complete", "closed", "finished", "resolved"),
    "held": ("in-progress", "doing", "started", "active", "wip", "working", "assigned", "claimed", "hooked"),
    "review": ("review", "in-review", "needs-review", "reviewing"),
    "blocked": ("blocked", "on-hold", "waiting", "stuck", "failed"),
    "cancelled": ("cancelled", "canceled", "wontfix", "wont-do", "abandoned", "rejected", "obsolete", "dropped"),
    "deferred": ("deferred", "postponed", "later", "someday", "paused", "snoozed", "pinned"),
}
"""The states of a task that comes in, each with the words that mean it elsewhere."""

_STATE_OF = {word: state for state, words in STATES.items() for word in words}

_PRIORITY_WORDS = {
    "critical": ("critical", "urgent", "highest", "blocker", "asap", "emergency"),
    "high": ("high", "important", "major"),
    "medium": ("medium", "normal", "moderate", "default", "med"),
    "low": ("low", "minor"),
    "lowest": ("lowest", "trivial", "someday", "backlog"),
}
_PRIORITY_OF = {word: level for level, words in _PRIORITY_WORDS.items() for word in words}


def plain(value: object) -> str:
    """Give text of any number of lines without escape sequences and control characters, never longer than allowed.

    Args:
        value: A string, bytes of one, a number or nothing; anything else is given as Python writes it.
    """
    if value is None:
        return ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if text.isprintable():
        return text[:TEXT_CHARS]
    return _CONTROLS.sub("", _BREAKS.sub("\n", _ESCAPES.sub("", text)))[:TEXT_CHARS]


def one_line(value: object, most: int = TITLE_CHARS) -> str:
    """Give text folded into one line of at most ``most`` characters; empty if nothing of it can be seen."""
    line = " ".join(plain(value).split())
    if not any(char.isprintable() and not char.isspace() for char in line):
        return ""
    return line if len(line) <= most else line[: most - 1] + "…"


def kept(value: object, depth: int = _DEPTH) -> Any:
    """Give a value as it can stand in a record: plain text, numbers of 64 bits, lists and objects of such."""
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


def state(word: object) -> str | None:
    """Give the state that a status word means, in whatever case and with whatever between its parts.

    Returns:
        One of ``STATES``; ``open`` where nothing is said; ``None`` for a word that is not known.
    """
    said = re.sub(r"[\s_-]+", "-", one_line(word).lower())
    return "open" if said in _NOTHING else _STATE_OF.get(said)


def priority(value: object) -> str | None:
    """Give the priority that a word or a number means: one of ``names.PRIORITIES``.

    Returns:
        ``medium`` where nothing is said; ``None`` for a word that is not known.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return priority_of_number(value)
    said = one_line(value).lower()
    if said in _NOTHING:
        return "medium"
    number = re.fullmatch(r"p?(-?[0-9]{1,9})(?:\.[0-9]{1,9})?", said)
    return priority_of_number(int(number[1])) if number else _PRIORITY_OF.get(said)


def priority_of_number(number: float) -> str:
    """Give the priority of a number: the smaller, the more urgent, as in P0 … P4.

    0 and below is critical, 1 high, 2 medium, 3 low, 4 and above lowest. So 0 … 4 and 1 … 3 mean what they say
    everywhere; of 1 … 5 or 1 … 10 the order is kept as far as 4. The same number always means the same: a row
    added later never changes what the rows before it mean.

    Args:
        number: A priority as a table or file holds it.
    """
    if number != number:  # not a number, which compares as neither small nor large
        return "medium"
    return names.PRIORITIES[int(min(max(number, 0), len(names.PRIORITIES) - 1))]


def identifier(value: object) -> str:
    """Give an id as text, unchecked: whole numbers as their digits, however a column holds them."""
    if isinstance(value, bool) or value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else one_line(value)


def references(value: object) -> list[str]:
    """Give the ids that a field names: a list, a JSON list in text, text with commas or blanks, or one id.

    Ids are not checked here. A leading ``#`` is dropped; of an object in the list its ``id`` counts.
    """
    if isinstance(value, str) and value.strip().startswith("["):
        value = _json_list(value)
    if isinstance(value, (str, bytes)):
        value = _SEPARATORS.split(plain(value))
    items = value if isinstance(value, list) else [value]
    found = (identifier(item.get("id") if isinstance(item, dict) else item).removeprefix("#") for item in items)
    return [item for item in found if item.lower() not in _NOTHING]


def _json_list(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip("[] \n")
