"""The board as values, and the two views of it: ``state.json`` and ``task_queue.json``.

A view is never the truth: no decision reads it, and deleting or corrupting one loses nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from peercoord.errors import UsageError
from peercoord.foreign import whole
from peercoord.membership import liveness
from peercoord.store import ids, paths, records

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from peercoord.foreign import Json
    from peercoord.queue.placement import Location
    from peercoord.store.records import Definition

PEER_STATUS = {
    liveness.ALIVE: "active",
    liveness.UNKNOWN: "active",
    liveness.SUSPECT: "suspect",
    liveness.DEAD: "dead",
}


@dataclass(frozen=True)
class Row:
    """One task as it is now.

    Attributes:
        task: Task id.
        definition: What it is; ``None`` if that could not be read.
        location: Where its ticket lies; ``None`` if it was not seen.
        holder: Name of the peer that holds it; empty if none does.
        entry: What the holder last reported of this claim; of a done task, when it was completed: ``updated_at``.
        assignment: The assignment record of the claim; of a done task, what its result keeps of it.
        finished_by: Name of the peer that completed it; empty if none did.
        behind: Of a task blocked by a dependency: that task and its state, ``cancelled`` or ``unknown``.
        last: How its last attempt ended, if it failed or its holder was lost: ``peer``, ``at``, ``reason``.
    """

    task: str
    definition: Definition | None
    location: Location | None
    _: KW_ONLY
    holder: str = ""
    entry: Json = field(default_factory=dict)
    assignment: Json = field(default_factory=dict)
    finished_by: str = ""
    behind: tuple[str, str] = ("", "")
    last: Json = field(default_factory=dict)

    @property
    def status(self) -> str:
        """``ready``, ``waiting``, ``in-progress``, ``done``, ``adding``, ``missing``, or why it is parked."""
        if self.location is None:
            return "missing"
        words = {"claimed": "in-progress", "new": "adding", "departed": "returning", "parked": self.location.detail}
        return words.get(self.location.state, self.location.state)

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
        """The epoch of its assignment if known, else of its ticket; ``None`` if neither was seen."""
        known = whole(self.assignment.get("epoch"))
        return known if known is not None else self.location.epoch if self.location else None

    @property
    def waits_for(self) -> list[str]:
        """The dependency it waits for; empty if it waits for none."""
        return [self.location.detail] if self.location and self.location.state == "waiting" else []


RUNS, ENDED, NONE, UNSEEN = "runs", "ended", "none", "unseen"
"""The state of a peer's coding session: it runs, has ended, none is known, or it cannot be seen from here."""


@dataclass(frozen=True)
class PeerView:
    """One peer as it is now: alive, or evicted and not back yet.

    Attributes:
        name: Its name.
        incarnation: Its directory's name.
        record: Its ``peer.json``; empty if it cannot be read.
        heartbeat: When its heartbeat last moved, RFC 3339; empty if it never did.
        leads: It holds the leader's ticket.
        verdict: Whether it is judged to be alive.
        session: The state of its coding session, one of ``RUNS``, ``ENDED``, ``NONE``, ``UNSEEN``.
        stopped: The pid of one of its processes that is stopped by a signal; 0 if none is.
        homeless: Its worktree is gone.
        waits: A caller there waits for a task right now.
        active: When it last showed work, RFC 3339; empty if it never did.
        gone: When it was evicted, RFC 3339; empty while it is a peer.
        last: The task that it finished last, if it has claimed none since.
        said: What its coding session said of itself; empty if none did, or another one runs by now.
    """

    name: str
    incarnation: str
    record: Json
    heartbeat: str
    leads: bool
    verdict: liveness.Verdict
    _: KW_ONLY
    session: str = UNSEEN
    stopped: int = 0
    homeless: bool = False
    waits: bool = False
    active: str = ""
    gone: str = ""
    last: Row | None = None
    said: Json = field(default_factory=dict)

    @property
    def branch(self) -> str:
        """The branch of its worktree, as it was recorded; empty if none was."""
        return str(self.record.get("branch") or "")


