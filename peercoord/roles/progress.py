"""What a peer says of its work: one report per peer, in the mission's instance progress schema.

Each report has one writer. Progress is a fact where the task has steps (steps done of all), else the peer's own
estimate, and marked as that. Nothing here decides anything: it is shown, and handed to a task's next holder.
"""

from __future__ import annotations

from peercoord.core import ids, names, records
from peercoord.core.errors import UsageError
from peercoord.core.limits import NOTE_CHARS, RECORD_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.names import Incarnation, Ticket
    from peercoord.core.records import Definition, Json
    from peercoord.roles.queue import Queue

SECONDS_MOST = 10**12  # of time spent on one task: more is a slip, not a time
KEPT = 20  # entries of finished tasks, and of contributions, that stay in a report: the newest


class Reports:
    """The progress reports of a coordination directory.

    Args:
        queue: Its tasks.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.root = queue.root

    def read(self, peer: str) -> Json:
        """Read a peer's report; an empty one if there is none."""
        found = self.queue.read_record(names.report(peer)) or {}
        entries = found.get("assigned_tasks")
        found["assigned_tasks"] = [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
        return found

    def entry(self, peer: str, ticket: Ticket) -> Json | None:
        """Read what a peer reported of one claim; ``None`` if nothing."""
        return next((e for e in self.read(peer)["assigned_tasks"] if is_of(e, ticket)), None)

    def unfinished(self, peer: str) -> list[tuple[str, int]]:
        """List the claims whose work a peer never ended itself, newest first: task and epoch."""
        entries = [e for e in self.read(peer)["assigned_tasks"] if e.get("status") == "in-progress"]
        claims = [(str(e.get("task_id")), e.get("epoch")) for e in reversed(entries)]
        return [(task, epoch) for task, epoch in claims if ids.is_id(task) and isinstance(epoch, int)]

    def begin(self, me: Incarnation, ticket: Ticket, definition: Definition) -> None:
        """Open the entry of a task just claimed."""
        self.write(me, self.opened(ticket, definition))

    def opened(self, ticket: Ticket, definition: Definition) -> Json:
        """Make the entry of a task just claimed."""
        done = [step.step for step in definition.steps if step.done]
        return {
            "task_id": ids.public(ticket.task),
            "title": definition.title,
            "progress": records.steps_progress(definition, done) or 0.0,
            "status": "in-progress",
            "time_spent": 0,
            "completion_estimate": "",
            "blockers": [],
            "achievements": [],
            "epoch": ticket.epoch,
            "steps_done": done,
            "steps": len(definition.steps),
            "started_at": self.root.clock.now(),
        }

    def write(self, me: Incarnation, entry: Json) -> None:
        """Put one entry into a peer's report, in the place of the one for the same claim."""
        report = self.read(me.peer)
        entry = {**entry, "updated_at": self.root.clock.now()}
        others = [e for e in report["assigned_tasks"] if e.get("task_id") != entry["task_id"]]
        ended = [e for e in others if e.get("status") != "in-progress"][-KEPT:]
        running = [e for e in others if e.get("status") == "in-progress"]
        self._put(me, {**report, "assigned_tasks": [*ended, *running, entry]})

    def contributed(self, me: Incarnation, contribution: Json) -> None:
        """Note a memory contribution in a peer's report, as the mission's schema shows it."""
        report = self.read(me.peer)
        note = {key: contribution[key] for key in ("file", "type", "content", "timestamp", "id") if key in contribution}
        known = report.get("memory_contributions")
        listed = [n for n in known if isinstance(n, dict)] if isinstance(known, list) else []
        self._put(me, {**report, "memory_contributions": [*listed, note][-KEPT:]})

    def _put(self, me: Incarnation, report: Json) -> None:
        whole = {
            "schema_version": records.SCHEMA_VERSION,
            "instance_id": me.peer,
            "assigned_tasks": report["assigned_tasks"],
            "memory_contributions": report.get("memory_contributions", []),
            "incarnation": str(me),
            "updated_at": self.root.clock.now(),
        }
        whole = {**whole, **report, **_identity(whole)}
        while len(records.encode(whole)) > RECORD_BYTES and _shortened(whole):
            continue
        self.root.files.put(names.report(me.peer), records.encode_stored(whole))


def _identity(whole: Json) -> Json:
    return {key: whole[key] for key in ("instance_id", "incarnation", "updated_at")}


def _shortened(report: Json) -> bool:
    """Leave out the oldest finished task, or else contribution, of a report too large to be read again."""
    tasks, notes = report["assigned_tasks"], report["memory_contributions"]
    ended = next((at for at, entry in enumerate(tasks[:-1]) if entry.get("status") != "in-progress"), None)
    if ended is not None:
        report["assigned_tasks"] = [*tasks[:ended], *tasks[ended + 1 :]]
    elif isinstance(notes, list) and notes:
        report["memory_contributions"] = notes[1:]
    else:
        return False
    return True


def is_of(entry: Json, ticket: Ticket) -> bool:
    """Tell whether an entry of a report is about this very claim."""
    return str(entry.get("task_id")) == ticket.task and entry.get("epoch") == ticket.epoch


def updated(entry: Json, definition: Definition, said: Json) -> Json:
    """Give an entry with what a peer now says of its task.

    Args:
        entry: As it was.
        definition: The task.
        said: ``progress`` (0 … 1), ``achievements`` and ``blockers`` (added to the known ones), ``time_spent``
            (seconds in all), ``estimate``, ``steps`` (ids of steps done now), ``status``; all optional.

    Raises:
        UsageError: A value is not allowed, or a step is none of this task's.
    """
    new = dict(entry)
    new["achievements"] = _merged(entry.get("achievements"), said.get("achievements"))
    new["blockers"] = _merged(entry.get("blockers"), said.get("blockers"))
    if said.get("time_spent") is not None:
        new["time_spent"] = _seconds(said["time_spent"])
    if said.get("estimate") is not None:
        new["completion_estimate"] = str(said["estimate"])[:NOTE_CHARS]
    if said.get("status"):
        new["status"] = said["status"]
    steps = {step.step for step in definition.steps}
    now = [records.step_id(step, definition.task) for step in said.get("steps") or ()]
    for step in now:
        if step not in steps:
            raise _no_step(step, definition)
    new["steps_done"] = [s for s in dict.fromkeys([*records.notes(entry.get("steps_done")), *now]) if s in steps]
    new["steps"] = len(steps)
    share = records.steps_progress(definition, new["steps_done"])
    if share is not None:
        new["progress"] = share
    elif said.get("progress") is not None:
        new["progress"] = records.fraction(said["progress"])
    elif not isinstance(new.get("progress"), (int, float)):
        new["progress"] = 0.0
    return new


def _seconds(value: object) -> int:
    try:
        seconds: int = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        seconds = SECONDS_MOST + 1
    if seconds > SECONDS_MOST:
        raise UsageError(f"time spent {ids.shown(value)} is not a number of seconds")
    return max(0, seconds)


def _merged(known: object, more: object) -> list[str]:
    return records.notes(list(dict.fromkeys([*records.notes(known), *records.notes(more)])))


def _no_step(step: str, definition: Definition) -> UsageError:
    return UsageError(
        f"task {definition.task} has no step {step}",
        hint=f"its steps: {', '.join(s.step for s in definition.steps) or 'none'}",
        code="no-step",
    )
