"""What each coding session last said of itself, one file per instance: ``sessions/<instance>.json``.

The session's hooks write it, the worktree's agent and every status screen read it. It is a note for people and for the
hooks themselves: a session's life is told by its process alone, and losing the file loses nothing.
"""

from __future__ import annotations

from peercoord.store import paths, records
from peercoord.system.sessions import STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.store.files import Files

TRANSCRIPTS_MOST = 20  # files of sessions that are remembered
LONGEST_SECONDS = 8 * 86400  # until a limit resets; a later time comes from a wrong clock


def read(files: Files, peer: str) -> Json:
    """Return what the last coding session of an instance said; empty if nothing that can be read."""
    record = files.record(paths.session(peer)) or {}
    return record if record.get("state") in STATES and isinstance(record.get("process"), dict) else {}


def write(files: Files, peer: str, record: Json) -> None:
    """Write what the session of an instance says now."""
    whole = {"schema_version": records.SCHEMA_VERSION, "instance_id": peer, **record}
    files.put(paths.session(peer), records.encode(whole))


def is_of(record: Json, process: Json) -> bool:
    """Check whether a record is about a process."""
    known = record.get("process")
    if not isinstance(known, dict) or known.get("pid") is None:
        return False
    return bool((known["pid"], known.get("start")) == (process.get("pid"), process.get("start")))
