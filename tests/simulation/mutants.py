"""Rules of the protocol, each broken in the production code of this process alone: the simulator must notice.

A mutant is what a hurried reader of the specification might write. ``planted(name)`` puts it in the place of the real
thing for the time of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from peercoord.agent.monitor import Observer
from peercoord.errors import StorageError
from peercoord.mailbox import protocol
from peercoord.membership import liveness
from peercoord.membership import membership as members
from peercoord.queue import duplicates, placement, progress
from peercoord.queue import reassign as reassigning
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.queue.worker import Worker
from peercoord.store import paths, records
from peercoord.store.paths import Incarnation, Ticket

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.queue.placement import Location

    Patch = tuple[object, str, Any]

MUTANTS: dict[str, Callable[[], list[Patch]]] = {}


def mutant(function: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    """Register a mutant under its function's name."""
    MUTANTS[function.__name__] = function
    return function


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Break one rule while the block runs; none, if the name is empty."""
    patches = MUTANTS[name]() if name else []
    before = [(owner, key, getattr(owner, key)) for owner, key, _ in patches]
    try:
        for owner, key, value in patches:
            setattr(owner, key, value)
        yield
    finally:
        for owner, key, value in before:
            setattr(owner, key, value)


# -- eviction ----------------------------------------------------------------------------------------------------


@mutant
def evict_without_the_fence() -> list[Patch]:
    """Move the claims out one by one and leave the directory where it is."""

    def evict(self: Janitor, who: Incarnation, by: Incarnation, because: str) -> bool:
        home = paths.peer_dir(who)
        if not self.files.listed(home):
            return False
        for name in self.files.scan(home):
            term = paths.parse_leader(name)
            if term is not None:
                self.files.move(f"{home}/{name}", paths.leader(paths.LEADER, term))
        for ticket in filter(None, map(paths.parse_ticket, self.files.scan(paths.claims_dir(home)))):
            if ticket.done:
                self.finish(paths.claim(home, ticket), ticket, who)
            else:
                self.close(paths.claim(home, ticket), ticket, who, "evicted", because)
        return True

    return [(Janitor, "evict", evict)]


@mutant
def sweep_without_the_seal() -> list[Patch]:
    """Believe one listing: when what it showed is given back, the directory counts as swept."""
    swept: set[tuple[int, str]] = set()

    def sweep(self: Janitor, who: Incarnation, by: Incarnation) -> None:
        home = paths.departed_dir(who, by)
        if (id(self.root.protocol), home) in swept:
            return
        for name in self.files.scan(home):
            term = paths.parse_leader(name)
            if term is not None:
                self.files.move(f"{home}/{name}", paths.leader(paths.LEADER, term))
        for name in self.files.scan(paths.claims_dir(home)):
            with suppress(StorageError):
                self._give_back(home, name, who, by)
        swept.add((id(self.root.protocol), home))

    return [(Janitor, "sweep", sweep)]


@mutant
def sweep_puts_the_completed_back() -> list[Patch]:
    """Give back everything that a departed peer held, what it had completed as well."""

    def give_back(self: Janitor, home: str, name: str, who: Incarnation, by: Incarnation) -> None:
        ticket = paths.parse_ticket(name)
        if ticket:
            self.close(f"{paths.claims_dir(home)}/{name}", Ticket(ticket.task, ticket.epoch), who, "evicted", "evicted")

    return [(Janitor, "_give_back", give_back)]


@mutant
def incarnations_used_again() -> list[Patch]:
    """Number the lives of a peer, without a random suffix."""
    return [(members, "Incarnation", lambda peer, number, _: Incarnation(peer, number, "x"))]


@mutant
def two_under_one_name() -> list[Patch]:
    """Of two that join at once let the one with the lower incarnation stay, though the other may have looked before."""
    others = members._others

    def lower(root: Any, me: Incarnation) -> list[Incarnation]:
        found = others(root, me)
        return [rival for rival in found if rival < me] if str(me) in root.files.scan(paths.PEERS) else found

    return [(members, "_others", lower)]


@mutant
def silence_judged_after_ones_own_stall() -> list[Patch]:
    """Take the time in which oneself could not look for a silence of the others."""
    return [(liveness, "GAP", float("inf")), (Observer, "reset_observations", lambda _: None)]


@mutant
def silence_without_a_challenge() -> list[Patch]:
    """Evict a peer that was silent long enough, without a challenge."""

    def by_activity(silence: liveness.Silence, ttl: float, _patience: float) -> liveness.Verdict:
        if silence.still.proven(ttl):
            return liveness.Verdict(liveness.DEAD, "it is silent")
        return liveness.Verdict(liveness.ALIVE, "it beats")

    return [(liveness, "by_activity", by_activity), (Observer, "_withdraw_challenge", lambda _self, _sight: True)]


# -- claiming and completing -------------------------------------------------------------------------------------


@mutant
def claim_by_read_then_write() -> list[Patch]:
    """Look whether the ticket is there, make an own one, remove the other."""

    def take(self: Worker, path: str, ticket: Ticket) -> Ticket | None:
        mine = ticket.claimed()
        if self.files.stat(path) is None:
            return None
        self.files.ticket(paths.claim(self.home, mine))
        self.files.remove(path)
        return mine

    return [(Worker, "_take", take)]


@mutant
def race_toward_a_shared_name() -> list[Patch]:
    """Claim by a rename to a name that every racer would give the ticket, take it from there, and never look."""

    def take(self: Worker, path: str, ticket: Ticket) -> Ticket | None:
        mine = ticket.claimed()
        shared = paths.parked("held", mine)
        if not self.files.move(path, shared):
            self.membership.require()
            return None
        self.files.move(shared, paths.claim(self.home, mine))
        return mine

    return [(Worker, "_take", take), *a_claim_counts_under_two_names()]


@mutant
def no_look_after_the_claim() -> list[Patch]:
    """Work on whatever was claimed, without asking what it is now."""

    def check(self: Worker, mine: Ticket, *_: Any) -> Any:
        from peercoord.queue.claims import Claim

        definition = self.queue.definition(mine.task)
        with suppress(StorageError):
            self.assignments.write(mine, definition)
        return Claim(mine, definition, {}, {})

    def place(self: Queue, path: str, ticket: Ticket, *_: Any) -> str:
        target = paths.ready(records.MEDIUM, 0, ticket)  # so that there is something to see
        return target if self.files.move(path, target, make_home=True) else ""

    return [(Worker, "_check", check), (Queue, "place", place)]


@mutant
def complete_straight_to_the_shared_name() -> list[Patch]:
    """Rename the claim to done/ in one step, without the private decision before."""

    def complete(self: Worker, task: str, said: Json | None = None, facts: Json | None = None) -> Json:
        known = self._completed_before(task)
        if known is not None:
            return known
        ticket = self.require(task)
        definition = self.queue.definition(task)
        entry = progress.updated(self._entry(ticket, definition), definition, said or {})
        result = self._write_result(ticket, "done", entry, facts)
        if not self.files.move(paths.claim(self.home, ticket), paths.done(task), make_home=True):
            raise self._moved(task)
        self.queue.place_waiting(task)
        return result

    return [(Worker, "complete", complete)]


@mutant
def reassign_keeps_the_epoch() -> list[Patch]:
    """Give a task to another peer under the epoch it has."""
    real = reassigning.reassign

    def reassign(queue: Queue, task: str, target: str) -> tuple[str, int]:
        queue.next_claim = lambda ticket: ticket  # type: ignore[method-assign]
        try:
            return real(queue, task, target)
        finally:
            del queue.next_claim

    return [(reassigning, "reassign", reassign)]


@mutant
def claim_at_a_used_epoch() -> list[Patch]:
    """Count on from the epoch that the ticket shows, though a reopening may have brought it back at an older one."""
    return [(Queue, "next_claim", lambda _, ticket: ticket.claimed())]


@mutant
def reassign_what_is_completed() -> list[Patch]:
    """Reassign whatever lies in a peer's claims, by its task and epoch alone."""
    real = reassigning.reassign

    def reassign(queue: Queue, task: str, target: str) -> tuple[str, int]:
        sighting = queue.find(task)
        home = next((who for who in members.living(queue.root) if who.peer == target), None)
        if sighting.state != "claimed" or home is None or sighting.detail == str(home):
            return real(queue, task, target)
        mine = Ticket(task, sighting.epoch).claimed()
        queue.files.move(sighting.path, paths.claim(paths.peer_dir(home), mine))
        return "", mine.epoch

    return [(reassigning, "reassign", reassign)]


