"""Clauses on tasks, one by one, on a directory in memory: adding, placing, claiming, completing and every other end."""

from __future__ import annotations

import pytest
from support import faults, tree
from support.memory import MemoryDisk
from support.worlds import World

from peercoord import foreign
from peercoord.errors import EvictedError, LostError, StorageError, UsageError
from peercoord.queue.claims import Worker
from peercoord.queue.reassign import reassign
from peercoord.store import paths, records
from peercoord.store.paths import Ticket
from peercoord.tasklists import reconcile
from peercoord.tasklists.apply import Applier
from peercoord.tasklists.normalize import TaskStatus
from peercoord.tasklists.snapshot import Tickets


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


def raw(world: World, task: str) -> foreign.Json:
    return records.decode(world.files.read(paths.definition(task)) or b"", task)


def rewrite(world: World, task: str, **changes: object) -> None:
    """Edit a definition as a person does, with an editor."""
    world.files.put(paths.definition(task), records.encode({**raw(world, task), **changes}))


# -- add ---------------------------------------------------------------------------------------------------------


def test_a_task_has_one_ticket_an_empty_file_from_its_birth_on(world: World, amber: Worker) -> None:
    """LAY-1, ADD-1, INV-1."""
    world.add("1")
    for step in (lambda: amber.request(), lambda: amber.complete("1"), lambda: world.queue.reopen("1")):
        (path,) = tree.tickets(disk(world))["1"]
        assert disk(world).files()[path] == b""
        step()
    assert len(tree.tickets(disk(world))["1"]) == 1


def test_the_ticket_whose_nonce_the_birth_names_is_the_one(world: World) -> None:
    """ADD-3: another ticket of that task in new/ lost the race, and tidying removes it."""
    world.add("1")
    world.files.ticket(paths.new_ticket("1", "other"))
    world.janitor().tidy()
    assert disk(world).listdir(paths.NEW) == []
    assert world.state("1") == ("ready", "2")


def test_a_ticket_without_a_birth_is_left_alone(world: World) -> None:
    """ADD-4: its adder may only be slow."""
    world.files.ticket(paths.new_ticket("1", "nonce"))
    for _ in range(3):
        world.janitor().tidy()
    assert disk(world).listdir(paths.NEW) == ["1~nonce"]


def test_the_loser_of_a_race_for_a_birth_leaves_nothing(world: World) -> None:
    """ADD-3, OPS-12, INV-10: there is no mutex in this world, and nothing rests on one."""
    definition = records.define("1", "Mine")
    slow = world.on(faults.Pausing(world.disk, _call(world, "link"), lambda: world.add("1")))
    with pytest.raises(UsageError, match="already"):
        slow.queue.add(definition)
    assert raw(world, "1")["title"] == "Task 1"
    assert disk(world).listdir(paths.NEW) == []
    tree.check_at_rest(disk(world))


def _call(world: World, name: str) -> int:
    """Which call of adding a task is the first of this name, counted from 1."""
    counting = faults.Counting(disk(world).copy())
    world.on(counting).add("1")
    return next(at for at, call in enumerate(counting.calls, 1) if call.name == name)


def test_what_depends_on_nobody_knows_what_is_refused(world: World) -> None:
    """ADD-5."""
    with pytest.raises(UsageError, match="not known"):
        world.add("1", ("9",))
    assert disk(world).listdir(paths.NEW) == []


def test_a_task_that_would_wait_for_itself_is_refused_with_the_way_round(world: World) -> None:
    """ADD-6."""
    world.add("1")
    world.add("2", ("1",))
    with pytest.raises(UsageError, match="1 → 2 → 1"):
        world.queue.edit("1", dependencies=[2])


def test_what_was_done_before_it_was_added_has_a_result_at_epoch_0(world: World) -> None:
    """ADD-7, INV-6."""
    world.queue.add(records.define("1", "Old"), done=True)
    assert world.state("1") == ("done", "")
    assert world.outcomes("1") == [(0, "done")]


