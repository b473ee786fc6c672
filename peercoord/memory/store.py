"""What the memory bank keeps in the coordination directory: contributions, candidates, texts, journals, backups.

A contribution lies in one place, and a rename moves it. If it was collected again while it was merged and lies in two
places, ``merged/`` and ``rejected/`` win over ``queued/``.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from peercoord.errors import BrokenFileError
from peercoord.foreign import shown
from peercoord.memory import news
from peercoord.memory.contribution import Contribution, is_hash
from peercoord.memory.document import digest
from peercoord.memory.journal import Entry
from peercoord.memory.outcome import Candidate
from peercoord.queue.queue import Queue
from peercoord.store import ids, paths, records
from peercoord.store.refusals import ABSENT, refused
from peercoord.store.settings import BACKUPS_MOST, DOCUMENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from peercoord.foreign import Json
    from peercoord.store.root import Root
    from peercoord.system.disk import DiskLike

T = TypeVar("T")
QUEUED, DONE, REJECTED = "queued", "merged", "rejected"
WAITING = ("candidates", "approvals")
WITHDRAWN, SUPERSEDED, DECIDED, UNFIT, REFUSED = "withdrawn", "superseded", "decided", "unfit", "refused"
"""Why a contribution, or (``REFUSED``) a file, lies in ``rejected/``."""
_JSON, _INTENT = ".json", ".intent"


class Waiting(NamedTuple):
    """A candidate that waits for a person."""

    candidate: Candidate
    made_at: str  # since when (RFC 3339, UTC)
    state: str  # ``candidates`` (two sides differ) or ``approvals`` (a person must agree)


class Texts(Mapping[str, bytes]):
    """Bytes by their hash, as they are kept: section texts that bases and journal entries name."""

    def __init__(self, root: Root) -> None:
        self.files = root.files
        self._known: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._known:
            data = read_whole(self.files.disk, paths.text(name), name)
            if data is None:
                raise KeyError(name)
            self._known[name] = data
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.files.scan(paths.TEXTS) if is_hash(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keep(self, texts: Mapping[str, bytes]) -> None:
        """Keep texts, durable once this returns. A text that is kept already is read, not written."""
        disk, there = self.files.disk, self._known
        new = {key: data for key, data in texts.items() if key not in there and read(disk, paths.text(key)) != data}
        self.files.put_all(paths.TEXTS, new)
        self._known |= new


class MemoryStore:
    """The memory bank's part of one coordination directory."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.files = root.files
        self.texts = Texts(root)
        self.requeued = False  # ``requeue`` was called; the reader of the queue resets it
        self._contributions: dict[str, Contribution] = {}
        self._entries: dict[str, Entry] = {}

    # -- contributions ---------------------------------------------------------------------------------------

    def idents(self, state: str) -> set[str]:
        """Return the ids of the contributions or candidates in a state."""
        found = self.files.scan(f"{paths.MEMORY}/{state}")
        return {name.removesuffix(_JSON) for name in found if name.endswith(_JSON)}

    def queued(self) -> list[Contribution]:
        """Return the contributions that are not settled; a copy in ``queued/`` of a settled one is removed."""
        queued, settled = self.idents(QUEUED), self.idents(DONE) | self.idents(REJECTED)
        for ident in queued & settled:
            self.files.remove(paths.contribution(QUEUED, ident))
        self._contributions = {key: one for key, one in self._contributions.items() if key in queued}
        found = (self._read(QUEUED, ident) for ident in sorted(queued - settled))
        return [one for one in found if one]

    def contribution(self, ident: str) -> Contribution | None:
        """Find a contribution, whatever its state; ``None`` if there is none."""
        if not ids.is_id(ident):
            return None
        places = (QUEUED, DONE, REJECTED, QUEUED)  # it may move meanwhile
        return next((one for state in places if (one := self._read(state, ident))), None)

    def merged(self, idents: Iterable[str]) -> dict[str, Contribution]:
        """Read merged contributions; those that are no longer kept are left out."""
        return {ident: one for ident in idents if (one := self._read(DONE, ident))}

    def publish(self, one: Contribution) -> bool:
        """Queue a contribution, durable, whose texts are kept; ``False`` if it is there or settled."""
        if any(self.files.stat(paths.contribution(state, one.id)) for state in (DONE, REJECTED)):
            return False
        return self._write(paths.contribution(QUEUED, one.id), one.raw)

    def settle(self, idents: Iterable[str]) -> None:
        """Move contributions to those that are merged."""
        for ident in idents:
            self._contributions.pop(ident, None)
            self.files.move(paths.contribution(QUEUED, ident), paths.contribution(DONE, ident), make_home=True)

    def requeue(self, idents: Iterable[str]) -> None:
        """Queue contributions again whose merge was overwritten."""
        for ident in idents:
            self.requeued = True
            queued = paths.contribution(QUEUED, ident)
            done = self.files.move(paths.contribution(DONE, ident), queued)
            if not done and self.rejection(ident).get("code") == SUPERSEDED:
                self.files.move(paths.contribution(REJECTED, ident), queued)

    def reject(self, ident: str, code: str, reason: str, by: str) -> None:
        """Move a contribution to the rejected ones, with the reason beside it.

        The reason comes second: one without its contribution would tell of a file that was refused.
        """
        self._contributions.pop(ident, None)
        place = paths.contribution(REJECTED, ident)
        self.files.move(paths.contribution(QUEUED, ident), place, make_home=True)
        if self.files.stat(place):
            self.explain(ident, code, reason, by)

    def explain(self, ident: str, code: str, reason: str, by: str, **facts: object) -> None:
        """Write the reason why something was not taken; the first one stands."""
        record = {"schema_version": 1, "id": ident, "code": code, "reason": reason, "by": by, **facts}
        self._write(paths.rejection(ident), {**record, "at": self.root.clock.now()})

    def rejection(self, ident: str) -> Json:
        """Return the reason why something was not taken; empty if it is not known."""
        return Queue(self.root).read_record(paths.rejection(ident)) or {}

    def _read(self, state: str, ident: str) -> Contribution | None:
        if state == QUEUED and ident in self._contributions:
            return self._contributions[ident]

        def checked(raw: Json, path: str) -> Contribution:
            one = Contribution.read(raw, path)
            if one.id != ident:
                raise BrokenFileError(f"{path} is named unlike its id {shown(one.id)}")
            return one

        one = self._record(paths.contribution(state, ident), checked)
        if one and state == QUEUED:
            self._contributions[ident] = one
        return one

    def _record(self, path: str, read: Callable[[Json, str], T]) -> T | None:
        """Read a record; ``None`` if it is missing, or broken and now in quarantine."""
        try:
            data = self.files.read(path)
            return None if data is None else read(records.decode(data, path), path)
        except BrokenFileError as error:
            where = self.files.quarantine(path, error.message)
            if where:
                self.root.event("memory", "quarantined", path=path, where=where, reason=error.message)
            return None

    def _write(self, path: str, record: Json) -> bool:
        """Write a record, durable, that is never changed; ``False`` if it is there."""
        return self.files.publish(path, records.encode_stored(record), durable=True)

    # -- candidates ------------------------------------------------------------------------------------------

    def waiting(self) -> list[Waiting]:
        """Candidates that wait for a person, oldest first."""

        def dated(raw: Json, path: str) -> tuple[Candidate, str]:
            return Candidate.read(raw, path), str(raw.get("made_at", ""))

        there = [(state, paths.contribution(state, ident)) for state in WAITING for ident in self.idents(state)]
        # the members of a broken one are merged again and make a new one
        found = [Waiting(*read, state) for state, path in there if (read := self._record(path, dated))]
        return sorted(found, key=lambda one: (one.made_at, one.candidate.id))

    def offer(self, candidate: Candidate) -> None:
        """Offer a candidate to people; an existing one is not changed."""
        path = paths.contribution(WAITING[not candidate.conflict], candidate.id)
        self._write(path, candidate.record(self.root.clock.now()))

    def dismiss(self, ident: str) -> None:
        """Remove a candidate: it was decided on, or holds no longer."""
        for state in WAITING:
            self.files.remove(paths.contribution(state, ident))

    # -- the journal ------------------------------------------------------------------------------------------

    def documents(self) -> list[str]:
        """Names of the documents that have a journal."""
        return sorted(name for name in self.files.scan(paths.LEDGER) if ids.is_id(name) and name.endswith(".md"))

    def entries(self, document: str) -> list[Entry]:
        """A document's journal, oldest first."""
        return ordered(self._journal(document, _JSON))

    def intents(self, document: str) -> list[Entry]:
        """Entries whose replacement is not confirmed."""
        return ordered(self._journal(document, _INTENT))

    def begin(self, entry: Entry) -> None:
        """Write an entry, durable, before its document is replaced."""
        home, _, name = paths.intent(entry.document, entry.id).rpartition("/")
        data = records.encode_stored(entry.record())
        self.files.put_all(home, {name: data}, above=2)  # the first entry made the one above too, not set-up

    def land(self, entry: Entry) -> None:
        """Note that the document of an entry was replaced."""
        self.files.move(paths.intent(entry.document, entry.id), paths.entry(entry.document, entry.id))

    def revert(self, entry: Entry) -> None:
        """Note that the document of an entry was overwritten."""
        self.files.move(paths.entry(entry.document, entry.id), paths.intent(entry.document, entry.id))

    def drop(self, entry: Entry) -> None:
        """Forget an entry whose document was never replaced, and never will be."""
        self.files.remove(paths.intent(entry.document, entry.id))

    def note(self, entry: Entry) -> None:
        """Write an entry for which no document needs to be replaced."""
        self._write(paths.entry(entry.document, entry.id), entry.record())
        self.files.sync(paths.LEDGER)

    def _journal(self, document: str, ending: str) -> Iterator[Entry]:
        home = paths.ledger(document)
        for name in self.files.scan(home):
            known = self._entries.get(name)
            if name.endswith(ending) and (one := known or self._record(f"{home}/{name}", Entry.read)):
                self._entries[name] = one
                yield one

    # -- whole documents, decisions --------------------------------------------------------------------------

    def keep_backup(self, document: str, *texts: bytes | None) -> None:
        """Keep a document as it is, in one or more versions; the oldest beyond ``BACKUPS_MOST`` are removed."""
        home = f"{paths.BACKUPS}/{document}"
        found = {digest(data): data for data in texts if data is not None}
        new = {name: data for name, data in found.items() if self.files.stat(f"{home}/{name}") is None}
        if not new:
            return
        self.files.put_all(home, new, above=2)
        names = self.files.scan(home)
        if len(names) > BACKUPS_MOST:
            kept = [(seen.modified_ns, name) for name in names if (seen := self.files.stat(f"{home}/{name}"))]
            for _, name in heapq.nsmallest(len(kept) - BACKUPS_MOST, kept):
                self.files.remove(f"{home}/{name}")

    def backup(self, document: str, name: str) -> bytes | None:
        """Return a document as it once was; ``None`` if that is not kept."""
        return read_whole(self.files.disk, paths.backup(document, name), name)

    def briefed(self, document: str, now: bytes | None, mark: int | None, peer: str) -> bytes | None:
        """Return a document as a peer knew it when it was last told what changed.

        What it writes then is compared with what it knew: an update by someone else that was merged meanwhile is
        not taken for a text that the peer meant to replace. A peer that was never told anything (``mark`` is
        ``None``), or of everything, knows the document as it is ``now``.
        """
        before = None if mark is None else news.unseen(self.files, document, mark, peer)
        if before is None:
            return now
        return (self.backup(document, before) or now) if before else None

    def decide(self, ident: str, record: Json) -> bool:
        """Write down what a person decided, durable; ``False`` if that was decided before."""
        return self._write(paths.decision(ident), record)

    def decision(self, ident: str) -> Json:
        """Return what was decided about something; empty if nothing."""
        return Queue(self.root).read_record(paths.decision(ident)) or {}


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries oldest first: each after the one it names as previous, and else by time."""
    known = {one.id: one for one in entries}
    after: dict[str, list[Entry]] = {}
    free: list[tuple[str, str]] = []
    for one in known.values():
        if one.previous in known and one.previous != one.id:
            after.setdefault(one.previous, []).append(one)
        else:
            free.append((one.at, one.id))
    heapq.heapify(free)
    found: list[Entry] = []
    while free:
        _, ident = heapq.heappop(free)
        found.append(known[ident])
        for one in after.get(ident, ()):
            heapq.heappush(free, (one.at, one.id))
    return found


def read_whole(disk: DiskLike, path: str, name: str) -> bytes | None:
    """Content whose hash is ``name``; half of it, after a power cut, counts as missing."""
    data = read(disk, path) if is_hash(name) else None
    return data if data is not None and digest(data) == name else None


def read(disk: DiskLike, path: str) -> bytes | None:
    """Content of a text or backup, which may be larger than any record; ``None`` if it is not there."""
    try:
        return disk.read(path, DOCUMENT_BYTES + 1)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise refused(error, path) from None
