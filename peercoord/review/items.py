"""What waits for a person: each item with its number, for people and for programs.

An item is a candidate: a change of one section of the memory bank that a person must decide on. Its number is given
once and written down, so that a number typed later still means the item beside which it was shown.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import LostError, NotFoundError, StorageError, UsageError
from peercoord.foreign import plain, shown
from peercoord.memory.document import path_text
from peercoord.memory.outcome import BANK
from peercoord.store import ids, paths
from peercoord.store.lock import held
from peercoord.system import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from peercoord.foreign import Json
    from peercoord.memory.bank import Bank
    from peercoord.memory.contribution import Contribution
    from peercoord.memory.journal import Entry
    from peercoord.memory.outcome import Side
    from peercoord.memory.store import Waiting
    from peercoord.store.root import Root

PREFIX_LEAST = 6  # characters of an id that name it: ``k-3f9a``
NUMBERS_KEPT = 500  # remembered to say what became of an old one; no number is given twice in any case
RECENT = 5  # merges listed that can be undone
UNDOABLE = ("merge", "decision")
SHORT_HASH = 7
_LIST = "see what waits with: peercoord review list"


@dataclass(frozen=True, slots=True)
class ItemSide:
    """One side of an item: whose text it is, its task, time and length for people, and the section's text."""

    label: str
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """A change that waits for a person. Its texts are as their authors wrote them: not yet safe to print."""

    ident: str  # id of the candidate
    number: int  # its number in the list; 0 if none could be written down
    place: str  # document and section
    why: str  # why it waits
    base: str  # the text both sides started from
    base_about: str  # the hash of that text and since when the item waits, for people
    sides: tuple[ItemSide, ...]  # two sides that differ, or one that merges cleanly
    proposed: str  # the text with conflict markers; empty if it merges cleanly
    marker: int  # length of the conflict markers
    takes: dict[str, str]  # the section's text for each choice
    days: int  # how many days the decision can be undone

    @property
    def conflict(self) -> bool:
        """Whether two sides differ."""
        return len(self.sides) > 1

    @property
    def called(self) -> str:
        """What to call it on the command line: its number, else its id."""
        return f"#{self.number}" if self.number else self.ident


class ReviewQueue:
    """What waits for a person, as it is now."""

    def __init__(self, bank: Bank, root: Root, path: str) -> None:
        self.bank, self.root = bank, root
        self.now, self.days = root.clock.now(), root.number("retention_days")
        self.waiting: dict[str, Waiting] = {one.candidate.id: one for one in bank.waiting()}
        self.foreign: list[Entry] = bank.foreign()[-RECENT:]
        self.numbers = give_numbers(root, path, self.waiting)

    @property
    def items(self) -> list[Item]:
        """Everything that waits, oldest first."""
        return [self.item(ident) for ident in self.waiting]

    def item(self, ident: str) -> Item:
        """Return one item by its id."""
        return item_of(self.waiting[ident], self.numbers.get(ident, 0), self.bank.contribution, self.now, self.days)

    def find(self, word: str) -> Item:
        """Find the item that a person names: ``4``, ``#4``, an id, or the unique beginning of an id.

        Raises:
            NotFoundError: Nothing was ever listed under it, or it waits no longer.
            UsageError: The beginning of an id is too short or not unique.
        """
        number = paths.number(word.removeprefix("#"))
        if number is None:
            return self.item(pick(word, self.waiting, "waits"))
        ident = next((one for one, given in self.numbers.items() if given == number), "")
        if not ident:
            raise NotFoundError(f"nothing was ever listed as {shown(word)}", _LIST)
        if ident not in self.waiting:
            raise NotFoundError(f"#{number} ({ident}) no longer waits: it was decided on, or became void", _LIST)
        return self.item(ident)

    def recent(self) -> list[Entry]:
        """Return the newest merges and decisions that can be undone, newest first."""
        entries = self.bank.entries()
        undone = {entry.undoes for entry in entries}
        found = [entry for entry in entries if entry.kind in UNDOABLE and entry.edits and entry.id not in undone]
        return sorted(found, key=lambda entry: entry.at)[: -RECENT - 1 : -1]

    # -- the list ------------------------------------------------------------------------------------------------

    def as_json(self) -> Json:
        """Return the list for programs."""
        return {
            "waiting": [self.item_json(ident) for ident in self.waiting],
            "missing": [],  # version 0.1.0 listed merged text here that a person had removed
            "foreign": [_entry_json(entry) for entry in self.foreign],
            "recent": [_entry_json(entry) for entry in self.recent()],
        }

    def item_json(self, ident: str) -> Json:
        """Return one item for programs."""
        one = self.waiting[ident]
        return {**one.candidate.record(one.made_at), "number": self.numbers.get(ident), "state": one.state}

    def lines(self) -> list[str]:
        """Return the list for people, each item with the commands that decide it."""
        found: list[str] = []
        items = self.items
        if items:
            found.append(
                "1 change waits for a person:" if len(items) == 1 else f"{len(items)} changes wait for a person:"
            )
        for item in items:
            sides = " × ".join(f"{side.label} ({side.about})" for side in item.sides)
            how = " --take left|right|both" if item.conflict else ""
            found += [
                f"  {item.called}  {item.ident}  {plain(item.place)}",
                f"    {plain(item.why)}: {plain(sides)}",
                f"    look: peercoord review show {item.ident}   decide: peercoord review approve {item.ident}{how}",
            ]
        for entry in self.foreign:
            found.append(f"changed by no one known: {_edited(entry)}, seen {local_time(entry.at, self.now)}")
        recent = self.recent()
        if recent:
            found.append("merged lately:")
            found += [
                f"  {entry.id}  {local_time(entry.at, self.now)}  {_edited(entry)}  {plain(self._authors(entry))}"
                for entry in recent
            ]
            found.append("    take one back: peercoord review undo ID")
        if items:
            found.append("decide: peercoord review, in a terminal of your own")
        return found or ["nothing waits for a person"]

    def _authors(self, entry: Entry) -> str:
        """Who contributed what an entry merged, with their tasks; else who made the entry."""
        found = [one for one in map(self.bank.contribution, entry.contributions) if one]
        named = dict.fromkeys(f"{one.peer}, task {one.task}" if one.task else one.peer for one in found)
        return "; ".join(named) or entry.by


