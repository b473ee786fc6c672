"""The memory bank as the leader keeps it and as people decide about it.

Promises: every contribution ends in exactly one place, applied exactly once, whatever dies or stops when; what a
person saves in a document is never overwritten, the merge is computed again on it; what a person took out does not
come back by itself. The deciding is pure (``core.memory``); here is the order of the writing, which is what makes it
hold (MEM-10): texts, ledger entry as an intent, a last look at the document, the document and what it displaced, the
entry, the contributions.

Anyone may call anything here at the same time. A lock keeps them apart where it works; nothing rests on it, so a
process that was stopped while it held the lock holds up nobody for long.
"""

from __future__ import annotations

from contextlib import suppress

from peercoord.core import ids, names, records
from peercoord.core.errors import BrokenFileError, LostError, NotFoundError, UsageError
from peercoord.core.memory import contributions, ledger, outcome, sections
from peercoord.core.memory import merge as pure
from peercoord.core.memory import progress as kept
from peercoord.core.memory import undo as undoing
from peercoord.core.memory.outcome import Outcome
from peercoord.fs.textmerge import merger
from peercoord.roles import bank_store as stores
from peercoord.roles.bank_change import Changer
from peercoord.roles.bank_disk import BankDisk, Documents
from peercoord.roles.bank_merge import Merging, Summary, rejected
from peercoord.roles.bank_restore import Missing, restored
from peercoord.roles.bank_store import Store

