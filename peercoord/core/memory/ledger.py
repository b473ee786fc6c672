"""The ledger: what each merge did to a document, and what follows from it later.

The leader writes an entry *before* it replaces the document, and never changes it. Three accidents shaped this. A
leader that dies between the two must not merge twice: the entry says what the document would have become, so whoever
comes next sees whether it did (``landed``). A leader that was stopped and goes on may overwrite what its successor
merged: two entries then follow the same one, and the one that is not in the document is merged again
(``overwritten``). And text that a person took out, by hand or with git, must not come back by itself: it is missing
although its entry landed (``vanished``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from peercoord.core import ids
from peercoord.core.errors import BrokenFileError
from peercoord.core.memory import sections
from peercoord.core.memory.outcome import Edit
from peercoord.core.memory.sections import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from peercoord.core.memory.contributions import Contribution
    from peercoord.core.memory.outcome import Outcome
    from peercoord.core.memory.sections import Path
    from peercoord.core.records import Json

KINDS = ("merge", "decision", "undo", "progress", "foreign")


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of one document, by us or (``foreign``) by someone unknown.

    Attributes:
        id: ``e-`` and 16 hexadecimal digits; the same change after the same entry has the same id.
        document: File name in the memory bank.
        kind: One of ``KINDS``.
        previous: Id of the newest entry of this document that the writer knew; ``""`` for the first.
        before: Hash of the document before; ``""`` if there was none.
        after: Hash of the document after; ``""`` if it is removed.
        contributions: Ids that are settled by it: applied, or there already.
        superseded: Ids that are settled because a later one of their author replaces them.
        edits: What changed, by section.
        undoes: Id of the entry that it takes back.
        by: Who: the leading peer, or the person who decided.
        at: When (RFC 3339, UTC); for people.
    """

    id: str
    document: str
    kind: str
    previous: str
    before: str
    after: str
    contributions: tuple[str, ...]
    superseded: tuple[str, ...]
    edits: tuple[Edit, ...]
    undoes: str
    by: str
    at: str

    def record(self) -> Json:
        """Give the record to write."""
        return {
            "schema_version": 1,
            "id": self.id,
            "file": self.document,
            "kind": self.kind,
            "previous": self.previous,
            "before": self.before,
            "after": self.after,
            "contributions": list(self.contributions),
            "superseded": list(self.superseded),
            "edits": [
                {
                    "section": list(edit.section),
                    "occurrence": edit.occurrence,
                    "before": edit.before,
                    "after": edit.after,
                    "contributions": list(edit.contributions),
                }
                for edit in self.edits
            ],
            "undoes": self.undoes,
            "by": self.by,
            "at": self.at,
        }

    @classmethod
    def read(cls, raw: Json, where: str) -> Entry:
        """Check a record.

        Raises:
            BrokenFileError: It is no entry of the ledger.
        """
        try:
            edits = tuple(
                Edit(
                    section=tuple(str(part) for part in edit["section"]),
                    occurrence=int(edit["occurrence"]),
                    before=str(edit["before"]),
                    after=str(edit["after"]),
                    contributions=tuple(str(one) for one in edit["contributions"]),
                )
                for edit in raw["edits"]
            )
            words = {key: str(raw[key]) for key in ("kind", "previous", "before", "after", "undoes", "by", "at")}
            return cls(
                id=ids.check(raw["id"], "entry id"),
                document=str(raw["file"]),
                contributions=tuple(str(one) for one in raw["contributions"]),
                superseded=tuple(str(one) for one in raw["superseded"]),
                edits=edits,
                **words,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenFileError(f"{where} is no entry of the ledger: {ids.shown(str(error))}") from None


@dataclass(frozen=True, slots=True)
class Vanished:
    """Merged text that is no longer in the document.

    Attributes:
        entry: Id of the entry that merged it.
        section: Where it was put.
        occurrence: Which of the sections with that path.
        contributions: The contributions it came from: given to a merge again, they restore it.
        lines: What is missing.
    """

    entry: str
    section: Path
    occurrence: int
    contributions: tuple[str, ...]
    lines: tuple[str, ...]


def state(document: bytes | None) -> str:
    """Give the hash by which entries name a document's state; ``""`` for none."""
    return "" if document is None else digest(document)


def entry(
    name: str,
    kind: str,
    before: bytes | None,
    outcome: Outcome,
    *,
    previous: str,
    by: str,
    at: str,
    undoes: str = "",
) -> Entry:
    """Give the entry to write before a document is replaced by what an outcome says.

    Args:
        name: The document's name.
        kind: One of ``KINDS``.
        before: The document that the outcome was computed from; ``None`` if there was none.
        outcome: The merge, decision or undo.
        previous: Id of the newest entry of this document that was read for it.
        by: Who decided.
        at: When (RFC 3339, UTC).
        undoes: Id of the entry that it takes back.
    """
    settled = (*outcome.applied, *outcome.duplicates)
    old, superseded = state(before), tuple(outcome.superseded)
    new = old if before is None and not outcome.edits else state(outcome.document)
    words = "\n".join((name, kind, previous, old, new, undoes, *sorted(settled), "", *sorted(superseded)))
    made = "e-" + digest(words.encode())[:16]
    return Entry(made, name, kind, previous, old, new, settled, superseded, tuple(outcome.edits), undoes, by, at)


# -- what follows from it ----------------------------------------------------------------------------------------


def settled(entries: Iterable[Entry], without: Container[str] = ()) -> dict[str, str]:
    """Give the contributions that must not be merged again, and why: ``merged``, ``superseded`` or ``undone``.

    Args:
        entries: The ledger of one document.
        without: Ids of entries that do not count: those that ``landed`` denies, and ``overwritten`` ones.
    """
    known = [one for one in entries if one.id not in without]
    undone = {one.undoes for one in known if one.undoes}
    found: dict[str, str] = {}
    for one in known:
        found.update(dict.fromkeys(one.superseded, "superseded"))
        found.update(dict.fromkeys(one.contributions, "undone" if one.id in undone else "merged"))
    return found


def landed(one: Entry, document: bytes | None, texts: Mapping[str, bytes]) -> bool:
    """Tell whether the document of an entry reached the disk, when its writer did not live to say so.

    Where someone edited the document since, its text decides: it landed if any of what it added is there.

    Args:
        one: The entry.
        document: The document as it is.
        texts: Section bytes by hash, those that the entry names.
    """
    now = state(document)
    if now in (one.after, one.before):
        return now == one.after
    there = _lines(document or b"")
    added = Counter[str]()
    for edit in one.edits:
        added += _added(edit, texts)
    return any(line in there for line in added)


def overwritten(entries: Sequence[Entry], document: bytes | None, texts: Mapping[str, bytes]) -> list[Entry]:
    """Give the entries whose document another leader overwrote without having seen it.

    They are the ones that share their ``previous`` with another entry, that no later entry builds on, and whose
    text is not there. Their contributions are to be merged again.
    """
    twins = Counter(one.previous for one in entries)
    seen = {one.before for one in entries} - {""}
    undone = {one.undoes for one in entries}
    return [
        one
        for one in entries
        if twins[one.previous] > 1
        and one.id not in undone
        and one.before != one.after
        and one.after not in seen
        and not landed(one, document, texts)
    ]


def vanished(
    entries: Sequence[Entry],
    document: bytes | None,
    texts: Mapping[str, bytes],
    contributed: Mapping[str, Contribution],
) -> list[Vanished]:
    """Find merged text of which nothing is in the document any more, though no later entry took it out.

    A contribution of which some lines are left was edited, and is not listed.

    Args:
        entries: The ledger of one document, oldest first; without entries that never landed.
        document: The document as it is.
        texts: Section bytes by hash, those that the entries name.
        contributed: Merged contributions by id; one that is not given is not looked for.
    """
    there = _lines(document or b"")
    now = {_key(s.path, s.occurrence): digest(s.span) for s in sections.split(document or b"").sections}
    undone = {one.undoes for one in entries}
    found: list[Vanished] = []
    removed = Counter[str]()
    touched: set[tuple[Path, int]] = set()
    for one in reversed(entries):
        for edit in one.edits:
            added, key = _added(edit, texts), _key(edit.section, edit.occurrence)
            reverted = key not in touched and edit.before != edit.after and now.get(key, "") == edit.before
            for ident in edit.contributions if one.id not in undone else ():
                if ident in contributed:
                    wanted = _lines(contributed[ident].content.encode()) & added
                    left = wanted - removed
                    gone = bool(left) and not any(line in there for line in left)
                    if gone or (reverted and not wanted):
                        found.append(Vanished(one.id, edit.section, edit.occurrence, (ident,), tuple(left)))
        for edit in one.edits if one.kind != "foreign" else ():
            removed += _added(Edit(edit.section, edit.occurrence, edit.after, edit.before, ()), texts)
            touched.add(_key(edit.section, edit.occurrence))
    return found[::-1]


def foreign(last: Entry | None, document: bytes | None) -> bool:
    """Tell whether a document was changed by no one known since the last entry of its ledger that landed."""
    return last is not None and state(document) != last.after


def _key(path: Path, occurrence: int) -> tuple[Path, int]:
    return sections.fold(path), occurrence


def _added(edit: Edit, texts: Mapping[str, bytes]) -> Counter[str]:
    return _lines(texts.get(edit.after, b"")) - _lines(texts.get(edit.before, b""))


def _lines(text: bytes) -> Counter[str]:
    """Count the lines that say something: a rule, a bracket or a fence alone is found everywhere."""
    words = (line.strip() for line in sections.plain(text).split("\n"))
    return Counter(line for line in words if any(char.isalnum() for char in line))