def test_a_number_of_the_order_given_twice_does_no_harm(world: World, amber: Worker) -> None:
    """ADD-8: and a lost one is counted again."""
    world.add("1")
    world.files.put(paths.ORDER, b"0\n")
    world.add("2")
    world.files.remove(paths.ORDER)
    world.add("3")
    assert [world.queue.birth(task).order for task in "123"] == [0, 0, 2]  # type: ignore[union-attr]
    assert list(world.drained(amber)) == ["1", "2", "3"]


def test_ids_that_differ_only_in_case_do_not_both_exist(world: World) -> None:
    """NAM-4."""
    world.add("Fix")
    with pytest.raises(UsageError, match="only in case"):
        world.add("fix")


# -- place -------------------------------------------------------------------------------------------------------


def test_placing_keeps_the_epoch(world: World, amber: Worker) -> None:
    """PLC-1, EVI-4."""
    world.add("1")
    amber.request()
    amber.release("1")
    assert world.at("1") == "queue/ready/2/000000/1~1"


def test_the_second_look_sees_the_dependency_that_was_completed_meanwhile(world: World, amber: Worker) -> None:
    """PLC-4, ORD-6: completed after the placer's first look, and its completer looked before the ticket came."""
    world.add("1")
    amber.request()
    counting = faults.Counting(disk(world).copy())
    world.on(counting).add("2", ("1",))
    move = next(at for at, call in enumerate(counting.calls, 1) if call.name == "rename" and "waiting" in call.path)
    world.on(faults.Pausing(world.disk, move, lambda: amber.complete("1"))).add("2", ("1",))
    assert world.state("2") == ("ready", "2")


def test_a_waiting_ticket_watches_one_dependency(world: World, amber: Worker) -> None:
    """PLC-5, PLC-3."""
    world.add("1")
    world.add("2")
    world.add("3", ("1", "2"))
    assert world.state("3") == ("waiting", "1")
    world.taken(amber, "1")
    amber.complete("1")
    assert world.state("3") == ("waiting", "2")


def test_a_lost_definition_is_rebuilt_from_the_birth_but_not_over_a_quarantined_one(world: World) -> None:
    """PLC-6, FMT-3."""
    world.add("1", title_of="me")
    world.files.remove(paths.definition("1"))
    assert world.queue.definition("1").title == "Task 1"
    world.files.put(paths.definition("1"), b"{,")
    assert world.queue.location_of("1").detail == "unreadable"
    assert world.queue.location_of("1").detail == "unreadable"
    assert [n for n in disk(world).listdir(paths.QUARANTINE) if not n.endswith(".why")]


def test_a_dependency_that_cannot_be_read_is_open(world: World) -> None:
    """PLC-3."""
    world.add("1")
    world.files.put(paths.definition("1"), b"{,")
    assert world.queue.dependency_state("1") == "open"
    assert world.queue.dependency_state("9") == "unknown"


# -- claim -------------------------------------------------------------------------------------------------------


def test_of_two_claimants_one_gets_the_task_and_the_other_goes_on(world: World, amber: Worker, birch: Worker) -> None:
    """CLM-1, INV-2."""
    world.add("1")
    world.add("2")
    counting = faults.Counting(disk(world).copy())
    world.on(counting).resume(amber.me).request()
    move = next(at for at, call in enumerate(counting.calls, 1) if call.name == "rename")
    slow = world.on(faults.Pausing(world.disk, move, lambda: birch.request())).resume(amber.me)
    claim = slow.request()
    assert claim is not None
    assert claim.task == "2"
    assert world.state("1") == ("claimed", str(birch.me))


def test_who_asks_again_gets_what_it_holds(world: World, amber: Worker) -> None:
    """CLM-2."""
    world.add("1")
    world.add("2")
    first, second = amber.request(), amber.request()
    assert first is not None
    assert second is not None
    assert (first.ticket, first.again) == (second.ticket, False)
    assert second.again


