"""Real processes on the real disk: every task has one holder, whichever process is killed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from races import crowd
from support import tree
from support.memory import MemoryDisk

from peercoord.store import paths as names

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


@pytest.mark.parametrize(("workers", "tasks", "seed"), KILLED)
def test_with_killed_peers_every_task_is_done_once(tmp_path: Path, workers: int, tasks: int, seed: int) -> None:
    answer = crowd.run(tmp_path, workers, tasks, seed)
    assert answer["failed"] == []
    epochs = check_all_done(tree.snapshot(tmp_path), tasks)
    claimed, done = told(answer["said"], "claimed"), told(answer["said"], "done")
    assert set(claimed.values()) <= {1}, "two held one task at one epoch"
    assert set(done.values()) <= {1}
    assert len({task for task, _ in done}) == len(done), "a task was done twice"
    assert all(epochs[task] == epoch for task, epoch in done)
    assert all(epoch <= epochs[task] for task, epoch in claimed)
