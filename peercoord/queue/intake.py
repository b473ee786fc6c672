"""Add tasks and place their tickets.

A task exists once its birth record does, and from then on it has exactly one ticket. A sequence here that is cut short
is finished by a later repair (``recovery``). ``place`` makes every move of a ticket towards ``waiting/`` or ``ready/``.

The race behind ``place``: a task's last dependency is completed after we looked at it and before we move the ticket to
``waiting/``, and its completer listed ``waiting/`` before our move. So the placer looks again after the move: of placer
and completer, at least one sees the other.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, LostError, NotFoundError, StorageError, UsageError
from peercoord.queue import placement
from peercoord.queue.placement import Location
from peercoord.queue.tasks import Tasks
from peercoord.store import paths, records
from peercoord.store.paths import Ticket
from peercoord.store.records import Birth, Definition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ADDED, KNOWN = "added", "known"
BATCH = 1000  # births that are flushed at once
NO_DIRECTORY = ("enospc", "edquot", "unsteady")  # no room for a shard's directory, or it keeps being removed


class Intake(Tasks):
    """Brings tasks into the queue and their tickets to where they belong."""

    # -- placing ---------------------------------------------------------------------------------------------

    def place(self, path: str, ticket: Ticket, made: Birth | None = None) -> str:
        """Move a ticket to where it belongs: ready, waiting for one unmet dependency, or parked.

        The birth ``made`` a moment ago is not read again. Return where the ticket lies now; empty if another peer moved
        it.
        """
        while True:
            if made is None:
                location, level = self._belongs(ticket.task)
            else:
                location, level = placement.location_of(made.definition, self.dependency_state), made.definition.level
            target = self._path(location, level, ticket, made)
            if target == path:
                return path
            target = self._move(path, target, location.state == "ready", level, ticket)
            if not target:
                return ""
            if location.state == "ready":
                self.files.ring()
            if location.state != "waiting" or self.dependency_state(location.detail) == "open":
                return target
            path, made = target, None

    def location_of(self, task: str) -> Location:
        """Decide where a task's ticket belongs while no peer holds it."""
        return self._belongs(task)[0]

    def ready_path(self, ticket: Ticket) -> str:
        """The path of an unclaimed ticket if its task is ready; empty if it is not."""
        location, level = self._belongs(ticket.task)
        return self._path(location, level, ticket) if location.state == "ready" else ""

    def _belongs(self, task: str) -> tuple[Location, int]:
        location, definition = self.look_up(task)
        return location, definition.level if definition else records.MEDIUM

    def look_up(self, task: str) -> tuple[Location, Definition | None]:
        """A task's location and definition. A task that cannot be read is parked and does not stop the others."""
        try:
            definition = self.definition(task)
        except (BrokenFileError, NotFoundError, StorageError) as error:
            return Location(task, "parked", "unreadable", reason=error.message), None
        return placement.location_of(definition, self.dependency_state), definition

    def _path(self, location: Location, level: int, ticket: Ticket, birth: Birth | None = None) -> str:
        if location.state == "waiting":
            return paths.waiting(location.detail, ticket)
        if location.state == "parked":
            return paths.parked(location.detail, ticket)
        with suppress(BrokenFileError, StorageError):
            birth = birth or self.birth(ticket.task)
        return paths.ready(level, birth.order if birth else 0, ticket)

    def _move(self, path: str, target: str, ready: bool, level: int, ticket: Ticket) -> str:
        try:
            return target if self.files.move(path, target, make_home=True) else ""
        except StorageError as error:
            spare = paths.ready(level, 0, ticket)
            if not ready or spare == target or error.code not in NO_DIRECTORY:
                raise
            return spare if self.files.move(path, spare, make_home=True) else ""  # this shard is never removed

    def place_again(self, task: str) -> Location:
        """Place a task again if its ticket is still waiting, ready or parked as blocked."""
        location = self.find(task)
        if location.state in ("waiting", "ready") or (location.state, location.detail) == ("parked", "blocked"):
            self.place(location.path, Ticket(task, location.epoch))
        return location

    def place_waiting(self, task: str) -> None:
        """Place again every ticket that waits for ``task``, which is done or cancelled now."""
        directory = paths.waiting_dir(task)
        for ticket in self.tickets_or_none(directory):
            self.attempt(self.place, f"{directory}/{ticket}", ticket)
        with suppress(StorageError):
            self.files.remove_dir(directory)

    def place_blocked(self) -> None:
        """Place tickets again that were parked for a dependency, a cycle or an unreadable file: that may be over."""
        for why in ("blocked", "unreadable"):
            for ticket in self.tickets_or_none(f"{paths.PARKED}/{why}"):
                self.attempt(self._place_parked, why, ticket)

    def _place_parked(self, why: str, ticket: Ticket) -> None:
        if why == "blocked" or self.location_of(ticket.task).detail != why:
            self._drop_cycle_note(ticket.task)
            self.place(paths.parked(why, ticket), ticket)

    def _drop_cycle_note(self, task: str) -> None:
        """Remove the note that parks a task for a cycle, once the cycle is gone."""
        if self._without_cycle(task) is None:
            return
        with suppress(LostError, StorageError, UsageError), self.root.intake():  # or next time
            if definition := self._without_cycle(task):  # it may have been edited meanwhile
                raw = {key: value for key, value in definition.raw.items() if key != "parked"}
                self.files.put(paths.definition(task), records.encode(raw), durable=True)

    def _without_cycle(self, task: str) -> Definition | None:
        """The definition of a task that is parked for a cycle which no longer exists."""
        try:
            definition = self.definition(task)
        except (BrokenFileError, NotFoundError, StorageError):
            return None
        if definition.note.get("kind") != "cycle":
            return None
        return None if placement.cycle_through(task, self.dependencies_with(definition)) else definition

    # -- adding ----------------------------------------------------------------------------------------------

    def add(self, definition: Definition, *, done: bool = False) -> str:
        """Add one task, perhaps finished elsewhere before; return where its ticket lies.

        Raises:
            UsageError: The id is taken, a dependency is unknown, or a cycle would close (with its path).
        """
        with self.root.intake():
            self._refuse_unknown(definition.task, definition.dependencies)
            self.refuse_cycle(definition)
            order = self.next_order()
            if self.create(definition, order, done=done) == KNOWN:
                raise UsageError(
                    f"there is a task {definition.task} already",
                    hint=f"change it with: peercoord task edit {definition.task}",
                    code="exists",
                )
            self.note_order(order + 1)
        location = self.locate(definition.task)
        return location.path if location else ""

    def create(self, definition: Definition, order: int, *, done: bool = False) -> str:
        """Create a task. The caller holds the intake mutex and has checked the dependencies.

        The ticket comes first and the birth record decides. The other way round, a peer that finds a birth without a
        ticket could not tell a crash from a ticket that has moved on, and might make a second one.

        Returns:
            ``ADDED``, or ``KNOWN`` if the task existed.

        Raises:
            UsageError: Another id differs from this one only in case.
        """
        birth = Birth(definition.task, self.files.token(), order, definition)
        return self._create_staged(birth, done, self._stage(birth, done, durable=True), durable=True)

    def create_all(
        self, coming: Iterable[tuple[Definition, int, bool]]
    ) -> Iterator[tuple[Definition, str | UsageError]]:
        """Create many tasks as ``create`` does, but flush a thousand births at once, before any of them counts.

        The caller flushes again, for the names. Each task comes with its place in the order of adding, and whether it
        was finished before; yielded with it is what ``create`` would return or raise.
        """
        left = iter(coming)
        while batch := list(islice(left, BATCH)):
            births = [(Birth(task.task, self.files.token(), order, task), done) for task, order, done in batch]
            staged = [_answer(self._stage, birth, done, False) for birth, done in births]
            self.files.flush()
            for (birth, done), path in zip(births, staged, strict=True):
                refused = isinstance(path, UsageError)
                yield birth.definition, path if refused else _answer(self._create_staged, birth, done, path, False)

    def _stage(self, birth: Birth, done: bool, durable: bool) -> str:
        return self.files.stage(self._birth_record(birth, done), durable)

    def _birth_record(self, birth: Birth, done: bool) -> bytes:
        record = birth.record(self.actor, self.root.clock.now()) | ({"state": "done"} if done else {})
        return records.encode_stored(record)

    def _create_staged(self, birth: Birth, done: bool, staged: str, durable: bool) -> str:
        task, (home, _, name) = birth.task, paths.birth(birth.task).rpartition("/")
        new, listed = paths.new_ticket(task, birth.nonce), self.files.scan(home)
        try:
            self.refuse_case_twin(task, listed)
            if name not in listed:  # after staging, which has shown that the disk is not full
                self.files.ticket(new)
                if durable:
                    self.files.sync(paths.NEW)
        except (StorageError, UsageError):
            self.files.drop(staged)
            raise
        if name in listed:
            self.files.drop(staged)
            return self._create_again(birth, done) if self.is_lost(task) else KNOWN
        if not self.files.publish_staged(staged, paths.birth(task), durable):
            winner = self.birth(task)
            if winner is None:
                return KNOWN  # the name is taken and its record cannot be seen: a later repair finds out whose it is
            if winner.nonce != birth.nonce:
                self.files.remove(new)
                return KNOWN
        with suppress(StorageError):  # the task exists; a later repair places it as soon as the disk permits
            self.finish_adding(new, birth, done)
        self.root.event(self.actor, "added", task=task)
        return ADDED

    def _create_again(self, birth: Birth, done: bool) -> str:
        """Write a birth record that a power cut left blank. The ticket that was made for it stays the only one."""
        task, found = birth.task, self.locate(birth.task)
        new = paths.parse_new(found.path.rpartition("/")[2]) if found else None
        birth = Birth(task, new[1] if new else birth.nonce, birth.order, birth.definition)
        path = paths.new_ticket(task, birth.nonce)
        if found is None and self.files.ticket(path):
            self.files.sync(paths.NEW)
        self.files.put(paths.birth(task), self._birth_record(birth, done), durable=True)
        if found is None or new:
            self.finish_adding(path, birth, done)
        else:
            self.place_again(task)
        return ADDED

    def finish_adding(self, new: str, birth: Birth, done: bool) -> None:
        """Take a task from its birth to its first place: definition, then ticket. Repeatable."""
        made = False
        with suppress(StorageError):  # the birth record holds it as well
            made = self.files.publish(paths.definition(birth.task), records.encode(birth.definition.raw))
        if done:
            record = self.result_record(Ticket(birth.task, 0), "done", "before it was added here")
            self.files.publish(paths.result(birth.task, 0, "done"), records.encode(record))
            self.files.move(new, paths.done(birth.task), make_home=True)
            self.place_waiting(birth.task)
        else:
            self.place(new, Ticket(birth.task, 0), birth if made else None)

    def _refuse_unknown(self, task: str, dependencies: Iterable[str]) -> None:
        for dependency in dependencies:
            if dependency != task and self.dependency_state(dependency) == "unknown":
                raise UsageError(
                    f"task {task} depends on task {dependency}, which is not known",
                    hint=f"add task {dependency} first",
                    code="unknown-dependency",
                )

    def refuse_cycle(self, definition: Definition) -> None:
        """Refuse a definition whose dependencies lead back to it; the message shows the path."""
        path = placement.cycle_through(definition.task, self.dependencies_with(definition))
        if path:
            raise UsageError(
                f"task {definition.task} would wait for itself: {' → '.join(path)}",
                hint="leave one of these dependencies out",
                code="cycle",
            )

    def refuse_case_twin(self, task: str, listed: Iterable[str] | None = None) -> None:
        """Refuse an id that differs only in case from another task's, of those listed beside its birth record."""
        for name in self.files.scan(f"{paths.BIRTHS}/{paths.shard(task)}") if listed is None else listed:
            other = paths.parse_record(name)
            if other and other != task and other.lower() == task.lower():
                raise UsageError(
                    f"task id {task} differs from {other} only in case",
                    hint="some filesystems cannot tell them apart: choose another id",
                    code="case-twin",
                )

    def next_order(self) -> int:
        """The next number in the order of adding. It only orders: a number used twice does no harm."""
        data = self.files.read(paths.ORDER)
        known = paths.number((data or b"").decode("ascii", "replace").strip())
        return known if known is not None else len(self.all_tasks())

    def note_order(self, order: int) -> None:
        """Keep the next number in the order of adding."""
        with suppress(StorageError):
            self.files.put(paths.ORDER, f"{order}\n".encode())


def _answer(do: Callable[..., str], *args: object) -> str | UsageError:
    """Return what a call answers, or the error with which it refuses."""
    try:
        return do(*args)
    except UsageError as error:
        return error
