"""Where a ticket belongs, and that it gets there from wherever it lies."""

from __future__ import annotations

import pytest
from support.faults import Counting, Meanwhile, renames_to
from support.memory import Folder, MemoryDisk
from support.worlds import World

from peercoord.errors import LostError, NotFoundError, PeercoordError, UsageError
from peercoord.store import paths, records
from peercoord.store.paths import Ticket


def complete(world: World, *tasks: str) -> None:
    worker = world.join("helper")
    for task in tasks:
        world.taken(worker, task)
        worker.complete(task)
    worker.files.move(worker.home, f"departed/{worker.me}~{worker.me}")
    world.janitor().tidy()


def test_completing_places_what_waited_and_nothing_else(world: World) -> None:
    for task in ("1", "2"):
        world.add(task)
    for task in ("3", "4"):
        world.add(task, needs=("1",))
    world.add("5", needs=("2",))
    world.add("6", needs=("1", "2"))
    complete(world, "1")
    assert world.state("3") == world.state("4") == ("ready", "2")
    assert world.state("5") == world.state("6") == ("waiting", "2")
    assert "1" not in world.files.scan(paths.WAITING)


def test_it_is_placed_until_its_place_is_right() -> None:
    """Each dependency is completed between the look at it and the move that makes the ticket wait for it (PLC-4)."""
    world = World.new(MemoryDisk())
    needs = ("1", "2", "3")
    for task in needs:
        world.add(task)
    helpers = {task: world.join(f"w{task}") for task in needs}
    for task, helper in helpers.items():
        world.taken(helper, task)
    late = [(renames_to(f"queue/waiting/{task}/"), lambda task=task: helpers[task].complete(task)) for task in needs]
    disk = Meanwhile(world.disk, *late)
    world.on(disk).add("4", needs=needs)
    assert disk.steps == []
    assert world.at("4") == "queue/ready/2/000000/4~0"


def test_a_chain_is_worked_off_in_its_order(world: World) -> None:
    world.add("a")
    for before, after in ("ab", "bc", "cd"):
        world.add(after, needs=(before,), priority="critical")
    assert list(world.drained(world.join("w"))) == ["a", "b", "c", "d"]


def test_completing_costs_the_edges_and_not_the_list(world: World) -> None:
    world.add("1")
    world.add("2", needs=("1",))
    costs = []
    for count in (10, 60):
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
    assert costs[0] <= 40
    assert costs[1] <= costs[0]


def test_what_waits_for_a_cancelled_task_is_blocked_with_the_reason(world: World) -> None:
    world.add("1")
    world.add("2", needs=("1",))
    world.add("3", needs=("2",))
    world.queue.cancel("1", "no longer wanted")
    assert world.state("1") == ("parked", "cancelled")
    assert world.state("2") == ("parked", "blocked")
    assert world.queue.location_of("2").reason == "it depends on task 1, which was cancelled"
    assert world.state("3") == ("waiting", "2")


def test_a_dependency_that_nobody_knows_blocks_until_it_is_there(world: World) -> None:
    world.queue.create(records.define("2", "imported", dependencies=["1"]), 0)
    assert world.state("2") == ("parked", "blocked")
    world.add("1")
    world.janitor().place_again()
    assert world.state("2") == ("waiting", "1")


def test_a_ticket_already_in_its_place_stays(world: World) -> None:
    path = world.add("1")
    assert world.queue.place(path, Ticket("1", 0)) == path


def test_a_ticket_that_someone_else_moved_is_not_placed(world: World) -> None:
    world.add("1")
    assert world.queue.place("queue/waiting/9/1~3", Ticket("1", 3)) == ""
    assert world.state("1") == ("ready", "2")


def test_a_ticket_without_a_task_is_unreadable_and_never_a_task(world: World) -> None:
    world.add("1")
    world.files.ticket("queue/ready/0/000000/ghost~0")
    worker = world.join("w")
    assert list(world.drained(worker)) == ["1"]
    assert world.files.scan("queue/parked/unreadable") == ["ghost~1"]
    world.janitor().tidy()
    assert world.files.scan("queue/parked/unreadable") == ["ghost~1"]
    with pytest.raises(NotFoundError):
        world.queue.definition("ghost")


