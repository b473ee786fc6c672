"""Merge what is queued, document by document, and put each contribution where it belongs then.

A journal entry names all contributions that it settles and must fit into a record, so one merge takes some thousands at
most, in the order in which a single merge would take them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, UsageError
from peercoord.memory import markdown
from peercoord.memory.change import Changer, UnsettledError, stale_term
from peercoord.memory.document import path_text
from peercoord.memory.documents import Replacement
from peercoord.memory.journal import Journal, settled_by
from peercoord.memory.merge import merge
from peercoord.memory.outcome import Candidate, Merge3, Outcome
from peercoord.memory.recovery import finish_replaced
from peercoord.memory.store import DECIDED, SUPERSEDED, UNFIT, MemoryStore
from peercoord.memory.targets import spelt
from peercoord.queue.retention import TMP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from peercoord.foreign import Json
    from peercoord.memory.contribution import Contribution

MOST = 2000


def batches(store: MemoryStore, document: str, queued: list[Contribution]) -> Iterator[list[Contribution]]:
    """Divide what is queued into batches, at least one: an empty one settles what a crash left."""
    held = {one for candidate, *_ in store.waiting() if candidate.document == document for one in candidate.members}
    members = [one for one in queued if one.id in held]
    others = sorted((one for one in queued if one.id not in held), key=lambda one: one.order)
    for at in range(0, max(1, len(others)), MOST):
        part = others[at : at + MOST]
        yield [*members, *(without_merged(store, one) for one in part)] if at == 0 else part


def without_merged(store: MemoryStore, one: Contribution) -> Contribution:
    """Return an addition without the blocks that earlier additions, which it replaces, have brought already.

    A file may be edited at the very moment at which its earlier text is merged: its reader could not know.
    """
    if one.kind != "addition" or not one.supersedes:
        return one
    earlier = [old for old in store.merged(one.supersedes).values() if old.kind == "addition" and old.key == one.key]
    blocks = markdown.blocks(one.content)
    left = markdown.not_among(blocks, [old.content for old in earlier])
    if len(left) == len(blocks):
        return one
    return replace(one, content=markdown.together(left))


_PASSES = 3


@dataclass(slots=True)
class MergeSummary:
    """What a merge did to one document: ids of contributions by what became of them, and of new candidates."""

    document: str  # file name in the memory bank
    entry: str = ""  # id of the journal entry; empty if none was needed
    changed: bool = False  # the document is another one now
    note: str = ""  # why it was left alone, for people; empty if it was not
    applied: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)
    candidates: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        told = (self.applied, self.duplicates, self.superseded, self.candidates, self.rejected)
        return self.changed or bool(self.note) or any(told)


class Merging:
    """Merges into the documents of one memory bank."""

    def __init__(self, changer: Changer, merge3: Merge3, by: str, leads: Callable[[], bool]) -> None:
        self.changer, self.merge3, self.by, self.leads = changer, merge3, by, leads
        self.root, self.store, self.files = changer.root, changer.store, changer.files

    def run(self, documents: Collection[str] | None) -> list[MergeSummary]:
        """Merge into some documents, or all."""
        self.files.require()
        for candidate, *_ in self.store.waiting():
            record = self.store.decision(candidate.id)
            if record.get("what") == "reject":  # a crash came before it was carried out
                rejected(self.store, candidate, record)
        self._sweep()
        found: list[MergeSummary] = []
        for _ in range(_PASSES):
            self.store.requeued = False
            for name, queued in self._queues():
                if documents is None or name in documents:
                    found += self._merge(name, queued)
            if not self.store.requeued:  # what another leader overwrote came back after the queue was read
                break
        return [one for one in found if one]

    def _queues(self) -> Iterator[tuple[str, list[Contribution]]]:
        """Return what is queued, by document; nothing for a document with a journal that may have to be settled."""
        there, known = self.files.names(), self.store.documents()
        queued: dict[str, list[Contribution]] = {name: [] for name in known}
        for one in self.store.queued():
            queued.setdefault(spelt(one.document, there, known), []).append(one)
        yield from sorted(queued.items())

    def _merge(self, name: str, queued: list[Contribution]) -> Iterator[MergeSummary]:
        try:
            if not queued and self.changer.unsettled(name, self.files.read(name)):
                return  # its author is still writing, and nothing is queued for it
            for batch in batches(self.store, name, queued):
                yield self._merge_batch(name, batch)
        except UnsettledError as error:
            yield MergeSummary(
                name, note=f"{error.message}, and what is contributed to it waits", waiting=[one.id for one in queued]
            )
        except (BrokenFileError, UsageError) as error:
            yield MergeSummary(name, note=error.message)

    def _merge_batch(self, name: str, batch: list[Contribution]) -> MergeSummary:
        found = Outcome()
        waits: list[str] = []

        def merged(before: bytes | None, journal: Journal) -> Outcome | None:
            nonlocal found
            for one in batch:  # what the journal has settled is moved: its leader died
                word = journal.settled.get(one.id)
                if word == "superseded":
                    self.store.reject(one.id, SUPERSEDED, "its author replaced it", self.by)
                elif word:
                    self.store.settle([one.id])
            given = [one for one in batch if one.id not in journal.settled]
            waits[:] = [one.id for one in given] if before is None and journal.removed else []
            if waits:
                found = Outcome()
                return None
            candidates = [one.candidate for one in self.store.waiting() if one.candidate.document == name]
            if not given and not candidates:
                found = Outcome()
                return None
            found = merge(
                name, before, given, self.store.texts, self.merge3, candidates=candidates, settled=journal.settled
            )
            return found if found.edits or found.duplicates or found.superseded or found.applied else None

        entry = self.changer.change(name, "merge", self.by, self.leads, merged)
        summary = MergeSummary(name, entry.id if entry else "", bool(entry and entry.before != entry.after))
        if waits:
            summary.waiting, summary.note = waits, f"{name} was taken away: what is contributed to it waits"
            return summary
        if not self.leads():
            raise stale_term(name)
        self._place(found, summary)
        return summary

    def _place(self, found: Outcome, summary: MergeSummary) -> None:
        """Move everything where it belongs after a merge. After a crash the next merge repeats it."""
        summary.applied, summary.duplicates = found.applied, found.duplicates
        summary.superseded, summary.rejected = list(found.superseded), list(found.rejected)
        summary.waiting = list(found.waiting)
        self.store.settle([*found.applied, *found.duplicates])
        for ident, later in found.superseded.items():
            self.store.reject(ident, SUPERSEDED, f"its author replaced it by {later}", self.by)
        for ident, reason in found.rejected.items():
            self.store.reject(ident, UNFIT, reason, self.by)
        for candidate in found.candidates:
            try:
                self.store.offer(candidate)
            except UsageError as error:
                summary.note = f"{candidate.document}, {path_text(candidate.section)}: {error.message}"
            else:
                summary.candidates.append(candidate.id)
        for ident in found.void:
            if ident not in summary.candidates:
                self.store.dismiss(ident)

    def _sweep(self) -> None:
        """Remove staged files of crashed leaders."""
        litter = self.files.litter()
        for name in {step.name for path, _ in litter if (step := Replacement.read(path))}:
            finish_replaced(self.store, self.files, name)
        if litter:
            old = self.root.files.now() - TMP_SECONDS * 10**9
            for name, seen in litter:
                if max(seen.modified_ns, seen.changed_ns) < old:
                    self.files.drop(name)


def rejected(store: MemoryStore, candidate: Candidate, record: Json) -> None:
    """Carry out a person's rejection of a candidate."""
    settled = settled_by(store.entries(candidate.document))
    why = str(record.get("reason") or "declined")
    for ident in candidate.members:
        if ident not in settled:
            store.reject(ident, DECIDED, why, str(record.get("by", "")))
    store.dismiss(candidate.id)
