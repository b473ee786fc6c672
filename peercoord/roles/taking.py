"""Taking in what people changed in another list: into the definition, then to the ticket, one rename each.

Promises: a change is taken in only if the definition is still the one that was compared, so a leader that slept in
between undoes nobody's edit; every step may be the last one before a crash, and taking the same change in again does
no harm; what a person wrote here and another person overruled there stays readable, in the notes of the task.
"""

from __future__ import annotations

from peercoord.core import ids, names, records, sync, tickets
from peercoord.core.errors import LostError, PeercoordError
from peercoord.core.limits import NOTE_CHARS
from peercoord.core.names import Ticket
from peercoord.roles.ours import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.core.records import Definition, Json
    from peercoord.core.sync import Settlement
    from peercoord.roles.ours import Ours
    from peercoord.roles.queue import Queue

BY = "database"
_STILL = ("waiting", "ready", "parked", "done")


class Taking:
    """Takes changes into the tickets of one coordination directory.

    Args:
        queue: The tasks.
        ours: Looks at them.
        where: Name of the list that the changes come from, as records note it.
        require: Raises ``LostError`` once the term under which this is done is over.
    """

    def __init__(self, queue: Queue, ours: Ours, where: str, require: Callable[[], None]) -> None:
        self.queue, self.ours, self.where, self.require = queue, ours, where, require
        self.files = queue.files
        self.root = queue.root

    def take(self, task: str, mark: str, found: Settlement, theirs: Json) -> str:
        """Take the incoming changes of one task in.

        Args:
            task: Which.
            mark: How it stood when it was compared.
            found: What the comparison gave.
            theirs: The other list's values: their ``reason`` for a state, their ``raw_steps``.

        Returns:
            Why it was not done; empty if it was.

        Raises:
            LostError: The term is over; nothing was changed.
        """
        self.require()
        path, changed = mark.split(" ")[:2]
        try:
            definition = self._redefine(task, changed, found, theirs)
        except PeercoordError as error:
            if isinstance(error, LostError):
                raise
            return error.message
        if definition is None:
            return "it was edited here at this moment"
        self._move(definition, Place(path), found.incoming.get("state"), theirs)
        keys = sorted(found.incoming)
        self.root.event(self.queue.actor, "synced", task=task, keys=keys, source=self.where)
        for field, (side, value) in found.lost.items():
            self.root.event(self.queue.actor, "overruled", task=task, field=field, side=side, value=_cut(value))
        return ""

    def finish(self, changed: set[str]) -> None:
        """Place again what was blocked, once states or dependencies have changed."""
        if changed & {"state", "dependencies"}:
            self.queue.place_blocked()
        self.files.ring()

    # -- the definition --------------------------------------------------------------------------------------

    def _redefine(self, task: str, changed: str, found: Settlement, theirs: Json) -> Definition | None:
        with self.root.intake():
            if self.ours.definition_mark(task) != changed:
                return None
            old = self.queue.definition(task)
            raw = self._merged(old, found, theirs)
            new = records.checked(raw)
            if new.dependencies != old.dependencies:
                self.queue.refuse_cycle(new)
            if raw != old.raw:
                self.files.put(names.definition(task), records.encode_stored(raw), durable=True)
            return new

    def _merged(self, old: Definition, found: Settlement, theirs: Json) -> Json:
        raw = dict(old.raw)
        for field, value in found.incoming.items():
            if field in sync.TEXTS or field == "priority":
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
        lost = {f: value for f, (side, value) in found.lost.items() if side == "ours" and f in sync.SHARED}
        overruled = [_overruled(field, value, self.where) for field, value in lost.items()]
        if overruled:
            raw["notes"] = records.notes([*records.notes(raw.get("notes")), *overruled])
        return raw

    def _noted(self, raw: Json, state: str, theirs: Json) -> Json:
        """Write into a definition why its task is set aside, or that it no longer is."""
        raw = {key: value for key, value in raw.items() if key not in ("parked", "cancelled")}
        note = {"by": BY, "at": self.root.clock.now(), "reason": theirs.get("reason") or f"it is so in {self.where}"}
        if state == sync.CANCELLED:
            raw["cancelled"] = note
        elif state not in (sync.OPEN, sync.DONE):
            raw["parked"] = {"why": state, **note}
        return raw

    # -- the ticket ------------------------------------------------------------------------------------------

    def _move(self, definition: Definition, place: Place, state: str | None, theirs: Json) -> None:
        task = definition.task
        with self.root.intake():  # for what is taken up again is reopened here
            epoch = max(place.epoch, tickets.highest_epoch(task, self.queue.results(task)))
            ticket = Ticket(task, epoch)
            if state == sync.DONE:
                self._done(place, ticket, theirs)
            elif place.state in _STILL and (state is not None or place.state != "done"):
                self._place(place, ticket, definition)
        if state == sync.CANCELLED:
            self.queue.place_waiting(task)

    def _place(self, place: Place, ticket: Ticket, definition: Definition) -> None:
        aside = definition.set_aside
        if aside and definition.cancelled is None:
            self.files.move(place.path, names.parked(aside[0], ticket), make_home=True)
        else:
            self.queue.place(place.path, ticket)

    def _done(self, place: Place, ticket: Ticket, theirs: Json) -> None:
        """Finish a task that a person finished elsewhere, whoever holds it: that one's next call says so."""
        record = {
            "schema_version": records.SCHEMA_VERSION,
            "task_id": ids.public(ticket.task),
            "epoch": ticket.epoch,
            "outcome": "done",
            "by": BY,
            "at": self.root.clock.now(),
            "reason": theirs.get("reason") or f"it is done in {self.where}",
            **({"held_by": place.holder} if place.holder else {}),
        }
        data = records.encode(record)
        self.files.publish(names.result(ticket.task, ticket.epoch, "done"), data, durable=True)
        self.files.move(place.path, names.done(ticket.task), make_home=True)
        self.queue.place_waiting(ticket.task)


def _kept(step: Json, task: str, known: dict[str, records.Step]) -> Json:
    """Give a step as it is there now, done if it was done here."""
    mine = known.get(records.step_id(step.get("id"), task))
    return {**step, "status": "done"} if mine and mine.done else step


def _ticked(step: Json, task: str, done: list[str]) -> Json:
    is_done = step.get("status") in records.STEP_DONE
    shall_be = records.step_id(step.get("id"), task) in done
    return step if is_done == shall_be else {**step, "status": "done" if shall_be else "pending"}


def _overruled(field: str, value: object, where: str) -> str:
    return f"'{field}' was changed here too, to {_cut(value)}; what {where} said was taken"


def _cut(value: object) -> str:
    return ids.shown(value if isinstance(value, str) else str(value), NOTE_CHARS // 2)
