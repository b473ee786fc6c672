"""What a merge returns: merged text in pieces, candidates for a person, and what became of each contribution.

A three-way merge is kept as pieces (agreed text and conflicts), so that each way to settle a conflict is made without
merging again. Markers are longer than anything in the texts: a document that shows conflict markers is no trap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError
from peercoord.foreign import shown
from peercoord.memory.document import Document, Path, digest, fold_path, path_text, split_document
from peercoord.store import ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from peercoord.foreign import Json


Merge3 = Callable[[str, str, str], "Merged"]
"""Three-way merge of ``LF`` texts: ours, base, theirs."""

_CHARS = "<|=>"
_USUAL = 7
_LONG = frozenset(char * _USUAL for char in _CHARS)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A place where two sides differ; each text is whole lines or empty."""

    ours: str
    base: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Merged:
    """What a three-way merge gave: agreed texts and conflicts, in order."""

    pieces: Sequence[str | Conflict]

    @property
    def clean(self) -> bool:
        """No conflict is in it."""
        return all(isinstance(piece, str) for piece in self.pieces)

    def take(self, ours: bool, theirs: bool) -> str:
        """Return the text with each conflict settled for one side, the other, or both in turn."""
        parts = []
        for piece in self.pieces:
            if isinstance(piece, str):
                parts.append(piece)
            else:
                parts += [piece.ours] * ours + [piece.theirs] * theirs
        return "".join(parts)

    def marked(self, ours: str, theirs: str) -> str:
        """Return the text with conflict markers, as people know them, for an editor."""
        whole = "".join(p if isinstance(p, str) else p.ours + p.base + p.theirs for p in self.pieces)
        size = marker_size(whole)
        parts = []
        for piece in self.pieces:
            if isinstance(piece, str):
                parts.append(piece)
            else:
                parts += [f"{'<' * size} {ours}\n", piece.ours, f"{'|' * size} base\n", piece.base]
                parts += [f"{'=' * size}\n", piece.theirs, f"{'>' * size} {theirs}\n"]
        return "".join(parts)


def whole_conflict(ours: str, base: str, theirs: str) -> Merged:
    """Return one conflict of two whole texts, for texts that cannot be merged."""
    return Merged([Conflict(ours, base, theirs)])


def marker_size(*texts: str) -> int:
    """Return a length for conflict markers that no line of the texts begins with."""
    longest = _USUAL - 1
    for text in texts:
        for line in text.split("\n"):
            if line[:_USUAL] in _LONG:
                longest = max(longest, len(line) - len(line.lstrip(line[0])))
    return longest + 1


def has_markers(text: str, size: int) -> bool:
    """Check whether a text holds conflict markers of this length."""
    return any(line.startswith(("<" * size, ">" * size)) for line in text.split("\n"))


def parse_marked(marked: str, size: int) -> Merged:
    """Take marked text apart."""
    starts = tuple(char * size for char in _CHARS)
    pieces: list[str | Conflict] = []
    sides: list[list[str]] = [[]]
    for line in marked.split("\n")[:-1]:
        if line.startswith(starts):
            at = _CHARS.index(line[0])
            if at == 0 and sides[0]:
                pieces.append("".join(sides[0]))
            if at == 3:
                ours, base, theirs = ("".join(side) for side in sides[1:])
                pieces.append(Conflict(ours, base, theirs))
                sides = [[]]
            else:
                sides.append([])
        else:
            sides[-1].append(line + "\n")
    if sides[0]:
        pieces.append("".join(sides[0]))
    return Merged(pieces)


