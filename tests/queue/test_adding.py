"""Adding tasks: where a new ticket lies, what is refused, and what a power cut leaves of the files."""

from __future__ import annotations

import pytest
from support.faults import Counting
from support.worlds import World

from peercoord.queue.intake import ADDED, KNOWN
from peercoord.queue.tasks import WRITING_NS
from peercoord.store import instance_records, paths, records
from peercoord.store.paths import Incarnation
from peercoord.tasklists.importer import take_in
from peercoord.worktree import context


def test_half_characters_are_removed_from_text(world: World) -> None:
    world.add("4", description="a\udcffb")
    assert world.queue.definition("4").raw["description"] == "ab"


def test_a_task_done_elsewhere_is_added_as_done(world: World) -> None:
    assert world.queue.add(records.define("1", "Done before"), done=True) == paths.done("1")
    assert world.outcomes("1") == [(0, "done")]
    assert world.add("2", needs=("1",)).startswith("queue/ready/")
    assert [world.queue.was_added_done(task) for task in "123"] == [True, False, False]


def test_the_order_of_adding_survives_the_loss_of_its_counter(world: World) -> None:
    for task in ("a", "b", "c"):
        world.add(task)
    world.files.remove(paths.ORDER)
    world.add("d")
    world.files.put(paths.ORDER, b"nonsense")
    world.add("e")
    births = [world.queue.birth(task) for task in "abcde"]
    assert [birth.order for birth in births if birth] == [0, 1, 2, 3, 4]


# -- after a power cut: files that are blank or partly written ---------------------------------------------------

LEFT = {
    "blank": lambda whole: b"",
    "zeros": lambda whole: bytes(len(whole)),
    "more zeros": lambda whole: bytes(4096),
    "the beginning": lambda whole: whole[: len(whole) // 2],
    "a lost tail": lambda whole: whole[:40] + bytes(len(whole) - 40),
    "a lost block": lambda whole: whole[:20] + bytes(40) + whole[60:],
}


@pytest.mark.parametrize("how", LEFT)
def test_a_torn_definition_is_rebuilt_from_the_birth_record(world: World, how: str) -> None:
    world.add("1", description="long " * 100)
    path = paths.definition("1")
    whole = world.files.read(path)
    assert whole
    world.files.put(path, LEFT[how](whole))
    assert world.queue.definition("1").title == "Task 1"
    assert world.files.read(path) != whole, "an editor may be about to write it"
    world.memory.ticks += 2 * WRITING_NS
    assert world.queue.definition("1").title == "Task 1"
    assert world.files.read(path) == whole
    assert not world.files.scan(paths.QUARANTINE)


def test_a_blank_copy_in_quarantine_hides_no_birth_record(world: World) -> None:
    world.add("1")
    world.files.quarantine(paths.definition("1"), "as an earlier version did")
    world.files.put(world.files.set_aside(paths.definition("1")), b"")
    assert world.queue.definition("1").title == "Task 1"


@pytest.mark.parametrize("left", ["new", "ready", "nowhere"])
def test_a_task_with_a_blank_birth_is_added_again_with_one_ticket(world: World, left: str) -> None:
    world.add("1")
    birth = world.queue.birth("1")
    assert birth
    if left == "new":
        world.files.move(world.at("1"), paths.new_ticket("1", birth.nonce))
    elif left == "nowhere":
        world.files.remove(world.at("1"))
    for path in (paths.birth("1"), paths.definition("1")):
        world.files.put(path, b"")
    assert world.queue.is_lost("1")
    assert world.queue.create(records.define("1", "Again"), 5) == ADDED
    assert world.queue.create(records.define("1", "Once more"), 5) == KNOWN
    assert [seen.state for seen in world.queue.locations() if seen.task == "1"] == ["ready"]
    assert world.queue.definition("1").title == "Again"


class Item:
    """A task as a list shows it."""

    state, reason = "open", ""

    def __init__(self, task: str) -> None:
        self.definition = records.define(task, f"Task {task}")


def test_an_import_goes_on_where_a_power_cut_stopped_it(world: World) -> None:
    take_in(world.queue, [Item("1"), Item("2")])
    for path in (paths.birth("1"), paths.definition("1")):
        world.files.put(path, b"")
    intake = take_in(world.queue, [Item("1"), Item("2"), Item("3")])
    assert (intake.added, intake.known, intake.refused) == (["1", "3"], ["2"], [])
    assert sorted(world.drained(world.join("w"))) == ["1", "2", "3"]


def test_birth_records_are_flushed_before_they_are_linked(world: World) -> None:
    """Those of an import together, that of a single task by itself."""
    counting = Counting(world.disk)
    take_in(world.on(counting).queue, [Item("1"), Item("2")])
    done = [f"{call.name} {call.path.split('/')[0]}" for call in counting.calls]
    first = done.index("flush ")
    assert first < done.index("link births")
    assert done.index("flush ", first + 1) > done.index("rename queue")
    counting.calls.clear()
    world.on(counting).add("3")
    staged = next(call for call in counting.calls if call.name == "create")
    assert staged.args[2], "durable"


def test_an_agent_knows_its_own_incarnation_though_its_peer_record_is_blank(world: World) -> None:
    """But not from an instance record that another agent wrote."""

    def record(who: Incarnation) -> None:
        instance_records.write(world.root, "one", worktree="/w/one", git_dir="/g", incarnation=str(who))

    worker = world.join("one")
    world.files.put(paths.peer_record(worker.home), b"")
    assert context.joined(world.files, "one", "/w/one", "") == {}
    record(Incarnation("one", 9, "other1"))
    assert context.joined(world.files, "one", "/w/one", "") == {}
    record(worker.me)
    assert context.joined(world.files, "one", "/w/one", "") == {"incarnation": str(worker.me)}
    worker.membership.update(worktree="/w/one")
    assert {"peer", "incarnation", "joined_at", "worktree"} <= worker.membership.record().keys()
