"""What is due when: named steps with intervals, a chance to come sooner, and growing pauses after failures.

Pure: time is an argument, in seconds of one monotonic clock.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_PAUSE = 1.0  # seconds after a first failure; doubled with each further one …
LONGEST_PAUSE = 60.0  # … up to this

FAULTS = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""Errors of the program itself. One step that meets one must not take a process from all the others."""


class Step:
    """One thing done again and again.

    Attributes:
        name: What it is, for messages.
        every: Seconds between two runs, where nothing brings the next one forward.
        run: Does it.
        least: Seconds between two runs, however often it is asked for.
        at: When it is due.
        ended: When it last succeeded.
        failures: How often it has failed in a row.
        said: What sort of failure its last one was.
        asked: It was asked for since it last began; what it did then may not count.
    """

    __slots__ = ("asked", "at", "ended", "every", "failures", "least", "name", "run", "said")

    def __init__(self, name: str, every: float, run: Callable[[], object], least: float = 0.0) -> None:
        self.name, self.every, self.run, self.least = name, every, run, least
        self.at = self.ended = float("-inf")
        self.failures = 0
        self.said = ""
        self.asked = False


class Schedule:
    """Steps and when they are due."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    def add(self, step: Step) -> None:
        """Take a step in, due at once; one of the same name is replaced."""
        self._steps[step.name] = step

    def due(self, now: float) -> list[Step]:
        """Give the steps that are due, in the order in which they were added."""
        return [step for step in self._steps.values() if step.at <= now]

    def pause(self, now: float, most: float) -> float:
        """Give the seconds until the next step is due, ``most`` at the most."""
        return max(0.0, min([most, *(step.at - now for step in self._steps.values())]))

    def soon(self, name: str, now: float) -> None:
        """Bring a step forward: due now, or once its least pause is over. One that fails keeps its pause."""
        step = self._steps.get(name)
        if step is not None and not step.failures:
            step.asked = True
            step.at = min(step.at, max(now, step.ended + step.least))

    def hasten(self, now: float) -> None:
        """Bring every step forward, those that fail as well: the world has changed."""
        for step in self._steps.values():
            step.at = min(step.at, now)

    def begins(self, step: Step) -> None:
        """Note that a step begins."""
        step.asked = False

    def ran(self, step: Step, now: float, sooner: float | None = None) -> bool:
        """Note that a step succeeded.

        Args:
            step: Which.
            now: When it ended.
            sooner: Seconds after which it is due again, if that is before its interval is over.

        Returns:
            Whether it had failed before.
        """
        recovered, step.failures, step.said = step.failures > 0, 0, ""
        pause = step.least if step.asked else step.every
        step.ended, step.at = now, now + min(pause, sooner if sooner is not None else pause)
        return recovered

    def failed(self, step: Step, now: float, kind: str) -> bool:
        """Note that a step failed; it is tried again after a pause that grows.

        Args:
            step: Which.
            now: When.
            kind: What sort of failure it was.

        Returns:
            Whether this is news: it did not fail like that the last time.
        """
        news, step.said = kind != step.said, kind
        step.at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(step.failures, 10))
        step.failures += 1
        return news
