"""Fixed limits, the shared settings with their defaults, and the checks of settings.

Times are seconds and sizes are bytes unless the name says otherwise. People set the shared settings in
``protocol.json``; settings that contradict one another are found here and explained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from peercoord.foreign import shown, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROTOCOL_VERSION = 1

READY_BLOCK = 256  # tasks to a ready shard, by order of adding: a claim lists one shard, never the list
RECORD_BYTES = 1 << 20  # a larger definition, result or report is refused, and set aside when found
NESTING_MOST = 64  # levels of lists and objects that every reader accepts; this one accepts 1,024
TITLE_CHARS = 500
TEXT_CHARS = 200_000  # description, details
NOTE_CHARS = 4_000  # one achievement, one blocker, one estimate
NOTES_CHARS = 60_000  # all achievements, or all blockers, of one task together: two such lists fit into any record
NOTES_MOST = 200  # achievements or blockers kept of one task, the newest
ANSWERS_MOST = 20  # answers of people kept of one task, the newest
STEPS_MOST = 1_000
DEPENDENCIES_MOST = 1_000
EPOCH_DIGITS = 15  # digits of a number in a file name: as many as a double holds exactly
CLAIMED_MOST = 10**9  # highest epoch or incarnation that is believed in a worktree's own files
EVENTS_BYTES = 4 << 20  # an events file is rotated at this size
DOCUMENT_BYTES = 16 << 20  # a larger document of the memory bank is left alone
BACKUPS_MOST = 100  # states kept of one document of the memory bank, the newest
LOOKS = 12  # listings before a ticket that none of them shows is called missing

DEFAULT_SETTINGS: dict[str, int | str] = {
    "heartbeat_seconds": 300,
    "state_seconds": 30,
    "database_seconds": 120,
    "merge_seconds": 600,
    "ttl_heartbeats": 3,
    "session_grace_seconds": 10,
    "session_continues": "on",  # a hook hands the next task to a session whose task is done: off | on
    "silent_minutes": 0,  # off
    "max_attempts": 3,
    "uncommitted": "warn",  # completing with uncommitted work: warn | refuse
    "retention_days": 30,
    "memory.commit": "off",  # the leader commits what it merged: off | on
}
MAY_BE_OFF = ("silent_minutes",)  # settings that may be 0

WORDS = {"uncommitted": ("warn", "refuse"), "memory.commit": ("off", "on"), "session_continues": ("off", "on")}
"""The values of settings that are words."""


class Problem(NamedTuple):
    """A wrong setting."""

    key: str  # its name
    text: str  # what is wrong, one sentence without a full stop
    value: int | str | None  # a value that fits the others; ``None`` for an unknown key

    @property
    def fix(self) -> str:
        """The command that corrects it; empty for an unknown key."""
        return "" if self.value is None else f"peercoord config {self.key} {self.value}"


def problems(settings: object) -> list[Problem]:
    """List what is wrong with shared settings. Correcting one problem may show another."""
    said = settings if isinstance(settings, dict) else {}
    found = [Problem(key, f"{shown(key)} is no setting", None) for key in said if key not in DEFAULT_SETTINGS]
    wrong = [key for key in DEFAULT_SETTINGS if not _usable(key, said.get(key, DEFAULT_SETTINGS[key]))]
    for key in wrong:
        default = DEFAULT_SETTINGS[key]
        found.append(Problem(key, f"{key} is {shown(said[key])}: its default, {default}, is used", default))
    kept = {k: whole(v) for k, v in {**DEFAULT_SETTINGS, **said}.items() if k not in wrong}
    numbers = {k: v for k, v in kept.items() if v is not None}
    return [*found, *_together({**{k: v for k, v in DEFAULT_SETTINGS.items() if isinstance(v, int)}, **numbers})]


def _usable(key: str, value: object) -> bool:
    default = DEFAULT_SETTINGS[key]
    if isinstance(default, str):
        return value in WORDS[key]
    number = whole(value)
    return number is not None and (number > 0 or (number == 0 and key in MAY_BE_OFF))


def _together(now: Mapping[str, int]) -> Iterator[Problem]:
    beat, ttl = now["heartbeat_seconds"], now["ttl_heartbeats"]
    silence, state, grace = beat * ttl, now["state_seconds"], now["session_grace_seconds"]
    if ttl < 2:
        text = "ttl_heartbeats is 1: one late heartbeat would look like death"
        yield Problem("ttl_heartbeats", text, DEFAULT_SETTINGS["ttl_heartbeats"])
    if beat > 3600:
        text = f"heartbeat_seconds is {beat}: a peer on another machine would be missed for hours"
        yield Problem("heartbeat_seconds", text, DEFAULT_SETTINGS["heartbeat_seconds"])
    if state > silence:
        text = f"state_seconds is {state}, and a peer may be silent for {silence} s: a leader would seem to be dead"
        yield Problem("state_seconds", text, beat)
    if grace >= silence:
        text = (
            f"session_grace_seconds is {grace}, and a peer may be silent for {silence} s: it would seldom have effect"
        )
        yield Problem("session_grace_seconds", text, max(1, silence // 2))
