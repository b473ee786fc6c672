"""Counting tasks by where their tickets lie, from listings alone: what a call on every tool use can afford.

No definition is read, and a directory that has not changed since it was counted is not listed again, so that what the
background agent pays for a list of ten thousand tasks is a look at a few hundred directories. While tickets move a
listing may miss one or show it twice, so the figures are for people.
"""

from __future__ import annotations

import time

from peercoord.core import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.fs.files import Files

SETTLED_NS = 2 * 10**9
"""A directory that changed less long ago may change again without its time telling: that moves on by ticks."""

_counted: dict[str, tuple[int, int]] = {}  # by absolute path: when it had last changed, and how many names it held


def tally(files: Files) -> dict[str, int]:
    """Count the tasks of a coordination directory.

    Returns:
        ``ready``, ``in_progress``, ``parked``, ``done``, ``waiting`` and ``total_tasks``. Waiting is what is left:
        its tickets lie in a directory for each task that others wait for, too many to list.
    """
    counts = {
        "ready": sum(_lies(files, f"{names.READY}/{level}") for level in files.scan(names.READY)),
        "in_progress": sum(_count(files, names.claims_dir(f"{names.PEERS}/{p}")) for p in files.scan(names.PEERS)),
        "parked": _lies(files, names.PARKED),
        "done": _lies(files, names.DONE),
    }
    total = _lies(files, names.BIRTHS)
    return {**counts, "waiting": max(0, total - sum(counts.values())), "total_tasks": total}


def _lies(files: Files, base: str) -> int:
    return sum(_count(files, f"{base}/{name}") for name in files.scan(base))


def _count(files: Files, path: str) -> int:
    """Count the names in a directory: as they were, if it has not changed since."""
    root = getattr(files.disk, "root", "")
    seen = files.stat(path) if root else None
    if seen is None:
        return len(files.scan(path))
    known = _counted.get(f"{root}/{path}")
    if known is not None and known[0] == seen.modified_ns:
        return known[1]
    number = len(files.scan(path))
    if time.time_ns() - seen.modified_ns > SETTLED_NS:
        _counted[f"{root}/{path}"] = (seen.modified_ns, number)
    return number


def leading(files: Files) -> str:
    """Give the name of the peer that has the leader's ticket; empty if none has."""
    for home in files.scan(names.PEERS):
        who = names.parse_incarnation(home)
        if who and any(names.parse_leader(name) is not None for name in files.scan(f"{names.PEERS}/{home}")):
            return who.peer
    return ""