def test_every_move_into_a_hand_raises_the_epoch_and_nothing_lowers_it(
    world: World, amber: Worker, birch: Worker
) -> None:
    """CLM-3, CHG-1, CHG-4, INV-3."""
    world.add("1")
    epochs = [world.taken(amber, "1").epoch]
    assert reassign(world.queue, "1", "birch") == ("amber", 2)
    epochs.append(2)
    birch.complete("1")
    world.queue.reopen("1")
    epochs.append(world.taken(amber, "1").epoch)
    world.evict(amber.me, birch.me)
    epochs.append(world.taken(birch, "1").epoch)
    assert epochs == [1, 2, 3, 4]


def test_what_was_cancelled_between_listing_and_claiming_is_not_worked_on(world: World, amber: Worker) -> None:
    """CLM-5: the definition is read after the rename; the epoch stays raised."""
    world.add("1")
    rewrite(world, "1", cancelled={"reason": "by hand"})
    assert amber.request() is None
    assert world.at("1") == "queue/parked/cancelled/1~1"


def test_the_most_urgent_then_the_oldest_block_then_the_lowest_id(world: World, amber: Worker) -> None:
    """CLM-6."""
    for task, priority in (("10", "medium"), ("9", "medium"), ("3", "low"), ("4", "critical")):
        world.add(task, priority=priority)
    assert list(world.drained(amber)) == ["4", "9", "10", "3"]


def test_an_empty_block_is_removed_and_made_again_but_the_first_of_a_level_stays(world: World, amber: Worker) -> None:
    """CLM-7, OPS-3."""
    world.files.put(paths.ORDER, b"256\n")
    world.add("1")
    amber.request()
    amber.complete("1")
    assert amber.request() is None
    assert "queue/ready/2/000001" not in disk(world).folders()
    assert "queue/ready/2/000000" in disk(world).folders()
    world.queue.reopen("1")
    assert world.at("1") == "queue/ready/2/000001/1~1"


def test_who_comes_back_gets_what_was_taken_from_it(world: World, amber: Worker, birch: Worker) -> None:
    """CLM-6: if it lies there untouched."""
    world.add("1")
    world.add("2")
    world.taken(birch, "1")
    world.taken(amber, "2")
    amber.report("2", {"progress": 0.5})
    world.evict(amber.me, birch.me)
    birch.release("1")
    assert world.taken(world.join("amber"), "2") == Ticket("2", 2)


# -- report, complete --------------------------------------------------------------------------------------------


def test_who_does_not_hold_a_task_is_told_who_does(world: World, amber: Worker, birch: Worker) -> None:
    """RPT-1, CMP-6."""
    world.add("1")
    amber.request()
    with pytest.raises(LostError, match="held by amber now"):
        birch.report("1", {"progress": 0.5})
    with pytest.raises(LostError, match="held by amber now"):
        birch.complete("1")
    amber.complete("1")
    with pytest.raises(LostError, match="done, by amber"):
        birch.release("1")


def test_what_was_said_of_an_earlier_claim_is_not_taken_for_this_one(world: World, amber: Worker) -> None:
    """RPT-2."""
    world.add("1")
    amber.request()
    amber.report("1", {"progress": 0.7})
    amber.release("1")
    claim = amber.request()
    assert claim is not None
    assert amber.reports.entry("amber", claim.ticket)["progress"] == 0.0  # type: ignore[index]
    assert claim.hand_over["progress"] == 0.7


def test_achievements_are_added_within_their_limits(world: World, amber: Worker) -> None:
    """RPT-4."""
    world.add("1")
    amber.request()
    amber.report("1", {"achievements": ["one"]})
    entry = amber.report("1", {"achievements": ["one", "two", "x" * 5000]})
    assert [len(note) for note in entry["achievements"]] == [3, 3, 4000]


def test_a_ticket_marked_as_done_goes_to_done_by_any_peer(world: World, amber: Worker, birch: Worker) -> None:
    """CMP-1, CMP-4, INV-4: its holder died right after the decision and was evicted."""
    world.add("1")
    world.add("2", ("1",))
    _decided(world, amber)
    world.evict(amber.me, birch.me)
    assert world.state("1") == ("done", "")
    assert world.state("2") == ("ready", "2")
    assert world.outcomes("1") == [(1, "done")]


