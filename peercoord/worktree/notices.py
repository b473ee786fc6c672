"""What changed in the memory bank since a worktree was last told: a few lines, each told once.

Every call of a worktree's peer looks; while nothing changed that costs one listing and one look for each document. The
mark up to which a worktree was told is in its ``info.json``. Others wrote the text: it is cut, made safe to print, and
stands in quotes.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import StorageError
from peercoord.foreign import named, plain, quoted
from peercoord.memory import news
from peercoord.store import ids, paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.foreign import Json
    from peercoord.memory.news import Change
    from peercoord.store.files import Files
    from peercoord.worktree.context import Place

LINES_MOST = 5
CHARS_MOST = 160  # of one line
WHY = ".why"
TOLD = "memory_told"  # in info.json: how far it was told, nanoseconds
_STATES = ("merged", "rejected", "queued")


def mark(place: Place) -> int | None:
    """Return the last mark that a worktree was told of; ``None`` if it never asked."""
    noted = place.info.get(TOLD)
    return noted if isinstance(noted, int) else None


def told(place: Place, files: Files) -> list[str]:
    """Return what is new to a worktree's peer, and note that it was told.

    A worktree that asks for the first time reads the current bank, so there is nothing to tell: the call writes the
    mark with what else it notes.
    """
    since = mark(place)
    if since is None:
        with suppress(StorageError):
            place.note(**{TOLD: max(news.latest(files), _changed(files, f"{paths.MEMORY}/rejected"))})
        return []
    changes = news.changes_since(files, since)
    declined = list(_rejected(files, since))
    if not changes and not declined:
        return []
    try:
        place.remember(**{TOLD: max([since, *(one.mark for one in changes), *(when for when, _ in declined)])})
    except StorageError:
        return []  # on a full disk: told later, not at every call
    return _lines(files, place.instance, changes, [record for _, record in declined])


def _lines(files: Files, me: str, changes: list[Change], declined: list[Json]) -> list[str]:
    found: dict[str, None] = {}
    for record in declined:
        one = _contribution(files, str(record.get("id")))
        if one.get("instance_id") == me:
            by = f" by {named(record['by'])}" if record.get("by") else ""
            found[f"your contribution to {_place(one)} was rejected{by}: {quoted(record.get('reason'))}"] = None
    for change in reversed(changes):
        if change.kind in ("merge", "decision") and not change.contributions:
            continue  # only a blank line next to merged text moved
        authors = [_contribution(files, ident) for ident in change.contributions]
        if change.kind != "merge" or any(one.get("instance_id") != me for one in authors):
            found[_told_of(change, authors)] = None
    lines = [_cut(line) for line in list(found)[:LINES_MOST]]
    more = len(found) - len(lines)
    return [*lines, *([f"and {more} more; see the memory bank itself"] if more else [])]


def _told_of(change: Change, authors: list[Json]) -> str:
    where = " › ".join(map(named, [change.document, *change.section]))
    said = dict.fromkeys(_author(one) for one in authors if one)
    who = "; ".join(said)
    if change.kind == "undo":
        return f"{where} was taken back (by {named(change.by)})"
    if change.kind == "decision":
        by = named(change.by)
        who = f"{who}; decided by {by}" if who else f"decided by {by}"
    return f"{where} changed ({who or 'by someone unknown'})"


def _author(one: Json) -> str:
    task, who = one.get("task_id"), named(one.get("instance_id"))
    return f"{who}, task {named(task)}" if task is not None else who


def _place(one: Json) -> str:
    section = one.get("section")
    return " › ".join(map(named, [one.get("file"), *(section if isinstance(section, list) else [])]))


def _rejected(files: Files, mark: int) -> Iterator[tuple[int, Json]]:
    """Return the reasons why something was not taken that appeared after a mark, with their marks."""
    home = f"{paths.MEMORY}/rejected"
    if _changed(files, home) <= mark:
        return
    for name in files.scan(home):
        when = _changed(files, f"{home}/{name}") if name.endswith(WHY) else 0
        if when > mark:
            record = news.read_record(files, f"{home}/{name}") or {}
            if record.get("code") in ("decided", "unfit"):
                yield when, record


def _changed(files: Files, path: str) -> int:
    seen = files.stat(path)
    return max(seen.modified_ns, seen.changed_ns) if seen else 0


def _contribution(files: Files, ident: str) -> Json:
    for state in _STATES:
        found = news.read_record(files, paths.contribution(state, ident)) if ids.is_id(ident) else None
        if found:
            return found
    return {}


def _cut(line: str) -> str:
    """Cut a line, and close a quote that is open then."""
    shown = plain(line)
    if len(shown) <= CHARS_MOST:
        return shown
    kept = shown[: CHARS_MOST - 2]
    return f'{kept}…"' if kept.count('"') % 2 else f"{kept}…"
