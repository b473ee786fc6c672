"""Small coordinated worlds: a coordination directory, its tasks and peers, with time and chance that repeat.

A ``World`` stands on any disk. Several may stand on one directory, each through a disk of its own: that is how one
peer crashes while another lives.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

from peercoord.membership import membership as members
from peercoord.membership.liveness import DEAD, UNKNOWN, Verdict
from peercoord.membership.membership import Membership
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.queue.worker import Worker
from peercoord.store import records
from peercoord.store import root as roots
from peercoord.store.files import Files
from peercoord.store.paths import Incarnation, Ticket
from peercoord.store.root import Root
from peercoord.system.clock import Clock
from support.memory import MemoryDisk

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.system.disk import DiskLike

PROTOCOL: Json = {
    "schema_version": 1,
    "protocol": {"version": 1, "least_reader": 1, "least_writer": 1},
    "store_id": "s70re",
    "project": "test",
    "created": "2026-01-31T15:30:00Z",
    "settings": {},
}


class Ticking(Clock):
    """A clock that goes on by one second each time it is looked at."""

    def __init__(self) -> None:
        self.seconds = 0

    def now(self) -> str:
        self.seconds += 1
        hours, rest = divmod(self.seconds, 3600)
        return f"2026-01-31T{hours:02d}:{rest // 60:02d}:{rest % 60:02d}Z"

    def monotonic(self) -> float:
        self.seconds += 1
        return float(self.seconds)


class Chance:
    """Words and numbers that are as good as random where it matters, and the same in every run."""

    def __init__(self) -> None:
        self.count = 0

    def twin(self) -> Chance:
        other = Chance()
        other.count = self.count
        return other

    def token(self) -> str:
        self.count += 1
        return f"{self.count:06d}token"

    def number(self) -> int:
        self.count += 1
        return self.count * 7919


def unknown(_who: Incarnation) -> Verdict:
    """Judge no peer."""
    return Verdict(UNKNOWN, "nothing is known of it")


def dead(_who: Incarnation) -> Verdict:
    """Judge everybody dead."""
    return Verdict(DEAD, "its process is gone")


class World:
    """A coordination directory as one process sees it."""

    def __init__(self, disk: DiskLike, like: World | None = None) -> None:
        self.disk = disk
        self.clock: Clock = like.clock if like else Ticking()
        self.chance = like.chance if like else Chance()
        self.protocol = like.protocol if like else {**PROTOCOL}
        self.files = Files(disk, self.chance.token)
        self.root = Root(self.files, self.protocol, self.clock, self.chance.number)
        self.queue = Queue(self.root)

    @classmethod
    def new(cls, disk: DiskLike | None = None) -> World:
        """Make the coordination directory on an empty disk."""
        world = cls(disk if disk is not None else MemoryDisk())
        roots.build(world.files, "", world.protocol)
        return world

    def twin(self) -> World:
        """Return an independent copy of a world in memory: what happens in one does not happen in the other."""
        other = World(self.memory.copy(), like=self)
        other.clock, other.chance = copy.copy(self.clock), self.chance.twin()
        return World(other.disk, like=other)

    def on(self, disk: DiskLike) -> World:
        """Return the same world through another disk."""
        return World(disk, like=self)

    @property
    def memory(self) -> MemoryDisk:
        """The disk of a world in memory, whatever is wrapped around it."""
        disk = self.disk
        while not isinstance(disk, MemoryDisk):
            disk = disk.disk  # type: ignore[attr-defined]
        return disk

    # -- people and peers ------------------------------------------------------------------------------------

    def add(self, task: str, needs: tuple[str, ...] = (), priority: str = "medium", **more: object) -> str:
        return self.queue.add(records.define(task, f"Task {task}", dependencies=needs, priority=priority, **more))

    def join(self, peer: str, least: int = 1) -> Worker:
        """Join as a peer; no peer is known to be dead."""
        queue = Queue(self.root, peer)
        membership = members.join(self.root, peer, {}, unknown, Janitor(queue, peer).evict, least)
        return Worker(queue, membership)

    def working(self, peer: str, task: str = "1", **more: object) -> Worker:
        """Add a task and let a new peer claim it."""
        self.add(task, **more)  # type: ignore[arg-type]
        worker = self.join(peer)
        self.taken(worker, task)
        return worker

    def resume(self, me: Incarnation) -> Worker:
        """Go on as a peer that joined before."""
        return Worker(Queue(self.root, me.peer), Membership(self.root, me))

    def janitor(self, by: str = "janitor") -> Janitor:
        return Janitor(Queue(self.root, by), by)

    def evict(self, who: Incarnation, by: Incarnation) -> bool:
        return self.janitor(by.peer).evict(who, by, "a test says so")

    # -- looking ---------------------------------------------------------------------------------------------

    def at(self, task: str) -> str:
        """Where a task's ticket lies."""
        return self.queue.find(task).path

    def state(self, task: str) -> tuple[str, str]:
        """What state a task is in, with its detail."""
        sighting = self.queue.find(task)
        return sighting.state, sighting.detail

    def outcomes(self, task: str) -> list[tuple[int, str]]:
        """Epoch and outcome of every result of a task."""
        return self.queue.outcomes(task)

    def taken(self, worker: Worker, task: str) -> Ticket:
        """Let a peer claim until it gets this very task."""
        claim = worker.request()
        assert claim is not None, f"nothing to claim, {task} is {self.state(task)}"
        assert claim.task == task
        return claim.ticket

    def drained(self, worker: Worker, most: int = 200) -> Iterator[str]:
        """Let a peer claim and complete all tasks, one after the other."""
        for _ in range(most):
            claim = worker.request()
            if claim is None:
                return
            worker.complete(claim.task)
            yield claim.task
        raise AssertionError(f"still claiming after {most} tasks")