def test_a_holder_that_comes_back_finishes_what_it_had_decided(world: World, amber: Worker) -> None:
    """CMP-4, MBR-4."""
    world.add("1")
    _decided(world, amber)
    assert world.resume(amber.me).request() is None
    assert world.state("1") == ("done", "")


def _decided(world: World, worker: Worker) -> None:
    ticket = world.taken(worker, "1")
    world.files.move(paths.claim(worker.home, ticket), paths.claim(worker.home, ticket.completed()))


def test_the_result_is_flushed_before_the_decision(world: World, amber: Worker) -> None:
    """CMP-2, ORD-2, OPS-2."""
    world.add("1")
    amber.request()
    counting = faults.Counting(world.disk)
    world.on(counting).resume(amber.me).complete("1")
    calls = [(call.name, call.path) for call in counting.calls]
    written = calls.index(("rename", paths.result("1", 1, "done")))
    staged = next(call for call in counting.calls if call.name == "create" and call.path.startswith("tmp/"))
    assert staged.args[2] is True  # flushed before it has its name
    flushed = calls.index(("sync", paths.results_dir("1")))
    assert written < flushed < calls.index(("rename", f"{amber.home}/claims/1~1~done"))


def test_completing_again_answers_the_same(world: World, amber: Worker) -> None:
    """CMP-3."""
    world.add("1")
    amber.request()
    first = amber.complete("1")
    assert amber.complete("1") == first


def test_completing_again_with_a_newer_commit_replaces_the_result(world: World, amber: Worker) -> None:
    """CMP-3."""
    world.add("1")
    amber.request()
    amber.complete("1", {"achievements": ["all of it"]}, {"commit": "a" * 40, "branch": "one"})
    again = amber.complete("1", {"achievements": ["mended"]}, {"commit": "b" * 40, "branch": "one"})
    assert (again["commit"], again["achievements"], again["progress"]) == ("b" * 40, ["all of it", "mended"], 1.0)
    assert world.queue.result("1") == (1, "done", again)
    world.queue.reopen("1")
    with pytest.raises(LostError):
        amber.complete("1", {}, {"commit": "c" * 40})
    assert world.queue.result("1") == (1, "done", again), "what is open again has no newer result"


def test_a_late_result_of_a_zombie_says_nothing_about_the_task(world: World, amber: Worker, birch: Worker) -> None:
    """CMP-5, INV-6: the done result at the highest epoch says who did it."""
    world.add("1")
    world.taken(amber, "1")
    world.evict(amber.me, birch.me)
    world.files.put(paths.result("1", 1, "done"), records.encode({"task_id": 1, "peer": "amber"}))
    world.taken(birch, "1")
    birch.complete("1")
    epoch, outcome, record = world.queue.result("1") or (0, "", {})
    assert (epoch, outcome, record["peer"]) == (2, "done", "birch")


def test_a_full_disk_refuses_a_completion_before_anything_changed(world: World, amber: Worker) -> None:
    """ORD-4, OPS-8."""
    world.add("1")
    amber.request()
    before = tree.situation(disk(world))
    with pytest.raises(StorageError, match="full"):
        world.on(faults.Failing(world.disk, faults.full)).resume(amber.me).complete("1")
    assert tree.situation(disk(world)) == before


# -- every other end ---------------------------------------------------------------------------------------------


def test_the_next_holder_is_told_how_far_the_last_one_came(world: World, amber: Worker, birch: Worker) -> None:
    """END-1, END-2."""
    world.add("1")
    amber.request()
    amber.report("1", {"progress": 0.5, "achievements": ["half of it"]})
    amber.release("1", "going home")
    claim = birch.request()
    assert claim is not None
    left = claim.hand_over
    assert (left["peer"], left["outcome"], left["progress"], left["achievements"], left["reason"]) == (
        "amber",
        "released",
        0.5,
        ["half of it"],
        "going home",
    )


def test_after_too_many_attempts_a_task_is_parked(world: World, amber: Worker, birch: Worker) -> None:
    """END-3: a task that kills its holders does not go round for ever; a release is no attempt."""
    world.add("1")
    world.taken(birch, "1")
    birch.release("1")
    for _ in range(2):
        world.taken(birch, "1")
        birch.fail("1", "no")
    world.taken(amber, "1")
    world.evict(amber.me, birch.me)
    assert world.state("1") == ("parked", "failed")


