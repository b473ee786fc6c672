"""Compare two sides of a text line by line, and word by word within a changed line.

Both sides are aligned with the lines they started from, so that additions in the same place stand beside each other.
Runs of unchanged lines are folded. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SAME, ADDED, TAKEN, WITHIN, MARKER = " ", "+", "-", ":", "!"
CONTEXT = 2  # untouched lines shown around what is changed
_WORD = re.compile(r"\w+|\s+|[^\w\s]")
_ALIKE = 0.4  # lines less alike than this are new lines, not changed ones
_LINES_EXACT = 1000  # from so many lines on, common ones do not count as landmarks: else it would take minutes
_WORDS_MOST = 2000


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one side."""

    mark: str  # ``SAME``, ``ADDED`` or ``TAKEN``; in a text with conflict markers also ``MARKER`` and ``WITHIN``
    text: str  # the line
    changed: tuple[tuple[int, int], ...] = ()  # start and end of each run that differs from its other form


@dataclass(frozen=True, slots=True)
class Row:
    """One line of each side, beside each other; ``None`` where a side has nothing there."""

    sides: tuple[Line | None, ...]

    @property
    def touched(self) -> bool:
        """Some side changes something here."""
        return any(line is None or line.mark != SAME for line in self.sides)


def rows(base: str, *sides: str) -> list[Row]:
    """Align each side with the text it started from."""
    start = _lines(base)
    columns = [_column(start, _lines(side)) for side in sides]
    found = []
    for at in range(len(start) + 1):
        found += [Row(_compared(group)) for group in zip_longest(*(before[at] for before, _ in columns))]
        if at < len(start):
            found.append(Row(tuple(own[at] for _, own in columns)))
    return found


def marked(text: str, size: int) -> list[Row]:
    """Return the lines of a text with conflict markers, and which of them stand within a conflict."""
    found, inside = [], False
    for line in _lines(text):
        marker = line.startswith(("<" * size, ">" * size)) or (inside and line.startswith(("|" * size, "=" * size)))
        found.append(Row((Line(MARKER if marker else WITHIN if inside else SAME, line),)))
        inside = (inside or marker) and not line.startswith(">" * size)
    return found


def folded(found: Sequence[Row], context: int = CONTEXT) -> list[Row | int]:
    """Replace runs that no side touches, but for the lines around changes, by how many lines they are."""
    near = {at + by for at, row in enumerate(found) if row.touched for by in range(-context, context + 1)}
    result: list[Row | int] = []
    for at, row in enumerate(found):
        if at in near:
            result.append(row)
        elif result and isinstance(result[-1], int):
            result[-1] += 1
        else:
            result.append(1)
    return result


def changed_words(old: str, new: str) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]] | None:
    """Find the words in which two lines differ."""
    before, after = _WORD.findall(old), _WORD.findall(new)
    if len(before) + len(after) > _WORDS_MOST:
        return None
    match = SequenceMatcher(None, before, after)
    said = sum(not word.isspace() for block in match.get_matching_blocks() for word in before[block.a :][: block.size])
    most = max(sum(not word.isspace() for word in words) for words in (before, after))
    if said < _ALIKE * most:
        return None
    codes = [code for code in match.get_opcodes() if code[0] != "equal"]
    return (
        tuple(_runs(before, [(a, b) for _, a, b, _, _ in codes])),
        tuple(_runs(after, [(a, b) for _, _, _, a, b in codes])),
    )


def _compared(group: tuple[Line | None, ...]) -> tuple[Line | None, ...]:
    """Mark, in two lines that two sides put into one place, the words in which they differ from each other."""
    lines = [line for line in group if line and not line.changed]
    if len(group) != 2 or len(lines) != 2:
        return group
    found = changed_words(lines[0].text, lines[1].text)
    return tuple(Line(ADDED, line.text, runs) for line, runs in zip(lines, found, strict=True)) if found else group


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _column(base: list[str], side: list[str]) -> tuple[list[list[Line]], list[Line]]:
    """Return what one side puts before each line of the base (and after the last), and what it does with each."""
    before: list[list[Line]] = [[] for _ in range(len(base) + 1)]
    own = [Line(SAME, line) for line in base]
    match = SequenceMatcher(None, base, side, autojunk=len(base) + len(side) > _LINES_EXACT)
    for kind, a, b, c, d in match.get_opcodes():
        if kind == "equal":
            continue
        taken, added = [Line(TAKEN, line) for line in base[a:b]], [Line(ADDED, line) for line in side[c:d]]
        for at in range(min(len(taken), len(added))):
            found = changed_words(taken[at].text, added[at].text)
            if found:
                taken[at] = Line(TAKEN, taken[at].text, found[0])
                added[at] = Line(ADDED, added[at].text, found[1])
        own[a:b] = taken
        before[b] += added
    return before, own


def _runs(words: Sequence[str], spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word))
    for a, b in spans:
        if a < b:
            yield starts[a], starts[b]
