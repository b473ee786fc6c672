"""The words that a list uses for a state or a priority, and the one to write there.

A list keeps to its own words: what it already says is left, what it has a word for is said with that word, in its
case and with its hyphens; only where neither is so the common word is written, and never one that the list forbids.
Pure functions of what was read.
"""

from __future__ import annotations

import re
from collections import Counter

from peercoord.core import names, sync
from peercoord.edges.adapters import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

_COMMON = {
    sync.OPEN: ("pending", "todo", "open"),
    sync.HELD: ("in-progress", "doing", "started", "active"),
    sync.DONE: ("done", "completed", "closed"),
    sync.REVIEW: ("review", "in-review"),
    sync.BLOCKED: ("blocked", "on-hold", "waiting"),
    sync.DEFERRED: ("deferred", "postponed", "paused"),
    sync.CANCELLED: ("cancelled", "canceled", "wontfix"),
}
_NEAREST = {
    sync.REVIEW: (sync.HELD, sync.BLOCKED, sync.OPEN),
    sync.BLOCKED: (sync.OPEN,),
    sync.DEFERRED: (sync.BLOCKED, sync.OPEN),
    sync.CANCELLED: (sync.DEFERRED, sync.BLOCKED),
    sync.HELD: (sync.OPEN,),
}
"""What to say instead where a list can say no such thing. To be done is never said of what is not."""


_NUMBERED = re.compile(r"[pP][0-9]")  # P0 … P4


def state_of(word: object) -> str:
    """Give what a status word means; a word that is not known means blocked, as when it is imported."""
    return words.state(word) or sync.BLOCKED


class Vocabulary:
    """The words of one column.

    Args:
        used: The words in it, each as often as it stands there.
        allowed: The only words that it may hold, if it says so.
    """

    def __init__(self, used: Iterable[object], allowed: Collection[str] | None = None) -> None:
        self.counts = Counter(word for word in map(words.one_line, used) if word)
        self.allowed = list(allowed) if allowed else None
        self._states = self._by_meaning(state_of_known)
        self._priorities = self._by_meaning(words.priority)

    def _by_meaning(self, meaning: Callable[[object], str | None]) -> dict[str, str]:
        """Give for each meaning the word that stands for it: the most used, else the first that is allowed."""
        found: dict[str, str] = {}
        for word in [*(w for w, _ in self.counts.most_common()), *(self.allowed or [])]:
            means = meaning(word)
            if means is not None:
                found.setdefault(means, word)
        return found

    def status(self, state: str, now: object = None) -> str | None:
        """Give the word to write for a state.

        Args:
            state: One of ``sync.STATES``.
            now: The word that stands there.

        Returns:
            The word; ``None`` if the column can say nothing of the kind.
        """
        if words.one_line(now) and words.state(now) == state:
            return words.one_line(now)
        for near in (state, *_NEAREST.get(state, ())):
            word = self._states.get(near) or next(filter(self._fits, map(self._styled, _COMMON[near])), None)
            if word:
                return word
        return None

    def priority(self, word: str, now: object = None) -> str | None:
        """Give the word to write for a priority of ours; ``None`` if the column has none near it."""
        if words.one_line(now) and words.priority(now) == word:
            return words.one_line(now)
        at = names.PRIORITIES.index(word)
        numbered = next(filter(_NUMBERED.fullmatch, self.counts), "")
        if numbered:
            return f"{numbered[0]}{at}"
        for near in sorted(names.PRIORITIES, key=lambda other: abs(names.PRIORITIES.index(other) - at)):
            said = self._priorities.get(near) or next(filter(self._fits, [self._styled(near)]), None)
            if said:
                return said
        return None

    @property
    def numbers(self) -> bool:
        """The column holds numbers rather than words."""
        found = sum(n for word, n in self.counts.items() if word.lstrip("-").replace(".", "", 1).isdigit())
        return found * 2 > sum(self.counts.values())

    def _styled(self, word: str) -> str:
        """Write a common word as this column writes its own."""
        known = self.allowed or list(self.counts)
        if any("_" in other for other in known):
            word = word.replace("-", "_")
        elif any(" " in other for other in known):
            word = word.replace("-", " ")
        if known and all(other.isupper() for other in known):
            return word.upper()
        return word.title() if known and all(other.istitle() for other in known) else word

    def _fits(self, word: str) -> bool:
        return self.allowed is None or word in self.allowed


def state_of_known(word: object) -> str | None:
    """Give what a status word means; ``None`` for nothing and for a word that is not known."""
    return words.state(word) if words.one_line(word) else None
