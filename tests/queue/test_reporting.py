"""What a peer reports of a task it holds, and what is made of broken reports."""

from __future__ import annotations

import pytest
from support.worlds import World

from peercoord.errors import LostError, UsageError
from peercoord.store import paths, records


def test_a_report_adds_to_what_was_reported(world: World) -> None:
    worker = world.working("w")
    worker.report("1", {"progress": 0.5, "achievements": ["a"], "blockers": ["b"], "time_spent": 60, "estimate": "1h"})
    entry = worker.report("1", {"achievements": ["c", "a"]})
    worker.report("1", {"progress": 0.7})
    assert (entry["progress"], entry["achievements"], entry["blockers"]) == (0.5, ["a", "c"], ["b"])
    assert (entry["time_spent"], entry["completion_estimate"]) == (60, "1h")
    events = [records.decode(line, "") for line in (world.files.read(paths.events("w")) or b"").splitlines()]
    assert [event["progress"] for event in events if event["event"] == "progress"] == [0.5, 0.7]


def test_a_report_has_one_entry_per_task_for_its_newest_claim(world: World) -> None:
    """RPT-2: even if a person wrote the id in another form."""
    worker = world.working("w")
    worker.report("1", {"progress": 0.5})
    report = worker.reports.read("w")
    report["assigned_tasks"][0]["task_id"] = "1"
    world.files.put(paths.report("w"), records.encode(report))
    worker.release("1")
    world.taken(worker, "1")
    entries = worker.reports.read("w")["assigned_tasks"]
    assert [(entry["task_id"], entry["epoch"], entry["status"]) for entry in entries] == [(1, 2, "in-progress")]


@pytest.mark.parametrize("said", [None, 0, 1])
def test_time_spent_is_measured_from_the_claim_unless_reported(world: World, said: int | None) -> None:
    """RPT-4: 0 can be reported too."""
    worker = world.working("w")
    world.clock.seconds += 3600
    entry = worker.report("1", {"time_spent": said})
    spent = worker.complete("1")["time_spent"]
    if said is None:
        assert entry["time_measured"]
        assert 3600 < entry["time_spent"] < spent < 3700
    else:
        assert entry["time_spent"] == spent == said
        assert not entry.get("time_measured")


def test_done_steps_decide_the_progress_of_a_task_with_steps(world: World) -> None:
    steps = [{"id": n, "title": f"step {n}", "status": "done" if n == 1 else "pending"} for n in (1, 2, 3, 4)]
    worker = world.working("w", "2", steps=steps)
    assert worker.report("2", {"progress": 0.9})["progress"] == 0.25
    assert worker.report("2", {"steps": ["2.2", 3]})["progress"] == 0.75
    with pytest.raises(UsageError, match=r"task 2 has no step 2\.9"):
        worker.report("2", {"steps": ["9"]})
    assert worker.complete("2")["steps_done"] == ["2.1", "2.2", "2.3", "2.4"]


@pytest.mark.parametrize(
    "broken",
    [
        *(b"", b"[]", b"\xff" * 10, b'{"assigned_tasks": 5}', b'{"assigned_tasks": [5, null, {"task_id": []}]}'),
        b'{"assigned_tasks": [{"task_id": 1, "epoch": 1, "steps_done": 5, "achievements": {}, "time_spent": "x"}]}',
        b'{"assigned_tasks": [{"task_id": 1, "epoch": 1, "steps_done": [{}, []], "blockers": 1}]}',
    ],
)
def test_a_broken_report_stops_nothing(world: World, broken: bytes) -> None:
    worker, other = world.working("w", steps=[{"id": 1, "title": "a"}]), world.join("x")
    world.files.put(paths.report("w"), broken)
    world.evict(worker.me, other.me)
    worker = world.join("w")
    world.taken(worker, "1")
    world.files.put(paths.report("w"), broken.replace(b'"epoch": 1', b'"epoch": 2'))
    assert worker.report("1", {"steps": [1]})["progress"] == 1.0
    worker.complete("1")
    assert world.state("1")[0] == "done"


def test_a_long_report_is_shortened_so_that_it_can_be_read_again(world: World) -> None:
    for number in range(12):
        world.add(str(number))
    worker = world.join("w")
    for _ in range(12):
        claim = worker.request()
        assert claim is not None
        many = [f"{claim.task} {number} " + "x" * 4000 for number in range(30)]
        worker.report(claim.task, {"achievements": many, "blockers": many})
        worker.complete(claim.task)
    entries = worker.reports.read("w")["assigned_tasks"]
    assert entries[-1]["status"] == "done"
    assert 1 < len(entries) < 12
    assert world.files.scan(paths.QUARANTINE) == []


# -- what the next holder is told --------------------------------------------------------------------------------


def test_a_release_hands_over_the_work_to_the_next_holder(world: World) -> None:
    """END-1, END-2: a holder without a report hides nothing of the one before."""
    worker, silent = world.working("w"), world.join("x")
    worker.report("1", {"progress": 0.4, "achievements": ["half"]})
    assert worker.release("1", "lunch", {"branch": "b"}) == "queue/ready/2/000000/1~1"
    claim = silent.request()
    assert claim is not None
    told = {"peer": "w", "outcome": "released", "reason": "lunch", "progress": 0.4, "achievements": ["half"]}
    assert claim.hand_over.items() >= {**told, "branch": "b"}.items()
    silent.release("1")
    claim = world.join("y").request()
    assert claim is not None
    assert claim.hand_over.items() >= {"peer": "w", "epoch": 1, "progress": 0.4, "achievements": ["half"]}.items()


def test_completing_again_with_a_newer_commit_replaces_the_result(world: World) -> None:
    """CMP-3."""
    worker = world.working("w")
    worker.complete("1", {"achievements": ["all of it"]}, {"commit": "a" * 40, "branch": "one"})
    again = worker.complete("1", {"achievements": ["mended"]}, {"commit": "b" * 40, "branch": "one"})
    assert (again["commit"], again["achievements"], again["progress"]) == ("b" * 40, ["all of it", "mended"], 1.0)
    assert world.queue.result("1") == (1, "done", again)
    world.queue.reopen("1")
    with pytest.raises(LostError):
        worker.complete("1", {}, {"commit": "c" * 40})
    assert world.queue.result("1") == (1, "done", again), "a task that is open again has no newer result"