@mutant
def outbox_replay_without_epoch() -> list[Patch]:
    """Execute whatever request is found, whenever it was made."""
    return [(protocol, "outdated", lambda _asked, _incarnation, _held: "")]


# -- tickets with two names --------------------------------------------------------------------------------------


@mutant
def a_claim_counts_under_two_names() -> list[Patch]:
    """Hold what was claimed, though its ticket may still be taken under another name."""
    return [(duplicates, "is_unique", lambda _queue, _path, _task, if_unseen=True: True)]


@mutant
def two_names_stay() -> list[Patch]:
    """Never remove one of two names of a ticket."""
    return [
        (duplicates, "remove_duplicates_of", lambda _queue, _task: []),
        (duplicates, "remove_leader_duplicates", lambda _queue: None),
    ]


@mutant
def of_two_names_the_hand_stays() -> list[Patch]:
    """Remove the name that views would not show: at one epoch the one out of the hand."""

    def lower_names(seen: Sequence[Location]) -> list[Location]:
        return [low for low in seen if any(low.rank < high.rank for high in seen)]

    return [(placement, "lower_names", lower_names)]


# -- placing -----------------------------------------------------------------------------------------------------


@mutant
def placement_without_the_second_look() -> list[Patch]:
    """Move a ticket to what it waits for, and be done."""

    def place(self: Queue, path: str, ticket: Ticket, *_: Any) -> str:
        location, level = self._belongs(ticket.task)
        target = self._path(location, level, ticket)
        if target == path:
            return path
        return self._move(path, target, location.state == "ready", level, ticket)

    return [(Queue, "place", place)]


