"""Every limit and default, once. Times are seconds, sizes are bytes unless the name says otherwise."""

from __future__ import annotations

PROTOCOL_VERSION = 1

READY_BLOCK = 256  # tasks to a ready shard, by order of adding: a claim lists one shard, never the list
RECORD_BYTES = 1 << 20  # a definition, result or report larger than this is refused, and set aside when found
TITLE_CHARS = 500
TEXT_CHARS = 200_000  # description, details
NOTE_CHARS = 4_000  # one achievement, one blocker, one estimate
NOTES_CHARS = 60_000  # all achievements, or all blockers, of one task together: two such lists fit into any record
NOTES_MOST = 200  # achievements or blockers kept of one task, the newest
STEPS_MOST = 1_000
DEPENDENCIES_MOST = 1_000
EPOCH_DIGITS = 15  # a number in a file name has no more digits than a double holds exactly
EVENTS_BYTES = 4 << 20  # an events file is rotated at this size
DOCUMENT_BYTES = 16 << 20  # a document of the memory bank larger than this is left alone
BACKUPS_MOST = 100  # states kept of one document of the memory bank, the newest
LOOKS = 12  # listings of moving things before something seen in none is called missing

DEFAULT_SETTINGS: dict[str, int | str] = {
    "heartbeat_seconds": 300,
    "state_seconds": 30,
    "database_seconds": 120,
    "merge_seconds": 600,
    "ttl_heartbeats": 3,
    "session_grace_seconds": 120,
    "max_attempts": 3,
    "uncommitted": "warn",  # completing with uncommitted work: warn | refuse
    "retention_days": 30,
    "memory.commit": "off",  # the leader commits what it merged: off | on
}

WORDS = {"uncommitted": ("warn", "refuse"), "memory.commit": ("off", "on")}
"""What a setting that is a word may be."""
