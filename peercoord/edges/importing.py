"""Taking tasks in from where people keep them: everything is taken, what cannot be placed is parked with its reason.

Importing twice changes nothing. A crash half way leaves what was taken in; the next import goes on from there.

Two lists may number their tasks alike. A task that has the id of one here is the same task if it comes from the same
list, or is called the same; else it is refused, and what depends on it is set aside: linked by its number it would
begin when another task is done, or never.
"""

from __future__ import annotations

import os

from peercoord.core import graph, ids, records
from peercoord.core.errors import BrokenFileError, NotFoundError, StorageError, UsageError
from peercoord.roles.queue import ADDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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
        refused: What could not become a task here, and why.
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
        new = {t.definition.task: t for t in tasks if t.definition.task not in there}
        others = _known(queue, [t.definition for t in tasks if t.definition.task in there], intake)
        prepared = _prepared(list(new.values()), others, take_in_progress)
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


# -- ids that are taken ------------------------------------------------------------------------------------------


def _known(queue: Queue, found: Iterable[Definition], intake: Intake) -> dict[str, str]:
    """Sort tasks whose ids are taken here into those that are known and those that are refused.

    Returns:
        For each id that another task has here, what that one is.
    """
    others = {}
    for definition in found:
        task, other = definition.task, _other(queue, definition)
        if other:
            others[task] = f"task {task} here is another one ({other})"
            why = f"{others[task]}: give one of them another id"
            intake.refused.append((f"task {task} ({ids.shown(definition.title)})", why))
        else:
            intake.known.append(task)
    return others


def _other(queue: Queue, found: Definition) -> str:
    """Say what the task is that has the id of ``found`` here; empty if it is the same one, or nobody can tell."""
    try:
        birth = queue.birth(found.task)
        if birth is None or _same_source(queue, birth.definition, found) or _same_title(birth.definition, found):
            return ""
        here = queue.definition(found.task)
    except (BrokenFileError, NotFoundError, StorageError):
        return ""
    return "" if _same_title(here, found) else f"{ids.shown(here.title)}, {_origin(birth.definition)}"


def _same_source(queue: Queue, ours: Definition, theirs: Definition) -> bool:
    """Tell whether two tasks come from one list. A list that names no tag may be any of its file."""
    one, two = _source(ours), _source(theirs)
    if not one or one.get("kind") != two.get("kind"):
        return False
    if one.get("tag") != two.get("tag") and "tag" in one and "tag" in two:
        return False
    return one.get("path") == two.get("path") or _place(queue, one) == _place(queue, two)


def _place(queue: Queue, source: Json) -> str:
    from peercoord.edges.syncing import home_of

    return os.path.realpath(home_of(queue.root) / str(source.get("path")))


def _same_title(ours: Definition, theirs: Definition) -> bool:
    from peercoord.edges.adapters import words

    return words.one_line(ours.title).casefold() == words.one_line(theirs.title).casefold()


def _source(definition: Definition) -> Json:
    source = definition.raw.get("source")
    return source if isinstance(source, dict) else {}


def _origin(definition: Definition) -> str:
    source = _source(definition)
    tag = f", tag {ids.shown(source['tag'])}" if "tag" in source else ""
    return f"from {ids.shown(source.get('path'))}{tag}" if source else "added here"


# -- what is set aside -------------------------------------------------------------------------------------------


def _prepared(tasks: Sequence[Incoming], others: Mapping[str, str], take_in_progress: bool) -> dict[str, Definition]:
    """Write into each definition why its task is set aside, if it is."""
    open_tasks = {t.definition.task: t.definition.dependencies for t in tasks if t.state not in ("done", "cancelled")}
    rings = graph.cycles(open_tasks)
    prepared = {}
    for task in tasks:
        definition = task.definition
        strange = next((d for d in definition.dependencies if d in others), "")
        note = _note(task, rings.get(definition.task), others.get(strange, ""), take_in_progress)
        if note:
            definition = records.checked({**definition.raw, **note})
        prepared[definition.task] = definition
    return prepared


def _note(task: Incoming, ring: list[str] | None, other: str, take_in_progress: bool) -> Json | None:
    if task.state == "cancelled":
        return {"cancelled": {"by": "import", "reason": task.reason or "cancelled where it came from"}}
    if ring:
        reason = f"it would wait for itself: {' → '.join(ring)}"
        return {"parked": {"why": "blocked", "kind": "cycle", "by": "import", "reason": reason}}
    if other and task.state != "done":
        reason = f"it depends on a task of its own list that was refused: {other}"
        return {"parked": {"why": "blocked", "by": "import", "reason": reason}}
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
