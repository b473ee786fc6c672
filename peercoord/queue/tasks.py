"""Read tasks and find their tickets.

A task has a birth record, a definition that people may edit, one ticket, and a result for each attempt. The directory
in which its ticket lies is its state, so a task is found by listing directories. Nothing here moves a ticket.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, LostError, NotFoundError, StorageError
from peercoord.queue import placement
from peercoord.queue.placement import Location
from peercoord.store import ids, paths, records
from peercoord.store.paths import Ticket
from peercoord.store.records import Birth, Definition
from peercoord.store.settings import LOOKS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from peercoord.foreign import Json
    from peercoord.store.root import Root

    Scan = Callable[[str], list[str]]

WRITING_NS = 2 * 10**9  # an editor may have emptied the file and be about to write it


class Tasks:
    """The tasks of one coordination directory.

    Args:
        root: The open directory.
        actor: Who acts, for births and events: a peer's name, or a word for a person.
    """

    def __init__(self, root: Root, actor: str = "person") -> None:
        self.root = root
        self.files = root.files
        self.actor = actor
        self._reported: set[str] = set()  # failures of repair steps that are in the event log already

    # -- records ---------------------------------------------------------------------------------------------

    def birth(self, task: str) -> Birth | None:
        """Read a task's birth record; ``None`` if there is no such task, or the record is blank.

        Raises:
            BrokenFileError: The record cannot be understood. It stays in place, because it is the only one.
        """
        path = paths.birth(ids.check(task))
        data = self.files.read(path)
        if data is None or records.is_blank(data):
            return None
        return Birth.read(records.decode(data, path), path, task)

    def definition(self, task: str) -> Definition:
        """Read a task's definition; rebuild it from the birth record if the file was lost.

        Raises:
            NotFoundError: There is no such task.
            BrokenFileError: The file cannot be understood and is in quarantine now. The birth record still holds the
                task as it was added, and the caller that holds the ticket parks it as unreadable.
        """
        path = paths.definition(ids.check(task))
        broken: BrokenFileError | None = None
        data = b""
        try:
            data = self.files.read(path) or b""
            if not records.is_blank(data):
                return Definition.read(records.decode(data, path), path, task)
        except BrokenFileError as error:
            if not data or not self._is_remnant(task, data):
                broken = error
                self._quarantine(path, error)
        aside = self._quarantined_copy(path)
        if aside:
            raise BrokenFileError(
                f"{path} could not be read and was set aside as {aside}",
                hint=f"put a mended copy at {path}, or take the task as it was added: peercoord task reopen {task}",
            )
        if broken:
            raise broken
        return self.restored_definition(task)

    def restored_definition(self, task: str) -> Definition:
        """Return the definition with which a task was added, and write it if its file is missing."""
        birth = self.birth(task)
        if birth is None:
            raise no_task(task)
        path, whole = paths.definition(task), records.encode(birth.definition.raw)
        with suppress(BrokenFileError, StorageError):
            # only if the name is free: a read may not have shown an existing file
            if not self.files.publish(path, whole) and self._is_abandoned(task, path):
                self.files.put(path, whole)
        return birth.definition

    def _quarantine(self, path: str, error: BrokenFileError) -> None:
        with suppress(StorageError):  # a reader without write permission leaves it for a peer that has it
            aside = self.files.quarantine(path, error.message)
            self.root.event(self.actor, "quarantined", path=path, to=aside, reason=error.message)

    def _quarantined_copy(self, path: str) -> str:
        """The quarantined file that came from ``path``; empty if there is none, or it has no content."""
        aside = self.files.set_aside(path)
        with suppress(BrokenFileError):
            if aside and records.is_blank(self.files.read(aside) or b""):
                return ""
        return aside

    def _is_remnant(self, task: str, data: bytes) -> bool:
        """Whether a power cut left this of the definition with which the task was added."""
        with suppress(BrokenFileError, StorageError):
            birth = self.birth(task)
            return birth is not None and records.is_remnant(data, records.encode(birth.definition.raw))
        return False

    def _is_abandoned(self, task: str, path: str) -> bool:
        """Whether only a remnant lies at ``path`` and no editor is about to write the file."""
        seen, data = self.files.stat(path), self.files.read(path)
        if seen is None or data is None or not (records.is_blank(data) or self._is_remnant(task, data)):
            return False
        return seen.modified_ns < self.files.now() - WRITING_NS

    def is_lost(self, task: str) -> bool:
        """Check whether a birth record exists without content: a power cut came while the task was added."""
        data = self.files.read(paths.birth(task))
        return data is not None and records.is_blank(data)

    def was_added_done(self, task: str) -> bool:
        """Check whether a task was already finished when it was added."""
        data = self.files.read(paths.birth(task))
        return data is not None and records.decode(data, paths.birth(task)).get("state") == "done"

    def all_tasks(self) -> list[str]:
        """Ids of all tasks that were ever added, in no order."""
        shards = filter(paths.is_shard, self.files.scan(paths.BIRTHS))
        return [t for s in shards for t in map(paths.parse_record, self.files.scan(f"{paths.BIRTHS}/{s}")) if t]

    def read_record(self, path: str) -> Json | None:
        """Read a record that only informs; ``None`` if it is missing, blank or broken.

        A broken one is quarantined, except for births and results: there the name alone counts.
        """
        try:
            data = self.files.read(path)
            return None if data is None or records.is_blank(data) else records.decode(data, path)
        except BrokenFileError as error:
            if not path.startswith((f"{paths.BIRTHS}/", f"{paths.RESULTS}/")):
                self._quarantine(path, error)
            return None

    # -- results ---------------------------------------------------------------------------------------------

    def outcomes(self, task: str) -> list[tuple[int, str]]:
        """Epoch and outcome of each result of a task, oldest first."""
        return placement.outcomes(task, self.files.scan(paths.results_dir(task)))

    def result(self, task: str) -> tuple[int, str, Json] | None:
        """Read a task's newest result: epoch, outcome, record. A record that cannot be read counts as empty.

        Of two outcomes at one epoch, the one that agrees with the ticket is returned.
        """
        ended = self.outcomes(task)
        if not ended:
            return None
        truth = "done" if self.is_done(task) else "evicted"  # a zombie may have written the other one
        epoch, outcome = max(ended, key=lambda end: (end[0], end[1] == truth, end[1] == "done", end[1]))
        return epoch, outcome, self.read_record(paths.result(task, epoch, outcome)) or {}

    def result_record(self, ticket: Ticket, outcome: str, by: str, **more: object) -> Json:
        """The record of an attempt that ended now."""
        return {
            "schema_version": records.SCHEMA_VERSION,
            "task_id": ids.public(ticket.task),
            "epoch": ticket.epoch,
            "outcome": outcome,
            "by": by,
            "at": self.root.clock.now(),
            **more,
        }

    def released_result(self, ticket: Ticket) -> Json:
        """Read the result of a claim whose only outcome is that its holder released it; empty for any other."""
        if [outcome for epoch, outcome in self.outcomes(ticket.task) if epoch == ticket.epoch] != ["released"]:
            return {}
        return self.read_record(paths.result(ticket.task, ticket.epoch, "released")) or {}

    def next_claim(self, ticket: Ticket) -> Ticket:
        """The ticket as it is once claimed, at an epoch above its own and above every result of the task.

        ``done/<id>`` has no epoch, so a slow reopening may bring a ticket back at an epoch that was used since.
        """
        return Ticket(ticket.task, self.highest_epoch(ticket.task, ticket.epoch)).claimed()

    def highest_epoch(self, task: str, epoch: int = 0) -> int:
        """The higher of a ticket's epoch and the highest epoch that has a result."""
        return max(epoch, placement.highest_epoch(self.outcomes(task)))

    # -- state -----------------------------------------------------------------------------------------------

    def is_done(self, task: str) -> bool:
        """Check whether a task is done, by a listing of its shard and a look at its ticket.

        Nothing moves in that shard, so a listing counts even if an older look shows nothing. What is there and is not
        a regular file is not a ticket.
        """
        listed = ids.check(task) in self.files.scan(paths.done_dir(task))
        seen = self.files.stat(paths.done(task))
        return listed if seen is None else seen.is_file

    def dependency_state(self, task: str) -> str:
        """The state of a dependency for the tasks that need it: ``done``, ``open``, ``cancelled`` or ``unknown``."""
        if self.is_done(task):
            return "done"
        try:
            return "open" if self.definition(task).cancelled is None else "cancelled"
        except NotFoundError:
            return "unknown"
        except (BrokenFileError, StorageError):
            return "open"  # its own ticket is parked as unreadable; tasks that need it go on waiting

    def dependencies_with(self, definition: Definition) -> Callable[[str], list[str]]:
        """A function from a task to its dependencies, with ``definition`` in place of the one on disk."""

        def dependencies(task: str) -> list[str]:
            if task == definition.task:
                return definition.dependencies
            try:
                return [] if self.is_done(task) else self.definition(task).dependencies
            except (NotFoundError, BrokenFileError, StorageError):
                return []

        return dependencies

    # -- finding tickets -------------------------------------------------------------------------------------

    def ticket_directories(self, scan: Scan | None = None) -> Iterator[tuple[str, str, str]]:
        """Go over every directory that may hold tickets, in the order in which tickets travel.

        Args:
            scan: Lists a directory; ``list_or_empty`` for a repair step that may miss what cannot be listed.

        Yields:
            Its path, and ``state`` and ``detail`` of the location of a ticket in it.
        """
        scan = scan or self.files.scan
        yield paths.NEW, "new", ""
        for why in filter(paths.PARKED_WHY.__contains__, scan(paths.PARKED)):
            yield f"{paths.PARKED}/{why}", "parked", why
        for task in filter(ids.is_id, scan(paths.WAITING)):
            yield paths.waiting_dir(task), "waiting", task
        for shard in self.ready_shards(scan):
            yield shard, "ready", shard.split("/")[-2]
        for state, base in (("claimed", paths.PEERS), ("departed", paths.DEPARTED)):
            for name in scan(base):
                if paths.owner(f"{base}/{name}"):
                    yield paths.claims_dir(f"{base}/{name}"), state, name
        for shard in filter(paths.is_shard, scan(paths.DONE)):
            yield f"{paths.DONE}/{shard}", "done", ""

    def ready_shards(self, scan: Scan | None = None) -> Iterator[str]:
        """Go over the directories of ready tickets: most urgent level first, in it the oldest shard first."""
        scan = scan or self.files.scan
        for level in sorted(paths.LEVELS.intersection(scan(paths.READY))):
            blocks = map(paths.parse_block, scan(f"{paths.READY}/{level}"))
            for block in sorted([block for block in blocks if block is not None]):
                yield f"{paths.READY}/{level}/{block:06d}"

    def tickets_in(self, directory: str, state: str, detail: str, scan: Scan) -> list[Location]:
        """List the tickets in one directory. A name of another kind is not a ticket there."""
        found = []
        for name in scan(directory):
            path = f"{directory}/{name}"
            if state == "done":
                if ids.is_id(name):
                    found.append(Location(name, state, detail, 0, path))
            elif state == "new":
                if new := paths.parse_new(name):
                    found.append(Location(new[0], state, detail, 0, path))
            elif ticket := paths.parse_ticket(name):
                found.append(Location(ticket.task, state, detail, ticket.epoch, path))
        return found

    def parked(self) -> Iterator[Location]:
        """Go over the parked tickets."""
        for why in filter(paths.PARKED_WHY.__contains__, self.files.scan(paths.PARKED)):
            yield from self.tickets_in(f"{paths.PARKED}/{why}", "parked", why, self.files.scan)

    def locations(self, scan: Scan | None = None) -> Iterator[Location]:
        """Go once over all tickets. A ticket that moves meanwhile may be missed or seen twice.

        Directories are listed in the order in which tickets travel, so a moving ticket is more often seen twice.
        """
        scan = scan or self.files.scan
        for directory, state, detail in self.ticket_directories(scan):
            yield from self.tickets_in(directory, state, detail, scan)

    def survey(self, tasks: Collection[str] | None = None) -> dict[str, Location]:
        """Find the tickets of all tasks, or of these. Lists again for tickets that moved meanwhile."""
        born = set(self.all_tasks() if tasks is None else tasks)
        states = placement.fold(self.locations(), born)
        for _ in range(LOOKS):
            missing = born - states.keys()
            if not missing:
                break
            states |= placement.fold(self.locations(), missing)
        return states

    def locate(self, task: str) -> Location | None:
        """Find one task's ticket; ``None`` if repeated listings do not show it."""
        ids.check(task)
        for _ in range(LOOKS):
            if self.is_done(task):
                return Location(task, "done", "", 0, paths.done(task))
            found = placement.fold(self.locations(), (task,))
            if task in found:
                if self.set_irregular_aside(found[task].path):
                    continue
                return found[task]
            if not self.files.listed(paths.birth(task)):
                break  # no such task: no ticket of it is moving
        return None

    def find(self, task: str) -> Location:
        """Find one task's ticket."""
        location = self.locate(task)
        if location is None:
            if self.birth(task) is None:
                raise no_task(task)
            raise no_ticket(task)
        return location

    def set_irregular_aside(self, path: str) -> bool:
        """Quarantine what lies at a ticket's path if it is not a regular file; return whether it was moved.

        Otherwise a peer could rename an empty directory with a ticket's name into its ``claims/``, and that directory
        could never be sealed.
        """
        aside = self.files.set_irregular_aside(path)
        if aside:
            self.root.event(self.actor, "quarantined", path=path, to=aside, reason="a ticket is a regular file")
        return bool(aside)

    # -- repair steps ----------------------------------------------------------------------------------------

    def attempt(self, step: Callable[..., object], *args: object, **facts: object) -> bool:
        """Run one repair step, which may be done twice; a failure is logged once and stops no other step."""
        try:
            step(*args)
        except (BrokenFileError, LostError, StorageError) as error:
            if error.message not in self._reported:
                self._reported.add(error.message)
                self.root.event(self.actor, "stuck", reason=error.message, **facts)
            return False
        return True

    def tickets_or_none(self, directory: str) -> list[Ticket]:
        """Tickets in a directory, for repair alone: none if it cannot be listed now."""
        return [ticket for ticket in map(paths.parse_ticket, self.list_or_empty(directory)) if ticket]

    def list_or_empty(self, path: str, scan: Scan | None = None) -> list[str]:
        """Names in a directory, for repair alone: none if it cannot be listed now."""
        found: list[str] = []
        self.attempt(lambda: found.extend((scan or self.files.scan)(path)))
        return found

    def homes_or_none(self) -> list[str]:
        """Every directory below ``peers/`` and ``departed/``, for repair alone."""
        return [f"{base}/{name}" for base in (paths.PEERS, paths.DEPARTED) for name in self.list_or_empty(base)]


def no_task(task: str) -> NotFoundError:
    """The error for a task that does not exist."""
    return NotFoundError(f"there is no task {task}", hint="see what there is: peercoord task list")


def no_ticket(task: str) -> NotFoundError:
    """The error for a task whose ticket is nowhere."""
    return NotFoundError(f"the ticket of task {task} is nowhere", hint="peercoord doctor --fix", code="no-ticket")
