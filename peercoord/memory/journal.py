"""The journal of a document: what each merge did to it, what follows from that, and how to undo it.

The leader writes an entry *before* it replaces the document, and never changes the entry. So the successor of a
leader that died sees whether the document was replaced, and two entries that follow the same one show that two leaders
did not see each other.

An undo restores the document byte for byte if nothing happened since. Later it works section by section: a section that
is as the merge left it becomes what it was, appended text that stands there once is cut out, anything else goes through
a three-way merge. If one section cannot be undone, none is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, PeercoordError
from peercoord.foreign import shown
from peercoord.memory.document import Section, digest, fold_path, lf_text, path_text, split_document, trimmed
from peercoord.memory.draft import Draft, Node, ends_blank
from peercoord.memory.outcome import Edit, Merge3, Outcome, as_record, changed
from peercoord.store import ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peercoord.foreign import Json

KINDS = ("merge", "decision", "undo", "progress", "foreign")


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of one document, by us or (``foreign``) by someone unknown."""

    id: str  # ``e-`` and 16 hexadecimal digits; the same change after the same entry has the same id
    document: str  # file name in the memory bank
    kind: str  # one of ``KINDS``
    previous: str  # id of the newest entry of this document that the writer knew; ``""`` for the first
    before: str  # hash of the document before; ``""`` if there was none
    after: str  # hash of the document after; ``""`` if it is removed
    contributions: tuple[str, ...]  # ids that are settled by it: applied, or there already
    superseded: tuple[str, ...]  # ids that are settled because a later one of their author replaces them
    edits: tuple[Edit, ...]  # what changed, by section
    undoes: str  # id of the entry that it takes back
    by: str  # who: the leading peer, or the person who decided
    at: str  # when (RFC 3339, UTC); for people

    def record(self) -> Json:
        """Return the record to write."""
        return as_record(asdict(self))

    @classmethod
    def read(cls, raw: Json, where: str) -> Entry:
        """Check a record; a ``BrokenFileError`` if it is no journal entry."""
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
            raise BrokenFileError(f"{where} is no entry of the journal: {shown(str(error))}") from None


@dataclass(frozen=True, slots=True)
class Journal:
    """What was done to one document, oldest entry first, as far as it counts."""

    entries: list[Entry]

    @property
    def previous(self) -> str:
        """What the next entry names as the one before it."""
        return self.entries[-1].id if self.entries else ""

    @property
    def settled(self) -> dict[str, str]:
        """Contributions that are not to be merged again, and why."""
        return settled_by(self.entries)

    @property
    def removed(self) -> bool:
        """Whether someone unknown removed the document."""
        return bool(self.entries) and self.entries[-1].kind == "foreign" and not self.entries[-1].after


def state_of(document: bytes | None) -> str:
    """Return the hash by which entries name a document's state; ``""`` for none."""
    return "" if document is None else digest(document)


def new_entry(
    name: str, kind: str, before: bytes | None, outcome: Outcome, *, previous: str, by: str, at: str, undoes: str = ""
) -> Entry:
    """Return the entry to write before a document is replaced by what an outcome says."""
    settled = (*outcome.applied, *outcome.duplicates)
    old, superseded = state_of(before), tuple(outcome.superseded)
    new = old if before is None and not outcome.edits else state_of(outcome.document)
    words = "\n".join((name, kind, previous, old, new, undoes, *sorted(settled), "", *sorted(superseded)))
    made = "e-" + digest(words.encode())[:16]
    return Entry(made, name, kind, previous, old, new, settled, superseded, tuple(outcome.edits), undoes, by, at)


# -- what follows from it ----------------------------------------------------------------------------------------


