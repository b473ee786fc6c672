"""Apply what people changed in another list: to the definition, then to the ticket, by one rename each.

Promises: a change is applied only if the definition is still the one that was compared, so a leader that slept
meanwhile undoes no edit; a crash may follow any step, and applying the same change again does no harm; what a person
wrote here and the list overruled stays readable, in the notes of the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.errors import LostError, PeercoordError
from peercoord.foreign import shown
from peercoord.queue.placement import Location
from peercoord.store import ids, paths, records
from peercoord.store.paths import Ticket
from peercoord.store.settings import NOTE_CHARS
from peercoord.tasklists import reconcile
from peercoord.tasklists.normalize import TaskStatus
from peercoord.tasklists.snapshot import holder_of, location_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.foreign import Json
    from peercoord.queue.queue import Queue
    from peercoord.store.records import Definition
    from peercoord.tasklists.reconcile import Resolution, TaskVersion
    from peercoord.tasklists.snapshot import Tickets

BY = "database"
_UNCLAIMED = ("waiting", "ready", "parked", "done")
_MAX_MOVES = 3  # of one ticket by others, while it is moved here; then it is left to the next sync


class Applier:
    """Applies changes to the tickets of one coordination directory."""

    def __init__(self, queue: Queue, tickets: Tickets, where: str, require: Callable[[], None]) -> None:
        self.queue, self.tickets, self.where, self.require = queue, tickets, where, require
        self.files = queue.files
        self.root = queue.root
        self._applied: set[str] = set()  # fields

    def apply(self, task: str, version: TaskVersion, found: Resolution, theirs: Json) -> str:
        """Apply what follows from comparing one task at this version; return why nothing was applied, else empty.

        Of ``theirs``, the ``reason`` for the state and the ``raw_steps`` count. A ``LostError`` means that the term is
        over, and nothing was changed.
        """
        self.require()
        try:
            definition = self._redefine(task, version.changed, found, theirs)
        except LostError:
            raise
        except PeercoordError as error:
            return error.message
        if definition is None:
            return "it has just been edited here"
        self._move(definition, location_at(version.path), found.incoming.get("state"), theirs)
        self._applied |= found.incoming.keys()
        self.root.event(self.queue.actor, "synced", task=task, keys=sorted(found.incoming), source=self.where)
        for field, (side, value) in found.lost.items():
            self.root.event(self.queue.actor, "overruled", task=task, field=field, side=side, value=_cut(value))
        return ""

    def finish(self) -> None:
        """Place blocked tasks again, if states or dependencies changed, and ring if anything did."""
        if self._applied & {"state", "dependencies"}:
            self.queue.place_blocked()
        if self._applied:
            self.files.ring()

    # -- the definition --------------------------------------------------------------------------------------

    def _redefine(self, task: str, changed: str, found: Resolution, theirs: Json) -> Definition | None:
        with self.root.intake():
            if self.tickets.definition_changed(task) != changed:
                return None
            old = self.queue.definition(task)
            self.queue.refuse_renamed(old)
            raw = self._merged(old, found, theirs)
            new = records.checked(raw)
            if new.dependencies != old.dependencies:
                self.queue.refuse_cycle(new)
            if raw != old.raw:
                self.files.put(paths.definition(task), records.encode_stored(raw), durable=True)
            return new

    def _merged(self, old: Definition, found: Resolution, theirs: Json) -> Json:
        raw = dict(old.raw)
        for field, value in found.incoming.items():
            if field in reconcile.TEXTS or field == "priority":
                raw[field] = value
            elif field == "dependencies":
                raw[field] = [ids.public(need) for need in value]
        if "steps" in found.incoming:
            known = {step.step: step for step in old.steps}
            raw["subtasks"] = [_kept(step, old.task, known) for step in theirs["raw_steps"]]
        if "steps_done" in found.incoming:
            raw["subtasks"] = [_ticked(step, old.task, found.incoming["steps_done"]) for step in raw["subtasks"]]
        if "state" in found.incoming:
            raw = self._noted(raw, found.incoming["state"], theirs)
        overruled = [
            f"'{field}' was changed here too, to {_cut(value)}; what {self.where} said was taken"
            for field, (side, value) in found.lost.items()
            if side == "ours" and field in reconcile.SHARED
        ]
        if overruled:
            raw["notes"] = records.notes([*records.notes(raw.get("notes")), *overruled])
        return raw

    def _noted(self, raw: Json, state: str, theirs: Json) -> Json:
        """Return a definition with the note why its task is parked or cancelled, or without one."""
        raw = {key: value for key, value in raw.items() if key not in ("parked", "cancelled")}
        note = {"by": BY, "at": self.root.clock.now(), "reason": theirs.get("reason") or f"its status in {self.where}"}
        if state == TaskStatus.CANCELLED:
            raw["cancelled"] = note
        elif state not in (TaskStatus.OPEN, TaskStatus.DONE):
            raw["parked"] = {"why": state, **note}
        return raw

    # -- the ticket ------------------------------------------------------------------------------------------

    def _move(self, definition: Definition, place: Location, state: str | None, theirs: Json) -> None:
        """Move a ticket to where its new definition and state put it; others may move it meanwhile."""
        task = definition.task
        with self.root.intake():  # a cancelled task may be reopened here
            for _ in range(_MAX_MOVES):
                if self._moved(definition, place, state, theirs):
                    break
                seen = self.queue.locate(task)
                if seen is None or seen.path == place.path:
                    break
                place = location_at(seen.path)
        if state == TaskStatus.CANCELLED:
            self.queue.place_waiting(task)

    def _moved(self, definition: Definition, place: Location, state: str | None, theirs: Json) -> bool:
        """Move a ticket from a place; ``False`` if it is not there any more."""
        task = definition.task
        ticket = Ticket(task, self.queue.highest_epoch(task, place.epoch))
        if state == TaskStatus.DONE:
            return place.state == "done" or self._done(place, ticket, theirs)
        if place.state not in _UNCLAIMED or (state is None and place.state == "done"):
            return place.state != "new"
        aside = definition.set_aside
        if aside and definition.cancelled is None:
            return self.files.move(place.path, paths.parked(aside[0], ticket), make_home=True)
        return bool(self.queue.place(place.path, ticket))

    def _done(self, place: Location, ticket: Ticket, theirs: Json) -> bool:
        """Complete a task that a person completed elsewhere. A holder learns of it at its next call."""
        held = {"held_by": holder_of(place)} if holder_of(place) else {}
        reason = theirs.get("reason") or f"it is done in {self.where}"
        record = self.queue.result_record(ticket, "done", BY, reason=reason, **held)
        path = paths.result(ticket.task, ticket.epoch, "done")
        self.files.publish(path, records.encode(record), durable=True)
        moved = self.files.move(place.path, paths.done(ticket.task), make_home=True)
        self.queue.place_waiting(ticket.task)
        return moved


def _kept(step: Json, task: str, known: dict[str, records.Step]) -> Json:
    """Return a step as the other list has it, but done if it is done here."""
    mine = known.get(records.step_id(step.get("id"), task))
    return {**step, "status": "done"} if mine and mine.done else step


def _ticked(step: Json, task: str, done: list[str]) -> Json:
    is_done = step.get("status") in records.STEP_DONE
    should_be = records.step_id(step.get("id"), task) in done
    return step if is_done == should_be else {**step, "status": "done" if should_be else "pending"}


def _cut(value: object) -> str:
    return shown(value if isinstance(value, str) else str(value), NOTE_CHARS // 2)
