"""Where a contribution goes: which document a file is for, and which section each part of it means.

People and agents name a section by its last heading, leave the title out, or give their file a title of its own
("System Patterns Additions"). All that is understood; where nothing fits, the section is new.
"""

from __future__ import annotations

from peercoord.core import ids
from peercoord.core.errors import UsageError
from peercoord.core.memory import sections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from peercoord.core.memory.sections import Document, Path, Section

    Part = tuple[Path, int, str]
    """A section of a contribution file: its own path, occurrence and text."""

STATIC = ("projectbrief.md", "productContext.md")
KNOWN = (*STATIC, "systemPatterns.md", "techContext.md", "activeContext.md", "progress.md")
LEARNINGS = "Learnings"
REPORTS = "Progress reports"
_TITLE = "Additions Addition Updates Update Reports Report Learnings Learning Insights Progress Memory Bank Notes"
_TITLE_MORE = "Contributions Contribution Instance Peer Proposed New Project from for of the and to my"


class Purpose:
    """What a contribution file is for.

    Attributes:
        document: The bank document, spelt as the bank spells it.
        kind: ``addition``, ``update`` or ``copy``.
        prefix: The section below which all of it goes.
    """

    __slots__ = ("document", "kind", "prefix")

    def __init__(self, document: str, kind: str, prefix: Path = ()) -> None:
        self.document, self.kind, self.prefix = document, kind, prefix


class Piece:
    """A section's worth of text, and where it goes.

    ``section`` is what stands there now; ``loose`` says that some of the text was under no heading, ``named`` that it
    has a heading of its own where it comes from.
    """

    __slots__ = ("loose", "named", "occurrence", "path", "section", "text")

    def __init__(self, path: Path, occurrence: int, section: Section | None) -> None:
        self.path, self.occurrence, self.section = path, occurrence, section
        self.text, self.loose, self.named = "", False, False

    @property
    def key(self) -> tuple[Path, int]:
        """The place, as places are compared."""
        return sections.fold(self.path), self.occurrence


def purpose(file: str, peer: str, bank: Collection[str]) -> Purpose:
    """Tell what a file in ``memory-contributions/`` is for, from its name.

    Args:
        file: Its name.
        peer: Whose worktree it lies in.
        bank: The names of the bank's documents.

    Raises:
        UsageError: It is none of the kinds there are.
    """
    if file == "progress-report.md":
        return Purpose(_spelt("progress.md", bank), "addition", (REPORTS, peer))
    if file == "learnings.md":
        own = _spelt(file, bank)
        return Purpose(own, "addition") if own in bank else Purpose(_spelt(KNOWN[4], bank), "addition", (LEARNINGS,))
    for ending, kind in (("-additions.md", "addition"), ("-updates.md", "update")):
        if file.endswith(ending):
            return Purpose(_spelt(file.removesuffix(ending) + ".md", bank), kind)
    if _spelt(file, bank) in bank:
        return Purpose(_spelt(file, bank), "copy")
    raise UsageError(
        f"{ids.shown(file)} is not a contribution: the memory bank has no document of that name",
        hint="name it <document>-additions.md, <document>-updates.md, learnings.md or progress-report.md",
        code="bad-file",
    )


def parts_of(text: str) -> list[Part]:
    """Divide a contribution's text into the sections that it has itself."""
    return [(part.path, part.occurrence, part.text) for part in sections.split(text.encode()).sections]


def placed(target: Document, prefix: Path, parts: Iterable[Part], exact: bool = False) -> list[Piece]:
    """Find the section of the document that each part is for; parts for one section are joined.

    Args:
        target: The document.
        prefix: What all paths go below.
        parts: Path, occurrence and text of each.
        exact: The paths are the document's own, not headings that someone meant.
    """
    placed: dict[tuple[Path, int], Piece] = {}
    for path, occurrence, text in parts:
        wanted = prefix + path
        found = target.find(wanted, occurrence) if wanted or exact else target.root
        if exact and found and (found.path, found.occurrence) != (wanted, occurrence):
            found = None
        spot = (found.path, found.occurrence) if found else (target.place(wanted)[0], 1)
        new = Piece(*spot, found)
        piece = placed.setdefault(new.key, new)
        piece.named = piece.named or bool(path)
        piece.loose = piece.loose or bool(text and not wanted and not exact)
        piece.text = "\n\n".join(part for part in (piece.text, text) if part)
    return list(placed.values())


def untitled(parts: list[Part], target: Document, aim: Purpose, peer: str) -> list[Part]:
    """Take away the title of a contribution file where it only says what file it is."""
    top = [path for path, _, _ in parts if path]
    if not top or any(path[0] != top[0][0] for path in top):
        return parts
    title = top[0][0]
    if not aim.prefix and target.find((title,)) is not None:
        return parts
    named = (_TITLE, _TITLE_MORE, aim.document.removesuffix(".md"), peer, *target.root.path, *aim.prefix)
    words = set().union(*map(_words, named))
    own = _words(title)
    return without_first(parts, title) if own and words.issuperset(own) else parts


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


def _spelt(name: str, bank: Collection[str]) -> str:
    same = (known for known in (*bank, *KNOWN) if known.casefold() == name.casefold())
    return next(same, name)