BANK = "memory bank"
CHOICES = ("left", "right", "both", "proposed")


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a candidate."""

    label: str  # whose it is: the peers, or ``memory bank`` for the text as it stands
    text: str  # the section's whole text on this side
    authors: tuple[tuple[str, str], ...] = ()  # peer and task of each contribution in it


@dataclass(frozen=True, slots=True)
class Candidate:
    """A change of one section that waits for a person."""

    id: str  # ``k-`` and 16 hexadecimal digits; the same change of the same text has the same id
    document: str  # file name in the memory bank
    section: Path  # heading path
    occurrence: int  # which of the sections with that path
    why: str  # why it waits, in one line
    conflict: bool  # two sides differ: ``proposed`` holds conflict markers
    critical: bool  # it waits even though it may merge cleanly
    members: tuple[str, ...]  # ids of its contributions
    current: str  # hash of the section it was made against; ``""`` if there is none
    base: str  # the text both sides started from
    left: Side  # what stands, or the first of two sides
    right: Side  # the other side
    takes: dict[str, str]  # the section's text for each choice of ``CHOICES``

    @property
    def proposed(self) -> str:
        """The text to approve or to edit."""
        return self.takes["proposed"]

    @property
    def marker(self) -> int:
        """The length of its conflict markers; shorter ones are the document's own."""
        return marker_size(self.base, self.takes["both"])

    def record(self, at: str) -> Json:
        """Return the record to write, made ``at`` (RFC 3339, UTC)."""
        sides = {"left": _side(self.left), "right": _side(self.right)}
        return {**as_record({**asdict(self), **sides}), "made_at": at}

    @classmethod
    def read(cls, raw: Json, where: str) -> Candidate:
        """Check a record; a ``BrokenFileError`` if it is no candidate."""
        try:
            made = cls(
                id=ids.check(raw["id"], "candidate id"),
                document=str(raw["file"]),
                section=tuple(str(part) for part in raw["section"]),
                occurrence=int(raw["occurrence"]),
                why=str(raw["why"]),
                conflict=bool(raw["conflict"]),
                critical=bool(raw["critical"]),
                members=tuple(ids.check(one, "contribution id") for one in raw["contributions"]),
                current=str(raw["current"]),
                base=str(raw["base"]),
                left=_read_side(raw["left"]),
                right=_read_side(raw["right"]),
                takes={choice: str(raw["takes"][choice]) for choice in CHOICES},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenFileError(f"{where} is no merge candidate: {shown(str(error))}") from None
        return made


@dataclass(frozen=True, slots=True)
class Edit:
    """What a merge did to one section."""

    section: Path  # heading path
    occurrence: int  # which of the sections with that path
    before: str  # hash of the section's bytes before, heading included; ``""`` if it was made
    after: str  # hash of its bytes after
    contributions: tuple[str, ...]  # ids of what went into it; none where only a blank line moved


@dataclass(slots=True)
class Outcome:
    """What became of a document and of every contribution. Each contribution is in exactly one place."""

    document: bytes = b""  # the document after the merge; the very same bytes if nothing was applied
    applied: list[str] = field(default_factory=list)  # ids whose text is in it now
    duplicates: list[str] = field(default_factory=list)  # ids whose text was there already; nothing was added
    superseded: dict[str, str] = field(default_factory=dict)  # by id, the later one of its author that replaces it
    candidates: list[Candidate] = field(default_factory=list)  # new candidates; their members wait in them
    standing: list[Candidate] = field(default_factory=list)  # candidates given that still hold, with their members
    void: list[str] = field(default_factory=list)  # candidates that no longer hold; their members were merged again
    waiting: dict[str, str] = field(default_factory=dict)  # by id, the candidate of its section that it waits behind
    rejected: dict[str, str] = field(default_factory=dict)  # ids that cannot be taken, and why
    edits: list[Edit] = field(default_factory=list)  # what changed, by section
    texts: dict[str, bytes] = field(default_factory=dict)  # by hash, the bytes that ``edits`` names: kept for undo


def compare(
    before: Document, after: Document, sources: Mapping[tuple[Path, int], Sequence[str]] | None = None
) -> tuple[list[Edit], dict[str, bytes]]:
    """Compare two states of a document by section.

    A section that is gone has ``""`` for ``after``. Foreign changes, undos and the section kept in ``progress.md``
    are written down so.
    """
    old = {(fold_path(section.path), section.occurrence): section for section in before.sections}
    new = {(fold_path(section.path), section.occurrence): section for section in after.sections}
    edits, texts = [], {}
    for key in dict.fromkeys((*new, *old)):
        left, right = old.get(key), new.get(key)
        named = right or left
        if named and (left and left.span) != (right and right.span):
            hashes = [digest(section.span) if section else "" for section in (left, right)]
            made_of = tuple((sources or {}).get(key, ()))
            edits.append(Edit(named.path, named.occurrence, hashes[0], hashes[1], made_of))
            texts.update({digest(section.span): section.span for section in (left, right) if section})
    return edits, texts


def changed(before: bytes, after: bytes, name: str = "the document") -> Outcome:
    """Return the outcome that makes one text of a document of another."""
    edits, texts = compare(split_document(before, name), split_document(after, name))
    return Outcome(document=after, edits=edits, texts=texts)


def as_record(fields: Json) -> Json:
    """Return the record of a candidate or a journal entry, which has other names for two of its fields."""
    names = {"document": "file", "members": "contributions"}
    return {"schema_version": 1, **{names.get(key, key): value for key, value in fields.items()}}


def candidate_id(document: str, section: Path, occurrence: int, current: str, members: tuple[str, ...]) -> str:
    """Return the id of a change, the same on every machine."""
    words = [document, path_text(section, occurrence), current, *sorted(members)]
    return "k-" + digest("\n".join(words).encode("utf-8", "surrogatepass"))[:16]


def _side(side: Side) -> Json:
    authors = [{"instance_id": peer, "task_id": task or None} for peer, task in side.authors]
    return {"label": side.label, "text": side.text, "authors": authors}


def _read_side(raw: Any) -> Side:
    authors = tuple((str(one["instance_id"]), ids.read(one["task_id"])) for one in raw["authors"])
    return Side(str(raw["label"]), str(raw["text"]), authors)
