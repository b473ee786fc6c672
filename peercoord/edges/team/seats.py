"""Which worktrees are the team's: those whose own git directory says so, wherever they lie by now."""

from __future__ import annotations

from peercoord.core import ids, names
from peercoord.edges.team import record
from peercoord.edges.team.plan import Seat
from peercoord.edges.team.repository import worktrees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from peercoord.edges.team.repository import Project, Worktree


MOST = 99
"""Worktrees of one team."""


def seats(project: Project) -> list[Seat]:
    """List the worktrees of the project's team by index, also those whose directory is gone.

    Raises:
        BrokenFileError: The record of one cannot be understood.
    """
    found = [seat for tree in worktrees(project) if (seat := _seat(project, tree))]
    return sorted(found, key=lambda seat: (seat.index, seat.peer))


def seat_at(project: Project, path: Path) -> Seat | None:
    """Give the seat whose worktree holds ``path``; ``None`` if it is no worktree of the team."""
    return next((seat for seat in seats(project) if path.is_relative_to(seat.worktree)), None)


def peer_name(index: int) -> str:
    """Give the name of the peer in a worktree that the team makes."""
    return f"instance-{index}"


def home(project: Project, index: int) -> Path:
    """Give the place of a worktree that the team makes: beside the main checkout."""
    return project.main.parent / f"{project.name}-{peer_name(index)}"


def _seat(project: Project, tree: Worktree) -> Seat | None:
    if tree.git_dir == project.common:
        return None
    known = record.read_worktree(tree.git_dir)
    index, peer = known.get("index"), known.get("peer")
    if known.get("sub") != project.sub or not isinstance(index, int) or not ids.is_id(peer):
        return None
    return Seat(
        index=index,
        peer=str(peer),
        worktree=tree.path,
        directory=tree.path / project.sub,
        branch=tree.branch,
        made=known.get("made") is True,
        git_dir=tree.git_dir,
    )


def instance_dir(seat: Seat) -> Path:
    """Give the directory in which a worktree keeps what concerns its peer."""
    return seat.directory / names.INSTANCE