def test_a_ticket_without_a_task_among_the_blocked_holds_up_nobody(world: World) -> None:
    world.queue.create(records.define("2", "imported", dependencies=["1"]), 0)
    world.files.ticket("queue/parked/blocked/ghost~0")
    world.add("1")
    world.janitor().tidy()
    assert world.state("2") == ("waiting", "1")
    assert world.files.scan("queue/parked/unreadable") == ["ghost~0"]


def test_a_cycle_set_aside_by_an_import_is_freed_when_it_is_broken(world: World) -> None:
    note = {"why": "blocked", "kind": "cycle", "reason": "1 → 2 → 1"}
    world.queue.create(records.define("1", "x", dependencies=["2"], parked=note), 0)
    world.queue.create(records.define("2", "x", dependencies=["1"], parked=note), 1)
    world.janitor().place_again()
    assert world.state("1") == world.state("2") == ("parked", "blocked")
    world.queue.edit("2", dependencies=[])
    world.janitor().place_again()
    assert (world.state("1"), world.state("2")) == (("waiting", "2"), ("ready", "2"))


class TestEditing:
    def test_a_new_priority_moves_the_ticket(self, world: World) -> None:
        world.add("1")
        world.queue.edit("1", priority="critical")
        assert world.state("1") == ("ready", "0")

    def test_a_new_dependency_makes_a_ready_task_wait(self, world: World) -> None:
        world.add("1")
        world.add("2")
        world.queue.edit("1", dependencies=["2"])
        assert world.state("1") == ("waiting", "2")
        world.queue.edit("1", dependencies=[])
        assert world.state("1") == ("ready", "2")

    def test_a_cycle_is_refused_with_its_path(self, world: World) -> None:
        world.add("1")
        world.add("2", needs=("1",))
        world.add("3", needs=("2",))
        before = world.queue.definition("1").raw
        with pytest.raises(UsageError, match="task 1 would wait for itself: 1 → 3 → 2 → 1"):
            world.queue.edit("1", dependencies=["3"])
        assert world.queue.definition("1").raw == before
        assert world.state("1") == ("ready", "2")

    def test_a_dependency_that_nobody_knows_is_refused(self, world: World) -> None:
        world.add("1")
        with pytest.raises(UsageError, match="task 1 depends on task 9, which is not known"):
            world.queue.edit("1", dependencies=["9"])
        assert world.state("1") == ("ready", "2")
        assert world.queue.definition("1").dependencies == []

    def test_what_an_import_could_not_place_can_still_be_edited(self, world: World) -> None:
        world.queue.create(records.define("2", "imported", dependencies=["1"]), 0)
        world.queue.edit("2", title="Better")
        assert world.queue.definition("2").title == "Better"
        world.add("3")
        world.queue.edit("2", dependencies=["1", "3"])
        assert world.state("2") == ("parked", "blocked")

    def test_a_task_keeps_its_id(self, world: World) -> None:
        world.add("1")
        with pytest.raises(UsageError, match="task 1 keeps its id"):
            world.queue.edit("1", task_id=2)
        assert world.queue.definition("1").task == "1"

    @pytest.mark.parametrize("changes", [{"title": ""}, {"priority": "soon"}, {"dependencies": "2"}, {"title": None}])
    def test_what_is_not_allowed_changes_nothing(self, world: World, changes: dict[str, object]) -> None:
        world.add("1")
        before = world.queue.definition("1").raw
        with pytest.raises(UsageError, match=r"1|priority"):
            world.queue.edit("1", **changes)
        assert world.queue.definition("1").raw == before

    def test_unknown_keys_live_on_and_none_removes_one(self, world: World) -> None:
        world.add("1", colour="red", shape="round")
        world.queue.edit("1", title="Better", shape=None)
        raw = world.queue.definition("1").raw
        assert raw["colour"] == "red"
        assert "shape" not in raw
        assert raw["edited_at"].endswith("Z")

    def test_a_task_in_someones_hands_stays_there(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        world.queue.edit("1", priority="critical")
        assert world.state("1") == ("claimed", str(worker.me))
        worker.release("1")
        assert world.state("1") == ("ready", "0")

    def test_a_definition_edited_by_hand_holds_at_the_next_placing(self, world: World) -> None:
        world.add("1")
        raw = world.queue.definition("1").raw
        world.files.put(paths.definition("1"), records.encode({**raw, "dependencies": ["2"]}))
        world.add("2")
        worker = world.join("w")
        assert list(world.drained(worker)) == ["2", "1"]

    def test_a_definition_edited_by_hand_moves_its_ticket_at_the_next_tidying(self, world: World) -> None:
        world.add("1")
        world.add("2", needs=("1",))
        for task, changes in (("1", {"priority": "critical"}), ("2", {"dependencies": []})):
            edited_later(world, task, {**world.queue.definition(task).raw, **changes})
        world.janitor().tidy()
        assert world.state("1") == ("ready", "0")
        assert world.state("2") == ("ready", "2")

    def test_tidying_reads_no_definition_that_did_not_change(self, world: World) -> None:
        world.add("1")
        for number in range(20):
            world.add(f"x{number}", needs=("1",))
            world.add(f"y{number}")
        until_the_clock_goes_on(world)
        counting = Counting(world.disk)
        janitor = world.on(counting).janitor()
        janitor.tidy()
        counting.calls.clear()
        janitor.tidy()
        assert len([call for call in counting.calls if call.name == "read"]) <= 3


def until_the_clock_goes_on(world: World) -> None:
    """Wait until what is changed from now on shows a later time than all before it."""
    now = world.files.now()
    while world.files.now() <= now:
        continue


class SlowClock(MemoryDisk):
    """A disk whose clock stands still until a test lets it go on, as that of a real one does for milliseconds."""

    def _tick(self, *changed: Folder) -> int:
        for folder in changed:
            folder.modified_ns = folder.changed_ns = self.ticks
        return self.ticks


class TestEditsInTheTickOfTheMove:
    """TDY-3: the time of an edit is that of the rename before it."""

    @pytest.fixture
    def disk(self) -> SlowClock:
        disk = SlowClock()
        disk.ticks = 1
        return disk

    def test_it_is_placed_again_once_the_tick_is_over(self, disk: SlowClock) -> None:
        world = World.new(disk)
        world.add("1")
        edited = {**world.queue.definition("1").raw, "priority": "critical"}
        world.files.put(paths.definition("1"), records.encode(edited))
        janitor = world.janitor()
        janitor.tidy()
        disk.ticks += 1
        janitor.tidy()
        assert world.state("1") == ("ready", "0")

    def test_so_is_what_is_edited_in_the_tick_in_which_tidying_placed_it(self, disk: SlowClock) -> None:
        world = World.new(disk)
        world.add("1")
        raw = world.queue.definition("1").raw
        janitor = world.janitor()
        for priority in ("critical", "low", "high"):
            disk.ticks += 1
            world.files.put(paths.definition("1"), records.encode({**raw, "priority": "lowest"}))
            janitor.tidy()
            world.files.put(paths.definition("1"), records.encode({**raw, "priority": priority}))
            disk.ticks += 1
            janitor.tidy()
            assert world.state("1") == ("ready", str(paths.PRIORITIES.index(priority)))

    def test_an_import_is_looked_at_once_and_not_at_every_pass(self, disk: SlowClock) -> None:
        world = World.new(disk)
        for number in range(800):
            world.queue.create(records.define(f"{number}", "T", dependencies=["0"] if number > 400 else ()), number)
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


def edited_later(world: World, task: str, raw: dict[str, object]) -> None:
    """Save a definition by hand once the disk's own clock, which ticks slowly, has gone on since the placing."""
    placed = world.disk.stat(world.at(task)).changed_ns
    while world.disk.stat(paths.definition(task)).changed_ns <= placed:
        world.files.put(paths.definition(task), records.encode(raw))


class TestCancellingAndReopening:
    def test_reopening_frees_what_was_blocked(self, world: World) -> None:
        world.add("1")
        world.add("2", needs=("1",))
        world.queue.cancel("1")
        assert world.queue.reopen("1").startswith("queue/ready/")
        assert world.state("2") == ("waiting", "1")
        assert world.queue.definition("1").cancelled is None
        assert list(world.drained(world.join("w"))) == ["1", "2"]

    def test_a_done_task_is_not_cancelled(self, world: World) -> None:
        world.add("1")
        complete(world, "1")
        with pytest.raises(UsageError, match="task 1 is done"):
            world.queue.cancel("1")

    def test_a_reopened_task_goes_on_from_its_highest_epoch(self, world: World) -> None:
        world.add("1")
        complete(world, "1")
        assert world.queue.reopen("1") == "queue/ready/2/000000/1~1"
        assert not world.queue.is_done("1")
        worker = world.join("w")
        claim = worker.request()
        assert claim is not None
        assert claim.ticket == Ticket("1", 2)
        assert claim.hand_over["outcome"] == "done"
        worker.complete("1")
        assert world.outcomes("1") == [(1, "done"), (2, "done")]

    def test_what_depends_on_a_reopened_task_waits_again(self, world: World) -> None:
        world.add("1")
        world.add("2", needs=("1",))
        complete(world, "1")
        assert world.state("2") == ("ready", "2")
        world.queue.reopen("1")
        worker = world.join("w")
        assert list(world.drained(worker)) == ["1", "2"]

    def test_what_is_held_is_not_reopened(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        with pytest.raises(LostError, match="task 1 is held by w~"):
            world.queue.reopen("1")
        assert world.state("1") == ("claimed", str(worker.me))

    @pytest.mark.parametrize("why", [why for why in paths.PARKED_WHY if why != "unreadable"])
    def test_whatever_was_parked_is_put_back(self, world: World, why: str) -> None:
        path = world.add("1")
        assert world.queue.park(path, Ticket("1", 0), why, "a person said so")
        assert world.state("1") == ("parked", why)
        assert world.queue.definition("1").set_aside == (why, "a person said so")
        world.janitor().tidy()
        assert world.state("1") == ("parked", why)
        world.queue.reopen("1")
        assert world.state("1") == ("ready", "2")
        assert world.queue.definition("1").set_aside is None

    def test_a_reason_nobody_knows_is_refused(self, world: World) -> None:
        path = world.add("1")
        with pytest.raises(PeercoordError, match=r"tasks are not parked as"):
            world.queue.park(path, Ticket("1", 0), "../x", "")
        assert world.state("1") == ("ready", "2")

    def test_parking_what_has_moved_changes_nothing(self, world: World) -> None:
        path = world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        assert not world.queue.park(path, Ticket("1", 0), "held", "too late")
        assert world.queue.definition("1").set_aside is None
        worker.release("1")
        assert world.state("1") == ("ready", "2")

    def test_a_parked_task_can_be_cancelled(self, world: World) -> None:
        path = world.add("1")
        world.queue.park(path, Ticket("1", 0), "review", "look at it")
        world.queue.cancel("1")
        assert world.state("1") == ("parked", "cancelled")
        world.queue.reopen("1")
        assert world.state("1") == ("ready", "2")

    def test_what_is_cancelled_in_someones_hands_is_not_claimed_after_it(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        world.queue.cancel("1", "stop")
        assert world.state("1") == ("claimed", str(worker.me))
        worker.release("1")
        assert world.state("1") == ("parked", "cancelled")
        assert worker.request() is None

    def test_who_holds_a_cancelled_task_is_given_another_when_it_asks(self, world: World) -> None:
        world.add("1")
        world.add("2", priority="low")
        worker = world.join("w")
        world.taken(worker, "1")
        world.queue.cancel("1", "stop")
        world.taken(worker, "2")
        assert world.state("1") == ("parked", "cancelled")

    def test_a_task_nobody_knows(self, world: World) -> None:
        for step in (
            world.queue.find,
            world.queue.definition,
            world.queue.cancel,
            world.queue.reopen,
            world.queue.edit,
        ):
            with pytest.raises(NotFoundError, match="there is no task 9"):
                step("9")
