"""What a sync needs of another program's list of tasks: a snapshot, and one update that is all or nothing.

Three lists implement it: a TaskMaster database (``sql_store``), a ``tasks.json`` (``tasks_json``), and one in memory
for tests. Beside its tasks a list remembers what both sides last agreed on, and the highest term of a leader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.tasklists.imported import Imported

Agreed = Mapping[str, tuple[str, str]]
"""For each task, the stored form of our version and the digest of its row, as both last agreed."""
Refused = list[tuple[str, str]]
"""What could not be done, and why."""


@dataclass(slots=True)
class RowUpdate:
    """What to write for one task: into the list, and into what it remembers of the task.

    Attributes:
        task: Task id.
        ours: The values that were compared.
        outgoing: Fields to write, with their values.
        version: Stored form of our version; empty: the next sync compares the task again.
        base: Returns what to remember, given the values that the row holds after the write.
        new: The list has no row for the task yet.
    """

    task: str
    ours: Json
    outgoing: Json
    version: str
    base: Callable[[Json], Json]
    new: bool = False


class ListSnapshot(Protocol):
    """A list at one moment. Parts that are not asked for are not read."""

    @property
    def term(self) -> int:
        """The highest term under which a leader wrote; -1 if none did."""

    @property
    def digests(self) -> Mapping[str, str]:
        """A digest of each task's row; ``reconcile.TWICE`` if two rows have its id."""

    @property
    def agreed(self) -> Agreed:
        """What both sides last agreed on."""

    @property
    def has_rows_without_id(self) -> bool:
        """Some row has no id, and so no digest."""

    @property
    def overtaken(self) -> set[str]:
        """The tasks that another leader has agreed on since, filled by ``bases``."""

    def bases(self, tasks: Sequence[str]) -> Mapping[str, Json]:
        """Return what both sides last agreed on for these tasks, as ``reconcile.agreed`` made it."""

    def row(self, task: str) -> Json | None:
        """Return the values of a task's row; ``None`` if it cannot be a task, or two rows have its id."""

    def incoming(self, tasks: Sequence[str]) -> Sequence[Imported]:
        """Return these tasks as they are to be imported."""

    def refused(self) -> Sequence[tuple[str, str]]:
        """Return the rows that cannot be tasks, and why."""

    def twice(self) -> Sequence[tuple[str, str]]:
        """Return the ids that more than one row has."""

    def is_source(self, source: Json) -> bool:
        """Check whether a task with this ``source`` was imported from here."""

    def is_beside(self, source: Json) -> bool:
        """Check whether a task with this ``source`` was imported from another list in the same file."""


class TaskList(Protocol):
    """Another program's list of tasks."""

    @property
    def name(self) -> str:
        """Its name in messages; never with a password."""

    @property
    def noted(self) -> str:
        """Its name in records, which move with the project."""

    def snapshot(self) -> ListSnapshot:
        """Read what it holds, changing nothing.

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
