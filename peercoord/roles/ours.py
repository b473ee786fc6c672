"""What the tickets say of each task, in the terms that other programs' lists share: cheap to ask, exact when asked.

Promise: whether anything about a task changed since it was last compared is told without reading its definition. A
*mark* holds where its ticket lies (the directory is the state), when its definition was last changed, the names of
its results, and for a task in someone's hands when its holder last reported. Equal marks: nothing changed.

The cost that shaped this: ten thousand tasks are looked at every two minutes, and nearly always nothing happened.
"""

from __future__ import annotations

from peercoord.core import ids, names, records, sync, tickets
from peercoord.core.errors import BrokenFileError, StorageError
from peercoord.fs.files import parent
from peercoord.roles.progress import Reports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.core.records import Definition, Json
    from peercoord.roles.database import Meeting
    from peercoord.roles.queue import Queue

_PARKED = {"held": sync.HELD, "review": sync.REVIEW, "deferred": sync.DEFERRED, "cancelled": sync.CANCELLED}
_PROGRESS = ("time_spent", "completion_estimate", "blockers", "achievements", "steps_done", "steps")
_TOLD = ("progress", "time_spent", "completion_estimate")
_LIES = tuple(f"{base}/" for base in (names.WAITING, names.READY, names.PARKED, names.DONE))  # in nobody's hands
_DATA = ("achievements", "blockers", "time_spent", "branch", "commit")


class Look:
    """Every task at one moment.

    Attributes:
        marks: For each task, all that can have changed, as one word.
        moving: Tasks on their way from one place to another: to be looked at again later.
    """

    __slots__ = ("marks", "moving")

    def __init__(self, marks: dict[str, str], moving: set[str]) -> None:
        self.marks, self.moving = marks, moving


class Place:
    """Where a ticket lies, taken apart.

    Attributes:
        path: The path.
        state: ``waiting``, ``ready``, ``parked``, ``claimed``, ``done``, or ``moving``.
        detail: What it waits for, why it is parked, or which incarnation holds it.
        epoch: The ticket's epoch; 0 for ``done``, whose ticket has none.
    """

    __slots__ = ("detail", "epoch", "path", "state")

    def __init__(self, path: str) -> None:
        parts = path.split("/")
        ticket = names.parse_ticket(parts[-1])
        self.path = path
        self.epoch = ticket.epoch if ticket else 0
        self.state, self.detail = "moving", ""
        if path.startswith(f"{names.DONE}/"):
            self.state = "done"
        elif ticket is None or ticket.done or len(parts) < 4:
            return
        elif parts[0] == names.PEERS:
            self.state, self.detail = "claimed", parts[1]
        elif parts[0] == names.QUEUE and parts[1] in ("waiting", "ready", "parked"):
            self.state, self.detail = parts[1], parts[2]

    @property
    def holder(self) -> str:
        """Name of the peer that holds it; empty if none does."""
        who = names.parse_incarnation(self.detail) if self.state == "claimed" else None
        return who.peer if who else ""