@dataclass(frozen=True)
class Board:
    """All that is shown, at one moment.

    Attributes:
        project: The project's name.
        created: When it was set up.
        now: The moment, RFC 3339.
        rows: Every task, in order.
        peers: Every living peer, in order.
        memory: Counts of memory contributions by state: ``queued``, ``candidates``, ``approvals``; ``last_merge``.
        quarantined: Number of files that were set aside.
        lost: Every peer that was evicted and has not come back, in order.
        deciding: The records of changes of the memory bank that wait for a person.
        synced: How the last sync with another list went, ``sync.json``; empty if there was none.
        counted: Of a board in brief, the number of further tasks that are not among the rows, by state.
        counted_progress: The sum of the progress of those that are not done.
    """

    project: str
    created: str
    now: str
    rows: Sequence[Row]
    peers: Sequence[PeerView]
    memory: Json
    quarantined: int = 0
    _: KW_ONLY
    lost: Sequence[PeerView] = ()
    deciding: Sequence[Json] = ()
    synced: Json = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)
    counted_progress: float = 0.0

    @property
    def leader(self) -> str:
        """Name of the peer that leads; empty if none does."""
        return next((peer.name for peer in self.peers if peer.leads), "")

    @cached_property
    def by_status(self) -> dict[str, list[Row]]:
        """The tasks in each state that there is, in order."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.status, []).append(row)
        return found

    @cached_property
    def by_task(self) -> dict[str, Row]:
        """Each task by its id."""
        return {row.task: row for row in self.rows}

    def waits_for(self, row: Row) -> list[str]:
        """Return what a waiting task waits for: the dependency that its ticket names, then the others not done."""
        needed = row.definition.dependencies if row.waits_for and row.definition else []
        others = (self.by_task.get(task) for task in needed if task not in row.waits_for)
        return row.waits_for + [other.task for other in others if other and other.status != "done"]

    @cached_property
    def lost_rows(self) -> list[Row]:
        """The tasks whose last holder was lost, and that no peer has claimed since."""
        free = (row for row in self.rows if row.last and not row.holder and row.status != "done")
        return [row for row in free if row.last.get("lost")]

    def held_by(self, incarnation: str) -> list[Row]:
        """The tasks that an incarnation holds."""
        held = self.by_status.get("in-progress", ())
        return [row for row in held if row.location and row.location.detail == incarnation]

    def count(self, *statuses: str) -> int:
        """The number of tasks in one of these states."""
        return sum(len(self.by_status.get(status, ())) + self.counted.get(status, 0) for status in statuses)

    @property
    def total(self) -> int:
        """The number of all tasks."""
        return len(self.rows) + sum(self.counted.values())

    @cached_property
    def progress(self) -> float:
        """The mean progress of all tasks not cancelled, 0 … 1; 1 only if these are all done."""
        done = sum(row.progress for row in self.rows if row.status != "cancelled")
        return _mean(done + self.counted.get("done", 0) + self.counted_progress, self.wanted, self.finished)

    @property
    def wanted(self) -> int:
        """The number of tasks that count: all but the cancelled."""
        return self.total - self.count("cancelled")

    @property
    def finished(self) -> bool:
        """Whether there are tasks that are not cancelled, and all of them are done."""
        return 0 < self.wanted == self.count("done")


def summary(rows: Iterable[Row]) -> Json:
    """Summarise the tasks in figures.

    ``in_progress`` is held now; ``assigned`` is held now or finished by an instance; ``overall_progress`` is the mean
    progress of all tasks not cancelled, and 1 only if these are all done. ``total_tasks`` and ``parked`` count the
    cancelled ones too, which ``cancelled`` counts alone.
    """
    counts, finished_by, progress = Counter[str](), 0, 0.0
    for row in rows:
        status = row.status
        counts[status] += 1
        finished_by += bool(row.finished_by)
        progress += row.progress if status != "cancelled" else 0
    wanted = counts.total() - counts["cancelled"]
    return {
        "total_tasks": counts.total(),
        "assigned": counts["in-progress"] + finished_by,
        "in_progress": counts["in-progress"],
        "completed": counts["done"],
        "overall_progress": _mean(progress, wanted, wanted == counts["done"]),
        "ready": counts["ready"],
        "waiting": counts["waiting"],
        "parked": sum(counts[why] for why in paths.PARKED_WHY),
        "cancelled": counts["cancelled"],
    }


def _mean(progress: float, wanted: int, finished: bool) -> float:
    mean = round(progress / wanted, 4) if wanted else 0.0
    return mean if finished else min(mean, 0.9999)


def state(board: Board) -> Json:
    """Return ``state.json``: the mission's coordination state and more keys."""
    return {
        "schema_version": records.SCHEMA_VERSION,
        "created": board.created,
        "updated_at": board.now,
        "project": board.project,
        "leader": board.leader,
        "instances": len(board.peers),
        "active_instances": [
            {
                "id": peer.name,
                "worktree_path": str(peer.record.get("worktree", "")),
                "status": PEER_STATUS[peer.verdict.state],
                "assigned_tasks": [ids.public(row.task) for row in board.held_by(peer.incarnation)],
                "last_heartbeat": peer.heartbeat,
                "incarnation": peer.incarnation,
                "branch": str(peer.record.get("branch", "")),
                "because": peer.verdict.because,
                **({"session": session(peer)} if peer.said else {}),
            }
            for peer in board.peers
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


def session(peer: PeerView) -> Json:
    """What the coding session of a peer said of itself, for programs."""
    return {key: peer.said[key] for key in ("agent", "state", "since", "why", "until") if key in peer.said}


def task_queue(board: Board) -> Json:
    """Return ``task_queue.json``: every task as the mission's task assignment, with more keys."""
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
                "priority": paths.PRIORITIES[row.definition.level] if row.definition else None,
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
