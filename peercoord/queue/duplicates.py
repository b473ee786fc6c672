"""Some filesystems can leave a ticket under both names after a crash during rename. Remove the lower one.

The ticket is not lost, and no peer works on a task whose ticket may still be taken under another name. The two names
are hard links of one file, and no peer ever makes a hard link of a ticket. So a link count above 1 shows it, read from
the file that was just renamed, not from a listing.

The crash behind this: a machine dies in the middle of a claim and leaves the ticket both ready and claimed. Another
peer claims the ready one, at the same epoch; the machine comes back and finds its claim.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import StorageError
from peercoord.queue import placement
from peercoord.store import paths

if TYPE_CHECKING:
    from peercoord.queue.tasks import Tasks


def is_unique(tasks: Tasks, path: str, task: str, *, if_unseen: bool = False) -> bool:
    """Check whether a ticket has only this name, after removing the lower one of two.

    A look may be old: ``if_unseen`` is the answer for a ticket that a listing shows and a look does not. A claimant
    must be certain; a peer that only carries the ticket on need not be. What is not a regular file is set aside.
    """
    seen = tasks.files.stat(path)
    if seen is None:
        return if_unseen
    if not seen.is_file:
        tasks.set_irregular_aside(path)
        return False
    if seen.links > 1:
        _remove_under_mutex(tasks, task)
        if _links(tasks, path) != 1:
            return False
    elif if_unseen:
        return True
    return tasks.files.listed(path)  # after the link count: a look may show a name that another peer just removed


def _remove_under_mutex(tasks: Tasks, task: str) -> None:
    with tasks.root.intake():
        remove_duplicates_of(tasks, task)


def remove_duplicates_of(tasks: Tasks, task: str) -> list[str]:
    """Remove the lower names of a ticket that has several; return them. The caller holds the intake mutex.

    A name that was once seen to be lower may be removed however late, because every move of a ticket raises it in that
    order. Only reopening a done task lowers it, and that is done under this mutex.
    """
    found = tasks.locations(tasks.list_or_empty)
    names = [seen for seen in found if seen.task == task and _is_double(tasks, seen.path)]
    return _remove(tasks, [low.path for low in placement.lower_names(names)], task=task)


def remove_duplicates(tasks: Tasks) -> None:
    """Remove the lower names of every ticket that has two, also the leader's. What fails is tried the next time."""
    directories = tasks.ticket_directories(tasks.list_or_empty)
    others = [found for found in directories if found[1] != "done"]  # a second name always lies in one of these
    seen = (location for found in others for location in tasks.tickets_in(*found, tasks.list_or_empty))
    for task in {location.task for location in seen if _is_double(tasks, location.path)}:
        tasks.attempt(_remove_under_mutex, tasks, task)
    tasks.attempt(remove_leader_duplicates, tasks)


def remove_leader_duplicates(tasks: Tasks) -> None:
    """Remove the lower names of the leader's ticket."""
    homes = (paths.LEADER, *tasks.homes_or_none())
    found = [f"{home}/{name}" for home in homes for name in tasks.list_or_empty(home)]
    lower = placement.lower_leader_names(path for path in found if "/leader~" in path and _is_double(tasks, path))
    if lower:
        with tasks.root.intake():
            _remove(tasks, lower)


def _remove(tasks: Tasks, lower: list[str], **facts: str) -> list[str]:
    """Remove lower names, each after another look at its link count; return those that are gone."""
    removed = [path for path in lower if _links(tasks, path) > 1 and tasks.files.remove(path)]
    for path in removed:
        tasks.root.event(tasks.actor, "parted", **facts, removed=path)
    return removed


def _links(tasks: Tasks, path: str) -> int:
    """The number of names of the regular file at a path; 0 if there is none."""
    seen = tasks.files.stat(path)
    return seen.links if seen and seen.is_file else 0


def _is_double(tasks: Tasks, path: str) -> bool:
    """Whether a ticket is seen to have two names. A ticket that cannot be looked at does not stop the others."""
    with suppress(StorageError):
        return _links(tasks, path) > 1
    return False
