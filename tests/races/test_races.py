"""Real processes on the real disk: every task has one holder, whichever process is killed or stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from races import crowd
from support import tree
from support.memory import MemoryDisk

from peercoord import Peer
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.store import paths as names
from peercoord.store import records
from peercoord.store import root as roots

CROWDS = [pytest.param(8, 200, 1), *(pytest.param(32, 2000, seed, marks=pytest.mark.slow) for seed in range(10))]
KILLED = [pytest.param(6, 150, 1), *(pytest.param(32, 1000, seed, marks=pytest.mark.slow) for seed in range(20))]


def told(said: list[str], word: str) -> Counter[tuple[str, int]]:
    """Count what was said of a task at an epoch."""
    lines = (line.split() for line in said)
    return Counter((line[1], int(line[2])) for line in lines if line[0] == word)


def check_all_done(disk: MemoryDisk, tasks: int) -> dict[str, int]:
    """Assert that every task is done, with a result; give the epoch at which each was."""
    tree.check_at_rest(disk)
    where = tree.tickets(disk)
    assert len(where) == tasks
    stuck = {task: [*paths, *tree.story(disk, task)] for task, paths in where.items() if paths != [names.done(task)]}
    assert not stuck, json.dumps(stuck, indent=1)
    results = (names.parse_result(path.rpartition("/")[2]) for path in disk.files() if path.startswith("results/"))
    epochs = {}
    for task, epoch, outcome in filter(None, results):
        if outcome == "done":
            epochs[task] = max(epochs.get(task, 0), epoch)
    assert len(epochs) == tasks
    return epochs


@pytest.mark.parametrize(("workers", "tasks", "seed"), CROWDS)
def test_every_task_is_claimed_once_and_none_is_lost(tmp_path: Path, workers: int, tasks: int, seed: int) -> None:
    answer = crowd.run(tmp_path, workers=workers, tasks=tasks, seed=seed)
    assert answer["failed"] == []
    check_all_done(tree.snapshot(tmp_path), tasks)
    everything = {(str(number), 1): 1 for number in range(tasks)}
    assert told(answer["said"], "claimed") == everything
    assert told(answer["said"], "done") == everything


@pytest.mark.parametrize(("workers", "tasks", "seed"), KILLED)
def test_with_killed_peers_every_task_is_done_once(tmp_path: Path, workers: int, tasks: int, seed: int) -> None:
    answer = crowd.run(tmp_path, workers=workers, tasks=tasks, seed=seed, kills=tasks // 15)
    assert answer["failed"] == []
    epochs = check_all_done(tree.snapshot(tmp_path), tasks)
    claimed, done = told(answer["said"], "claimed"), told(answer["said"], "done")
    assert set(claimed.values()) <= {1}, "two held one task at one epoch"
    assert set(done.values()) <= {1}
    assert len({task for task, _ in done}) == len(done), "a task was done twice"
    assert all(epochs[task] == epoch for task, epoch in done)
    assert all(epoch <= epochs[task] for task, epoch in claimed)


def test_a_peer_evicted_while_stopped_is_told_so_and_rejoins(tmp_path: Path) -> None:
    queue = Queue(roots.create(f"{tmp_path}/{names.ROOT}", "race"))
    queue.add(records.define("5", "x"))
    words = [sys.executable, "-c", "import sys; from races.crowd import stopped; stopped(sys.argv[1])", str(tmp_path)]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=here) as process:
        assert process.stdout is not None
        me = process.stdout.readline().split()[0]
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        who = names.parse_incarnation(me)
        assert who is not None
        with Peer.join(tmp_path, "holder") as holder:
            assert Janitor(queue, "holder").evict(who, holder.membership.me, "it was stopped")
            task = holder.request()
            assert task is not None
            assert (task.id, task.epoch) == ("5", 2)
            process.send_signal(signal.SIGCONT)
            answer = json.loads(process.communicate(timeout=240)[0])
            assert process.returncode == 0
            for step in ("report", "complete", "release"):
                code, message = answer["said"][step]
                assert code == "evicted", step
                assert message == f"{me} was evicted by holder; task 5 is held by holder now (epoch 2)"
            for step in ("beat", "request"):
                assert answer["said"][step] == ["evicted", f"{me} was evicted by holder"]
            assert answer["again"].startswith("zombie~2.")
            assert queue.find("5").detail == str(holder.membership.me)
            assert queue.definition("5").set_aside is None
            holder.complete(task)
    tree.check(tree.snapshot(tmp_path))
