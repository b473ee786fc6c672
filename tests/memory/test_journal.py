from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from memory.helpers import TECH, change, note, texts
from support.faults import Counting
from support.memory import MemoryDisk
from support.worlds import World

from peercoord.errors import BrokenFileError, PeercoordError
from peercoord.memory.journal import Entry, landed, new_entry, overwritten, state_of, undo_entry
from peercoord.memory.merge import merge
from peercoord.memory.outcome import Outcome
from peercoord.memory.store import MemoryStore
from peercoord.store import paths

if TYPE_CHECKING:
    from peercoord.memory.contribution import Contribution
    from peercoord.memory.outcome import Merge3

NAME = "techContext.md"
LINES = "Sessions expire after 20 minutes.\nUploads are at most 5 MB.\nNames are unique."


class History:
    """A document, and what was merged into it one after the other."""

    def __init__(self, merge3: Merge3, document: bytes | None = TECH) -> None:
        self.merge3, self.document = merge3, document
        self.entries: list[Entry] = []
        self.texts: dict[str, bytes] = {}

    def merge(self, *given: Contribution, kind: str = "merge") -> Entry:
        outcome = merge(NAME, self.document, given, texts(self.document or b"", TECH), self.merge3)
        return self.record(outcome, kind)

    def record(self, outcome: Outcome, kind: str, undoes: str = "") -> Entry:
        previous = self.entries[-1].id if self.entries else ""
        made = new_entry(NAME, kind, self.document, outcome, previous=previous, by="i", at="t", undoes=undoes)
        self.entries.append(made)
        self.texts |= outcome.texts
        self.document = outcome.document
        return made

    def undo(self, entry: Entry, backup: bytes | None = None) -> None:
        self.record(undo_entry(entry, self.document, self.texts, self.merge3, backup), "undo", entry.id)

    @property
    def now(self) -> bytes:
        return self.document or b""


@pytest.fixture
def history(merge3: Merge3) -> History:
    return History(merge3)


@pytest.mark.parametrize("step", ["begin", "note", "keep_backup"])
def test_a_journal_that_is_the_first_is_flushed_up_to_a_directory_of_set_up(history: History, step: str) -> None:
    """ASM-6: set-up makes the directory of the memory bank's records, and the first entry those below it."""
    disk = Counting(MemoryDisk())
    store = MemoryStore(World.new(disk).root)
    entry = history.merge(note("- a"))
    disk.calls.clear()
    getattr(store, step)(*((NAME, TECH) if step == "keep_backup" else (entry,)))
    made = [call.path for call in disk.calls if call.name == "mkdir"]
    last = max(at for at, call in enumerate(disk.calls) if call.name == "mkdir")
    flushed = {call.path for call in disk.calls[last:] if call.name == "sync"}
    assert flushed >= {*made, paths.MEMORY}, made


def test_an_entry_is_the_same_after_it_was_written_and_read(history: History) -> None:
    made = history.merge(note("- a"), change(LINES.replace("20", "30")))
    assert Entry.read(made.record(), "x.json") == made
    assert (made.before, made.after) == (state_of(TECH), state_of(history.document))
    with pytest.raises(BrokenFileError, match=r"x\.json is no entry"):
        Entry.read({**made.record(), "edits": [{}]}, "x.json")


def test_two_leaders_who_compute_the_same_write_the_same_entry(merge3: Merge3) -> None:
    one, two = (History(merge3).merge(note("- a"), note("- b", time=1)) for _ in range(2))
    assert one == two


# -- a leader that died ------------------------------------------------------------------------------------------


def test_whether_a_dead_leaders_document_reached_the_disk(history: History) -> None:
    entry = history.merge(note("- a fresh line"))
    after = history.now
    assert landed(entry, after, history.texts)
    assert not landed(entry, TECH, history.texts)
    assert landed(entry, after + b"\nA person was here.\n", history.texts)
    assert not landed(entry, TECH + b"\nA person was here.\n", history.texts)
    assert not landed(entry, None, history.texts)
    history.document = TECH
    entry = history.merge(change("Names are unique."))
    assert landed(entry, history.now, history.texts), "it only took text away: the state tells"
    assert not landed(entry, TECH, history.texts)


def test_what_was_undone_is_not_taken_for_overwritten(merge3: Merge3) -> None:
    one, twin = History(merge3), History(merge3)
    first = one.merge(note("- undone"))
    one.document = one.now.replace(b"Use ruff.", b"Use ruff, by hand.")
    one.undo(first)
    twin.merge(note("- by another", peer="instance-2"))
    entries, store = [*one.entries, *twin.entries], {**one.texts, **twin.texts}
    lost = overwritten(entries, one.document, store)
    assert [entry.contributions for entry in lost] == [twin.entries[0].contributions]


def test_an_entry_that_another_follows_was_not_overwritten(merge3: Merge3) -> None:
    one, twin = History(merge3), History(merge3)
    one.merge(note("- first"))
    one.merge(note("- second", time=1))
    one.document = one.now.replace(b"- first\n", b"")
    twin.merge(note("- by another", peer="instance-2"))
    lost = overwritten([*one.entries, *twin.entries], one.document, {**one.texts, **twin.texts})
    assert lost == twin.entries


# -- undo --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [b"## Limits", b""])
def test_an_undo_without_its_section_or_its_texts_is_refused(history: History, gone: bytes) -> None:
    entry = history.merge(change(LINES.replace("20", "30")))
    if gone:
        history.document = history.now.replace(gone, b"## Other")
    else:
        history.document, history.texts = history.now + b"\n", {}
    with pytest.raises(PeercoordError, match="no longer"):
        history.undo(entry)


def test_a_backup_that_is_another_document_is_not_used(history: History) -> None:
    entry = history.merge(note("- a"))
    history.undo(entry, b"something else")
    assert history.document == TECH
