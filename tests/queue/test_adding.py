"""Adding tasks: what is refused at the door, and where a new ticket comes to lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.faults import Pausing
from support.worlds import World

from peercoord.errors import UsageError
from peercoord.queue.intake import ADDED, KNOWN
from peercoord.queue.queue import Queue
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.settings import READY_BLOCK, RECORD_BYTES


def test_a_task_without_dependencies_is_ready(world: World) -> None:
    assert world.add("5") == "queue/ready/2/000000/5~0"
    assert world.at("5") == "queue/ready/2/000000/5~0"
    assert world.queue.definition("5").title == "Task 5"
    birth = world.queue.birth("5")
    assert birth is not None
    assert (birth.task, birth.order, birth.definition.raw) == ("5", 0, world.queue.definition("5").raw)
    assert world.files.scan(paths.NEW) == world.files.scan(paths.TMP) == []


def test_a_task_waits_for_the_first_of_its_dependencies_that_is_open(world: World) -> None:
    for task in ("1", "2", "3"):
        world.add(task)
    assert world.add("4", needs=("1", "2", "3")) == "queue/waiting/1/4~0"
    worker = world.join("w")
    world.taken(worker, "1")
    worker.complete("1")
    assert world.at("4") == "queue/waiting/2/4~0"
    assert world.add("5", needs=("1",)) == "queue/ready/2/000000/5~0"


@pytest.mark.parametrize(("priority", "level"), [("critical", 0), ("high", 1), ("low", 3), ("lowest", 4)])
def test_the_priority_is_the_directory(world: World, priority: str, level: int) -> None:
    assert world.add("5", priority=priority) == f"queue/ready/{level}/000000/5~0"


def test_an_unknown_dependency_is_refused_and_nothing_changes(world: World) -> None:
    before = everything(world)
    with pytest.raises(UsageError, match="task 5 depends on task 4, which is not known") as caught:
        world.add("5", needs=("4",))
    assert caught.value.code == "unknown-dependency"
    assert everything(world) == before


def test_a_task_that_waits_for_itself_is_refused(world: World) -> None:
    before = everything(world)
    with pytest.raises(UsageError, match="task 5 would wait for itself: 5 → 5") as caught:
        world.add("5", needs=("5",))
    assert caught.value.code == "cycle"
    assert everything(world) == before


def test_a_taken_id_is_refused_and_keeps_its_task(world: World) -> None:
    world.add("5")
    before = everything(world)
    with pytest.raises(UsageError, match="there is a task 5 already") as caught:
        world.queue.add(records.define("5", "Another"))
    assert caught.value.code == "exists"
    assert everything(world) == before
    assert world.queue.definition("5").title == "Task 5"


def test_an_id_that_differs_only_in_case_is_refused(world: World) -> None:
    world.add("Login")
    before = everything(world)
    with pytest.raises(UsageError, match="task id login differs from Login only in case") as caught:
        world.add("login")
    assert caught.value.code == "case-twin"
    assert everything(world) == before
    world.add("logins")


def test_a_task_done_elsewhere_is_done_here_and_frees_what_waits(world: World) -> None:
    where = world.queue.add(records.define("1", "Done before"), done=True)
    assert where == paths.done("1")
    assert world.outcomes("1") == [(0, "done")]
    assert world.add("2", needs=("1",)).startswith("queue/ready/")
    assert world.queue.was_added_done("1")
    assert not world.queue.was_added_done("2")
    assert not world.queue.was_added_done("3")


def test_the_order_of_adding_is_kept_and_counted_anew_if_lost(world: World) -> None:
    for task in ("a", "b", "c"):
        world.add(task)
    world.files.remove(paths.ORDER)
    world.add("d")
    world.files.put(paths.ORDER, b"nonsense")
    world.add("e")
    orders = []
    for task in "abcde":
        birth = world.queue.birth(task)
        assert birth is not None
        orders.append(birth.order)
    assert orders == [0, 1, 2, 3, 4]


def test_a_shard_holds_one_block_and_the_oldest_go_first(world: World) -> None:
    for order in range(READY_BLOCK - 1, READY_BLOCK + 2):
        assert world.queue.create(records.define(f"t{order}", "x"), order) == ADDED
    assert sorted(world.files.scan("queue/ready/2")) == ["000000", "000001"]
    assert world.files.scan("queue/ready/2/000000") == ["t255~0"]
    worker = world.join("w")
    assert list(world.drained(worker)) == ["t255", "t256", "t257"]


@pytest.mark.parametrize("at", range(1, 12))
def test_of_two_that_add_one_id_at_once_the_birth_record_decides(world: World, at: int) -> None:
    """Without a mutex between them: the second stands still before its call number ``at`` while the first adds."""
    pausing = Pausing(world.disk, at, lambda: world.queue.create(records.define("5", "First"), 0))
    late = world.on(pausing).queue.create(records.define("5", "Second"), 0)
    assert pausing.last is not None
    title = world.queue.definition("5").title
    assert (late, title) in ((KNOWN, "First"), (ADDED, "Second"))
    assert world.files.scan(paths.NEW) == world.files.scan(paths.TMP) == []
    assert world.at("5") == "queue/ready/2/000000/5~0"


@pytest.mark.parametrize("task", ["", "..", "../x", "a/b", "a~1", "x" * 65, ".x", "é"])
def test_no_text_that_is_no_id_reaches_the_disk(world: World, task: str) -> None:
    for look in (
        world.queue.birth,
        world.queue.definition,
        world.queue.find,
        world.queue.locate,
        world.queue.cancel,
        world.queue.reopen,
        world.queue.edit,
        world.queue.is_done,
    ):
        with pytest.raises(UsageError, match="is not allowed"):
            look(task)
    with pytest.raises(UsageError, match="is not allowed"):
        world.queue.add(records.define(task, "x"))


def test_a_task_too_large_to_be_read_again_is_refused(world: World) -> None:
    before = everything(world)
    with pytest.raises(UsageError, match=f"at most {RECORD_BYTES}"):
        world.add("5", blob="x" * RECORD_BYTES)
    assert everything(world) == before


def test_halves_of_characters_are_taken_out_where_text_is_meant_and_refused_elsewhere(world: World) -> None:
    world.add("4", description="a\udcffb")
    assert world.queue.definition("4").raw["description"] == "ab"
    before = everything(world)
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        world.add("5", blob="\udcff")
    assert everything(world) == before


def test_many_processes_worth_of_adding_through_the_mutex(tmp_path: Path) -> None:
    root = roots.create(f"{tmp_path}/.claude-coordination", "test")
    queue = Queue(root)
    queue.add(records.define("1", "One"))
    with pytest.raises(UsageError, match="already"):
        queue.add(records.define("1", "One"))
    queue.add(records.define("2", "Two"))
    assert sorted(queue.survey()) == ["1", "2"]


def everything(world: World) -> dict[str, object]:
    """Every path with its content."""
    found: dict[str, object] = {}
    homes = [""]
    for home in homes:
        for name in world.disk.listdir(home):
            path = f"{home}/{name}" if home else name
            if world.disk.stat(path).is_dir:
                homes.append(path)
                found[path] = None
            else:
                found[path] = world.disk.read(path, RECORD_BYTES)
    return found
