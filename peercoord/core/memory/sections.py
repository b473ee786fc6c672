"""A Markdown document as a row of sections, byte for byte.

Promise: ``join(split(document).sections) == document`` for every document that is valid UTF-8. Only headings that
stand at the top level divide it: a ``#`` in a fence, a table, a comment, a list or a quotation is text. What is
above the first heading (byte order mark, front matter, an introduction) is a section of its own, without heading.

A section owns the lines down to the next heading of any level, so the spans of two sections never overlap and an
edit of one cannot touch another. Its blank edges are layout: they are in no hash, so that a neighbour's blank line
never makes an author's base look changed.
"""

from __future__ import annotations

import hashlib
import re
from itertools import islice

from peercoord.core.errors import UsageError
from peercoord.core.memory import markdown
from peercoord.core.memory.markdown import heading_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peercoord.core.memory.markdown import Block, Heading, Span

    Path = tuple[str, ...]

BOM = b"\xef\xbb\xbf"
SEPARATOR = " › "
EOL = re.compile(rb"\r\n|\r|\n")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_BLANKS = re.compile(rb"(?:[ \t]*(?:\r\n|\r|\n))*")


class Section:
    """One heading and its own text, down to the next heading of any level.

    Attributes:
        path: The headings above it and its own, outermost first; ``()`` for what is above the first heading.
        occurrence: Which of the sections with this path it is, from 1.
        level: 1 … 6; 0 for what is above the first heading.
        head: The heading's lines (for level 0: byte order mark and front matter).
        lead: Blank lines after it.
        core: The text, without the line ending of its last line. What contributions may change.
        tail: The line ending of its last line, and the blank lines that follow.
        guarded: A person marked it, or a section above it, ``<!-- peercoord: approval -->``.
    """

    __slots__ = ("_spans", "core", "guarded", "head", "lead", "level", "occurrence", "path", "tail")

    def __init__(
        self, path: Path, occurrence: int, level: int, head: bytes, body: bytes, guarded: bool, spans: list[Span]
    ) -> None:
        self.path, self.occurrence, self.level, self.head, self.guarded = path, occurrence, level, head, guarded
        self.lead, self.core, self.tail = _edges(body)
        self._spans = spans

    @property
    def span(self) -> bytes:
        """All its bytes."""
        return self.head + self.lead + self.core + self.tail

    @property
    def hash(self) -> str:
        """The hash of ``core``: the base of an update made from this text."""
        return digest(self.core)

    @property
    def text(self) -> str:
        """The text with ``LF`` line endings."""
        return plain(self.core)

    @property
    def blocks(self) -> list[Block]:
        """The blocks of the text, as they were found when the document was read."""
        skipped = len(EOL.findall(self.lead))
        return markdown.blocks_at(
            self.text, [(start - skipped, end - skipped, mark) for start, end, mark in self._spans]
        )

    @property
    def settled(self) -> int:
        """Length of that part of ``core`` whose blocks nothing appended can change: all before its last one.

        A block at the top level is read alike whatever stands above it, once that is closed. A list counts as one
        with the block before it: which of its items goes on is not known here.
        """
        skipped = len(EOL.findall(self.lead))
        line = next((start - skipped for start, _, mark in reversed(self._spans) if mark in ("", "table")), 0)
        ends = islice(EOL.finditer(self.core), line)
        return max((end.end() for end in ends), default=0)

    def __repr__(self) -> str:
        return f"Section({shown(self.path)!r}, {self.occurrence}, {len(self.span)} bytes)"


class Document:
    """A document's sections and how to find one by name.

    Attributes:
        sections: In order; the first has no heading.
        eol: The line ending of its first line, ``LF`` if it has none.
    """

    __slots__ = ("_folded", "_last", "eol", "sections")

    def __init__(self, sections: Sequence[Section], eol: bytes) -> None:
        self.sections, self.eol = tuple(sections), eol
        self._folded: dict[Path, list[Section]] = {}
        self._last: dict[str, list[Section]] = {}
        for section in self.sections:
            self._folded.setdefault(fold(section.path), []).append(section)
            if section.path:
                self._last.setdefault(section.path[-1].casefold(), []).append(section)

    @property
    def root(self) -> Section:
        """The section for text about the document as a whole: below its one title, else above all headings."""
        top = [section for section in self.sections if section.level == 1]
        return top[0] if len(top) == 1 and self.sections[1] is top[0] else self.sections[0]

    def find(self, path: Path, occurrence: int = 1, base: str = "") -> Section | None:
        """Find the section that someone means by ``path``.

        Exact path first, then the same below the title, then the one section whose path ends so; capitals do not
        matter. Of several with one path, the one whose hash is ``base`` wins, then the occurrence asked for.
        """
        wanted = fold(path)
        found = self._folded.get(wanted) or self._folded.get(fold(self.root.path) + wanted)
        if found:
            same = [section for section in found if base and section.hash == base]
            return same[0] if len(same) == 1 else found[min(occurrence, len(found)) - 1]
        ending = [s for s in self._last.get(wanted[-1], ()) if fold(s.path)[-len(wanted) :] == wanted]
        return ending[0] if len(ending) == 1 else None

    def place(self, path: Path) -> tuple[Path, Section]:
        """Give the full path of a section still to be made, and the existing section it will stand under."""
        for kept in range(len(path) - 1, 0, -1):
            parent = self.find(path[:kept])
            if parent is not None:
                return parent.path + path[kept:], parent
        return self.root.path + path, self.root


# -- splitting ---------------------------------------------------------------------------------------------------


