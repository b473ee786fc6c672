"""What a peer wrote, a call or a file in ``memory-contributions/``, as contributions, section by section.

The four files of the mission, and a copy of a bank document that was edited. A file is read as often as it is seen;
what it gave before is known from ``earlier``, so that only what is new in it becomes a contribution, with the same
ids however often a crash makes it be read again.

No text goes without a word: a heading under which nothing stands, and front matter, are no section's text and cannot be
merged; whoever wrote them is told.

An edited copy is compared with the document that it was copied from, for ever: comparing it with today's document
would read everything that others merged since as a wish to take it back. What is missing in a copy is not a wish to
remove it either (many copies are partial); it is mentioned.
"""

from __future__ import annotations

from collections import Counter

from peercoord.core import ids
from peercoord.core.errors import UsageError
from peercoord.core.memory import additions, contributions, markdown, places, sections
from peercoord.core.memory.contributions import Author, Contribution
from peercoord.core.memory.places import Piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from peercoord.core.memory.sections import Path


class Reading:
    """What a call or a file gave.

    Attributes:
        contributions: New ones, in the order of the text.
        texts: By hash, the section texts that their bases name; whoever keeps them must have them at the merge.
        withdrawn: Ids of earlier contributions, not merged yet, that their author took out of the file.
        refused: What was not taken, and why; the rest was.
        notes: What its author should be told.
    """

    __slots__ = ("contributions", "notes", "refused", "texts", "withdrawn")

    def __init__(self) -> None:
        self.contributions: list[Contribution] = []
        self.texts: dict[str, bytes] = {}
        self.withdrawn: list[str] = []
        self.refused: list[UsageError] = []
        self.notes: list[str] = []


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
) -> Reading:
    """Read an ``update-memory`` call.

    Args:
        author: Who calls.
        document: The document, as named in the call.
        content: The text.
        nonce: The call's own id, so that the same call answered twice gives the same ids.
        briefed: The document as its author last saw it; ``None`` if there is none.
        section: The section's heading, or several with ``›`` between; none for the document as a whole.
        kind: ``addition`` or ``update``. An update that names no section is an addition: it cannot mean that the
            whole document should go.
        critical: It should wait for a person.

    Raises:
        UsageError: The call is not allowed, or gives nothing to merge; nothing of it is taken.
    """
    contributions.check_document(document)
    if kind not in contributions.KINDS:
        raise UsageError(f"type {ids.shown(kind)} is not known", hint=f"one of {', '.join(contributions.KINDS)}")
    text = contributions.check_text(content.replace("\r\n", "\n").replace("\r", "\n"), "the content")
    if _front(text.encode()):
        raise _no_front("the content")
    path = sections.parse_path(section) if section.strip() else ()
    if not text.strip() and not (kind == "update" and path):
        raise UsageError("there is nothing to contribute", hint="give the text with --content or --from")
    parts = places.without_first(places.parts_of(text), path[-1]) if path else places.parts_of(text)
    reading = Reading()
    write = _Writer(reading, author, f"call:{nonce}", document, critical)
    pieces = places.placed(sections.split(briefed or b"", document), path, parts)
    for piece in pieces:
        if piece.text or (kind == "update" and len(parts) == 1):
            write(piece, piece.text, "addition" if piece.loose else kind, write.base(piece))
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
    """Read a file of ``memory-contributions/``.

    Args:
        author: Whose worktree it lies in, for which task, and when it was collected.
        file: Its name.
        data: Its bytes.
        bank: The bank's documents as the author last saw them, by name.
        origin: For an edited copy: the document as it was when this file was collected for the first time. The
            caller keeps it as long as the file is there; ``None`` the first time.
        earlier: All that this peer contributed before from this file, in whatever state.
        merged: Which of these ids are in the bank (or were, and are settled).
        withdrawn: Which of them an earlier reading gave as withdrawn.

    Raises:
        UsageError: Nothing of the file can be taken; the message says why.
    """
    aim = places.purpose(file, author.peer, bank)
    contributions.check_document(aim.document)
    text = contributions.decode(data, file)
    known: dict[tuple[Path, int], list[Contribution]] = {}
    for one in sorted((e for e in earlier if e.source == file and e.peer == author.peer), key=lambda e: e.order):
        known.setdefault(one.key[1:], []).append(one)
    reading = Reading()
    write = _Writer(reading, author, file, aim.document)
    copied = aim.kind == "copy"
    saw = origin if copied and origin is not None else bank.get(aim.document, b"")
    front = _front(text.encode())
    if front and not (copied and front == _front(saw)):
        reading.refused.append(_no_front(file))
    base = sections.split(saw, aim.document)
    parts = places.parts_of(text) if copied else places.untitled(places.parts_of(text), base, aim, author.peer)
    pieces = places.placed(base, aim.prefix, parts, exact=copied)
    alone = [piece for piece in _empty(pieces) if piece.key not in known and not (copied and piece.section)]
    reading.refused += [_no_text(aim.document, [piece]) for piece in alone]
    for piece in pieces:
        past = _Past(known.pop(piece.key, ()), merged, withdrawn)
        _revise(write, aim.kind, piece, past)
    for ones in known.values():
        reading.withdrawn += [one.id for one in _Past(ones, merged, withdrawn).pending]
    if copied:
        there = {piece.key for piece in pieces}
        missing = (s for s in base.sections if s.core and (sections.fold(s.path), s.occurrence) not in there)
        reading.notes += [f"{sections.shown(s.path)} is not in your copy of {aim.document}; it stays" for s in missing]
    return reading


