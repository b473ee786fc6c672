"""Turn a call, or a file of ``memory-contributions/``, into contributions, one for each section.

A file is read as often as it is seen. What it gave before is known from ``earlier``, so that only new text becomes a
contribution. No text is dropped without a word: a heading without text, and front matter, cannot be merged, and their
author is told.

An edited copy of a document is always compared with the document that it was copied from. Compared with today's
document, everything merged since would look deleted. Sections that a copy lacks are mentioned, never removed: many
copies are partial.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import UsageError
from peercoord.foreign import shown, unmarked, visible
from peercoord.memory import additions, contribution, markdown
from peercoord.memory.contribution import Author, Contribution
from peercoord.memory.document import (
    BOM,
    Path,
    digest,
    fold_path,
    front_matter_end,
    lf_text,
    parse_place,
    path_text,
    split_document,
)
from peercoord.memory.targets import Piece, parts_of, placed, purpose, untitled, without_first

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

_MARK = re.compile(r"critical(?:ity)?\s*[:=]\s*[\"']?(\w*)[\"']?\s*(?:#.*)?", re.IGNORECASE)
_NOT_CRITICAL = ("false", "no", "off", "0", "normal")


@dataclass(slots=True)
class Reading:
    """What a call or a file gave."""

    contributions: list[Contribution] = field(default_factory=list)  # new ones, in the order of the text
    texts: dict[str, bytes] = field(default_factory=dict)  # by hash, those that their bases name; kept until the merge
    withdrawn: list[str] = field(default_factory=list)  # ids of earlier ones, not merged yet, that left the file
    refused: list[UsageError] = field(default_factory=list)  # what was not taken, and why; the rest was
    notes: list[str] = field(default_factory=list)  # what its author should be told

    def cleaned(self, given: str) -> str:
        """Return a text without characters that hide or reorder text, and note it."""
        text = unmarked(given)
        if text != given:
            self.notes.append("invisible control characters were left out: they reorder or hide text")
        return text


class _Past:
    """What the same file gave for one section before.

    ``settled`` is in the bank; ``tips`` are those that no later one replaces, ``pending`` those of them that still
    wait or were rejected; ``last`` is the newest, unless its author took it back since.
    """

    __slots__ = ("last", "pending", "settled", "tips")

    def __init__(
        self, known: Sequence[Contribution] = (), merged: Container[str] = (), withdrawn: Container[str] = ()
    ) -> None:
        replaced = {old for one in known for old in one.supersedes}
        self.settled = [one for one in known if one.id in merged]
        self.tips = [one for one in known if one.id not in replaced]
        self.pending = [one for one in self.tips if one.id not in merged and one.id not in withdrawn]
        self.last = self.tips[-1] if self.tips and self.tips[-1].id not in withdrawn else None


def from_call(
    author: Author,
    document: str,
    content: str,
    nonce: str,
    *,
    briefed: bytes | None = None,
    section: str = "",
    kind: str = "addition",
    critical: bool = False,
    supersedes: Sequence[Contribution] = (),
) -> Reading:
    """Read an ``update-memory`` call: all of it is taken, or a ``UsageError`` says why nothing is.

    Args:
        author: Who calls.
        document: The document, as named in the call.
        content: The text.
        nonce: The call's own id, so that the same call answered twice gives the same ids.
        briefed: The document as its author last saw it; ``None`` if there is none.
        section: The section's heading, or several with ``›`` between; none for the document as a whole.
        kind: ``addition`` or ``update``; an update that names no section is an addition.
        critical: It should wait for a person.
        supersedes: Earlier contributions of the author that this one replaces.
    """
    contribution.check_document(document)
    if kind not in contribution.KINDS:
        raise UsageError(f"type {shown(kind)} is not known", hint=f"one of {', '.join(contribution.KINDS)}")
    given = contribution.check_text(content.replace("\r\n", "\n").replace("\r", "\n"), "the content")
    reading = Reading()
    text = reading.cleaned(given)
    if _front(text.encode()):
        raise _no_front("the content")
    target = split_document(briefed or b"", document)
    path, occurrence = parse_place(section, target) if section.strip() else ((), 0)
    if not text.strip() and not (kind == "update" and path):
        raise UsageError("there is nothing to contribute", hint="give the text with --content or --from")
    parts = parts_of(split_document(text.encode()))
    parts = without_first(parts, path[-1]) if path else parts
    write = _Writer(reading, author, f"call:{nonce}", document, critical)
    parts = [(own, number if own else occurrence or number, text) for own, number, text in parts]
    pieces = placed(target, path, parts, sure=bool(occurrence))
    for piece in pieces:
        if piece.unclear:
            reading.refused.append(_unclear(document, piece))
        elif piece.text or (kind == "update" and len(parts) == 1):
            write(piece, piece.text, "addition" if piece.loose else kind, write.base(piece), supersedes)
    empty = [] if len(parts) == 1 else _empty(pieces)
    if reading.refused or not reading.contributions:
        raise next(iter(reading.refused), None) or _no_text(document, empty)
    reading.notes += [f"left out: {_no_text(document, [one]).message}" for one in empty]
    return reading


def from_file(
    author: Author,
    file: str,
    data: bytes,
    bank: Mapping[str, bytes],
    *,
    origin: bytes | None = None,
    earlier: Iterable[Contribution] = (),
    merged: Container[str] = (),
    withdrawn: Container[str] = (),
) -> Reading:
    """Read a file of ``memory-contributions/``; a ``UsageError`` says why nothing of it can be taken.

    Args:
        author: Whose worktree it lies in, for which task, and when it was collected.
        file: Its name.
        data: Its bytes.
        bank: The bank's documents as the author last saw them, by name.
        origin: For an edited copy: the document when this file was first collected; ``None`` the first time.
        earlier: All that this peer contributed before from this file, in whatever state.
        merged: Which of these ids are in the bank (or were, and are settled).
        withdrawn: Which of them an earlier reading gave as withdrawn.
    """
    aim = purpose(file, author.peer, bank)
    contribution.check_document(aim.document)
    reading = Reading()
    text = reading.cleaned(contribution.decode(data, file))
    known: dict[tuple[Path, int], list[Contribution]] = {}
    for one in sorted((e for e in earlier if e.source == file and e.peer == author.peer), key=lambda e: e.order):
        known.setdefault(one.key[1:], []).append(one)
    copied = aim.kind == "copy"
    saw = origin if copied and origin is not None else bank.get(aim.document, b"")
    front, critical = _front(text.encode()), False
    if front and not (copied and front == _front(saw)):
        rest, critical = _marked(front)
        if rest and not (copied and rest == _front(saw)):
            reading.refused.append(_no_front(file))
    write = _Writer(reading, author, file, aim.document, critical)
    base = split_document(saw, aim.document)
    own = split_document(text.encode())
    parts = parts_of(own)
    if not copied:
        level = next((section.level for section in own.sections if section.path), 0)
        parts = untitled(parts, base, aim, author.peer, level)
    pieces = placed(base, aim.prefix, parts, exact=copied)
    alone = [piece for piece in _empty(pieces) if piece.key not in known and not (copied and piece.section)]
    reading.refused += [_no_text(aim.document, [piece]) for piece in alone]
    for piece in pieces:
        past = _Past(known.pop(piece.key, ()), merged, withdrawn)
        _revise(write, aim.kind, piece, past)
    for ones in known.values():
        reading.withdrawn += [one.id for one in _Past(ones, merged, withdrawn).pending]
    if copied:
        there = {piece.key for piece in pieces}
        missing = (s for s in base.sections if s.core and (fold_path(s.path), s.occurrence) not in there)
        reading.notes += [f"{path_text(s.path)} is not in your copy of {aim.document}; it stays" for s in missing]
    return reading


# -- what is no text ---------------------------------------------------------------------------------------------


def _empty(pieces: Sequence[Piece]) -> list[Piece]:
    """Return the headings that have no text, neither their own nor below other headings in them."""
    full = [piece.key[0] for piece in pieces if piece.text]
    return [
        piece
        for piece in pieces
        if piece.named and not piece.text and not any(path[: len(piece.path)] == piece.key[0] for path in full)
    ]


def _no_text(document: str, empty: Sequence[Piece]) -> UsageError:
    if not empty:
        return UsageError("there is nothing to contribute", hint="give the text with --content or --from")
    headings = ", ".join(shown(piece.path[-1]) for piece in empty)
    return UsageError(
        f"no text stands under {headings}, contributed to {document}",
        hint="write the text below its heading; a heading alone is not merged",
        code="no-text",
    )


def _unclear(document: str, piece: Piece) -> UsageError:
    paths = [visible(path_text(section.path, section.occurrence))[:200] for section in piece.unclear[:6]]
    return UsageError(
        f"{shown(path_text(piece.path))} is the name of {len(piece.unclear)} sections of {document}: "
        f"{'; '.join(paths)}",
        hint=f'say which one, for example: --section "{paths[0]}"',
        code="unclear-section",
    )


def _front(text: bytes) -> str:
    return lf_text(text[: front_matter_end(text)].removeprefix(BOM))


def _marked(front: str) -> tuple[str, bool]:
    """Take the mark ``critical: true`` out of a front matter.

    A value that is not known counts as ``true``: then a person looks.
    """
    rest, critical = [], False
    for line in front.splitlines(keepends=True):
        found = _MARK.fullmatch(line.strip())
        if found:
            critical = found[1].lower() not in _NOT_CRITICAL
        else:
            rest.append(line)
    says = any(line.strip() not in ("", "---", "...", "+++") and not line.lstrip().startswith("#") for line in rest)
    return "".join(rest) if says else "", critical


def _no_front(what: str) -> UsageError:
    return UsageError(
        f"the front matter of {shown(what)} is not merged: it is no text of a section",
        hint="say it under a heading, or leave a blank line after the first --- if that is a rule; "
        "of a file it may say 'critical: true'",
        code="front-matter",
    )


# -- one piece ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Writer:
    """Makes contributions of one author, from one source, for one document."""

    reading: Reading
    author: Author
    source: str
    document: str
    critical: bool

    def base(self, piece: Piece) -> str:
        """Return the hash of the section as it stands, and keep its text."""
        return "" if piece.section is None else self.keep(piece.section.core)

    def keep(self, text: bytes) -> str:
        self.reading.texts[digest(text)] = text
        return digest(text)

    def __call__(self, piece: Piece, text: str, kind: str, base: str, supersedes: Sequence[Contribution] = ()) -> None:
        """Add a contribution, or the reason why it is refused."""
        try:
            made = contribution.make(
                self.author,
                self.source,
                self.document,
                piece.path,
                _dedent(text),
                occurrence=piece.occurrence,
                kind=kind,
                base=base,
                critical=self.critical,
                supersedes=tuple(one.id for one in supersedes),
            )
        except UsageError as error:
            where = f"{self.document}, {path_text(piece.path)}"
            self.reading.refused.append(UsageError(f"{shown(where)}: {error.message}", error.hint, error.code))
        else:
            self.reading.contributions.append(made)


def _revise(write: _Writer, kind: str, piece: Piece, past: _Past) -> None:
    """Contribute what is new in a piece."""
    base = past.pending[0].base if past.pending else write.base(piece)
    remarked = past.last in past.pending and past.last is not None and past.last.critical != write.critical
    text = piece.text
    if kind == "copy":
        before = _before(piece, past)
        kind, text = _difference(before, text, bool(piece.path))
        if past.settled:
            base = write.keep(before.encode())
        nothing = kind == "addition" and not text
    elif kind == "addition" or piece.loose:
        if past.settled:
            blocks = markdown.not_among(markdown.blocks(text), [one.content for one in past.settled])
            text = markdown.together(blocks)
        kind, nothing = "addition", not text
    else:
        updates = [one for one in past.settled if one.kind == "update"]
        if updates and not past.pending:
            base = write.keep(updates[-1].content.encode())
        nothing = not text or (piece.section is not None and text == unmarked(piece.section.text) and past.last is None)
    if nothing:
        write.reading.withdrawn += [one.id for one in past.pending]
    elif past.last is None or (past.last.content, past.last.kind) != (_dedent(text), kind) or remarked:
        write(piece, text, kind, base, past.tips)


def _before(piece: Piece, past: _Past) -> str:
    """Return the section as an edited copy holds it if its author changed nothing since the last merge."""
    text = unmarked(piece.section.text) if piece.section else ""
    for one in past.settled:
        if one.kind == "update" or not text:
            text = one.content
        else:
            head, end = _parted(text)
            ways = [f"{head}{gap}{one.content}" for gap in ("\n", "\n\n", "\n\n\n")]
            meet = [*markdown.blocks(head)[-1:], *markdown.blocks(one.content)[:1]]
            close = len(meet) == 2 and markdown.gap_between(*meet) == "\n"
            text = next((way for way in ways if piece.text.startswith(way)), ways[0 if close else 1]) + end
    return text


def _parted(text: str) -> tuple[str, str]:
    """Divide a section's text before the rule or footer that ends it; the blank lines between go with the end."""
    blocks = markdown.blocks(text)
    end = additions.closing(blocks)
    if not 0 < end < len(blocks):
        return text, ""
    head = "\n".join(text.split("\n")[: blocks[end].line]).rstrip()
    return head, text[len(head) :]


def _difference(before: str, text: str, named: bool) -> tuple[str, str]:
    """Return kind and text of an edit.

    What only adds at the end, or above the footer, is an addition, and conflicts with nothing.
    """
    if text == before:
        return "addition", ""
    if not named:
        return "update", text  # an addition without a section would go below the title
    if not before or text.startswith(before + "\n"):
        return "addition", text[len(before) :].strip("\n")
    head, end = _parted(before)
    if end and text.startswith(head + "\n") and text.endswith(end) and len(text) > len(before):
        return "addition", text[len(head) : -len(end)].strip("\n")
    return "update", text


def _dedent(text: str) -> str:
    # A list that is indented as a whole would become part of the last item of the list it is appended to.
    lines = text.split("\n")
    depth = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
    return "\n".join(line[depth:] if line.strip() else line for line in lines) if 0 < depth < 4 else text
