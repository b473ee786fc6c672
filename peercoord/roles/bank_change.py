"""Changing one document of the memory bank: the order of the writing, and who may write.

Texts, ledger entry as an intent, a last look at who leads and at the document, the document, the entry: whatever dies
in between, whoever comes next sees from the document how it ended (``bank_book``). What a person saves meanwhile is
never overwritten: the change is computed again on it.

A document is no different from a contribution file in this: whoever writes it in two steps is not to be merged with in
the middle of a sentence. So a text that the ledger does not know is waited for until it kept still.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from time import sleep

from peercoord.core import names
from peercoord.core.errors import LostError
from peercoord.core.memory import ledger, sections
from peercoord.fs.mutex import held
from peercoord.roles.archivist import Archivist
from peercoord.roles.bank_book import Book, open_book, overwrites

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.core.memory.ledger import Entry
    from peercoord.core.memory.outcome import Outcome
    from peercoord.core.records import Json
    from peercoord.roles.bank_disk import Documents
    from peercoord.roles.bank_store import Store

LOCK_SECONDS = 10.0
SETTLE_SECONDS = 2.0  # a document that the ledger does not know and that was not written for so long is whole
PATIENCE_SECONDS = 4.0  # for which a change waits for that
_LOOK_SECONDS = 0.25  # between two looks whether a program closed a document
_TRIES = 20  # a document that is saved this often under our hands is being written by a program


class UnsettledError(LostError):
    """A document is still being written: nothing was done to it."""

    code = "unsettled"


class Changer:
    """Changes documents of one memory bank.

    Args:
        store: What it keeps in the coordination directory.
        files: Its documents.
    """

    def __init__(self, store: Store, files: Documents) -> None:
        self.root, self.store, self.files = store.root, store, files

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of the memory bank while the block runs, or go on without it after a while."""
        home = getattr(self.root.files.disk, "root", "")
        with ExitStack() as stack:
            if home:
                try:
                    stack.enter_context(held(f"{home}/{names.BANK_LOCK}", wait=LOCK_SECONDS))
                except LostError:
                    self.root.event("memory", "unlocked", because="the lock of the memory bank is held for too long")
            yield

    def change(
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

        One that may still be being written is waited for, ``PATIENCE_SECONDS`` at the most.

        Args:
            name: The document.
            kind: One of ``ledger.KINDS``.
            by: Who changes it.
            leads: Tells whether it may be changed; asked before anything that counts is written.
            compute: Gives the outcome for a document and its ledger; ``None`` if there is nothing to do.
            undoes: The entry that is taken back.
            decision: What a person decided, to be written down before.

        Returns:
            The entry; ``None`` if ``compute`` found nothing to do.

        Raises:
            LostError: It may not be changed any more; or a program writes it all the time.
            UnsettledError: The document does not keep still.
            UsageError: The document is not valid UTF-8: it is left alone.
            StorageError: The filesystem refused; what was begun is finished by the next merge.
        """
        for _ in range(_TRIES):
            self._mend(name)
            before = self._settled(name)
            sections.utf8(before or b"", name)
            if not leads():
                raise over(name)
            book = open_book(self.store, name, before)
            found = compute(before, book)
            if found is None:
                return None
            entry = self._entry(name, kind, before, found, book, by, undoes)
            if not leads():
                raise over(name)
            self.store.texts.keep(found.texts)
            if decision is not None:
                self.store.decide(entry.id, {**decision, "entry": entry.id})
            if self._landed(entry, before, found.document, leads):
                self._tell(entry, found, decision)
                return entry
        raise LostError(f"{name} changes all the time: a program seems to write it", hint="try again", code="busy")

    def unsettled(self, name: str, document: bytes | None) -> float:
        """Tell for how long a document must keep still yet before it counts as whole, seconds; 0 if it does.

        The text of the last entry is whole, however young: we wrote it. None is while a program has it open to write.

        Args:
            name: Its name.
            document: What it holds; ``None`` if there is none.
        """
        state = ledger.state(document)
        if state and self.files.written(name):
            return _LOOK_SECONDS
        ours = (*self.store.entries(name)[-1:], *self.store.intents(name))
        modified = None if state in ("", *(one.after for one in ours)) else self.files.modified_ns(name)
        if modified is None:
            return 0.0
        age = (Archivist(self.root).now() - modified) / 10**9
        return SETTLE_SECONDS - age if abs(age) < SETTLE_SECONDS else 0.0

    def _settled(self, name: str) -> bytes | None:
        """Read a document when it kept still."""
        waited = 0.0
        while True:
            document = self.files.read(name)
            left = self.unsettled(name, document)
            if not left:
                return document
            if waited >= PATIENCE_SECONDS:
                raise UnsettledError(
                    f"{name} is open in a program or was saved a moment ago, and may still be being written: "
                    "it is left alone",
                    hint="nothing is lost; save it, and try again",
                )
            sleep(left)
            waited += left

    def _mend(self, name: str) -> None:
        """Put right what a crash left in the midst of a replacement."""
        for data in self.files.mend(name):
            self.store.keep_backup(name, data)
            self.root.event("memory", "overtaken", file=name, backup=ledger.state(data))

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
        step = self.files.stage(name, before, after if entry.after else None)
        if not leads():
            self.files.drop(step.path)
            self.store.drop(entry)
            raise over(name)
        if not self.files.swap(step):
            if ledger.state(self.files.read(name)) != entry.after:
                self.store.drop(entry)
            return False
        self.store.land(entry)
        return not overwrites(self.store, entry, self.files.read(name))

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


def over(name: str) -> LostError:
    """Give the error for one that no longer leads."""
    return LostError(f"someone else leads now: {name} was not merged", hint="nothing is lost", code="stale-term")
