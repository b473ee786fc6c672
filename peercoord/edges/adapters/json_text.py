"""JSON as text: where each value stands, so that one can be put in another's place and every other byte stays.

Other programs' files are kept in version control and read by people: a rewrite that only changes blanks, the order of
keys or the way a number is written is a change all the same. So nothing is parsed and written again; the text is
patched.
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_DECODER = json.JSONDecoder(parse_constant=lambda _: None)
_BLANK = re.compile(r"[ \t\n\r]*")
_INDENT = re.compile(r"\n([ \t]*)\S")


class Span:
    """Where a value stands: ``text[start:end]``, and the value."""

    __slots__ = ("end", "start", "value")

    def __init__(self, start: int, end: int, value: Any) -> None:
        self.start, self.end, self.value = start, end, value


def span(text: str, start: int) -> Span:
    """Give the value that begins at ``start`` or after the blanks there.

    Raises:
        ValueError: No JSON value begins there.
    """
    start = _skip(text, start)
    value, end = _DECODER.raw_decode(text, start)
    return Span(start, end, value)


def members(text: str, start: int) -> dict[str, Span]:
    """Give the members of the object that begins at ``start``; of a key that stands there twice, the last.

    Raises:
        ValueError: No object begins there.
    """
    found = {}
    at = _expect(text, start, "{")
    while text[at] != "}":
        key = span(text, at)
        if not isinstance(key.value, str):
            raise ValueError(f"expected a key at character {at}")
        found[key.value] = value = span(text, _expect(text, key.end, ":"))
        at = _next(text, value.end, "}")
    return found


def elements(text: str, start: int) -> Iterator[Span]:
    """Give the elements of the list that begins at ``start``.

    Raises:
        ValueError: No list begins there.
    """
    at = _expect(text, start, "[")
    while text[at] != "]":
        found = span(text, at)
        yield found
        at = _next(text, found.end, "]")


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _expect(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"expected {sign!r} at character {at}")
    at = _skip(text, at + 1)
    if at >= len(text):
        raise ValueError("the text ends in the middle")
    return at


def _next(text: str, at: int, closing: str) -> int:
    at = _skip(text, at)
    return at if text[at : at + 1] == closing else _expect(text, at, ",")


# -- patches -----------------------------------------------------------------------------------------------------


class Patches:
    """Changes to a text, collected and then made all at once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts: list[tuple[int, int, str]] = []
        self._added: dict[int, tuple[Span, int, list[tuple[str, Any]]]] = {}
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def __bool__(self) -> bool:
        return bool(self._parts or self._added)

    def replace(self, old: Span, value: Any) -> None:
        """Put another value in the place of one, indented as that was."""
        self._parts.append((old.start, old.end, self._written(value, self._indent_at(old.start))))

    def set_member(self, obj: Span, key: str, value: Any) -> None:
        """Set a member of an object: in its place if there is such a one, else as the last."""
        inside = members(self.text, obj.start)
        if key in inside:
            self.replace(inside[key], value)
            return
        after = max((found.end for found in inside.values()), default=0)
        self._add(obj, after, f"{json.dumps(key, ensure_ascii=False)}: ", value)

    def extend(self, array: Span, values: Sequence[Any]) -> None:
        """Add elements at the end of a list."""
        after = max((found.end for found in elements(self.text, array.start)), default=0)
        for value in values:
            self._add(array, after, "", value)

    def _add(self, into: Span, after: int, before: str, value: Any) -> None:
        """Note what is to be added as the last of an object or a list; ``after`` is where the last one now ends."""
        self._added.setdefault(into.start, (into, after, []))[2].append((before, value))

    def result(self) -> str:
        """Give the text with all changes made."""
        out, at = [], 0
        parts = [*self._parts, *(self._inserted(*added) for added in self._added.values())]
        for start, end, new in sorted(parts, key=lambda part: part[:2]):
            out += [self.text[at:start], new]
            at = end
        return "".join([*out, self.text[at:]])

    def _inserted(self, into: Span, after: int, items: Sequence[tuple[str, Any]]) -> tuple[int, int, str]:
        outer = self._indent_at(into.start)
        inner = _INDENT.search(self.text, into.start, into.end) if after else None
        if (after and inner is None) or "\n" not in self.text:  # all in one line, and so shall it stay
            new = ", ".join(f"{before}{json.dumps(value, ensure_ascii=False)}" for before, value in items)
            return (after, after, f", {new}") if after else (into.start + 1, into.start + 1, new)
        indent = inner[1] if inner else outer + self._unit()
        lines = [f"{self.newline}{indent}{before}{self._written(value, indent)}" for before, value in items]
        if after:
            return after, after, "".join(f",{line}" for line in lines)
        return into.start + 1, into.end - 1, f"{','.join(lines)}{self.newline}{outer}"

    def _indent_at(self, at: int) -> str:
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def _unit(self) -> str:
        """Give what one level is indented by in this text."""
        found = _INDENT.search(self.text)
        return found[1] if found and found[1] else "  "

    def _written(self, value: Any, indent: str) -> str:
        if not isinstance(value, (dict, list)) or not value or "\n" not in self.text:
            return json.dumps(value, ensure_ascii=False)
        lines = json.dumps(value, ensure_ascii=False, indent=self._unit()).split("\n")
        return f"{self.newline}{indent}".join(lines)
