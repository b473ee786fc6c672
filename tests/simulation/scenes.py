"""Small programs and where they meet: what ``explore`` goes through without leaving anything out.

A program is one thing that a peer does, by the production code. A scene is a directory and two programs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from support import tree
from support.memory import MemoryDisk
from support.worlds import PROTOCOL, World, unknown

from peercoord.errors import PeercoordError
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.queue import peer as library
from peercoord.queue import reassign as reassigning
from peercoord.queue.claims import Worker
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.store import paths as names
from peercoord.store import records
from peercoord.store.files import Files
from peercoord.store.root import Root
from peercoord.system.clock import Clock
from simulation.baton import ViolationError
from simulation.explore import Explorer, Report
from simulation.flat import FlatDisk

if TYPE_CHECKING:
    from peercoord.store.paths import Incarnation
    from simulation.explore import Stage

    Body = Callable[[Stage], None]
    Step = Callable[["Hand"], None]

ROUNDS = 3


class Noon(Clock):
    """A clock that stands."""

    def now(self) -> str:
        return "2026-01-31T12:00:00Z"

    def monotonic(self) -> float:
        return 0.0


class Hand:
    """What a step of a program works with.

    Attributes:
        me: The incarnation for which it acts.
    """

    def __init__(self, stage: Stage, me: Incarnation) -> None:
        self.stage, self.me = stage, me
        self.root = Root(Files(stage, stage.token), PROTOCOL, Noon(), lambda: 0)
        self.queue = Queue(self.root, me.peer)
        self.worker = Worker(self.queue, members.Membership(self.root, me))


def program(me: Incarnation, *steps: Step) -> Body:
    """Make a program of steps; one that is refused says so, and the next is taken."""

    def body(stage: Stage) -> None:
        stage.tell("is", me)
        hand = Hand(stage, me)
        for step in steps:
            try:
                step(hand)
            except PeercoordError as error:
                stage.tell("refused", error.code)

    return body


# -- steps -------------------------------------------------------------------------------------------------------


def claim(hand: Hand) -> None:
    """Ask for a task."""
    found = hand.worker.request()
    if found is not None:
        hand.stage.tell("holds", hand.me, found.task, found.ticket.epoch)


def complete(task: str) -> Step:
    """Complete a task."""

    def step(hand: Hand) -> None:
        result = hand.worker.complete(task)
        hand.stage.tell("done", hand.me, task, result["epoch"])

    return step


def finish(hand: Hand) -> None:
    """Ask for a task and complete it."""
    found = hand.worker.request()
    if found is not None:
        hand.stage.tell("holds", hand.me, found.task, found.ticket.epoch)
        complete(found.task)(hand)


def release(task: str) -> Step:
    """Give a task back."""
    return lambda hand: hand.stage.tell("released", hand.me, task, bool(hand.worker.release(task)))


def fail(task: str) -> Step:
    """End an attempt that failed."""
    return lambda hand: hand.stage.tell("failed", hand.me, task, bool(hand.worker.fail(task, "it did not work")))


def park(task: str) -> Step:
    """Set a task aside."""
    return lambda hand: hand.worker.park(task, "review", "look at it")


def evict(who: Incarnation) -> Step:
    """Evict a peer."""

    def step(hand: Hand) -> None:
        if hand.worker.janitor.evict(who, hand.me, "somebody said so"):
            hand.stage.tell("evicted", who)

    return step


def sweep(who: Incarnation, by: Incarnation) -> Step:
    """Sweep a peer that departed."""
    return lambda hand: hand.worker.janitor.sweep(who, by)


def tidy(hand: Hand) -> None:
    """Finish what crashes left."""
    hand.worker.janitor.tidy()


def leave(hand: Hand) -> None:
    """Leave."""
    library.Peer(hand.root, hand.worker.membership).leave()


def join(hand: Hand) -> None:
    """Join under one's name."""
    judge = Janitor(hand.queue, hand.me.peer)
    membership = members.join(hand.root, hand.me.peer, {}, unknown, judge.evict)
    hand.stage.tell("joined", membership.me, hand.me.peer)


