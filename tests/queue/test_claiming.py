"""A peer asks for a task: which one it gets, where its ticket then lies, and what is never claimed."""

from __future__ import annotations

import errno
import itertools

import pytest
from support.faults import Counting, Failing, Fault
from support.worlds import World

from peercoord.errors import StorageError
from peercoord.store import paths, records
from peercoord.store.paths import Ticket


def test_of_two_claims_the_newest_is_returned_first(world: World) -> None:
    """CLM-2: by the ticket's own time; the record for people may be lost."""
    worker = world.working("w", "1")
    world.add("2")
    world.files.move(world.at("2"), paths.claim(worker.home, Ticket("2", 1)))
    assert world.taken(worker, "2") == Ticket("2", 1)


def test_the_cost_of_a_claim_does_not_grow_with_the_list(world: World) -> None:
    costs = []
    for block in range(20):
        world.queue.create(records.define(f"t{block}", "x"), block * 256)
        if block in (1, 19):
            counting = Counting(world.disk)
            worker = world.on(counting).join(f"w{block}")
            counting.calls.clear()
            assert worker.request() is not None
            costs.append(len(counting.calls))
    assert costs[1] <= costs[0] + 2


@pytest.mark.parametrize(
    "strange",
    [
        *(f"queue/ready/{place}/000000/1~8" for place in ("7", "02", "notes")),
        *(f"queue/ready/2/{place}/1~8" for place in ("mine", "000007~", "107", "0000107")),
        *("queue/ready/2/1~8", "queue/parked/someday/1~8", "queue/waiting/.x/1~8", "queue/done/old/1"),
        *("peers/backup/claims/1~8", "peers/w~01.x/claims/1~8", "departed/w~1.x/claims/1~8", "births/old/2.json"),
    ],
)
def test_a_file_in_a_foreign_directory_is_not_a_ticket(world: World, strange: str) -> None:
    """VER-4, NAM-3, NAM-7: it is not claimed, counted, placed or removed; nor is its directory, though empty."""
    world.add("1")
    folders = [*itertools.accumulate(strange.split("/")[:-1], "{}/{}".format), f"{strange.rpartition('/')[0]}~"]
    for folder in folders:
        world.files.make_dir(folder)
    world.disk.create(strange, b"", False)
    assert world.queue.all_tasks() == ["1"]
    assert {task: seen.path for task, seen in world.queue.survey().items()} == {"1": "queue/ready/2/000000/1~0"}
    worker = world.join("w")
    assert world.taken(worker, "1") == Ticket("1", 1)
    world.janitor().tidy()
    worker.complete("1")
    assert worker.request() is None
    world.janitor().tidy()
    assert world.state("1") == ("done", "")
    assert all(map(world.files.listed, (strange, *folders)))


@pytest.mark.parametrize(
    ("path", "number"), [(paths.definition("1"), errno.EIO), (paths.report("w"), errno.EACCES)], ids=["task", "report"]
)
def test_a_held_task_that_cannot_be_read_for_a_moment_stays_held(world: World, path: str, number: int) -> None:
    me = world.working("w").me
    passing = Failing(world.disk, lambda c: Fault(number) if c.path == path else None)
    with pytest.raises(StorageError, match=f"^{path}"):
        world.on(passing).resume(me).request()
    assert world.at("1") == f"peers/{me}/claims/1~1"


def test_an_empty_block_is_removed_but_the_first_of_a_level_stays(world: World) -> None:
    """CLM-7, OPS-3: and foreign files keep their directory."""
    for order in (256, 512):
        world.queue.create(records.define(f"t{order}", "x"), order)
    foreign = ["queue/ready/.DS_Store", "queue/ready/2/000002/notes.txt"]
    for path in foreign:
        world.files.put(path, b"foreign")
    worker = world.join("w")
    assert list(world.drained(worker)) == ["t256", "t512"]
    assert worker.request() is None
    assert sorted(world.files.scan("queue/ready/2")) == ["000000", "000002"]
    assert [world.files.read(path) for path in foreign] == [b"foreign"] * 2
    world.queue.reopen("t256")
    assert world.at("t256") == "queue/ready/2/000001/t256~1"


def test_a_caller_told_before_an_answer_is_recorded_counts_as_told(world: World) -> None:
    """CHG-4: an answer moves the ticket, then records that its caller waits; the task must not be taken from it."""
    worker = world.join("w")
    world.add("1")
    ticket = Ticket("1", 1)
    world.files.move(world.at("1"), paths.claim(worker.home, ticket))
    assert not worker.assignments.bind(ticket), "the caller is told, and was promised nothing"
    worker.assignments.write_awaited(ticket, world.queue.definition("1"))
    assert not worker.assignments.is_awaited(ticket)
    world.files.remove(paths.assignment(worker.home, ticket))
    worker.assignments.write_awaited(ticket, world.queue.definition("1"))
    assert worker.assignments.is_awaited(ticket)
    assert worker.assignments.bind(ticket)
    assert not worker.assignments.is_awaited(ticket)
