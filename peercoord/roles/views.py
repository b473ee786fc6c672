"""Reading the whole board: every task, every peer, as they stand. For the views, and for every status command.

Status commands read the tickets themselves and never depend on a view being fresh, or on anyone leading. A reader
that is kept (the leader's) reads no definition twice that did not change.
"""

from __future__ import annotations

import time

from peercoord.core import ids, names, records, views
from peercoord.core.errors import BrokenFileError, NotFoundError
from peercoord.roles import membership as members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.core.liveness import Verdict
    from peercoord.core.names import Incarnation
    from peercoord.core.records import Definition, Json
    from peercoord.core.tickets import Sighting
    from peercoord.core.views import Board, Row, Seat
    from peercoord.roles.queue import Queue

    End = tuple[str, str, str]  # who completed a task, when it was claimed, when completed


class Reader:
    """Reads the board of one coordination directory.

    Args:
        queue: The tasks.
        judge: Gives a verdict on an incarnation.
    """

    def __init__(self, queue: Queue, judge: Callable[[Incarnation], Verdict]) -> None:
        self.queue = queue
        self.root = queue.root
        self.files = queue.files
        self.judge = judge
        self._known: dict[str, tuple[tuple[int, int], Definition]] = {}
        self._ends: dict[str, End] = {}  # by the path of a result, which never changes

    def board(self) -> Board:
        """Read everything, once."""
        peers = members.living(self.root)
        reports = {peer.peer: self._report(peer.peer) for peer in peers}
        finished = self._finished()
        states = self.queue.survey()
        rows = [
            self._row(task, states.get(task), reports, finished.get(task))
            for task in sorted(self.queue.all_tasks(), key=ids.natural)
        ]
        return views.Board(
            str(self.root.protocol.get("project", "")),
            str(self.root.protocol.get("created", "")),
            self.root.clock.now(),
            rows,
            [self._seat(peer) for peer in peers],
            self._memory(),
            sum(not name.endswith(".why") for name in self.files.scan(names.QUARANTINE)),
        )

    def forget(self) -> None:
        """Let go of what was read; the next reading takes longer."""
        self._known.clear()
        self._ends.clear()

    def publish(self) -> Board:
        """Read everything and put the two views in their places."""
        board = self.board()
        self.files.put(names.TASK_QUEUE, records.encode(views.task_queue(board)))
        self.files.put(names.STATE, records.encode(views.state(board)))
        return board

    # -- parts -----------------------------------------------------------------------------------------------

    def _row(self, task: str, sighting: Sighting | None, reports: dict[str, Json], end: tuple[int, End] | None) -> Row:
        holder = names.parse_incarnation(sighting.detail) if sighting and sighting.state == "claimed" else None
        if sighting is None or holder is None:
            if end is None or sighting is None or sighting.state != "done":
                return views.Row(task, self._definition(task), sighting)
            epoch, (peer, claimed, completed) = end
            return views.Row(
                task,
                self._definition(task),
                sighting,
                entry={"updated_at": completed},
                assignment={"assigned_at": claimed or None, "epoch": epoch},
                finished_by=peer,
            )
        ticket = names.Ticket(task, sighting.epoch)
        entry = reports.get(holder.peer, {}).get(task, {})
        assignment = self._record(names.assignment(names.peer_dir(holder), ticket))
        return views.Row(
            task,
            self._definition(task),
            sighting,
            holder=holder.peer,
            entry=entry if entry.get("epoch") == sighting.epoch else {},
            assignment=assignment,
        )

    def _definition(self, task: str) -> Definition | None:
        path = names.definition(task)
        seen = self.files.stat(path)
        mark = (seen.modified_ns, seen.size) if seen else (0, 0)
        known = self._known.get(task)
        if known and seen and known[0] == mark:
            return known[1]
        try:
            definition = self.queue.definition(task)
        except (BrokenFileError, NotFoundError):
            self._known.pop(task, None)
            return None
        definition = _slim(definition)
        self._known[task] = (mark, definition)
        return definition

    def _report(self, peer: str) -> dict[str, Json]:
        found = self._record(names.report(peer)).get("assigned_tasks")
        entries = [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []
        return {str(entry.get("task_id")): entry for entry in entries}

    def _record(self, path: str) -> Json:
        return self.queue.read_record(path) or {}

    def _finished(self) -> dict[str, tuple[int, End]]:
        """How each task ended, from the results at a real epoch; one that was done before counts for no one."""
        newest: dict[str, tuple[int, str]] = {}
        for shard in self.files.scan(names.RESULTS):
            for name in self.files.scan(f"{names.RESULTS}/{shard}"):
                result = names.parse_result(name)
                if result and result[2] == "done" and result[1] > newest.get(result[0], (0, ""))[0]:
                    newest[result[0]] = (result[1], f"{names.RESULTS}/{shard}/{name}")
        return {task: (epoch, self._end(path)) for task, (epoch, path) in newest.items()}

    def _end(self, path: str) -> End:
        if path not in self._ends:
            peer, claimed, completed = map(self._record(path).get, ("peer", "assigned_at", "at"))
            self._ends[path] = (str(peer or ""), str(claimed or ""), str(completed or ""))
        return self._ends[path]

    def _seat(self, peer: Incarnation) -> Seat:
        home = names.peer_dir(peer)
        entries = self.files.scan(home)
        beat = next((name for name in entries if names.parse_beat(name)), "")
        seen = self.files.stat(f"{home}/{beat}") if beat else None
        when = max(seen.changed_ns, seen.modified_ns) if seen else 0
        return views.Seat(
            peer.peer,
            str(peer),
            members.read_record(self.root, home) or {},
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when // 10**9)) if when else "",
            any(names.parse_leader(name) is not None for name in entries),
            self.judge(peer),
        )

    def _memory(self) -> Json:
        """Count what the memory bank holds; ``pending`` is what waits for a merge, not for a person."""
        counts: Json = {state: self._count(f"{names.MEMORY}/{state}") for state in names.MEMORY_STATES}
        held = sum(self._members(f"{names.MEMORY}/{state}") for state in ("candidates", "approvals"))
        last = self._record(names.MERGED).get("last_ok")
        pending = max(0, counts["queued"] - held)
        return {"pending": pending, "conflicts": counts["candidates"], **counts, "last_merge": last}

    def _members(self, path: str) -> int:
        found = (self._record(f"{path}/{name}") for name in self.files.scan(path) if name.endswith(".json"))
        return sum(len(one["contributions"]) for one in found if isinstance(one.get("contributions"), list))

    def _count(self, path: str) -> int:
        return sum(name.endswith(".json") for name in self.files.scan(path))


def _slim(definition: Definition) -> Definition:
    """Keep of a definition what a board shows: a reader that is kept for weeks has one of these for every task."""
    shown: Json = {key: definition.raw[key] for key in ("title", "cancelled", "parked") if key in definition.raw}
    steps = [records.Step(step.step, "", step.done, {}) for step in definition.steps]
    return records.Definition(definition.task, definition.level, definition.dependencies, steps, shown)
