"""Files that a power cut left blank or in part: a whole source stands in for them, and nothing is set aside."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faults import Counting
from support.memory import MemoryDisk
from support.worlds import World

from peercoord.queue.intake import ADDED, KNOWN
from peercoord.queue.tasks import WRITING_NS
from peercoord.store import instance_records, paths, records
from peercoord.store.paths import Incarnation
from peercoord.system.disk import Disk
from peercoord.tasklists.importer import take_in
from peercoord.worktree import context

LEFT = {
    "blank": lambda whole: b"",
    "zeros": lambda whole: bytes(len(whole)),
    "more zeros": lambda whole: bytes(4096),
    "the beginning": lambda whole: whole[: len(whole) // 2],
    "a lost tail": lambda whole: whole[:40] + bytes(len(whole) - 40),
    "a lost block": lambda whole: whole[:20] + bytes(40) + whole[60:],
}


@pytest.fixture
def memory() -> World:
    return World.new(MemoryDisk())


def disk(world: World) -> MemoryDisk:
    assert isinstance(world.disk, MemoryDisk)
    return world.disk


def leave(world: World, path: str, how: str) -> None:
    """Put at a path what a power cut may leave of the file there."""
    whole = world.files.read(path)
    assert whole
    world.files.put(path, LEFT[how](whole))


@pytest.mark.parametrize("how", LEFT)
def test_a_definition_is_rebuilt_from_its_birth(memory: World, how: str) -> None:
    memory.add("1", description="long " * 100)
    memory.add("2", needs=("1",))
    path = paths.definition("1")
    whole = memory.files.read(path)
    leave(memory, path, how)
    assert memory.queue.definition("1").title == "Task 1"
    assert memory.files.read(path) != whole, "an editor may be about to write it"
    disk(memory).ticks += 2 * WRITING_NS
    assert memory.queue.definition("1").title == "Task 1"
    assert memory.files.read(path) == whole
    assert not memory.files.scan(paths.QUARANTINE)
    assert list(memory.drained(memory.join("w"))) == ["1", "2"]


def test_a_blank_copy_in_quarantine_hides_no_birth(memory: World) -> None:
    memory.add("1")
    memory.files.quarantine(paths.definition("1"), "as an earlier version did")
    aside = memory.files.set_aside(paths.definition("1"))
    memory.files.put(aside, b"")
    assert memory.queue.definition("1").title == "Task 1"


@pytest.mark.parametrize("left", ["new", "ready", "nowhere"])
def test_a_task_with_a_blank_birth_is_added_again_with_its_one_ticket(memory: World, left: str) -> None:
    memory.add("1")
    birth = memory.queue.birth("1")
    assert birth
    if left == "new":
        memory.files.move(memory.at("1"), paths.new_ticket("1", birth.nonce))
    elif left == "nowhere":
        memory.files.remove(memory.at("1"))
    for path in (paths.birth("1"), paths.definition("1")):
        memory.files.put(path, b"")
    assert memory.queue.is_lost("1")
    assert memory.queue.create(records.define("1", "Again"), 5) == ADDED
    assert memory.queue.create(records.define("1", "Once more"), 5) == KNOWN
    assert [seen.state for seen in memory.queue.locations() if seen.task == "1"] == ["ready"]
    assert memory.queue.definition("1").title == "Again"
    assert list(memory.drained(memory.join("w"))) == ["1"]


class Item:
    """A task as a list gives it."""

    state, reason = "open", ""

    def __init__(self, task: str) -> None:
        self.definition = records.define(task, f"Task {task}")


def test_an_import_goes_on_where_a_power_cut_left_it(memory: World) -> None:
    take_in(memory.queue, [Item("1"), Item("2")])
    for path in (paths.birth("1"), paths.definition("1")):
        memory.files.put(path, b"")
    intake = take_in(memory.queue, [Item("1"), Item("2"), Item("3")])
    assert (intake.added, intake.known, intake.refused) == (["1", "3"], ["2"], [])
    assert sorted(memory.drained(memory.join("w"))) == ["1", "2", "3"]


def test_a_blank_result_keeps_its_epoch(memory: World) -> None:
    memory.add("1")
    worker = memory.join("w")
    memory.taken(worker, "1")
    worker.complete("1")
    memory.files.put(paths.result("1", 1, "done"), b"")
    assert memory.queue.result("1") == (1, "done", {})
    memory.queue.reopen("1")
    assert memory.taken(worker, "1").epoch == 2


def test_births_are_flushed_before_any_is_linked(memory: World) -> None:
    """Of an import at once, of a task that is added by itself."""
    counting = Counting(memory.disk)
    take_in(memory.on(counting).queue, [Item("1"), Item("2")])
    done = [f"{call.name} {call.path.split('/')[0]}" for call in counting.calls]
    first = done.index("flush ")
    assert first < done.index("link births")
    assert done.index("flush ", first + 1) > done.index("rename queue")
    counting.calls.clear()
    memory.on(counting).add("3")
    staged = next(call for call in counting.calls if call.name == "create")
    assert staged.args[2], "durable"


class Joined:
    """A coordination directory on a disk with one peer, and the record of its worktree."""

    def __init__(self, home: Path) -> None:
        self.world = World.new(Disk(str(home)))
        self.first = self.world.join("one").me
        self.record(self.first)

    def record(self, who: Incarnation) -> None:
        facts = {"worktree": "/w/one", "git_dir": "/g", "incarnation": str(who)}
        instance_records.write(self.world.root, "one", **facts)

    def blank(self, who: Incarnation) -> None:
        self.world.files.put(paths.peer_record(paths.peer_dir(who)), b"")

    def found(self, last: str = "") -> dict[str, object]:
        return context.joined(self.world.files, "one", "/w/one", last)


def test_an_agent_knows_its_own_incarnation_though_its_record_is_blank(tmp_path: Path) -> None:
    joined = Joined(tmp_path)
    joined.blank(joined.first)
    assert joined.found() == {"incarnation": str(joined.first)}
    peer = joined.world.resume(joined.first).membership
    peer.update(worktree="/w/one")
    assert {"peer", "incarnation", "joined_at", "worktree"} <= peer.record().keys()


def test_a_blank_record_that_another_wrote_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    joined = Joined(tmp_path)
    joined.blank(joined.first)
    joined.record(Incarnation("one", 9, "other1"))
    assert joined.found() == {}
    instance_records.remove(joined.world.root, "one")
    assert joined.found() == {}, "nothing says whose it is"
