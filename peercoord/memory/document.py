"""A Markdown document as a row of sections, byte for byte.

Promise: ``join_sections(split_document(data).sections) == data`` for every document that is valid UTF-8. Only headings
at the top level divide it: a ``#`` in a fence, table, comment, list or quotation is text. What stands above the first
heading (byte order mark, front matter, an introduction) is a section without a heading.

A section owns the lines down to the next heading of any level, so that an edit of one section cannot touch another.
Its blank edges are layout and belong to no hash: a neighbour's blank line never makes an author's base look changed.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import UsageError
from peercoord.foreign import unmarked
from peercoord.memory import markdown
from peercoord.memory.markdown import Block, Heading, Span, heading_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


Path = tuple[str, ...]

BOM = b"\xef\xbb\xbf"
SEPARATOR = " › "
EOL = re.compile(rb"\r\n|\r|\n")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_UNSPOKEN = ("Mn", "Me", "So", "Sk", "Cf", "Cc", "Cs", "Co", "Cn")
_PAUSE = re.compile(r"[\s.,:;!?…*_`~'\"/\\|()\[\]{}<>–—-]+")
_NUMBER = re.compile(r"^\W*(?:\d+(?:\.\d+)*[.):]?|[ivxIVX]+[.)]|[a-zA-Z][.)])\s+")
_BRACKET = re.compile(r"\s*[(\[][^()\[\]]*[)\]]\W*$")
_OCCURRENCE = re.compile(r"\s\(([1-9]\d{0,3})\)\s*$")
_BLANKS = re.compile(rb"(?:[ \t]*(?:\r\n|\r|\n))*")


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One heading and its own text, down to the next heading of any level."""

    path: Path  # the headings above it and its own, outermost first; ``()`` for what is above the first heading
    folded: Path  # the same in the form in which paths are compared; see ``fold_path``
    occurrence: int  # which of the sections with this path it is, from 1
    level: int  # 1 … 6; 0 for what is above the first heading
    head: bytes  # the heading's lines (for level 0: byte order mark and front matter)
    lead: bytes  # blank lines after it
    core: bytes  # the text, without the line ending of its last line. What contributions may change
    tail: bytes  # the line ending of its last line, and the blank lines that follow
    guarded: bool  # a person marked it, or a section above it, ``<!-- peercoord: approval -->``
    spans: list[Span]  # where its blocks begin and end, in lines after its heading

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
        return lf_text(self.core)

    @property
    def blocks(self) -> list[Block]:
        """The blocks of the text, as they were found when the document was read."""
        skipped = len(EOL.findall(self.lead))
        return markdown.blocks_at(
            self.text, [(start - skipped, end - skipped, mark) for start, end, mark in self.spans]
        )


class Document:
    """A document's sections in order, of which the first has no heading, and how to find one by name.

    ``eol`` is the line ending of its first line, ``LF`` if it has none.
    """

    __slots__ = ("_folded", "_last", "_said", "eol", "sections")

    def __init__(self, sections: Sequence[Section], eol: bytes) -> None:
        self.sections, self.eol = tuple(sections), eol
        self._folded: dict[Path, list[Section]] = {}
        self._last: dict[str, list[Section]] = {}
        self._said: dict[Callable[[str], str], dict[str, list[Section]]] = {}
        for section in self.sections:
            self._folded.setdefault(section.folded, []).append(section)
            if section.path:
                self._last.setdefault(section.path[-1].casefold(), []).append(section)

    @property
    def root(self) -> Section:
        """The section for text about the document as a whole: below its one title, else above all headings."""
        top = [section for section in self.sections if section.level == 1]
        return top[0] if len(top) == 1 and self.sections[1] is top[0] else self.sections[0]

    def find(self, path: Path, occurrence: int = 1, base: str = "") -> Section | None:
        """Find the section that someone means by ``path``; ``None`` if none is meant, or it is unclear which.

        Of several with the same path, the one whose hash is ``base`` is meant, then the occurrence asked for.
        Of several with different paths, the one whose hash is ``base``.
        """
        found = self.matching(path)
        if len(found) < 2:
            return found[0] if found else None
        same = [section for section in found if base and section.hash == base]
        if len(same) == 1:
            return same[0]
        return found[min(occurrence, len(found)) - 1] if len({section.folded for section in found}) == 1 else None

    def matching(self, path: Path) -> list[Section]:
        """List the sections that someone may mean by ``path``: those that match it most closely.

        Exact path first, then the same below the title, then what ends so; capitals do not matter. Then by words:
        accents, emoji and punctuation do not matter either. Last, a number before a heading of the document, or a
        bracket behind it, may be left out.
        """
        wanted = fold_path(path)
        found = self._folded.get(wanted) or self._folded.get(self.root.folded + wanted)
        if found or not path:
            return list(found or ())
        ending = [s for s in self._last.get(wanted[-1], ()) if s.folded[-len(wanted) :] == wanted]
        if ending:
            return ending
        spoken = tuple(spoken_words(part) for part in path)
        for reading in (spoken_words, _without_extras):
            alike = self._by_words(reading).get(spoken[-1], ())
            ending = [s for s in alike if tuple(map(reading, s.path[-len(path) :])) == spoken]
            if ending:
                return ending
        return []

    def _by_words(self, reading: Callable[[str], str]) -> dict[str, list[Section]]:
        """Index the sections by the words of their headings, in one way of reading them; done once."""
        known = self._said.get(reading)
        if known is None:
            known = self._said[reading] = {}
            for section in self.sections:
                if section.path:
                    known.setdefault(reading(section.path[-1]), []).append(section)
        return known

    def unclear(self, path: Path) -> list[Section]:
        """List the sections that ``path``, or its nearest known part, may mean; empty if that is clear."""
        for kept in range(len(path), 0, -1):
            found = self.matching(path[:kept])
            if found:
                return found if len(found) > 1 else []
        return []

    def place(self, path: Path) -> tuple[Path, Section]:
        """Return the full path of a new section, and the existing section that it goes under."""
        for kept in range(len(path) - 1, 0, -1):
            parent = self.find(path[:kept])
            if parent is not None:
                return parent.path + path[kept:], parent
        return self.root.path + path, self.root


