"""Change one document: the order of its writes, and when a document may be written.

The order (MEM-10): the texts; the journal entry, as an intent; the document, after a last look at leader and document;
the entry. After a crash in between, ``recovery`` sees from the document how far it came. If a person saved meanwhile,
the change is computed again from what they saved. A text that the journal does not know may be half written, so it
must have settled.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from time import sleep
from typing import TYPE_CHECKING

from peercoord.errors import LostError
from peercoord.memory.document import decode_utf8, path_text
from peercoord.memory.journal import Journal, new_entry, state_of
from peercoord.memory.recovery import finish_replaced, open_journal, overwrites
from peercoord.store import paths
from peercoord.store.lock import held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.foreign import Json
    from peercoord.memory.documents import Documents
    from peercoord.memory.journal import Entry
    from peercoord.memory.outcome import Outcome
    from peercoord.memory.store import MemoryStore

LOCK_SECONDS = 10.0
SETTLE_SECONDS = 2.0  # after which an unknown text counts as whole
SETTLE_TIMEOUT_SECONDS = 4.0  # the longest that a change waits for that
_LOOK_SECONDS = 0.25  # between two checks whether a program has closed a document
_TRIES = 20  # a document that changes this often during one change is being written by a program


class UnsettledError(LostError):
    """A program may still be writing the document; it was not changed."""

    code = "unsettled"


class Changer:
    """Changes documents of one memory bank."""

    def __init__(self, store: MemoryStore, files: Documents) -> None:
        self.root, self.store, self.files = store.root, store, files

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock of the memory bank while the block runs; after a while, go on without it."""
        home = self.root.files.place
        with ExitStack() as stack:
            if home:
                try:
                    stack.enter_context(held(f"{home}/{paths.BANK_LOCK}", wait=LOCK_SECONDS))
                except LostError:
                    self.root.event("memory", "unlocked", because="the lock of the memory bank is held for too long")
            yield

    def change(
        self,
        name: str,
        kind: str,
        by: str,
        leads: Callable[[], bool],
        compute: Callable[[bytes | None, Journal], Outcome | None],
        undoes: Entry | None = None,
        decision: Json | None = None,
    ) -> Entry | None:
        """Change a document, once it has settled; computed again if a person saves it meanwhile."""
        for _ in range(_TRIES):
            for displaced in self.files.mend(name):  # a crash interrupted a replacement
                self.store.keep_backup(name, displaced)
                self.root.event("memory", "overtaken", file=name, backup=state_of(displaced))
            finish_replaced(self.store, self.files, name)
            before = self._read_settled(name)
            decode_utf8(before or b"", name)
            if not leads():
                raise stale_term(name)
            journal = open_journal(self.store, name, before)
            found = compute(before, journal)
            if found is None:
                return None
            words = {"previous": journal.previous, "undoes": undoes.id if undoes else ""}
            entry = new_entry(name, kind, before, found, by=by, at=self.root.clock.now(), **words)
            if undoes and not undoes.before and not found.document:
                entry = replace(entry, after="")  # the merge had created the document: remove it
            if not leads():
                raise stale_term(name)
            self.store.texts.keep(found.texts)
            if decision is not None:
                self.store.decide(entry.id, {**decision, "entry": entry.id})
            if self._landed(entry, before, found.document, leads):
                self._tell(entry, found, decision)
                return entry
        raise LostError(f"{name} keeps changing: a program seems to be writing it", hint="try again", code="busy")

    def unsettled(self, name: str, document: bytes | None) -> float:
        """Return for how many more seconds a document must stay unchanged to count as whole; 0 if it does.

        The text of the last entry is whole at once: a merge wrote it. A document open for writing is never whole.
        """
        state = state_of(document)
        if state and self.files.disk.written(name):
            return _LOOK_SECONDS
        ours = (*self.store.entries(name)[-1:], *self.store.intents(name))
        modified = None if state in ("", *(one.after for one in ours)) else self.files.modified_ns(name)
        if modified is None:
            return 0.0
        age = (self.root.files.now() - modified) / 10**9
        return SETTLE_SECONDS - age if abs(age) < SETTLE_SECONDS else 0.0

    def _read_settled(self, name: str) -> bytes | None:
        """Read a document once it has stayed unchanged."""
        waited = 0.0
        while True:
            document = self.files.read(name)
            left = self.unsettled(name, document)
            if not left:
                return document
            if waited >= SETTLE_TIMEOUT_SECONDS:
                raise UnsettledError(
                    f"{name} is open in a program or was saved a moment ago, and may still be being written: "
                    "it is skipped",
                    hint="nothing is lost; save it, and try again",
                )
            sleep(left)
            waited += left

    def _landed(self, entry: Entry, before: bytes | None, after: bytes, leads: Callable[[], bool]) -> bool:
        """Write an entry and replace its document; ``False`` if the document has changed meanwhile."""
        name = entry.document
        if entry.before == entry.after:
            self.store.note(entry)
            return True
        self.store.keep_backup(name, before, after)
        self.store.begin(entry)
        step = self.files.stage(name, before, after if entry.after else None)
        if not leads():
            self.files.drop(step.path)
            self.store.drop(entry)
            raise stale_term(name)
        if not self.files.swap(step):
            if state_of(self.files.read(name)) != entry.after:
                self.store.drop(entry)
            return False
        self.store.land(entry)
        self.files.drop(step.path)  # only now: until here it proves that the document was replaced
        return not overwrites(self.store, entry, self.files.read(name))

    def _tell(self, entry: Entry, found: Outcome, decision: Json | None) -> None:
        """Write the event from which peers learn of the change."""
        if entry.kind == "progress":
            return
        facts: Json = {"file": entry.document, "entry": entry.id, "change": entry.kind}
        facts["sections"] = [path_text(edit.section) for edit in entry.edits if edit.contributions or decision]
        facts["contributions"] = list(found.applied)
        if decision:
            self.root.event("memory", "decided", what=decision["what"], decided_by=entry.by, **facts)
        else:
            self.root.event(entry.by, "merged", **facts)


def stale_term(name: str) -> LostError:
    """Return the error of a leader that no longer leads."""
    return LostError(f"another peer leads now: {name} was not merged", hint="nothing is lost", code="stale-term")
