"""A merge of what is queued, document by document, and what becomes of each contribution then."""

from __future__ import annotations

from dataclasses import dataclass, field

from peercoord.core.errors import BrokenFileError, UsageError
from peercoord.core.memory import ledger, sections
from peercoord.core.memory import merge as pure
from peercoord.core.memory.outcome import Outcome
from peercoord.roles import bank_store as stores
from peercoord.roles.archivist import TMP_SECONDS, Archivist
from peercoord.roles.bank_change import Changer, UnsettledError, over
from peercoord.roles.bank_queue import Batch, batches, spelt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from peercoord.core.memory.conflicts import Merge3
    from peercoord.core.memory.contributions import Contribution
    from peercoord.core.memory.outcome import Candidate
    from peercoord.core.records import Json
    from peercoord.roles.bank_book import Book
    from peercoord.roles.bank_store import Store

_PASSES = 3


@dataclass(slots=True)
class Summary:
    """What a merge did to one document: ids of contributions by what became of them, and of new candidates.

    Attributes:
        document: File name in the memory bank.
        entry: Id of the ledger entry; empty if none was needed.
        changed: The document is another one now.
        note: Why it was left alone, for people; empty if it was not.
    """

    document: str
    entry: str = ""
    changed: bool = False
    note: str = ""
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
    """Merges into the documents of one memory bank.

    Args:
        changer: Changes them.
        merge3: The three-way text merge.
        by: The leading peer.
        leads: Tells whether it still leads.
    """

    def __init__(self, changer: Changer, merge3: Merge3, by: str, leads: Callable[[], bool]) -> None:
        self.changer, self.merge3, self.by, self.leads = changer, merge3, by, leads
        self.root, self.store, self.files = changer.root, changer.store, changer.files

    def run(self, documents: Collection[str] | None) -> list[Summary]:
        """Merge into some documents, or all."""
        self.files.require()
        self._finish_rejecting()
        self._sweep()
        found: list[Summary] = []
        for _ in range(_PASSES):
            self.store.requeued = False
            for name, queued in self._queues():
                if documents is None or name in documents:
                    found += self._merge(name, queued)
            if not self.store.requeued:  # what another leader overwrote came back after the queue was read
                break
        return [one for one in found if one]

    def _queues(self) -> Iterator[tuple[str, list[Contribution]]]:
        """Give what is queued, by document; nothing for a document with a ledger that may have to be settled."""
        there, known = self.files.names(), self.store.documents()
        queued: dict[str, list[Contribution]] = {name: [] for name in known}
        for one in self.store.queued():
            queued.setdefault(spelt(one.document, there, known), []).append(one)
        yield from sorted(queued.items())

    def _merge(self, name: str, queued: list[Contribution]) -> Iterator[Summary]:
        try:
            if not queued and self.changer.unsettled(name, self.files.read(name)):
                return  # nobody waits for what its author is still at
            for batch in batches(self.store, name, queued):
                yield self._merge_batch(batch)
        except UnsettledError as error:
            yield Summary(name, note=f"{error.message}, and what is contributed to it waits", waiting=_idents(queued))
        except (BrokenFileError, UsageError) as error:
            yield Summary(name, note=error.message)

    def _merge_batch(self, batch: Batch) -> Summary:
        name, found = batch.document, Outcome()
        waits: list[str] = []

        def merged(before: bytes | None, book: Book) -> Outcome | None:
            nonlocal found
            self._settle(batch.given, book)
            given = [one for one in batch.given if one.id not in book.settled]
            waits[:] = [one.id for one in given] if before is None and book.removed else []
            if waits:
                found = Outcome()
                return None
            waiting = self.store.waiting()
            candidates = [candidate for candidate, _, _ in waiting if candidate.document == name]
            if not given and not candidates:
                found = Outcome()
                return None
            found = pure.merge(
                name, before, given, self.store.texts, self.merge3, candidates=candidates, settled=book.settled
            )
            return found if found.edits or found.duplicates or found.superseded or found.applied else None

        entry = self.changer.change(name, "merge", self.by, self.leads, merged)
        summary = Summary(name, entry.id if entry else "", bool(entry and entry.before != entry.after))
        if waits:
            summary.waiting, summary.note = waits, f"{name} was taken away: what is contributed to it waits"
            return summary
        if not self.leads():
            raise over(name)
        self._place(found, summary)
        return summary

    def _settle(self, given: Collection[Contribution], book: Book) -> None:
        """Finish what a leader that died left: contributions in ``queued/`` that the ledger has settled."""
        for one in given:
            word = book.settled.get(one.id)
            if word == "superseded":
                self.store.reject(one.id, stores.SUPERSEDED, "its author replaced it", self.by)
            elif word:
                self.store.settle([one.id])

    def _place(self, found: Outcome, summary: Summary) -> None:
        """Put everything where it belongs after a merge. Each step may be the last one: the next merge repeats it."""
        summary.applied, summary.duplicates = found.applied, found.duplicates
        summary.superseded, summary.rejected = list(found.superseded), list(found.rejected)
        summary.waiting = list(found.waiting)
        self.store.settle([*found.applied, *found.duplicates])
        for ident, later in found.superseded.items():
            self.store.reject(ident, stores.SUPERSEDED, f"its author replaced it by {later}", self.by)
        for ident, reason in found.rejected.items():
            self.store.reject(ident, stores.UNFIT, reason, self.by)
        for candidate in found.candidates:
            try:
                self.store.offer(candidate)
            except UsageError as error:
                summary.note = f"{candidate.document}, {sections.shown(candidate.section)}: {error.message}"
            else:
                summary.candidates.append(candidate.id)
        for ident in found.void:
            if ident not in summary.candidates:
                self.store.dismiss(ident)

    def _sweep(self) -> None:
        """Clear away what a crash left beside the documents."""
        litter = self.files.litter()
        if litter:
            old = Archivist(self.root).now() - TMP_SECONDS * 10**9
            for name, seen in litter:
                if max(seen.modified_ns, seen.changed_ns) < old:
                    self.files.drop(name)

    def _finish_rejecting(self) -> None:
        for candidate, _, _ in self.store.waiting():
            record = self.store.decision(candidate.id)
            if record.get("what") == "reject":
                rejected(self.store, candidate, record)


def _idents(queued: Iterable[Contribution]) -> list[str]:
    return [one.id for one in queued]


def rejected(store: Store, candidate: Candidate, record: Json) -> None:
    """Put into effect that a person declined a candidate."""
    settled = ledger.settled(store.entries(candidate.document))
    why = str(record.get("reason") or "declined")
    for ident in candidate.members:
        if ident not in settled:
            store.reject(ident, stores.DECIDED, why, str(record.get("by", "")))
    store.dismiss(candidate.id)
