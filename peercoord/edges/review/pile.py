"""What lies before a person: candidates and approvals, merged text that is gone, edits by no one known, late merges.

Each has an id; what waits has a number as well, which means the same for good.
"""

from __future__ import annotations

from peercoord.core import ids, names
from peercoord.core.errors import NotFoundError, UsageError
from peercoord.edges.review import model
from peercoord.edges.review.numbers import Numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.core.memory.ledger import Entry
    from peercoord.edges.review.model import View
    from peercoord.roles.bank import Bank, Missing, Waiting
    from peercoord.roles.root import Root

PREFIX_LEAST = 6  # characters of an id that name it: ``k-3f9a``
RECENT = 5  # late merges listed
_LIST = "see what waits with: peercoord review list"
UNDOABLE = ("merge", "decision")


class Pile:
    """What lies before a person, as it is now.

    Args:
        bank: The memory bank.
        root: The coordination directory.
        path: Absolute path of that.
    """

    def __init__(self, bank: Bank, root: Root, path: str) -> None:
        self.bank, self.root, self.path = bank, root, path
        self.now, self.days = root.clock.now(), root.number("retention_days")
        self.waiting: dict[str, Waiting] = {one.candidate.id: one for one in bank.waiting()}
        # text that was restored and is gone again is missing since both entries, and is one thing to decide
        self._gone = bank.missing()
        latest = {(one.document, one.contribution.id): one for one in self._gone}
        self.missing: dict[str, Missing] = {one.id: one for one in latest.values()}
        self.foreign: list[Entry] = bank.foreign()[-RECENT:]
        self.numbers = Numbers(root, path).give([*self.waiting, *self.missing])

    @property
    def views(self) -> list[View]:
        """Everything that waits, oldest first; merged text that is gone after it."""
        return [self.view(ident) for ident in (*self.waiting, *self.missing)]

    def holds(self, ident: str) -> bool:
        """Tell whether something waits."""
        return ident in self.waiting or ident in self.missing

    def alike(self, ident: str) -> list[str]:
        """Give all ids under which the same text is gone; of a candidate, its own."""
        one = self.missing.get(ident)
        same = [
            other.id
            for other in self._gone
            if one and (other.document, other.contribution.id) == (one.document, one.contribution.id)
        ]
        return same or [ident]

    def view(self, ident: str) -> View:
        """Give what is shown of one thing that waits."""
        number = self.numbers.get(ident, 0)
        if ident in self.waiting:
            return model.waiting(self.waiting[ident], number, self.bank.contribution, self.now, self.days)
        return model.missing(self.missing[ident], number, self.now, self.days)

    def find(self, word: str) -> View:
        """Find what a person names: ``4``, ``#4``, an id, or the beginning of one that only one has.

        Raises:
            NotFoundError: Nothing that waits is called so.
            UsageError: Several are.
        """
        number = names.number(word.removeprefix("#"))
        if number is not None:
            ident = next((one for one, given in self.numbers.items() if given == number), "")
            if not ident:
                raise NotFoundError(f"nothing was ever listed as {ids.shown(word)}", _LIST)
            if not self.holds(ident):
                raise NotFoundError(f"#{number} ({ident}) waits no more: decided, or made void since", _LIST)
            return self.view(ident)
        return self.view(pick(word, (*self.waiting, *self.missing), "waits"))

    def authors(self, entry: Entry) -> list[str]:
        """Name who contributed what an entry merged, each with the task it was for; else who made the entry."""
        found = [one for one in map(self.bank.contribution, entry.contributions) if one]
        named = dict.fromkeys(f"{one.peer}, task {one.task}" if one.task else one.peer for one in found)
        return list(named) or [entry.by]

    def recent(self) -> list[Entry]:
        """Give the newest merges and decisions that can be undone, newest first."""
        entries = self.bank.entries()
        undone = {entry.undoes for entry in entries}
        open_ = [entry for entry in entries if entry.kind in UNDOABLE and entry.edits and entry.id not in undone]
        return sorted(open_, key=lambda entry: entry.at)[: -RECENT - 1 : -1]


def pick(word: str, known: Iterable[str], what: str) -> str:
    """Find the one id that begins like a word.

    Args:
        word: An id, or its beginning.
        known: The ids there are.
        what: What they do, for the message.

    Raises:
        NotFoundError: None does.
        UsageError: Several do, or the word is too short to name one.
    """
    found = [ident for ident in known if ident.startswith(word)]
    if word in found:
        return word
    if not found:
        raise NotFoundError(f"nothing {what} under the id {ids.shown(word)}", _LIST)
    if len(found) > 1 or len(word) < PREFIX_LEAST:
        some = ", ".join(found[:3])
        raise UsageError(f"{ids.shown(word)} is too short an id: {some}", f"give at least {PREFIX_LEAST} characters")
    return found[0]