# -- splitting ---------------------------------------------------------------------------------------------------


def split_document(document: bytes, where: str = "the document") -> Document:
    """Split a document into sections."""
    text = decode_utf8(document, where)
    start = front_matter_end(document)
    tokens = markdown.parse(text if not start else document[start:].decode())
    offsets = _offsets(document, start)
    found = list(markdown.headings_in(tokens))
    marks = [min(line, len(offsets) - 1) for line in markdown.marks_in(tokens)]
    starts = [heading.start for heading in found] + [len(offsets) - 1]
    spans = _by_section(markdown.spans_in(tokens), [0, *[heading.end for heading in found]], [*starts, 0])
    first = offsets[starts[0]]
    eol = EOL.search(document)
    every = bool(marks) and offsets[marks[0]] < first
    sections = [Section((), (), 1, 0, document[:start], *_edges(document[start:first]), every, spans[0])]
    stack: list[tuple[Heading, bool]] = []
    counts: dict[Path, int] = {}
    for at, heading in enumerate(found):
        while stack and stack[-1][0].level >= heading.level:
            stack.pop()
        until = starts[at + 1]
        own = any(heading.start <= mark < until for mark in marks) if marks else False
        stack.append((heading, own or (stack[-1][1] if stack else every)))
        path = tuple([above.text for above, _ in stack])
        same = fold_path(path)
        counts[same] = counts.get(same, 0) + 1
        body = offsets[heading.end]
        sections.append(
            Section(
                path,
                same,
                counts[same],
                heading.level,
                document[offsets[heading.start] : body],
                *_edges(document[body : offsets[until]]),
                stack[-1][1],
                spans[at + 1],
            )
        )
    return Document(sections, eol.group() if eol else b"\n")


def join_sections(sections: Iterable[Section]) -> bytes:
    """Join sections to a document."""
    return b"".join(section.span for section in sections)


def front_matter_end(document: bytes) -> int:
    """Return the length of byte order mark and front matter."""
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


def html_comments(document: bytes, where: str) -> list[tuple[int, int, str]]:
    """Return the HTML blocks at the top level: bytes from, to, and what they say."""
    decode_utf8(document, where)
    start = front_matter_end(document)
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


def parse_place(text: str, document: Document) -> tuple[Path, int]:
    """Read a path and, in brackets, a number among the sections with that path: ``Log › Status (2)``."""
    path, said = parse_path(text), _OCCURRENCE.search(text)
    if said is None or document.matching(path):
        return path, 0
    return parse_path(text[: said.start()]), int(said[1])


def path_text(path: Path, occurrence: int = 1) -> str:
    """Write a path for people."""
    words = SEPARATOR.join(path) if path else "the text above the first heading"
    return words if occurrence == 1 else f"{words} ({occurrence})"


def fold_path(path: Path) -> Path:
    """Return a path for comparison: capitals and format characters do not matter."""
    return tuple([unmarked(part).casefold() for part in path])


def spoken_words(heading: str) -> str:
    """Return the words of a heading as people say them: without case, accents, emoji, and marks around them."""
    letters = unicodedata.normalize("NFKD", heading.casefold())
    kept = "".join(char for char in letters if unicodedata.category(char) not in _UNSPOKEN)
    return " ".join(_PAUSE.sub(" ", kept).split()) or heading.casefold()


def _without_extras(heading: str) -> str:
    """Return the words of a heading without a number before them and a bracket behind them."""
    return spoken_words(_BRACKET.sub("", _NUMBER.sub("", heading)) or heading)


def lf_text(data: bytes) -> str:
    """Return bytes as text with ``LF`` line endings."""
    return EOL.sub(b"\n", data).decode()


def trimmed(text: str) -> str:
    """Return a text without blank lines at its ends; its first line keeps its indentation."""
    core = _edges(text.encode())[1]
    return core.decode()


def with_eol(text: str, eol: bytes) -> bytes:
    """Return text as bytes with the line endings of the document it goes into."""
    return text.encode() if eol == b"\n" else text.encode().replace(b"\n", eol)


def digest(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal: the name of a text in the store, and of a document's state."""
    return hashlib.sha256(data).hexdigest()


def decode_utf8(data: bytes, where: str) -> str:
    """Decode, or say which byte is wrong."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{where} is not valid UTF-8 (byte {error.start})", hint="save it as UTF-8", code="not-utf8"
        ) from None


def _offsets(document: bytes, start: int) -> list[int]:
    return [*[line.start() for line in _LINE.finditer(document, start)], len(document)]


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
    """Return each section's own spans, with lines counted from the first line after its heading."""
    found: list[list[Span]] = [[] for _ in bodies]
    at = 0
    for start, end, marker in spans:
        while start >= starts[at] and at + 1 < len(bodies):
            at += 1
        if start >= bodies[at]:  # the heading itself is a block of no section
            found[at].append((start - bodies[at], end - bodies[at], marker))
    return found
