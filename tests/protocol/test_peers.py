"""Clauses on peers, one by one, on a directory in memory: joining, beating, eviction and its sweep, leading, views."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from support import faults, tree
from support.memory import MemoryDisk
from support.worlds import World, unknown

from peercoord.errors import DownError, EvictedError, UsageError
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


@pytest.fixture
def world() -> World:
    return World.new()


@pytest.fixture
def amber(world: World) -> Worker:
    return world.join("amber")


@pytest.fixture
def birch(world: World) -> Worker:
    return world.join("birch")


def disk(world: World) -> MemoryDisk:
    assert isinstance(world.disk, MemoryDisk)
    return world.disk


# -- a team that was taken down ----------------------------------------------------------------------------------


def test_no_peer_joins_or_claims_while_the_team_is_down(world: World, amber: Worker) -> None:
    """MBR-10."""
    world.add("1")
    down.write(world.root, "anna")
    with pytest.raises(DownError, match="by anna"):
        world.join("birch")
    with pytest.raises(DownError):
        amber.request()
    down.remove(world.root)
    assert world.join("birch").request() is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_mark_that_cannot_be_read_says_that_the_team_is_down(world: World, content: bytes) -> None:
    """MBR-10."""
    disk(world).create(paths.DOWN, content, False)
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
        world.on(Marking(disk(world))).join("amber")
    assert disk(world).listdir(paths.PEERS) == []


def test_a_peer_that_left_says_of_no_task_that_it_works_on_it(world: World, amber: Worker, birch: Worker) -> None:
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


def test_a_peer_appears_whole(world: World) -> None:
    """MBR-1, MBR-2, ORD-9: whatever it dies in, there is the whole directory or none."""
    at = 0
    while True:
        at += 1
        copy = disk(world).copy()
        try:
            world.on(faults.Crashing(copy, at)).join("amber")
        except faults.Crash:
            tree.check(copy)  # half a peer would be seen there
        else:
            break
    assert at > 5


def test_a_name_is_not_taken_twice(world: World, amber: Worker) -> None:
    """MBR-3."""
    with pytest.raises(UsageError, match="amber already"):
        world.join("amber")


def test_of_two_that_join_at_once_at_most_one_stays(world: World) -> None:
    """MBR-3."""
    counting = faults.Counting(disk(world).copy())
    world.on(counting).join("amber")
    move = next(at for at, call in enumerate(counting.calls, 1) if call.name == "rename")
    slow = world.on(faults.Pausing(world.disk, move, lambda: world.join("amber")))
    with pytest.raises(UsageError, match="the same moment"):
        slow.join("amber")
    assert [one.peer for one in members.living(world.root)] == ["amber"]


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
    assert amber.home not in disk(world).folders()


def test_a_heartbeat_is_a_rename_that_works_on_a_full_disk(world: World, amber: Worker) -> None:
    """MBR-6."""
    full = world.on(faults.Failing(world.disk, faults.full)).resume(amber.me)
    assert [full.membership.beat() for _ in range(3)] == [1, 2, 3]
    assert [n for n in disk(world).listdir(amber.home) if n.startswith("beat~")] == ["beat~3"]


def test_a_living_peer_answers_a_challenge(world: World, amber: Worker, birch: Worker) -> None:
    """MBR-7, LIV-7."""
    world.files.move(paths.beat(amber.home, 0), paths.beat(amber.home, 0, birch.me))
    assert amber.membership.beat() == 1
    assert [n for n in disk(world).listdir(amber.home) if n.startswith("beat~")] == ["beat~1"]


def test_a_zombies_heartbeat_is_refused(world: World, amber: Worker, birch: Worker) -> None:
    """MBR-6, MBR-8."""
    world.evict(amber.me, birch.me)
    with pytest.raises(EvictedError, match="by birch"):
        amber.membership.beat()


# -- evicting ----------------------------------------------------------------------------------------------------


def test_one_rename_revokes_all_and_the_sweep_gives_it_back(world: World, amber: Worker, birch: Worker) -> None:
    """EVI-1, EVI-3, ORD-7, ORD-8."""
    world.add("1")
    world.taken(amber, "1")
    counting = faults.Counting(world.disk)
    assert world.on(counting).evict(amber.me, birch.me)
    assert str(counting.changes[0]) == str(counting.calls[0])
    assert counting.calls[0].args == (paths.peer_dir(amber.me), paths.departed_dir(amber.me, birch.me))
    assert counting.changes[-1].name == "rmdir"
    assert world.at("1") == "queue/ready/2/000000/1~1"
    assert not world.evict(amber.me, world.join("cedar").me)


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
    assert paths.claims_dir(gone) not in disk(world).folders()
    with pytest.raises(OSError, match=r"claims|No such") as refused:
        world.disk.rename(world.at("1"), paths.claim(gone, Ticket("1", 2)))
    assert refused.value.errno == errno.ENOENT


def test_what_lies_in_claims_and_is_no_ticket_is_set_aside(world: World, amber: Worker, birch: Worker) -> None:
    """LAY-5, VER-4."""
    disk(world).create(f"{amber.home}/claims/.DS_Store", b"x", False)
    world.evict(amber.me, birch.me)
    assert any("DS_Store" in name for name in disk(world).listdir(paths.QUARANTINE))
    assert paths.claims_dir(paths.departed_dir(amber.me, birch.me)) not in disk(world).folders()


def test_tidying_sweeps_what_is_not_sealed(world: World, amber: Worker, birch: Worker) -> None:
    """EVI-2, TDY-1, TDY-4: and doing it again changes nothing."""
    world.add("1")
    world.taken(amber, "1")
    Leadership(amber.membership).take()
    world.disk.rename(paths.peer_dir(amber.me), paths.departed_dir(amber.me, birch.me))
    world.janitor().tidy()
    tree.check_at_rest(disk(world))
    after = tree.situation(disk(world))
    world.janitor().tidy()
    assert tree.situation(disk(world)) == after


def test_additions_half_done_are_brought_to_their_end(world: World) -> None:
    """TDY-2, CRA-1."""
    counting = faults.Counting(disk(world).copy())
    world.on(counting).add("1")
    link = next(at for at, call in enumerate(counting.calls, 1) if call.name == "link" and "births" in call.path)
    with pytest.raises(faults.Crash):
        world.on(faults.Crashing(world.disk, link + 1, "before")).add("1")
    world.janitor().tidy()
    assert world.queue.birth("1") is None or world.state("1") == ("ready", "2")
    tree.check_at_rest(disk(world))


def test_tidying_places_what_waits_for_a_done_task(world: World, amber: Worker) -> None:
    """TDY-3."""
    world.add("1")
    world.add("2", ("1",))
    ticket = world.taken(amber, "1")
    world.files.move(paths.claim(amber.home, ticket), paths.done("1"), make_home=True)
    world.janitor().tidy()
    assert world.state("2") == ("ready", "2")


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


def test_the_ticket_may_be_taken_from_who_does_not_lead(world: World, amber: Worker, birch: Worker) -> None:
    """LDR-4, LDR-5: and who had it finds out before it writes."""
    first, second = Leadership(amber.membership), Leadership(birch.membership)
    first.take()
    assert second.take_from(amber.me, "its agent is gone") == 2
    assert first.term() is None


def test_the_sweep_lays_the_leadership_down(world: World, amber: Worker, birch: Worker) -> None:
    """LDR-3, ORD-8."""
    Leadership(amber.membership).take()
    world.evict(amber.me, birch.me)
    assert disk(world).listdir(paths.LEADER) == ["leader~1"]


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
        disk(world).unlink(path)
        disk(world).create(path, b"\0 false", False)
    disk(world).unlink(paths.assignment(amber.home, Ticket("1", 1)))
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


def test_dependencies_are_satisfied_if_they_are_done_wherever_the_ticket_lies(world: World, amber: Worker) -> None:
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
    disk(world).unlink(world.at("1"))
    (row,) = Reader(world.queue, unknown).board().rows
    assert row.status == "missing"


def test_what_is_seen_in_the_last_round_is_not_missing(world: World) -> None:
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
        disk(world).mkdir(path.rpartition("/")[0]) if path.startswith("results") else None
        disk(world).create(path, b"", False)
    world.taken(amber, "1")
    world.evict(amber.me, birch.me)
    world.janitor().tidy()
    assert list(world.drained(birch)) == ["1"]
    assert set(strange) <= set(disk(world).files())


def test_the_epoch_lies_in_the_name_of_one_holder_for_ever(world: World, amber: Worker, birch: Worker) -> None:
    """INV-2, CLM-3, CLM-4: an evicted holder's look at its own claim tells it to stop."""
    world.add("1")
    mine = paths.claim(amber.home, world.taken(amber, "1"))
    assert world.files.listed(mine)
    world.evict(amber.me, birch.me)
    assert not world.files.listed(mine)
    assert world.taken(birch, "1") == Ticket("1", 2)


