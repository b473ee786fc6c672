"""What changed in the memory bank since a mark, cheap enough for every call of a worktree.

While nothing changed it costs one listing and one ``stat`` for each document. A *mark* is a time of the filesystem's
own clock, so that a wrong clock of a machine hides nothing. The caller keeps the greatest mark that was returned to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.store import ids, paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.foreign import Json
    from peercoord.store.files import Files


@dataclass(frozen=True, slots=True)
class Change:
    """A section of a document that an entry of the journal changed."""

    mark: int  # the ``mark`` for the next ``changes_since``
    document: str  # file name in the memory bank
    section: tuple[str, ...]  # heading path; ``()`` for the text above the first heading
    by: str  # who: the leading peer, the person who decided, or ``someone``
    kind: str  # ``merge``, ``decision``, ``undo`` or ``foreign``
    at: str  # when (RFC 3339, UTC); for people
    contributions: tuple[str, ...]  # ids of what went into it
    entry: str  # id of the entry


def latest(files: Files) -> int:
    """Return the current mark: ``changes_since`` returns nothing for it until something changes."""
    return max((mark for mark, _ in _landed(files, 0)), default=0)


def changes_since(files: Files, mark: int) -> list[Change]:
    """Return what changed since a mark, 0 for all that is known; oldest first, without the leader's own sections."""
    found = []
    for seen, raw in _news(files, mark):
        try:
            document, by, kind, at, entry = (str(raw[key]) for key in ("file", "by", "kind", "at", "id"))
            parts = [tuple(tuple(map(str, edit[key])) for key in ("section", "contributions")) for edit in raw["edits"]]
        except (KeyError, TypeError):
            continue  # not an entry: the next merge quarantines it
        found += [Change(seen, document, section, by, kind, at, ones, entry) for section, ones in parts]
    return found


def unseen(files: Files, document: str, mark: int, peer: str) -> str | None:
    """Return the hash of a document before the first change that a peer has not seen.

    A peer has seen every change made of its own contributions alone.
    """
    for _, raw in _news(files, mark, document):
        if raw.get("before") != raw.get("after"):
            authors = {_author(files, str(ident)) for ident in raw.get("contributions") or ()}
            if authors != {peer}:
                return str(raw.get("before", ""))
    return None


def _author(files: Files, ident: str) -> str:
    raw = read_record(files, paths.contribution("merged", ident)) if ids.is_id(ident) else None
    return str((raw or {}).get("instance_id", ""))


def _news(files: Files, mark: int, document: str = "") -> Iterator[tuple[int, Json]]:
    """Return the entries after a mark, oldest first, without those of the generated sections."""
    for seen, path in sorted(_landed(files, mark, document)):
        raw = read_record(files, path)
        if raw and raw.get("kind") != "progress":
            yield seen, raw


def _landed(files: Files, mark: int, document: str = "") -> Iterator[tuple[int, str]]:
    """Return mark and path of each entry that appeared after a mark."""
    for journal in files.scan(paths.LEDGER):
        if document and journal.casefold() != document.casefold():
            continue
        home = paths.ledger(journal)
        seen = files.stat(home)
        if not ids.is_id(journal) or seen is None or max(seen.modified_ns, seen.changed_ns) <= mark:
            continue
        for name in files.scan(home):
            entry = files.stat(f"{home}/{name}") if name.endswith(".json") else None
            when = max(entry.modified_ns, entry.changed_ns) if entry else 0
            if when > mark:
                yield when, f"{home}/{name}"


def read_record(files: Files, path: str) -> Json | None:
    """Read a record; ``None`` if it is missing or broken."""
    try:
        return files.record(path)
    except PeercoordError:
        return None
