"""The task queue: edit, cancel, reopen, accept and park tasks.

``Queue`` is what the rest of the program uses. Reading and finding tasks is in ``tasks``, adding and placing them in
``intake``, claiming and completing in ``claims``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord import foreign
from peercoord.errors import BrokenFileError, LostError, PeercoordError, StorageError, UsageError
from peercoord.queue import duplicates
from peercoord.queue.intake import Intake
from peercoord.store import ids, paths, records
from peercoord.store.files import parent
from peercoord.store.paths import Ticket

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.queue.placement import Location
    from peercoord.store.records import Definition

RENAMING = "rename"  # kind of the note in the definition of a task that is being renamed


class Queue(Intake):
    """The tasks of one coordination directory, with every change of a task that no peer holds.

    Args:
        root: The open directory.
        actor: Who acts, for births and events: a peer's name, or a word for a person.
    """

    def edit(self, task: str, **changes: object) -> Definition:
        """Change a task's definition, and its place if no peer holds it.

        Args:
            task: Which.
            changes: Keys of the definition with their new values; ``None`` removes one.

        Raises:
            UsageError: The new definition is not allowed, names a new dependency that is not known or closes a cycle;
                or the task is being renamed.
        """
        with self.root.intake():
            old = self.definition(task)
            self.refuse_renamed(old)
            raw = {key: value for key, value in {**old.raw, **changes}.items() if value is not None}
            changed = records.checked(raw | {"edited_at": self.root.clock.now()})
            if changed.task != task:
                raise UsageError(f"task {task} keeps its id", hint="add the other as a task of its own", code="bad-id")
            if changed.dependencies != old.dependencies:
                self._refuse_unknown(task, [d for d in changed.dependencies if d not in old.dependencies])
                self.refuse_cycle(changed)
            self.files.put(paths.definition(task), records.encode_stored(changed.raw), durable=True)
        self.root.event(self.actor, "edited", task=task, keys=sorted(changes))
        self.place_again(task)
        if changed.dependencies != old.dependencies:
            self.place_blocked()
        return changed

    def renamed_to(self, definition: Definition) -> str:
        """The second id of a task whose renaming a crash cut short; empty if it has one id."""
        note = definition.note
        new = ids.read(note.get("to")) if note.get("kind") == RENAMING else ""
        mine, other = (self.birth(definition.task), self.birth(new)) if new else (None, None)
        return new if mine and other and other.definition.raw.get("renamed_from") == mine.mark else ""

    def refuse_renamed(self, definition: Definition, to: str = "") -> None:
        """Refuse to change a task that has a second id other than ``to``: it could be claimed under both."""
        new = self.renamed_to(definition)
        if new not in ("", to):
            raise UsageError(
                f"task {definition.task} is being renamed to {new}",
                hint=f"go on with it: peercoord task rename {definition.task} {new}",
                code="renaming",
            )

    def cancel(self, task: str, reason: str = "") -> Location:
        """Cancel a task, unless it is done; tasks that wait for it are parked as blocked. Return where its ticket lay.

        A peer that holds it goes on until it asks or reports; then the task is parked.
        """
        if self.find(task).state == "done":
            raise UsageError(f"task {task} is done", hint=f"peercoord task reopen {task}", code="done")
        note = {"by": self.actor, "at": self.root.clock.now(), "reason": reason or "cancelled"}
        self.edit(task, cancelled=note)
        location = self.find(task)
        if location.state == "parked":
            self.place(location.path, Ticket(task, location.epoch))
        self.place_waiting(task)
        return location

    def reopen(self, task: str, answer: str = "", claims: str = "") -> str:
        """Put a done or parked task back into the queue. Its epoch continues from its highest one.

        Args:
            task: Which.
            answer: A person's answer to the reason for which it was parked, kept in the definition for its next holder.
            claims: The ``claims/`` of a peer that gets it at once if it is ready; empty: no particular peer.

        Returns:
            Where its ticket lies now.

        Raises:
            LostError: A peer holds it, or it moved meanwhile.
            UsageError: Its dependencies close a cycle; it is being renamed; or there is an answer, and it was not
                parked for a person.
        """
        with self.root.intake():
            location = self.find(task)
            seen = self.files.stat(location.path)
            if seen is not None and seen.links > 1 and duplicates.remove_duplicates_of(self, task):
                location = self.find(task)
            if location.state in ("claimed", "departed") and not answer:
                raise LostError(f"task {task} is held by {location.detail}", hint=f"peercoord reassign {task} PEER")
            try:
                definition = self.definition(task)
            except BrokenFileError:
                definition = self.restored_definition(task)
            self.refuse_renamed(definition)
            self.refuse_cycle(definition)
            raw = {key: value for key, value in definition.raw.items() if key not in ("parked", "cancelled")}
            if answer:
                raw["answers"] = self._with_answer(location, definition, answer)
            self.files.put(paths.definition(task), records.encode_stored(raw), durable=True)
            # still under the mutex: done/<id> has no epoch, and may come back while we hold on to an older one
            ticket = Ticket(task, self.highest_epoch(task, location.epoch))
            placed = f"{claims}/{self.next_claim(ticket)}" if claims and self.location_of(task).state == "ready" else ""
            if not placed or not self.files.move(location.path, placed):
                placed = self.place(location.path, ticket)
        if not placed:
            raise moved_meanwhile(task)
        self.files.sync_move(location.path, placed)
        self.root.event(self.actor, "answered" if answer else "reopened", task=task)
        self.place_blocked()
        return placed

    def _with_answer(self, location: Location, definition: Definition, answer: str) -> list[Json]:
        """The task's answers with a new one, to the question for which it is parked."""
        task, note = location.task, definition.note
        note = note if definition.set_aside and note.get("kind") != "cycle" else {}
        known = records.answers(definition.raw.get("answers"))
        if location.state == "parked" and self.is_answered(definition, location.epoch):
            note = {"reason": known[-1].get("question"), "by": known[-1].get("asked_by")}
        elif (location.state, location.detail) == ("parked", "failed"):
            note = (self.result(task) or (0, "", {}))[2]
        elif location.state != "parked" or location.detail not in ("blocked", "review") or not note:
            detail = location.detail.partition("~")[0]
            state = f"{detail} holds it" if location.state == "claimed" else f"it is {location.state} {detail}".strip()
            raise UsageError(
                f"task {task} waits for no answer: {state}", hint=f"see: peercoord task show {task}", code="not-asked"
            )
        new = {
            "question": note.get("reason"),
            "asked_by": note.get("peer") or note.get("by"),
            "answer": answer,
            "by": self.actor,
            "at": self.root.clock.now(),
            "epoch": self.highest_epoch(task, location.epoch),
        }
        new = next(iter(records.answers([new])), {})
        repeated = known and all(known[-1].get(key) == new.get(key) for key in ("answer", "epoch"))
        return records.answers(known if repeated else [*known, new])

    def is_answered(self, definition: Definition, epoch: int) -> bool:
        """Check whether a person answered a parked task and only its ticket has not moved yet."""
        if definition.set_aside is not None:
            return False
        last = records.answers(definition.raw.get("answers"))[-1:]
        return bool(last) and last[0].get("epoch") == self.highest_epoch(definition.task, epoch)

    def accept(self, task: str) -> None:
        """Finish a task in review, for a person who has looked at it."""
        with self.root.intake():
            location = self.find(task)
            if (location.state, location.detail) != ("parked", "review"):
                raise UsageError(
                    f"task {task} is not in review", hint=f"see: peercoord task show {task}", code="not-in-review"
                )
            ticket = Ticket(task, self.highest_epoch(task, location.epoch))
            last = self.result(task)
            known = last[2] if last and last[0] == ticket.epoch else {}
            accepted = {"reason": "accepted in review", "progress": 1.0}
            record = {**known, **self.result_record(ticket, "done", self.actor, **accepted)}
            self.files.publish(paths.result(task, ticket.epoch, "done"), records.encode_stored(record), durable=True)
            if not self.files.move(location.path, paths.done(task), make_home=True):
                raise moved_meanwhile(task)
        self.files.sync_move(location.path, paths.done(task))
        self.root.event(self.actor, "accepted", task=task)
        self.place_waiting(task)
        self.files.ring()

    def park(self, path: str, ticket: Ticket, why: str, reason: str) -> bool:
        """Park a ticket for a person, with the reason in its definition; ``False`` if it was gone from ``path``.

        The ticket moves first, so that a zombie that no longer holds it does not leave its reason behind. A crash
        before the reason is written leaves a task parked without one, or sends a blocked one back to the queue.
        """
        if why not in paths.PARKED_WHY:
            raise PeercoordError(f"tasks are not parked as {foreign.shown(why)}")
        with self.root.intake():
            raw = dict(self.definition(ticket.task).raw)
            raw["parked"] = {"why": why, "reason": reason, "by": self.actor, "at": self.root.clock.now()}
            data = records.encode_stored(raw)
            if not self.files.move(path, paths.parked(why, ticket), make_home=True):
                return False
            try:
                self.files.sync_move(path, paths.parked(why, ticket))
                self.files.put(paths.definition(ticket.task), data, durable=True)
            except StorageError:  # back to its holder, at the next epoch
                self.files.move(paths.parked(why, ticket), f"{parent(path)}/{self.next_claim(ticket)}")
                raise
        self.root.event(self.actor, "parked", task=ticket.task, why=why, reason=reason)
        return True


def moved_meanwhile(task: str) -> LostError:
    """The error for a ticket that another peer moved in the middle of a change."""
    return LostError(f"task {task} moved meanwhile", hint=f"look again: peercoord task show {task}")
