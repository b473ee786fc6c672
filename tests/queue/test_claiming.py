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


def test_a_claim_moves_the_ticket_into_the_peers_own_directory(world: World) -> None:
    assert world.join("idle").request() is None
    world.add("1")
    worker = world.join("w")
    claim = worker.request()
    assert claim is not None
    assert (claim.task, claim.ticket, claim.again, claim.hand_over) == ("1", Ticket("1", 1), False, {})
    assert claim.definition.title == "Task 1"
    assert world.at("1") == f"peers/{worker.me}/claims/1~1"


def test_a_repeated_request_returns_the_same_claim(world: World) -> None:
    worker = world.working("w", "1")
    world.add("2", priority="critical")
    for same in (worker, world.resume(worker.me)):  # also in another process of that peer
        again = same.request()
        assert again is not None
        assert (again.ticket, again.again) == (Ticket("1", 1), True)
    assert world.state("2") == ("ready", "0")


def test_of_two_claims_the_newest_is_returned_first(world: World) -> None:
    """CLM-2: by the ticket's own time; the record for people may be lost."""
    worker = world.working("w", "1")
    world.add("2")
    world.files.move(world.at("2"), paths.claim(worker.home, Ticket("2", 1)))
    assert world.taken(worker, "2") == Ticket("2", 1)


def test_a_claim_writes_the_records_for_people(world: World) -> None:
    worker = world.working("w", "7")
    record = worker.queue.read_record(paths.assignment(worker.home, Ticket("7", 1)))
    assert record is not None
    expected = {"task_id": 7, "title": "Task 7", "assigned_to": "w", "status": "in-progress"}
    assert record.items() >= {**expected, "dependencies_satisfied": True}.items()
    entry = worker.reports.entry("w", Ticket("7", 1))
    assert entry is not None
    assert (entry["task_id"], entry["progress"], entry["status"]) == (7, 0.0, "in-progress")


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


def test_empty_shards_are_removed_and_foreign_files_stay(world: World) -> None:
    for order in range(0, 256 * 5, 256):
        world.queue.create(records.define(f"t{order}", "x"), order)
    foreign = ["queue/ready/.DS_Store", "queue/ready/2/README", "queue/ready/2/000000/notes.txt"]
    for path in foreign:
        world.files.put(path, b"foreign")
    worker = world.join("w")
    assert len(list(world.drained(worker))) == 5
    assert worker.request() is None
    assert sorted(world.files.scan("queue/ready/2")) == ["000000", "README"]
    assert [world.files.read(path) for path in foreign] == [b"foreign"] * 3


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


def test_a_ready_ticket_whose_task_must_wait_is_placed_where_it_belongs(world: World) -> None:
    world.add("1", priority="lowest")
    world.queue.create(records.define("2", "x", dependencies=["1"]), 1)
    world.files.move("queue/waiting/1/2~0", "queue/ready/0/000000/2~5", make_home=True)
    world.taken(world.join("w"), "1")
    assert world.at("2") == "queue/waiting/1/2~6"


def test_a_peer_without_a_claims_directory_is_told_so(world: World) -> None:
    world.add("1")
    worker = world.join("w")
    world.files.remove_dir(paths.claims_dir(worker.home))
    with pytest.raises(StorageError, match=f"peers/{worker.me}/claims") as caught:
        worker.request()
    assert caught.value.hint
    assert world.state("1") == ("ready", "2")


def test_a_claim_without_a_task_is_set_aside(world: World) -> None:
    world.add("1")
    worker = world.join("w")
    world.files.ticket(paths.claim(worker.home, Ticket("ghost", 3)))
    world.taken(worker, "1")
    assert world.files.scan("queue/parked/unreadable") == ["ghost~3"]


def test_a_held_task_that_cannot_be_read_for_a_moment_stays_held(world: World) -> None:
    worker = world.working("w")
    passing = Failing(world.disk, lambda c: Fault(errno.EIO) if c.path == paths.definition("1") else None)
    with pytest.raises(StorageError):
        world.on(passing).resume(worker.me).request()
    assert world.taken(worker, "1") == Ticket("1", 1)


def test_a_held_task_whose_report_may_not_be_read_stays_held(world: World) -> None:
    me = world.working("w").me
    denied = Failing(world.disk, lambda c: Fault(errno.EACCES) if c.path == paths.report("w") else None)
    with pytest.raises(StorageError, match=f"^{paths.report('w')}"):
        world.on(denied).resume(me).request()
    assert world.at("1") == f"peers/{me}/claims/1~1"


def test_an_epoch_that_has_a_result_is_never_given_out_again(world: World) -> None:
    """CLM-3: a slow reopening may bring the ticket back at an epoch that was used since."""
    world.add("1")
    worker = world.join("w")
    for epoch in (1, 2):
        assert world.taken(worker, "1").epoch == epoch
        worker.complete("1")
        world.queue.reopen("1")
    assert world.files.move(world.at("1"), world.at("1").replace("1~2", "1~1"))
    assert world.taken(worker, "1").epoch == 3
