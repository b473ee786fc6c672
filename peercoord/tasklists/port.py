"""What a sync needs of another program's list of tasks: a snapshot, and one update that is all or nothing.

Three lists implement it: a TaskMaster database (``sql_store``), a ``tasks.json`` (``tasks_json``), and one in memory
for tests. Beside its tasks a list remembers what both sides last agreed on, and the highest term of a leader.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from peercoord.errors import LostError
from peercoord.foreign import shown
from peercoord.tasklists.reconcile import TWICE

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.tasklists.imported import Imported, Origin, Reading

Agreed = Mapping[str, tuple[str, str]]
"""For each task, the stored form of our version and the digest of its row, as both last agreed."""
Refused = list[tuple[str, str]]
"""What could not be done, and why."""


@dataclass(slots=True)
class RowUpdate:
    """What to write for one task: into the list, and into what it remembers of the task."""

    task: str  # task id
    ours: Json  # the values that were compared
    outgoing: Json  # fields to write, with their values
    version: str  # stored form of our version; empty: the next sync compares the task again
    base: Callable[[Json], Json]  # returns what to remember, given the values that the row holds after the write
    new: bool = False  # the list has no row for the task yet


Bases = Callable[[Sequence[str]], tuple[Mapping[str, "Json"], set[str]]]
"""Reads what both sides last agreed on for some tasks, and which of these another leader has updated since."""
Memo = dict[str, tuple[str, "Json | None"]]
"""The values of rows by task, each with the digest of its row, kept from one snapshot to the next."""


class ListSnapshot(ABC):
    """A list at one moment. Parts that are not asked for are not read."""

    entry = "row"  # what the list calls a row

    def __init__(self, term: int, agreed: Agreed, origin: Origin, bases: Bases, memo: Memo) -> None:
        self.term = term  # the highest term under which a leader wrote; -1 if none did
        self.agreed = agreed  # what both sides last agreed on
        self.origin = origin  # where tasks that are imported from here come from
        self.digests: dict[str, str] = {}  # of each task's row; ``reconcile.TWICE`` if two rows have its id
        self.has_rows_without_id = False  # some row has no id, and so no digest
        self.overtaken: set[str] = set()  # the tasks that another leader has agreed on since, filled by ``bases``
        self._bases, self._memo = bases, memo  # the latter is kept by the list from one snapshot to the next

    @abstractmethod
    def _read(self) -> Reading:
        """Return all rows as an import would."""

    @abstractmethod
    def _values(self, task: str) -> Json | None:
        """Return the values of a task's one row; ``None`` if it cannot be a task."""

    @cached_property
    def reading(self) -> Reading:
        """All rows as an import would have them."""
        return self._read()

    def bases(self, tasks: Sequence[str]) -> Mapping[str, Json]:
        """Return what both sides last agreed on for these tasks, as ``reconcile.agreed`` made it."""
        found, self.overtaken = self._bases(tasks)
        return found

    def row(self, task: str) -> Json | None:
        """Return the values of a task's row; ``None`` if it cannot be a task, or two rows have its id."""
        digest = self.digests.get(task, TWICE)
        if digest == TWICE:
            return None
        known = self._memo.get(task)
        if known is None or known[0] != digest:
            known = self._memo[task] = (digest, self._values(task))
        return known[1]

    def incoming(self, tasks: Sequence[str]) -> Sequence[Imported]:
        """Return these tasks as they are to be imported."""
        wanted = set(tasks)
        return [task for task in self.reading.tasks if task.definition.task in wanted]

    def refused(self) -> Sequence[tuple[str, str]]:
        """Return the rows that cannot be tasks, and why."""
        return self.reading.refused

    def twice(self) -> Sequence[tuple[str, str]]:
        """Return the ids that more than one row has, with what to do."""
        why = f"two {self.entry}s have this id; neither is kept in step until one of them has another id"
        return [(f"task {shown(task)}", why) for task, digest in self.digests.items() if digest == TWICE]

    def is_source(self, source: Json) -> bool:
        """Check whether a task with this ``source`` was imported from here."""
        is_here = source.get("path") in (self.origin.noted, str(self.origin.path))
        return is_here and source.get("kind") == self.origin.kind

    def is_beside(self, source: Json) -> bool:
        """Check whether a task with this ``source`` was imported from another list in the same file."""
        has_tags = self.origin.tag is not None and "tag" in source
        return has_tags and self.is_source(source) and source["tag"] != self.origin.tag


class TaskList(Protocol):
    """Another program's list of tasks."""

    @property
    def name(self) -> str:
        """Its name in messages; never with a password."""

    @property
    def noted(self) -> str:
        """Its name in records, which move with the project."""

    def snapshot(self) -> ListSnapshot:
        """Read what the list holds, changing nothing.

        Raises:
            PeercoordError: It cannot be read or understood now.
        """

    def update(self, term: int, work: Callable[[ListSnapshot], Sequence[RowUpdate]]) -> Refused:
        """Change it in one transaction and remember what was agreed on.

        Args:
            term: The leader's term; checked and stored before anything is written.
            work: Returns what to write, given a snapshot inside the transaction.

        Returns:
            The rows that were refused, and why.

        Raises:
            LostError: The term is over; nothing was changed.
            PeercoordError: It cannot be written now; nothing was changed.
        """


def stale_term(term: int, where: str, why: str) -> LostError:
    """Return the error of a leader whose term is over."""
    return LostError(
        f"term {term} is over, so nothing was changed in {where}: {why}",
        hint="the current leader will sync; see who that is: claude-coordination-status",
        code="stale-term",
    )
