"""Clauses on tasks, one by one, on a directory in memory: adding, placing, claiming, completing and every other end."""

from __future__ import annotations

import pytest
from support.worlds import World

from peercoord import foreign
from peercoord.errors import LostError
from peercoord.queue.claims import Worker
from peercoord.store import paths, records
from peercoord.store.paths import Ticket
from peercoord.tasklists import reconcile
from peercoord.tasklists.apply import Applier
from peercoord.tasklists.normalize import TaskStatus
from peercoord.tasklists.snapshot import Tickets

# -- add ---------------------------------------------------------------------------------------------------------


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


# -- place -------------------------------------------------------------------------------------------------------


def test_a_dependency_that_cannot_be_read_is_open(world: World) -> None:
    """PLC-3."""
    world.add("1")
    world.files.put(paths.definition("1"), b"{,")
    assert world.queue.dependency_state("1") == "open"
    assert world.queue.dependency_state("9") == "unknown"


# -- claim -------------------------------------------------------------------------------------------------------


def test_an_empty_block_is_removed_but_the_first_of_a_level_stays(world: World, amber: Worker) -> None:
    """CLM-7, OPS-3."""
    world.files.put(paths.ORDER, b"256\n")
    world.add("1")
    amber.request()
    amber.complete("1")
    assert amber.request() is None
    assert "queue/ready/2/000001" not in world.memory.folders()
    assert "queue/ready/2/000000" in world.memory.folders()
    world.queue.reopen("1")
    assert world.at("1") == "queue/ready/2/000001/1~1"


def test_a_peer_that_rejoins_gets_its_former_task_first(world: World, amber: Worker, birch: Worker) -> None:
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


def test_a_refusal_names_the_holder(world: World, amber: Worker, birch: Worker) -> None:
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


def test_a_report_on_an_earlier_claim_does_not_count_for_this_one(world: World, amber: Worker) -> None:
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
