"""Make text from outside safe: characters that steer a terminal, reorder a line or hide in it.

They are control characters (C0, C1, DEL), marks and overrides of the writing direction, invisible format characters,
line and paragraph separators, and surrogates. Letters of every script stay, and so do the joiners of emoji and of Indic
and Persian words. ``clean`` removes the others from what is stored, ``shown`` and ``plain`` make them visible in
messages, and ``escaped`` writes them as JSON escapes in files that people ``cat``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sized
    from re import Match, Pattern
    from typing import Any

    Json = dict[str, Any]

EXACT_MOST = 10**15 - 1  # the largest number of 15 digits; every reader of JSON reads it exactly

_FORMAT = (
    "\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
_MARKS = f"[\x80-\x9f{_FORMAT}]"
_CLEANED = f"[\x00-\x08\x0e-\x1f\x7f-\x9f{_FORMAT}\ud800-\udfff]"
_STEERING = f"[\x00-\x1f\x7f-\x9f{_FORMAT}\ud800-\udfff]"
_ESCAPES = (
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links, device strings
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|[\x90\x98\x9d-\x9f][^\x07\x9c]*(?:\x07|\x9c)"
)
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-+_./@~")
_BREAKS = "\r\n?|[\x0b\x0c\x85\u2028\u2029]"
_RAW = (  # the same characters in UTF-8, without those that every JSON encoder escapes
    rb"\x7f|\xc2[\x80-\x9f\xad]|\xd8\x9c|\xe2\x80[\x8b\x8e\x8f\xa8-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf"
    rb"|\xef\xbf[\xb9-\xbb]|\xf0\x9d\x85[\xb3-\xba]|\xf3\xa0[\x80\x81][\x80-\xbf]"
)


@cache
def _text(pattern: str) -> Pattern[str]:
    import re  # not on the path of a call whose texts are plain

    return re.compile(pattern)


@cache
def _bytes(pattern: bytes) -> Pattern[bytes]:
    import re

    return re.compile(pattern)


def clean(text: str) -> str:
    """Text of any number of lines without escape sequences and steering characters."""
    if text.isprintable():
        return text
    return _text(_CLEANED).sub("", _text(_BREAKS).sub("\n", _text(_ESCAPES).sub("", text)))


def line(text: str) -> str:
    """The same text in one line, without blanks at its ends."""
    return (text if text.isprintable() else " ".join(clean(text).replace("\t", "\n").split("\n"))).strip()


def unmarked(text: str) -> str:
    """Text without C1 and format characters, its lines unchanged; C0 characters are left to its reader."""
    return text if text.isprintable() else _text(_MARKS).sub(lambda m: " " if m[0] in "\x85\u2028\u2029" else "", text)


def plain(text: object) -> str:
    """Text for one line of a terminal: breaks become blanks, other steering characters a dot."""
    given = str(text)
    return given if given.isprintable() else _text(_STEERING).sub(lambda m: " " if m[0] in "\n\t\r" else "·", given)


def visible(text: str) -> str:
    r"""Text with its steering characters written as in Python: ``\x9b``, ``\u202e``."""
    return text if text.isprintable() else _text(_STEERING).sub(lambda match: ascii(match[0])[1:-1], text)


def escaped(data: bytes) -> bytes:
    r"""JSON with its steering characters as escapes: ``\u009b``."""
    return _bytes(_RAW).sub(_escape, data) if not data.isascii() or b"\x7f" in data else data


def _escape(match: Match[bytes]) -> bytes:
    units = match[0].decode().encode("utf-16-be")
    return b"".join(b"\\u%02x%02x" % (units[at], units[at + 1]) for at in range(0, len(units), 2))


def shown(text: object, most: int = 80) -> str:
    """Quote text from outside for a message: steering characters escaped, long text cut."""
    try:
        plain = visible(text if isinstance(text, str) else repr(text))
    except ValueError:  # a number of more digits than Python will write out
        plain = f"{type(text).__name__} too long to show"
    return f"'{plain[:most]}…'" if len(plain) > most else f"'{plain}'"


def block(text: object, indent: str = "  ") -> list[str]:
    """Make a text of several lines safe for a terminal and indent it, or set a mark before each line."""
    return [f"{indent}{plain(line)}".rstrip() for line in str(text).splitlines()]


def quoted(text: object) -> str:
    """Write a text within a line, in quotes that it cannot close."""
    return '"' + plain(text).replace('"', "'") + '"'


def named(text: object) -> str:
    """Write a name, a branch or a path within a line: as it is if it cannot be read as more, else in quotes."""
    given = str(text)
    return given if _NAME.issuperset(given) else quoted(given)


def whole(value: object) -> int | None:
    """Read a whole number from JSON, where ``1`` and ``1.0`` are the same; ``None`` for anything else.

    A float beyond 15 digits is refused: its digits are not those in the file.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_MOST:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def counted(things: int | Sized, noun: str, one: str = "", many: str = "") -> str:
    """Count things for people: ``1 task is``, ``2 tasks are``."""
    number = things if isinstance(things, int) else len(things)
    words = (noun, one) if number == 1 else (f"{noun}s" if noun else "", many)
    return " ".join([str(number), *filter(None, words)])
