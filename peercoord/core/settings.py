"""Shared settings that contradict one another or that nobody knows: checked together, told in words."""

from __future__ import annotations

from peercoord.core import ids
from peercoord.core.limits import DEFAULT_SETTINGS, WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST_BEAT = 3600


class Problem:
    """Something that is wrong with a setting.

    Attributes:
        key: Which.
        text: What is wrong with it, one sentence without a full stop.
        value: One that fits the others as they are; ``None`` for what is no setting.
    """

    __slots__ = ("key", "text", "value")

    def __init__(self, key: str, text: str, value: int | str | None) -> None:
        self.key, self.text, self.value = key, text, value

    @property
    def fix(self) -> str:
        """The command that mends it; empty where there is none."""
        return "" if self.value is None else f"peercoord config {self.key} {self.value}"


def problems(settings: object) -> list[Problem]:
    """Say what is wrong with shared settings.

    Args:
        settings: As ``protocol.json`` holds them; what is missing has its default.

    Returns:
        What is wrong, none if all is well. One that is mended may show another.
    """
    said = settings if isinstance(settings, dict) else {}
    found = [Problem(key, f"{ids.shown(key)} is no setting", None) for key in said if key not in DEFAULT_SETTINGS]
    wrong = [key for key in DEFAULT_SETTINGS if not _usable(key, said.get(key, DEFAULT_SETTINGS[key]))]
    for key in wrong:
        default = DEFAULT_SETTINGS[key]
        found.append(Problem(key, f"{key} is {ids.shown(said[key])}: its default, {default}, is used", default))
    numbers = {k: v for k, v in {**DEFAULT_SETTINGS, **said}.items() if k not in wrong and isinstance(v, int)}
    return [*found, *_together({**{k: v for k, v in DEFAULT_SETTINGS.items() if isinstance(v, int)}, **numbers})]


def _usable(key: str, value: object) -> bool:
    default = DEFAULT_SETTINGS[key]
    if isinstance(default, str):
        return value in WORDS[key]
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _together(now: Mapping[str, int]) -> Iterator[Problem]:
    beat, ttl = now["heartbeat_seconds"], now["ttl_heartbeats"]
    silence, state, grace = beat * ttl, now["state_seconds"], now["session_grace_seconds"]
    if ttl < 2:
        text = "ttl_heartbeats is 1: one late heartbeat would look like death"
        yield Problem("ttl_heartbeats", text, DEFAULT_SETTINGS["ttl_heartbeats"])
    if beat > LONGEST_BEAT:
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
