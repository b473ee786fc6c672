"""What the Markdown parser says of a text: headings, blocks, and marks for approval.

Only blocks are parsed; parsing inside lines would cost as much again. It is done in one case: to see whether a mark
stands in a code span.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from peercoord.foreign import unmarked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token


Span = tuple[int, int, str]
"""First line of a block, the line after its last, and its marker."""

SENTINEL = "# end"  # put after a text to see whether what follows it is still read as Markdown
_CLOSING = re.compile(r"(?:^|\s)#+$")
_MARK = re.compile(r"<!--\s*peercoord:\s*approval\s*-->")
_MARKER = re.compile(r"^ {0,3}(?:[-+*]|\d{1,9}([.)]))[ \t]*")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*\Z")
_EMPHASIS = re.compile(r"(?<!\w)(\*{1,3}|_{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)")
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
_FINAL = " \t.,;:!?…。！？"
ITEM = re.compile(
    r"(?P<indent>[ \t]*)(?P<mark>[-+*]|(?P<number>\d{1,9})[.)])(?P<gap>[ \t]+|\Z)(?P<box>\[[ xX]\](?=\s|\Z))?"
)
"""The first line of an item: its indentation, bullet or number, and checkbox."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading at the top level: its ``level``, ``text``, and lines ``start`` to ``end`` (the first after it)."""

    level: int
    text: str
    start: int
    end: int


@dataclass(slots=True, eq=False)
class Block:
    """A piece of text that is merged as one: a paragraph, a fence, a table, one item of a list."""

    text: str  # its lines, ``LF`` between them
    marker: str  # what makes it an item (``-``, ``*``, ``+``, ``.``, ``)``), ``table``, or nothing
    line: int = 0  # index of its first line in the text it was found in
    _meaning: str = field(default="", init=False, repr=False)

    @property
    def item(self) -> bool:
        """Whether it is one item of a list."""
        return self.marker not in ("", "table")

    @property
    def key(self) -> str:
        """Equal for blocks with the same words: ends of lines, bullets and numbers do not matter."""
        lines = [line.rstrip() for line in self.text.split("\n")]
        if self.item:
            lines[0] = _MARKER.sub(r"1\1 " if self.marker in ".)" else "- ", lines[0]).rstrip()
        return "\n".join(lines)

    @property
    def meaning(self) -> str:
        """Equal for blocks that say the same.

        In items, also case, emphasis, the kind of bullet or number, the state of a checkbox and final punctuation do
        not matter.
        """
        if not self._meaning:
            lines = [line.rstrip() for line in self.text.split("\n")]
            self._meaning = _item_meaning(lines) if self.item else "\n".join(lines)
        return self._meaning

    @property
    def rule(self) -> bool:
        """Whether it is a thematic break."""
        return not self.marker and bool(_RULE.match(self.text))


def headings(text: str) -> list[Heading]:
    """Return the headings at the top level of a piece of Markdown."""
    return list(headings_in(parse(text)))


def blocks(text: str) -> list[Block]:
    """Return the blocks of a text without headings, in order. Every line that is not blank is in exactly one."""
    return blocks_at(text, spans_in(parse(text)))


def heading_text(raw: str) -> str:
    """Return a heading's text as paths write it: one line, without comments and closing ``#``."""
    start = raw.find("<!--")
    while start >= 0:
        end = raw.find("-->", start + 4)
        if end < 0:
            break
        raw = f"{raw[:start]} {raw[end + 3 :]}"
        start = raw.find("<!--", start)
    return _CLOSING.sub("", " ".join(unmarked(raw).split())).rstrip()


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    # Sections need blocks only; what is inside a line would cost as much again and is never looked at.
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def parse(text: str) -> list[Token]:
    """Read a text as Markdown, blocks only."""
    return _parser().parse(text)


