"""Read all tasks and peers as they are now, for the views and all status commands.

Status commands read the tickets themselves and never depend on a fresh view or on a leader. The leader keeps its
reader, which reads no definition again that did not change.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, NotFoundError
from peercoord.foreign import whole
from peercoord.membership import liveness
from peercoord.membership import membership as members
from peercoord.status import attempts, needs, views
from peercoord.store import ids, paths, records, session_records
from peercoord.system import clock, process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from peercoord.foreign import Json
    from peercoord.membership.liveness import Verdict
    from peercoord.queue.placement import Location
    from peercoord.queue.queue import Queue
    from peercoord.status.attempts import Attempt
    from peercoord.status.views import Board, PeerView, Row
    from peercoord.store.paths import Incarnation
    from peercoord.store.records import Definition

    End = tuple[str, str, str, str]  # of an attempt: its peer, when it was claimed, when it ended, and why

NEEDS_PERSON = ("blocked", "review", "failed", "unreadable")  # why tickets are parked that only a person can move on
LOST = ("its coding session", " was evicted by ")  # in the reason of an attempt that its holder did not end itself


class Reader:
    """Reads the board of one coordination directory."""

    def __init__(self, queue: Queue, judge: Callable[[Incarnation], Verdict]) -> None:
        self.queue = queue
        self.root = queue.root
        self.files = queue.files
        self.judge = judge
        self._known: dict[str, tuple[tuple[int, int], Definition]] = {}
        self._attempts: dict[str, tuple[int, Attempt]] = {}  # by the path of a result, with the time of its change
        self._ends: dict[str, End] = {}  # by the path of a result, of which nothing of this changes

    def board(self) -> Board:
        """Read everything, once."""
        living = members.living(self.root)
        tasks = sorted(self.queue.all_tasks(), key=ids.natural)
        reports = {who.peer: self.report(who.peer) for who in living}
        return self.assembled(tasks, living, reports, self.queue.survey(tasks))

    def assembled(
        self,
        tasks: Sequence[str],
        living: Sequence[Incarnation],
        reports: dict[str, dict[str, Json]],
        states: Mapping[str, Location],
        counted: Mapping[str, int] | None = None,
        counted_progress: float = 0.0,
    ) -> Board:
        """Read these tasks, and everything else, into a board; the other tasks are only counted, by their state."""
        finished, ended = self._finished(set(tasks))
        rows = [self._row(task, states.get(task), reports, finished.get(task), ended.get(task, "")) for task in tasks]
        peers = [self._peer(who, reports.get(who.peer, {}), rows) for who in living]
        lost = [self._lost(*both) for both in self._evicted(living)]
        made = self._board(rows, peers, lost)
        return replace(made, counted=counted or {}, counted_progress=counted_progress)

    def parked(self) -> Board:
        """Read only the tasks that wait for a person, which is cheap enough for an agent's call."""
        seen = [
            one
            for why in NEEDS_PERSON
            for one in self.queue.tickets_in(f"{paths.PARKED}/{why}", "parked", why, self.files.scan)
        ]
        rows = [self._row(one.task, one, {}, None, "") for one in seen]
        return self._board(sorted(rows, key=lambda row: ids.natural(row.task)), [], [])

    def _board(self, rows: list[Row], peers: list[PeerView], lost: list[PeerView]) -> Board:
        memory, deciding = self._memory()
        return views.Board(
            str(self.root.protocol.get("project", "")),
            str(self.root.protocol.get("created", "")),
            self.root.clock.now(),
            rows,
            peers,
            memory,
            sum(not name.endswith(".why") for name in self.files.scan(paths.QUARANTINE)),
            lost=lost,
            deciding=deciding,
            synced=self._record(paths.SYNC),
        )

    def attempts(self, board: Board, task: str = "") -> list[Attempt]:
        """Read every attempt at a task, or at all tasks, in the order of tasks and epochs; ``held`` ones come last."""
        found: dict[str, list[Attempt]] = {}
        homes = [paths.results_dir(task)] if task else [f"{paths.RESULTS}/{s}" for s in self.files.scan(paths.RESULTS)]
        for home in homes:
            for name in self.files.scan(home):
                result = paths.parse_result(name)
                if result and task in ("", result[0]):
                    found.setdefault(result[0], []).append(self._attempt(f"{home}/{name}", *result))
        rows = [row for row in board.rows if task in ("", row.task)]
        return [
            one for row in rows for one in (*attempts.of_results(found.get(row.task, [])), attempts.held(row)) if one
        ]

    def _attempt(self, path: str, task: str, epoch: int, outcome: str) -> Attempt:
        seen = self.files.stat(path)  # a late report is added to a result
        mark = seen.changed_ns if seen else 0
        known = self._attempts.get(path)
        if known is None or known[0] != mark:
            known = self._attempts[path] = mark, attempts.ended(task, epoch, outcome, self._record(path))
        return known[1]

    def forget(self) -> None:
        """Forget what was read; the next reading takes longer."""
        self._known.clear()
        self._ends.clear()
        self._attempts.clear()

    def publish(self) -> Board:
        """Read everything and write the two views."""
        board = self.board()
        self.files.put(paths.TASK_QUEUE, records.encode(views.task_queue(board)))
        self.files.put(paths.STATE, records.encode(views.state(board)))
        return board

    # -- parts -----------------------------------------------------------------------------------------------

    def _row(
        self,
        task: str,
        location: Location | None,
        reports: dict[str, dict[str, Json]],
        end: tuple[int, End] | None,
        ended: str,
    ) -> Row:
        definition = self._definition(task)
        holder = paths.parse_incarnation(location.detail) if location and location.state == "claimed" else None
        if location and holder:
            entry = reports.get(holder.peer, {}).get(task, {})
            return views.Row(
                task,
                definition,
                location,
                holder=holder.peer,
                entry=entry if entry.get("epoch") == location.epoch else {},
                assignment=self._record(paths.assignment(paths.peer_dir(holder), paths.Ticket(task, location.epoch))),
            )
        if location and location.state == "done" and end is not None:
            epoch, (peer, claimed, completed, _) = end
            return views.Row(
                task,
                definition,
                location,
                entry={"updated_at": completed},
                assignment={"assigned_at": claimed or None, "epoch": epoch},
                finished_by=peer,
            )
        return views.Row(
            task,
            definition,
            location,
            behind=self._behind(definition, location),
            last=self._last(task, location, ended),
        )

    def _behind(self, definition: Definition | None, location: Location | None) -> tuple[str, str]:
        """Find the dependency for which a task is parked as blocked."""
        if definition and location and (location.state, location.detail) == ("parked", "blocked"):
            for dependency in definition.dependencies:
                standing = self.queue.dependency_state(dependency)
                if standing in ("cancelled", "unknown"):
                    return dependency, standing
        return "", ""

    def _last(self, task: str, location: Location | None, ended: str) -> Json:
        """How the last attempt at a task ended, if it failed or its holder was lost."""
        if location is None or location.state == "done":
            return {}
        if (location.state, location.detail) == ("parked", "failed"):
            record = (self.queue.result(task) or (0, "", {}))[2]
            return {key: record.get(key) for key in ("peer", "at", "reason")}
        if not ended:
            return {}
        peer, _, at, reason = self._end(ended)
        return {"peer": peer, "at": at, "reason": reason, "lost": reason.startswith(LOST[0]) or LOST[1] in reason}

    def _definition(self, task: str) -> Definition | None:
        path = paths.definition(task)
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

    def report(self, peer: str) -> dict[str, Json]:
        """Read what a peer reported of each of its tasks, in the order in which it began them."""
        found = self._record(paths.report(peer)).get("assigned_tasks")
        entries = [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []
        return {ids.read(entry.get("task_id")): entry for entry in entries}

    def _record(self, path: str) -> Json:
        return self.queue.read_record(path) or {}

    def _finished(self, tasks: set[str]) -> tuple[dict[str, tuple[int, End]], dict[str, str]]:
        """How each task ended, from results of claims; epoch 0 (done before it was added) counts for no peer.

        Returns:
            By task, the completion at the highest epoch; and the path of the newest result, if that claim was evicted
            or released.
        """
        done: dict[str, tuple[int, str]] = {}
        newest: dict[str, tuple[int, str, str]] = {}
        for shard in self.files.scan(paths.RESULTS):
            for name in self.files.scan(f"{paths.RESULTS}/{shard}"):
                if name.partition("~")[0] not in tasks or (result := paths.parse_result(name)) is None:
                    continue
                task, epoch, outcome = result
                path = f"{paths.RESULTS}/{shard}/{name}"
                if outcome == "done" and epoch > done.get(task, (0, ""))[0]:
                    done[task] = (epoch, path)
                newest[task] = max(newest.get(task, (-1, "", "")), (epoch, outcome, path))
        ended = {task: path for task, (_, outcome, path) in newest.items() if outcome in ("evicted", "released")}
        return {task: (epoch, self._end(path)) for task, (epoch, path) in done.items()}, ended

    def _end(self, path: str) -> End:
        if path not in self._ends:
            record = self._record(path)
            peer, claimed, at, why = (str(record.get(key) or "") for key in ("peer", "assigned_at", "at", "reason"))
            self._ends[path] = peer, claimed, at, why
        return self._ends[path]

    def _peer(self, who: Incarnation, entries: dict[str, Json], rows: list[Row]) -> PeerView:
        home = paths.peer_dir(who)
        there = self.files.scan(home)
        beat = next((name for name in there if paths.parse_beat(name)), "")
        seen = self.files.stat(f"{home}/{beat}") if beat else None
        when = max(seen.changed_ns, seen.modified_ns) if seen else 0
        record = members.read_record(self.root.files, home) or {}
        newest = next(reversed(entries.items()), None)
        done = newest is not None and newest[1].get("status") == "done"
        return views.PeerView(
            who.peer,
            str(who),
            record,
            _written(when),
            bool(paths.terms(there)),
            self.judge(who),
            **_seen(record),
            active=max(needs.called(record), *(needs.moment(e.get("updated_at")) for e in entries.values()), ""),
            last=next((r for r in rows if r.task == newest[0] and r.finished_by == who.peer), None)
            if done and newest
            else None,
            said=self._said(who.peer, record),
        )

    def _said(self, peer: str, record: Json) -> Json:
        """Return what the coding session on record said of itself; empty if that was another one, or nothing."""
        said = session_records.read(self.files, peer)
        known = [*liveness.sessions(record), record.get("session_ended")]
        return said if any(isinstance(one, dict) and session_records.is_of(said, one) for one in known) else {}

    def _evicted(self, living: Sequence[Incarnation]) -> list[tuple[Incarnation, Incarnation]]:
        """List the last incarnation of each peer that was evicted and has not come back, and who evicted it."""
        here = {who.peer for who in living}
        last = {who.peer: (who, by) for who, by in members.departed(self.root) if who.peer not in here}
        return [(who, by) for who, by in last.values() if who != by]

    def _lost(self, who: Incarnation, by: Incarnation) -> PeerView:
        home = paths.departed_dir(who, by)
        seen = self.files.stat(home)
        record = members.read_record(self.root.files, home) or {}
        verdict = liveness.Verdict(liveness.DEAD, f"{by.peer} evicted it")
        gone = _written(seen.modified_ns if seen else 0)
        return views.PeerView(who.peer, str(who), record, "", False, verdict, session=views.ENDED, gone=gone)

    def _memory(self) -> tuple[Json, list[Json]]:
        """Count what the memory bank holds; ``pending`` is what waits for a merge, not for a person."""
        counts: Json = {state: self._count(f"{paths.MEMORY}/{state}") for state in paths.MEMORY_STATES}
        deciding = [
            self._record(f"{paths.MEMORY}/{state}/{name}")
            for state in ("candidates", "approvals")
            for name in sorted(self.files.scan(f"{paths.MEMORY}/{state}"))
            if name.endswith(".json")
        ]
        held = sum(len(one["contributions"]) for one in deciding if isinstance(one.get("contributions"), list))
        last = self._record(paths.MERGED).get("last_ok")
        pending = max(0, counts["queued"] - held)
        return {"pending": pending, "conflicts": counts["candidates"], **counts, "last_merge": last}, deciding

    def _count(self, path: str) -> int:
        return sum(name.endswith(".json") for name in self.files.scan(path))


def _slim(definition: Definition) -> Definition:
    """Keep of a definition what a board shows: a reader may keep one for every task, for weeks."""
    shown: Json = {key: definition.raw[key] for key in ("title", "cancelled", "parked") if key in definition.raw}
    steps = [records.Step(step.step, "", step.done, {}) for step in definition.steps]
    return records.Definition(definition.task, definition.level, definition.dependencies, steps, shown)


def _written(when: int) -> str:
    """Format a time of the filesystem in nanoseconds; empty for 0."""
    return clock.moment(when // 10**9) if when else ""


def _seen(record: Json) -> Json:
    """Look up what a peer's record names: its session, stopped processes, its worktree."""
    here, tree = process.here(), record.get("worktree")
    if not record or not liveness.in_sight(record, here):
        return {}
    homeless = isinstance(tree, str) and bool(tree) and not os.path.lexists(tree)
    if liveness.elsewhere(record, here) is not None:
        return {"homeless": homeless}
    known, agent = liveness.sessions(record), liveness.agent_of(record)
    running = [one for one in known if process.running(one)]
    none = views.NONE if tree else views.UNSEEN  # a peer without a worktree needs no other process than its own
    waiter = record.get("waiting")
    stopped = [one for one in [agent, *running] if one and process.stopped(one)]
    return {
        "session": views.RUNS if running else views.ENDED if known else none,
        "stopped": whole(stopped[0].get("pid")) or 0 if stopped else 0,
        "homeless": homeless,
        "waits": bool(isinstance(waiter, dict) and process.running(waiter)),
    }
