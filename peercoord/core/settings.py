"""Shared settings that contradict one another or that nobody knows: checked together, told in words."""

from __future__ import annotations

from peercoord.core import ids
from peercoord.core.limits import DEFAULT_SETTINGS, WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def problems(settings: Mapping[str, object]) -> list[str]:
    """Say what is wrong with shared settings.

    Args:
        settings: As ``protocol.json`` holds them; what is missing has its default.

    Returns:
        One sentence for each problem, none if all is well.
    """
    found = [f"{ids.shown(key)} is no setting" for key in settings if key not in DEFAULT_SETTINGS]
    wrong = [key for key in DEFAULT_SETTINGS if not _usable(key, settings.get(key, DEFAULT_SETTINGS[key]))]
    found += [f"{key} is {ids.shown(settings[key])}: its default, {DEFAULT_SETTINGS[key]}, is used" for key in wrong]
    numbers = {k: v for k, v in {**DEFAULT_SETTINGS, **settings}.items() if k not in wrong and isinstance(v, int)}
    return found + _together({**{k: v for k, v in DEFAULT_SETTINGS.items() if isinstance(v, int)}, **numbers})


def _usable(key: str, value: object) -> bool:
    default = DEFAULT_SETTINGS[key]
    if isinstance(default, str):
        return value in WORDS[key]
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _together(now: Mapping[str, int]) -> list[str]:
    beat, ttl = now["heartbeat_seconds"], now["ttl_heartbeats"]
    found = []
    if ttl < 2:
        found.append("ttl_heartbeats is 1: one late heartbeat would look like death; use 3")
    if beat > 3600:
        found.append(f"heartbeat_seconds is {beat}: a peer on another machine would be missed for hours")
    if now["state_seconds"] > beat * ttl:
        found.append("state_seconds is longer than a peer may be silent: a reader would take the leader for dead")
    if now["session_grace_seconds"] >= beat * ttl:
        found.append("session_grace_seconds is longer than a peer may be silent: it would seldom have its effect")
    return found
