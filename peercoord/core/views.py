"""The two views, ``state.json`` and ``task_queue.json``, as folds of what was read. In the mission's schemas.

A view is never truth: nothing reads it to decide anything, and deleting or corrupting one loses nothing.
"""

from __future__ import annotations

from peercoord.core import ids, liveness, names, records
from peercoord.core.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peercoord.core.records import Definition, Json
    from peercoord.core.tickets import Sighting

PEER_STATUS = {
    liveness.ALIVE: "active",
    liveness.UNKNOWN: "active",
    liveness.SUSPECT: "suspect",
    liveness.DEAD: "dead",
}


class Row:
    """One task as it stands.

    Attributes:
        task: Task id.
        definition: What it is; ``None`` if that could not be read.
        sighting: Where its ticket lies; ``None`` if it was not seen.
        holder: Name of the peer that holds it; empty if none does.
        entry: What the holder last reported of this very claim; of a task that is done, when: ``updated_at``.
        assignment: The assignment record of the claim; of a task that is done, what its result keeps of it.
        finished_by: Name of the peer that completed it; empty if none did.
    """

    __slots__ = ("assignment", "definition", "entry", "finished_by", "holder", "sighting", "task")

    def __init__(
        self,
        task: str,
        definition: Definition | None,
        sighting: Sighting | None,
        *,
        holder: str = "",
        entry: Json | None = None,
        assignment: Json | None = None,
        finished_by: str = "",
    ) -> None:
        self.task, self.definition, self.sighting = task, definition, sighting
        self.holder, self.entry, self.assignment = holder, entry or {}, assignment or {}
        self.finished_by = finished_by

    @property
    def status(self) -> str:
        """``ready``, ``waiting``, ``in-progress``, ``done``, ``adding``, ``missing``, or why it is parked."""
        if self.sighting is None:
            return "missing"
        words = {"claimed": "in-progress", "new": "adding", "departed": "returning", "parked": self.sighting.detail}
        return words.get(self.sighting.state, self.sighting.state)

    @property
    def title(self) -> str:
        """One line that names the task."""
        return self.definition.title if self.definition else "(its definition cannot be read)"

    @property
    def progress(self) -> float:
        """0 … 1: 1 if done, what its holder reports while it is held, else the steps that were done before."""
        if self.status == "done":
            return 1.0
        try:
            if self.holder and "progress" in self.entry:
                return records.fraction(self.entry["progress"])
        except UsageError:
            return 0.0
        return (records.steps_progress(self.definition, ()) if self.definition else None) or 0.0

    @property
    def epoch(self) -> int | None:
        """The ticket's, or that at which the task was completed; ``None`` if the ticket was not seen."""
        known = self.assignment.get("epoch")
        return known if isinstance(known, int) else self.sighting.epoch if self.sighting else None

    @property
    def waits_for(self) -> list[str]:
        """The dependency it waits for; empty if it waits for none."""
        return [self.sighting.detail] if self.sighting and self.sighting.state == "waiting" else []


class Seat:
    """One living peer as it stands.

    Attributes:
        peer: Its name.
        incarnation: Its directory's name.
        record: Its ``peer.json``; empty if it cannot be read.
        heartbeat: When its heartbeat last moved, RFC 3339; empty if it never did.
        leads: It holds the leader's ticket.
        verdict: What it is judged to be.
    """

    __slots__ = ("heartbeat", "incarnation", "leads", "peer", "record", "verdict")

    def __init__(
        self, peer: str, incarnation: str, record: Json, heartbeat: str, leads: bool, verdict: liveness.Verdict
    ) -> None:
        self.peer, self.incarnation, self.record = peer, incarnation, record
        self.heartbeat, self.leads, self.verdict = heartbeat, leads, verdict


