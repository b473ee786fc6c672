"""What tasks wait for, as a graph: its critical path, and a form of it that is small enough to look at. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from peercoord.status.views import Board

NODES_MOST = 300
"""With more nodes than this, finished tasks are drawn together; of what is still too much, ``NODES_KEPT`` are drawn."""
NODES_KEPT = 120
FIRST = ("in-progress", "ready", "blocked", "review", "failed", "waiting")
"""The order in which tasks are looked at where there are too many, after those on the critical path."""


@dataclass(frozen=True, slots=True)
class Node:
    """A task, or several finished ones together.

    Attributes:
        task: Task id; of several, that of the first one.
        title: Its title, or how many there are.
        status: As on the board.
        critical: It is on the critical path.
        tasks: The tasks that it stands for.
    """

    task: str
    title: str
    status: str
    critical: bool = False
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and who waits for whom: each edge leads from a task to one that depends on it."""

    nodes: list[Node]
    edges: list[tuple[str, str]]
    path: list[str]
    """The critical path, the next task first."""
    loose: int = 0
    """The number of tasks that wait for none and that none waits for; they are not drawn."""
    folded: int = 0
    """The number of finished tasks that are drawn together."""
    hidden: int = 0
    """The number of nodes that are left out because there are too many."""


def graph(board: Board, most: int = NODES_MOST, kept: int = NODES_KEPT) -> Graph:
    """Draw up the graph of all tasks that are not cancelled."""
    rows = {row.task: row for row in board.rows if row.status != "cancelled"}
    needs = {
        task: [one for one in dict.fromkeys(row.definition.dependencies) if one in rows] if row.definition else []
        for task, row in rows.items()
    }
    path = critical_path(needs, {task for task, row in rows.items() if row.status == "done"})
    linked = {task for task, found in needs.items() if found} | {one for found in needs.values() for one in found}
    groups = {task: task for task in linked}
    if len(linked) > most:
        groups = _folded(needs, linked, {task for task in linked if rows[task].status == "done"})
    members: dict[str, list[str]] = {}
    for task in rows:
        if task in groups:
            members.setdefault(groups[task], []).append(task)
    nodes = [
        Node(name, rows[name].title, rows[name].status, name in path, (name,))
        if len(tasks) == 1
        else Node(name, f"{len(tasks)} finished tasks", "done", tasks=tuple(tasks))
        for name, tasks in members.items()
    ]
    edges = {(groups[one], groups[task]) for task in groups for one in needs[task] if groups[one] != groups[task]}
    drawn = {node.task for node in nodes} if len(nodes) <= most else _nearest(nodes, edges, kept)
    shown = sorted(edge for edge in edges if drawn.issuperset(edge))
    folded = sum(len(tasks) for tasks in members.values() if len(tasks) > 1)
    nodes = [node for node in nodes if node.task in drawn]
    return Graph(nodes, shown, path, len(rows) - len(linked), folded, len(members) - len(nodes))


def critical_path(needs: Mapping[str, Iterable[str]], done: set[str]) -> list[str]:
    """Return the longest chain of unfinished tasks, each of which waits for the one before; tasks count alike.

    Tasks in a cycle are left out: none of them can be next.
    """
    length: dict[str, int] = {}
    before: dict[str, str] = {}
    for task in _in_order({task: [one for one in found if one not in done] for task, found in needs.items()}):
        if task in done:
            continue
        longest = max((one for one in needs.get(task, ()) if one in length), key=lambda one: length[one], default="")
        length[task] = length.get(longest, 0) + 1
        before[task] = longest
    at = max(length, key=lambda one: length[one], default="")
    path: list[str] = []
    while at:
        path.insert(0, at)
        at = before[at]
    return path if len(path) > 1 else []


def _in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Tasks after those that they need, without the ones in a cycle."""
    left = {task: set(found) for task, found in needs.items()}
    while True:
        try:
            return [*TopologicalSorter(left).static_order()]
        except CycleError as error:
            circle = set(error.args[1])
            left = {task: found - circle for task, found in left.items() if task not in circle}


def _folded(needs: Mapping[str, Iterable[str]], linked: set[str], done: set[str]) -> dict[str, str]:
    """Name for each task the one that it is drawn with: finished tasks that hang together become one node."""
    groups = {task: task for task in linked}

    def first(task: str) -> str:
        while groups[task] != task:
            task = groups[task]
        return task

    for task in linked & done:
        for one in needs[task]:
            if one in done:
                groups[first(task)] = first(one)
    return {task: first(task) for task in linked}


def _nearest(nodes: Sequence[Node], edges: Iterable[tuple[str, str]], most: int) -> set[str]:
    """Pick tasks that hang together: those on the critical path, then what is linked to them, ring by ring."""
    beside: dict[str, list[str]] = {}
    for one, other in sorted(edges):
        beside.setdefault(one, []).append(other)
        beside.setdefault(other, []).append(one)
    order = {status: at for at, status in enumerate(FIRST)}
    starts = sorted(nodes, key=lambda node: (not node.critical, order.get(node.status, len(order))))
    path = [node.task for node in starts if node.critical]
    picked = dict.fromkeys(path[:most])
    ring = [*picked]
    rest = iter(starts)
    while len(picked) < most:
        ring = [other for one in ring for other in beside.get(one, ()) if other not in picked]
        if not ring:
            ring = [next(node.task for node in rest if node.task not in picked)]
        picked |= dict.fromkeys(dict.fromkeys(ring[: most - len(picked)]))
    return set(picked)
