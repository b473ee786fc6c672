"""Counting tasks by where their tickets lie, from listings alone: what a call on every tool use can afford.

No definition is read. While tickets move a listing may miss one or show it twice, so the figures are for people.
"""

from __future__ import annotations

from peercoord.core import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.fs.files import Files


def tally(files: Files) -> dict[str, int]:
    """Count the tasks of a coordination directory.

    Returns:
        ``ready``, ``in_progress``, ``parked``, ``done``, ``waiting`` and ``total_tasks``. Waiting is what is left:
        its tickets lie in a directory for each task that others wait for, too many to list.
    """
    counts = {
        "ready": sum(_lies(files, f"{names.READY}/{level}") for level in files.scan(names.READY)),
        "in_progress": sum(len(files.scan(names.claims_dir(f"{names.PEERS}/{p}"))) for p in files.scan(names.PEERS)),
        "parked": _lies(files, names.PARKED),
        "done": _lies(files, names.DONE),
    }
    total = _lies(files, names.BIRTHS)
    return {**counts, "waiting": max(0, total - sum(counts.values())), "total_tasks": total}


def _lies(files: Files, base: str) -> int:
    return sum(len(files.scan(f"{base}/{name}")) for name in files.scan(base))


def leading(files: Files) -> str:
    """Give the name of the peer that has the leader's ticket; empty if none has."""
    for home in files.scan(names.PEERS):
        who = names.parse_incarnation(home)
        if who and any(names.parse_leader(name) is not None for name in files.scan(f"{names.PEERS}/{home}")):
            return who.peer
    return ""