class Ours:
    """Our side of a comparison.

    Args:
        queue: The tasks.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.files = queue.files
        self.reports = Reports(queue)

    # -- looking ---------------------------------------------------------------------------------------------

    def look(self) -> Look:
        """Look at every task once, reading no definition."""
        places = self._places()
        results = self._results().get
        changed = self._changed().get
        marks, moving = {}, set()
        for task, path in places.items():
            if path.startswith(_LIES):
                marks[task] = f"{path} {changed(task, '')} {results(task, '')}"
                continue
            place = Place(path)
            if place.state == "moving":
                moving.add(task)
            else:
                marks[task] = f"{path} {changed(task, '')} {results(task, '')} {self._reported(task, place)}"
        return Look(marks, moving)

    def _places(self) -> dict[str, str]:
        """Give the path of each task's ticket; of two, seen while it moved, the later."""
        found: dict[str, str] = {}
        for home, _, _ in self.queue.homes():
            with_epoch, fresh = not home.startswith(names.DONE), home == names.NEW
            for name in self.files.scan(home):
                task, tilde, _ = name.partition("~")
                if bool(tilde) != with_epoch or (fresh and not self._born(task)):
                    continue
                path = f"{home}/{name}"
                found[task] = path if task not in found else max(found[task], path, key=_rank)
        return found

    def _born(self, task: str) -> bool:
        """Tell whether a ticket that is being added belongs to a task; a crash may have left one without."""
        return ids.is_id(task) and self.files.listed(names.birth(task))

    def _results(self) -> dict[str, str]:
        """Give the names of each task's results: an epoch may pass between two looks and leave the ticket in place."""
        found: dict[str, str] = {}
        for shard in self.files.scan(names.RESULTS):
            for name in sorted(self.files.scan(f"{names.RESULTS}/{shard}")):
                task, _, rest = name.partition("~")
                found[task] = f"{found[task]},{rest[:-5]}" if task in found else rest[:-5]
        return found

    def _changed(self) -> dict[str, str]:
        found = {}
        look = self.files.disk.stat  # without the door's meanings: one that is gone counts as changed
        for shard in self.files.scan(names.TASKS):
            home = f"{names.TASKS}/{shard}"
            for name in self.files.scan(home):
                try:
                    seen = look(f"{home}/{name}")
                except OSError:
                    continue
                found[name[:-5]] = f"{seen.modified_ns}.{seen.size}"
        return found

    def definition_mark(self, task: str) -> str:
        """Say when a definition was last changed, as it stands in a mark; empty if the file is not there."""
        seen = self.files.stat(names.definition(task))
        return f"{seen.modified_ns}.{seen.size}" if seen else ""

    def flushed(self, meetings: Sequence[Meeting]) -> list[Meeting]:
        """Flush the directories in which tickets lie, before their epochs go where they outlast a power cut.

        Else a claim may be lost with the power, and the epoch that the other list knows be given out a second time.

        Returns:
            The meetings whose tickets have not moved on meanwhile; the others come again with the next sync.
        """
        homes = {meeting.task: parent(meeting.mark.partition(" ")[0]) for meeting in meetings if _was_held(meeting)}
        there = {home: self._flush(home) for home in set(homes.values())}
        return [meeting for meeting in meetings if meeting.task not in homes or there[homes[meeting.task]]]

    def _flush(self, home: str) -> bool:
        """Flush a directory; ``False`` if it is gone."""
        try:
            self.files.sync(home)
        except StorageError as error:
            if error.code != "enoent":
                raise
            return False
        return True

    def _reported(self, task: str, place: Place) -> str:
        entry = self.reports.entry(place.holder, names.Ticket(task, place.epoch)) or {}
        return str(entry.get("updated_at", "")).replace(" ", "")

    # -- reading ---------------------------------------------------------------------------------------------

    def values(self, task: str, mark: str) -> Json:
        """Read what the tickets, the definition, the results and the report say of a task.

        Args:
            task: Which.
            mark: As ``look`` gave it.

        Returns:
            The fields that ``sync.settle`` compares, and ``claims``: one entry for each time the task was in a
            peer's hands, with ``epoch``, ``instance``, ``status``, ``assigned_at``, ``ended_at``.

        Raises:
            BrokenFileError: The definition could not be read.
        """
        definition = self.queue.definition(task)
        place = Place(mark.partition(" ")[0])
        past = self._past(task, place) if mark.split(" ")[2:3] != [""] else {}  # the mark knows of none
        last = self._entry(task, place) or self._last(place, past)
        instance = place.holder or self._finished_by(place, past) or None
        progress, data = _progress(place, last), self._data(definition, place, past, last)
        return {
            **shared(definition),
            "steps_done": self._steps_done(definition, place, last),
            "state": _state(place, definition),
            "holder": place.holder,
            "assigned_instance": instance,
            "instance_progress": progress,
            "coordination_data": data,
            "summary": _summary(instance, progress, data),
            "claims": self._claims(task, place, past),
        }

    def _past(self, task: str, place: Place) -> dict[int, Json]:
        """Read the result of each epoch that is over.

        A result counts as the ticket agrees: a holder writes that it is done before the rename that decides, so what
        lies beside an eviction, or is of a claim that still stands, never came to be.
        """
        said: dict[int, set[str]] = {}
        own = [name for name in self.queue.results(task) if name.startswith(f"{task}~")]
        for found in filter(None, map(names.parse_result, own)):
            if not (place.holder and found[1] == place.epoch):
                said.setdefault(found[1], set()).add(found[2])
        last = max(said, default=0)
        counts = {e: _outcome(words, place.state == "done" and e == last) for e, words in sorted(said.items())}
        return {
            epoch: {**(self.queue.read_record(names.result(task, epoch, outcome)) or {}), "outcome": outcome}
            for epoch, outcome in counts.items()
        }

    def _entry(self, task: str, place: Place) -> Json:
        if not place.holder:
            return {}
        return self.reports.entry(place.holder, names.Ticket(task, place.epoch)) or {}

    def _last(self, place: Place, past: dict[int, Json]) -> Json:
        """Give what was last known of work on a task that nobody holds."""
        if place.holder or not past:
            return {}
        record = past[max(past)]
        return record if record.get("peer") else {}

    def _steps_done(self, definition: Definition, place: Place, last: Json) -> list[str]:
        if place.state == "done":
            return sorted(step.step for step in definition.steps)
        known = set(last.get("steps_done") or ()) if place.holder else set()
        return sorted(step.step for step in definition.steps if step.done or step.step in known)

    def _finished_by(self, place: Place, past: dict[int, Json]) -> str:
        if place.state != "done" or not past:
            return ""
        record = past[max(past)]
        return str(record.get("peer", "")) if record["outcome"] == "done" else ""

    def _data(self, definition: Definition, place: Place, past: dict[int, Json], last: Json) -> Json | None:
        """Give what else is known of a task, once there is something to know that its source did not say."""
        epoch = max(place.epoch, max(past, default=0))
        why = self._why_parked(definition, place)
        if not epoch and not why:
            return None
        words = {"claimed": "in-progress", "parked": place.detail}
        return {
            "epoch": epoch,
            "attempts": tickets.attempts(definition.task, self.queue.results(definition.task)),
            "state": words.get(place.state, place.state),
            **({"reason": why} if why else {}),
            **{key: last[key] for key in _DATA if last.get(key)},
        }

    def _why_parked(self, definition: Definition, place: Place) -> str:
        """Give the reason why a task is set aside; empty if the other list is where it comes from."""
        if place.state != "parked":
            return ""
        raw = definition.raw
        note = raw.get("cancelled") if definition.cancelled is not None else raw.get("parked")
        if isinstance(note, dict) and note.get("by") in ("import", "database") and note.get("kind") != "cycle":
            return ""
        return self.queue.spot(definition.task).reason

    def _claims(self, task: str, place: Place, past: dict[int, Json]) -> list[Json]:
        found = []
        for epoch, record in past.items():
            instance = str(record.get("peer") or record.get("held_by") or "")
            if epoch and instance:
                found.append(
                    {
                        "epoch": epoch,
                        "instance": instance,
                        "status": record["outcome"] if record.get("peer") else "released",
                        "assigned_at": self._began(instance, task, epoch),
                        "ended_at": record.get("at"),
                    }
                )
        if place.holder and place.epoch not in past:
            home = names.peer_dir(_incarnation(place))
            ticket = names.Ticket(task, place.epoch)
            record = self.queue.read_record(names.assignment(home, ticket)) or {}
            began = record.get("assigned_at") or self._began(place.holder, task, place.epoch)
            claim = {"epoch": place.epoch, "instance": place.holder, "status": "in-progress"}
            found.append({**claim, "assigned_at": began, "ended_at": None})
        return found

    def _began(self, peer: str, task: str, epoch: int) -> str | None:
        """Say when a claim began: from its holder's report, or from its events where that has moved on."""
        entry = self.reports.entry(peer, names.Ticket(task, epoch))
        if entry and entry.get("started_at"):
            return str(entry["started_at"])
        word = f'"{task}"'.encode()
        for line in self.files.read_tail(names.events(peer)).splitlines():
            if b'"claimed"' in line and word in line:
                try:
                    event = records.decode(line, names.events(peer))
                except BrokenFileError:
                    continue
                if (event.get("event"), str(event.get("task")), event.get("epoch")) == ("claimed", task, epoch):
                    return str(event.get("at"))
        return None


