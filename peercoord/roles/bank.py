"""The memory bank as the leader keeps it and as people decide about it.

Promises: every contribution ends in exactly one place, applied exactly once, whatever dies or stops when; what a
person saves in a document is never overwritten, the merge is computed again on it; what a person took out does not
come back by itself. The deciding is pure (``core.memory``); here is the order of the writing, which is what makes it
hold (MEM-10): texts, ledger entry as an intent, a last look at the document, the document, the entry, the
contributions.

Anyone may call anything here at the same time. A lock keeps them apart where it works; nothing rests on it, so a
process that was stopped while it held the lock holds up nobody for more than ``LOCK_SECONDS``.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from peercoord.core import ids, names, records
from peercoord.core.errors import BrokenFileError, LostError, NotFoundError, PeercoordError, UsageError
from peercoord.core.memory import contributions, ledger, outcome, sections
from peercoord.core.memory import merge as pure
from peercoord.core.memory import progress as kept
from peercoord.core.memory import undo as undoing
from peercoord.core.memory.outcome import Outcome
from peercoord.fs.mutex import held
from peercoord.fs.textmerge import merger
from peercoord.roles import bank_store as stores
from peercoord.roles.archivist import TMP_SECONDS, Archivist
from peercoord.roles.bank_book import Book, open_book, overwrites
from peercoord.roles.bank_disk import BankDisk, Documents
from peercoord.roles.bank_queue import Batch, batches, spelt
from peercoord.roles.bank_store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from peercoord.core.memory.conflicts import Merge3
    from peercoord.core.memory.contributions import Contribution
    from peercoord.core.memory.ledger import Entry, Vanished
    from peercoord.core.memory.outcome import Candidate
    from peercoord.core.memory.progress import Facts
    from peercoord.core.records import Json
    from peercoord.fs.disk import DiskLike
    from peercoord.roles.root import Root

LOCK_SECONDS = 10.0
_TRIES = 20  # a document that is saved this often under our hands is being written by a program
_PASSES = 3
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


class Missing:
    """Merged text that is no longer in its document, though no one took it back by ``undo``.

    Attributes:
        id: ``v-`` and 16 hexadecimal digits, the same at every look.
        document: File name in the memory bank.
        vanished: Entry, section and lines.
        contribution: What it was merged from.
    """

    __slots__ = ("contribution", "document", "id", "vanished")

    def __init__(self, document: str, vanished: Vanished, contribution: Contribution) -> None:
        self.document, self.vanished, self.contribution = document, vanished, contribution
        self.id = "v-" + sections.digest(f"{document}\n{vanished.entry}\n{contribution.id}".encode())[:16]


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


class Bank:
    """One project's memory bank.

    Args:
        root: The open coordination directory (``Queue.root`` of a queue).
        place: The directory of the memory bank in the main checkout: its absolute path, or the system calls on it.
    """

    def __init__(self, root: Root, place: str | DiskLike) -> None:
        self.root = root
        self.store = Store(root)
        disk = BankDisk(place) if isinstance(place, str) else place
        self.files = Documents(disk, root.files.token)

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
        found = []
        for name in self.store.documents():
            entries = self.store.entries(name)
            if not entries:
                continue
            document = self.files.read(name)
            if ledger.state(document) == entries[-1].after and all(one.kind != "foreign" for one in entries):
                continue  # nobody but us has changed it
            merged = self.store.merged({ident for one in entries for ident in one.contributions})
            for vanished in ledger.vanished(entries, document, self.store.texts, merged):
                found += [Missing(name, vanished, merged[one]) for one in vanished.contributions]
        dismissed = {name.removesuffix(".json") for name in self.root.files.scan(names.DECISIONS)}
        return [one for one in found if one.id not in dismissed]

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
        found: list[Summary] = []
        with self._alone(), merger() as merge3:
            self.files.require()
            self._finish_rejecting()
            self._sweep()
            for _ in range(_PASSES):
                self.store.requeued = False
                for name, queued in self._queues():
                    if documents is None or name in documents:
                        found += self._merge(name, queued, by, leads, merge3)
                if not self.store.requeued:  # what another leader overwrote came back after the queue was read
                    break
        return [one for one in found if one]

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

        with self._alone():
            self.files.require()
            return self._change(document, "progress", by, leads, refreshed)

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
        with self._alone():
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
        with self._alone():
            candidate = self._candidate(candidate_id)
            record = self._record("reject", candidate.id, candidate.document, decider, reason=reason)
            self.store.decide(candidate.id, record)
            self._rejected(candidate, record)
        self.root.event("memory", "rejected", file=candidate.document, candidate=candidate.id, decided_by=decider.name)
        self.root.files.ring()

    def undo(self, entry_id: str, decider: Decider) -> Entry:
        """Take back what one entry did, and leave what came after.

        Raises:
            NotFoundError: There is no such entry.
            LostError: It was taken back before.
            PeercoordError: It no longer applies; the message says which section is in the way.
        """
        with self._alone(), merger() as merge3:
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
        with self._alone(), merger() as merge3:
            one = self._missing(missing_id)

            def restored(before: bytes | None, _book: Book) -> Outcome:
                for way in self._ways(one):
                    found = way(one, before, merge3)
                    if found.edits:
                        return found
                raise PeercoordError(
                    f"{one.id} cannot be put back into {one.document}: what stands there now differs",
                    hint=f"contribute it again: peercoord memory add --file {one.document}",
                    code="no-longer-applies",
                )

            made = self._decided("restore", one.id, one.document, restored, decider)
        self.root.files.ring()
        return made

    def dismiss(self, missing_id: str, reason: str, decider: Decider) -> None:
        """Let vanished text be gone: it is listed no more.

        Raises:
            NotFoundError: It is not missing.
        """
        one = self._missing(missing_id)
        self.store.decide(one.id, self._record("dismiss", one.id, one.document, decider, reason=reason))

    # -- one document ----------------------------------------------------------------------------------------

    def _queues(self) -> Iterator[tuple[str, list[Contribution]]]:
        """Give what is queued, by document; nothing for a document with a ledger that may have to be settled."""
        there, known = self.files.names(), self.store.documents()
        queued: dict[str, list[Contribution]] = {name: [] for name in known}
        for one in self.store.queued():
            queued.setdefault(spelt(one.document, there, known), []).append(one)
        yield from sorted(queued.items())

    def _merge(
        self, name: str, queued: list[Contribution], by: str, leads: Callable[[], bool], merge3: Merge3
    ) -> Iterator[Summary]:
        try:
            for batch in batches(self.store, name, queued):
                yield self._merge_batch(batch, by, leads, merge3)
        except (BrokenFileError, UsageError) as error:
            yield Summary(name, note=error.message)

    def _merge_batch(self, batch: Batch, by: str, leads: Callable[[], bool], merge3: Merge3) -> Summary:
        name, found = batch.document, Outcome()
        waits: list[str] = []

        def merged(before: bytes | None, book: Book) -> Outcome | None:
            nonlocal found
            self._settle(batch.given, book, by)
            given = [one for one in batch.given if one.id not in book.settled]
            waits[:] = [one.id for one in given] if before is None and book.removed else []
            if waits:
                found = Outcome()
                return None
            candidates = [one.candidate for one in self.waiting(name)]
            if not given and not candidates:
                found = Outcome()
                return None
            found = pure.merge(
                name, before, given, self.store.texts, merge3, candidates=candidates, settled=book.settled
            )
            return found if found.edits or found.duplicates or found.superseded or found.applied else None

        entry = self._change(name, "merge", by, leads, merged)
        summary = Summary(name, entry.id if entry else "", bool(entry and entry.before != entry.after))
        if waits:
            summary.waiting, summary.note = waits, f"{name} was taken away: what is contributed to it waits"
            return summary
        if not leads():
            raise _over(name)
        self._place(found, summary, by)
        return summary

    def _settle(self, given: Collection[Contribution], book: Book, by: str) -> None:
        """Finish what a leader that died left: contributions in ``queued/`` that the ledger has settled."""
        for one in given:
            word = book.settled.get(one.id)
            if word == "superseded":
                self.store.reject(one.id, stores.SUPERSEDED, "its author replaced it", by)
            elif word:
                self.store.settle([one.id])

    def _place(self, found: Outcome, summary: Summary, by: str) -> None:
        """Put everything where it belongs after a merge. Each step may be the last one: the next merge repeats it."""
        summary.applied, summary.duplicates = found.applied, found.duplicates
        summary.superseded, summary.rejected = list(found.superseded), list(found.rejected)
        summary.waiting = list(found.waiting)
        self.store.settle([*found.applied, *found.duplicates])
        for ident, later in found.superseded.items():
            self.store.reject(ident, stores.SUPERSEDED, f"its author replaced it by {later}", by)
        for ident, reason in found.rejected.items():
            self.store.reject(ident, stores.UNFIT, reason, by)
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
        entry = self._change(document, kind, decider.name, lambda: True, compute, undoes, record)
        if entry is None:
            raise LostError(f"nothing is left to {what} of {target}", hint=_LIST, code="decided")
        return entry

    def _change(
        self,
        name: str,
        kind: str,
        by: str,
        leads: Callable[[], bool],
        compute: Callable[[bytes | None, Book], Outcome | None],
        undoes: Entry | None = None,
        decision: Json | None = None,
    ) -> Entry | None:
        """Change a document: computed again for as long as people save it meanwhile.

        Returns:
            The entry; ``None`` if ``compute`` found nothing to do.
        """
        for _ in range(_TRIES):
            before = self.files.read(name)
            if not leads():
                raise _over(name)
            book = open_book(self.store, name, before)
            found = compute(before, book)
            if found is None:
                return None
            entry = self._entry(name, kind, before, found, book, by, undoes)
            if not leads():
                raise _over(name)
            self.store.texts.keep(found.texts)
            if decision is not None:
                self.store.decide(entry.id, {**decision, "entry": entry.id})
            if self._landed(entry, before, found.document, leads):
                self._tell(entry, found, decision)
                return entry
        raise LostError(f"{name} changes all the time: a program seems to write it", hint="try again", code="busy")

    def _entry(
        self, name: str, kind: str, before: bytes | None, found: Outcome, book: Book, by: str, undoes: Entry | None
    ) -> Entry:
        target = undoes.id if undoes else ""
        made = ledger.entry(
            name, kind, before, found, previous=book.previous, by=by, at=self.root.clock.now(), undoes=target
        )
        if undoes and not undoes.before and not found.document:
            return replace(made, after="")  # the merge had made the document: it goes
        return made

    def _landed(self, entry: Entry, before: bytes | None, after: bytes, leads: Callable[[], bool]) -> bool:
        """Write an entry and replace its document; ``False`` if the document is another one meanwhile."""
        name = entry.document
        if entry.before == entry.after:
            self.store.note(entry)
            return True
        self.store.keep_backup(name, before)
        self.store.keep_backup(name, after)
        self.store.begin(entry)
        now = self.files.read(name)
        if now != before:
            if ledger.state(now) != entry.after:
                self.store.drop(entry)
            return False
        if not leads():
            self.store.drop(entry)
            raise _over(name)
        self.files.replace(name, after if entry.after else None)
        self.store.land(entry)
        return not overwrites(self.store, entry, self.files.read(name))

    # -- small parts -----------------------------------------------------------------------------------------

    def _tell(self, entry: Entry, found: Outcome, decision: Json | None) -> None:
        """Write an event line for peers to be told from."""
        if entry.kind == "progress":
            return
        facts: Json = {"file": entry.document, "entry": entry.id, "change": entry.kind}
        facts["sections"] = [sections.shown(edit.section) for edit in entry.edits if edit.contributions or decision]
        facts["contributions"] = list(found.applied)
        if decision:
            self.root.event("memory", "decided", what=decision["what"], decided_by=entry.by, **facts)
        else:
            self.root.event(entry.by, "merged", **facts)

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

    def _sweep(self) -> None:
        """Clear away what a crash left beside the documents."""
        litter = self.files.litter()
        if litter:
            old = Archivist(self.root).now() - TMP_SECONDS * 10**9
            for name, seen in litter:
                if max(seen.modified_ns, seen.changed_ns) < old:
                    self.files.drop(name)

    def _finish_rejecting(self) -> None:
        for one in self.waiting():
            record = self.store.decision(one.candidate.id)
            if record.get("what") == "reject":
                self._rejected(one.candidate, record)

    def _rejected(self, candidate: Candidate, record: Json) -> None:
        settled = ledger.settled(self.store.entries(candidate.document))
        why = str(record.get("reason") or "declined")
        for ident in candidate.members:
            if ident not in settled:
                self.store.reject(ident, stores.DECIDED, why, str(record.get("by", "")))
        self.store.dismiss(candidate.id)

    def _ways(self, one: Missing) -> list[Callable[[Missing, bytes | None, Merge3], Outcome]]:
        """Give the ways to put a text back: what a person decided comes as it was decided, else the one text alone."""
        entry = self._entry_of(one)
        decided = entry is not None and entry.kind == "decision"
        return [self._again, self._alone_again] if decided else [self._alone_again, self._again]

    def _entry_of(self, one: Missing) -> Entry | None:
        return next((each for each in self.store.entries(one.document) if each.id == one.vanished.entry), None)

    def _alone_again(self, one: Missing, before: bytes | None, merge3: Merge3) -> Outcome:
        """Merge a contribution again."""
        found = pure.merge(one.document, before, [one.contribution], self.store.texts, merge3)
        if found.candidates and not found.candidates[0].conflict:  # it would wait for a person: here is one
            proposed = found.candidates[0]
            return pure.decide(one.document, before, proposed, proposed.proposed)
        return found

    def _again(self, one: Missing, before: bytes | None, merge3: Merge3) -> Outcome:
        """Do again what an entry did to a section, where that is as it was before the entry."""
        entry, key = self._entry_of(one), (one.vanished.section, one.vanished.occurrence)
        edits = [edit for edit in entry.edits if (edit.section, edit.occurrence) == key] if entry else []
        there = sections.split(before or b"", one.document).find(*key)
        if entry is None or len(edits) != 1 or there is None or sections.digest(there.span) != edits[0].before:
            return Outcome()
        back = replace(edits[0], before=edits[0].after, after=edits[0].before)  # an undo, the other way round
        return undoing.undo(replace(entry, before="", after="", edits=(back,)), before, self.store.texts, merge3)

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

    @contextmanager
    def _alone(self) -> Iterator[None]:
        home = getattr(self.root.files.disk, "root", "")
        with ExitStack() as stack:
            if home:
                try:
                    stack.enter_context(held(f"{home}/{names.BANK_LOCK}", wait=LOCK_SECONDS))
                except LostError:
                    self.root.event("memory", "unlocked", because="the lock of the memory bank is held for too long")
            yield


def _over(name: str) -> LostError:
    return LostError(f"someone else leads now: {name} was not merged", hint="nothing is lost", code="stale-term")
