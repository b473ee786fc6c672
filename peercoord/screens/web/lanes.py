"""The timeline: one lane for each instance, a bar for each attempt, a mark for what else happened. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.system.clock import seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.screens.history import History, Mark
    from peercoord.status.attempts import Attempt

LANE, TOP = 32, 28  # pixels: the height of a lane, and of the axis above
ZOOMS = (("10 min", 600), ("1 h", 3600), ("6 h", 21600), ("1 day", 86400), ("All", 0))
SIGNS = {"evicted": "✕", "reassigned": "⇄", "limited": "‖", "landed": "⬆"}
WORDS = {"evicted": "evicted", "reassigned": "reassigned", "limited": "rate limited", "landed": "landed"}
COLOURS = 8
STEP_SECONDS = 60  # the right edge moves on by so much, so that a page is not drawn again for nothing


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt: where it lies, in per cent of the whole width, and in which lane."""

    attempt: Attempt
    left: float
    width: float
    lane: int
    colour: int


@dataclass(frozen=True, slots=True)
class Point:
    """One mark: where it lies, and in which lane; the landings have the first one."""

    mark: Mark
    left: float
    lane: int
    sign: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """A timeline, ready to be drawn."""

    begin: int
    end: int
    lanes: Sequence[str]
    bars: Sequence[Bar]
    points: Sequence[Point]

    @property
    def height(self) -> int:
        """Its height in pixels."""
        return TOP + LANE * len(self.lanes)


def timeline(history: History, peers: Sequence[str], now: str) -> Timeline:
    """Place every attempt and every mark. An attempt whose start is not known gets no bar; it is in the list."""
    known = [one for one in history.attempts if one.began and one.peer]
    moments = [seconds(one.began) for one in known] + [seconds(one.at) for one in history.marks]
    end = int(seconds(now)) // STEP_SECONDS * STEP_SECONDS + STEP_SECONDS
    begin = int(min(moments, default=end - 3600.0)) // STEP_SECONDS * STEP_SECONDS
    whole = max(end - begin, STEP_SECONDS)
    landed = ["landings"] if any(mark.kind == "landed" for mark in history.marks) else []
    names = [
        *landed,
        *dict.fromkeys([*peers, *(one.peer for one in known), *(m.peer for m in history.marks if m.peer)]),
    ]
    lane = {name: at for at, name in enumerate(names)}

    def left(at: str) -> float:
        return round(min(100.0, max(0.0, (seconds(at) - begin) / whole * 100)), 5)

    bars = [
        Bar(
            one,
            left(one.began),
            max(0.0, round((left(one.ended) if one.ended else 100.0) - left(one.began), 5)),
            lane[one.peer],
            sum(map(ord, one.task)) % COLOURS,
        )
        for one in known
    ]
    points = [Point(one, left(one.at), lane.get(one.peer, 0), SIGNS[one.kind]) for one in history.marks]
    return Timeline(begin, end, names, bars, points)
