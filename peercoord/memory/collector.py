"""Collect the files of a worktree's ``memory-contributions/``: its own agent turns them into contributions.

A file is read once it has not changed for a while by our own monotonic clock, and was the same before and after the
read, so that an author who writes in two steps is not quoted in mid-sentence. Links are never followed.

Promise: everything in a file is queued exactly once, however often the file is seen. The id of a contribution follows
from its text, so after a crash all steps are simply done again. What the same file gave before is looked up in all
states, so that an edited file gives only what is new. Therefore settled contributions of files are kept for good.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, UsageError
from peercoord.foreign import shown
from peercoord.memory.contribution import FILE_BYTES, Author, Contribution
from peercoord.memory.document import digest
from peercoord.memory.documents import Documents
from peercoord.memory.reader import from_file
from peercoord.memory.store import DONE, QUEUED, REFUSED, REJECTED, WITHDRAWN, MemoryStore, read
from peercoord.memory.targets import purpose
from peercoord.store import ids, paths
from peercoord.store.files import Files
from peercoord.store.refusals import ABSENT, NO_FILE, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.store.root import Root
    from peercoord.system.disk import DiskLike, Stat

FOLDER = f"{paths.INSTANCE}/memory-contributions"
ORIGINS = f"{paths.INSTANCE}/collected"
SETTLE_SECONDS = 2.0  # a file that has not changed for this long is whole
FORGET_SECONDS = 60.0  # a file that was gone for this long is another one when it comes back
_SCRATCH = ("~", ".swp", ".tmp", ".part", ".crdownload")


@dataclass(slots=True)
class FolderScan:
    """What a look at the folder showed."""

    ready: dict[str, bytes] = field(default_factory=dict)  # to read now
    deferred: dict[str, str] = field(default_factory=dict)  # still being written, and why they wait: look again
    refused: dict[str, UsageError] = field(default_factory=dict)  # what is never taken as it is now, and why


class Folder:
    """The contributions of one worktree."""

    def __init__(self, disk: DiskLike, token: Callable[[], str]) -> None:
        self.disk, self.files = disk, Files(disk, token)
        self._still: dict[str, tuple[Stat, float]] = {}
        self._read: dict[str, Stat] = {}
        self._done: dict[str, Stat] = {}
        self._gone: dict[str, float] = {}

    def look(self, now: float, finished: bool = False) -> FolderScan:
        """Look at the folder at a time of the monotonic clock, in seconds."""
        scan = FolderScan()
        listed = self._names(scan)
        for name in sorted(listed):
            if name.startswith((".", "#")) or name.endswith(_SCRATCH):
                continue
            seen = self.files.stat(f"{FOLDER}/{name}")
            if seen is None:
                self._still.pop(name, None)
            elif self._done.get(name) != seen:
                self._read[name] = seen
                if why := self._look_at(name, seen, now, scan, finished):
                    scan.refused[name] = why
        self._forget(listed, now)
        return scan

    def taken(self, name: str) -> None:
        """Note that a file of the last look is published or refused: it is looked at again when it changes."""
        if name in self._read:
            self._done[name] = self._read[name]

    def origin(self, name: str) -> bytes | None:
        """Return the document that an edited copy was made from, as kept by ``keep_origin``."""
        return read(self.disk, f"{ORIGINS}/{name}")

    def keep_origin(self, name: str, document: bytes) -> None:
        """Keep the document that an edited copy is compared with, for as long as the copy is there.

        The first call counts: when the file is read for the first time, before what was read is published.
        """
        ids.check(name, "file name")
        scratch = f"{ORIGINS}/.{self.files.token()}"
        try:
            with suppress(FileExistsError):
                self.disk.mkdir(ORIGINS)
            if self.files.stat(f"{ORIGINS}/{name}") is not None:
                return
            self.disk.create(scratch, document, durable=True)
            self.disk.rename(scratch, f"{ORIGINS}/{name}")  # one agent collects: nothing makes that name meanwhile
            self.files.sync(ORIGINS)
        except OSError as error:
            raise refused(error, f"{ORIGINS}/{name}") from None

    # -- one look --------------------------------------------------------------------------------------------

    def _names(self, scan: FolderScan) -> list[str]:
        for place in (paths.INSTANCE, FOLDER):
            seen = self.files.stat(place)
            if seen is None:
                return []
            if not seen.is_dir:
                scan.refused[place] = UsageError(
                    f"{place} is a link or a file, not a folder", hint="make it a folder of this worktree", code="link"
                )
                return []
        return self.files.scan(FOLDER)

    def _look_at(self, name: str, seen: Stat, now: float, scan: FolderScan, finished: bool) -> UsageError | None:
        """Take a file if it is whole; return why it can never be taken as it is now."""
        if seen.is_dir:
            return UsageError(f"{shown(name)} is a folder", hint="put files here, without folders", code="folder")
        if not ids.is_id(name):
            return UsageError(
                f"file name {shown(name)} is not allowed",
                hint="letters, digits, '.', '_' and '-', beginning with a letter or digit, 64 characters at most",
                code="bad-file",
            )
        before, since = self._still.get(name, (seen, now))
        since = since if before == seen else now
        self._still[name] = (seen, since)
        if now - since < SETTLE_SECONDS and not finished:
            scan.deferred[name] = "it was changed a moment ago and may still be being written"
            return None
        if seen.size > FILE_BYTES:
            return UsageError(
                f"{shown(name)} has {seen.size} bytes; {FILE_BYTES} are allowed",
                hint="contribute what is new, not a whole file",
                code="too-large",
            )
        return self._take(name, seen, scan)

    def _take(self, name: str, seen: Stat, scan: FolderScan) -> UsageError | None:
        path = f"{FOLDER}/{name}"
        try:
            data = self.disk.read(path, FILE_BYTES + 1)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            if error.errno in NO_FILE:
                hint = "put a copy in its place: links are not followed"
                return UsageError(f"{shown(name)} is no plain file", hint=hint, code="link")
            raise refused(error, path) from None
        if self.files.stat(path) != seen or len(data) != seen.size:
            self._still.pop(name, None)
            scan.deferred[name] = "it changed while it was read"
        else:
            scan.ready[name] = data
        return None

    def _forget(self, listed: list[str], now: float) -> None:
        there = set(listed)
        for known in (self._still, self._read, self._done):
            for name in known.keys() - there:
                del known[name]
        try:
            kept = self.disk.listdir(ORIGINS)
        except OSError:
            return
        for name in kept:
            if name in there or name.startswith("."):
                self._gone.pop(name, None)
            elif now - self._gone.setdefault(name, now) >= FORGET_SECONDS:
                del self._gone[name]
                with suppress(OSError):  # it is tried again at the next look
                    self.disk.unlink(f"{ORIGINS}/{name}")


@dataclass(slots=True)
class Collected:
    """What was collected from files."""

    contributions: list[Contribution] = field(default_factory=list)  # those that are new in the queue
    withdrawn: list[str] = field(default_factory=list)  # ids of earlier ones that their author took back
    refused: list[tuple[str, UsageError]] = field(default_factory=list)  # what was not taken: the file's name and why
    notes: list[str] = field(default_factory=list)  # what its author should be told


class Collector:
    """Collects from the worktree of one peer; ``worktree`` are the system calls on it."""

    def __init__(self, root: Root, worktree: DiskLike, documents: Documents, peer: str) -> None:
        self.root, self.documents, self.peer = root, documents, ids.check(peer, "peer")
        self.disk = worktree
        self.store = MemoryStore(root)
        self.folder = Folder(worktree, root.files.token)
        self._known: dict[str, Contribution | None] = {}  # of all that is in the queue or settled, this peer's

    def look(self, finished: bool = False) -> FolderScan:
        """Look for files to read, changing nothing; cheap while nothing changed.

        With ``finished``, files that changed a moment ago are taken as well: their author says that they are whole.
        """
        return self.folder.look(self.root.clock.monotonic(), finished)

    @staticmethod
    def again(scan: FolderScan) -> float | None:
        """Seconds after which to look again; ``None`` if nothing is pending."""
        return SETTLE_SECONDS + 0.1 if scan.deferred else None

    def take(self, scan: FolderScan, task: str = "", told: int | None = None) -> Collected:
        """Queue what a look showed, and note what can never be taken.

        Args:
            scan: What ``look`` gave.
            task: The task that the peer holds; empty if none.
            told: How far the peer was told what changed in the bank; ``None`` if it never was.

        Raises:
            StorageError: The filesystem refused; the next look shows the rest again.
        """
        done = Collected()
        for name, why in scan.refused.items():
            self._refuse(name, why, done)
            self.folder.taken(name)
        for name, data in scan.ready.items():
            try:
                self._take(name, data, task, done, told)
            except UsageError as error:
                self._refuse(name, error, done)
            self.folder.taken(name)
        if done.contributions or done.withdrawn:
            self.root.files.ring()
        return done

    # -- one file --------------------------------------------------------------------------------------------

    def _take(self, name: str, data: bytes, task: str, done: Collected, told: int | None) -> None:
        known = dict.fromkeys(self.documents.names(), b"")
        aim = purpose(name, self.peer, known)
        if aim.document in known:  # the others count by their names alone
            with suppress(BrokenFileError):  # a file that cannot be read counts as empty
                now = self.documents.read(aim.document)
                known[aim.document] = self.store.briefed(aim.document, now, told, self.peer) or b""
        origin = self.folder.origin(name) if aim.kind == "copy" else None
        if aim.kind == "copy" and origin is None:
            self.folder.keep_origin(name, known[aim.document])
        earlier, merged = self._earlier(name), self.store.idents(DONE)
        pending = {one.id for one in earlier} - merged
        withdrawn = {ident for ident in pending if self.store.rejection(ident).get("code") == WITHDRAWN}
        author = Author(self.peer, task, self.root.clock.now())
        found = from_file(author, name, data, known, origin=origin, earlier=earlier, merged=merged, withdrawn=withdrawn)
        self.store.texts.keep(found.texts)
        for one in found.contributions:
            self._known[one.id] = one
            if self.store.publish(one):
                self.root.event(self.peer, "contributed", id=one.id, file=one.document)
                done.contributions.append(one)
        for problem in found.refused:
            self._refuse(name, problem, done)
        for ident in found.withdrawn:
            self.store.reject(ident, WITHDRAWN, f"its author took it out of {name}", self.peer)
            done.withdrawn.append(ident)
        done.notes += found.notes

    def _earlier(self, name: str) -> list[Contribution]:
        """Return what this peer contributed from a file before, in whatever state it is."""
        there: set[str] = set()
        for state in (QUEUED, DONE, REJECTED):
            for ident in self.store.idents(state):
                there.add(ident)
                if ident not in self._known:
                    one = self.store.contribution(ident)
                    self._known[ident] = one if one and one.peer == self.peer else None
        self._known = {ident: one for ident, one in self._known.items() if ident in there}
        return [one for one in self._known.values() if one and one.source == name]

    def _refuse(self, name: str, why: UsageError, done: Collected) -> None:
        """Note why a file, or a part of it, is not taken: its name and the reason, never its bytes."""
        try:
            size = self.disk.stat(f"{FOLDER}/{name}").size
        except OSError:
            size = 0
        words = "\n".join((self.peer, name, str(size), why.code, why.message))
        ident = "f-" + digest(words.encode("utf-8", "surrogateescape"))[:16]
        facts = {"file": shown(name, 200), "size": size, "kind": why.code, "hint": why.hint}
        self.store.explain(ident, REFUSED, why.message, self.peer, **facts)
        done.refused.append((name, why))
