"""Our side of a sync: the version of each task, and its values in the terms that other lists share.

Whether a task changed since it was last compared is known without reading its definition (``reconcile.TaskVersion``):
ten thousand tasks are compared every two minutes, and nearly always nothing happened.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import StorageError
from peercoord.queue import placement
from peercoord.queue.placement import Location
from peercoord.queue.progress import Reports
from peercoord.store import ids, paths, records
from peercoord.store.files import parent
from peercoord.tasklists import reconcile
from peercoord.tasklists.normalize import TaskStatus
from peercoord.tasklists.reconcile import TaskVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.foreign import Json
    from peercoord.queue.queue import Queue
    from peercoord.store.records import Definition
    from peercoord.tasklists.reconcile import Comparison

_PARKED = (TaskStatus.HELD, TaskStatus.REVIEW, TaskStatus.DEFERRED, TaskStatus.CANCELLED)
_PROGRESS_KEYS = ("time_spent", "completion_estimate", "blockers", "achievements", "steps_done", "steps")
_SUMMARY_PROGRESS = ("progress", "time_spent", "completion_estimate")
_UNCLAIMED = tuple(f"{base}/" for base in (paths.WAITING, paths.READY, paths.PARKED, paths.DONE))
_RESULT_KEYS = ("achievements", "blockers", "time_spent", "branch", "commit")


@dataclass(slots=True)
class Snapshot:
    """Every task at one moment."""

    versions: dict[str, TaskVersion]  # the version of each task
    moving: set[str]  # tasks whose tickets are moving, left to the next sync

    def stored(self, task: str) -> str:
        """Return the stored form of a task's version; empty if there is no such task."""
        version = self.versions.get(task)
        return version.stored if version else ""


def location_at(path: str) -> Location:
    """Return the location that a ticket's path says; ``new`` for every path between two places."""
    parts = path.split("/")
    ticket = paths.parse_ticket(parts[-1])
    task, epoch = (ticket.task, ticket.epoch) if ticket else (parts[-1], 0)
    if path.startswith(f"{paths.DONE}/"):
        return Location(task, "done", "", epoch, path)
    if ticket and not ticket.done and len(parts) >= 4:
        if parts[0] == paths.PEERS:
            return Location(task, "claimed", parts[1], epoch, path)
        if parts[0] == paths.QUEUE and parts[1] in ("waiting", "ready", "parked"):
            return Location(task, parts[1], parts[2], epoch, path)
    return Location(task, "new", "", epoch, path)


def holder_of(location: Location) -> str:
    """Return the name of the peer that holds a ticket; empty if none does."""
    who = paths.parse_incarnation(location.detail) if location.state == "claimed" else None
    return who.peer if who else ""