class Board:
    """All that is shown, at one moment.

    Attributes:
        project: The project's name.
        created: When it was set up.
        now: The moment, RFC 3339.
        rows: Every task, in order.
        seats: Every living peer, in order.
        memory: Counts of memory contributions by state: ``queued``, ``candidates``, ``approvals``; ``last_merge``.
        quarantined: How many files were set aside.
    """

    def __init__(
        self,
        project: str,
        created: str,
        now: str,
        rows: Sequence[Row],
        seats: Sequence[Seat],
        memory: Json,
        quarantined: int = 0,
    ) -> None:
        self.project, self.created, self.now = project, created, now
        self.rows, self.seats, self.memory, self.quarantined = rows, seats, memory, quarantined

    @property
    def leader(self) -> str:
        """Name of the peer that leads; empty if none does."""
        return next((seat.peer for seat in self.seats if seat.leads), "")

    def held_by(self, incarnation: str) -> list[Row]:
        """The tasks that an incarnation holds."""
        return [
            row
            for row in self.rows
            if row.status == "in-progress" and row.sighting and row.sighting.detail == incarnation
        ]

    def count(self, *statuses: str) -> int:
        """How many tasks stand like that."""
        return sum(row.status in statuses for row in self.rows)


def summary(rows: Iterable[Row]) -> Json:
    """Give the summary figures.

    ``in_progress`` is held now; ``assigned`` is held now or finished by an instance; ``overall_progress`` is the mean
    progress of all tasks not cancelled.
    """
    rows = list(rows)
    counted = [row for row in rows if row.status != "cancelled"]
    held = sum(row.status == "in-progress" for row in rows)
    mean = sum(row.progress for row in counted) / len(counted) if counted else 0.0
    return {
        "total_tasks": len(rows),
        "assigned": held + sum(bool(row.finished_by) for row in rows),
        "in_progress": held,
        "completed": sum(row.status == "done" for row in rows),
        "overall_progress": round(mean, 4),
        "ready": sum(row.status == "ready" for row in rows),
        "waiting": sum(row.status == "waiting" for row in rows),
        "parked": sum(row.status in names.PARKED_WHY for row in rows),
    }


def state(board: Board) -> Json:
    """Give ``state.json``: the mission's coordination state, and more keys beside them."""
    return {
        "schema_version": records.SCHEMA_VERSION,
        "created": board.created,
        "updated_at": board.now,
        "project": board.project,
        "leader": board.leader,
        "instances": len(board.seats),
        "active_instances": [
            {
                "id": seat.peer,
                "worktree_path": str(seat.record.get("worktree", "")),
                "status": PEER_STATUS[seat.verdict.state],
                "assigned_tasks": [ids.public(row.task) for row in board.held_by(seat.incarnation)],
                "last_heartbeat": seat.heartbeat,
                "incarnation": seat.incarnation,
                "branch": str(seat.record.get("branch", "")),
                "because": seat.verdict.because,
            }
            for seat in board.seats
        ],
        "task_assignments": {
            row.task: {
                "assigned_to": row.holder or row.finished_by,
                "status": row.status,
                "progress": row.progress,
                "last_update": str(row.entry.get("updated_at") or row.assignment.get("assigned_at", "")),
            }
            for row in board.rows
            if row.holder or row.finished_by
        },
        "progress_summary": summary(board.rows),
        "memory": board.memory,
        "quarantined": board.quarantined,
    }


def task_queue(board: Board) -> Json:
    """Give ``task_queue.json``: every task as the mission's task assignment, and more keys beside them."""
    done = {row.task for row in board.rows if row.status == "done"}
    return {
        "schema_version": records.SCHEMA_VERSION,
        "updated_at": board.now,
        "tasks": [
            {
                "task_id": ids.public(row.task),
                "title": row.title,
                "assigned_to": row.holder or row.finished_by or None,
                "status": row.status,
                "assigned_at": row.assignment.get("assigned_at"),
                "dependencies_satisfied": _satisfied(row, done),
                "priority": names.PRIORITIES[row.definition.level] if row.definition else None,
                "dependencies": [ids.public(d) for d in row.definition.dependencies] if row.definition else [],
                "waits_for": [ids.public(d) for d in row.waits_for],
                "progress": row.progress,
                "epoch": row.epoch,
            }
            for row in board.rows
        ],
    }


def _satisfied(row: Row, done: set[str]) -> bool:
    known = row.definition is not None and done.issuperset(row.definition.dependencies)
    return row.status in ("ready", "in-progress", "done") or known
