"""The memory bank: merge what is queued, decide, undo.

Promises: every contribution ends in exactly one place and is applied exactly once, whichever process dies or stops.
What a person saves in a document is never overwritten: the merge is computed again on it. What a person removed does
not come back by itself. There is one exception: a leader dies right after it replaced a document, before it could note
that, and a person changes the new text before the next merge. Then the contributed text is merged again.

Callers may run at the same time. A lock keeps them apart where it works, but nothing depends on it: a stopped process
that holds the lock delays the others only for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import LostError, NotFoundError, UsageError
from peercoord.foreign import shown
from peercoord.memory import contribution, outcome
from peercoord.memory.change import Changer
from peercoord.memory.contribution import Contribution
from peercoord.memory.documents import BankDisk, Documents
from peercoord.memory.journal import Entry, Journal, undo_entry
from peercoord.memory.merge import decide
from peercoord.memory.merging import MergeSummary, Merging, rejected
from peercoord.memory.outcome import Candidate, Outcome
from peercoord.memory.progress_section import PROGRESS, GeneratedSection, with_progress
from peercoord.memory.store import MemoryStore, Waiting, ordered
from peercoord.memory.textmerge import merger
from peercoord.store import records

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from peercoord.foreign import Json
    from peercoord.memory.documents import BankDiskLike
    from peercoord.store.root import Root

_LIST = "peercoord review list"


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides, for the record: a person's name, and from where (``host``, ``pid``, ``tty``, ``program``)."""

    name: str
    source: Json = field(default_factory=dict)


