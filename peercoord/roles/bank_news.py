"""What changed in the memory bank, for telling peers: cheap enough for a call on every tool use.

While nothing changed it costs one listing and one look for each document. A *mark* is a time of the filesystem's own
clock, so that no machine's clock being wrong hides anything; whoever asks keeps the greatest mark it was given.
"""

from __future__ import annotations

from peercoord.core import ids, names, records
from peercoord.core.errors import PeercoordError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.core.records import Json
    from peercoord.fs.files import Files


class Change:
    """A section of a document that an entry of the ledger changed.

    Attributes:
        mark: To be given the next time.
        document: File name in the memory bank.
        section: Heading path; ``()`` for the text above the first heading.
        by: Who: the leading peer, the person who decided, or ``someone``.
        kind: ``merge``, ``decision``, ``undo`` or ``foreign``.
        at: When (RFC 3339, UTC); for people.
        contributions: Ids of what went into it.
        entry: Id of the entry.
    """

    __slots__ = ("at", "by", "contributions", "document", "entry", "kind", "mark", "section")

    def __init__(self, mark: int, raw: Json, edit: Json) -> None:
        self.mark = mark
        self.document, self.kind, self.by = str(raw["file"]), str(raw["kind"]), str(raw["by"])
        self.at, self.entry = str(raw["at"]), str(raw["id"])
        self.section = tuple(str(part) for part in edit["section"])
        self.contributions = tuple(str(one) for one in edit["contributions"])


def latest(files: Files) -> int:
    """Give the mark of now: what ``changes_since`` gives nothing for until something changes."""
    return max((mark for mark, _ in _landed(files, 0)), default=0)


def changes_since(files: Files, mark: int) -> list[Change]:
    """Give what changed, oldest first, but for the section that the leader keeps in ``progress.md``.

    Args:
        files: The coordination directory.
        mark: The greatest mark that was given before; 0 for everything that is known.
    """
    found = []
    for seen, raw in _news(files, mark):
        try:
            found += [Change(seen, raw, edit) for edit in raw["edits"]]
        except (KeyError, TypeError):
            continue  # no entry of ours: whoever merges sets it aside
    return found


def unseen(files: Files, document: str, mark: int, peer: str) -> str | None:
    """Give the hash of a document before the first change that a peer was not told of.

    A change made of its own contributions alone is no news to it.

    Args:
        files: The coordination directory.
        document: File name in the memory bank.
        mark: How far the peer was told.
        peer: Its name.

    Returns:
        The hash, ``""`` if there was no such document; ``None`` if the peer was told of everything.
    """
    for _, raw in _news(files, mark, document):
        if raw.get("before") != raw.get("after"):
            authors = {_author(files, str(ident)) for ident in raw.get("contributions") or ()}
            if authors != {peer}:
                return str(raw.get("before", ""))
    return None


def _author(files: Files, ident: str) -> str:
    raw = _read(files, names.contribution("merged", ident)) if ids.is_id(ident) else None
    return str((raw or {}).get("instance_id", ""))


def _news(files: Files, mark: int, document: str = "") -> Iterator[tuple[int, Json]]:
    """Give the entries that appeared after a mark, oldest first, but for the leader's own section of ``progress.md``.

    Args:
        files: The coordination directory.
        mark: Entries up to it are left out.
        document: Only this one's, in whatever case; all if left out.
    """
    for seen, path in sorted(_landed(files, mark, document)):
        raw = _read(files, path)
        if raw and raw.get("kind") != "progress":
            yield seen, raw


def _landed(files: Files, mark: int, document: str = "") -> Iterator[tuple[int, str]]:
    """Give mark and path of each entry that appeared after a mark."""
    for shown in files.scan(names.LEDGER):
        if document and shown.casefold() != document.casefold():
            continue
        home = names.ledger(shown)
        seen = files.stat(home)
        if not ids.is_id(shown) or seen is None or max(seen.modified_ns, seen.changed_ns) <= mark:
            continue
        for name in files.scan(home):
            entry = files.stat(f"{home}/{name}") if name.endswith(".json") else None
            when = max(entry.modified_ns, entry.changed_ns) if entry else 0
            if when > mark:
                yield when, f"{home}/{name}"


def _read(files: Files, path: str) -> Json | None:
    try:
        data = files.read(path)
        return None if data is None else records.decode(data, path)
    except PeercoordError:
        return None
