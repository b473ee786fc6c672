"""What a merge gives back: the document, what became of every contribution, and what waits for a person.

Plain records with their JSON forms; the deciding is in ``merge``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from peercoord.core import ids
from peercoord.core.errors import BrokenFileError
from peercoord.core.memory.sections import digest, fold, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from peercoord.core.memory.sections import Document, Path
    from peercoord.core.records import Json

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
        """Give the record to write, made ``at`` (RFC 3339, UTC)."""
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
            raise BrokenFileError(f"{where} is no merge candidate: {ids.shown(str(error))}") from None
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
    """Give what differs between two states of a document, by section, with the bytes that this names.

    A section that is gone has ``""`` for ``after``. Foreign changes, undos and the section kept in ``progress.md``
    are written down so.

    Args:
        before: The document before.
        after: The document after.
        sources: By folded path and occurrence, the contributions that went into a section.
    """
    old = {(fold(section.path), section.occurrence): section for section in before.sections}
    new = {(fold(section.path), section.occurrence): section for section in after.sections}
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
    """Give the id that a change of a text has, whoever computes it."""
    words = [document, shown(section, occurrence), current, *sorted(members)]
    return "k-" + digest("\n".join(words).encode("utf-8", "surrogatepass"))[:16]


def _side(side: Side) -> Json:
    authors = [{"instance_id": peer, "task_id": task or None} for peer, task in side.authors]
    return {"label": side.label, "text": side.text, "authors": authors}


def _read_side(raw: Any) -> Side:
    authors = tuple((str(one["instance_id"]), str(one["task_id"] or "")) for one in raw["authors"])
    return Side(str(raw["label"]), str(raw["text"]), authors)