class Tickets:
    """Our side of a comparison."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.files = queue.files
        self.reports = Reports(queue)

    # -- looking ---------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Read the version of every task, reading no definition."""
        places = self._places()
        results, changed = self._results().get, self._changed().get
        versions, moving = {}, set()
        for task, path in places.items():
            if path.startswith(_UNCLAIMED):
                versions[task] = TaskVersion(path, changed(task, ""), results(task, ""))
                continue
            place = location_at(path)
            if place.state == "new":
                moving.add(task)
                continue
            entry = self.reports.entry(holder_of(place), paths.Ticket(task, place.epoch))
            report = hashlib.sha256(records.encode(entry)).hexdigest()[:16] if entry else ""
            versions[task] = TaskVersion(path, changed(task, ""), results(task, ""), report)
        return Snapshot(versions, moving)

    def _places(self) -> dict[str, str]:
        """Return the path of each task's ticket; of two, seen while it moved, the later."""
        found: dict[str, str] = {}
        for home, _, _ in self.queue.ticket_directories():
            with_epoch, fresh = not home.startswith(paths.DONE), home == paths.NEW
            for name in self.files.scan(home):
                task, tilde, _ = name.partition("~")
                if bool(tilde) != with_epoch:
                    continue
                if fresh and not (ids.is_id(task) and self.files.listed(paths.birth(task))):
                    continue  # left by a crash: it belongs to no task
                path = f"{home}/{name}"
                found[task] = path if task not in found else max(found[task], path, key=_rank)
        return found

    def _results(self) -> dict[str, str]:
        """Return the names of each task's results."""
        found: dict[str, str] = {}
        for shard in self.files.scan(paths.RESULTS):
            for name in sorted(self.files.scan(f"{paths.RESULTS}/{shard}")):
                task, _, rest = name.partition("~")
                found[task] = f"{found[task]},{rest[:-5]}" if task in found else rest[:-5]
        return found

    def _changed(self) -> dict[str, str]:
        """Return when each definition last changed, and its size. A missing file counts as changed."""
        found = {}
        for shard in self.files.scan(paths.TASKS):
            home = f"{paths.TASKS}/{shard}"
            for name in self.files.scan(home):
                with suppress(OSError):
                    seen = self.files.disk.stat(f"{home}/{name}")
                    found[name[:-5]] = f"{seen.modified_ns}.{seen.size}"
        return found

    def definition_changed(self, task: str) -> str:
        """Return when a definition last changed, as ``TaskVersion.changed`` has it."""
        seen = self.files.stat(paths.definition(task))
        return f"{seen.modified_ns}.{seen.size}" if seen else ""

    def flushed(self, comparisons: Sequence[Comparison]) -> list[Comparison]:
        """Flush the directories of tickets before their epochs are written where they outlast a power cut.

        Else the power may take a claim with it, and an epoch that the other list knows be used a second time.

        Returns:
            The comparisons whose tickets have not moved meanwhile; the next sync sees the others.
        """
        homes = {c.task: parent(c.version.path) for c in comparisons if c.version and c.ours.get("claims")}
        gone = set()
        for home in set(homes.values()):
            try:
                self.files.sync(home)
            except StorageError as error:
                if error.code != "enoent":
                    raise
                gone.add(home)
        return [comparison for comparison in comparisons if homes.get(comparison.task) not in gone]

    # -- reading ---------------------------------------------------------------------------------------------

    def values(self, task: str, version: TaskVersion) -> Json:
        """Read what ticket, definition, results and report say of a task, at a version of ``snapshot``.

        Returns:
            The fields that ``reconcile.resolve`` compares, and ``claims``: one entry for each time the task was in a
            peer's hands, with ``epoch``, ``instance``, ``status``, ``assigned_at``, ``ended_at``.

        Raises:
            BrokenFileError: The definition could not be read.
        """
        definition = self.queue.definition(task)
        place = location_at(version.path)
        past = self._past(task, place) if version.results else {}
        newest, holder = past[max(past)] if past else {}, holder_of(place)
        if place.state == "claimed":
            last = self.reports.entry(holder, paths.Ticket(task, place.epoch)) or {}
        else:
            last = newest if newest.get("peer") else {}
        was_done = place.state == "done" and newest.get("outcome") == "done"
        instance = holder or (str(newest.get("peer", "")) if was_done else "") or None
        progress, data = _progress(place, last), self._data(definition, place, past, last)
        return {
            **reconcile.shared(definition),
            "steps_done": _steps_done(definition, place, last),
            "state": _state(place, definition),
            "holder": holder,
            "assigned_instance": instance,
            "instance_progress": progress,
            "coordination_data": data,
            "summary": _summary(instance, progress, data),
            "claims": self._claims(task, place, past),
        }

    def _past(self, task: str, place: Location) -> dict[int, Json]:
        """Read the result of each epoch that is over.

        A result counts only if the ticket agrees: a holder writes it before the rename that decides, so one beside an
        eviction, or of a claim that is still held, never took effect.
        """
        said: dict[int, set[str]] = {}
        for epoch, outcome in self.queue.outcomes(task):
            if place.state != "claimed" or epoch != place.epoch:
                said.setdefault(epoch, set()).add(outcome)
        last, past = max(said, default=0), {}
        for epoch, words in sorted(said.items()):
            outcome = _outcome(words, place.state == "done" and epoch == last)
            record = self.queue.read_record(paths.result(task, epoch, outcome)) or {}
            past[epoch] = {**record, "outcome": outcome}
        return past

    def _data(self, definition: Definition, place: Location, past: dict[int, Json], last: Json) -> Json | None:
        """Return ``coordination_data``; ``None`` while nothing is known that the source did not say."""
        task, why = definition.task, ""
        epoch = max(place.epoch, max(past, default=0))
        note = definition.raw.get("parked" if definition.cancelled is None else "cancelled")
        by = note.get("by") if isinstance(note, dict) and note.get("kind") != "cycle" else ""
        if place.state == "parked" and by not in ("import", "database"):  # else the other list says why
            why = self.queue.location_of(task).reason
        if not epoch and not why:
            return None
        words = {"claimed": "in-progress", "parked": place.detail}
        return {
            "task": ids.public(task),
            "store": self.queue.root.store_id,
            "epoch": epoch,
            "attempts": placement.attempts(self.queue.outcomes(task)),
            "state": words.get(place.state, place.state),
            **({"reason": why} if why else {}),
            **{key: last[key] for key in _RESULT_KEYS if last.get(key)},
        }

    def _claims(self, task: str, place: Location, past: dict[int, Json]) -> list[Json]:
        found = []
        for epoch, record in past.items():
            instance = str(record.get("peer") or record.get("held_by") or "")
            if epoch and instance:
                status = record["outcome"] if record.get("peer") else "released"
                times = {"assigned_at": self._began(instance, task, epoch), "ended_at": record.get("at")}
                found.append({"epoch": epoch, "instance": instance, "status": status, **times})
        if place.state == "claimed" and place.epoch not in past:
            instance, ticket = holder_of(place), paths.Ticket(task, place.epoch)
            record = self.queue.read_record(paths.assignment(f"{paths.PEERS}/{place.detail}", ticket)) or {}
            began = record.get("assigned_at") or self._began(instance, task, place.epoch)
            claim = {"epoch": place.epoch, "instance": instance, "status": "in-progress"}
            found.append({**claim, "assigned_at": began, "ended_at": None})
        return found

    def _began(self, peer: str, task: str, epoch: int) -> str | None:
        """Return when a claim began: from its holder's report, else from its events."""
        entry = self.reports.entry(peer, paths.Ticket(task, epoch))
        if entry and entry.get("started_at"):
            return str(entry["started_at"])
        for event in self.files.lines(paths.events(peer), '"claimed"', f'"{task}"'):
            if (event.get("event"), str(event.get("task")), event.get("epoch")) == ("claimed", task, epoch):
                return str(event.get("at"))
        return None


