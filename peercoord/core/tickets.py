"""Decisions about tickets: where one belongs, which to take next, what several sightings of one task mean.

Pure functions of what was read; the roles do the reading and the renaming.
"""

from __future__ import annotations

from peercoord.core import ids, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from peercoord.core.names import Incarnation, Ticket
    from peercoord.core.records import Definition


class Spot:
    """Where a ticket belongs: ``ready``, ``waiting`` for ``detail``, or ``parked`` for the reason ``detail``."""

    __slots__ = ("detail", "reason", "state")

    def __init__(self, state: str, detail: str = "", reason: str = "") -> None:
        self.state, self.detail, self.reason = state, detail, reason

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spot) and (self.state, self.detail) == (other.state, other.detail)

    def __hash__(self) -> int:
        return hash((self.state, self.detail))

    def __repr__(self) -> str:
        return f"Spot({self.state!r}, {self.detail!r}, {self.reason!r})"


READY = Spot("ready")


def spot(definition: Definition, standing: Callable[[str], str]) -> Spot:
    """Decide where a ticket belongs that nobody holds.

    A waiting ticket watches ONE of its unmet dependencies (as a SAT solver watches one literal of a clause, Moskewicz
    et al., Chaff, 2001): completing a task then costs the edges that watch it, never the list.

    Args:
        definition: The task.
        standing: Says what a dependency is: ``done``, ``open``, ``cancelled`` or ``unknown``. Asked in order, no
            further than the first that is not done.
    """
    if definition.cancelled is not None:
        return Spot("parked", "cancelled", definition.cancelled)
    if definition.set_aside is not None:
        return Spot("parked", *definition.set_aside)
    for dependency in definition.dependencies:
        now = standing(dependency)
        if now == "cancelled":
            return Spot("parked", "blocked", f"it depends on task {dependency}, which was cancelled")
        if now == "unknown":
            return Spot("parked", "blocked", f"it depends on task {dependency}, which is not known")
        if now != "done":
            return Spot("waiting", dependency)
    return READY


def attempts(task: str, results: Iterable[str]) -> int:
    """Count the attempts at a task that ended badly, from the names in its results shard.

    Attempts are not epochs: a release or a reassignment raises the epoch and is nobody's failure.
    """
    found = (names.parse_result(name) for name in results)
    return len({r[1] for r in found if r and r[0] == task and r[2] in ("failed", "evicted")})


def highest_epoch(task: str, results: Iterable[str]) -> int:
    """Give the highest epoch that has a result, 0 if none has: where a reopened task goes on from."""
    found = (names.parse_result(name) for name in results)
    return max((r[1] for r in found if r and r[0] == task), default=0)


def in_order(entries: Iterable[str]) -> list[Ticket]:
    """Give the tickets among the names in a ready shard, in the order people expect: 2 before 10."""
    found = [t for t in map(names.parse_ticket, entries) if t and not t.done]
    found.sort(key=lambda t: ids.natural(t.task))
    return found


def attempt_order(tickets: Sequence[Ticket], seed: int) -> Iterable[Ticket]:
    """Give the order in which a claimant tries a shard: the first, then from a place of its own onwards.

    Alone, it gets the first in order. In a crowd all but one lose the first, and spread over the rest instead of
    meeting again at the second.

    Args:
        tickets: The shard's tickets, in order.
        seed: Any whole number of the claimant's own.
    """
    if not tickets:
        return
    yield tickets[0]
    rest = len(tickets) - 1
    for step in range(rest):
        yield tickets[1 + (seed + step) % rest]


class Sighting:
    """One name under which a task was seen.

    Attributes:
        state: ``new``, ``waiting``, ``ready``, ``parked``, ``claimed``, ``departed`` or ``done``.
        detail: What it waits for, why it is parked, or the directory name of the peer that holds it.
        epoch: The ticket's epoch; for ``done``, 0.
        path: Where it was seen.
    """

    __slots__ = ("detail", "epoch", "path", "state", "task")

    def __init__(self, task: str, state: str, detail: str, epoch: int, path: str) -> None:
        self.task, self.state, self.detail, self.epoch, self.path = task, state, detail, epoch, path

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """Which of two sightings is the later state: done wins, then the higher epoch, then a holder."""
        return (self.state == "done", self.epoch, self.state in ("claimed", "departed"))

    @property
    def last(self) -> tuple[bool, bool, int, int, Incarnation | None]:
        """The order of ASM-10: every move of a ticket raises it or leaves it, reopening a done task excepted.

        Unlike ``rank`` it puts out of a hand after in a hand: a ticket enters a hand only at a higher epoch.
        """
        who: Incarnation | None = None
        if self.state == "claimed":
            who = names.parse_incarnation(self.detail)
        elif self.state == "departed":
            both = names.parse_departed(self.detail)
            who = both[0] if both else None
        stage = 0 if self.state == "new" else 1 if self.state in ("claimed", "departed") else 2
        return (self.state == "done", self.path.endswith("~done"), self.epoch, stage, who)


def _leaders_last(path: str) -> tuple[int, bool, str, int, str] | None:
    """The order of ASM-10 of the names of the leader's ticket: every move raises it or leaves it."""
    home, _, name = path.rpartition("/")
    term, who = names.parse_leader(name), names.owner(home)
    if term is None or (home != names.LEADER and who is None):
        return None
    return (term, home == names.LEADER, *((who.peer, who.number, who.suffix) if who else ("", 0, "")))


def fold(sightings: Iterable[Sighting]) -> dict[str, Sighting]:
    """Give one state to each task seen. A listing taken while files move may show a ticket twice: the later wins."""
    states: dict[str, Sighting] = {}
    for seen in sightings:
        known = states.get(seen.task)
        if known is None or seen.rank > known.rank:
            states[seen.task] = seen
    return states


def surplus(seen: Sequence[Sighting]) -> list[Sighting]:
    """Give those of several names of one ticket that are to go, the lower ones.

    Two that lie in nobody's hands at one epoch both stay: a ticket may come back to such a place, so which of them was
    left behind cannot be told for long. The next claim takes one; then the other is lower.
    """
    found = []
    for low in seen:
        *mine, holder = low.last
        for high in seen:
            *other, rival = high.last
            if mine < other or (mine == other and holder is not None and rival is not None and holder < rival):
                found.append(low)
                break
    return found


def leader_surplus(paths: Iterable[str]) -> list[str]:
    """Give those of several names of the leader's ticket that are to go: all but the first in the order of ASM-10."""
    ranked = [(last, path) for path in paths if (last := _leaders_last(path)) is not None]
    top = max((last for last, _ in ranked), default=None)
    return [path for last, path in ranked if last != top]