# -- what is no text ---------------------------------------------------------------------------------------------


def _empty(pieces: Sequence[Piece]) -> list[Piece]:
    """Give the headings under which nothing stands, no other heading with text among them."""
    full = [piece.key[0] for piece in pieces if piece.text]
    return [
        piece
        for piece in pieces
        if piece.named and not piece.text and not any(path[: len(piece.path)] == piece.key[0] for path in full)
    ]


def _no_text(document: str, empty: Sequence[Piece]) -> UsageError:
    if not empty:
        return UsageError("there is nothing to contribute", hint="give the text with --content or --from")
    headings = ", ".join(ids.shown(piece.path[-1]) for piece in empty)
    return UsageError(
        f"no text stands under {headings}, contributed to {document}",
        hint="write the text below its heading; a heading alone is not merged",
        code="no-text",
    )


def _front(text: bytes) -> str:
    return sections.plain(text[: sections.front(text)].removeprefix(sections.BOM))


def _no_front(what: str) -> UsageError:
    return UsageError(
        f"the front matter of {ids.shown(what)} is not merged: it is no text of a section",
        hint="say it under a heading, or leave a blank line after the first --- if that is a rule",
        code="front-matter",
    )


# -- one piece ---------------------------------------------------------------------------------------------------


class _Writer:
    """Makes contributions of one author, from one source, for one document."""

    def __init__(self, reading: Reading, author: Author, source: str, document: str, critical: bool = False) -> None:
        self.reading, self.author, self.source = reading, author, source
        self.document, self.critical = document, critical

    def base(self, piece: Piece) -> str:
        """Give the hash of the section as it stands, and keep its text."""
        return "" if piece.section is None else self.keep(piece.section.core)

    def keep(self, text: bytes) -> str:
        self.reading.texts[sections.digest(text)] = text
        return sections.digest(text)

    def __call__(self, piece: Piece, text: str, kind: str, base: str, supersedes: Sequence[Contribution] = ()) -> None:
        """Add a contribution, or the reason why it is refused."""
        try:
            made = contributions.make(
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
            where = f"{self.document}, {sections.shown(piece.path)}"
            self.reading.refused.append(UsageError(f"{ids.shown(where)}: {error.message}", error.hint, error.code))
        else:
            self.reading.contributions.append(made)


def _revise(write: _Writer, kind: str, piece: Piece, past: _Past) -> None:
    """Contribute what is new in a piece."""
    base = past.pending[0].base if past.pending else write.base(piece)
    text = piece.text
    if kind == "copy":
        before = _before(piece, past)
        kind, text = _difference(before, text, bool(piece.path))
        if past.settled:
            base = write.keep(before.encode())
        nothing = kind == "addition" and not text
    elif kind == "addition" or piece.loose:
        kind, text = "addition", _fresh(text, past.settled)
        nothing = not text
    else:
        updates = [one for one in past.settled if one.kind == "update"]
        if updates and not past.pending:
            base = write.keep(updates[-1].content.encode())
        nothing = not text or (piece.section is not None and text == piece.section.text and past.last is None)
    if nothing:
        write.reading.withdrawn += [one.id for one in past.pending]
    elif past.last is None or (past.last.content, past.last.kind) != (_dedent(text), kind):
        write(piece, text, kind, base, past.tips)


def _before(piece: Piece, past: _Past) -> str:
    """Give a section as an edited copy would hold it, had its author changed nothing since what was merged of it."""
    text = piece.section.text if piece.section else ""
    for one in past.settled:
        if one.kind == "update" or not text:
            text = one.content
        else:
            ways = (f"{text}{gap}{one.content}" for gap in ("\n", "\n\n", "\n\n\n"))
            text = next((way for way in ways if piece.text.startswith(way)), f"{text}\n\n{one.content}")
    return text


def _difference(before: str, text: str, named: bool) -> tuple[str, str]:
    """Give kind and text of an edit: what only adds at the end is an addition, and conflicts with nothing."""
    if text == before:
        return "addition", ""
    if not named:
        return "update", text  # an addition without a section would go below the title
    if not before or text.startswith(before + "\n"):
        return "addition", text[len(before) :].strip("\n")
    return "update", text


def _fresh(text: str, settled: Sequence[Contribution]) -> str:
    """Give what of an additions file is not in the bank yet, block by block."""
    if not settled:
        return text
    taken = Counter(block.key for one in settled for block in markdown.blocks(one.content))
    left = []
    for block in markdown.blocks(text):
        if taken[block.key]:
            taken[block.key] -= 1
        else:
            left.append(block)
    return additions.together(left)


def _dedent(text: str) -> str:
    # A list that is indented as a whole would become part of the last item of the list it is appended to.
    lines = text.split("\n")
    depth = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), default=0)
    return "\n".join(line[depth:] if line.strip() else line for line in lines) if 0 < depth < 4 else text
