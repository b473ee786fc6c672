"""Taking tasks in from where people keep them: everything is taken, what cannot be placed is parked with its reason.

Importing twice changes nothing. A crash half way leaves what was taken in; the next import goes on from there.
"""

from __future__ import annotations

from peercoord.core import graph, records
from peercoord.core.errors import UsageError
from peercoord.roles.queue import ADDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    from peercoord.core.records import Definition, Json
    from peercoord.roles.queue import Queue

    class Incoming(Protocol):
        """A task as a source gives it: its definition, its state there, and why."""

        @property
        def definition(self) -> Definition: ...  # noqa: D102
        @property
        def state(self) -> str: ...  # noqa: D102
        @property
        def reason(self) -> str: ...  # noqa: D102


PARKED_STATES = ("held", "deferred", "review", "blocked")


class Intake:
    """What an import did.

    Attributes:
        added: Ids of the tasks that are new here.
        done: Ids of those among them that were done there.
        known: Ids of the tasks that were here before.
        parked: For each new task that was set aside, why.
        refused: What could not become a task at all, and why.
    """

    def __init__(self) -> None:
        self.added: list[str] = []
        self.done: list[str] = []
        self.known: list[str] = []
        self.parked: dict[str, str] = {}
        self.refused: list[tuple[str, str]] = []

    def as_json(self) -> Json:
        """Give it for programs."""
        return {
            "added": self.added,
            "done": self.done,
            "known": self.known,
            "parked": self.parked,
            "refused": [{"what": what, "why": why} for what, why in self.refused],
        }


def take_in(queue: Queue, tasks: Sequence[Incoming], *, take_in_progress: bool = False) -> Intake:
    """Take tasks in.

    Args:
        queue: Where to.
        tasks: What a source gave, in its order.
        take_in_progress: Take what a person has in progress there as free to claim, instead of parking it as held.

    Returns:
        What was done.
    """
    intake = Intake()
    with queue.root.intake():
        there = set(queue.all_tasks())
        intake.known = [t.definition.task for t in tasks if t.definition.task in there]
        new = {t.definition.task: t for t in tasks if t.definition.task not in there}
        prepared = _prepared(list(new.values()), take_in_progress)
        start = queue.next_order()
        order = {task: start + at for at, task in enumerate(new)}
        finished = {task for task, item in new.items() if item.state in ("done", "cancelled")}
        for task in _dependencies_first(prepared, finished):
            _bear(queue, prepared[task], order[task], new[task].state == "done", intake)
        if intake.added:
            queue.note_order(start + len(new))
            queue.files.flush()
    states = queue.survey() if intake.added else {}
    for task in intake.added:
        if task in states and states[task].state == "parked":
            intake.parked[task] = queue.spot(task).reason or states[task].detail
    queue.place_blocked()
    return intake


def _bear(queue: Queue, definition: Definition, order: int, done: bool, intake: Intake) -> None:
    try:
        if queue.bear(definition, order, done=done, durable=False) == ADDED:
            intake.added.append(definition.task)
            if done:
                intake.done.append(definition.task)
    except UsageError as error:
        intake.refused.append((f"task {definition.task}", error.message))


def _prepared(tasks: Sequence[Incoming], take_in_progress: bool) -> dict[str, Definition]:
    """Write into each definition why its task is set aside, if it is."""
    open_tasks = {t.definition.task: t.definition.dependencies for t in tasks if t.state not in ("done", "cancelled")}
    rings = graph.cycles(open_tasks)
    prepared = {}
    for task in tasks:
        definition = task.definition
        note = _note(task, rings.get(definition.task), take_in_progress)
        if note:
            definition = records.checked({**definition.raw, **note})
        prepared[definition.task] = definition
    return prepared


def _note(task: Incoming, ring: list[str] | None, take_in_progress: bool) -> Json | None:
    if task.state == "cancelled":
        return {"cancelled": {"by": "import", "reason": task.reason or "cancelled where it came from"}}
    if ring:
        reason = f"it would wait for itself: {' → '.join(ring)}"
        return {"parked": {"why": "blocked", "kind": "cycle", "by": "import", "reason": reason}}
    if task.state in PARKED_STATES and not (task.state == "held" and take_in_progress):
        return {"parked": {"why": task.state, "by": "import", "reason": task.reason}}
    return None


def _dependencies_first(prepared: dict[str, Definition], finished: set[str]) -> Iterable[str]:
    """Order tasks so that each comes after what it depends on; those set aside for a cycle come first.

    What is finished depends on nothing any more, whatever cycles it may have stood in.
    """
    from graphlib import TopologicalSorter

    aside = [task for task, definition in prepared.items() if definition.set_aside]
    free = {
        task: [] if task in finished else [d for d in definition.dependencies if d in prepared and d not in aside]
        for task, definition in prepared.items()
        if not definition.set_aside
    }
    return [*aside, *TopologicalSorter(free).static_order()]