def _was_held(meeting: Meeting) -> bool:
    """Tell whether a task was in anybody's hands, so that an epoch of it is told."""
    return bool(meeting.ours.get("claims"))


def shared(definition: Definition) -> Json:
    """Give the fields of a definition that other lists share, in the form in which they are compared."""
    raw = definition.raw
    texts = {key: str(raw.get(key) or "") for key in sync.TEXTS}
    return {
        **texts,
        "description": sync.described(definition.title, texts["description"]),
        "priority": names.PRIORITIES[definition.level],
        "dependencies": sorted(definition.dependencies, key=ids.natural),
        "steps": [[step.step, step.title] for step in definition.steps],
    }


def _incarnation(place: Place) -> names.Incarnation:
    who = names.parse_incarnation(place.detail)
    if who is None:
        raise BrokenFileError(f"{place.path} is in nobody's hands")
    return who


def _state(place: Place, definition: Definition) -> str:
    if definition.cancelled is not None and place.state != "done":
        return sync.CANCELLED  # also while its holder has yet to hear of it
    if place.state == "parked":
        return _PARKED.get(place.detail, sync.BLOCKED)
    return {"claimed": sync.HELD, "done": sync.DONE}.get(place.state, sync.OPEN)


def _progress(place: Place, last: Json) -> Json | None:
    """Give a holder's, or the last holder's, progress in the mission's schema."""
    if not last:
        return None
    if place.state == "done":
        return {"progress": 1.0, "status": "done", **{key: last[key] for key in _PROGRESS if key in last}}
    status = "in-progress" if place.holder else str(last.get("outcome", ""))
    progress = last.get("progress")
    return {
        "progress": progress if isinstance(progress, (int, float)) else 0.0,
        "status": status,
        **{key: last[key] for key in _PROGRESS if key in last},
    }


def _summary(instance: str | None, progress: Json | None, data: Json | None) -> Json | None:
    """Give all that only the team knows of a task as one record, once someone has had it."""
    if not (instance or progress or (data and data["epoch"])):
        return None
    told = {key: value for key, value in (progress or {}).items() if key in _TOLD and value}
    return {**({"assigned_to": instance} if instance else {}), **(data or {}), **told}


def _outcome(said: set[str], final: bool) -> str:
    others = said - {"done"}
    return "done" if "done" in said and (final or not others) else min(others)


def _rank(path: str) -> tuple[bool, bool, int, bool]:
    """Which of two places of one ticket is the later; what is still being added, or lost the race for it, is first."""
    place = Place(path)
    added = not path.startswith(names.NEW)
    return (added, place.state == "done", place.epoch, path.startswith((names.PEERS, names.DEPARTED)))
