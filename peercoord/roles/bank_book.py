"""One document's ledger brought up to what its document says: what a crash or a second leader left is settled here.

An entry is written as an *intent*, then the document is replaced, then the intent becomes an entry that counts. So at
most the last step of somebody is open at any time, and the document itself tells how it ended:

- it is what an intent makes of it: the document was replaced, and only the last step is missing;
- two entries follow the same one: their writers did not see each other. The document is what one of them made of it;
  the others, and what was built on them, were overwritten. They become intents again and their contributions are
  queued again;
- it is neither: someone changed it whom we do not know. That becomes an entry of its own kind, so that the next merge
  follows it and nothing of it is taken for ours.

A document that is as an *earlier* entry left it was put back by a person (``git stash``, ``switch``, ``reset``): what
was merged since is missing, and stays so until a person says otherwise.
"""

from __future__ import annotations

from peercoord.core.memory import ledger, outcome, sections
from peercoord.core.memory.ledger import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.core.memory.outcome import Edit
    from peercoord.roles.bank_store import Store

SOMEONE = "someone"


class Book:
    """A document's ledger, as it counts.

    Attributes:
        entries: What was done, oldest first.
    """

    __slots__ = ("entries",)

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    @property
    def tip(self) -> Entry | None:
        """The newest entry."""
        return self.entries[-1] if self.entries else None

    @property
    def previous(self) -> str:
        """What the next entry names as the one before it."""
        return self.entries[-1].id if self.entries else ""

    @property
    def settled(self) -> dict[str, str]:
        """Contributions that are not to be merged again, and why."""
        return ledger.settled(self.entries)

    @property
    def removed(self) -> bool:
        """Someone unknown took the document away."""
        return self.tip is not None and self.tip.kind == "foreign" and not self.tip.after


def open_book(store: Store, name: str, document: bytes | None) -> Book:
    """Read a document's ledger and settle what is open in it.

    Args:
        store: Where the ledger lies.
        name: The document's name.
        document: The document as it is; ``None`` if there is none.
    """
    entries = store.entries(name)
    state = ledger.state(document)
    tip = entries[-1] if entries else None
    if tip is None or tip.after != state:
        late = _late(entries, store.intents(name), document, store)
        if late:
            store.land(late)
            entries = store.entries(name)
    entries = _without_overwritten(store, entries, document)
    tip = entries[-1] if entries else None
    if ledger.foreign(tip, document) and tip:
        entries.append(_foreign(store, tip, name, document))
    return Book(entries)


def overwrites(store: Store, entry: Entry, document: bytes | None) -> bool:
    """Tell whether an entry that was landed just now turns out to have overwritten others, and put that right.

    Its writer was stopped between its last look at the document and the replacing: meanwhile another leader landed the
    same entry, and more upon it. From the files alone that looks as if a person had put the document back.
    """
    entries = store.entries(entry.document)
    if ledger.state(document) != entry.after or any(one.after == entry.after for one in entries[-1:]):
        return False
    lost = _rivals(entries, entry)
    _lift(store, [one for one in entries if one.id in lost], [one for one in entries if one.id not in lost])
    return bool(lost)


def _late(entries: list[Entry], intents: list[Entry], document: bytes | None, store: Store) -> Entry | None:
    """Find the intent whose document reached the disk, if one did."""
    state = ledger.state(document)
    tip = entries[-1].id if entries else ""
    if any(one.after == state for one in entries):
        return None
    fits = [one for one in intents if one.after == state]
    if fits:
        return next((one for one in fits if one.previous == tip), fits[-1])
    # Someone edited the document since: then the text decides. Asked of the last step alone, since later merges bring
    # the same lines.
    last = (one for one in intents if one.previous == tip and one.before != state)
    return next((one for one in last if ledger.landed(one, document, store.texts)), None)


def _without_overwritten(store: Store, entries: list[Entry], document: bytes | None) -> list[Entry]:
    """Lift the entries that were overwritten; give the others."""
    previous = [one.previous for one in entries]
    if len(set(previous)) == len(previous):
        return entries
    state = ledger.state(document)
    before = set(previous)
    winner = next((one for one in reversed(entries) if one.after == state and one.id not in before), None)
    if winner:
        lost = _rivals(entries, winner)
    else:
        lost = {one.id for one in ledger.overwritten(entries, document, store.texts)}
    kept = [one for one in entries if one.id not in lost]
    _lift(store, [one for one in entries if one.id in lost], kept)
    return kept


def _rivals(entries: list[Entry], winner: Entry) -> set[str]:
    """Give the ids of the entries that the document does not hold if it is as ``winner`` made it.

    They follow the winner, or something that it follows, without being followed by it.
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


def _lift(store: Store, lost: Iterable[Entry], kept: list[Entry]) -> None:
    """Let entries count no longer. Their contributions go first: an entry that still counts is lifted again."""
    settled = ledger.settled(kept)
    for one in lost:
        again = [ident for ident in (*one.contributions, *one.superseded) if ident not in settled]
        store.requeue(again)
        store.lift(one)


def _foreign(store: Store, tip: Entry, name: str, document: bytes | None) -> Entry:
    """Note a change by someone unknown."""
    old = b"" if not tip.after else store.backup(name, tip.after)
    edits: list[Edit] = []
    texts: dict[str, bytes] = {}
    if old is not None:
        edits, texts = outcome.compare(sections.split(old, name), sections.split(document or b"", name))
    store.texts.keep(texts)
    store.keep_backup(name, document)
    after = ledger.state(document)
    words = "\n".join((name, "foreign", tip.id, tip.after, after))
    ident = "e-" + sections.digest(words.encode())[:16]
    now = store.root.clock.now()
    entry = Entry(ident, name, "foreign", tip.id, tip.after, after, (), (), tuple(edits), "", SOMEONE, now)
    store.note(entry)
    return entry