@mutant
def no_placing_again() -> list[Patch]:
    """Leave out the tick that places what waits for something done."""
    return [(Janitor, "place_again", lambda _: None)]


@mutant
def trusting_a_listing() -> list[Patch]:
    """Take a task that one listing of everything did not show for lost, and make it a ticket."""
    tidy = Janitor.tidy

    def restoring(self: Janitor) -> None:
        tidy(self)
        seen = placement.fold(self.queue.locations())
        for task in self.queue.all_tasks():
            if task not in seen:
                epoch = self.queue.highest_epoch(task)
                self.files.ticket(paths.ready(records.MEDIUM, 0, Ticket(task, epoch)))

    return [(Janitor, "tidy", restoring)]


@mutant
def birth_before_the_ticket() -> list[Patch]:
    """Put the task on record first, then make its ticket."""
    from peercoord.store.files import Files

    ticket, publish, due = Files.ticket, Files.publish_staged, dict[Files, str]()

    def later(self: Files, path: str) -> bool:
        if not path.startswith(f"{paths.NEW}/"):
            return ticket(self, path)
        due[self] = path
        return True

    def late(self: Files, staged: str, path: str, durable: bool = False) -> bool:
        made, new = publish(self, staged, path, durable), due.pop(self, "")
        if made and new:
            ticket(self, new)
        return made

    return [(Files, "ticket", later), (Files, "publish_staged", late)]
