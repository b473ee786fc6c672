"""How a claim ends: completed, released, failed or parked; and what the next holder is told."""

from __future__ import annotations

import pytest
from support.faults import Counting
from support.worlds import World

from peercoord.errors import LostError
from peercoord.store import paths
from peercoord.store.paths import Ticket


class TestCompleting:
    def test_a_done_task_has_its_ticket_and_its_result(self, world: World) -> None:
        worker = world.working("w")
        world.add("2", needs=("1",))
        result = worker.complete("1", {"achievements": ["works"]}, {"branch": "b", "commit": "c"})
        assert world.at("1") == paths.done("1")
        assert world.state("2") == ("ready", "2")
        assert world.outcomes("1") == [(1, "done")]
        assert (result["task_id"], result["epoch"], result["outcome"], result["peer"]) == (1, 1, "done", "w")
        assert (result["branch"], result["commit"], result["progress"]) == ("b", "c", 1.0)
        assert result["achievements"] == ["works"]
        assert worker.held() == []
        assert world.files.scan(paths.assignments_dir(worker.home)) == []

    @pytest.mark.parametrize("cut_short", [False, True])
    def test_a_repeated_completion_returns_the_same_result(self, world: World, cut_short: bool) -> None:
        worker = world.working("w")
        first = worker.complete("1")
        if cut_short:  # a crash came between the mark and the move to done/
            world.files.move(paths.done("1"), paths.claim(worker.home, Ticket("1", 1, done=True)))
        assert worker.complete("1") == first
        assert world.at("1") == paths.done("1")
        assert world.outcomes("1") == [(1, "done")]

    def test_a_completion_whose_result_was_lost_gets_a_new_one(self, world: World) -> None:
        worker = world.working("w")
        world.files.move(paths.claim(worker.home, Ticket("1", 1)), paths.claim(worker.home, Ticket("1", 1, done=True)))
        assert worker.complete("1")["outcome"] == "done"
        assert world.at("1") == paths.done("1")

    def test_the_completion_of_an_earlier_incarnation_is_not_repeated(self, world: World) -> None:
        """CMP-3: only the incarnation that completed a task is told so again."""
        first = world.working("w")
        first.complete("1")
        world.evict(first.me, world.join("boss").me)
        with pytest.raises(LostError, match="task 1 is done, by w"):
            world.join("w").complete("1")

    def test_the_ticket_is_flushed_before_the_answer(self, world: World) -> None:
        """ORD-2: a completion that was acknowledged survives a power cut."""
        worker = world.working("w")
        disk = Counting(world.disk)
        world.on(disk).resume(worker.me).complete("1")
        moved = next(at for at, call in enumerate(disk.calls) if call.name == "rename" and call.path == paths.done("1"))
        assert [call.path for call in disk.calls[moved:] if call.name == "sync"] == [paths.done_dir("1"), paths.DONE]


class TestGivingBack:
    def test_a_release_hands_over_the_work_to_the_next_holder(self, world: World) -> None:
        worker, other = world.working("w"), world.join("x")
        worker.report("1", {"progress": 0.4, "achievements": ["half"]})
        assert worker.release("1", "lunch", {"branch": "b"}) == "queue/ready/2/000000/1~1"
        claim = other.request()
        assert claim is not None
        assert claim.ticket == Ticket("1", 2)
        expected = {"peer": "w", "reason": "lunch", "progress": 0.4, "achievements": ["half"], "branch": "b"}
        assert claim.hand_over.items() >= {**expected, "outcome": "released"}.items()

    def test_a_holder_without_a_report_hides_nothing_of_the_one_before(self, world: World) -> None:
        worker = world.working("w")
        worker.report("1", {"progress": 0.7, "achievements": ["the parser"]})
        worker.release("1")
        silent = world.join("x")
        world.taken(silent, "1")
        silent.release("1")
        claim = world.join("y").request()
        assert claim is not None
        left = claim.hand_over
        assert (left["peer"], left["progress"], left["achievements"], left["epoch"]) == ("w", 0.7, ["the parser"], 1)

    def test_a_person_may_reopen_a_task_that_failed_too_often(self, world: World) -> None:
        world.protocol["settings"] = {"max_attempts": 1}
        world.files.remove_dir("queue/parked/failed")  # somebody cleaned it away
        worker = world.working("w")
        worker.fail("1", "broke")
        assert world.state("1") == ("parked", "failed")
        assert world.queue.reopen("1") == "queue/ready/2/000000/1~1"
        assert world.taken(worker, "1") == Ticket("1", 2)

    @pytest.mark.parametrize("why", ["blocked", "review"])
    def test_parking_keeps_the_reason_and_the_work(self, world: World, why: str) -> None:
        worker = world.working("w")
        worker.park("1", why, "cannot go on", {"progress": 0.3})
        assert world.state("1") == ("parked", why)
        assert world.queue.definition("1").set_aside == (why, "cannot go on")
        assert world.outcomes("1") == [(1, "released")]
        world.queue.reopen("1")
        claim = worker.request()
        assert claim is not None
        assert (claim.hand_over["progress"], claim.hand_over["reason"]) == (0.3, "cannot go on")
