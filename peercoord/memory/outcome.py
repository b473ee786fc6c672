"""What a merge returns: merged text in pieces, candidates for a person, and what became of each contribution.

A three-way merge is kept as pieces (agreed text and conflicts), so that each way to settle a conflict is made without
merging again. Markers are longer than anything in the texts: a document that shows conflict markers is no trap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError
from peercoord.foreign import shown
from peercoord.memory.document import Document, Path, digest, fold_path, path_text
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
    """Return the merge of texts that cannot be merged: one conflict, all of it."""
    return Merged([Conflict(ours, base, theirs)])


def marker_size(*texts: str) -> int:
    """Return a length for conflict markers that no line of the texts begins with."""
    longest = _USUAL - 1
    for text in texts:
        for line in text.split("\n"):
            if line[:_USUAL] in _LONG:
                longest = max(longest, len(line) - len(line.lstrip(line[0])))
    return longest + 1


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
    """One side of a candidate.

    Attributes:
        label: Whose it is: the peers, or ``memory bank`` for the text as it stands.
        text: The section's whole text on this side.
        authors: Peer and task of each contribution in it.
    """

    label: str
    text: str
    authors: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A change of one section that waits for a person.

    Attributes:
        id: ``k-`` and 16 hexadecimal digits; the same change of the same text has the same id.
        document: File name in the memory bank.
        section: Heading path.
        occurrence: Which of the sections with that path.
        why: Why it waits, in one line.
        conflict: Two sides differ: ``proposed`` holds conflict markers.
        critical: It waits even though it may merge cleanly.
        members: Ids of its contributions.
        current: Hash of the section it was made against; ``""`` if there is none.
        base: The text both sides started from.
        left: What stands, or the first of two sides.
        right: The other side.
        takes: The section's text for each choice of ``CHOICES``.
    """

    id: str
    document: str
    section: Path
    occurrence: int
    why: str
    conflict: bool
    critical: bool
    members: tuple[str, ...]
    current: str
    base: str
    left: Side
    right: Side
    takes: dict[str, str]

    @property
    def proposed(self) -> str:
        """The text to approve or to edit."""
        return self.takes["proposed"]

    def record(self, at: str) -> Json:
        """Return the record to write, made ``at`` (RFC 3339, UTC)."""
        return {
            "schema_version": 1,
            "id": self.id,
            "file": self.document,
            "section": list(self.section),
            "occurrence": self.occurrence,
            "why": self.why,
            "conflict": self.conflict,
            "critical": self.critical,
            "contributions": list(self.members),
            "current": self.current,
            "base": self.base,
            "left": _side(self.left),
            "right": _side(self.right),
            "takes": self.takes,
            "made_at": at,
        }

    @classmethod
    def read(cls, raw: Json, where: str) -> Candidate:
        """Check a record.

        Raises:
            BrokenFileError: It is no candidate.
        """
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
    """What a merge did to one section.

    Attributes:
        section: Heading path.
        occurrence: Which of the sections with that path.
        before: Hash of the section's bytes before, heading included; ``""`` if it was made.
        after: Hash of its bytes after.
        contributions: Ids of what went into it; none where only a blank line moved.
    """

    section: Path
    occurrence: int
    before: str
    after: str
    contributions: tuple[str, ...]


@dataclass(slots=True)
class Outcome:
    """What became of a document and of every contribution. Each contribution is in exactly one place.

    Attributes:
        document: The document after the merge; the very same bytes if nothing was applied.
        applied: Ids whose text is in it now.
        duplicates: Ids whose text was there already; nothing was added.
        superseded: Ids that a later contribution of the same author replaces, and by which.
        candidates: New candidates; their members wait in them.
        standing: Candidates given that still hold, with their members.
        void: Candidates given that no longer hold: a member was replaced or settled, or the section changed since.
            Their members went through this merge again.
        waiting: Ids that queue behind a candidate of their section, and which.
        rejected: Ids that cannot be taken, and why.
        edits: What changed, by section.
        texts: By hash, the bytes that ``edits`` names: to be kept as long as the merge can be undone.
    """

    document: bytes = b""
    applied: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    superseded: dict[str, str] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    standing: list[Candidate] = field(default_factory=list)
    void: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)


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
