"""The task queue: adding, placing, finding and changing tasks that lie in nobody's hands.

Promises: a task exists once its birth record does, and from then on has exactly one ticket; whatever is killed in
the middle of a sequence here, anyone who comes later (``Janitor``) brings it to its end. ``place`` is the one
procedure for every move toward ``waiting/`` or ``ready/``.

The race that shaped ``place``: a task's last dependency is completed between our look at it and our move of the
ticket to ``waiting/``, and its completer looked there before we came. So we look once more after the move; of the
two, completer and placer, at least one sees the other.
"""

from __future__ import annotations

from contextlib import suppress

from peercoord.core import graph, ids, names, records, tickets
from peercoord.core.errors import BrokenFileError, LostError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.core.limits import LOOKS
from peercoord.core.names import Ticket
from peercoord.core.records import Birth, Definition
from peercoord.core.tickets import Sighting
from peercoord.fs.files import parent
from peercoord.roles import twins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from peercoord.core.records import Json
    from peercoord.roles.root import Root

    Scan = Callable[[str], list[str]]

ADDED, KNOWN = "added", "known"
NO_HOME = ("enospc", "edquot", "unsteady")  # no room for a shard's directory, or it is removed as often as it is made


class Queue:
    """The tasks of one coordination directory.

    Args:
        root: The open directory.
        actor: Who acts, for births and events: a peer's name, or a person's word.
    """

    def __init__(self, root: Root, actor: str = "person") -> None:
        self.root = root
        self.files = root.files
        self.actor = actor
        self._stuck: set[str] = set()  # reasons that were noted already

    # -- records ---------------------------------------------------------------------------------------------

    def birth(self, task: str) -> Birth | None:
        """Read how a task came into being; ``None`` if there is no such task.

        Raises:
            BrokenFileError: The record cannot be understood; it is left where it is, being the only one.
        """
        path = names.birth(ids.check(task))
        data = self.files.read(path)
        return None if data is None else Birth.read(records.decode(data, path), path, task)

    def definition(self, task: str) -> Definition:
        """Read what a task is now, rebuilt from its birth if the file was lost.

        Raises:
            NotFoundError: There is no such task.
            BrokenFileError: The file could not be understood; it lies in quarantine now, the task as it was added
                stays readable, and whoever holds the ticket parks it as unreadable.
        """
        path = names.definition(ids.check(task))
        broken: BrokenFileError | None = None
        try:
            data = self.files.read(path)
            if data is not None:
                return Definition.read(records.decode(data, path), path, task)
        except BrokenFileError as error:
            broken = error
            self._set_aside(path, error)
        aside = self.files.set_aside(path)
        if aside:
            raise BrokenFileError(
                f"{path} could not be read and was set aside as {aside}",
                hint=f"put a mended copy at {path}, or take the task as it was added: peercoord task reopen {task}",
            )
        if broken:
            raise broken
        return self._rebuilt(task)

    def _set_aside(self, path: str, error: BrokenFileError) -> None:
        with suppress(StorageError):  # who may only look leaves it for those who may write
            aside = self.files.quarantine(path, error.message)
            self.root.event(self.actor, "quarantined", path=path, to=aside, reason=error.message)

    def _rebuilt(self, task: str) -> Definition:
        birth = self.birth(task)
        if birth is None:
            raise NotFoundError(f"there is no task {task}", hint="see what there is: peercoord task list")
        with suppress(StorageError):  # never over a file that is there after all: "absent" may have been a lie
            self.files.publish(names.definition(task), records.encode(birth.definition.raw))
        return birth.definition

    def results(self, task: str) -> list[str]:
        """Names in a task's results shard, those of its neighbours among them."""
        return self.files.scan(names.results_dir(task))

    def next_claim(self, ticket: Ticket) -> Ticket:
        """Give a ticket as it is once in a peer's hands: one above its epoch, and above every result of the task.

        ``done/<id>`` says no epoch: a reopening that was asleep may bring a ticket back at one that was used since.
        """
        highest = tickets.highest_epoch(ticket.task, self.results(ticket.task))
        return Ticket(ticket.task, max(ticket.epoch, highest)).claimed()

    def result(self, task: str) -> tuple[int, str, Json] | None:
        """Read the newest result of a task: epoch, outcome, record. One that cannot be read counts as empty.

        Of two outcomes at one epoch the one that the ticket agrees with.
        """
        found = [r for r in map(names.parse_result, self.results(task)) if r and r[0] == task]
        if not found:
            return None
        truth = "done" if self.is_done(task) else "evicted"  # a zombie may have written the other beside it
        _, epoch, outcome = max(found, key=lambda r: (r[1], r[2] == truth, r[2] == "done", r[2]))
        return epoch, outcome, self.read_record(names.result(task, epoch, outcome)) or {}

    def read_record(self, path: str) -> Json | None:
        """Read a record that only informs: ``None`` if it is missing or broken (and then quarantined)."""
        try:
            data = self.files.read(path)
            return None if data is None else records.decode(data, path)
        except BrokenFileError as error:
            self._set_aside(path, error)
            return None

    # -- standing --------------------------------------------------------------------------------------------

    def is_done(self, task: str) -> bool:
        """Tell whether a task is done: by a listing of its shard, where nothing moves, or by a look."""
        return ids.check(task) in self.files.scan(names.done_dir(task)) or self.files.stat(names.done(task)) is not None

    def standing(self, task: str) -> str:
        """Say what a dependency is to those who wait for it: ``done``, ``open``, ``cancelled`` or ``unknown``."""
        if self.is_done(task):
            return "done"
        try:
            return "open" if self.definition(task).cancelled is None else "cancelled"
        except NotFoundError:
            return "unknown"
        except (BrokenFileError, StorageError):
            return "open"  # its own ticket is parked as unreadable; who waits for it goes on waiting

    # -- placing ---------------------------------------------------------------------------------------------

    def place(self, path: str, ticket: Ticket) -> str:
        """Move a ticket from ``path`` to where it belongs: ready, waiting for one unmet dependency, or parked.

        Returns:
            Where it lies now; empty if it was gone from ``path``, having been moved by someone else.
        """
        while True:
            spot, level = self._look(ticket.task)
            target = self._path(spot, level, ticket)
            if target == path:
                return path
            target = self._moved(path, target, spot.state == "ready", level, ticket)
            if not target:
                return ""
            if spot.state == "ready":
                self.files.ring()
            if spot.state != "waiting" or self.standing(spot.detail) == "open":
                return target
            path = target

    def spot(self, task: str) -> tickets.Spot:
        """Decide where a task's ticket belongs now, if nobody holds it."""
        return self._look(task)[0]

    def _look(self, task: str) -> tuple[tickets.Spot, int]:
        """Give a task's place and its priority level. One whose files cannot be read must not hold up the others."""
        try:
            definition = self.definition(task)
        except (BrokenFileError, NotFoundError, StorageError) as error:
            return tickets.Spot("parked", "unreadable", error.message), records.MEDIUM
        return tickets.spot(definition, self.standing), definition.level

    def _path(self, spot: tickets.Spot, level: int, ticket: Ticket) -> str:
        if spot.state == "waiting":
            return names.waiting(spot.detail, ticket)
        if spot.state == "parked":
            return names.parked(spot.detail, ticket)
        return names.ready(level, self._order(ticket.task), ticket)

    def _moved(self, path: str, target: str, ready: bool, level: int, ticket: Ticket) -> str:
        try:
            return target if self.files.move(path, target, make_home=True) else ""
        except StorageError as error:
            spare = names.ready(level, 0, ticket)
            if not ready or spare == target or error.code not in NO_HOME:
                raise
            return spare if self.files.move(path, spare, make_home=True) else ""  # nobody removes this shard

    def ready_path(self, ticket: Ticket) -> str:
        """Give where a ticket lies if nobody holds it and it is ready; empty if its task is not."""
        spot, level = self._look(ticket.task)
        return self._path(spot, level, ticket) if spot == tickets.READY else ""

    def _order(self, task: str) -> int:
        try:
            birth = self.birth(task)
        except (BrokenFileError, StorageError):
            return 0
        return birth.order if birth else 0

    def place_waiting(self, task: str) -> None:
        """Place again every ticket that watches ``task``, which is done or cancelled now."""
        home = names.waiting_dir(task)
        for ticket in filter(None, map(names.parse_ticket, self.found(home))):
            self.tried(self.place, f"{home}/{ticket}", ticket)
        with suppress(StorageError):
            self.files.remove_dir(home)

    def place_blocked(self) -> None:
        """Place again what was parked for a reason that may be gone: a dependency, a cycle, an unreadable file."""
        for why in ("blocked", "unreadable"):
            for ticket in filter(None, map(names.parse_ticket, self.found(f"{names.PARKED}/{why}"))):
                self.tried(self._place_parked, why, ticket)

    def _place_parked(self, why: str, ticket: Ticket) -> None:
        if why == "blocked" or self.spot(ticket.task).detail != why:
            self._drop_broken_cycle(ticket.task)
            self.place(names.parked(why, ticket), ticket)

    def place_edited(self) -> None:
        """Place again what waits or is ready and has another definition since: edited by hand, or by a call cut short.

        A ticket's last rename is compared with the last change of its definition, both by the filesystem's own clock.
        """
        for home, state, detail in self.homes(self.found):
            if state in ("waiting", "ready"):  # the others, what is done among them, are not even listed
                for seen in _in(self.found, home, state, detail):
                    self.tried(self._place_edited, seen)

    def _place_edited(self, seen: Sighting) -> None:
        ticket, definition = self.files.stat(seen.path), self.files.stat(names.definition(seen.task))
        if ticket and definition and definition.changed_ns > ticket.changed_ns:
            self.place(seen.path, Ticket(seen.task, seen.epoch))

    # -- one of many -----------------------------------------------------------------------------------------

    def tried(self, step: Callable[..., object], *given: object, **facts: object) -> bool:
        """Take one of many steps of repair. One that is refused holds up no other; it is noted once.

        Args:
            step: What to do. It may be done twice.
            given: Its arguments.
            facts: What to note beside the reason.

        Returns:
            Whether it was done; if not, the next tidying tries again.
        """
        try:
            step(*given)
        except (BrokenFileError, LostError, StorageError) as error:
            if error.message not in self._stuck:
                self._stuck.add(error.message)
                self.root.event(self.actor, "stuck", reason=error.message, **facts)
            return False
        return True

    def found(self, path: str) -> list[str]:
        """Names in a directory, for repair alone: none if it cannot be listed now."""
        shown: list[str] = []
        self.tried(lambda: shown.extend(self.files.scan(path)))
        return shown

    def _drop_broken_cycle(self, task: str) -> None:
        if self._cycle_gone(task) is None:
            return
        with suppress(LostError, StorageError), self.root.intake():  # or next time
            definition = self._cycle_gone(task)  # it may have been edited meanwhile
            if definition:
                raw = {key: value for key, value in definition.raw.items() if key != "parked"}
                self.files.put(names.definition(task), records.encode(raw))

    def _cycle_gone(self, task: str) -> Definition | None:
        """Give the definition of a task that is set aside for a cycle which is no more."""
        try:
            definition = self.definition(task)
        except (BrokenFileError, NotFoundError, StorageError):
            return None
        note = definition.raw.get("parked")
        if not isinstance(note, dict) or note.get("kind") != "cycle":
            return None
        return None if graph.cycle_through(task, self._dependencies_with(definition)) else definition

    # -- adding ----------------------------------------------------------------------------------------------

    def add(self, definition: Definition, *, done: bool = False) -> str:
        """Add one task; refused if it depends on a task nobody knows, or on itself.

        Args:
            definition: The task, checked.
            done: It was finished elsewhere before.

        Returns:
            Where its ticket lies.

        Raises:
            UsageError: The id is taken, a dependency is unknown, or a cycle would close (with its path).
        """
        with self.root.intake():
            self._refuse_unknown(definition.task, definition.dependencies)
            self.refuse_cycle(definition)
            order = self.next_order()
            if self.bear(definition, order, done=done) == KNOWN:
                raise UsageError(
                    f"there is a task {definition.task} already",
                    hint=f"change it with: peercoord task edit {definition.task}",
                    code="exists",
                )
            self.note_order(order + 1)
        sighting = self.locate(definition.task)
        return sighting.path if sighting else ""

    def bear(self, definition: Definition, order: int, *, done: bool = False, durable: bool = True) -> str:
        """Bring a task into being. The caller holds the intake mutex and has checked the dependencies.

        The ticket comes first and the birth record decides: were it the other way round, whoever finds a birth
        without a ticket could not tell a crash from a ticket that has moved on, and might make a second one.

        Returns:
            ``ADDED``, or ``KNOWN`` if the task was there.

        Raises:
            UsageError: Another id differs from this one only in case.
        """
        task = definition.task
        self._refuse_case_twin(task)
        if self.files.listed(names.birth(task)):
            return KNOWN
        birth = Birth(task, self.files.token(), order, definition)
        new = names.new_ticket(task, birth.nonce)
        record = birth.record(self.actor, self.root.clock.now()) | ({"state": "done"} if done else {})
        if not self.files.publish(names.birth(task), records.encode_stored(record), durable, ticket=new):
            winner = self.birth(task)
            if winner is None:
                return KNOWN  # the name was taken and is not to be seen: whose it is, the janitor finds out
            if winner.nonce != birth.nonce:
                self.files.remove(new)
                return KNOWN
        with suppress(StorageError):  # it is born; the janitor brings it to its place as soon as the disk lets it
            self.settle(new, birth, done)
        self.root.event(self.actor, "added", task=task)
        return ADDED

    def settle(self, new: str, birth: Birth, done: bool) -> None:
        """Take a task from its birth to its first place: definition, then ticket. Repeatable."""
        with suppress(StorageError):  # the birth holds it as well
            self.files.publish(names.definition(birth.task), records.encode(birth.definition.raw))
        if done:
            record = {
                "schema_version": records.SCHEMA_VERSION,
                "task_id": ids.public(birth.task),
                "epoch": 0,
                "outcome": "done",
                "by": "before it was added here",
                "at": self.root.clock.now(),
            }
            self.files.publish(names.result(birth.task, 0, "done"), records.encode(record))
            self.files.move(new, names.done(birth.task), make_home=True)
            self.place_waiting(birth.task)
        else:
            self.place(new, Ticket(birth.task, 0))

    def born_done(self, task: str) -> bool:
        """Tell whether a task was already finished when it was added."""
        data = self.files.read(names.birth(task))
        return data is not None and records.decode(data, names.birth(task)).get("state") == "done"

    def _refuse_unknown(self, task: str, dependencies: Iterable[str]) -> None:
        for dependency in dependencies:
            if dependency != task and self.standing(dependency) == "unknown":
                raise UsageError(
                    f"task {task} depends on task {dependency}, which is not known",
                    hint=f"add task {dependency} first",
                    code="unknown-dependency",
                )

    def refuse_cycle(self, definition: Definition) -> None:
        """Refuse a definition whose dependencies lead back to it.

        Raises:
            UsageError: They do; the message gives the path.
        """
        path = graph.cycle_through(definition.task, self._dependencies_with(definition))
        if path:
            raise UsageError(
                f"task {definition.task} would wait for itself: {' → '.join(path)}",
                hint="leave one of these dependencies out",
                code="cycle",
            )

    def _dependencies_with(self, definition: Definition) -> Callable[[str], list[str]]:
        def dependencies(task: str) -> list[str]:
            if task == definition.task:
                return definition.dependencies
            try:
                return [] if self.is_done(task) else self.definition(task).dependencies
            except (NotFoundError, BrokenFileError, StorageError):
                return []

        return dependencies

    def _refuse_case_twin(self, task: str) -> None:
        for name in self.files.scan(f"{names.BIRTHS}/{names.shard(task)}"):
            other = names.parse_record(name)
            if other and other != task and other.lower() == task.lower():
                raise UsageError(
                    f"task id {task} differs from {other} only in case",
                    hint="some filesystems cannot tell them apart: choose another id",
                    code="case-twin",
                )

    def next_order(self) -> int:
        """Give the next number in the order of adding. Only an order: a number given twice does no harm."""
        data = self.files.read(names.ORDER)
        known = names.number((data or b"").decode("ascii", "replace").strip())
        return known if known is not None else len(self.all_tasks())

    def note_order(self, order: int) -> None:
        """Keep the next number in the order of adding."""
        with suppress(StorageError):
            self.files.put(names.ORDER, f"{order}\n".encode())

    def all_tasks(self) -> list[str]:
        """Ids of all tasks that were ever born here, in no order."""
        shards = filter(names.is_shard, self.files.scan(names.BIRTHS))
        return [t for s in shards for t in map(names.parse_record, self.files.scan(f"{names.BIRTHS}/{s}")) if t]

    # -- finding ---------------------------------------------------------------------------------------------

    def sightings(self, scan: Scan | None = None) -> Iterator[Sighting]:
        """Go once over every directory a ticket may lie in. One that moves meanwhile may be missed, or seen twice.

        In the order in which tickets travel, so that one on its way is rather seen twice than missed. What lies in a
        directory that is none of the protocol's is no ticket.

        Args:
            scan: Lists a directory; ``found`` for who may miss what cannot be listed.
        """
        scan = scan or self.files.scan
        for home, state, detail in self.homes(scan):
            yield from _in(scan, home, state, detail)

    def homes(self, scan: Scan | None = None) -> Iterator[tuple[str, str, str]]:
        """Go over every directory that tickets may lie in, in the order in which they travel.

        Yields:
            Its path, and ``state`` and ``detail`` of the ``Sighting`` of a ticket in it.
        """
        scan = scan or self.files.scan
        yield names.NEW, "new", ""
        yield from ((f"{names.PARKED}/{why}", "parked", why) for why in scan(names.PARKED) if why in names.PARKED_WHY)
        yield from ((names.waiting_dir(task), "waiting", task) for task in scan(names.WAITING) if ids.is_id(task))
        yield from ((home, "ready", home.split("/")[-2]) for home in self.ready_homes(scan))
        for state, base in (("claimed", names.PEERS), ("departed", names.DEPARTED)):
            owned = (name for name in scan(base) if names.owner(f"{base}/{name}"))
            yield from ((names.claims_dir(f"{base}/{name}"), state, name) for name in owned)
        yield from ((f"{names.DONE}/{shard}", "done", "") for shard in scan(names.DONE) if names.is_shard(shard))

    def ready_homes(self, scan: Scan | None = None) -> Iterator[str]:
        """Go over the directories of tickets that anyone may claim, the most urgent level first, in it the oldest."""
        scan = scan or self.files.scan
        for level in sorted(name for name in scan(names.READY) if names.parse_level(name) is not None):
            blocks = (names.parse_block(name) for name in scan(f"{names.READY}/{level}"))
            for block in sorted(block for block in blocks if block is not None):
                yield f"{names.READY}/{level}/{block:06d}"

    def survey(self) -> dict[str, Sighting]:
        """Find every task's ticket. Looks again for those that a listing missed because they moved."""
        born = set(self.all_tasks())
        states = tickets.fold(s for s in self.sightings() if s.task in born)
        for _ in range(LOOKS):
            missing = born - states.keys()
            if not missing:
                break
            states |= tickets.fold(s for s in self.sightings() if s.task in missing)
        return states

    def locate(self, task: str) -> Sighting | None:
        """Find one task's ticket; ``None`` if none is to be found however often one looks."""
        ids.check(task)
        for _ in range(LOOKS):
            if self.is_done(task):
                return Sighting(task, "done", "", 0, names.done(task))
            found = tickets.fold(s for s in self.sightings() if s.task == task)
            if task in found:
                return found[task]
            if not self.files.listed(names.birth(task)):
                break  # no such task: no ticket of it is on its way anywhere
        return None

    def find(self, task: str) -> Sighting:
        """Find one task's ticket.

        Raises:
            NotFoundError: There is no such task, or its ticket is nowhere.
        """
        sighting = self.locate(task)
        if sighting is None:
            if self.birth(task) is None:
                raise NotFoundError(f"there is no task {task}", hint="see what there is: peercoord task list")
            raise NotFoundError(
                f"the ticket of task {task} is nowhere", hint="peercoord doctor --fix", code="no-ticket"
            )
        return sighting

    # -- changing --------------------------------------------------------------------------------------------

    def edit(self, task: str, **changes: object) -> Definition:
        """Change a task's definition, and its place if nobody holds it.

        Args:
            task: Which.
            changes: Keys of the definition with their new values; ``None`` removes one.

        Raises:
            UsageError: The new definition is not allowed, or names a new dependency that is not known or closes a
                cycle.
        """
        with self.root.intake():
            old = self.definition(task)
            raw = {key: value for key, value in {**old.raw, **changes}.items() if value is not None}
            changed = records.checked(raw | {"edited_at": self.root.clock.now()})
            if changed.task != task:
                raise UsageError(f"task {task} keeps its id", hint="add the other as a task of its own", code="bad-id")
            if changed.dependencies != old.dependencies:
                self._refuse_unknown(task, [d for d in changed.dependencies if d not in old.dependencies])
                self.refuse_cycle(changed)
            self.files.put(names.definition(task), records.encode_stored(changed.raw), durable=True)
        self.root.event(self.actor, "edited", task=task, keys=sorted(changes))
        self.again(task)
        if changed.dependencies != old.dependencies:
            self.place_blocked()
        return changed

    def again(self, task: str) -> Sighting:
        """Place a task again if its ticket lies still in waiting, ready or parked as blocked."""
        sighting = self.find(task)
        if sighting.state in ("waiting", "ready") or (sighting.state, sighting.detail) == ("parked", "blocked"):
            self.place(sighting.path, Ticket(task, sighting.epoch))
        return sighting

    def cancel(self, task: str, reason: str = "") -> Sighting:
        """Cancel a task; what waits for it is parked as blocked.

        Returns:
            Where its ticket lay. If a peer holds it, that peer goes on until it asks or reports; nobody claims the
            task after it.

        Raises:
            UsageError: The task is done.
        """
        if self.find(task).state == "done":
            raise UsageError(f"task {task} is done", hint=f"peercoord task reopen {task}", code="done")
        note = {"by": self.actor, "at": self.root.clock.now(), "reason": reason or "cancelled"}
        self.edit(task, cancelled=note)
        sighting = self.find(task)
        if sighting.state == "parked":
            self.place(sighting.path, Ticket(task, sighting.epoch))
        self.place_waiting(task)
        return sighting

    def reopen(self, task: str) -> str:
        """Put a done or parked task back into the queue; its epoch goes on from the highest it had.

        Returns:
            Where its ticket lies now.

        Raises:
            LostError: A peer holds it, or it moved while we looked.
            UsageError: Its dependencies close a cycle.
        """
        with self.root.intake():
            sighting = self.find(task)
            seen = self.files.stat(sighting.path)
            if seen is not None and seen.links > 1 and twins.part(self, task):
                sighting = self.find(task)
            if sighting.state in ("claimed", "departed"):
                raise LostError(f"task {task} is held by {sighting.detail}", hint=f"peercoord reassign {task} PEER")
            try:
                definition = self.definition(task)
            except BrokenFileError:
                definition = self._rebuilt(task)
            self.refuse_cycle(definition)
            raw = {key: value for key, value in definition.raw.items() if key not in ("parked", "cancelled")}
            self.files.put(names.definition(task), records.encode(raw), durable=True)
            # still under the mutex: done/<id> says no epoch, and may come back while we hold on to an older one
            epoch = max(sighting.epoch, tickets.highest_epoch(task, self.results(task)))
            placed = self.place(sighting.path, Ticket(task, epoch))
        if not placed:
            raise LostError(f"task {task} moved meanwhile", hint=f"look again: peercoord task show {task}")
        self.root.event(self.actor, "reopened", task=task)
        self.place_blocked()
        return placed

    def park(self, path: str, ticket: Ticket, why: str, reason: str) -> bool:
        """Set a ticket aside for people, with the reason in its definition.

        The ticket goes first: a zombie that no longer holds it must not leave its reason behind. A crash before the
        reason is written leaves a task parked without one, or sends a blocked one back to the queue.

        Returns:
            ``False`` if the ticket was gone from ``path``.
        """
        if why not in names.PARKED_WHY:
            raise PeercoordError(f"tasks are not parked as {ids.shown(why)}")
        with self.root.intake():
            raw = dict(self.definition(ticket.task).raw)
            raw["parked"] = {"why": why, "reason": reason, "by": self.actor, "at": self.root.clock.now()}
            data = records.encode_stored(raw)
            if not self.files.move(path, names.parked(why, ticket), make_home=True):
                return False
            try:
                self.files.put(names.definition(ticket.task), data, durable=True)
            except StorageError:  # back into the hand it came from, at the next epoch as always
                self.files.move(names.parked(why, ticket), f"{parent(path)}/{self.next_claim(ticket)}")
                raise
        self.root.event(self.actor, "parked", task=ticket.task, why=why, reason=reason)
        return True


def _in(scan: Scan, home: str, state: str, detail: str) -> Iterator[Sighting]:
    """Give the tickets in a directory; only a name of the kind that belongs there is one."""
    for name in scan(home):
        path = f"{home}/{name}"
        if state == "done":
            if ids.is_id(name):
                yield Sighting(name, state, detail, 0, path)
        elif state == "new":
            if new := names.parse_new(name):
                yield Sighting(new[0], state, detail, 0, path)
        elif ticket := names.parse_ticket(name):
            yield Sighting(ticket.task, state, detail, ticket.epoch, path)
