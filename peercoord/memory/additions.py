"""Additions: each statement goes into its section once, in that section's style.

Text is compared block by block (a paragraph, a fence, one item of a list), so that two peers who report the same thing
add it once. Of a list the new items go in; of rows for the table that ends the section, or of a table with that head,
the new rows. Any other text goes in whole or not at all: half of it would read as something else.

New text goes above the rule or footer that ends the section. New items take the section's bullet, continue its numbers,
and go on top where the newest entry comes first. An unchecked item that is reported as checked is checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.memory import markdown
from peercoord.memory.document import trimmed
from peercoord.memory.markdown import Block

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from peercoord.memory.contribution import Contribution
    from peercoord.memory.document import Section

_DATE = re.compile(r"\W{0,4}(\d{4}-\d{2}-\d{2})(?!\d)")
_DEFINITION = re.compile(r" {0,3}\[[^\]]+\]:[ \t]")
_UPDATED = re.compile(
    r"[*_>\s(]*(?:last[ -](?:updated?|modified|changed|reviewed|edited)|updated)\b.{0,60}\Z", re.IGNORECASE
)
_ASIDE = re.compile(r"(?:<!--.*-->|([*_]{1,3})(?=\S)[^\n]*\1)\s*\Z", re.DOTALL)


def append(
    text: str, additions: Sequence[Contribution], section: Section | None = None
) -> tuple[str, list[Contribution], list[Contribution]]:
    """Add what is new to a section's text; return it, the additions that changed it, and those that were there.

    ``section`` is the section as it was read, which saves reading its text again where that is still the same.
    """
    if not additions:
        return text, [], []
    there = section.blocks if section and section.text == text else markdown.blocks(text)
    body = _Body(text, there)
    lines = {line.rstrip() for line in text.split("\n")}
    added: list[Contribution] = []
    known: list[Contribution] = []
    for one in additions:
        content = trimmed(one.content)
        found = markdown.blocks(content)
        first = found[0].text.split("\n")[0].rstrip()
        if first in lines and (_stands(content, text) or _has_rows(lines, found)):
            changed = False
        elif all(block.item for block in found):
            changed = sum(body.add_item(block) for block in found) > 0
        elif rows := body.rows_in(found):
            changed = body.add_rows([row for row in rows if row.rstrip() not in lines])
            lines.update(row.rstrip() for row in rows)
        else:
            changed = body.add_text(content, found)
        (added if changed else known).append(one)
    return body.join(), added, known


def closing(blocks: Sequence[Block]) -> int:
    """Return the index of the first block that ends the section rather than being part of its text.

    That is a rule at the end with what a footer holds below it, link definitions, and a line that says when the
    document was last updated.
    """
    last_rule = max((at for at, block in enumerate(blocks) if block.rule), default=None)
    end = len(blocks)
    below = blocks[last_rule + 1 :] if last_rule is not None else ()
    if last_rule is not None and all(_ends_document(b) or (not b.item and _ASIDE.match(b.text)) for b in below):
        end = last_rule
    while end and (blocks[end - 1].rule or _ends_document(blocks[end - 1])):
        end -= 1
    return end


def _has_rows(lines: Container[str], found: Sequence[Block]) -> bool:
    """Check whether a text is rows, or one table, and all its rows are among these lines."""
    rows = found[0].text.split("\n")
    if found[0].marker == "table":
        del rows[1]
    return len(found) == 1 and all(row.startswith("|") and row.rstrip() in lines for row in rows)


def _ends_document(block: Block) -> bool:
    return not block.marker and bool(_DEFINITION.match(block.text) or _UPDATED.match(block.text))


@dataclass(slots=True)
class _Piece:
    """A block of the section, and the blank lines before it."""

    gap: str
    block: Block


class _Body:
    """A section's text while additions go in."""

    def __init__(self, text: str, blocks: Sequence[Block]) -> None:
        lines = text.split("\n")
        self._pieces: list[_Piece] = []
        at = 0
        for block in blocks:
            blank = "\n".join(lines[at : block.line])
            self._pieces.append(_Piece(f"\n{blank}\n" if block.line > at else "\n" if at else "", block))
            at = block.line + block.text.count("\n") + 1
        self._end = closing(blocks)
        self._meanings = {block.meaning for block in blocks}
        days = [_day(self._pieces[at].block.text) for at in self._list()]
        self._newest_first = newest_first(days)

    def join(self) -> str:
        """Return the section's text as it is now."""
        return "".join(part for piece in self._pieces for part in (piece.gap, piece.block.text))

    def add_text(self, content: str, found: Sequence[Block]) -> bool:
        """Add a text that is more than a list, whole, unless all of it stands there already."""
        if all(block.meaning in self._meanings for block in found):
            return False
        self._insert(self._end, Block(content, found[-1].marker), found[0])
        self._meanings.update(block.meaning for block in found)
        return True

    def rows_in(self, found: Sequence[Block]) -> list[str]:
        """Return the rows of a text for the table at the end; none if it is another table, or not of rows alone."""
        rows, at = found[0].text.split("\n"), self._end - 1
        if len(found) > 1 or at < 0 or self._pieces[at].block.marker != "table":
            return []
        if not all(row.startswith("|") for row in rows):
            return []
        if found[0].marker != "table":
            return rows
        while self._pieces[at].gap == "\n" and self._pieces[at - 1].block.marker == "table":
            at -= 1  # rows that were added a moment ago
        head = self._pieces[at].block.text.split("\n")[0]
        return rows[2:] if rows[0].rstrip() == head.rstrip() else []

    def add_rows(self, rows: Sequence[str]) -> bool:
        """Add rows to the table at the end."""
        if rows:
            text = "\n".join(rows)
            self._insert(self._end, Block(text, "table"), Block(text, ""))
        return bool(rows)

    def add_item(self, item: Block) -> bool:
        """Add one item of a list, or check the same item if it stands there unchecked."""
        if item.meaning in self._meanings:
            return self._check(item)
        self._meanings.add(item.meaning)
        at, last = self._end, self._last_item()
        if self._newest_first:
            entries = self._list()
            day = _day(item.text)
            later = (n for n in entries if not day or (_day(self._pieces[n].block.text) or day) <= day)
            at = next(later, last + 1)
        styled = self._styled(item, at, last)
        self._insert(at, styled, styled)
        return True

    def _last_item(self) -> int:
        """Return the place of the last item of a list in the body; -1 if there is none."""
        return next((n for n in range(self._end - 1, -1, -1) if self._pieces[n].block.item), -1)

    def _list(self) -> list[int]:
        """Return the places of the last list's items in the body."""
        last = first = self._last_item()
        while first > 0 and self._pieces[first - 1].block.marker == self._pieces[last].block.marker:
            first -= 1
        return list(range(first, last + 1)) if last >= 0 else []

    def _before(self, at: int) -> Block | None:
        """Return the item right before one of the same list; ``None`` if that is the first."""
        block = self._pieces[at - 1].block if at else None
        return block if block and block.item and block.marker == self._pieces[at].block.marker else None

    def _styled(self, item: Block, at: int, last: int) -> Block:
        """Return an item with the bullet or the number that it has in this section."""
        if last < 0:
            return item
        model = self._pieces[last].block
        head, own = markdown.ITEM.match(model.text), markdown.ITEM.match(item.text)
        if head is None or own is None:
            return item
        if not head["number"]:
            return item if own["number"] else _marked(item, own, head["indent"] + head["mark"], model.marker)
        if at != last + 1:
            return item  # the numbered list is over: this begins another one
        earlier = self._before(last)
        above = markdown.ITEM.match(earlier.text) if earlier else None
        same = above is not None and above["number"] == head["number"]  # lazy numbers: all alike
        number = int(head["number"]) + (0 if same else 1)
        return _marked(item, own, f"{head['indent']}{number}{head['mark'][-1]}", model.marker)

    def _check(self, item: Block) -> bool:
        head = markdown.ITEM.match(item.text)
        if head is None or head["box"] not in ("[x]", "[X]"):
            return False
        for piece in self._pieces:
            found = markdown.ITEM.match(piece.block.text)
            if found and found["box"] == "[ ]" and piece.block.meaning == item.meaning:
                text, at = piece.block.text, found.start("box")
                piece.block = Block(f"{text[:at]}[x]{text[at + 3 :]}", piece.block.marker)
                return True
        return False

    def _insert(self, at: int, block: Block, first: Block) -> None:
        before = self._pieces[at - 1] if at else None
        after = self._pieces[at] if at < len(self._pieces) else None
        gap = markdown.gap_between(before.block, first) if before else ""
        if gap == "\n" and first.item and self._before(at - 1) and self._pieces[at - 1].gap.count("\n") > 1:
            gap = "\n\n"  # items of a loose list stay apart
        if after and not (after.block.item and after.block.marker == block.marker):
            after.gap = after.gap if after.gap.count("\n") > 1 else "\n\n"
        elif after:
            loose = after.gap.count("\n") > 1 and before is not None and before.block.item
            gap, after.gap = after.gap if before else "", "\n\n" if loose else "\n"
        self._pieces.insert(at, _Piece(gap, block))
        self._end += 1


