"""A three-way text merge as pieces: what is agreed, and where two sides differ.

The outside program writes its conflicts as marked text. It is taken apart once, here, with markers longer than
anything in the texts, so that a document which itself shows conflict markers is no trap; every way to settle a
conflict (one side, the other, both, marked for an editor) is then made from the pieces, without asking again.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Merge3 = Callable[[str, str, str], "Merged"]
    """Three-way merge of ``LF`` texts: ours, base, theirs."""

_CHARS = "<|=>"
_USUAL = 7
_LONG = frozenset(char * _USUAL for char in _CHARS)


class Conflict:
    """A place where two sides differ; each text is whole lines or empty."""

    __slots__ = ("base", "ours", "theirs")

    def __init__(self, ours: str, base: str, theirs: str) -> None:
        self.ours, self.base, self.theirs = ours, base, theirs


class Merged:
    """What a three-way merge gave: agreed texts and conflicts, in order."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: Sequence[str | Conflict]) -> None:
        self.pieces = tuple(pieces)

    @property
    def clean(self) -> bool:
        """No conflict is in it."""
        return all(isinstance(piece, str) for piece in self.pieces)

    def take(self, ours: bool, theirs: bool) -> str:
        """Give the text with each conflict settled for one side, the other, or both in turn."""
        parts = []
        for piece in self.pieces:
            if isinstance(piece, str):
                parts.append(piece)
            else:
                parts += [piece.ours] * ours + [piece.theirs] * theirs
        return "".join(parts)

    def marked(self, ours: str, theirs: str) -> str:
        """Give the text with conflict markers, as people know them, for an editor."""
        whole = "".join(p if isinstance(p, str) else p.ours + p.base + p.theirs for p in self.pieces)
        size = marker_size(whole)
        parts = []
        for piece in self.pieces:
            if isinstance(piece, str):
                parts.append(piece)
            else:
                parts += [f"{'<' * size} {ours}\n", piece.ours, f"{'|' * size} base\n", piece.base]
                parts += [f"{'=' * size}\n", piece.theirs, f"{'>' * size} {theirs}\n"]
        return "".join(parts)


def whole(ours: str, base: str, theirs: str) -> Merged:
    """Give the merge of texts that cannot be merged: one conflict, all of it."""
    return Merged([Conflict(ours, base, theirs)])


def marker_size(*texts: str) -> int:
    """Give a length for conflict markers that no line of the texts begins with."""
    longest = _USUAL - 1
    for text in texts:
        for line in text.split("\n"):
            if line[:_USUAL] in _LONG:
                longest = max(longest, len(line) - len(line.lstrip(line[0])))
    return longest + 1


def parse(marked: str, size: int) -> Merged:
    """Take marked text apart.

    Args:
        marked: What ``git merge-file --zdiff3 --marker-size=<size>`` wrote; every line ends with ``LF``.
        size: The length of its markers; no line of the texts begins with one.
    """
    starts = tuple(char * size for char in _CHARS)
    pieces: list[str | Conflict] = []
    sides: list[list[str]] = [[]]
    for line in marked.split("\n")[:-1]:
        if line.startswith(starts):
            at = _CHARS.index(line[0])
            if at == 0 and sides[0]:
                pieces.append("".join(sides[0]))
            if at == 3:
                ours, base, theirs = ("".join(side) for side in sides[1:])
                pieces.append(Conflict(ours, base, theirs))
                sides = [[]]
            else:
                sides.append([])
        else:
            sides[-1].append(line + "\n")
    if sides[0]:
        pieces.append("".join(sides[0]))
    return Merged(pieces)