def parked_status(why: str) -> TaskStatus:
    """Return the status of a task that is parked for this reason."""
    return TaskStatus(why) if why in _PARKED else TaskStatus.BLOCKED


def _state(place: Location, definition: Definition) -> str:
    if definition.cancelled is not None and place.state != "done":
        return TaskStatus.CANCELLED  # even before its holder knows
    if place.state == "parked" and place.detail == TaskStatus.BLOCKED and definition.set_aside is None:
        return TaskStatus.OPEN  # it is blocked by its dependencies, which the list knows itself
    if place.state == "parked":
        return parked_status(place.detail)
    return {"claimed": TaskStatus.HELD, "done": TaskStatus.DONE}.get(place.state, TaskStatus.OPEN)


def _steps_done(definition: Definition, place: Location, last: Json) -> list[str]:
    known = set(last.get("steps_done") or ()) if place.state == "claimed" else set()
    is_done = place.state == "done"
    return sorted(step.step for step in definition.steps if is_done or step.done or step.step in known)


def _progress(place: Location, last: Json) -> Json | None:
    """Return the progress of the holder, or the last holder, in the mission's schema."""
    if not last:
        return None
    share, status = last.get("progress"), str(last.get("outcome", ""))
    if place.state == "done":
        share, status = 1.0, "done"
    elif place.state == "claimed":
        status = "in-progress"
    kept = {key: last[key] for key in _PROGRESS_KEYS if key in last}
    return {"progress": share if isinstance(share, (int, float)) else 0.0, "status": status, **kept}


def _summary(instance: str | None, progress: Json | None, data: Json | None) -> Json | None:
    """Return what only the team knows of a task, as one record, once a peer has held it."""
    if not (instance or progress or (data and data["epoch"])):
        return None
    told = {key: value for key, value in (progress or {}).items() if key in _SUMMARY_PROGRESS and value}
    return {**({"assigned_to": instance} if instance else {}), **(data or {}), **told}


def _outcome(said: set[str], final: bool) -> str:
    others = said - {"done"}
    return "done" if "done" in said and (final or not others) else min(others)


def _rank(path: str) -> tuple[bool, bool, int, bool]:
    """Return a sort key: of two places of one ticket, the later one is greater."""
    place = location_at(path)
    added = not path.startswith(paths.NEW)
    return (added, place.state == "done", place.epoch, path.startswith((paths.PEERS, paths.DEPARTED)))
