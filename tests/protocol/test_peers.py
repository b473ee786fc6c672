"""Clauses on peers, one by one, on a directory in memory: joining, beating, eviction and its sweep, leading, views."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from support import faults, tree
from support.worlds import World, unknown

from peercoord.errors import DownError, EvictedError
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.queue.claims import Worker
from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.queue.retention import Archivist
from peercoord.status import views
from peercoord.status.board import Reader
from peercoord.store import down, paths, records
from peercoord.store import root as roots
from peercoord.store.paths import Ticket
from peercoord.store.settings import LOOKS
from peercoord.system import process

# -- a team that was taken down ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_mark_that_cannot_be_read_says_that_the_team_is_down(world: World, content: bytes) -> None:
    """MBR-10."""
    world.memory.create(paths.DOWN, content, False)
    with pytest.raises(DownError, match="at an unknown time"):
        world.join("amber")


def test_a_peer_that_joins_while_the_team_is_taken_down_leaves_again(world: World) -> None:
    """MBR-10: whichever step of joining the mark comes before, nobody is in the team afterwards."""

    class Marking(faults.Wrapper):
        def rename(self, source: str, target: str) -> None:
            super().rename(source, target)
            if target.startswith(f"{paths.PEERS}/"):
                down.write(world.root, "anna")

    with pytest.raises(DownError):
        world.on(Marking(world.memory)).join("amber")
    assert world.memory.listdir(paths.PEERS) == []


def test_a_peer_that_left_reports_its_task_as_interrupted(world: World, amber: Worker, birch: Worker) -> None:
    """RPT-5."""
    world.add("1")
    world.add("2")
    amber.request()
    Peer(world.root, amber.membership).leave()
    assert [(e["status"], e["interrupted"]) for e in amber.reports.read("amber")["assigned_tasks"]] == [
        ("released", True)
    ]
    again = world.join("amber").request()
    assert again is not None
    assert (again.task, again.ticket.epoch) == ("1", 2)  # what it worked on before


# -- joining -----------------------------------------------------------------------------------------------------


def test_an_incarnation_is_never_used_again(world: World, amber: Worker, birch: Worker) -> None:
    """NAM-5, EVI-6."""
    world.evict(amber.me, birch.me)
    again = world.join("amber")
    assert again.me.number == amber.me.number + 1
    assert world.join("cedar", least=9).me.number == 9


def test_a_peer_writes_its_own_record_only_while_it_is_one(world: World, amber: Worker, birch: Worker) -> None:
    """MBR-5."""
    amber.membership.update(branch="b")
    assert members.read_record(world.root.files, amber.home) == amber.membership.record()
    world.evict(amber.me, birch.me)
    with pytest.raises(EvictedError):
        amber.membership.update(branch="c")
    assert amber.home not in world.memory.folders()


# -- evicting ----------------------------------------------------------------------------------------------------


def test_a_sweep_ends_with_the_seal(world: World, amber: Worker, birch: Worker) -> None:
    """EVI-5: a network client still reaches the moved directory and puts a ticket into claims/ after it was listed."""
    world.add("1")
    gone = paths.departed_dir(amber.me, birch.me)
    late = [lambda: world.disk.rename(world.at("1"), paths.claim(gone, Ticket("1", 1)))]

    def put_before_the_seal(call: faults.Call) -> faults.Fault | None:
        if call.name == "rmdir" and call.path.endswith("/claims") and late:
            late.pop()()
        return None

    world.on(faults.Failing(world.disk, put_before_the_seal)).evict(amber.me, birch.me)
    assert late == []
    assert world.at("1") == "queue/ready/2/000000/1~1"
    assert paths.claims_dir(gone) not in world.memory.folders()
    with pytest.raises(OSError, match=r"claims|No such") as refused:
        world.disk.rename(world.at("1"), paths.claim(gone, Ticket("1", 2)))
    assert refused.value.errno == errno.ENOENT


def test_a_task_parked_for_a_cycle_comes_back_when_the_cycle_is_gone(world: World) -> None:
    """TDY-3, ADD-6."""
    world.add("1")
    world.add("2", ("1",))
    note = {"why": "blocked", "kind": "cycle", "reason": "1 → 2 → 1"}
    record = records.decode(world.files.read(paths.definition("1")) or b"", "1")
    world.files.put(paths.definition("1"), records.encode({**record, "dependencies": [2], "parked": note}))
    world.queue.place_again("1")
    assert world.state("1") == ("parked", "blocked")
    world.queue.edit("2", dependencies=[])
    assert world.state("2") == ("ready", "2")
    assert world.state("1") == ("waiting", "2")


# -- leading -----------------------------------------------------------------------------------------------------


def test_one_leads_and_every_taking_raises_the_term(world: World, amber: Worker, birch: Worker) -> None:
    """LDR-1, LDR-2, LDR-3, INV-7."""
    first, second = Leadership(amber.membership), Leadership(birch.membership)
    assert (first.take(), second.take()) == (1, None)
    first.resign()
    assert (second.take(above=7), first.term()) == (8, None)


def test_nothing_needs_a_leader(world: World, amber: Worker, birch: Worker) -> None:
    """LDR-6."""
    world.files.remove(paths.leader(paths.LEADER, 0))
    world.add("1")
    world.add("2", ("1",))
    world.taken(amber, "1")
    amber.membership.beat()
    world.evict(amber.me, birch.me)
    assert list(world.drained(birch)) == ["1", "2"]


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


def test_unknown_files_are_left_alone(world: World, amber: Worker, birch: Worker) -> None:
    """VER-4, NAM-3."""
    strange = ("queue/ready/2/000000/notes.txt", "queue/new/README", "peers/backup.tar", "departed/x", "results/old/a")
    world.add("1")
    for path in strange:
        world.memory.mkdir(path.rpartition("/")[0]) if path.startswith("results") else None
        world.memory.create(path, b"", False)
    world.taken(amber, "1")
    world.evict(amber.me, birch.me)
    world.janitor().tidy()
    assert list(world.drained(birch)) == ["1"]
    assert set(strange) <= set(world.memory.files())


def test_only_old_records_are_removed(world: World, amber: Worker, birch: Worker) -> None:
    """TDY-5, EVI-6."""
    world.add("1")
    world.add("2")
    world.taken(amber, "1")
    world.evict(amber.me, birch.me)
    world.taken(birch, "1")
    birch.complete("1")
    world.taken(birch, "2")
    birch.fail("2", "no")
    world.memory.create("tmp/litter", b"x", False)
    before = tree.situation(world.memory)
    Archivist(world.root).run()
    assert tree.situation(world.memory) == before
    far = world.memory.ticks + 10**18
    archivist = Archivist(world.root)
    archivist.tombstones(far)
    archivist.results(far)
    assert world.memory.listdir(paths.DEPARTED) == []
    assert world.outcomes("1") == [(2, "done")]
    assert world.outcomes("2") == [(1, "failed")]
    assert paths.birth("1") in world.memory.files()


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