def _marked(item: Block, own: re.Match[str], mark: str, marker: str) -> Block:
    """Return an item with another bullet or number; the lines below it move with its text."""
    lines = item.text.split("\n")
    by = len(mark) - own.end("mark")
    rest = []
    for line in lines[1:]:
        less = min(max(-by, 0), len(line) - len(line.lstrip(" ")))
        rest.append(" " * by + line if by > 0 and line.strip() else line[less:])
    return Block("\n".join([mark + lines[0][own.end("mark") :], *rest]), marker)


def newest_first(days: Sequence[str]) -> bool:
    """Check whether dated entries, one after the other, have the newest on top."""
    return len(days) > 1 and all(days) and list(days) == sorted(days, reverse=True) and days[0] != days[-1]


def day_of(text: str) -> str:
    """Return the date that a heading or the text of an item begins with; empty if it begins with none."""
    found = _DATE.match(text)
    return found[1] if found else ""


def _day(item: str) -> str:
    head = markdown.ITEM.match(item)
    return day_of(item[head.end() :]) if head else ""


def _stands(content: str, text: str) -> bool:
    """Check whether a text stands in another, with blank lines around it."""
    content, text = ("\n".join(line.rstrip() for line in part.split("\n")) for part in (content, text))
    return f"\n\n{content}\n\n" in f"\n\n{text}\n\n"
