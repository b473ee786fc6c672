"""Collection: what lies in a worktree's ``memory-contributions/`` becomes contributions, by that worktree's own agent.

Promise: everything in a file is queued exactly once, however often the file is seen. Three things make it so. The id of
a contribution follows from its text, so a crash between any two steps here is mended by doing it all again. What the
same file gave before is looked up in all states, so an edited file gives only what is new in it. And what settles a
contribution of a file (its record in ``merged/`` or ``rejected/``) is not cleared away when its retention ends, as
that of a call is: the file may lie there for years and is read again whenever the agent starts.
"""

from __future__ import annotations

from collections.abc import Mapping

from peercoord.core import ids
from peercoord.core.errors import BrokenFileError, PeercoordError, UsageError
from peercoord.core.memory import places, reading, sections
from peercoord.core.memory.contributions import Author, Contribution
from peercoord.roles import bank_store as stores
from peercoord.roles.bank_store import Store
from peercoord.roles.collect import SETTLE_SECONDS, Folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.core.memory.reading import Reading
    from peercoord.fs.disk import DiskLike
    from peercoord.roles.bank_disk import Documents
    from peercoord.roles.collect import Sight
    from peercoord.roles.root import Root

STATES = (stores.QUEUED, stores.DONE, stores.REJECTED)


class Gathered:
    """What came of files.

    Attributes:
        contributions: Those that are new in the queue.
        withdrawn: Ids of earlier ones that their author took back.
        refused: What was not taken: the file's name and why.
        notes: What its author should be told.
    """

    __slots__ = ("contributions", "notes", "refused", "withdrawn")

    def __init__(self) -> None:
        self.contributions: list[Contribution] = []
        self.withdrawn: list[str] = []
        self.refused: list[tuple[str, UsageError]] = []
        self.notes: list[str] = []


class _Shelf(Mapping[str, bytes]):
    """The bank's documents by name, as a peer knows them; one that cannot be read counts as empty."""

    def __init__(self, documents: Documents, known: Callable[[str, bytes | None], bytes | None]) -> None:
        self.documents, self.known = documents, known
        self.names = documents.names()

    def __getitem__(self, name: str) -> bytes:
        if name not in self.names:
            raise KeyError(name)
        try:
            return self.known(name, self.documents.read(name)) or b""
        except BrokenFileError:
            return b""

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class Gatherer:
    """Collects from one worktree.

    Args:
        root: The coordination directory.
        worktree: The system calls, on the worktree.
        documents: The memory bank.
        peer: Whose worktree it is.
    """

    def __init__(self, root: Root, worktree: DiskLike, documents: Documents, peer: str) -> None:
        self.root, self.documents, self.peer = root, documents, ids.check(peer, "peer")
        self.disk = worktree
        self.store = Store(root)
        self.folder = Folder(worktree, root.files.token)
        self._known: dict[str, Contribution | None] = {}  # of all that is in the queue or settled, this peer's
        self._untold: dict[str, UsageError] = {}  # refused, and not written down yet: a look shows it once

    def look(self) -> Sight:
        """Look what there is: cheap while nothing changed, and changes nothing."""
        sight = self.folder.look(self.root.clock.monotonic())
        self._untold.update(sight.refused)
        sight.refused = dict(self._untold)
        return sight

    @staticmethod
    def again(sight: Sight) -> float | None:
        """Seconds after which to look again; ``None`` if that does not press."""
        return SETTLE_SECONDS + 0.1 if sight.deferred else None

    def take(self, sight: Sight, task: str = "", told: int | None = None) -> Gathered:
        """Queue what a look showed, and note what can never be taken.

        Args:
            sight: What ``look`` gave.
            task: The task that the peer holds; empty if none.
            told: How far the peer was told what changed in the bank; ``None`` if it never was.

        Raises:
            StorageError: The filesystem refused; the next look shows the rest again.
        """
        done = Gathered()
        for name, why in sight.refused.items():
            self._refuse(name, why, done)
            self._untold.pop(name, None)
        for name, data in sight.ready.items():
            try:
                self._take(name, data, task, done, told)
            except UsageError as error:
                self._refuse(name, error, done)
            self.folder.taken(name)
        if done.contributions or done.withdrawn:
            self.root.files.ring()
        return done

    # -- one file --------------------------------------------------------------------------------------------

    def _take(self, name: str, data: bytes, task: str, done: Gathered, told: int | None) -> None:
        shelf = _Shelf(self.documents, lambda document, now: self.store.briefed(document, now, told, self.peer))
        aim = places.purpose(name, self.peer, shelf)
        origin = self._origin(name, aim.document, shelf) if aim.kind == "copy" else None
        earlier, merged = self._earlier(name), self.store.idents(stores.DONE)
        withdrawn = {one.id for one in earlier if self._is_withdrawn(one.id, merged)}
        author = Author(self.peer, task, self.root.clock.now())
        found = reading.from_file(
            author, name, data, shelf, origin=origin, earlier=earlier, merged=merged, withdrawn=withdrawn
        )
        self._queue(found, done)
        for problem in found.refused:
            self._refuse(name, problem, done, len(data))
        for ident in found.withdrawn:
            self.store.reject(ident, stores.WITHDRAWN, f"its author took it out of {name}", self.peer)
            done.withdrawn.append(ident)
        done.notes += found.notes

    def _queue(self, found: Reading, done: Gathered) -> None:
        self.store.texts.keep(found.texts)
        for one in found.contributions:
            self._known[one.id] = one
            if self.store.publish(one):
                self.root.event(self.peer, "contributed", id=one.id, file=one.document)
                done.contributions.append(one)

    def _origin(self, name: str, document: str, shelf: Mapping[str, bytes]) -> bytes | None:
        """Give the document that an edited copy was made from: as it was when the copy was first seen."""
        origin = self.folder.origin(name)
        if origin is None and document in shelf:
            self.folder.keep_origin(name, shelf[document])
            origin = self.folder.origin(name)
        return origin

    def _earlier(self, name: str) -> list[Contribution]:
        """Give what this peer contributed from a file before, in whatever state it is."""
        there: set[str] = set()
        for state in STATES:
            for ident in self.store.idents(state):
                there.add(ident)
                if ident not in self._known:
                    one = self.store.contribution(ident)
                    self._known[ident] = one if one and one.peer == self.peer else None
        self._known = {ident: one for ident, one in self._known.items() if ident in there}
        return [one for one in self._known.values() if one and one.source == name]

    def _is_withdrawn(self, ident: str, merged: set[str]) -> bool:
        return ident not in merged and self.store.rejection(ident).get("code") == stores.WITHDRAWN

    def _refuse(self, name: str, why: PeercoordError, done: Gathered, size: int | None = None) -> None:
        """Note why a file, or a part of it, is not taken: its name and the reason, never its bytes."""
        if size is None:
            size = self._size(name)
        words = "\n".join((self.peer, name, str(size), why.code, why.message))
        ident = "f-" + sections.digest(words.encode("utf-8", "surrogateescape"))[:16]
        facts = {"file": ids.shown(name, 200), "size": size, "kind": why.code, "hint": why.hint}
        self.store.explain(ident, stores.REFUSED, why.message, self.peer, **facts)
        if isinstance(why, UsageError):
            done.refused.append((name, why))

    def _size(self, name: str) -> int:
        from peercoord.roles.collect import FOLDER

        try:
            return self.disk.stat(f"{FOLDER}/{name}").size
        except OSError:
            return 0
