"""Where a contribution goes: the document of a file, and the section of each part of it.

People and agents name a section by its last heading, leave the title out, or give their file a title of its own
("System Patterns Additions"). All of these are understood. A section that is not found is new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import UsageError
from peercoord.foreign import shown
from peercoord.memory.contribution import KNOWN
from peercoord.memory.document import Document, Path, Section, fold_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


Part = tuple[Path, int, str]
"""A section of a contribution file: its own path, occurrence and text."""

LEARNINGS = "Learnings"
REPORTS = "Progress reports"
_TITLE = "Additions Addition Updates Update Reports Report Learnings Learning Insights Progress Memory Bank Notes"
_TITLE_KINDS = "Additions Addition Updates Update Reports Report Contributions Contribution"
_TITLE_MORE = "Contributions Contribution Instance Peer Proposed New Project from for of the and to my"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a contribution file is for."""

    document: str  # the bank document, spelt as the bank spells it
    kind: str  # ``addition``, ``update`` or ``copy``
    prefix: Path = ()  # the section below which all of it goes


@dataclass(slots=True)
class Piece:
    """A section's worth of text, and where it goes."""

    path: Path  # heading path of the section
    occurrence: int  # which of the sections with that path
    section: Section | None  # what stands there now; ``None`` if there is no such section
    unclear: Sequence[Section] = ()  # the sections that may be meant, where that cannot be told
    text: str = ""  # the text
    loose: bool = False  # some of the text was under no heading
    named: bool = False  # it has a heading of its own where it comes from

    @property
    def key(self) -> tuple[Path, int]:
        """The place, as places are compared."""
        return fold_path(self.path), self.occurrence


def purpose(file: str, peer: str, bank: Collection[str]) -> Purpose:
    """Return the purpose of a file in ``memory-contributions/``, by its name."""
    if file == "progress-report.md":
        return Purpose(spelt("progress.md", bank), "addition", (REPORTS, peer))
    if file == "learnings.md":
        own = spelt(file, bank)
        return Purpose(own, "addition") if own in bank else Purpose(spelt(KNOWN[4], bank), "addition", (LEARNINGS,))
    for ending, kind in (("-additions.md", "addition"), ("-updates.md", "update")):
        if file.endswith(ending):
            return Purpose(spelt(file.removesuffix(ending) + ".md", bank), kind)
    if spelt(file, bank) in bank:
        return Purpose(spelt(file, bank), "copy")
    raise UsageError(
        f"{shown(file)} is not a contribution: the memory bank has no document of that name",
        hint="name it <document>-additions.md, <document>-updates.md, learnings.md or progress-report.md",
        code="bad-file",
    )


def parts_of(document: Document) -> list[Part]:
    """Return the sections of a document as parts."""
    return [(part.path, part.occurrence, part.text) for part in document.sections]


def placed(
    target: Document, prefix: Path, parts: Iterable[Part], exact: bool = False, sure: bool = True
) -> list[Piece]:
    """Find the section of the document that each part is for; parts for one section are joined."""
    placed: dict[tuple[Path, int], Piece] = {}
    for path, occurrence, text in parts:
        wanted = prefix + path
        found = target.find(wanted, occurrence) if wanted or exact else target.root
        if exact and found and (found.path, found.occurrence) != (wanted, occurrence):
            found = None
        if found and not (sure or exact) and len(target.matching(wanted)) > 1:
            found = None
        unclear = [] if found or exact or not wanted else target.unclear(wanted)
        if found:
            new = Piece(found.path, found.occurrence, found)
        else:
            new = Piece(wanted if unclear else target.place(wanted)[0], 1, None, unclear)
        piece = placed.setdefault(new.key, new)
        piece.named = piece.named or bool(path)
        piece.loose = piece.loose or bool(text and not wanted and not exact)
        piece.text = "\n\n".join(part for part in (piece.text, text) if part)
    return list(placed.values())


def untitled(parts: list[Part], target: Document, aim: Purpose, peer: str, level: int) -> list[Part]:
    """Take away the title of a contribution file, a heading of this level, where it only says what file it is.

    A heading of a lower level is a title only if it says that these are additions, a report, learnings, …; one of the
    document's own words alone, as ``## Patterns`` for ``systemPatterns.md``, is a section.
    """
    top = [path for path, _, _ in parts if path]
    if not top or any(path[0] != top[0][0] for path in top):
        return parts
    title = top[0][0]
    if not aim.prefix and target.matching((title,)):
        return parts
    named = (_TITLE, _TITLE_MORE, aim.document.removesuffix(".md"), peer, *target.root.path, *aim.prefix)
    words = set().union(*map(_words, named))
    own = _words(title)
    is_title = bool(own) and words.issuperset(own) and (level < 2 or not own.isdisjoint(_words(_TITLE_KINDS)))
    is_prefix = title.casefold() in (part.casefold() for part in aim.prefix)
    return without_first(parts, title) if is_title or is_prefix else parts


def without_first(parts: list[Part], title: str) -> list[Part]:
    """Take a heading away that only repeats where the text goes: the parts below it move up."""
    same = title.casefold()
    first = next((path[0] for path, _, _ in parts if path), "")
    if first.casefold() != same:
        return parts
    return [(path[1:], n, text) if path and path[0].casefold() == same else (path, n, text) for path, n, text in parts]


def _words(text: str) -> set[str]:
    spaced = "".join(f" {char}" if char.isupper() else char if char.isalnum() else " " for char in text)
    return {word.casefold() for word in spaced.split() if not word.isdigit()}


def spelt(name: str, *known: Collection[str]) -> str:
    """Return a document's name as the bank spells it: capitals do not matter."""
    return next((one for names in (*known, KNOWN) for one in names if one.casefold() == name.casefold()), name)
