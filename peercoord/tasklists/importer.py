"""Importing tasks from where people keep them; a task that cannot be placed is parked, with the reason.

Importing twice changes nothing. A crash half way leaves what was imported; the next import continues from there.

Two lists may number their tasks alike. A task that has the id of one here is the same task if it comes from the same
list, or has the same title; else it is refused, and what depends on it is parked: linked by its number it would begin
when another task is done, or never.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError, StorageError, UsageError
from peercoord.foreign import shown
from peercoord.queue import placement, renaming
from peercoord.queue.intake import ADDED
from peercoord.store import records
from peercoord.system import progress
from peercoord.tasklists import normalize, reconcile
from peercoord.tasklists.imported import source_of
from peercoord.tasklists.normalize import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from peercoord.foreign import Json
    from peercoord.queue.queue import Queue
    from peercoord.store.records import Definition
    from peercoord.tasklists.imported import Imported

PARKED_STATES = (TaskStatus.HELD, TaskStatus.DEFERRED, TaskStatus.REVIEW, TaskStatus.BLOCKED)


@dataclass(slots=True)
class Intake:
    """What an import did."""

    added: list[str] = field(default_factory=list)  # ids of the tasks that are new here
    done: list[str] = field(default_factory=list)  # those among them that were done there
    known: list[str] = field(default_factory=list)  # ids of the tasks that were here before
    parked: dict[str, str] = field(default_factory=dict)  # for each new task that was parked, why
    refused: list[tuple[str, str]] = field(default_factory=list)  # what could not become a task here, and why

    def as_json(self) -> Json:
        """Return it for programs."""
        return {
            "added": self.added,
            "done": self.done,
            "known": self.known,
            "parked": self.parked,
            "refused": [{"what": what, "why": why} for what, why in self.refused],
        }


def take_in(queue: Queue, tasks: Sequence[Imported], *, take_in_progress: bool = False) -> Intake:
    """Import the tasks of a source, in its order.

    With ``take_in_progress``, tasks that a person has in progress there are free to claim, instead of parked as held.
    """
    intake = Intake()
    with queue.root.intake():
        all_tasks, listed = set(queue.all_tasks()), [t.definition.task for t in tasks]
        there = all_tasks - {task for task in listed if task in all_tasks and queue.is_lost(task)}
        new = {t.definition.task: t for t in tasks if t.definition.task not in there}
        for task, was in _moved(queue, new.values(), there):
            del new[task]
            why = f"by what the team noted in it, it is task {was}: if it was moved: peercoord task rename {was} {task}"
            intake.refused.append((f"task {task}", why))
        others = _known(queue, [t.definition for t in tasks if t.definition.task in there], listed, intake)
        prepared = _prepared(list(new.values()), others, take_in_progress)
        start = queue.next_order()
        order = {task: start + at for at, task in enumerate(new)}
        finished = {task for task, item in new.items() if item.state in (TaskStatus.DONE, TaskStatus.CANCELLED)}
        ordered = _dependencies_first(prepared, finished)
        coming = [(prepared[task], order[task], new[task].state == "done") for task in ordered]
        for definition, said in progress.track(queue.create_all(coming), "taking tasks in", len(coming)):
            if isinstance(said, UsageError):
                intake.refused.append((f"task {definition.task}", said.message))
            elif said == ADDED:
                intake.added.append(definition.task)
                if new[definition.task].state == "done":
                    intake.done.append(definition.task)
        if intake.added:
            queue.note_order(start + len(new))
        if intake.added or intake.known:  # an import before this one may have been stopped before its flush
            queue.files.flush()
    parked = {seen.task: seen.detail for seen in queue.parked()} if intake.added else {}
    for task in filter(parked.__contains__, intake.added):
        intake.parked[task] = queue.location_of(task).reason or parked[task]
    queue.place_blocked()
    return intake


def _moved(queue: Queue, tasks: Iterable[Imported], there: set[str]) -> list[tuple[str, str]]:
    """List rows that carry the team's note of another task: the row's id and that task's."""
    found = []
    for task in tasks:
        extra = source_of(task.definition).get("extra")
        metadata = extra.get("metadata") if isinstance(extra, dict) else None
        noted = metadata.get("peercoord") if isinstance(metadata, dict) else None
        was = reconcile.noted_task({"summary": noted}, queue.root.store_id)
        if was is not None and str(was) in there and str(was) != task.definition.task:
            found.append((task.definition.task, str(was)))
    return found


