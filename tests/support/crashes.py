"""What a crash leaves and who repairs it: every scene, cut off at every one of its changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from peercoord.errors import PeercoordError
from peercoord.membership import membership as members
from peercoord.store import paths as names
from support import tree
from support.faults import CHANGES, Call, Wrapper
from support.memory import MemoryDisk
from support.scenes import SURVIVOR, Scene
from support.worlds import World


class Play(NamedTuple):
    """A scene that was cut off."""

    scene: Scene
    cut: str
    world: World

    def __repr__(self) -> str:
        return f"{self.scene.name}: {self.cut}"


class Cuts(Wrapper):
    """Keeps what the end of the process would leave: before the first change, in the middle of each and after it.

    A call that only looks, or is refused, leaves what the change before it left.
    """

    def __init__(self, disk: MemoryDisk) -> None:
        super().__init__(disk)
        self.memory = disk
        self.left = [("before the first call", disk.copy())]

    def around(self, call: Call) -> Any:
        torn = self.memory.copy() if call.name in ("create", "append") and len(call.args[1]) > 1 else None
        answer = call.run()
        if torn:
            Call(torn, call.name, call.args).torn()
            self.left.append((f"in the middle of {call}", torn))
        if call.name in CHANGES:
            self.left.append((f"after {call}", self.memory.copy()))
        return answer


def plays(scene: Scene) -> Iterator[Play]:
    """Play a scene once; give what is left of it for every place where its process may die."""
    world = scene.world.twin()
    cuts = Cuts(world.memory)
    scene.run(world.on(cuts))
    for cut, disk in cuts.left:
        yield Play(scene, cut, world.on(disk).twin())


def repair(world: World, scene: Scene) -> None:
    """Let the survivor repair what is left: it evicts the others, then tidies."""
    janitor = world.janitor(SURVIVOR)
    for who in members.living(world.root):
        if who != scene.survivor:
            janitor.evict(who, scene.survivor, "it is dead")
    janitor.tidy()


def finish(world: World, scene: Scene) -> None:
    """Let the survivor bring every task that exists to its end, reopening what was set aside on the way."""
    worker = world.resume(scene.survivor)
    for ticket in worker.held():
        worker.complete(ticket.task)
    for _ in range(10):
        list(world.drained(worker))
        parked = [task for task, seen in world.queue.survey().items() if seen.state == "parked"]
        if not parked:
            break
        for task in parked:
            world.queue.reopen(task)
    states = {task: world.state(task) for task in world.queue.all_tasks()}
    assert all(state == ("done", "") for state in states.values()), f"not to be completed: {states}"


def check_placed(world: World) -> None:
    """Assert that every ticket that lies still lies where its definition says."""
    for task, seen in world.queue.survey().items():
        if seen.state in ("waiting", "ready") or seen.detail == "blocked":
            level = str(world.queue.definition(task).level)
            spot = world.queue.location_of(task)
            stale = seen.state == "ready" and spot.state == "waiting"  # a claim looks again at what was reopened
            assert stale or (seen.state, seen.detail) == (spot.state, spot.detail or level), f"{seen.path}, not {spot}"


def committed(disk: MemoryDisk) -> set[str]:
    """Return the tasks whose completion is decided: in ``done/``, or marked by who held them."""
    return {task for task, paths in tree.tickets(disk).items() if paths and re.search(r"~done$|^queue/done/", paths[0])}


def epochs(disk: MemoryDisk) -> dict[str, int]:
    """Return the epoch of every task whose ticket says one."""
    found = {}
    for task, paths in tree.tickets(disk).items():
        ticket = names.parse_ticket(paths[0].rpartition("/")[2]) if paths else None
        if ticket and not paths[0].startswith(names.NEW):
            found[task] = ticket.epoch
    return found


def attempt(scene: Scene, world: World) -> PeercoordError | None:
    """Play a scene in a world; an error of ours is an answer, too. Any other is none."""
    try:
        scene.run(world)
    except PeercoordError as error:
        return error
    return None
