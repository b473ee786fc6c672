"""A machine dies in the middle of a rename and leaves a ticket under both names, as GlusterFS does (ASM-7, ASM-10).

Every rename of a ticket in every sequence is interrupted like this. Then either others repair and go on, or the machine
comes back first and its peer goes on with what it finds. In the end each task has exactly one ticket, and no two peers
were told that they hold the same task.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from support import crashes, tree
from support.faults import Call, Counting, Crash, Wrapper
from support.scenes import Scene, scenes
from support.worlds import World

from peercoord.errors import PeercoordError
from peercoord.membership.leadership import Leadership
from peercoord.queue import duplicates, placement
from peercoord.queue.placement import Location
from peercoord.store import paths
from peercoord.store.paths import Ticket
from peercoord.system.disk import Stat
from simulation.mutants import planted

SCENES = scenes()
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
            scene.act(world.on(disk), scene.actor)
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
    world.janitor("survivor").tidy()
    tree.check_at_rest(world.memory)


def together(world: World) -> None:
    """Check that each task has at least one name, and that all its names are of one file."""
    for task, tickets in tree.tickets(world.memory).items():
        assert tickets, f"the ticket of task {task} is lost"
        seen = [world.files.stat(path) for path in tickets]
        assert [one.links for one in seen if one] == [len(tickets)] * len(tickets), tickets


@pytest.mark.parametrize("scene", SCENES, ids=repr)
def test_others_repair_it(scene: Scene) -> None:
    for world, what in torn(scene):
        together(world)
        try:
            settled(world, scene)
        except AssertionError as error:
            raise AssertionError(f"after {what}: {error}") from None


@pytest.mark.parametrize("scene", SCENES, ids=repr)
def test_the_machine_that_comes_back_repairs_it(scene: Scene) -> None:
    """The survivor claims first; then the machine is up again and makes the same call once more."""
    for world, what in torn(scene):
        survivor = world.resume(scene.survivor)
        had = survivor.request()
        crashes.attempt(scene, world)
        together(world)
        actor = world.resume(scene.actor)
        if actor.membership.present():
            both = {t.task for t in survivor.held()} & {t.task for t in actor.held()}
            assert not both, f"after {what}: both hold {both}"
        if had is not None:
            assert had.ticket in survivor.held() or world.state(had.task)[0] != "ready", what
        settled(world, scene)


def test_every_kind_of_move_was_cut_short() -> None:
    whats = [what for scene in SCENES for _, what in torn(scene)]
    found = {" and ".join(crashes.pattern(path).split("/")[-1] for path in what.split(" and ")) for what in whats}
    assert len(whats) > 40
    assert "leader~<term> and leader~<term>" in found
    assert found >= {"<id>~<epoch> and <id>~<epoch>~done", "<id>~<epoch> and <id>~<epoch>"}


# -- one by one --------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    return World.new()


def test_a_claim_counts_only_once_its_ticket_has_no_other_name(world: World) -> None:
    """ASM-10, CLM-4: the other name can still be taken; so it goes first, and then the claim counts."""
    world.add("1")
    amber, birch = world.join("amber"), world.join("birch")
    ready = world.at("1")
    world.disk.link(ready, paths.claim(birch.home, Ticket("1", 1)))  # where birch's machine died
    claim = amber.request()
    assert claim is None
    assert [str(ticket) for ticket in birch.held()] == ["1~1"]
    together(world)
    assert tree.tickets(world.memory)["1"] == [paths.claim(birch.home, Ticket("1", 1))]


def test_of_two_claims_at_one_epoch_the_later_incarnation_keeps_it(world: World) -> None:
    """ASM-10."""
    world.add("1")
    amber, birch = world.join("amber"), world.join("birch")
    ready = world.at("1")
    world.disk.link(ready, paths.claim(amber.home, Ticket("1", 1)))
    world.disk.rename(ready, paths.claim(birch.home, Ticket("1", 1)))
    assert amber.held() == []
    assert [str(ticket) for ticket in birch.held()] == ["1~1"]


class Remembering(Wrapper):
    """A network client whose ``stat`` still shows removed files."""

    def __init__(self, disk: Any) -> None:
        super().__init__(disk)
        self.removed: dict[str, Any] = {}

    def around(self, call: Call) -> Any:
        if call.name == "stat" and call.path in self.removed:
            return self.removed[call.path]
        if call.name == "unlink":
            before = self.disk.stat(call.path)
            self.removed[call.path] = Stat(False, before.size, before.modified_ns, 1, before.changed_ns)
        return call.run()


def test_a_removed_claim_that_a_look_still_shows_does_not_count(world: World) -> None:
    """ASM-10: after a removal a listing decides whether the claim is still there."""
    world.add("1")
    amber, birch = world.join("amber"), world.join("birch")
    ready, mine = world.at("1"), paths.claim(amber.home, Ticket("1", 1))
    world.disk.link(ready, mine)
    world.disk.rename(ready, paths.claim(birch.home, Ticket("1", 1)))
    behind = world.on(Remembering(world.disk))
    assert not duplicates.is_unique(behind.queue, mine, "1")
    assert behind.files.stat(mine) is not None
    assert tree.tickets(world.memory)["1"] == [paths.claim(birch.home, Ticket("1", 1))]


def test_a_claim_removed_between_listing_and_look_does_not_count(world: World) -> None:
    """ASM-10, INV-2: the look is old and its link count new, so it shows one name; only a later listing is right."""
    world.add("1")
    amber, birch = world.join("amber"), world.join("birch")
    ready, mine = world.at("1"), paths.claim(amber.home, Ticket("1", 1))
    world.disk.link(ready, mine)
    world.disk.rename(ready, paths.claim(birch.home, Ticket("1", 1)))

    class Removing(Remembering):
        def around(self, call: Call) -> Any:
            found = super().around(call)
            if call.name == "listdir" and call.path == paths.claims_dir(amber.home) and not self.removed:
                before = self.disk.stat(mine)
                self.removed[mine] = Stat(False, before.size, before.modified_ns, 1, before.changed_ns)
                assert birch.held()  # which removes the lower name, that of amber
            return found

    assert world.on(Removing(world.disk)).resume(amber.me).held() == []
    assert birch.held() == [Ticket("1", 1)]


def test_two_separate_files_both_stay(world: World) -> None:
    """ASM-10: without a second link nothing is removed, however many names there are."""
    world.add("1")
    world.files.ticket("queue/parked/held/1~0")
    world.janitor().tidy()
    assert len(tree.tickets(world.memory)["1"]) == 2


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
    world.add("1")
    amber = world.join("amber")
    world.taken(amber, "1")
    amber.complete("1")
    world.disk.link(paths.done("1"), paths.claim(amber.home, Ticket("1", 1, True)))
    world.queue.reopen("1")
    assert tree.tickets(world.memory)["1"] == ["queue/ready/2/000000/1~1"]


def _seen(state: str, epoch: int, detail: str = "", mark: str = "") -> Location:
    return Location("1", state, detail, epoch, f"{state}/{detail}/1~{epoch}{mark}")


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (_seen("claimed", 4, "a~1.x", "~done"), _seen("done", 0)),
        (_seen("ready", 3), _seen("claimed", 4, "a~1.x")),
        (_seen("claimed", 4, "a~1.x"), _seen("claimed", 4, "a~1.x", "~done")),
        (_seen("claimed", 4, "a~1.x"), _seen("ready", 4)),
        (_seen("departed", 4, "a~1.x~b~1.y"), _seen("waiting", 4)),
        (_seen("claimed", 4, "a~1.x"), _seen("claimed", 4, "a~2.x")),
        (_seen("claimed", 4, "a~9.x"), _seen("departed", 4, "a~10.x~b~1.y")),
        (_seen("new", 0), _seen("ready", 0)),
    ],
    ids=lambda seen: seen.path,
)
def test_the_lower_name_goes(low: Location, high: Location) -> None:
    """ASM-10."""
    assert placement.lower_names([low, high]) == placement.lower_names([high, low]) == [low]


def test_two_names_of_one_rank_both_stay() -> None:
    """ASM-10: an unclaimed ticket may come back to either place, so it is not known which was left behind."""
    assert placement.lower_names([_seen("ready", 4), _seen("waiting", 4)]) == []
    assert placement.lower_names([_seen("claimed", 4, "a~1.x"), _seen("departed", 4, "a~1.x~b~1.y")]) == []


def test_a_ticket_under_one_name_costs_one_look_and_one_listing(world: World) -> None:
    world.add("1")
    path, counting = world.at("1"), Counting(world.disk)
    assert duplicates.is_unique(world.on(counting).queue, path, "1")
    assert [call.name for call in counting.calls] == ["stat", "listdir"]


# -- what must be noticed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mutant", ["a_claim_counts_under_two_names", "of_two_names_the_hand_stays", "two_names_stay"])
def test_a_broken_rule_is_found(mutant: str) -> None:
    with planted(mutant), pytest.raises(AssertionError):
        everything()


def everything() -> None:
    for scene in SCENES:
        test_others_repair_it(scene)
        test_the_machine_that_comes_back_repairs_it(scene)
