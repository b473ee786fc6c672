"""Time and chance, as arguments: what the roles are given instead of asking the system themselves.

Wall time is for people to read and is never compared across machines; monotonic time is for waiting and observing.
"""

from __future__ import annotations

import os
import sys
import time

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 of them; none that people mistake for another


class Clock:
    """The system's clocks."""

    def now(self) -> str:
        """Wall time, UTC, as records show it: ``2026-01-31T15:30:00Z``."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def monotonic(self) -> float:
        """Seconds of this machine's monotonic clock, from no particular moment."""
        return time.monotonic()

    def asleep(self) -> float:
        """Seconds for which this machine was suspended since it started, 0 where that cannot be told."""
        if sys.platform == "linux":
            return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
        if sys.platform == "darwin":
            return time.clock_gettime(time.CLOCK_MONOTONIC) - time.clock_gettime(time.CLOCK_UPTIME_RAW)
        return 0.0


def token(length: int = 12) -> str:
    """Give a random word of letters and digits; 12 of them make a clash less likely than a broken disk."""
    return "".join(_LETTERS[byte & 31] for byte in os.urandom(length))


def chance() -> int:
    """Give a random whole number, 0 … 2³² − 1."""
    return int.from_bytes(os.urandom(4), "big")
