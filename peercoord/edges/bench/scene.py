"""A small project in a temporary directory, with worktrees that have joined, to measure on."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager

from peercoord.core import names, records
from peercoord.edges import agentctl, context
from peercoord.roles import root as roots
from peercoord.roles.queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Scene:
    """A project to measure on.

    Attributes:
        project: Its directory.
        worktrees: Directories of its instances; plain directories, for git plays no part in what is measured.
    """

    def __init__(self, project: str, worktrees: list[str]) -> None:
        self.project, self.worktrees = project, worktrees

    def shell(self, worktree: str) -> str:
        """Path of a worktree's ``coordinate.sh``."""
        return f"{worktree}/{names.INSTANCE}/coordinate.sh"


@contextmanager
def scene(instances: int, tasks: int, where: str = "", settings: dict[str, object] | None = None) -> Iterator[Scene]:
    """Make a project, start an agent in each worktree, and take everything away in the end.

    Args:
        instances: How many worktrees.
        tasks: How many tasks, none depending on another.
        where: The directory to make it in; the system's own for temporary files if empty.
        settings: Shared settings that differ from the defaults.
    """
    base = os.path.realpath(tempfile.mkdtemp(prefix="peercoord-bench-", dir=where or None))
    try:
        made = _make(base, instances, tasks, settings or {})
        try:
            for worktree in made.worktrees:
                agentctl.start(worktree)
            yield made
        finally:
            for worktree in made.worktrees:
                agentctl.stop(worktree)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _make(base: str, instances: int, tasks: int, settings: dict[str, object]) -> Scene:
    from peercoord.edges.team.up import coordinate_sh

    project = f"{base}/project"
    os.mkdir(project)
    root = roots.create(f"{project}/{names.ROOT}", "bench", settings)
    queue = Queue(root)
    with root.intake():
        for order in range(tasks):
            queue.bear(records.define(str(order + 1), f"task {order + 1}"), order, durable=False)
    worktrees = [f"{base}/instance-{number + 1}" for number in range(instances)]
    for worktree in worktrees:
        os.makedirs(f"{worktree}/{names.INSTANCE}/memory-contributions")
        info = {
            "schema_version": 1,
            "instance_id": os.path.basename(worktree),
            "project": project,
            "store_id": root.store_id,
            "worktree_path": worktree,
            "branch": "",
        }
        context.write_instance(worktree, "info.json", info)
        script = f"{worktree}/{names.INSTANCE}/coordinate.sh"
        with open(script, "wb") as handle:
            handle.write(coordinate_sh())
        os.chmod(script, 0o755)  # noqa: S103 - a script is for running
    return Scene(project, worktrees)
