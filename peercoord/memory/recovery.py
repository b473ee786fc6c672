"""Bring a document's journal in line with the document after a crash or after two leaders at once.

An entry is written as an *intent*, then the document is replaced, then the intent becomes an entry. So only the last
step of a leader can be open, and the document tells how it ended:

- It is what an intent makes of it, or a staged file still holds the text that was displaced: the document was
  replaced, and only the rename is missing. Else the contributions still lie in the queue and are merged again.
- Two entries follow the same one: two leaders did not see each other. One of them overwrote the other, whose entries
  become intents again and whose contributions are queued again.
- It is neither: someone unknown changed it. That becomes an entry of kind ``foreign``, which the next merge follows.

A document that is as an earlier entry left it was put back by a person (``git stash``, ``reset``): what was merged
since stays settled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.memory.document import digest
from peercoord.memory.journal import Entry, Journal, overwritten, settled_by, state_of
from peercoord.memory.outcome import Outcome, changed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.memory.documents import Documents
    from peercoord.memory.store import MemoryStore

SOMEONE = "someone"


def open_journal(store: MemoryStore, name: str, document: bytes | None) -> Journal:
    """Read a document's journal and settle what is open in it."""
    entries, state = store.entries(name), state_of(document)
    if all(one.after != state for one in entries):
        tip = entries[-1].id if entries else ""
        landed = [one for one in store.intents(name) if one.after == state]
        if landed:
            store.land(next((one for one in landed if one.previous == tip), landed[-1]))
            entries = store.entries(name)
    entries = _without_overwritten(store, entries, document)
    if entries and entries[-1].after != state:
        entries.append(_foreign(store, entries[-1], name, document))
    return Journal(entries)


def finish_replaced(store: MemoryStore, files: Documents, name: str) -> None:
    """Complete the newest intent whose replacement is proven, even if a person has edited since.

    Only an intent that follows the newest entry counts: an older one was overwritten, and what it brought is queued.
    """
    proven = [one for one in store.intents(name) if files.was_replaced(name, one.before, one.after)]
    if proven:  # seldom: only then is the journal read, which the change reads again
        tip = next((one.id for one in reversed(store.entries(name))), "")
        newest = next((one for one in proven if one.previous == tip), None)
        if newest:
            store.land(newest)


def overwrites(store: MemoryStore, entry: Entry, document: bytes | None) -> bool:
    """Check whether an entry that landed just now overwrote later ones, and queue these again.

    Its writer was stopped between its last look at the document and the replacing. Meanwhile another leader landed
    the same entry, and more after it. To a later reader it would look as if a person had put the document back.
    """
    entries = store.entries(entry.document)
    if state_of(document) != entry.after or any(one.after == entry.after for one in entries[-1:]):
        return False
    lost = _rivals(entries, entry)
    _revert(store, entries, lost)
    return bool(lost)


def _without_overwritten(store: MemoryStore, entries: list[Entry], document: bytes | None) -> list[Entry]:
    """Revert the entries that were overwritten; return the others."""
    named = {one.previous for one in entries}
    if len(named) == len(entries):
        return entries
    state = state_of(document)
    winner = next((one for one in reversed(entries) if one.after == state and one.id not in named), None)
    lost = _rivals(entries, winner) if winner else {one.id for one in overwritten(entries, document, store.texts)}
    return _revert(store, entries, lost)


def _rivals(entries: list[Entry], winner: Entry) -> set[str]:
    """Ids of the entries whose text is not in the document that ``winner`` made.

    They follow the winner, or an entry that the winner follows, without being followed by it.
    """
    known = {one.id: one for one in entries}
    line = {winner.id}
    first = winner
    while first.previous in known and first.previous not in line:
        first = known[first.previous]
        line.add(first.id)
    lost: set[str] = set()
    for one in entries:
        if one.id not in line and (one.previous in line or one.previous in lost or one.previous == first.previous):
            lost.add(one.id)
    return lost


def _revert(store: MemoryStore, entries: list[Entry], lost: Iterable[str]) -> list[Entry]:
    """Turn entries into intents again; return the others.

    Their contributions are queued first: after a crash in between, an entry that still counts is reverted again.
    """
    kept = [one for one in entries if one.id not in lost]
    settled = settled_by(kept)
    for one in entries:
        if one.id in lost:
            store.requeue(ident for ident in (*one.contributions, *one.superseded) if ident not in settled)
            store.revert(one)
    return kept


def _foreign(store: MemoryStore, tip: Entry, name: str, document: bytes | None) -> Entry:
    """Write an entry for a change by someone unknown."""
    old = b"" if not tip.after else store.backup(name, tip.after)
    found = Outcome() if old is None else changed(old, document or b"", name)
    store.texts.keep(found.texts)
    store.keep_backup(name, document)
    after = state_of(document)
    ident = "e-" + digest("\n".join((name, "foreign", tip.id, tip.after, after)).encode())[:16]
    now = store.root.clock.now()
    entry = Entry(ident, name, "foreign", tip.id, tip.after, after, (), (), tuple(found.edits), "", SOMEONE, now)
    store.note(entry)
    return entry
