"""One ticket under two names: what a rename leaves that was cut short by the crash of a machine, where that can be.

Promises: the ticket is not lost, and nobody works on a task whose ticket may still be taken under another name. The two
names are links of one file, for nobody ever makes a hard link of a ticket; so a link count above 1 tells, and it is
asked of the file that was just renamed, not of a listing.

The crash that shaped this: a machine dies in the middle of a claim and leaves the ticket both ready and claimed.
Another peer claims what is ready, at the same epoch; the machine comes back and finds its claim.
"""

from __future__ import annotations

from contextlib import suppress

from peercoord.core import names, tickets
from peercoord.core.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.roles.queue import Queue


def alone(queue: Queue, path: str, task: str, *, unseen: bool = False) -> bool:
    """Tell whether a ticket has this one name; if it has two, remove the lower one first.

    Args:
        queue: The tasks.
        path: A name under which the ticket was seen.
        task: Whose ticket it is.
        unseen: What to say of a ticket that a listing shows and a look does not, for a look may be old: whoever wants
            to hold it must know, whoever only carries it on need not.

    Returns:
        ``False`` if it has another name still, or this one is gone.
    """
    links = _links(queue, path)
    if links < 2:
        return links == 1 or unseen
    with queue.root.intake():
        part(queue, task)
    return _links(queue, path) == 1 and queue.files.listed(path)  # in this order: a look may show what was just removed


def part(queue: Queue, task: str) -> list[str]:
    """Remove the lower names of a ticket that has several. The caller holds the intake mutex.

    A name that was once seen to be the lower one may be removed however late, for every move of a ticket raises it in
    that order; only reopening a done task lowers it, and that is done under this mutex.

    Returns:
        What was removed.
    """
    twins = [seen for seen in queue.sightings(queue.found) if seen.task == task and _doubled(queue, seen.path)]
    gone = _removed(queue, [low.path for low in tickets.surplus(twins)])
    for path in gone:
        queue.root.event(queue.actor, "parted", task=task, removed=path)
    return gone


def part_all(queue: Queue) -> None:
    """Part every ticket that has two names, and the leader's; what cannot be seen or removed now, the next time."""
    found = queue.sightings(queue.found)
    for task in {seen.task for seen in found if seen.state != "done" and _doubled(queue, seen.path)}:
        queue.tried(_part_one, queue, task)
    queue.tried(part_leader, queue)


def _part_one(queue: Queue, task: str) -> None:
    with queue.root.intake():
        part(queue, task)


def part_leader(queue: Queue) -> None:
    """Remove the lower names of the leader's ticket, as those of a task's."""
    homes = [f"{base}/{name}" for base in (names.PEERS, names.DEPARTED) for name in queue.found(base)]
    paths = [f"{home}/{name}" for home in (names.LEADER, *homes) for name in queue.found(home)]
    lower = tickets.leader_surplus(path for path in paths if "/leader~" in path and _doubled(queue, path))
    if lower:
        with queue.root.intake():
            for path in _removed(queue, lower):
                queue.root.event(queue.actor, "parted", removed=path)


def _removed(queue: Queue, lower: list[str]) -> list[str]:
    """Remove lower names of a ticket, each after another look at its link count; give those that are gone by it."""
    return [path for path in lower if _links(queue, path) > 1 and queue.files.remove(path)]


def _links(queue: Queue, path: str) -> int:
    """Count the names of the file at a path; 0 if there is none."""
    seen = queue.files.stat(path)
    return seen.links if seen else 0


def _doubled(queue: Queue, path: str) -> bool:
    """Tell whether a ticket is seen to have two names. One that cannot be looked at must not hold up the others."""
    with suppress(StorageError):
        return _links(queue, path) > 1
    return False