def settled_by(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the contributions that must not be merged again, and why: ``merged``, ``superseded`` or ``undone``."""
    undone = {one.undoes for one in entries if one.undoes}
    found: dict[str, str] = {}
    for one in entries:
        found.update(dict.fromkeys(one.superseded, "superseded"))
        found.update(dict.fromkeys(one.contributions, "undone" if one.id in undone else "merged"))
    return found


def landed(one: Entry, document: bytes | None, texts: Mapping[str, bytes]) -> bool:
    """Check whether an entry's document reached the disk before its writer crashed.

    If the document was edited since, its text decides: the entry landed if anything that it added is there.
    """
    now = state_of(document)
    if now in (one.after, one.before):
        return now == one.after
    there = _lines(document or b"")
    added = Counter[str]()
    for edit in one.edits:
        added += _lines(texts.get(edit.after, b"")) - _lines(texts.get(edit.before, b""))
    return any(line in there for line in added)


def overwritten(entries: Sequence[Entry], document: bytes | None, texts: Mapping[str, bytes]) -> list[Entry]:
    """Return the entries whose document another leader overwrote without having seen it.

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


def _lines(text: bytes) -> Counter[str]:
    """Count the lines that say something: a rule, a bracket or a fence alone is found everywhere."""
    words = (line.strip() for line in lf_text(text).split("\n"))
    return Counter(line for line in words if any(char.isalnum() for char in line))


def undo_entry(
    entry: Entry, document: bytes | None, texts: Mapping[str, bytes], merge3: Merge3, backup: bytes | None = None
) -> Outcome:
    """Compute a document without one of its merges."""
    now = document or b""
    if state_of(document) == entry.after and state_of(backup or b"") == (entry.before or digest(b"")):
        return changed(now, backup or b"")
    work = _Undo(now, texts, merge3, entry)
    for edit in reversed(entry.edits):
        work.take_back(edit)
    return changed(now, work.finish())


class _Undo:
    """One undo in progress."""

    def __init__(self, document: bytes, texts: Mapping[str, bytes], merge3: Merge3, entry: Entry) -> None:
        self.draft = Draft(split_document(document, entry.document))
        self.texts, self.merge3, self.entry = texts, merge3, entry
        self.last = list(self.draft)[-1]
        made = [self._section(edit.after) for edit in entry.edits if not edit.before]
        self.at_end = any(one is not None and not ends_blank(one.span) for one in made)
        self.end: bytes | None = None  # the tail of what stood at the end of the document before the merge

    def take_back(self, edit: Edit) -> None:
        """Take back what the merge did to one section."""
        node = self.draft.at(edit.section, edit.occurrence)
        before, after = self._section(edit.before), self._section(edit.after)
        if after is None or (edit.before and before is None):
            raise self._refusal(edit, "its text was not kept")
        if node is None:
            if edit.before and edit.contributions:
                raise self._refusal(edit, "the section is no longer there")
            self.end = before.tail if before else self.end
        elif before is None:
            self._reconcile(edit, node, "", after.text)
            if not node.core and (node.next is None or node.next.level <= node.level):
                self.draft.remove(node)
        else:
            self._restore(edit, node, before, after)

    def _restore(self, edit: Edit, node: Node, before: Section, after: Section) -> None:
        """Restore what the merge changed in a section, part by part, byte for byte where that is possible."""
        if node.core == after.core:
            node.core = before.core
        elif before.text != after.text:
            self._reconcile(edit, node, before.text, after.text)
        if node.head == after.head:
            node.head = before.head
        if node.lead == after.lead:
            node.lead = before.lead
        if node.next is not None and self.at_end and node.core == after.core:
            self.end = before.tail  # a heading came later: the line before it stays blank
        elif node.tail == after.tail:
            node.tail = before.tail

    def finish(self) -> bytes:
        """Return the document, after a check that it has the sections it should have."""
        last = list(self.draft)[-1]
        if self.end is not None and last is not self.last:
            last.tail = self.end  # it is last now, and ends the document as the removed section did
        document = self.draft.join()
        meant = [(node.level, fold_path(node.path)) for node in self.draft]
        if [(s.level, fold_path(s.path)) for s in split_document(document).sections] != meant:
            raise PeercoordError(
                f"the merge {self.entry.id} of {self.entry.document} can no longer be taken back: its sections moved",
                hint="edit the document by hand",
                code="no-longer-applies",
            )
        return document

    def _reconcile(self, edit: Edit, node: Node, before: str, after: str) -> None:
        text = node.text
        if text == after:
            result: str | None = before
        else:
            result = _without(text, _inserted(before, after))
        if result is None:
            merged = self.merge3(*(f"{part}\n" if part else "" for part in (text, after, before)))
            if not merged.clean:
                raise self._refusal(edit, "its text was changed since")
            result = trimmed(merged.take(ours=True, theirs=True))
        if not self.draft.put(edit.section, edit.occurrence, result, free=True):
            raise self._refusal(edit, "what is left would not stand alone")

    def _section(self, name: str) -> Section | None:
        if name not in self.texts:
            return None
        found = split_document(self.texts[name]).sections
        return found[1] if len(found) > 1 and not found[0].span else found[0]

    def _refusal(self, edit: Edit, why: str) -> PeercoordError:
        where = f"{self.entry.document}, {path_text(edit.section, edit.occurrence)}"
        return PeercoordError(
            f"the merge {self.entry.id} can no longer be taken back: {where}: {why}",
            hint="edit the document by hand",
            code="no-longer-applies",
        )


def _inserted(before: str, after: str) -> str:
    """Return the lines that were put into a text; empty if it was changed otherwise."""
    old, new = before.split("\n") if before else [], after.split("\n")
    head = next((at for at, line in enumerate(old) if at == len(new) or line != new[at]), len(old))
    foot = len(old) - head
    if len(new) < len(old) or (foot and old[head:] != new[-foot:]):
        return ""
    return "\n".join(new[head : len(new) - foot]).strip("\n")


def _without(text: str, part: str) -> str | None:
    """Cut whole lines out of a text; ``None`` if they do not stand there exactly once."""
    inside, cut = f"\n{text}\n", f"\n{part}\n"
    at = inside.find(cut)
    if not part or at < 0 or inside.find(cut, at + 1) >= 0:
        return None
    head, tail = inside[:at].rstrip("\n"), inside[at + len(cut) :].strip("\n")
    tight = not inside[:at].endswith("\n") and not inside[at + len(cut) :].startswith("\n")
    return trimmed(head + ("\n" if tight else "\n\n") + tail)