def beat(hand: Hand) -> None:
    """Take the next heartbeat."""
    hand.stage.tell("beat", hand.me, hand.worker.membership.beat())


def lead(hand: Hand) -> None:
    """Take the leadership if it lies free."""
    hand.stage.tell("leads", hand.me, Leadership(hand.worker.membership).take())


def usurp(who: Incarnation) -> Step:
    """Take the leadership from a peer."""
    return lambda hand: hand.stage.tell("leads", hand.me, Leadership(hand.worker.membership).take_from(who, "so"))


def reassign(task: str, target: str) -> Step:
    """Put a task into a peer's hands."""
    return lambda hand: hand.stage.tell("reassigned", *reassigning.reassign(hand.queue, task, target))


def cancel(task: str) -> Step:
    """Cancel a task."""
    return lambda hand: hand.stage.tell("cancelled", hand.queue.cancel(task).state)


def reopen(task: str) -> Step:
    """Put a task back into the queue."""
    return lambda hand: hand.stage.tell("reopened", hand.queue.reopen(task))


def add(task: str, *needs: str) -> Step:
    """Add a task."""
    return lambda hand: hand.stage.tell("added", hand.queue.add(records.define(task, task, dependencies=needs)))


# -- scenes ------------------------------------------------------------------------------------------------------


class Scene:
    """A directory to begin with: two peers, ``a`` and ``b``, and tasks.

    Args:
        tasks: Their ids, each with what it depends on.
    """

    def __init__(self, **tasks: tuple[str, ...]) -> None:
        self.disk = MemoryDisk()
        self.world = World.new(self.disk)
        for task, needs in tasks.items():
            self.world.add(task, needs)
        self.a = self.world.join("a").me
        self.b = self.world.join("b").me

    def held(self, who: Incarnation, *claimed: str, done: bool = False) -> Scene:
        """Let a peer hold tasks, completed but not filed if ``done``."""
        for task in claimed:
            path = self.world.at(task)
            ticket = names.Ticket(task, 1, done)
            if done:
                result = names.result(task, 1, "done")
                record = {"task_id": task, "epoch": 1, "outcome": "done", "peer": who.peer, "incarnation": str(who)}
                self.world.files.put(result, records.encode(record))
            self.disk.rename(path, names.claim(names.peer_dir(who), ticket))
        return self

    def departed(self, who: Incarnation, by: Incarnation) -> Scene:
        """Let a peer be evicted, and not be swept yet."""
        self.disk.rename(names.peer_dir(who), names.departed_dir(who, by))
        return self

    def explore(
        self,
        *programs: Body,
        crashes: int = 1,
        lost: int = 0,
        moving: tuple[str, ...] = (),
        reopening: bool = False,
    ) -> Report:
        """Go through every interleaving of these programs."""
        start = FlatDisk.like(self.disk)
        explorer = Explorer(start, programs, repaired, crashes=crashes, lost=lost, moving=moving, reopening=reopening)
        return explorer.explore()


def repaired(disk: FlatDisk) -> None:
    """Let a newcomer evict everybody, tidy and do all there is to do; then all must be at rest.

    Raises:
        ViolationError: It is not.
    """
    world = World(disk)
    try:
        healer = world.join("healer", least=1)
        for who in members.living(world.root):
            if who != healer.me:
                world.evict(who, healer.me)
        for _ in range(ROUNDS):
            world.janitor().tidy()
            list(world.drained(healer))
        tree.check_at_rest(disk)  # type: ignore[arg-type]
    except (PeercoordError, AssertionError) as error:
        raise ViolationError(f"at rest: {error}") from None
    for task, paths in tree.tickets(disk).items():  # type: ignore[arg-type]
        if not paths[0].startswith((names.DONE, names.PARKED)):
            raise ViolationError(f"at rest: task {task} lies at {paths[0]}")
