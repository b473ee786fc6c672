"""Updates of one section, applied one after the other.

An update is a section's whole text, made from a base. Where the base still stands it simply applies; else it goes
through a three-way merge with its base as ancestor. The first that does not merge cleanly ends the row: the two
sides are then shown to a person, and neither is applied.

One exception, from how agents work: a peer that reports twice before the next merge differs with itself. There an
author's later word stands, and nothing of anyone else is touched by it.
"""

from __future__ import annotations

from peercoord.core.memory import conflicts, sections
from peercoord.core.memory.conflicts import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peercoord.core.memory.conflicts import Merge3
    from peercoord.core.memory.contributions import Contribution
    from peercoord.core.memory.sections import Section


class Fold:
    """What became of a row of updates.

    Attributes:
        text: The section's text with ``members`` applied.
        members: Those that changed it.
        same: Those that say what it says already.
        overruled: Ids that a later update of the same author replaces, and by which.
        clash: The first that did not merge cleanly; those after it were not looked at.
        merged: How ``clash`` merged with ``text``.
    """

    __slots__ = ("clash", "members", "merged", "overruled", "same", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.members: list[Contribution] = []
        self.same: list[Contribution] = []
        self.overruled: dict[str, str] = {}
        self.clash: Contribution | None = None
        self.merged = Merged([])


class Updates:
    """Applies updates to one section.

    Args:
        section: The section; ``None`` if it does not exist.
        texts: Section texts by hash.
        merge3: The three-way text merge.
    """

    __slots__ = ("merge3", "section", "texts")

    def __init__(self, section: Section | None, texts: Mapping[str, bytes], merge3: Merge3) -> None:
        self.section, self.texts, self.merge3 = section, texts, merge3

    def fold(self, text: str, updates: Sequence[Contribution]) -> Fold:
        """Apply updates in order to a section's text, as far as they merge cleanly."""
        fold = Fold(text)
        for one in updates:
            merged = self._three(fold.text, one)
            if not merged.clean:
                again = self._later_word(text, fold, one)
                if again is None:
                    fold.clash, fold.merged = one, merged
                    return fold
                fold = again
                continue
            after = sections.trimmed(merged.take(ours=True, theirs=True))
            (fold.same if after == fold.text else fold.members).append(one)
            fold.text = after
        return fold

    def base(self, one: Contribution) -> str | None:
        """Give the text that an update was made from; ``None`` if it is not known."""
        if not one.base:
            return ""
        if one.base in self.texts:
            return sections.plain(self.texts[one.base])
        return self.section.text if self.section and self.section.hash == one.base else None

    def _later_word(self, text: str, fold: Fold, one: Contribution) -> Fold | None:
        """Try again without the author's own earlier updates."""
        before = sorted((*fold.members, *fold.same), key=lambda c: c.order)
        own = [earlier for earlier in before if earlier.peer == one.peer]
        if not own:
            return None
        again = self.fold(text, [*(earlier for earlier in before if earlier.peer != one.peer), one])
        again.overruled = {**fold.overruled, **again.overruled, **{earlier.id: one.id for earlier in own}}
        return None if again.clash else again

    def _three(self, ours: str, one: Contribution) -> Merged:
        theirs = sections.trimmed(one.content)
        if theirs == ours and self.section is not None:
            return Merged([ours])
        base = self.base(one)
        if base is None or (self.section is None and one.base):
            return conflicts.whole(_lines(ours), _lines(base or ""), _lines(theirs))
        if base == ours:
            return Merged([theirs])
        if base == theirs:
            return Merged([ours])
        return self.merge3(_lines(ours), _lines(base), _lines(theirs))


def _lines(text: str) -> str:
    return f"{text}\n" if text else ""