class Bank:
    """One project's memory bank; ``place`` is its directory in the main checkout, or the system calls on it."""

    def __init__(self, root: Root, place: str | BankDiskLike) -> None:
        self.root = root
        self.store = MemoryStore(root)
        disk = BankDisk(place) if isinstance(place, str) else place
        self.files = Documents(disk, root.files.token)
        self.changer = Changer(self.store, self.files)

    # -- looking ---------------------------------------------------------------------------------------------

    def documents(self) -> list[str]:
        """Names of the documents, sorted."""
        return self.files.names()

    def read(self, document: str) -> bytes | None:
        """Return a document; ``None`` if there is none."""
        return self.files.read(document)

    def waiting(self, document: str | None = None) -> list[Waiting]:
        """Return what waits for a person, oldest first."""
        return [one for one in self.store.waiting() if document is None or one.candidate.document == document]

    def entries(self, document: str | None = None) -> list[Entry]:
        """Return the journal of one document, or of all, oldest entry first."""
        if document is not None:
            return self.store.entries(contribution.check_document(document))
        return ordered(one for name in self.store.documents() for one in self.store.entries(name))

    def contribution(self, ident: str) -> Contribution | None:
        """Find a contribution, whatever its state."""
        return self.store.contribution(ident)

    def foreign(self) -> list[Entry]:
        """Return the changes by someone unknown, oldest first. The next merge after each one noted it."""
        return [one for one in self.entries() if one.kind == "foreign"]

    # -- merging ---------------------------------------------------------------------------------------------

    def merge(self, by: str, leads: Callable[[], bool], documents: Collection[str] | None = None) -> list[MergeSummary]:
        """Merge what is queued, in all documents or those named; return what was done where something was.

        Args:
            by: Who merges, for the journal.
            leads: Whether ``by`` still leads; called before each write that counts.
            documents: File names; all documents if left out.

        Raises:
            LostError: Another peer leads now.
            NotFoundError: The bank's directory is missing.
            StorageError: The filesystem refused; the next merge finishes what was begun.
        """
        with self.changer.exclusive(), merger() as merge3:
            return Merging(self.changer, merge3, by, leads).run(documents)

    def progress(
        self,
        table: str,
        by: str,
        leads: Callable[[], bool],
        document: str = "progress.md",
        section: GeneratedSection = PROGRESS,
    ) -> Entry | None:
        """Refresh a section that the leader keeps; ``None`` if it is up to date, or the document was removed.

        Args:
            table: The text of the section, see ``progress_section``.
            by: Who refreshes it, for the journal.
            leads: Whether ``by`` still leads; a ``LostError`` says that it does not.
            document: The document that the section is in; created if it is missing.
            section: Which section.
        """

        def refreshed(before: bytes | None, journal: Journal) -> Outcome | None:
            if before is None and journal.removed:
                return None
            after = with_progress(before or b"", table, section)
            if after == before:
                return None
            return outcome.changed(before or b"", after, document)

        with self.changer.exclusive():
            self.files.require()
            return self.changer.change(document, "progress", by, leads, refreshed)

    # -- deciding --------------------------------------------------------------------------------------------

    def approve(self, candidate_id: str, text: str, decider: Decider) -> Entry:
        """Put a person's decision into the document: one of the candidate's ``takes``, or edited text.

        Raises:
            NotFoundError: It waits no longer.
            LostError: The section changed since; the next merge offers it again.
            UsageError: The text cannot stand there, or still holds conflict markers.
        """
        with self.changer.exclusive():
            candidate = self._candidate(candidate_id)

            def decided(before: bytes | None, journal: Journal) -> Outcome:
                if any(one in journal.settled for one in candidate.members):
                    self.store.dismiss(candidate.id)
                    raise LostError(f"{candidate.id} was decided meanwhile", hint=_LIST, code="decided")
                return decide(candidate.document, before, candidate, text)

            entry = self._decided("approve", candidate.id, candidate.document, decided, decider)
            self.store.settle(candidate.members)
            self.store.dismiss(candidate.id)
        self.root.files.ring()
        return entry

    def reject(self, candidate_id: str, reason: str, decider: Decider) -> None:
        """Decline a candidate: its contributions go to the rejected ones, with the reason.

        Raises:
            NotFoundError: It waits no longer.
        """
        with self.changer.exclusive():
            candidate = self._candidate(candidate_id)
            record = self._record("reject", candidate.id, candidate.document, decider, reason=reason)
            self.store.decide(candidate.id, record)
            rejected(self.store, candidate, record)
        self.root.event("memory", "rejected", file=candidate.document, candidate=candidate.id, decided_by=decider.name)
        self.root.files.ring()

    def undo(self, entry_id: str, decider: Decider) -> Entry:
        """Take back what one entry did, and leave what came after.

        Raises:
            NotFoundError: There is no such entry.
            LostError: It was taken back before.
            PeercoordError: It no longer applies; the message says which section is in the way.
        """
        with self.changer.exclusive(), merger() as merge3:
            entry = next((one for one in self.entries() if one.id == entry_id), None)
            if entry is None:
                raise NotFoundError(f"there is no merge {shown(entry_id)}", hint=_LIST, code="no-entry")
            if entry.kind == "progress" or entry.before == entry.after:
                raise UsageError(f"{entry.id} changed nothing that could be taken back", hint=_LIST)

            def undone(before: bytes | None, journal: Journal) -> Outcome:
                if any(one.undoes == entry.id for one in journal.entries):
                    raise LostError(f"{entry.id} was taken back before", hint=_LIST, code="decided")
                backup = self.store.backup(entry.document, entry.before)
                return undo_entry(entry, before, self.store.texts, merge3, backup)

            made = self._decided("undo", entry.id, entry.document, undone, decider, entry)
        self.root.files.ring()
        return made

    # -- small parts -----------------------------------------------------------------------------------------

    def _decided(
        self,
        what: str,
        target: str,
        document: str,
        compute: Callable[[bytes | None, Journal], Outcome],
        decider: Decider,
        undoes: Entry | None = None,
    ) -> Entry:
        record = self._record(what, target, document, decider)
        kind = "undo" if undoes else "decision"
        entry = self.changer.change(document, kind, decider.name, lambda: True, compute, undoes, record)
        if entry is None:
            raise LostError(f"nothing is left to {what} of {target}", hint=_LIST, code="decided")
        return entry

    def _candidate(self, ident: str) -> Candidate:
        found = next((one.candidate for one in self.waiting() if one.candidate.id == ident), None)
        if found is None:
            raise NotFoundError(f"no candidate {shown(ident)} waits", hint=_LIST, code="no-candidate")
        return found

    def _record(self, what: str, target: str, document: str, decider: Decider, reason: str = "") -> Json:
        return {
            "schema_version": records.SCHEMA_VERSION,
            "what": what,
            "target": target,
            "file": document,
            "by": decider.name,
            "source": decider.source,
            "reason": reason,
            "at": self.root.clock.now(),
        }
