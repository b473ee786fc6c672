"""What is due when: named steps with intervals, a chance to come sooner, and growing pauses after failures.

Pure: time is an argument, in seconds of one monotonic clock.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_PAUSE = 1.0  # seconds after a first failure; doubled with each further one …
LONGEST_PAUSE = 60.0  # … up to this


class Step:
    """One thing done again and again.

    Attributes:
        name: What it is, for messages.
        every: Seconds between two runs, where nothing brings the next one forward.
        run: Does it.
        least: Seconds that must lie between the ends of two runs, however often it is asked for.
        at: When it is due.
        failures: How often it has failed in a row.
    """

    __slots__ = ("asked", "at", "every", "failures", "least", "name", "run", "said")

    def __init__(self, name: str, every: float, run: Callable[[], object], least: float = 0.0) -> None:
        self.name, self.every, self.run, self.least = name, every, run, least
        self.at = float("-inf")
        self.asked = False
        self.failures = 0
        self.said = ""


class Schedule:
    """Steps and when they are due."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    def add(self, step: Step) -> None:
        """Take a step in, due at once; one of the same name is replaced."""
        self._steps[step.name] = step

    def drop(self, name: str) -> None:
        """Forget a step."""
        self._steps.pop(name, None)

    def due(self, now: float) -> list[Step]:
        """Give the steps that are due, in the order in which they were added."""
        return [step for step in self._steps.values() if step.at <= now]

    def pause(self, now: float, most: float) -> float:
        """Give the seconds until the next step is due, ``most`` at the most."""
        return max(0.0, min([most, *(step.at - now for step in self._steps.values())]))

    def soon(self, name: str, now: float) -> None:
        """Bring a step forward: due now, or once its least pause is over. One that fails keeps its pause."""
        step = self._steps.get(name)
        if step is None or step.failures:
            return
        step.asked = True
        step.at = min(step.at, max(now, step.at - step.every + step.least))

    def ran(self, step: Step, now: float) -> bool:
        """Note that a step succeeded.

        Returns:
            Whether it had failed before.
        """
        recovered, step.failures, step.said, step.asked = step.failures > 0, 0, "", False
        step.at = now + step.every
        return recovered

    def failed(self, step: Step, now: float, message: str) -> bool:
        """Note that a step failed; it is tried again after a pause that grows.

        Returns:
            Whether this is news: the message was not given the last time.
        """
        news, step.said = message != step.said, message
        step.at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(step.failures, 10))
        step.failures += 1
        return news
