"""What lands, in which order, and what has to wait: decided from values alone.

What lands is a commit that was recorded when a task was done. A commit brings all that it contains, so commits that it
contains land first. A task lands after the tasks that it depends on, or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from peercoord.store import ids

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

CONFLICT, FAILED, REFUSED, WAITS, STOPPED = "conflict", "check-failed", "refused", "waits", "not-tried"
LANDED, HERE = "landed", "already-there"
FAILS_WITHOUT = "the check fails without it too"


@dataclass(frozen=True, slots=True)
class Work:
    """One recorded commit, with the tasks that were done with it."""

    tasks: tuple[str, ...]  # their ids, in natural order
    title: str  # the title of the first
    peer: str  # the instance that did them
    branch: str  # its branch when they were done; empty if it was on none
    commit: str
    dependencies: frozenset[str] = frozenset()  # ids of the tasks that these depend on, without themselves
    inside: frozenset[str] = frozenset()  # the commits of other works that this one contains
    at: str = ""  # when the first was done; for the order alone
    empty: frozenset[str] = frozenset()  # those of the tasks for which nothing was committed


@dataclass(slots=True)
class Step:
    """What became of one work."""

    work: Work
    state: str  # ``LANDED``, ``HERE``, ``CONFLICT``, ``FAILED``, ``REFUSED``, ``WAITS`` or ``STOPPED``
    detail: str = ""  # how it is there already, or why it does not land; for people
    commit: str = ""  # the merge commit, or the commit itself where nothing had to be merged; empty if it did not land
    files: list[str] = field(default_factory=list)  # the files in conflict
    notes: list[str] = field(default_factory=list)  # what else a person should know of it
    output: list[str] = field(default_factory=list)  # the last lines that a failed check wrote


def grouped(works: Iterable[Work]) -> list[Work]:
    """Make one work of those with the same commit."""
    found: dict[str, Work] = {}
    for work in sorted(works, key=_age):
        known = found.get(work.commit)
        if known:
            tasks = tuple(sorted({*known.tasks, *work.tasks}, key=ids.natural))
            needs = (known.dependencies | work.dependencies) - set(tasks)
            work = replace(known, tasks=tasks, dependencies=needs, empty=known.empty | work.empty)
        found[work.commit] = work
    return list(found.values())


def ordered(works: Sequence[Work]) -> list[Work]:
    """Order works: what a commit contains before it, then dependencies, then the time when they were done.

    Where a dependency contradicts the history (a dependency that was done again later), the history counts.
    """
    commits = {work.commit for work in works}
    owner = {task: work.commit for work in works for task in work.tasks}
    left, placed, found = sorted(works, key=_age), set[str](), list[Work]()
    while left:
        free = [work for work in left if work.inside & commits <= placed]
        wanted = [work for work in free if all(owner.get(task, "") in {"", *placed} for task in work.dependencies)]
        chosen = (wanted or free or left)[0]
        left.remove(chosen)
        placed.add(chosen.commit)
        found.append(chosen)
    return found


def missing(work: Work, works: Iterable[Work], open_tasks: Collection[str], refused: Mapping[str, str]) -> str:
    """Return the task for which a work has to wait; empty if it can land.

    ``open_tasks`` are those whose work is not on the branch. A dependency that was done again later, on top of this
    work, is not waited for. ``refused`` has the commits that do not land, each with its first task: what contains one
    does not land either.
    """
    inside = next((task for commit, task in refused.items() if commit in work.inside), "")
    later = {task for other in containing(work, works) for task in other.tasks}
    waits = [task for task in sorted(work.dependencies, key=ids.natural) if task in open_tasks and task not in later]
    return inside or next(iter(waits), "")


def containing(work: Work, works: Iterable[Work]) -> list[Work]:
    """List the works that contain a work, in their order: where it cannot be merged, one of them may be."""
    return [other for other in works if work.commit in other.inside]


def _age(work: Work) -> tuple[str, tuple[object, ...]]:
    return work.at, tuple(ids.natural(work.tasks[0]))
