"""Offer a conflict as a task to the instance whose work it is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.foreign import line
from peercoord.queue.reassign import reassign
from peercoord.store import records
from peercoord.system.git import shown_paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.landing.plan import Step
    from peercoord.queue.queue import Queue
    from peercoord.store.records import Definition

_FILES_MOST = 50


def offer(
    queue: Queue, step: Step, branch: str, head: str, add: Callable[[Callable[[str], Definition]], str]
) -> tuple[str, str]:
    """Add the task of settling a conflict with a branch at ``head``, and assign it to the instance whose work it is.

    ``add`` adds a task under a free id, given what makes its definition for an id; it returns that id. Return the
    task's id, and the instance that has it; empty if that is no peer now and any may claim it.
    """
    work, title = step.work, _title(step, branch)
    description = (
        f"The work of task {work.tasks[0]} (commit {work.commit}) cannot be merged into {line(branch)}: "
        f"{step.detail or 'both changed the same lines'} ({shown_paths(step.files, _FILES_MOST)}).\n"
        f"First fetch this commit, if the worktree lacks it: git merge {work.commit[:12]}\n"
        f"Then merge the branch as it was then, settle the conflict, test, and commit: git merge {head[:12]}\n"
        f"Last, report this task done: the merge is what lands."
    )
    task = _open_task(queue, title) or add(
        lambda task: records.define(task, title, description=description, priority="critical")
    )
    if work.peer:
        with suppress(PeercoordError):
            reassign(queue, task, work.peer)
    return task, _holder(queue, task)


def offered(queue: Queue, step: Step, branch: str) -> tuple[str, str] | None:
    """Return the task that was made of a conflict before and the instance that has it; ``None`` if a person is asked.

    A task that is parked waits for a person too, and the status screens say so.
    """
    task = _open_task(queue, _title(step, branch))
    return (task, _holder(queue, task)) if task and queue.find(task).state != "parked" else None


def _title(step: Step, branch: str) -> str:
    return f"Settle the conflict of task {step.work.tasks[0]} with {line(branch)}"


def _holder(queue: Queue, task: str) -> str:
    """Return the instance that has a task; empty if any may claim it."""
    location = queue.find(task)
    return location.detail.partition("~")[0] if location.state == "claimed" else ""


def _open_task(queue: Queue, title: str) -> str:
    """Return the task that was offered before; empty if there is none, or it is done."""
    for task, location in queue.survey().items():
        if location.state != "done":
            with suppress(PeercoordError):
                definition = queue.definition(task)
                if definition.title == title and definition.cancelled is None:
                    return task
    return ""
