"""Updates: the whole new text of a section, merged with what came since its author saw it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.memory.contribution import Contribution
from peercoord.memory.document import Section, lf_text, trimmed
from peercoord.memory.outcome import Merge3, Merged, whole_conflict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(slots=True)
class Fold:
    """The result of applying updates in order."""

    text: str  # the section's text with ``members`` applied
    members: list[Contribution] = field(default_factory=list)  # those that changed it
    same: list[Contribution] = field(default_factory=list)  # those that say what it says already
    overruled: dict[str, str] = field(default_factory=dict)  # by id, the later one of its author that replaces it
    clash: Contribution | None = None  # the first that did not merge cleanly; those after it were not looked at
    merged: Merged = field(default_factory=lambda: Merged([]))  # how ``clash`` merged with ``text``


@dataclass(frozen=True, slots=True)
class Updates:
    """Applies updates to one section."""

    section: Section | None  # ``None`` if it does not exist
    texts: Mapping[str, bytes]  # section texts by hash
    merge3: Merge3  # the three-way text merge

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
            after = trimmed(merged.take(ours=True, theirs=True))
            (fold.same if after == fold.text else fold.members).append(one)
            fold.text = after
        return fold

    def base(self, one: Contribution) -> str | None:
        """Return the text that an update was made from; ``None`` if it is not known."""
        if not one.base:
            return ""
        if one.base in self.texts:
            return lf_text(self.texts[one.base])
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
        theirs = trimmed(one.content)
        if theirs == ours and self.section is not None:
            return Merged([ours])
        base = self.base(one)
        if base is None or (self.section is None and one.base):
            return whole_conflict(_lines(ours), _lines(base or ""), _lines(theirs))
        if base == ours:
            return Merged([theirs])
        if base == theirs:
            return Merged([ours])
        return self.merge3(_lines(ours), _lines(base), _lines(theirs))


def _lines(text: str) -> str:
    return f"{text}\n" if text else ""
