"""A machine dies in the middle of a rename and leaves a ticket under both names, as GlusterFS does (ASM-7, ASM-10).

Every rename of a ticket in every sequence is interrupted like this. Then either others repair and go on, or the machine
comes back first and its peer goes on with what it finds. In the end each task has exactly one ticket, and no two peers
were told that they hold the same task.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support import crashes, tree
from support.faults import Call, Crash, Wrapper
from support.scenes import PLAYED, SURVIVOR, Scene
from support.worlds import World

from peercoord.errors import PeercoordError
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.queue import duplicates
from peercoord.queue.worker import Worker
from peercoord.store import paths
from peercoord.store.paths import Ticket
from peercoord.system.disk import Stat

TICKET = re.compile(r"(queue|peers|departed)/.*/([^/~]+(~\d+(~done)?)?|leader~\d+)")


class Tearing(Wrapper):
    """A disk whose machine dies in the middle of its ``at``-th rename of a ticket, and leaves both names."""

    def __init__(self, disk: Any, at: int) -> None:
        super().__init__(disk)
        self.left = at
        self.torn = ""

    def around(self, call: Call) -> Any:
        if self.left == 0:
            raise Crash("the machine is down")
        if call.name == "rename" and TICKET.fullmatch(call.args[0]) and not call.args[0].endswith(".json"):
            self.left -= 1
            if self.left == 0:
                self.disk.link(*call.args)
                self.torn = f"{call.args[0]} and {call.args[1]}"
                raise Crash(self.torn)
        return call.run()


def torn(scene: Scene) -> Iterator[tuple[World, str]]:
    """Interrupt every rename of a ticket in a scene, one at a time."""
    at = 0
    while True:
        at += 1
        world = scene.world.twin()
        disk = Tearing(world.disk, at)
        try:
            scene.run(world.on(disk))
        except Crash:
            yield world, disk.torn
        except PeercoordError:
            return
        else:
            return


def settled(world: World, scene: Scene) -> None:
    """Let the survivor evict the others, tidy, and finish all there is; then each task has one ticket, and is done."""
    crashes.repair(world, scene)
    crashes.finish(world, scene)
    world.janitor(SURVIVOR).tidy()
    tree.check_at_rest(world.memory)


def together(world: World) -> None:
    """Check that each task has at least one name, and that all its names are of one file."""
    for task, tickets in tree.tickets(world.memory).items():
        assert tickets, f"the ticket of task {task} is lost"
        seen = [world.files.stat(path) for path in tickets]
        assert [one.links for one in seen if one] == [len(tickets)] * len(tickets), tickets


@pytest.mark.parametrize("scene", PLAYED, ids=repr)
def test_others_repair_it(scene: Scene) -> None:
    for world, what in torn(scene):
        together(world)
        try:
            settled(world, scene)
        except AssertionError as error:
            raise AssertionError(f"after {what}: {error}") from None


@pytest.mark.parametrize("scene", PLAYED, ids=repr)
def test_the_machine_that_comes_back_repairs_it(scene: Scene) -> None:
    """The survivor claims first; then the machine is up again and makes the same call once more."""
    for world, what in torn(scene):
        survivor = world.resume(scene.survivor)
        had = survivor.request()
        crashes.attempt(scene, world)
        together(world)
        holders = {who: {ticket.task for ticket in world.resume(who).held()} for who in members.living(world.root)}
        for one, other in itertools.combinations(holders, 2):
            assert not holders[one] & holders[other], f"after {what}: {one} and {other} hold one task"
        if had is not None:
            assert had.ticket in survivor.held() or world.state(had.task)[0] != "ready", what
        settled(world, scene)


def test_every_kind_of_move_was_cut_short() -> None:
    whats = [what for scene in PLAYED for _, what in torn(scene)]
    found = {re.sub(r"\S*/(?:\w+)~\d+", "ticket", re.sub(r"\S*/leader~\d+", "leader", what)) for what in whats}
    assert len(whats) > 40
    assert found >= {"leader and leader", "ticket and ticket~done", "ticket and ticket"}


# -- one by one --------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    made = World.new()
    made.add("1")
    return made


def twice_claimed(world: World) -> tuple[Worker, Worker, str]:
    """Two peers with a name of one ticket each, and the name of the earlier one, which goes."""
    amber, birch = world.join("amber"), world.join("birch")
    ready, mine = world.at("1"), paths.claim(amber.home, Ticket("1", 1))
    world.disk.link(ready, mine)
    world.disk.rename(ready, paths.claim(birch.home, Ticket("1", 1)))
    return amber, birch, mine


class Remembering(Wrapper):
    """A network client whose ``stat`` still shows removed files."""

    def __init__(self, disk: Any) -> None:
        super().__init__(disk)
        self.removed: dict[str, Any] = {}

    def remember(self, path: str) -> None:
        before = self.disk.stat(path)
        self.removed[path] = Stat(False, before.size, before.modified_ns, 1, before.changed_ns)

    def around(self, call: Call) -> Any:
        if call.name == "stat" and call.path in self.removed:
            return self.removed[call.path]
        if call.name == "unlink":
            self.remember(call.path)
        return call.run()


def test_a_removed_claim_that_a_look_still_shows_does_not_count(world: World) -> None:
    """ASM-10: after a removal a listing decides whether the claim is still there."""
    _, birch, mine = twice_claimed(world)
    behind = world.on(Remembering(world.disk))
    assert not duplicates.is_unique(behind.queue, mine, "1")
    assert behind.files.stat(mine) is not None
    assert tree.tickets(world.memory)["1"] == [paths.claim(birch.home, Ticket("1", 1))]


def test_a_claim_removed_between_listing_and_look_does_not_count(world: World) -> None:
    """ASM-10, INV-2: the look is old and its link count new, so it shows one name; only a later listing is right."""
    amber, birch, mine = twice_claimed(world)

    class Removing(Remembering):
        def around(self, call: Call) -> Any:
            found = super().around(call)
            if call.name == "listdir" and call.path == paths.claims_dir(amber.home) and not self.removed:
                self.remember(mine)
                assert birch.held()  # which removes the lower name, that of amber
            return found

    assert world.on(Removing(world.disk)).resume(amber.me).held() == []
    assert birch.held() == [Ticket("1", 1)]


def test_a_leader_whose_ticket_has_another_name_does_not_lead(world: World) -> None:
    """ASM-10, LDR-5, INV-7: and the ticket of the lower term goes."""
    amber = world.join("amber")
    leadership = Leadership(amber.membership)
    world.disk.link("queue/leader/leader~0", f"{amber.home}/leader~1")
    assert leadership.term() is None
    world.janitor().tidy()
    assert leadership.term() == 1
    assert world.files.scan(paths.LEADER) == []


def test_reopening_removes_the_second_name_first(world: World) -> None:
    """ASM-10, CHG-4: otherwise the name left behind would pass for the later one."""
    amber = world.join("amber")
    world.taken(amber, "1")
    amber.complete("1")
    world.disk.link(paths.done("1"), paths.claim(amber.home, Ticket("1", 1, True)))
    world.queue.reopen("1")
    assert tree.tickets(world.memory)["1"] == ["queue/ready/2/000000/1~1"]
