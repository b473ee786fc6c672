"""Progress reports: one per peer, in the mission's instance progress schema.

Each report has one writer. Progress is a fact if the task has steps (steps done of all), else the peer's own estimate,
marked as such. A report never decides who holds a task: it is shown, and handed over to the task's next holder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord import foreign
from peercoord.errors import UsageError
from peercoord.foreign import clean, shown
from peercoord.store import ids, paths, records
from peercoord.store.settings import NOTE_CHARS, RECORD_BYTES
from peercoord.system import clock

if TYPE_CHECKING:
    from collections.abc import Collection

    from peercoord.foreign import Json
    from peercoord.queue.tasks import Tasks
    from peercoord.store.paths import Incarnation, Ticket
    from peercoord.store.records import Definition

SECONDS_MOST = 10**12  # of time spent on one task: more is a mistake
MEASURED = "time_measured"  # the time spent is the time since the claim, not the peer's own figure
INTERRUPTED = "interrupted"  # the holder left during the claim; it is preferred for the task when it returns
ASKED = ("blocked", "review")  # the claim ended with a question to a person; its holder goes on after the answer
KEPT = 20  # newest entries of finished tasks, and of contributions, that stay in a report


class Reports:
    """The progress reports of a coordination directory."""

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.root = tasks.root
        self.written: Json | None = None  # the report as it was last written here

    def read(self, peer: str) -> Json:
        """Read a peer's report; an empty one if there is none."""
        found = self.tasks.read_record(paths.report(peer)) or {}
        entries = found.get("assigned_tasks")
        found["assigned_tasks"] = [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
        return found

    def entry(self, peer: str, ticket: Ticket) -> Json | None:
        """Read what a peer reported about one claim; ``None`` if nothing."""
        return entry_of(self.read(peer), ticket)

    def interrupted(self, peer: str) -> list[Ticket]:
        """List the claims that a peer had when it left."""
        entries = [e for e in self.read(peer)["assigned_tasks"] if e.get(INTERRUPTED) is True]
        claims = [(ids.read(e.get("task_id")), foreign.whole(e.get("epoch"))) for e in entries]
        return [paths.Ticket(task, epoch) for task, epoch in claims if task and epoch is not None]

    def opened(self, ticket: Ticket, definition: Definition) -> Json:
        """The entry of a task just claimed."""
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

    def write(self, me: Incarnation, entry: Json, report: Json | None = None) -> None:
        """Put one entry into a peer's report, replacing that task's entry, also of an earlier claim."""
        report = self.read(me.peer) if report is None else report
        entry = {**entry, "updated_at": self.root.clock.now()}
        task = ids.read(entry["task_id"])
        others = [e for e in report["assigned_tasks"] if ids.read(e.get("task_id")) != task]
        ended = [e for e in others if e.get("status") != "in-progress"][-KEPT:]
        running = [e for e in others if e.get("status") == "in-progress"]
        self._put(me, {**report, "assigned_tasks": [*ended, *running, entry]})

    def note(self, me: Incarnation, report: Json) -> None:
        """Write a report in whose entries something was noted. That is no news of the work: no entry's time changes."""
        self._put(me, report)

    def interrupt(self, peer: str) -> None:
        """Mark the claims of a peer that has left as released."""
        report = self.tasks.read_record(paths.report(peer))
        entries = report.get("assigned_tasks") if report else None
        if report is None or not isinstance(entries, list):
            return
        ended = {"status": "released", INTERRUPTED: True}
        running = (isinstance(entry, dict) and entry.get("status") == "in-progress" for entry in entries)
        marked = [entry | ended if runs else entry for entry, runs in zip(entries, running, strict=True)]
        if marked != entries:
            record = {**report, "assigned_tasks": marked, "updated_at": self.root.clock.now()}
            self.root.files.put(paths.report(peer), records.encode_stored(record))

    def contributed(
        self, me: Incarnation, contribution: Json, more: Json | None = None, replaces: Collection[str] = ()
    ) -> None:
        """Add a memory contribution to a peer's report, as the mission's schema shows it."""
        report = self.read(me.peer)
        note = {key: contribution[key] for key in ("file", "type", "content", "timestamp", "id") if key in contribution}
        known = report.get("memory_contributions")
        listed = [n for n in known if isinstance(n, dict)] if isinstance(known, list) else []
        listed = [n for n in listed if n.get("id") not in (contribution.get("id"), *replaces)]
        self._put(me, {**report, "memory_contributions": [*listed, {**note, **(more or {})}][-KEPT:]})

    def _put(self, me: Incarnation, report: Json) -> None:
        own = {"instance_id": me.peer, "incarnation": str(me), "updated_at": self.root.clock.now()}
        first = {"schema_version": records.SCHEMA_VERSION, "instance_id": me.peer}
        whole = {**first, "assigned_tasks": [], "memory_contributions": [], **own, **report, **own}
        data = records.encode(whole)
        while len(data) > RECORD_BYTES and _shortened(whole):
            data = records.encode(whole)
        self.root.files.put(paths.report(me.peer), records.within_limit(data))
        self.written = whole


def entry_of(report: Json, ticket: Ticket) -> Json | None:
    """The entry of one claim in a report; ``None`` if there is none."""
    return next((e for e in report["assigned_tasks"] if is_of(e, ticket)), None)


def unfinished(report: Json) -> list[tuple[str, int]]:
    """The claims, newest first, that give a peer preference: not ended, or ended with a question."""
    found = []
    for entry in reversed(report["assigned_tasks"]):
        if entry.get("status") in ("in-progress", *ASKED) or entry.get(INTERRUPTED) is True:
            task, epoch = ids.read(entry.get("task_id")), foreign.whole(entry.get("epoch"))
            found += [(task, epoch)] if task and epoch is not None else []
    return found


def _shortened(report: Json) -> bool:
    """Drop the oldest finished task, or else contribution; ``False`` if there is none."""
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
    """Check whether an entry of a report is about this claim."""
    return ids.read(entry.get("task_id")) == ticket.task and foreign.whole(entry.get("epoch")) == ticket.epoch


def updated(entry: Json, definition: Definition, said: Json) -> Json:
    """Return an entry updated by what a peer now reports.

    Args:
        entry: As it was.
        definition: The task.
        said: ``progress`` (0 … 1), ``achievements`` and ``blockers`` (added to the known ones), ``time_spent``
            (total seconds), ``estimate``, ``steps`` (ids of steps done now), ``status``; all optional.

    Raises:
        UsageError: A value is not allowed, or the task has no such step.
    """
    new = dict(entry)
    new["achievements"] = _merged(entry.get("achievements"), said.get("achievements"))
    new["blockers"] = _merged(entry.get("blockers"), said.get("blockers"))
    if said.get("time_spent") is not None:
        new["time_spent"] = _seconds(said["time_spent"])
        new.pop(MEASURED, None)
        if not new["time_spent"]:
            new[MEASURED] = False  # 0 is also the value before its peer reported one
    if said.get("estimate") is not None:
        new["completion_estimate"] = clean(str(said["estimate"]))[:NOTE_CHARS]
    if said.get("status"):
        new["status"] = said["status"]
    steps = {step.step for step in definition.steps}
    now = [records.step_id(step, definition.task) for step in said.get("steps") or ()]
    for step in now:
        if step not in steps:
            raise UsageError(
                f"task {definition.task} has no step {step}",
                hint=f"its steps: {', '.join(s.step for s in definition.steps) or 'none'}",
                code="no-step",
            )
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


def measured(entry: Json, now: str) -> Json:
    """Return an entry with the time since its claim, by this peer's own clock, unless the peer reported one."""
    if entry.get(MEASURED) is False or (entry.get("time_spent") and not entry.get(MEASURED)):
        return entry
    began = clock.seconds(entry.get("started_at"))
    return {**entry, "time_spent": max(0, int(clock.seconds(now) - began)), MEASURED: True} if began else entry


def _seconds(value: object) -> int:
    try:
        seconds: int = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        seconds = SECONDS_MOST + 1
    if seconds > SECONDS_MOST:
        raise UsageError(f"time spent {shown(value)} is not a number of seconds")
    return max(0, seconds)


def _merged(known: object, more: object) -> list[str]:
    return records.notes(list(dict.fromkeys([*records.notes(known), *records.notes(more)])))
