"""Named steps with intervals: what is due when, a step that is brought forward, and growing pauses after failures.

Pure: time is an argument, in seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_PAUSE = 1.0  # seconds after a first failure; doubled with each further one …
LONGEST_PAUSE = 60.0  # … up to this

FAULTS = (Exception,)
"""Errors of the program and its libraries. A step that meets one must not stop the others."""


@dataclass(slots=True, eq=False)
class Step:
    """A step that runs at intervals."""

    name: str  # its name, for messages
    every: float  # seconds between two runs, unless the next one is brought forward
    run: Callable[[], object]  # the function to call
    least: float = 0.0  # minimum seconds between two runs, however often it is asked for
    at: float = float("-inf")  # when it is due
    ended: float = float("-inf")  # when it last succeeded
    failures: int = 0  # the number of its failures in a row
    said: str = ""  # the kind of its last failure
    asked: bool = False  # it was asked for since it last began, so it has to run again


class Schedule:
    """Steps and when they are due."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    def add(self, step: Step) -> None:
        """Add a step, due at once; replace one of the same name."""
        self._steps[step.name] = step

    def due(self, now: float) -> list[Step]:
        """The steps that are due, in the order in which they were added."""
        return [step for step in self._steps.values() if step.at <= now]

    def pause(self, now: float, most: float) -> float:
        """The seconds until the next step is due, at most ``most``."""
        return max(0.0, min([most, *(step.at - now for step in self._steps.values())]))

    def soon(self, name: str, now: float) -> None:
        """Bring a step forward: due now, or after its minimum pause. A failing step keeps its pause."""
        step = self._steps.get(name)
        if step is not None and not step.failures:
            step.asked = True
            step.at = min(step.at, max(now, step.ended + step.least))

    def hasten(self, now: float) -> None:
        """Bring every step forward, also failing ones."""
        for step in self._steps.values():
            step.at = min(step.at, now)

    def begins(self, step: Step) -> None:
        """Record that a step begins."""
        step.asked = False

    def ran(self, step: Step, now: float, sooner: float | None = None) -> bool:
        """Record that a step succeeded, and is due again ``sooner``; return whether it had failed before."""
        recovered, step.failures, step.said = step.failures > 0, 0, ""
        pause = step.least if step.asked else step.every
        step.ended, step.at = now, now + min(pause, sooner if sooner is not None else pause)
        return recovered

    def failed(self, step: Step, now: float, kind: str) -> bool:
        """Record that a step failed, to be retried after a growing pause; ``False`` if it failed so before."""
        news, step.said = kind != step.said, kind
        step.at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(step.failures, 10))
        step.failures += 1
        return news
