"""Dependencies as a graph: the cycle that a task would close, with its path.

A cycle would leave its tasks waiting for ever, so it is refused at the door (or parked, by an import) with the
path in the message.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def cycle_through(start: str, dependencies: Callable[[str], Iterable[str]]) -> list[str] | None:
    """Find a path of dependencies from ``start`` back to itself.

    Args:
        start: The task being added, edited or put back.
        dependencies: Gives what a task depends on. Called once per task reached.

    Returns:
        The tasks along the cycle, first and last being ``start``; ``None`` if there is none.
    """
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
    """Find tasks to set aside so that what remains has no cycle.

    Args:
        dependencies: For each task of a set, what it depends on, inside the set or not.

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
            ring = error.args[1][:0:-1]  # graphlib gives it in the order of work, repeated end first
            for at, task in enumerate(ring):
                aside[task] = [*ring[at:], *ring[: at + 1]]
        else:
            return aside
