"""The library: a peer's life from joining to leaving on a real disk, and reassignment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import peercoord
from peercoord import EvictedError, LostError, Peer, UsageError
from peercoord.membership import membership as members
from peercoord.queue.queue import Queue
from peercoord.queue.reassign import reassign
from peercoord.queue.recovery import Janitor
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.paths import Ticket


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """The queue of a new project with task 1."""
    queue = Queue(roots.create(f"{tmp_path}/{paths.ROOT}", "test"))
    queue.add(records.define("1", "Task 1", description="What to do"))
    return queue


def where(queue: Queue, task: str) -> tuple[str, str, int]:
    location = queue.find(task)
    who = paths.parse_incarnation(location.detail)
    return location.state, who.peer if who else location.detail, location.epoch


def test_a_whole_day(tmp_path: Path, queue: Queue) -> None:
    queue.add(records.define("2", "Task 2", dependencies=["1"]))
    with Peer.join(tmp_path, "w") as peer:
        assert peer.name == "w"
        task = peer.request()
        assert task is not None
        assert (task.id, task.epoch, task.title, task.description) == ("1", 1, "Task 1", "What to do")
        assert (task.again, task.hand_over, repr(task)) == (False, {}, "Task('1', epoch=1)")
        report = peer.report(task, 0.5, achievements=["a"], blockers=["b"], time_spent=3, estimate="x")
        assert report["progress"] == 0.5
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


def test_another_process_goes_on_as_the_same_peer(tmp_path: Path, queue: Queue) -> None:
    first = Peer.join(tmp_path, "w")
    first.request()
    with pytest.raises(UsageError, match=f"process {os.getpid()}, runs"):
        Peer.join(tmp_path, "w")
    again = Peer.resume(roots.open_root(f"{tmp_path}/{paths.ROOT}"), first.membership.me)
    task = again.request()
    assert task is not None
    assert task.again
    again.complete("1")
    again.leave()
    with pytest.raises(EvictedError, match="has left"):
        Peer.resume(queue.root, first.membership.me)


def test_a_name_is_free_once_its_process_has_ended(tmp_path: Path, queue: Queue) -> None:
    words = f"from peercoord import Peer; p = Peer.join({str(tmp_path)!r}, 'w'); p.request(); import os; os._exit(9)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 9
    assert where(queue, "1") == ("claimed", "w", 1)
    with Peer.join(tmp_path, "w") as peer:
        assert peer.membership.me.number == 2
        assert where(queue, "1") == ("ready", "2", 1)
        assert (queue.result("1") or ())[1] == "evicted"


def test_the_public_names_exist_and_no_others() -> None:
    assert all(getattr(peercoord, name) for name in peercoord.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        peercoord.nonsense  # noqa: B018


class TestReassigning:
    @pytest.fixture
    def peers(self, tmp_path: Path, queue: Queue) -> tuple[Peer, Peer]:
        """Two peers, ``a`` and ``b``."""
        return Peer.join(tmp_path, "a"), Peer.join(tmp_path, "b")

    def test_a_report_has_one_writer(self, queue: Queue, peers: tuple[Peer, Peer]) -> None:
        """The target opens its entry with its next call; a reassigner could undo what it reports meanwhile."""
        b = peers[1]
        before = b.worker.reports.read("b")
        reassign(queue, "1", "b")
        assert b.worker.reports.read("b") == before
        assert b.request()
        (entry,) = b.worker.reports.read("b")["assigned_tasks"]
        assert (entry["task_id"], entry["epoch"], entry["status"]) == (1, 1, "in-progress")

    @pytest.mark.parametrize("call", [Peer.request, lambda b: b.report("1", 0.5), lambda b: b.complete("1")])
    def test_the_target_logs_the_claim(
        self, queue: Queue, peers: tuple[Peer, Peer], call: Callable[[Peer], object]
    ) -> None:
        """Its events tell which commits were made for the task."""
        reassign(queue, "1", "b")
        call(peers[1])
        lines = queue.files.read_tail(paths.events("b")).splitlines()
        found = [event for event in map(json.loads, lines) if event["event"] == "claimed"]
        assert [(event["task"], event["epoch"]) for event in found] == [("1", 1)]

    @pytest.mark.parametrize("why", ["", "held", "review", "deferred", "failed"])
    def test_from_the_queue_or_where_a_person_parked_it(self, queue: Queue, peers: tuple[Peer, Peer], why: str) -> None:
        if why:
            queue.park(queue.find("1").path, Ticket("1", 0), why, "x")
        assert reassign(queue, "1", "b") == ("", 1)
        peers[1].complete("1")
        assert where(queue, "1")[0] == "done"

    def test_a_target_that_is_evicted_meanwhile_gets_nothing(
        self, queue: Queue, peers: tuple[Peer, Peer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a, b = peers
        a.request()
        real = members.living

        def living_then_evicted(root: roots.Root) -> list[paths.Incarnation]:
            found = real(root)
            Janitor(queue, "a").evict(b.membership.me, a.membership.me, "x")
            return found

        monkeypatch.setattr(members, "living", living_then_evicted)
        with pytest.raises(LostError, match="task 1 moved meanwhile"):
            reassign(queue, "1", "b")
        assert where(queue, "1") == ("claimed", "a", 1)