def _entry_json(entry: Entry) -> Json:
    return {
        "id": entry.id,
        "file": entry.document,
        "kind": entry.kind,
        "sections": [list(edit.section) for edit in entry.edits],
        "contributions": list(entry.contributions),
        "by": entry.by,
        "at": entry.at,
    }


def _edited(entry: Entry) -> str:
    """The document and the first sections that an entry changed."""
    named = dict.fromkeys(path_text(edit.section, edit.occurrence) for edit in entry.edits)
    inner = "; ".join(list(named)[:3]) + (" …" if len(named) > 3 else "")
    return plain(f"{entry.document} › {inner}" if inner else entry.document)


def pick(word: str, known: Iterable[str], what: str) -> str:
    """Find the one id that begins like a word; ``what`` is the verb of the message: nothing ``waits`` under it."""
    found = [ident for ident in known if ident.startswith(word)]
    if word in found:
        return word
    if not found:
        raise NotFoundError(f"nothing {what} under the id {shown(word)}", _LIST)
    if len(found) > 1 or len(word) < PREFIX_LEAST:
        some = ", ".join(found[:3])
        raise UsageError(f"{shown(word)} is too short an id: {some}", f"give at least {PREFIX_LEAST} characters")
    return found[0]


# -- one item ----------------------------------------------------------------------------------------------------


def item_of(one: Waiting, number: int, contribution: Callable[[str], Contribution | None], now: str, days: int) -> Item:
    """Gather what is shown of a candidate."""
    candidate = one.candidate
    members = [found for found in map(contribution, candidate.members) if found]
    sides = [candidate.left, candidate.right] if candidate.conflict else [candidate.right]
    base = next((made.base for made in reversed(members) if made.kind == "update" and made.base), "")
    waits = f"waits since {local_time(one.made_at, now)}"
    place = path_text(candidate.section, candidate.occurrence)
    return Item(
        ident=candidate.id,
        number=number,
        place=f"{candidate.document} › {place}" if candidate.section else candidate.document,
        why=f"{'critical: ' if candidate.critical and 'critical' not in candidate.why else ''}{candidate.why}",
        base=candidate.base,
        base_about=f"base {base[:SHORT_HASH]}, {waits}" if base else waits,
        sides=tuple(_side(side, members, now) for side in sides),
        proposed=candidate.proposed if candidate.conflict else "",
        marker=candidate.marker,
        takes=candidate.takes,
        days=days,
    )


def _side(side: Side, members: list[Contribution], now: str) -> ItemSide:
    times = [one.time for one in members if (one.peer, one.task) in side.authors]
    tasks = dict.fromkeys(f"task {task}" for _, task in side.authors if task)
    count = side.text.count("\n") + 1 if side.text else 0
    parts = [*tasks, *([local_time(max(times), now)] if times else []), f"{count} line{'' if count == 1 else 's'}"]
    return ItemSide(side.label if side.label != BANK else "memory bank, as it stands", ", ".join(parts), side.text)


def local_time(at: str, now: str) -> str:
    """Write a time by the reader's clock, with the day if that is not today."""
    if not clock.seconds(at):
        return plain(at)
    moment, today = (time.localtime(clock.seconds(text)) for text in (at, now))
    return time.strftime("%H:%M" if moment[:3] == today[:3] else "%Y-%m-%d %H:%M", moment)


# -- numbers -----------------------------------------------------------------------------------------------------


def give_numbers(root: Root, path: str, wanted: Iterable[str]) -> dict[str, int]:
    """Return all numbers by id, after giving a new one to each wanted id that has none.

    Where nothing can be written, new ids get no number.
    """
    known, wanted = _read_numbers(root), list(wanted)
    if all(ident in known for ident in wanted):
        return known
    try:
        with held(f"{path}/{paths.NUMBERS_LOCK}", busy="another call is numbering what waits"):
            known = _read_numbers(root)
            start = max(known.values(), default=0) + 1
            known |= {ident: at for at, ident in enumerate((one for one in wanted if one not in known), start)}
            lines = [f"{number} {ident}\n" for ident, number in known.items()][-NUMBERS_KEPT:]
            root.files.put(paths.NUMBERS, "".join(lines).encode(), durable=True)
    except (LostError, StorageError):
        return _read_numbers(root)
    return known


def _read_numbers(root: Root) -> dict[str, int]:
    found = {}
    for line in (root.files.read(paths.NUMBERS) or b"").decode("ascii", "replace").splitlines():
        said, _, ident = line.partition(" ")
        number = paths.number(said)
        if number and ids.is_id(ident):
            found[ident] = number
    return found
