"""Decide where a ticket belongs, which to claim next, and which of several names of a ticket is the latest.

Pure functions of what was read; the rest of ``queue/`` reads and renames. Cycles of dependencies are found here too: a
cycle would leave its tasks waiting for ever, so adding it is refused, and an import parks one of its tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from peercoord.store import ids, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from peercoord.store.paths import Incarnation, Ticket
    from peercoord.store.records import Definition


_BLOCKING = {"cancelled": "which was cancelled", "unknown": "which is not known"}


class Location(NamedTuple):
    """Where a ticket was seen, or where it belongs."""

    task: str  # task id
    state: str  # ``new``, ``waiting``, ``ready``, ``parked``, ``claimed``, ``departed`` or ``done``
    detail: str = ""  # what it waits for, why it is parked, or the directory name of the peer that holds it
    epoch: int = 0  # the ticket's epoch; 0 for ``done`` and for where it belongs
    path: str = ""  # where it was seen; empty for where it belongs
    reason: str = ""  # why it belongs there, in words

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """Orders two names of one ticket in a listing: done is later, then the higher epoch, then a holder."""
        return (self.state == "done", self.epoch, self.state in ("claimed", "departed"))

    @property
    def order(self) -> tuple[bool, bool, int, int, Incarnation | None]:
        """The order of ASM-10: every move of a ticket raises it or leaves it, except reopening a done task.

        Unlike ``rank``, a released ticket comes after a claimed one: a claim always has a higher epoch.
        """
        who: Incarnation | None = None
        if self.state == "claimed":
            who = paths.parse_incarnation(self.detail)
        elif self.state == "departed":
            both = paths.parse_departed(self.detail)
            who = both[0] if both else None
        stage = 0 if self.state == "new" else 1 if self.state in ("claimed", "departed") else 2
        return (self.state == "done", self.path.endswith("~done"), self.epoch, stage, who)


def location_of(definition: Definition, dependency_state: Callable[[str], str]) -> Location:
    """Decide where a ticket belongs that no peer holds.

    A waiting ticket watches ONE of its unmet dependencies (as a SAT solver watches one literal of a clause, Moskewicz
    et al., Chaff, 2001): completing a task then costs the edges that watch it, never the list.

    Args:
        definition: The task.
        dependency_state: ``done``, ``open``, ``cancelled`` or ``unknown`` for a dependency. Called in order, up to the
            first that is not done.
    """
    task = definition.task
    if definition.cancelled is not None:
        return Location(task, "parked", "cancelled", reason=definition.cancelled)
    if definition.set_aside is not None:
        why, reason = definition.set_aside
        return Location(task, "parked", why, reason=reason)
    for dependency in definition.dependencies:
        state = dependency_state(dependency)
        if state in _BLOCKING:
            reason = f"it depends on task {dependency}, {_BLOCKING[state]}"
            return Location(task, "parked", "blocked", reason=reason)
        if state != "done":
            return Location(task, "waiting", dependency)
    return Location(task, "ready")


# -- epochs and attempts -----------------------------------------------------------------------------------------


def outcomes(task: str, names: Iterable[str]) -> list[tuple[int, str]]:
    """Epoch and outcome of each result of a task, oldest first, from the names in its results shard."""
    found = (paths.parse_result(name) for name in names)
    return sorted((r[1], r[2]) for r in found if r and r[0] == task)


def attempts(ended: Iterable[tuple[int, str]]) -> int:
    """Count the attempts that ended badly, from ``outcomes``.

    Attempts are not epochs: a release or a reassignment raises the epoch and is not a failure.
    """
    return len({epoch for epoch, outcome in ended if outcome in ("failed", "evicted")})


def highest_epoch(ended: Iterable[tuple[int, str]]) -> int:
    """The highest epoch in ``outcomes``, 0 if there is none: a reopened task continues from it."""
    return max((epoch for epoch, _ in ended), default=0)


# -- the order of claims -----------------------------------------------------------------------------------------


def in_order(entries: Iterable[str]) -> list[Ticket]:
    """The tickets among the names in a ready shard, in the order people expect: 2 before 10."""
    found = [t for t in map(paths.parse_ticket, entries) if t and not t.done]
    found.sort(key=lambda t: ids.natural(t.task))
    return found


def attempt_order(tickets: Sequence[Ticket], seed: int) -> Iterable[Ticket]:
    """The order in which a claimant tries a shard: the first ticket, then the rest from a place given by ``seed``.

    A single claimant gets the first in order. In a crowd, all but one lose the first and spread over the rest instead
    of meeting again at the second.
    """
    yield from tickets[:1]
    rest = len(tickets) - 1
    for step in range(rest):
        yield tickets[1 + (seed + step) % rest]


# -- several names of one ticket ---------------------------------------------------------------------------------


def fold(locations: Iterable[Location], tasks: Collection[str] | None = None) -> dict[str, Location]:
    """One location for each task, or for each of these.

    A listing taken while files move may show a ticket twice: the later one counts.
    """
    states: dict[str, Location] = {}
    for seen in locations:
        known = states.get(seen.task)
        if (tasks is None or seen.task in tasks) and (known is None or seen.rank > known.rank):
            states[seen.task] = seen
    return states


def lower_names(seen: Sequence[Location]) -> list[Location]:
    """The lower names of a ticket that has several: those to remove.

    Two unclaimed names at one epoch both stay. A ticket may come back to an unclaimed place, so it is not known
    which name was left behind; the next claim takes one of them, and then the other is lower.
    """
    found = []
    for low in seen:
        *mine, holder = low.order
        for high in seen:
            *other, rival = high.order
            if mine < other or (mine == other and holder is not None and rival is not None and holder < rival):
                found.append(low)
                break
    return found


def lower_leader_names(paths: Iterable[str]) -> list[str]:
    """The lower names of the leader's ticket: all but the first in the order of ASM-10."""
    ranked = [(order, path) for path in paths if (order := _leader_order(path)) is not None]
    top = max((order for order, _ in ranked), default=None)
    return [path for order, path in ranked if order != top]


