"""The library door: real processes' identities, the whole life of a peer, reassignment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.faults import Failing, full

import peercoord
from peercoord import EvictedError, LostError, NotFoundError, Peer, UsageError
from peercoord.membership import membership as members
from peercoord.queue.queue import Queue
from peercoord.queue.reassign import reassign
from peercoord.queue.recovery import Janitor
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.paths import Ticket


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(roots.create(f"{tmp_path}/{paths.ROOT}", "test"))


def add(queue: Queue, *tasks: str, **more: object) -> None:
    for task in tasks:
        queue.add(records.define(task, f"Task {task}", **more))


def where(queue: Queue, task: str) -> tuple[str, str, int]:
    sighting = queue.find(task)
    who = paths.parse_incarnation(sighting.detail)
    return sighting.state, who.peer if who else sighting.detail, sighting.epoch


class TestLife:
    def test_a_whole_day(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1", description="What to do")
        add(queue, "2", dependencies=["1"])
        with Peer.join(tmp_path, "w") as peer:
            assert peer.name == "w"
            task = peer.request()
            assert task is not None
            assert (task.id, task.epoch, task.title, task.description) == ("1", 1, "Task 1", "What to do")
            assert (task.again, task.hand_over, repr(task)) == (False, {}, "Task('1', epoch=1)")
            assert (
                peer.report(task, 0.5, achievements=["a"], blockers=["b"], time_spent=3, estimate="x")["progress"]
                == 0.5
            )
            assert peer.complete(task, branch="b")["branch"] == "b"
            task = peer.request()
            assert task is not None
            peer.release(task, "tea")
            task = peer.request()
            assert task is not None
            assert task.hand_over["reason"] == "tea"
            peer.fail(task, "broken")
            assert where(queue, "2") == ("ready", "2", 2)
        assert members.living(queue.root) == []
        assert [both[0].peer for both in members.departed(queue.root)] == ["w"]

    def test_who_leaves_gives_everything_back(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1")
        peer = Peer.join(tmp_path, "w")
        peer.request()
        queue.files.move(paths.leader(paths.LEADER, 0), paths.leader(peer.membership.home, 1))
        peer.leave()
        peer.leave()
        assert where(queue, "1") == ("ready", "2", 1)
        assert queue.files.scan(paths.LEADER) == ["leader~1"]
        result = queue.result("1")
        assert result is not None
        assert (result[1], result[2]["reason"]) == ("released", f"{peer.membership.me} left")

    def test_who_leaves_on_a_full_disk_gives_everything_back_too(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1")
        peer = Peer.join(tmp_path, "w")
        peer.request()
        queue.files.disk = Failing(queue.files.disk, full)
        Peer(queue.root, peer.membership).leave()
        assert where(queue, "1") == ("ready", "2", 1)
        assert members.living(queue.root) == []

    def test_another_process_goes_on_as_the_same_peer(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1")
        first = Peer.join(tmp_path, "w")
        first.request()
        again = Peer.resume(roots.open_root(f"{tmp_path}/{paths.ROOT}"), first.membership.me)
        task = again.request()
        assert task is not None
        assert task.again
        again.complete("1")
        again.leave()
        with pytest.raises(EvictedError, match="has left"):
            Peer.resume(queue.root, first.membership.me)

    def test_a_name_is_free_once_its_process_is_gone(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1")
        words = (
            f"from peercoord import Peer; p = Peer.join({str(tmp_path)!r}, 'w'); p.request(); import os; os._exit(9)"
        )
        assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 9
        assert where(queue, "1") == ("claimed", "w", 1)
        peer = Peer.join(tmp_path, "w")
        assert peer.membership.me.number == 2
        assert where(queue, "1") == ("ready", "2", 1)
        result = queue.result("1")
        assert result is not None
        assert result[1] == "evicted"
        peer.leave()

    def test_a_living_name_is_taken(self, tmp_path: Path, queue: Queue) -> None:
        with Peer.join(tmp_path, "w"), pytest.raises(UsageError, match=f"process {os.getpid()}, runs"):
            Peer.join(tmp_path, "w")

    def test_a_project_that_is_not_set_up(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="is no coordination directory"):
            Peer.join(tmp_path, "w")
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("task", ["../../x", "", "a~1", "\x1b[0m"])
    def test_no_text_that_is_no_id_passes_the_door(self, tmp_path: Path, queue: Queue, task: str) -> None:
        with Peer.join(tmp_path, "w") as peer:
            for step in (peer.report, peer.complete, peer.release, lambda t: peer.fail(t, "x")):
                with pytest.raises(UsageError, match="is not allowed"):
                    step(task)
            with pytest.raises(UsageError, match="is not allowed"):
                reassign(queue, task, "w")

    def test_the_public_names_are_there_and_no_others(self) -> None:
        assert all(getattr(peercoord, name) for name in peercoord.__all__)
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            peercoord.nonsense  # noqa: B018


class TestReassigning:
    def test_from_one_to_another_in_one_step(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1")
        with Peer.join(tmp_path, "a") as a, Peer.join(tmp_path, "b") as b:
            task = a.request()
            assert task is not None
            a.report(task, 0.4)
            assert reassign(queue, "1", "b") == ("a", 2)
            assert where(queue, "1") == ("claimed", "b", 2)
            with pytest.raises(LostError, match=r"a does not hold task 1: task 1 is held by b now \(epoch 2\)"):
                a.complete(task)
            again = b.request()
            assert again is not None
            assert (again.id, again.epoch, again.hand_over["progress"]) == ("1", 2, 0.4)
            assert again.hand_over["reason"] == "reassigned to b"
            b.complete(again)

    def test_a_cancelled_task_is_put_into_no_hand(self, tmp_path: Path, queue: Queue) -> None:
        """PLC-2: not out of another hand either."""
        add(queue, "1")
        with Peer.join(tmp_path, "a") as a, Peer.join(tmp_path, "b"):
            assert a.request()
            queue.edit("1", cancelled=True)
            with pytest.raises(LostError, match="task 1 is parked: cancelled"):
                reassign(queue, "1", "b")
            assert where(queue, "1") == ("claimed", "a", 1)

    def test_from_the_queue(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1")
        with Peer.join(tmp_path, "b"):
            assert reassign(queue, "1", "b") == ("", 1)
            assert where(queue, "1") == ("claimed", "b", 1)

    @pytest.mark.parametrize("held", [False, True], ids=["ready", "held"])
    def test_its_epoch_is_above_every_result_of_the_task(self, tmp_path: Path, queue: Queue, held: bool) -> None:
        """CLM-3: a reopening that was asleep brought the ticket back below the epochs that were used since."""
        add(queue, "1")
        with Peer.join(tmp_path, "a") as a, Peer.join(tmp_path, "b"):
            if held:
                a.request()
            queue.files.put(paths.result("1", 7, "done"), records.encode({"peer": "c", "outcome": "done"}))
            assert reassign(queue, "1", "b") == ("a" if held else "", 8)
            assert where(queue, "1") == ("claimed", "b", 8)

    @pytest.mark.parametrize("why", ["held", "review", "deferred", "failed"])
    def test_from_where_a_person_set_it_aside(self, tmp_path: Path, queue: Queue, why: str) -> None:
        add(queue, "1")
        queue.park(queue.find("1").path, Ticket("1", 0), why, "x")
        with Peer.join(tmp_path, "b") as b:
            assert reassign(queue, "1", "b") == ("", 1)
            b.complete("1")
            assert where(queue, "1")[0] == "done"

    def test_it_goes_on_when_the_disk_is_full(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1")
        with Peer.join(tmp_path, "a") as a, Peer.join(tmp_path, "b"):
            a.request()
            well = queue.files.disk
            queue.files.disk = Failing(well, full)
            assert reassign(queue, "1", "b") == ("a", 2)
            queue.files.disk = well
            assert where(queue, "1") == ("claimed", "b", 2)

    def test_every_refusal_leaves_the_task_where_it_is(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1", "2", "3", "5")
        add(queue, "4", dependencies=["3"])
        queue.create(records.define("6", "x", dependencies=["9"]), 6)
        with Peer.join(tmp_path, "a") as a, Peer.join(tmp_path, "b"):
            first = a.request()
            assert first is not None
            a.complete(first)
            a.request()
            queue.cancel("5", "no")
            queue.files.put(paths.definition("3"), b"{,")
            before = {task: where(queue, task) for task in "123456"}
            for task, target, error, words in (
                ("1", "b", LostError, "task 1 is done"),
                ("2", "a", LostError, "holds task 2 already"),
                ("4", "b", LostError, "task 4 waits for task 3"),
                ("5", "b", LostError, "task 5 is parked: cancelled"),
                ("6", "b", LostError, "task 6 is parked: blocked"),
                ("9", "b", NotFoundError, "there is no task 9"),
                ("2", "c", NotFoundError, "there is no peer 'c'"),
                ("2", "\x1b[31m", NotFoundError, r"there is no peer '\\x1b"),
                ("3", "b", peercoord.PeercoordError, "could not be read"),
            ):
                with pytest.raises(error, match=words):
                    reassign(queue, task, target)
            assert {task: where(queue, task) for task in "123456"} == before

    def test_what_waits_since_a_dependency_was_reopened_is_not_given_out(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1")
        add(queue, "2", dependencies=["1"])
        with Peer.join(tmp_path, "a") as a, Peer.join(tmp_path, "b"):
            a.request()
            a.complete("1")
            queue.reopen("1")
            with pytest.raises(LostError, match="task 2 waits for task 1"):
                reassign(queue, "2", "b")

    def test_a_target_that_is_evicted_in_the_middle_gets_nothing(self, tmp_path: Path, queue: Queue) -> None:
        add(queue, "1")
        a, b = Peer.join(tmp_path, "a"), Peer.join(tmp_path, "b")
        a.request()
        real = members.living

        def living_then_evicted(root: roots.Root) -> list[paths.Incarnation]:
            found = real(root)
            Janitor(queue, "a").evict(b.membership.me, a.membership.me, "x")
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(members, "living", living_then_evicted)
            with pytest.raises(LostError, match="task 1 moved meanwhile"):
                reassign(queue, "1", "b")
        assert where(queue, "1") == ("claimed", "a", 1)
        assert members.living(queue.root) == [a.membership.me]
        a.leave()