def test_an_observer_never_uses_a_clock_of_the_wall(world: World) -> None:
    """LIV-1, FMT-5: times in records are written, and no verdict reads one."""
    from peercoord.membership import liveness

    here = {"host": "h", "boot_id": "b", "pid_ns": "p"}
    process = {"pid": 1, "start": 1}
    for year in ("1970", "2026", "9999"):
        record = {
            **here,
            "agent": process,
            "joined_at": f"{year}-01-01T00:00:00Z",
            "stopped_at": f"{year}-01-01T00:00:00Z",
        }
        assert liveness.by_process(record, here, lambda _: True).state == liveness.ALIVE
        assert liveness.by_process(record, here, lambda _: False).state == liveness.DEAD


def test_only_what_has_served_its_time_is_cleared_away(world: World, amber: Worker, birch: Worker) -> None:
    """TDY-5, EVI-6."""
    world.add("1")
    world.add("2")
    world.taken(amber, "1")
    world.evict(amber.me, birch.me)
    world.taken(birch, "1")
    birch.complete("1")
    world.taken(birch, "2")
    birch.fail("2", "no")
    disk(world).create("tmp/litter", b"x", False)
    before = tree.situation(disk(world))
    Archivist(world.root).run()
    assert tree.situation(disk(world)) == before
    far = disk(world).ticks + 10**18
    archivist = Archivist(world.root)
    archivist.tombstones(far)
    archivist.results(far)
    assert disk(world).listdir(paths.DEPARTED) == []
    assert world.outcomes("1") == [(2, "done")]
    assert world.outcomes("2") == [(1, "failed")]
    assert paths.birth("1") in disk(world).files()


def test_tidying_places_again_what_was_edited_by_hand(world: World) -> None:
    """TDY-3, CHG-5."""
    world.add("1")
    world.add("2", ("1",))
    path = paths.definition("2")
    raw = records.decode(world.files.read(path) or b"", path)
    world.files.put(path, records.encode({**raw, "dependencies": [], "priority": "high"}))
    world.janitor().tidy()
    assert world.state("2") == ("ready", "1")


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