def _leader_order(path: str) -> tuple[int, bool, str, int, str] | None:
    """The order of ASM-10 for names of the leader's ticket: every move raises it or leaves it."""
    home, _, name = path.rpartition("/")
    term, who = paths.parse_leader(name), paths.owner(home)
    if term is None or (home != paths.LEADER and who is None):
        return None
    return (term, home == paths.LEADER, *((who.peer, who.number, who.suffix) if who else ("", 0, "")))


# -- cycles of dependencies --------------------------------------------------------------------------------------


def cycle_through(start: str, dependencies: Callable[[str], Iterable[str]]) -> list[str] | None:
    """Find a path of dependencies from ``start`` back to itself, first and last; ``None`` if there is none."""
    needed_by = {start: ""}
    stack = [start]
    while stack:
        task = stack.pop()
        for dependency in dependencies(task):
            if dependency == start:
                path = [start]
                while task:
                    path.append(task)
                    task = needed_by[task]
                return path[::-1]
            if dependency not in needed_by:
                needed_by[dependency] = task
                stack.append(dependency)
    return None


def cycles(dependencies: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Find tasks to set aside so that the remaining ones have no cycle.

    Args:
        dependencies: For each task of a set, its dependencies, inside the set or not.

    Returns:
        For each task set aside, the cycle it lies on, beginning and ending with it.
    """
    from graphlib import CycleError, TopologicalSorter

    aside: dict[str, list[str]] = {}
    while True:
        rest = {task: [d for d in needs if d not in aside] for task, needs in dependencies.items() if task not in aside}
        try:
            TopologicalSorter(rest).prepare()
        except CycleError as error:
            ring = error.args[1][:0:-1]  # graphlib returns it in the order of work, repeated end first
            for at, task in enumerate(ring):
                aside[task] = [*ring[at:], *ring[: at + 1]]
        else:
            return aside
