"""How many tasks there are in each state, from listings alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from peercoord.store import paths

if TYPE_CHECKING:
    from peercoord.store.files import Files

SETTLED_NS = 2 * 10**9
"""A directory that changed more recently may change again without a new modification time: that moves on by ticks."""

_counted: dict[str, tuple[int, int]] = {}  # by absolute path: modification time and number of names when last counted


def count_tasks(files: Files) -> dict[str, int]:
    """Count the tasks of a coordination directory by state, from listings alone.

    No definition is read, and a directory that did not change since it was counted is not listed again, so a call on
    every tool use can afford it. While tickets move, one may be missed or counted twice: the figures are for people.

    Returns:
        ``ready``, ``in_progress``, ``parked``, ``done``, ``waiting``, ``total_tasks`` and ``cancelled`` (part of
        ``parked``). ``waiting`` is the remainder, because waiting tickets lie in too many directories to list.
    """
    counts = {
        "ready": sum(_count_below(files, f"{paths.READY}/{level}") for level in files.scan(paths.READY)),
        "in_progress": sum(_count(files, paths.claims_dir(f"{paths.PEERS}/{p}")) for p in files.scan(paths.PEERS)),
        "parked": _count_below(files, paths.PARKED),
        "done": _count_below(files, paths.DONE),
    }
    total = _count_below(files, paths.BIRTHS)
    waiting = max(0, total - sum(counts.values()))
    cancelled = _count(files, f"{paths.PARKED}/cancelled")
    return {**counts, "waiting": waiting, "total_tasks": total, "cancelled": cancelled}


def _count_below(files: Files, base: str) -> int:
    return sum(_count(files, f"{base}/{name}") for name in files.scan(base))


def _count(files: Files, path: str) -> int:
    """The number of names in a directory, from memory if it has not changed since."""
    root = files.place
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