def test_a_stranger_does_not_overwrite_the_holders_own_word(world: World, amber: Worker, birch: Worker) -> None:
    """END-4."""
    world.add("1")
    ticket = world.taken(amber, "1")
    path = paths.result("1", 1, "released")
    world.files.put(path, records.encode({"task_id": 1, "reason": "my own word"}))
    world.janitor().write_result(ticket, amber.me, "released", "a stranger's word")
    assert records.decode(world.files.read(path) or b"", path)["reason"] == "my own word"


def test_a_release_goes_on_when_the_disk_is_full(world: World, amber: Worker) -> None:
    """END-1: what needs no record."""
    world.add("1")
    amber.request()
    world.on(faults.Failing(world.disk, faults.full)).resume(amber.me).release("1")
    assert world.state("1") == ("ready", "2")


def test_an_edited_task_is_placed_anew_unless_somebody_holds_it(world: World, amber: Worker) -> None:
    """CHG-2, CHG-5."""
    world.add("1")
    world.queue.edit("1", priority="high")
    assert world.state("1") == ("ready", "1")
    ticket = world.taken(amber, "1")
    world.queue.edit("1", priority="low")
    assert world.at("1") == paths.claim(amber.home, ticket)


def test_what_waits_for_a_cancelled_task_is_parked_as_blocked(world: World) -> None:
    """CHG-3, LAY-4, ORD-11: and comes back when the task is reopened."""
    world.add("1")
    world.add("2", ("1",))
    world.queue.cancel("1")
    assert world.state("1") == ("parked", "cancelled")
    assert world.state("2") == ("parked", "blocked")
    world.queue.reopen("1")
    assert world.state("2") == ("waiting", "1")


def test_a_reopened_task_goes_on_from_its_highest_epoch(world: World, amber: Worker) -> None:
    """CHG-4."""
    world.add("1")
    amber.request()
    amber.complete("1")
    world.queue.reopen("1")
    assert world.queue.find("1").epoch == 1


def test_a_held_task_that_a_person_finished_is_done(world: World, amber: Worker) -> None:
    """CHG-6, CMP-6: and what waited for it goes on."""
    world.add("1")
    world.add("2", ("1",))
    world.taken(amber, "1")
    ours, found = Tickets(world.queue), reconcile.Resolution()
    found.incoming["state"] = TaskStatus.DONE
    assert (
        Applier(world.queue, ours, "their list", lambda: None).apply("1", ours.snapshot().versions["1"], found, {})
        == ""
    )
    assert world.state("1") == ("done", "")
    assert world.state("2") == ("ready", "2")
    assert world.outcomes("1") == [(1, "done")]
    with pytest.raises(LostError, match="task 1 is done"):
        amber.complete("1")


def test_every_reason_to_park_has_its_directory(world: World, amber: Worker) -> None:
    """LAY-4, PLC-2."""
    for why in paths.PARKED_WHY:
        world.add(f"t-{why}", parked={"why": why} if why != "cancelled" else None, **_cancelled(why))
        assert world.at(f"t-{why}") == paths.parked(why, Ticket(f"t-{why}", 0))
    assert amber.request() is None


def _cancelled(why: str) -> foreign.Json:
    return {"cancelled": {"reason": "no"}} if why == "cancelled" else {}


def test_a_zombie_is_told_and_changes_nothing(world: World, amber: Worker, birch: Worker) -> None:
    """MBR-8, INV-5, OPS-5, CMP-6."""
    world.add("1")
    world.taken(amber, "1")
    world.evict(amber.me, birch.me)
    world.taken(birch, "1")
    before = tree.situation(disk(world))
    for step in (amber.complete, amber.release, lambda task: amber.report(task, {}), lambda task: amber.fail(task, "")):
        with pytest.raises(EvictedError, match=r"evicted by birch.*held by birch now"):
            step("1")
    with pytest.raises(EvictedError):
        amber.request()
    assert tree.situation(disk(world)) == before