__all__ = ["Bank", "Decider", "Missing", "Summary", "Waiting"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from peercoord.core.memory.contributions import Contribution
    from peercoord.core.memory.ledger import Entry
    from peercoord.core.memory.outcome import Candidate
    from peercoord.core.memory.progress import Facts
    from peercoord.core.records import Json
    from peercoord.roles.bank_book import Book
    from peercoord.roles.bank_disk import BankDiskLike
    from peercoord.roles.root import Root

_LIST = "peercoord review list"


class Decider:
    """Who decides, for the record: a person's name, and from where (``host``, ``pid``, ``tty``, ``program``)."""

    __slots__ = ("name", "source")

    def __init__(self, name: str, source: Json | None = None) -> None:
        self.name, self.source = name, source or {}


class Waiting:
    """A candidate that waits for a person.

    Attributes:
        candidate: What waits.
        made_at: Since when (RFC 3339, UTC).
        state: ``candidates`` (two sides differ) or ``approvals`` (a person must agree).
    """

    __slots__ = ("candidate", "made_at", "state")

    def __init__(self, candidate: Candidate, made_at: str, state: str) -> None:
        self.candidate, self.made_at, self.state = candidate, made_at, state


class Bank:
    """One project's memory bank.

    Args:
        root: The open coordination directory (``Queue.root`` of a queue).
        place: The directory of the memory bank in the main checkout: its absolute path, or the system calls on it.
    """

    def __init__(self, root: Root, place: str | BankDiskLike) -> None:
        self.root = root
        self.store = Store(root)
        disk = BankDisk(place) if isinstance(place, str) else place
        self.files = Documents(disk, root.files.token)
        self.changer = Changer(self.store, self.files)

    # -- looking ---------------------------------------------------------------------------------------------

    def documents(self) -> list[str]:
        """Names of the documents, sorted."""
        return self.files.names()

    def read(self, document: str) -> bytes | None:
        """Give a document; ``None`` if there is none.

        Raises:
            BrokenFileError: A link or a folder stands in its place, or it is too large.
        """
        return self.files.read(document)

    def waiting(self, document: str | None = None) -> list[Waiting]:
        """What waits for a person, oldest first."""
        found = [Waiting(*each) for each in self.store.waiting()]
        return [one for one in found if document is None or one.candidate.document == document]

    def entries(self, document: str | None = None) -> list[Entry]:
        """What was done to one document, or to all, oldest first."""
        if document is not None:
            return self.store.entries(contributions.check_document(document))
        return stores.ordered(one for name in self.store.documents() for one in self.store.entries(name))

    def contribution(self, ident: str) -> Contribution | None:
        """Find a contribution, whatever its state."""
        return self.store.contribution(ident)

    def foreign(self) -> list[Entry]:
        """Changes by someone unknown, as the merges after them found them; oldest first."""
        return [one for one in self.entries() if one.kind == "foreign"]

    def missing(self) -> list[Missing]:
        """Merged text that vanished since, but for what a person dismissed; by document, oldest first."""
        found: list[Missing] = []
        for name in self.store.documents():
            with suppress(BrokenFileError, UsageError):  # a link, or no text: the merge says so
                found += self._missing_in(name)
        dismissed = {name.removesuffix(".json") for name in self.root.files.scan(names.DECISIONS)}
        return [one for one in found if one.id not in dismissed]

    def _missing_in(self, name: str) -> Iterator[Missing]:
        entries, document = self.store.entries(name), self.files.read(name)
        sections.utf8(document or b"", name)
        if not entries:
            return
        if ledger.state(document) == entries[-1].after and all(one.kind != "foreign" for one in entries):
            return  # nobody but us has changed it
        merged = self.store.merged({ident for one in entries for ident in one.contributions})
        for vanished in ledger.vanished(entries, document, self.store.texts, merged):
            yield from (Missing(name, vanished, merged[one]) for one in vanished.contributions)

    # -- merging ---------------------------------------------------------------------------------------------

    def merge(self, by: str, leads: Callable[[], bool], documents: Collection[str] | None = None) -> list[Summary]:
        """Merge what is queued.

        Args:
            by: The leading peer.
            leads: Tells whether it still leads; asked before anything that counts is written.
            documents: Names of the documents to merge; all of them if left out.

        Returns:
            What was done, by document; of documents in which nothing happened, nothing.

        Raises:
            LostError: Someone else leads now; nothing was changed from then on.
            NotFoundError: The memory bank's directory is not there.
            StorageError: The filesystem refused; what was begun is finished by the next merge.
        """
        with self.changer.alone(), merger() as merge3:
            return Merging(self.changer, merge3, by, leads).run(documents)

    def progress(self, facts: Facts, by: str, leads: Callable[[], bool], document: str = "progress.md") -> Entry | None:
        """Refresh the section that the leader keeps in ``progress.md``.

        Returns:
            The ledger entry; ``None`` if the section says so already, or the document was taken away.
        """

        def refreshed(before: bytes | None, book: Book) -> Outcome | None:
            if before is None and book.removed:
                return None
            after = kept.with_progress(before or b"", facts)
            if after == before:
                return None
            edits, texts = outcome.compare(sections.split(before or b"", document), sections.split(after, document))
            return Outcome(document=after, edits=edits, texts=texts)

        with self.changer.alone():
            self.files.require()
            return self.changer.change(document, "progress", by, leads, refreshed)

    # -- deciding --------------------------------------------------------------------------------------------

    def approve(self, candidate_id: str, text: str, decider: Decider) -> Entry:
        """Put a person's decision into the document.

        Args:
            candidate_id: What was decided.
            text: The section's text: one of the candidate's ``takes``, or edited.
            decider: Who decided.

        Raises:
            NotFoundError: It waits no longer.
            LostError: The section changed since; the next merge offers it anew.
            UsageError: The text cannot stand there, or still holds conflict markers.
        """
        with self.changer.alone():
            candidate = self._candidate(candidate_id)

            def decided(before: bytes | None, book: Book) -> Outcome:
                if any(one in book.settled for one in candidate.members):
                    self.store.dismiss(candidate.id)
                    raise LostError(f"{candidate.id} was decided meanwhile", hint=_LIST, code="decided")
                return pure.decide(candidate.document, before, candidate, text)

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
        with self.changer.alone():
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
        with self.changer.alone(), merger() as merge3:
            entry = next((one for one in self.entries() if one.id == entry_id), None)
            if entry is None:
                raise NotFoundError(f"there is no merge {ids.shown(entry_id)}", hint=_LIST, code="no-entry")
            if entry.kind == "progress" or entry.before == entry.after:
                raise UsageError(f"{entry.id} changed nothing that could be taken back", hint=_LIST)

            def undone(before: bytes | None, book: Book) -> Outcome:
                if any(one.undoes == entry.id for one in book.entries):
                    raise LostError(f"{entry.id} was taken back before", hint=_LIST, code="decided")
                backup = self.store.backup(entry.document, entry.before)
                return undoing.undo(entry, before, self.store.texts, merge3, backup)

            made = self._decided("undo", entry.id, entry.document, undone, decider, entry)
        self.root.files.ring()
        return made

    def restore(self, missing_id: str, decider: Decider) -> Entry:
        """Put merged text back that vanished from its document.

        Raises:
            NotFoundError: It is not missing.
            PeercoordError: What stands there now differs (code ``no-longer-applies``).
        """
        with self.changer.alone(), merger() as merge3:
            one = self._missing(missing_id)

            def computed(before: bytes | None, _book: Book) -> Outcome:
                return restored(self.store, one, before, merge3)

            made = self._decided("restore", one.id, one.document, computed, decider)
        self.root.files.ring()
        return made

    def dismiss(self, missing_id: str, reason: str, decider: Decider) -> None:
        """Let vanished text be gone: it is listed no more.

        Raises:
            NotFoundError: It is not missing.
        """
        one = self._missing(missing_id)
        self.store.decide(one.id, self._record("dismiss", one.id, one.document, decider, reason=reason))

    # -- small parts -----------------------------------------------------------------------------------------

    def _decided(
        self,
        what: str,
        target: str,
        document: str,
        compute: Callable[[bytes | None, Book], Outcome],
        decider: Decider,
        undoes: Entry | None = None,
    ) -> Entry:
        record = self._record(what, target, document, decider)
        kind = "undo" if undoes else "decision"
        entry = self.changer.change(document, kind, decider.name, lambda: True, compute, undoes, record)
        if entry is None:
            raise LostError(f"nothing is left to {what} of {target}", hint=_LIST, code="decided")
        return entry

    # -- small parts -----------------------------------------------------------------------------------------

    def _candidate(self, ident: str) -> Candidate:
        found = next((one.candidate for one in self.waiting() if one.candidate.id == ident), None)
        if found is None:
            raise NotFoundError(f"no candidate {ids.shown(ident)} waits", hint=_LIST, code="no-candidate")
        return found

    def _missing(self, ident: str) -> Missing:
        found = next((one for one in self.missing() if one.id == ident), None)
        if found is None:
            raise NotFoundError(f"nothing is missing under {ids.shown(ident)}", hint=_LIST, code="not-missing")
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
