"""Views, one clause at a time, on a directory in memory; and what a writer must write."""

from __future__ import annotations

from pathlib import Path

from support import faults
from support.worlds import World, unknown

from peercoord.membership import membership as members
from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.queue.worker import Worker
from peercoord.status import views
from peercoord.status.board import Reader
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.paths import Ticket
from peercoord.store.settings import LOOKS
from peercoord.system import process

# -- views -------------------------------------------------------------------------------------------------------


def test_views_and_notes_decide_nothing(world: World, amber: Worker) -> None:
    """LAY-6, VIW-1, VIW-2, INV-10: all of them gone or false, everything goes on, and the views come back."""
    world.add("1")
    world.add("2", ("1",))
    reader = Reader(world.queue, unknown)
    reader.publish()
    world.taken(amber, "1")
    for path in (paths.STATE, paths.TASK_QUEUE, paths.report("amber"), paths.events("amber")):
        world.memory.unlink(path)
        world.memory.create(path, b"\0 false", False)
    world.memory.unlink(paths.assignment(amber.home, Ticket("1", 1)))
    amber.complete("1")
    assert list(world.drained(amber)) == ["2"]
    reader.publish()
    state = records.decode(world.files.read(paths.STATE) or b"", paths.STATE)
    assert state["progress_summary"]["completed"] == 2


def test_a_done_task_keeps_who_when_and_at_which_epoch(world: World, amber: Worker) -> None:
    """VIW-1: the mission's keys are filled for what is done as for what is held."""
    world.add("1")
    world.taken(amber, "1")
    amber.release("1")
    world.taken(amber, "1")
    amber.complete("1")
    board = Reader(world.queue, unknown).board()
    (task,) = views.task_queue(board)["tasks"]
    assert (task["assigned_to"], task["epoch"], task["dependencies_satisfied"]) == ("amber", 2, True)
    result = records.decode(world.files.read(paths.result("1", 2, "done")) or b"", "result")
    assert task["assigned_at"] == result["assigned_at"]
    assert views.state(board)["task_assignments"]["1"]["last_update"] == result["at"]


def test_a_parked_task_shows_whether_its_dependencies_are_done(world: World, amber: Worker) -> None:
    world.add("1")
    world.add("2", ("1",))
    for task in ("1", "2"):
        sighting = world.queue.find(task)
        assert world.queue.park(sighting.path, Ticket(task, 0), "held", "a person's")
    tasks = views.task_queue(Reader(world.queue, unknown).board())["tasks"]
    assert {task["task_id"]: task["dependencies_satisfied"] for task in tasks} == {1: True, 2: False}


def test_a_task_that_no_round_found_is_missing_and_not_ready(world: World) -> None:
    """VIW-3, OPS-9."""
    world.add("1")
    world.memory.unlink(world.at("1"))
    (row,) = Reader(world.queue, unknown).board().rows
    assert row.status == "missing"


def test_a_ticket_seen_in_the_last_round_is_not_missing(world: World) -> None:
    """OPS-9: a listing of moving things missed it in every round but one."""
    world.add("1")
    missed = iter(range(LOOKS - 1))

    class Missing(faults.Wrapper):
        def around(self, call: faults.Call) -> object:
            found = call.run()
            lies = call.name == "listdir" and call.path == "queue/ready/2/000000"
            return [] if lies and next(missed, None) is not None else found

    assert world.on(Missing(world.disk)).state("1") == ("ready", "2")
    assert next(missed, None) is None


# -- what a writer must write --------------------------------------------------------------------------------------


def test_a_peer_record_and_a_result_hold_what_a_writer_must_write(tmp_path: Path) -> None:
    """FMT-2, LIV-2: of an attempt that its holder ended, and of one that others did."""
    root = roots.create(f"{tmp_path}/{paths.ROOT}", "p")
    Queue(root).add(records.define("1", "First"))
    peer, other = Peer.join(tmp_path, "amber"), Peer.join(tmp_path, "birch")
    home = peer.membership.home
    known = members.read_record(root.files, home) or {}
    assert known.keys() >= {"peer", "incarnation", "joined_at", "agent", *process.here()}
    task = peer.request()
    assert task
    peer.release("1")
    assert peer.request()
    Janitor(other.queue, "birch").evict(peer.membership.me, other.membership.me, "a test says so")
    held = {"task_id", "epoch", "outcome", "by", "at", "peer", "incarnation", "reason"}
    for epoch, outcome, more in ((1, "released", {"assigned_at"}), (2, "evicted", set())):
        record = other.queue.read_record(paths.result("1", epoch, outcome)) or {}
        assert record.keys() >= held | more
        assert (record["peer"], record["incarnation"]) == ("amber", str(peer.membership.me))
        assert record["by"] == ("amber" if epoch == 1 else "birch")