def split(document: bytes, where: str = "the document") -> Document:
    """Split a document into sections.

    Args:
        document: Its bytes.
        where: Its name, for the message.

    Raises:
        UsageError: It is not valid UTF-8.
    """
    text = utf8(document, where)
    start = front(document)
    tokens = markdown.parse(text if not start else document[start:].decode())
    offsets = _offsets(document, start)
    found = list(markdown.headings_in(tokens))
    marks = [min(line, len(offsets) - 1) for line in markdown.marks_in(tokens)]
    starts = [heading.start for heading in found] + [len(offsets) - 1]
    spans = _by_section(markdown.spans_in(tokens), [0, *(heading.end for heading in found)], [*starts, 0])
    first = offsets[starts[0]]
    eol = EOL.search(document)
    every = bool(marks) and offsets[marks[0]] < first
    sections = [Section((), 1, 0, document[:start], document[start:first], every, spans[0])]
    stack: list[tuple[Heading, bool]] = []
    counts: dict[Path, int] = {}
    for at, heading in enumerate(found):
        while stack and stack[-1][0].level >= heading.level:
            stack.pop()
        until = starts[at + 1]
        own = any(heading.start <= mark < until for mark in marks) if marks else False
        stack.append((heading, own or (stack[-1][1] if stack else every)))
        path = tuple(above.text for above, _ in stack)
        same = fold(path)
        counts[same] = counts.get(same, 0) + 1
        body = offsets[heading.end]
        sections.append(
            Section(
                path,
                counts[same],
                heading.level,
                document[offsets[heading.start] : body],
                document[body : offsets[until]],
                stack[-1][1],
                spans[at + 1],
            )
        )
    return Document(sections, eol.group() if eol else b"\n")


def join(sections: Iterable[Section]) -> bytes:
    """Give the document that these sections are."""
    return b"".join(section.span for section in sections)


def front(document: bytes) -> int:
    """Give the length of what stands before all Markdown: byte order mark and front matter."""
    start = len(BOM) if document.startswith(BOM) else 0
    lines = _LINE.finditer(document, start)
    opening = next(lines, None)
    fence = opening.group().rstrip() if opening else b""
    if fence not in (b"---", b"+++"):
        return start
    ends = (b"---", b"...") if fence == b"---" else (b"+++",)
    for count, line in enumerate(lines):
        if line.group().rstrip() in ends:
            return line.end()
        if count == 0 and not line.group().strip():
            return start  # a rule between paragraphs, not the opening of a front matter
    return start


def comments(document: bytes, where: str) -> list[tuple[int, int, str]]:
    """Give the HTML blocks at the top level: bytes from, to, and what they say.

    Raises:
        UsageError: The document is not valid UTF-8.
    """
    utf8(document, where)
    start = front(document)
    offsets = _offsets(document, start)
    return [
        (offsets[token.map[0]], offsets[token.map[1]], token.content.strip())
        for token in markdown.parse(document[start:].decode())
        if token.type == "html_block" and token.level == 0 and token.map
    ]


# -- words -------------------------------------------------------------------------------------------------------


def parse_path(text: str) -> Path:
    """Read a path as people write it: ``Current focus`` or ``Active context › Current focus``."""
    parts = re.split(r"\s+[›>]\s+", text.strip())
    return tuple(heading_text(re.sub(r"^\s*#{1,6}\s+", "", part)) for part in parts)


def shown(path: Path, occurrence: int = 1) -> str:
    """Write a path for people."""
    words = SEPARATOR.join(path) if path else "the text above the first heading"
    return words if occurrence == 1 else f"{words} ({occurrence})"


def fold(path: Path) -> Path:
    """Give a path as it is compared: capitals do not matter."""
    return tuple(part.casefold() for part in path)


def plain(data: bytes) -> str:
    """Give bytes as text with ``LF`` line endings."""
    return EOL.sub(b"\n", data).decode()


def trimmed(text: str) -> str:
    """Give a text without blank lines at its ends; its first line keeps its indentation."""
    core = _edges(text.encode())[1]
    return core.decode()


def styled(text: str, eol: bytes) -> bytes:
    """Give text as bytes with the line endings of the document it goes into."""
    return text.encode() if eol == b"\n" else text.encode().replace(b"\n", eol)


def digest(data: bytes) -> str:
    """Give the SHA-256 of bytes in hexadecimal: the name of a text in the store, and of a document's state."""
    return hashlib.sha256(data).hexdigest()


def utf8(data: bytes, where: str) -> str:
    """Decode, or say which byte is wrong.

    Raises:
        UsageError: The bytes are not valid UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{where} is not valid UTF-8 (byte {error.start})", hint="save it as UTF-8", code="not-utf8"
        ) from None


def _offsets(document: bytes, start: int) -> list[int]:
    return [*(line.start() for line in _LINE.finditer(document, start)), len(document)]


def _edges(body: bytes) -> tuple[bytes, bytes, bytes]:
    length = len(body.rstrip(b" \t\r\n"))
    if not length:
        return b"", b"", body
    while body[length : length + 1] in (b" ", b"\t"):
        length += 1  # spaces at the end of a line are that line's own
    blanks = _BLANKS.match(body)
    start = blanks.end() if blanks else 0
    return body[:start], body[start:length], body[length:]


def _by_section(spans: Iterable[Span], bodies: list[int], starts: list[int]) -> list[list[Span]]:
    """Give each section's own spans, with lines counted from the first line after its heading."""
    found: list[list[Span]] = [[] for _ in bodies]
    at = 0
    for start, end, marker in spans:
        while start >= starts[at] and at + 1 < len(bodies):
            at += 1
        if start >= bodies[at]:  # the heading itself is a block of no section
            found[at].append((start - bodies[at], end - bodies[at], marker))
    return found
