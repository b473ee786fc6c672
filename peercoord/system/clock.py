"""Time and randomness, passed as arguments so that tests can replace them.

Wall time is for people and is never compared across machines; monotonic time is for waiting and observing.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_LETTERS = b"abcdefghijkmnpqrstuvwxyz23456789"  # 32 of them, none easily mistaken for another
_LETTER_OF = bytes(_LETTERS[byte % len(_LETTERS)] for byte in range(256))
TOKEN = f"[{_LETTERS.decode()}]{{12}}"
"""A regular expression for what ``token`` returns."""


def moment(seconds: float) -> str:
    """Write a time since the epoch in UTC, as records have it: ``2026-01-31T15:30:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def seconds(at: object) -> float:
    """Read a time as records have it, in seconds since the epoch; 0 for anything else."""
    from datetime import datetime  # few calls read a time

    text = str(at)[:19]
    try:
        return datetime.fromisoformat(f"{text}+00:00").timestamp() if text[10:11] == "T" else 0.0
    except ValueError:
        return 0.0


def local(at: str) -> str:
    """Write a moment as records have it by the clock of this machine: ``2026-01-31 16:30:00``; empty for other text."""
    when = seconds(at)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when)) if when else ""


class Clock:
    """The system's clocks."""

    def now(self) -> str:
        """Wall time in UTC, as in records: ``2026-01-31T15:30:00Z``."""
        return moment(time.time())

    def monotonic(self) -> float:
        """Seconds of this machine's monotonic clock."""
        return time.monotonic()

    def asleep(self) -> float:
        """Seconds for which this machine was suspended since boot; 0 where that cannot be told."""
        if sys.platform == "linux":
            return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
        if sys.platform == "darwin":
            return time.clock_gettime(time.CLOCK_MONOTONIC) - time.clock_gettime(time.CLOCK_UPTIME_RAW)
        return 0.0


def wait_until(ask: Callable[[], T], seconds: float, pause: float = 0.02, longest: float | None = None) -> T:
    """Ask repeatedly until the answer is true or the time is over; return the last answer.

    The pause between two tries is doubled each time, up to ``longest``; without it, the pause stays.
    """
    end = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < end:
        time.sleep(pause)
        pause = min(2 * pause, longest or pause)
    return answer


def wall() -> float:
    """Wall time in seconds, to compare with the times of this machine's files."""
    return time.time()


def token(length: int = 12) -> str:
    """Return a random word of letters and digits; 12 of them make a clash less likely than a broken disk."""
    return os.urandom(length).translate(_LETTER_OF).decode("ascii")


def chance() -> int:
    """Return a random whole number, 0 … 2³² − 1."""
    return int.from_bytes(os.urandom(4), "big")
