"""What the Markdown parser says of a text: its headings, its blocks, the marks for approval.

Only blocks are parsed. What is inside a line would cost as much again, and is looked at in one place: whether a mark
stands in a code span.
"""

from __future__ import annotations

import re
from functools import cache

TYPE_CHECKING = False
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


class Heading:
    """A heading at the top level: its ``level``, ``text``, and lines ``start`` to ``end`` (the first after it)."""

    __slots__ = ("end", "level", "start", "text")

    def __init__(self, level: int, text: str, start: int, end: int) -> None:
        self.level, self.text, self.start, self.end = level, text, start, end


class Block:
    """A piece of text that stands or falls as one: a paragraph, a fence, a table, one item of a list.

    Attributes:
        text: Its lines, ``LF`` between them.
        key: Equal for blocks that say the same: ends of lines, bullets and numbers do not matter.
        marker: What makes it an item (``-``, ``*``, ``+``, ``.``, ``)``), ``table``, or nothing.
    """

    __slots__ = ("key", "marker", "text")

    def __init__(self, lines: Sequence[str], marker: str) -> None:
        self.text, self.marker = "\n".join(lines), marker
        stripped = [line.rstrip() for line in lines]
        if marker and marker != "table":
            stripped[0] = _MARKER.sub(r"1\1 " if marker in ".)" else "- ", stripped[0]).rstrip()
        self.key = "\n".join(stripped)

    @property
    def item(self) -> bool:
        """It is one item of a list."""
        return self.marker not in ("", "table")


def headings(text: str) -> list[Heading]:
    """Give the headings at the top level of a piece of Markdown."""
    return list(headings_in(parse(text)))


def blocks(text: str) -> list[Block]:
    """Give the blocks of a text without headings, in order. Every line that is not blank is in exactly one."""
    return blocks_at(text, spans_in(parse(text)))


def heading_text(raw: str) -> str:
    """Give a heading's text as paths write it: one line, without comments and closing ``#``."""
    start = raw.find("<!--")
    while start >= 0:
        end = raw.find("-->", start + 4)
        if end < 0:
            break
        raw = f"{raw[:start]} {raw[end + 3 :]}"
        start = raw.find("<!--", start)
    return _CLOSING.sub("", " ".join(raw.split())).rstrip()


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
    """Give the headings at the top level of what was read."""
    for at, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            yield Heading(int(token.tag[1]), heading_text(tokens[at + 1].content), token.map[0], token.map[1])


def marks_in(tokens: Sequence[Token]) -> Iterator[int]:
    """Give the lines on which a person marked ``<!-- peercoord: approval -->``."""
    for token in tokens:
        if token.map and "<!--" in token.content and _MARK.search(token.content):
            inside: list[Token] = []
            if token.type == "inline":  # a mark in a code span is talk about marks
                _parser().inline.parse(token.content, _parser(), {}, inside)
            if any(_MARK.search(part.content) for part in (token, *inside) if part.type.startswith("html_")):
                yield token.map[0]


def blocks_at(text: str, spans: Iterable[Span]) -> list[Block]:
    """Give the blocks of a text, from where they begin and end."""
    lines = text.split("\n")
    found: list[Block] = []
    at = 0
    for start, end, marker in spans:
        found += _loose(lines[at:start])
        piece = lines[start:end]
        while piece and not piece[-1].strip():
            piece.pop()
        if piece:
            found.append(Block(piece, marker))
        at = max(at, end)
    return found + _loose(lines[at:])


def spans_in(tokens: Sequence[Token]) -> Iterator[Span]:
    """Give where the blocks of what was read begin and end: items of lists, and all else at the top level."""
    for token in tokens:
        if token.map and token.nesting >= 0:
            if token.level == 1 and token.type == "list_item_open":
                yield token.map[0], token.map[1], token.markup
            elif token.level == 0 and not token.type.endswith("_list_open"):
                yield token.map[0], token.map[1], "table" if token.type == "table_open" else ""


def _loose(lines: Sequence[str]) -> list[Block]:
    # Link definitions leave no token behind; they are text all the same.
    found, run = [], list[str]()
    for line in (*lines, ""):
        if line.strip():
            run.append(line)
        elif run:
            found.append(Block(run, ""))
            run = []
    return found
