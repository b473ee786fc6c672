"""Find the agents that run for the worktrees of a team, also for a worktree that was deleted, moved or cleaned.

An agent's lock is a file in ``.claude-instance/``. If that directory is deleted, the lock is gone and the agent still
runs, so a second one may be started. Code that starts an agent or removes a worktree looks for such strays first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.agent import control
from peercoord.errors import PeercoordError
from peercoord.membership import liveness, signals
from peercoord.store import paths
from peercoord.store import root as roots
from peercoord.system import process

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from peercoord.foreign import Json
    from peercoord.store.project import Project
    from peercoord.store.root import Root
    from peercoord.team.plan import Instance


def opened(state: Path) -> Root | None:
    """Open a coordination directory; ``None`` if it cannot be read."""
    try:
        return roots.open_root(str(state))
    except PeercoordError:
        return None


def of(project: Project, instance: Instance) -> list[Json]:
    """List the records of a worktree's agents that run, or may run out of sight."""
    return control.agents_of(opened(project.directory / paths.ROOT), str(instance.directory), instance.peer)


def at(directories: Collection[Path]) -> list[Json]:
    """List this user's agents that were started for one of these worktrees."""
    return signals.visible({str(directory) for directory in directories})


def orphan_agents(project: Project, instance: Instance) -> list[Json]:
    """List agents that run for a worktree but do not serve it: unrecorded, without its lock, or started elsewhere."""
    return [record for record in of(project, instance) if not serves(record, instance) and is_here(record)]


def serves(record: Json, instance: Instance) -> bool:
    """Check whether an agent is the recorded one of a worktree in its present place."""
    there, known = str(instance.directory), bool(record.get("incarnation"))
    return known and record.get("worktree") == there and control.locked(there, str(instance.worktree))


def is_here(record: Json) -> bool:
    """Check whether an agent's process can be seen from here."""
    return liveness.in_sight(record, process.here())


end = signals.end