# -- ids that are taken ------------------------------------------------------------------------------------------


def _known(queue: Queue, found: Iterable[Definition], there: Iterable[str], intake: Intake) -> dict[str, str]:
    """Sort tasks whose ids exist here into known and refused ones; ``there`` are all ids of their list.

    Returns:
        For each id that another task has here, what that one is.
    """
    others, listed = {}, list(there)
    for definition in found:
        task, other = definition.task, _other(queue, definition)
        if other:
            others[task] = f"task {task} here is another one ({other})"
            free = renaming.free_number([*queue.all_tasks(), *listed])
            why = f"{others[task]}: rename that one (peercoord task rename {task} {free}) and import again"
            listed.append(free)
            intake.refused.append((f"task {task} ({shown(definition.title)})", why))
        else:
            intake.known.append(task)
    return others


def _other(queue: Queue, found: Definition) -> str:
    """Describe the other task that has the id of ``found`` here; empty if it is the same task or unreadable."""
    try:
        birth = queue.birth(found.task)
        if birth is None or _same_source(queue, birth.definition, found) or _same_title(birth.definition, found):
            return ""
        here = queue.definition(found.task)
    except (BrokenFileError, NotFoundError, StorageError):
        return ""
    if _same_title(here, found):
        return ""
    source = source_of(birth.definition)
    tag = f", tag {shown(source['tag'])}" if "tag" in source else ""
    origin = f"from {shown(source.get('path'))}{tag}" if source else "added here"
    return f"{shown(here.title)}, {origin}"


def _same_source(queue: Queue, ours: Definition, theirs: Definition) -> bool:
    """Check whether two tasks come from one list. A list that names no tag may be any list of its file."""
    one, two = source_of(ours), source_of(theirs)
    if not one or one.get("kind") != two.get("kind"):
        return False
    if one.get("tag") != two.get("tag") and "tag" in one and "tag" in two:
        return False
    places = {os.path.realpath(queue.root.project / str(source.get("path"))) for source in (one, two)}
    return one.get("path") == two.get("path") or len(places) == 1


def _same_title(ours: Definition, theirs: Definition) -> bool:
    return normalize.one_line(ours.title).casefold() == normalize.one_line(theirs.title).casefold()


# -- what is parked ----------------------------------------------------------------------------------------------


def _prepared(tasks: Sequence[Imported], others: Mapping[str, str], take_in_progress: bool) -> dict[str, Definition]:
    """Return the definitions, each with why its task is parked or cancelled, if it is."""
    open_tasks = {
        t.definition.task: t.definition.dependencies
        for t in tasks
        if t.state not in (TaskStatus.DONE, TaskStatus.CANCELLED)
    }
    rings = placement.cycles(open_tasks)
    prepared = {}
    for task in tasks:
        definition = task.definition
        strange = next((d for d in definition.dependencies if d in others), "")
        note = _note(task, rings.get(definition.task), others.get(strange, ""), take_in_progress)
        if note:
            definition = records.checked({**definition.raw, **note})
        prepared[definition.task] = definition
    return prepared


def _note(task: Imported, ring: list[str] | None, other: str, take_in_progress: bool) -> Json | None:
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
    """Order tasks so that each comes after its dependencies; parked ones come first, finished ones need nothing."""
    from graphlib import TopologicalSorter

    aside = [task for task, definition in prepared.items() if definition.set_aside]
    free = {
        task: [] if task in finished else [d for d in definition.dependencies if d in prepared and d not in aside]
        for task, definition in prepared.items()
        if not definition.set_aside
    }
    return [*aside, *TopologicalSorter(free).static_order()]