def headings_in(tokens: Sequence[Token]) -> Iterator[Heading]:
    """Return the headings at the top level of what was read."""
    for at, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            yield Heading(int(token.tag[1]), heading_text(tokens[at + 1].content), token.map[0], token.map[1])


def marks_in(tokens: Sequence[Token]) -> Iterator[int]:
    """Return the lines on which a person marked ``<!-- peercoord: approval -->``."""
    for token in tokens:
        if token.map and "<!--" in token.content and _MARK.search(token.content):
            inside: list[Token] = []
            if token.type == "inline":  # a mark in a code span is talk about marks
                _parser().inline.parse(token.content, _parser(), {}, inside)
            if any(_MARK.search(part.content) for part in (token, *inside) if part.type.startswith("html_")):
                yield token.map[0]


def blocks_at(text: str, spans: Iterable[Span]) -> list[Block]:
    """Return the blocks of a text, from where they begin and end."""
    lines = text.split("\n")
    found: list[Block] = []
    at = 0
    for start, end, marker in spans:
        found += _loose(lines[at:start], at)
        piece = lines[start:end]
        while piece and not piece[-1].strip():
            piece.pop()
        if piece:
            found.append(Block("\n".join(piece), marker, start))
        at = max(at, end)
    return found + _loose(lines[at:], at)


def spans_in(tokens: Sequence[Token]) -> Iterator[Span]:
    """Return where the blocks of what was read begin and end: items of lists, and all else at the top level."""
    for token in tokens:
        if token.map and token.nesting >= 0:
            if token.level == 1 and token.type == "list_item_open":
                yield token.map[0], token.map[1], token.markup
            elif token.level == 0 and not token.type.endswith("_list_open"):
                yield token.map[0], token.map[1], "table" if token.type == "table_open" else ""


def gap_between(last: Block | None, first: Block) -> str:
    """Return what goes between two texts: items close up to a list of the same kind, rows to a table."""
    row = last is not None and last.marker == "table" and not first.marker and first.text.startswith("|")
    item = last is not None and last.item and first.marker == last.marker
    return "\n" if row or item else "\n\n"


def together(found: Sequence[Block]) -> str:
    """Return blocks as one text: items of one list close up, all else with a blank line between."""
    parts: list[str] = []
    for at, block in enumerate(found):
        parts += [gap_between(found[at - 1], block) if at else "", block.text]
    return "".join(parts)


def not_among(found: Sequence[Block], texts: Iterable[str]) -> list[Block]:
    """Return the blocks that are not in these texts; one block there stands for one here."""
    there = Counter(block.key for text in texts for block in blocks(text))
    left = []
    for block in found:
        if there[block.key]:
            there[block.key] -= 1
        else:
            left.append(block)
    return left


def _loose(lines: Sequence[str], first: int) -> list[Block]:
    # Link definitions leave no token behind; they are text all the same.
    found, run = [], list[str]()
    for at, line in enumerate((*lines, "")):
        if line.strip():
            run.append(line)
        elif run:
            found.append(Block("\n".join(run), "", first + at - len(run)))
            run = []
    return found


def _item_meaning(lines: list[str]) -> str:
    head = ITEM.match(lines[0])
    if head is None:
        return "\n".join(lines)
    depth = min((len(line) - len(line.lstrip()) for line in lines[1:] if line), default=0)
    box = "[ ] " if head["box"] else ""
    return "\n".join([f"- {box}{_same_words(lines[0][head.end() :])}", *(line[depth:] for line in lines[1:])])


def _same_words(text: str) -> str:
    """Normalize a line: outside code, emphasis, case and final punctuation do not count."""
    parts, at = [], 0
    for code in _CODE.finditer(text):
        parts += [_unmarked(text[at : code.start()]), code.group()]
        at = code.end()
    return " ".join("".join([*parts, _unmarked(text[at:])]).strip(_FINAL).split())


def _unmarked(text: str) -> str:
    while (plain := _EMPHASIS.sub(r"\2", text)) != text:
        text = plain
    return text.casefold()
