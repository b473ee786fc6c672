"""What a peer does with tasks: claim, report, complete, release, fail, park."""

from __future__ import annotations

import itertools

import pytest
from support.faults import Counting
from support.memory import MemoryDisk
from support.worlds import World

from peercoord.errors import LostError, NotFoundError, StorageError, UsageError
from peercoord.store import paths, records
from peercoord.store.paths import Ticket


class TestClaiming:
    def test_nothing_ready_is_an_answer(self, world: World) -> None:
        assert world.join("w").request() is None

    def test_the_most_urgent_first_then_as_people_count(self, world: World) -> None:
        for task in ("10", "2", "1"):
            world.add(task)
        world.add("11", priority="critical")
        world.add("0", priority="lowest")
        assert list(world.drained(world.join("w"))) == ["11", "1", "2", "10", "0"]

    def test_a_claim_is_one_epoch_on_in_the_peers_own_directory(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        claim = worker.request()
        assert claim is not None
        assert (claim.task, claim.ticket, claim.again, claim.hand_over) == ("1", Ticket("1", 1), False, {})
        assert world.at("1") == f"peers/{worker.me}/claims/1~1"
        assert claim.definition.title == "Task 1"

    def test_asked_again_it_answers_the_same(self, world: World) -> None:
        world.add("1")
        world.add("2")
        worker = world.join("w")
        first, again = worker.request(), worker.request()
        assert first is not None
        assert again is not None
        assert (again.task, again.ticket, again.again) == (first.task, first.ticket, True)
        assert world.state("2") == ("ready", "2")

    def test_another_process_of_the_same_peer_is_answered_the_same(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        again = world.resume(worker.me).request()
        assert again is not None
        assert (again.task, again.again) == ("1", True)

    def test_two_peers_never_get_the_same(self, world: World) -> None:
        for number in range(6):
            world.add(str(number))
        peers = [world.join(name) for name in "abc"]
        got = [peer.request() for peer in peers]
        assert len({claim.task for claim in got if claim}) == 3

    def test_it_leaves_the_records_of_the_mission(self, world: World) -> None:
        world.add("7")
        worker = world.join("w")
        world.taken(worker, "7")
        record = worker.queue.read_record(paths.assignment(worker.home, Ticket("7", 1)))
        assert record is not None
        assert {k: record[k] for k in ("task_id", "title", "assigned_to", "status", "dependencies_satisfied")} == {
            "task_id": 7,
            "title": "Task 7",
            "assigned_to": "w",
            "status": "in-progress",
            "dependencies_satisfied": True,
        }
        entry = worker.reports.entry("w", Ticket("7", 1))
        assert entry is not None
        assert (entry["task_id"], entry["progress"], entry["status"]) == (7, 0.0, "in-progress")

    def test_its_cost_does_not_grow_with_the_list(self, world: World) -> None:
        costs = []
        for order in range(0, 2 * 256 * 10, 256):
            world.queue.create(records.define(f"t{order}", "x"), order)
            if order in (256, 256 * 19):
                counting = Counting(world.disk)
                worker = world.on(counting).join(f"w{order}")
                counting.calls.clear()
                assert worker.request() is not None
                costs.append(len(counting.calls))
        assert costs[1] <= costs[0] + 2

    def test_empty_shards_are_cleared_away(self, world: World) -> None:
        for order in range(0, 256 * 5, 256):
            world.queue.create(records.define(f"t{order}", "x"), order)
        worker = world.join("w")
        assert len(list(world.drained(worker))) == 5
        assert worker.request() is None
        assert world.files.scan("queue/ready/2") == ["000000"]

    def test_foreign_files_in_the_queue_are_left_alone(self, world: World) -> None:
        world.add("1")
        for path in ("queue/ready/.DS_Store", "queue/ready/2/README", "queue/ready/2/000000/notes.txt"):
            world.files.put(path, b"foreign")
        worker = world.join("w")
        assert list(world.drained(worker)) == ["1"]
        assert worker.request() is None
        assert world.files.read("queue/ready/2/000000/notes.txt") == b"foreign"

    @pytest.mark.parametrize(
        "strange",
        [
            *(f"queue/ready/{place}/000000/1~8" for place in ("7", "02", "notes")),
            *(f"queue/ready/2/{place}/1~8" for place in ("mine", "000007~", "107", "0000107")),
            *("queue/ready/2/1~8", "queue/parked/someday/1~8", "queue/waiting/.x/1~8", "queue/done/old/1"),
            *("peers/backup/claims/1~8", "peers/w~01.x/claims/1~8", "departed/w~1.x/claims/1~8", "births/old/2.json"),
        ],
    )
    def test_what_lies_in_a_foreign_directory_is_no_ticket(self, strange: str) -> None:
        """VER-4, NAM-3, NAM-7: it is not claimed, counted, placed or removed; nor is the directory, be it empty."""
        world = World.new(MemoryDisk())
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
        assert world.files.listed(strange)
        assert all(world.files.listed(folder) for folder in folders)

    def test_what_cannot_be_claimed_now_is_put_where_it_belongs(self, world: World) -> None:
        world.add("1", priority="lowest")
        world.files.ticket("queue/ready/0/000000/2~5")
        world.queue.create(records.define("2", "x", dependencies=["1"]), 1)
        world.files.remove("queue/waiting/1/2~0")  # the ticket lies in ready/ although its dependency is open
        worker = world.join("w")
        world.taken(worker, "1")
        assert world.at("2") == "queue/waiting/1/2~6"

    def test_without_a_place_for_claims_it_says_so_and_ends(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.files.remove_dir(paths.claims_dir(worker.home))
        with pytest.raises(StorageError, match=f"peers/{worker.me}/claims") as caught:
            worker.request()
        assert caught.value.hint
        assert world.state("1") == ("ready", "2")

    def test_a_claim_that_stands_for_no_task_is_set_aside(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.files.ticket(paths.claim(worker.home, Ticket("ghost", 3)))
        world.taken(worker, "1")
        assert world.files.scan("queue/parked/unreadable") == ["ghost~3"]

    def test_the_newest_claim_is_answered_first(self) -> None:
        """CLM-2: by the ticket's own time; the record for people may be lost."""
        world = World.new(MemoryDisk())
        for task in ("1", "2"):
            world.add(task)
        worker = world.join("w")
        world.taken(worker, "1")
        world.files.move(world.at("2"), paths.claim(worker.home, Ticket("2", 1)))
        again = worker.request()
        assert again is not None
        assert again.task == "2"


class TestReporting:
    def test_a_report_has_one_entry_for_each_task_that_of_its_newest_claim(self, world: World) -> None:
        """RPT-2: however the id was written by hand."""
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        worker.report("1", {"progress": 0.5})
        report = worker.reports.read("w")
        report["assigned_tasks"][0]["task_id"] = "1"
        world.files.put(paths.report("w"), records.encode(report))
        worker.release("1")
        world.taken(worker, "1")
        entries = worker.reports.read("w")["assigned_tasks"]
        assert [(entry["task_id"], entry["epoch"], entry["status"]) for entry in entries] == [(1, 2, "in-progress")]

    def test_progress_is_kept_and_told(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        worker.report(
            "1", {"progress": 0.5, "achievements": ["a"], "blockers": ["b"], "time_spent": 60, "estimate": "1h"}
        )
        entry = worker.report("1", {"achievements": ["c", "a"]})
        assert (entry["progress"], entry["achievements"], entry["blockers"]) == (0.5, ["a", "c"], ["b"])
        assert (entry["time_spent"], entry["completion_estimate"]) == (60, "1h")
        assert worker.reports.entry("w", Ticket("1", 1))["progress"] == 0.5  # type: ignore[index]

    def test_time_spent_is_measured_from_the_claim_until_it_is_said(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        before = worker.report("1", {"progress": 0.5})
        after = worker.report("1", {})
        assert 0 < before["time_spent"] < after["time_spent"]
        assert before["time_measured"]
        assert after["time_measured"]
        said = worker.report("1", {"time_spent": 1})
        assert (said["time_spent"], "time_measured" in said) == (1, False)
        assert worker.complete("1")["time_spent"] == 1

    def test_no_time_spent_can_be_said(self, world: World) -> None:
        """RPT-4: 0 was given too."""
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        world.clock.seconds += 7200
        assert worker.report("1", {"time_spent": 0})["time_spent"] == 0
        assert worker.complete("1")["time_spent"] == 0

    def test_time_spent_is_in_the_result_though_nobody_said_it(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        world.clock.seconds += 3600
        assert 3600 < worker.complete("1")["time_spent"] < 3700

    def test_steps_decide_where_there_are_any(self, world: World) -> None:
        steps = [{"id": n, "title": f"step {n}", "status": "done" if n == 1 else "pending"} for n in (1, 2, 3, 4)]
        world.add("2", steps=steps)
        worker = world.join("w")
        world.taken(worker, "2")
        assert worker.report("2", {"progress": 0.9})["progress"] == 0.25
        assert worker.report("2", {"steps": ["2.2", 3]})["progress"] == 0.75
        with pytest.raises(UsageError, match=r"task 2 has no step 2\.9"):
            worker.report("2", {"steps": ["9"]})
        assert worker.complete("2")["steps_done"] == ["2.1", "2.2", "2.3", "2.4"]

    @pytest.mark.parametrize(
        "said",
        [
            *({"progress": value} for value in (70, "much", -1, float("nan"))),
            *({"time_spent": value} for value in ("long", float("inf"), [], 1 << 80)),
            {"steps": ["../x"]},
        ],
    )
    def test_what_cannot_be_meant_is_refused_and_changes_nothing(self, world: World, said: dict[str, object]) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        before = worker.reports.entry("w", Ticket("1", 1))
        with pytest.raises(UsageError):
            worker.report("1", said)
        assert worker.reports.entry("w", Ticket("1", 1)) == before

    def test_what_is_not_held_is_not_reported_on(self, world: World) -> None:
        world.add("1")
        worker, other = world.join("w"), world.join("x")
        with pytest.raises(LostError, match="w does not hold task 1: task 1 is held by nobody now, it is ready"):
            worker.report("1", {"progress": 0.5})
        world.taken(other, "1")
        with pytest.raises(LostError, match=r"task 1 is held by x now \(epoch 1\)"):
            worker.report("1", {"progress": 0.5})
        other.complete("1")
        with pytest.raises(LostError, match="task 1 is done, by x"):
            worker.report("1", {"progress": 0.5})
        with pytest.raises(NotFoundError, match="there is no task 9"):
            worker.report("9", {})

    @pytest.mark.parametrize(
        "broken",
        [
            *(b"", b"[]", b"\xff" * 10, b'{"assigned_tasks": 5}', b'{"assigned_tasks": [5, null, {"task_id": []}]}'),
            b'{"assigned_tasks": [{"task_id": 1, "epoch": 1, "steps_done": 5, "achievements": {}, "time_spent": "x"}]}',
            b'{"assigned_tasks": [{"task_id": 1, "epoch": 1, "steps_done": [{}, []], "blockers": 1}]}',
        ],
    )
    def test_a_report_that_someone_broke_holds_nothing_up(self, world: World, broken: bytes) -> None:
        world.add("1", steps=[{"id": 1, "title": "a"}])
        worker, other = world.join("w"), world.join("x")
        world.taken(worker, "1")
        world.files.put(paths.report("w"), broken)
        world.evict(worker.me, other.me)
        assert world.state("1") == ("ready", "2")
        worker = world.join("w")
        world.taken(worker, "1")
        world.files.put(paths.report("w"), broken.replace(b'"epoch": 1', b'"epoch": 2'))
        assert worker.report("1", {"steps": [1]})["progress"] == 1.0
        worker.complete("1")
        assert world.state("1")[0] == "done"

    def test_however_much_is_said_the_report_can_be_read_again(self, world: World) -> None:
        for number in range(25):
            world.add(str(number))
        worker = world.join("w")
        for _ in range(25):
            claim = worker.request()
            assert claim is not None
            many = [f"{claim.task} {number} " + "x" * 4000 for number in range(30)]
            worker.report(claim.task, {"achievements": many, "blockers": many})
            worker.complete(claim.task)
        report = worker.reports.read("w")
        assert report["assigned_tasks"][-1]["status"] == "done"
        assert len(report["assigned_tasks"]) > 1
        assert world.files.scan(paths.QUARANTINE) == []


class TestCompleting:
    def test_a_done_task_has_its_ticket_and_its_result(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        result = worker.complete("1", {"achievements": ["works"]}, {"branch": "b", "commit": "c"})
        assert world.at("1") == paths.done("1")
        assert world.outcomes("1") == [(1, "done")]
        assert (result["task_id"], result["epoch"], result["outcome"], result["peer"]) == (1, 1, "done", "w")
        assert (result["branch"], result["commit"], result["progress"]) == ("b", "c", 1.0)
        assert result["achievements"] == ["works"]
        assert worker.held() == []
        assert world.files.scan(paths.assignments_dir(worker.home)) == []

    def test_asked_again_it_answers_the_same(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        first = worker.complete("1")
        assert worker.complete("1") == first
        assert world.outcomes("1") == [(1, "done")]

    def test_a_completion_that_a_crash_cut_short_is_answered_too(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        mine = Ticket("1", 1)
        world.files.move(paths.claim(worker.home, mine), paths.claim(worker.home, mine.completed()))
        assert worker.complete("1")["outcome"] == "done"
        assert world.at("1") == paths.done("1")

    def test_what_others_hold_or_did_is_not_completed(self, world: World) -> None:
        world.add("1")
        worker, other = world.join("w"), world.join("x")
        with pytest.raises(LostError, match="it is ready"):
            worker.complete("1")
        world.taken(other, "1")
        with pytest.raises(LostError, match="held by x"):
            worker.complete("1")
        other.complete("1")
        with pytest.raises(LostError, match="task 1 is done, by x"):
            worker.complete("1")
        assert world.outcomes("1") == [(1, "done")]

    def test_an_earlier_life_of_the_same_name_is_not_answered_for(self, world: World) -> None:
        """CMP-3: only this very incarnation's completion is answered again."""
        world.add("1")
        first = world.join("w")
        world.taken(first, "1")
        first.complete("1")
        world.evict(first.me, world.join("boss").me)
        second = world.join("w")
        with pytest.raises(LostError, match="task 1 is done, by w"):
            second.complete("1")

    def test_its_ticket_is_flushed_before_the_answer(self) -> None:
        """ORD-2: what was acknowledged is done after a power cut too."""
        world = World.new()
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        disk = Counting(world.disk)
        world.on(disk).resume(worker.me).complete("1")
        moved = next(at for at, call in enumerate(disk.calls) if call.name == "rename" and call.path == paths.done("1"))
        assert [call.path for call in disk.calls[moved:] if call.name == "sync"] == [paths.done_dir("1")]

    def test_after_a_reopening_the_old_answer_is_none(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        worker.complete("1")
        world.queue.reopen("1")
        with pytest.raises(LostError, match="it is ready"):
            worker.complete("1")

    def test_dependants_become_ready(self, world: World) -> None:
        world.add("1")
        world.add("2", needs=("1",))
        worker = world.join("w")
        world.taken(worker, "1")
        worker.complete("1")
        assert world.state("2") == ("ready", "2")


class TestGivingBack:
    def test_the_next_holder_is_told_how_far_it_came(self, world: World) -> None:
        world.add("1")
        worker, other = world.join("w"), world.join("x")
        world.taken(worker, "1")
        worker.report("1", {"progress": 0.4, "achievements": ["half"]})
        assert worker.release("1", "lunch", {"branch": "b"}) == "queue/ready/2/000000/1~1"
        claim = other.request()
        assert claim is not None
        assert claim.ticket == Ticket("1", 2)
        assert claim.hand_over["peer"] == "w"
        assert claim.hand_over["reason"] == "lunch"
        assert claim.hand_over["progress"] == 0.4
        assert claim.hand_over["achievements"] == ["half"]
        assert claim.hand_over["branch"] == "b"
        assert claim.hand_over["outcome"] == "released"

    def test_who_held_it_without_a_word_hides_nothing_of_the_one_before(self, world: World) -> None:
        world.add("1")
        worker, silent, third = world.join("w"), world.join("x"), world.join("y")
        world.taken(worker, "1")
        worker.report("1", {"progress": 0.7, "achievements": ["the parser"]})
        worker.release("1")
        assert silent.request()
        silent.release("1")
        claim = third.request()
        assert claim is not None
        left = claim.hand_over
        assert (left["peer"], left["progress"], left["achievements"], left["epoch"]) == ("w", 0.7, ["the parser"], 1)

    def test_releasing_is_nobodys_failure(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        for _ in range(5):
            assert worker.request() is not None
            worker.release("1")
        assert world.state("1") == ("ready", "2")

    def test_after_too_many_attempts_it_is_parked_as_poison(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        for attempt in (1, 2, 3):
            world.taken(worker, "1")
            where = worker.fail("1", f"broke {attempt}")
        assert where == "queue/parked/failed/1~3"
        assert world.outcomes("1") == [(1, "failed"), (2, "failed"), (3, "failed")]
        assert worker.request() is None
        world.janitor().tidy()
        assert world.state("1") == ("parked", "failed")

    def test_evictions_count_as_attempts(self, world: World) -> None:
        world.add("1")
        boss = world.join("boss")
        for _ in range(3):
            worker = world.join("w")
            world.taken(worker, "1")
            world.evict(worker.me, boss.me)
        assert world.state("1") == ("parked", "failed")
        assert world.outcomes("1") == [(1, "evicted"), (2, "evicted"), (3, "evicted")]

    def test_poison_is_parked_though_its_directory_was_cleaned_away(self, world: World) -> None:
        world.add("1")
        world.protocol["settings"] = {"max_attempts": 1}
        world.files.remove_dir("queue/parked/failed")
        boss, worker = world.join("boss"), world.join("w")
        world.taken(worker, "1")
        world.evict(worker.me, boss.me)
        assert world.state("1") == ("parked", "failed")

    def test_a_person_may_let_poison_be_tried_again(self, world: World) -> None:
        world.protocol["settings"] = {"max_attempts": 1}
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        worker.fail("1", "broke")
        assert world.queue.reopen("1") == "queue/ready/2/000000/1~1"
        assert world.taken(worker, "1") == Ticket("1", 2)
        worker.complete("1")
        assert world.state("1")[0] == "done"

    @pytest.mark.parametrize("why", ["blocked", "review"])
    def test_parking_keeps_the_reason_and_the_work(self, world: World, why: str) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        worker.park("1", why, "cannot go on", {"progress": 0.3})
        assert world.state("1") == ("parked", why)
        assert world.queue.definition("1").set_aside == (why, "cannot go on")
        assert world.outcomes("1") == [(1, "released")]
        world.queue.reopen("1")
        claim = worker.request()
        assert claim is not None
        assert claim.hand_over["progress"] == 0.3
        assert claim.hand_over["reason"] == "cannot go on"

    @pytest.mark.parametrize("end", ["release", "fail", "park"])
    def test_what_is_not_held_is_not_given_back(self, world: World, end: str) -> None:
        world.add("1")
        worker, other = world.join("w"), world.join("x")
        world.taken(other, "1")
        arguments = {"release": ("1",), "fail": ("1", "x"), "park": ("1", "review", "x")}[end]
        with pytest.raises(LostError, match="held by x"):
            getattr(worker, end)(*arguments)
        assert world.state("1") == ("claimed", str(other.me))
        assert world.outcomes("1") == []
        assert world.queue.definition("1").set_aside is None


def test_an_epoch_that_has_a_result_is_never_given_out_again(world: World) -> None:
    """CLM-3: a reopening that slept through a completion brings the ticket back at an epoch that was used since."""
    world.add("1")
    worker = world.join("amber")
    for epoch in (1, 2):
        claim = worker.request()
        assert claim is not None
        assert claim.ticket.epoch == epoch
        worker.complete("1")
        world.queue.reopen("1")
    late = world.at("1").replace("1~2", "1~1")
    assert world.files.move(world.at("1"), late)
    claim = worker.request()
    assert claim is not None
    assert claim.ticket.epoch == 3
