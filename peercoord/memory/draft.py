"""A document under change: sections get new text, new sections appear, nothing else moves by a byte.

Before a change is taken, the changed section is parsed together with the heading that follows. If that is no longer a
heading (an open fence, a list that takes it in), the change is refused and the draft stays as it was. So the document
itself needs to be parsed only once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.memory import markdown
from peercoord.memory.additions import day_of, newest_first
from peercoord.memory.document import BOM, EOL, fold_path, lf_text, with_eol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.memory.document import Document, Path, Section

_ENDS_BLANK = re.compile(rb"(?:\r\n|\r(?!\n)|\n)[ \t]*(?:\r\n|\r|\n)[ \t]*\Z")
_EOL_END = (b"\n", b"\r")


def ends_blank(text: bytes) -> bool:
    """Check whether a text ends with a blank line."""
    return bool(_ENDS_BLANK.search(text))


@dataclass(slots=True, eq=False)
class Node:
    """A section of a draft, between its neighbours."""

    path: Path
    level: int
    head: bytes
    was: Section | None = None  # the section it was made from; ``None`` for a new one
    occurrence: int = 1
    lead: bytes = b""
    core: bytes = b""
    tail: bytes = b""
    before: Node | None = None
    next: Node | None = None

    @property
    def span(self) -> bytes:
        """All its bytes."""
        return self.head + self.lead + self.core + self.tail

    @property
    def text(self) -> str:
        """Its text with ``LF`` line endings."""
        return lf_text(self.core)


class Draft:
    """A document under change."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._nodes: dict[tuple[Path, int], Node] = {}
        last: Node | None = None
        for section in document.sections:
            text = section.lead, section.core, section.tail
            node = Node(section.path, section.level, section.head, section, section.occurrence, *text, before=last)
            if last:
                last.next = node
            last = self._nodes[section.folded, section.occurrence] = node
        self._first = self._nodes[(), 1]

    def __iter__(self) -> Iterator[Node]:
        node: Node | None = self._first
        while node:
            yield node
            node = node.next

    def at(self, path: Path, occurrence: int = 1) -> Node | None:
        """Return the section at a path, if there is one."""
        return self._nodes.get((fold_path(path), occurrence))

    def join(self) -> bytes:
        """Return the document as it is now."""
        return b"".join(node.span for node in self)

    def put(self, path: Path, occurrence: int, text: str, free: bool = False) -> bool:
        """Give a section a new text, making it and those above it if need be; ``False`` if nothing could change.

        The text has no blank lines at its ends. If it is ``free``, it may hold headings: a person wrote it.
        """
        made = [] if self.at(path, occurrence) else self._grow(path)
        node = self.at(path, occurrence)
        if node is None:
            self._prune(made)
            return False
        saved = node.head, node.lead, node.core, node.tail
        self._fill(node, text)
        if self._intact(node, free):
            return True
        node.tail += self._eol(node)  # an HTML block ends at a blank line, an underlined heading begins after one
        if self._intact(node, free):
            return True
        node.head, node.lead, node.core, node.tail = saved
        self._prune(made)
        return False

    def remove(self, node: Node) -> None:
        """Take a section out, heading and all."""
        if node.before:
            node.before.next = node.next
        if node.next:
            node.next.before = node.before
        del self._nodes[fold_path(node.path), node.occurrence]

    # -- new sections ----------------------------------------------------------------------------------------

    def _grow(self, path: Path) -> list[tuple[Node, bytes]]:
        """Make the sections of a path that are missing; none if one of them cannot be made."""
        made: list[tuple[Node, bytes]] = []
        for depth in range(1, len(path) + 1):
            if self.at(path[:depth]) is None:
                one = self._insert(path[:depth])
                if one is None:
                    self._prune(made)
                    return []
                made.append(one)
        return made

    def _insert(self, path: Path) -> tuple[Node, bytes] | None:
        """Make a section, last below the one above it. With it comes the tail that its neighbour had before.

        Where the sections there are dated and the newest is on top, it goes where its date belongs.
        """
        parent = self._nodes[fold_path(path[:-1]), 1]
        children, before = [], parent
        while before.next and before.next.level > parent.level:
            before = before.next
            if len(before.path) == len(path):
                children.append(before)
        child = children[-1] if children else None
        day = day_of(path[-1])
        if day and newest_first([day_of(one.path[-1]) for one in children]):
            older = next((one for one in children if day_of(one.path[-1]) <= day), None)
            before = older.before if older and older.before else before
        level = child.level if child else max(parent.level, 1) + 1
        eol = self.document.eol
        node = Node(path, level, with_eol(f"{'#' * level} {path[-1]}\n", eol))
        made = markdown.headings(lf_text(node.head))
        if [heading.text for heading in made] != [path[-1]]:  # seven levels deep, or no text at all
            return None
        tail = before.tail
        end = before.span[-64:]
        if end and end != BOM and not ends_blank(end):
            before.tail += eol if end.endswith(_EOL_END) else eol + eol
        node.tail = eol if before.next else b""
        node.before, node.next, before.next = before, before.next, node
        if node.next:
            node.next.before = node
        self._nodes[fold_path(path), 1] = node
        if not (self._intact(before) and self._intact(node)):
            self._prune([(node, tail)])
            return None
        return node, tail

    def _prune(self, made: list[tuple[Node, bytes]]) -> None:
        for node, tail in reversed(made):
            if node.before:
                node.before.tail = tail
            self.remove(node)

    # -- text ------------------------------------------------------------------------------------------------

    def _eol(self, node: Node) -> bytes:
        found = EOL.search(node.head) or EOL.search(node.core)
        return found.group() if found else self.document.eol

    def _fill(self, node: Node, text: str) -> None:
        eol, old = self._eol(node), node.text
        if old or not text:
            node.core = _rewritten(node.core, old, text, eol)
        else:
            ended = not node.span or node.span.endswith(_EOL_END)
            if node.head and not node.head.endswith((*_EOL_END, BOM)):
                node.head += eol
            node.lead = b"" if node.head in (b"", BOM) else eol
            node.core = with_eol(text, eol)
            if node.next:
                node.tail = eol + (node.tail or eol)
            elif ended or node.tail:
                node.tail = eol + node.tail

    def _intact(self, node: Node, free: bool = False) -> bool:
        """Check whether a section, as it is now, is still one section and leaves the next its heading."""
        text = lf_text((node.head if node.level else b"") + node.lead + node.core + node.tail)
        if node.next is None:
            text += "\n\n"
        following = lf_text(node.next.head) if node.next else markdown.SENTINEL
        found = markdown.headings(text + following)
        own = [heading.text for heading in found[:-1]]
        if not found or found[-1].start != text.count("\n"):
            return False
        wanted = [node.path[-1]] if node.level else []
        return own[: len(wanted)] == wanted if free else own == wanted


def _rewritten(core: bytes, old: str, text: str, eol: bytes) -> bytes:
    """Return a section's bytes with its new text; lines that stay keep their bytes, mixed line endings too."""
    before, after = old.split("\n"), text.split("\n")
    most = min(len(before), len(after))
    head = next((at for at in range(most) if before[at] != after[at]), most)
    foot = next((at for at in range(most - head) if before[-1 - at] != after[-1 - at]), most - head)
    if not old or not text:
        return with_eol(text, eol)
    ends = [0, *(found.end() for found in EOL.finditer(core)), len(core)]
    kept, rest = core[: ends[head]], core[ends[len(before) - foot] :]
    middle = after[head : len(after) - foot]
    if not middle and not foot:
        return kept if head == len(before) else kept.removesuffix(b"\n").removesuffix(b"\r")
    gap = eol if middle and head == len(before) else b""
    return kept + gap + with_eol("\n".join(middle), eol) + (eol if middle and foot else b"") + rest
