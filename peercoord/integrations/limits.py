"""When a rate limit resets, as far as a coding agent says it: in an error message, or in the record of its session."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import orjson

from peercoord.foreign import whole
from peercoord.store.session_records import LONGEST_SECONDS
from peercoord.system.clock import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.foreign import Json

UNKNOWN_SECONDS = 300  # after which a limit is tried that does not say when it resets
FULL_PERCENT = 100.0

_EPOCH = re.compile(r"\b(1[5-9]\d{8}|2\d{9})\b")
_MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")
_CLOCK = re.compile(
    r"resets?(?: at)? (\d{1,2})(?::(\d\d))? ?([ap]m)?(?: \(([A-Za-z_]+(?:/[A-Za-z_]+){0,2})\))?", re.IGNORECASE
)
_WAIT = re.compile(r"(?:again|retry|resets?)(?: after| in)? (\d{1,6}) ?(s|m|h)", re.IGNORECASE)


def in_message(text: str, now: float) -> float:
    """Return when a limit resets, by the message of its error; some minutes from now if that does not say it.

    Args:
        text: The message, in the agent's or its provider's words.
        now: Seconds since the epoch.
    """
    found = [at for at in _said(text[:4000], now) if now < at <= now + LONGEST_SECONDS]
    return found[0] if found else now + UNKNOWN_SECONDS


def _said(text: str, now: float) -> Iterator[float]:
    yield from (float(one[1]) for one in _EPOCH.finditer(text))
    yield from (seconds(one[1]) for one in _MOMENT.finditer(text))
    for one in _WAIT.finditer(text):
        yield now + int(one[1]) * {"s": 1, "m": 60, "h": 3600}[one[2].lower()]
    for one in _CLOCK.finditer(text):
        with suppress(ValueError, KeyError, OSError):
            yield _next(now, int(one[1]), int(one[2] or 0), (one[3] or "").lower(), one[4])


def _next(now: float, hour: int, minute: int, half: str, zone: str | None) -> float:
    """Return the next time at which a clock on the wall shows an hour."""
    there = datetime.fromtimestamp(now, ZoneInfo(zone) if zone else UTC)
    there = there if zone else there.astimezone()  # what names no zone means the person's own
    at = there.replace(hour=hour % 12 + (12 if half == "pm" else 0) if half else hour, minute=minute, second=0)
    return (at if at > there else at + timedelta(days=1)).timestamp()


def in_rollout(tail: bytes, now: float) -> float:
    """Return when a limit resets that a Codex session has used up, by the end of its rollout file; 0 if none is.

    Args:
        tail: The last lines of the file; the first may be cut.
        now: Seconds since the epoch.
    """
    for line in reversed(tail.splitlines()):
        if b'"rate_limits"' in line:
            with suppress(orjson.JSONDecodeError, AttributeError):
                limits = (orjson.loads(line).get("payload") or {}).get("rate_limits")
                if isinstance(limits, dict):
                    return _used_up(limits, now)
    return 0.0


def _used_up(limits: Json, now: float) -> float:
    windows = [one for key in ("primary", "secondary") if isinstance(one := limits.get(key), dict)]
    full = [
        one for one in windows if isinstance(used := one.get("used_percent"), (int, float)) and used >= FULL_PERCENT
    ]
    resets = [float(at) for one in full if (at := whole(one.get("resets_at"))) is not None]
    return max((at for at in resets if now < at <= now + LONGEST_SECONDS), default=0.0)
