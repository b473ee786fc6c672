"""Where a ticket lies after adding, completing, editing, cancelling and reopening, and how tidying moves it there."""

from __future__ import annotations

import pytest
from support.faults import Counting, Meanwhile, renames_to
from support.memory import Folder, MemoryDisk
from support.worlds import World

from peercoord.errors import NotFoundError
from peercoord.store import paths, records
from peercoord.store.paths import Ticket


def complete(world: World, *tasks: str) -> None:
    worker = world.join("helper")
    for task in tasks:
        world.taken(worker, task)
        worker.complete(task)
    worker.files.move(worker.home, f"departed/{worker.me}~{worker.me}")
    world.janitor().tidy()


class TestPlacing:
    def test_a_ticket_is_placed_again_until_its_place_is_right(self, world: World) -> None:
        """PLC-4: each dependency is completed between the look at it and the move that makes the ticket wait for it."""
        needs = ("1", "2", "3")
        helpers = {task: world.working(f"w{task}", task) for task in needs}
        late = [
            (renames_to(f"queue/waiting/{task}/"), lambda task=task: helpers[task].complete(task)) for task in needs
        ]
        disk = Meanwhile(world.disk, *late)
        world.on(disk).add("4", needs=needs)
        assert disk.steps == []
        assert world.at("4") == "queue/ready/2/000000/4~0"

    def test_the_cost_of_completing_does_not_grow_with_the_list(self, world: World) -> None:
        world.add("1")
        world.add("2", needs=("1",))
        costs = []
        for count in (5, 40):
            for number in range(count):
                world.add(f"x{count}-{number}", priority="lowest")
                world.add(f"y{count}-{number}", needs=(f"x{count}-{number}",))
            counting = Counting(world.disk)
            worker = world.on(counting).join(f"w{count}")
            claim = worker.request()
            assert claim is not None
            counting.calls.clear()
            worker.complete(claim.task)
            costs.append(len(counting.calls))
        assert costs[1] <= costs[0]

    @pytest.mark.parametrize(
        ("home", "epoch"), [("ready/0/000000", 1), *((f"parked/{why}", 0) for why in ("blocked", "failed", "review"))]
    )
    def test_a_ticket_without_a_task_stops_nothing(self, world: World, home: str, epoch: int) -> None:
        """ADD-5: an unknown dependency of an import blocks it until that task is added."""
        world.queue.create(records.define("2", "imported", dependencies=["1"]), 0)
        assert world.state("2") == ("parked", "blocked")
        world.files.ticket(f"queue/{home}/ghost~0")
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        world.janitor().tidy()
        assert world.state("2") == ("waiting", "1")
        places = {f"queue/{home}", "queue/parked/unreadable"}
        assert [name for place in places for name in world.files.scan(place)] == [f"ghost~{epoch}"]
        assert world.files.read(paths.events("janitor")) is None, "it is no error"
        with pytest.raises(NotFoundError):
            world.queue.definition("ghost")

    def test_a_task_parked_for_a_cycle_comes_back_when_the_cycle_is_gone(self, world: World) -> None:
        """TDY-3, ADD-6."""
        world.add("1")
        world.add("2", ("1",))
        save(world, "1", dependencies=[2], parked={"why": "blocked", "kind": "cycle", "reason": "1 → 2 → 1"})
        world.queue.place_again("1")
        assert world.state("1") == ("parked", "blocked")
        world.queue.edit("2", dependencies=[])
        assert world.state("2") == ("ready", "2")
        assert world.state("1") == ("waiting", "2")


class TestEditing:
    def test_a_task_with_unknown_dependencies_can_still_be_edited(self, world: World) -> None:
        world.queue.create(records.define("2", "imported", dependencies=["1"]), 0)
        world.add("3")
        world.queue.edit("2", title="Better", dependencies=["1", "3"])
        assert world.queue.definition("2").title == "Better"
        assert world.state("2") == ("parked", "blocked")


def save(world: World, task: str, **changes: object) -> None:
    """Save a definition by hand."""
    world.files.put(paths.definition(task), records.encode({**world.queue.definition(task).raw, **changes}))


class SlowClock(MemoryDisk):
    """A disk whose clock stands still until a test moves it, as that of a real one does for milliseconds."""

    def _tick(self, *changed: Folder) -> int:
        for folder in changed:
            folder.modified_ns = folder.changed_ns = self.ticks
        return self.ticks


class TestEditsByHand:
    """TDY-3: a ticket's last rename is compared with the last change of its definition."""

    def test_an_edit_in_the_tick_of_the_last_move_is_found_in_the_next(self) -> None:
        disk = SlowClock()
        disk.ticks = 1
        world = World.new(disk)
        world.add("1")
        janitor = world.janitor()
        for number, priority in enumerate(("critical", "low", "high")):
            if number:  # the tidying itself moves the ticket in the tick of the edit
                disk.ticks += 1
                save(world, "1", priority="lowest")
            janitor.tidy()
            save(world, "1", priority=priority)
            janitor.tidy()
            disk.ticks += 1
            janitor.tidy()
            assert world.state("1") == ("ready", str(paths.PRIORITIES.index(priority)))

    def test_tidying_reads_again_only_what_changed(self) -> None:
        disk = SlowClock()
        disk.ticks = 1
        world = World.new(disk)
        for number in range(60):
            world.queue.create(records.define(f"{number}", "T", dependencies=["0"] if number > 30 else ()), number)
        disk.ticks += 1
        counting = Counting(disk)
        janitor = world.on(counting).janitor()
        janitor.tidy()
        disk.ticks += 1
        counting.calls.clear()
        for _ in range(3):
            janitor.tidy()
        assert not [call for call in counting.calls if call.name == "rename"]
        assert {call.path for call in counting.calls if call.name == "read"} == {paths.definition("0")}  # it is watched


class TestCancellingAndReopening:
    @pytest.mark.parametrize("why", [why for why in paths.PARKED_WHY if why != "unreadable"])
    def test_a_task_parked_for_any_reason_can_be_reopened(self, world: World, why: str) -> None:
        path = world.add("1")
        assert world.queue.park(path, Ticket("1", 0), why, "a person said so")
        world.janitor().tidy()
        assert world.state("1") == ("parked", why)
        assert world.queue.definition("1").set_aside == (why, "a person said so")
        world.queue.reopen("1")
        assert world.state("1") == ("ready", "2")
        assert world.queue.definition("1").set_aside is None
