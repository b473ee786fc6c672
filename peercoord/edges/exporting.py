"""Gathering all tasks with what became of them, for an export. Each is read once, at one moment of its own."""

from __future__ import annotations

from peercoord.core import ids, names, sync
from peercoord.core.errors import BrokenFileError, NotFoundError
from peercoord.edges.adapters.export import Task
from peercoord.roles.ours import Ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.roles.queue import Queue


def gather(queue: Queue) -> tuple[list[Task], list[tuple[str, str]]]:
    """Read every task.

    Args:
        queue: The tasks.

    Returns:
        The tasks, in order; and those that could not be read, each with the reason.
    """
    ours = Ours(queue)
    found, left_out = [], []
    look = ours.look()
    for task in sorted({*look.marks, *look.moving}, key=ids.natural):
        if task not in look.marks:
            look.marks.update(ours.look().marks)  # it was on its way from one place to another
        if task not in look.marks:
            left_out.append((task, "it is on its way from one place to another: export again"))
            continue
        try:
            values = ours.values(task, look.marks[task])
            found.append(
                Task(queue.definition(task), values, _added(queue, task), _ended(queue, task, values["state"]))
            )
        except (BrokenFileError, NotFoundError) as error:
            left_out.append((task, error.message))
    return found, left_out


def _added(queue: Queue, task: str) -> str:
    record = queue.read_record(names.birth(task)) or {}
    return str(record.get("added_at", ""))


def _ended(queue: Queue, task: str, state: str) -> str:
    if state == sync.CANCELLED:
        note = queue.definition(task).raw.get("cancelled")
        return str(note.get("at", "")) if isinstance(note, dict) else ""
    last = queue.result(task) if state == sync.DONE else None
    return str(last[2].get("at", "")) if last else ""
