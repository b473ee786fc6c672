"""Who worked on which task from when to when, what came of it, and what it took.

An attempt begins with a claim and ends with its result. What is not known is ``None`` or empty, never a guess: an
attempt that a crash cut short may have no beginning, and few coding agents say what they cost.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING

from peercoord.foreign import whole
from peercoord.status.dashboard import seconds_between
from peercoord.status.needs import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peercoord.foreign import Json
    from peercoord.status.views import Row

HELD = "held"  # the outcome of an attempt that goes on
LEAST_SHOWN = 0.01  # dollars
TOKENS_MOST, COST_MOST = 10**15, 10**9  # what is more, makes no sense


@dataclass(frozen=True, slots=True)
class Usage:
    """What a coding agent said that its work took; ``None`` where it said nothing."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None

    @property
    def known(self) -> bool:
        """Whether the agent said anything."""
        return (self.input_tokens, self.output_tokens, self.cost_usd) != (None, None, None)

    @property
    def words(self) -> str:
        """What is known and what is not, for people: ``1,200 tokens in, 300 out, 0.35 USD``."""
        counts = [(self.input_tokens, "tokens in"), (self.output_tokens, "out")]
        known = [f"{count:,} {what}" if count is not None else f"unknown {what}" for count, what in counts]
        tokens = ", ".join(known) if (self.input_tokens, self.output_tokens) != (None, None) else "tokens unknown"
        cost = "cost unknown" if self.cost_usd is None else _dollars(self.cost_usd)
        return f"{tokens}, {cost}" if self.known else "tokens and cost unknown"

    def as_json(self) -> Json:
        """Return it for programs."""
        return {key: getattr(self, key) for key in ("input_tokens", "output_tokens", "cost_usd")}


def _dollars(cost: float) -> str:
    return "under 0.01 USD" if 0 < cost < LEAST_SHOWN else f"{cost:,.2f} USD"


UNKNOWN = Usage()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a task.

    Attributes:
        task: Task id.
        epoch: The epoch of its claim.
        peer: Name of the peer that made it; empty if that is not known.
        began: When the task was claimed, RFC 3339; empty if that is not known.
        ended: When it ended; empty while the task is held.
        outcome: ``held`` while it goes on; else ``done``, ``failed``, ``evicted`` or ``released``.
        reason: Why it ended so, in the words of its author; may be empty.
        progress: 0 … 1, as last reported; ``None`` if nothing was.
        usage: What the coding agent said that it took.
        accepted: When a person accepted it, after its holder had parked the task for review; else empty.
    """

    task: str
    epoch: int
    peer: str
    began: str
    ended: str
    outcome: str
    _: KW_ONLY
    reason: str = ""
    progress: float | None = None
    usage: Usage = UNKNOWN
    accepted: str = ""

    def seconds(self, now: str) -> int | None:
        """How long the task was in hand; ``None`` if its beginning or end is not known."""
        return seconds_between(self.began, now if self.outcome == HELD else self.ended)


@dataclass(frozen=True, slots=True)
class Effort:
    """What some attempts took together.

    Attributes:
        attempts: Their number.
        seconds: The time in hand; ``None`` if that of one of them is not known.
        usage: The sum of what is known of tokens and cost; ``None`` in it if one of them said nothing of it.
    """

    attempts: int
    seconds: int | None
    usage: Usage

    def as_json(self) -> Json:
        """Return it for programs."""
        return {"attempts": self.attempts, "seconds_in_hand": self.seconds, **self.usage.as_json()}


def ended(task: str, epoch: int, outcome: str, record: Json) -> Attempt:
    """Read the attempt that a result tells of."""
    texts = (record.get(key) for key in ("peer", "assigned_at", "at", "reason"))
    peer, began, at, why = (text if isinstance(text, str) else "" for text in texts)
    share = record.get("progress")
    known = isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 1
    return Attempt(
        task,
        epoch,
        peer,
        moment(began),
        moment(at),
        outcome,
        reason=why,
        progress=float(share) if known and share is not None else None,
        usage=usage(record.get("usage")),
    )


def of_results(results: Sequence[Attempt]) -> list[Attempt]:
    """Return attempts by epoch, from their results: one that was released for review and then accepted has two."""
    parked = {one.epoch: one for one in results if one.outcome == "released"}
    accepted = {one.epoch for one in results if one.outcome == "done"} & parked.keys()
    attempts = [
        replace(one, ended=parked[one.epoch].ended, accepted=one.ended) if one.epoch in accepted else one
        for one in results
        if one.outcome != "released" or one.epoch not in accepted
    ]
    return sorted(attempts, key=lambda one: one.epoch)


def held(row: Row) -> Attempt | None:
    """Return the attempt that goes on at a task; ``None`` if no peer holds it."""
    if not row.holder or row.epoch is None:
        return None
    began, said = moment(row.assignment.get("assigned_at")), usage(row.entry.get("usage"))
    return Attempt(row.task, row.epoch, row.holder, began, "", HELD, progress=row.progress, usage=said)


def effort(attempts: Iterable[Attempt], now: str) -> Effort:
    """Add up what attempts took: those at a task, or those of an instance."""
    listed = list(attempts)
    times = [one.seconds(now) for one in listed]
    figures = [(one.usage.input_tokens, one.usage.output_tokens, one.usage.cost_usd) for one in listed]
    tokens_in, tokens_out, cost = (_sum(column) for column in zip(*figures, strict=True)) if figures else (0, 0, 0)
    counted = Usage(
        None if tokens_in is None else int(tokens_in), None if tokens_out is None else int(tokens_out), cost
    )
    time = _sum(times)
    return Effort(len(listed), None if time is None else int(time), counted)


def efforts(attempts: Sequence[Attempt], now: str) -> Json:
    """What attempts took, by task and by instance, for programs."""
    tasks: dict[str, list[Attempt]] = {}
    peers: dict[str, list[Attempt]] = {}
    for one in attempts:
        tasks.setdefault(one.task, []).append(one)
        if one.peer:
            peers.setdefault(one.peer, []).append(one)
    return {
        "tasks": {task: effort(found, now).as_json() for task, found in tasks.items()},
        "instances": {peer: effort(found, now).as_json() for peer, found in peers.items()},
    }


def _sum(values: Iterable[float | None]) -> float | None:
    """Add numbers up; ``None`` if one is not known."""
    listed = list(values)
    return None if None in listed else sum(value for value in listed if value is not None)


def usage(said: object) -> Usage:
    """Read what a coding agent said that its work took; what makes no sense counts as not said."""
    if not isinstance(said, dict):
        return UNKNOWN
    cost = said.get("cost_usd")
    fits = isinstance(cost, (int, float)) and not isinstance(cost, bool) and 0 <= cost < COST_MOST
    known = float(cost) if fits and cost is not None else None
    return Usage(_count(said.get("input_tokens")), _count(said.get("output_tokens")), known)


def _count(value: object) -> int | None:
    count = whole(value)
    return count if count is not None and 0 <= count < TOKENS_MOST else None
