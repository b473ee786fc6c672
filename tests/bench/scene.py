"""A small project in a temporary directory, with worktrees that have joined, to measure on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from peercoord.agent import control
from peercoord.queue.intake import ADDED
from peercoord.queue.queue import Queue
from peercoord.store import instance_records, paths, records
from peercoord.store import root as roots
from peercoord.system.disk import remove_tree
from peercoord.worktree import context


class Scene(NamedTuple):
    """A project, and its worktrees: plain directories, for git plays no part in what is measured."""

    project: str
    worktrees: list[str]

    def shell(self, worktree: str) -> str:
        """Path of a worktree's ``coordinate.sh``."""
        return f"{worktree}/{paths.INSTANCE}/coordinate.sh"


@contextmanager
def scene(count: int, tasks: int, where: str = "") -> Iterator[Scene]:
    """Make a project, start an agent in each worktree, and take everything away in the end."""
    base = os.path.realpath(tempfile.mkdtemp(prefix="peercoord-bench-", dir=where or None))
    try:
        made = _make(base, count, tasks)
        try:
            for worktree in made.worktrees:
                control.start(worktree, made.project)
            yield made
        finally:
            for worktree in made.worktrees:
                control.stop(worktree)
    finally:
        with suppress(OSError):
            remove_tree(base)


def _make(base: str, count: int, tasks: int) -> Scene:
    from peercoord.team.up import coordinate_sh

    project = f"{base}/project"
    os.mkdir(project)
    root = roots.create(f"{project}/{paths.ROOT}", "bench")
    queue = Queue(root)
    with root.intake():
        coming = ((records.define(str(order + 1), f"task {order + 1}"), order, False) for order in range(tasks))
        assert sum(made == ADDED for _, made in queue.create_all(coming)) == tasks
    worktrees = [f"{base}/instance-{number + 1}" for number in range(count)]
    for worktree in worktrees:
        os.makedirs(f"{worktree}/{paths.INSTANCE}/memory-contributions")
        info = {
            "schema_version": 1,
            "instance_id": os.path.basename(worktree),
            "project": project,
            "store_id": root.store_id,
            "worktree_path": worktree,
            "branch": "",
        }
        context.instance_files(worktree).replace("info.json", records.encode(info))
        git_dir = f"{project}/.git/worktrees/{info['instance_id']}"  # there is none: git plays no part
        instance_records.write(root, os.path.basename(worktree), worktree=worktree, git_dir=git_dir)
        script = f"{worktree}/{paths.INSTANCE}/coordinate.sh"
        with open(script, "wb") as handle:
            handle.write(coordinate_sh())
        os.chmod(script, 0o755)
    return Scene(project, worktrees)
