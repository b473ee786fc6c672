"""The branches of a team: which name is free, what stands in its way, what is made from what."""

from __future__ import annotations

from dataclasses import dataclass

from peercoord.core.errors import PeercoordError, UsageError
from peercoord.core.ids import shown
from peercoord.edges.team import git
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.repository import commit, worktrees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from peercoord.edges.team.repository import Project


@dataclass(frozen=True, slots=True)
class Branches:
    """What is known of the branches of a repository before a plan is made.

    Attributes:
        existing: Each local branch and the commit at its tip.
        checked_out: Each branch that some worktree stands on, and the worktree's root.
        base: The commit that new branches start from.
        base_name: How people call it.
    """

    existing: dict[str, str]
    checked_out: dict[str, Path]
    base: str
    base_name: str


def survey(project: Project, base: str) -> Branches:
    """Look at a repository's branches.

    Args:
        project: The project.
        base: What new branches are to start from; empty: where the main checkout stands.

    Raises:
        PeercoordError: The repository has no commit, or ``base`` names none.
    """
    start = commit(project, base or "HEAD")
    lines = git.text(project.main, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads").splitlines()
    existing = {name.removeprefix("refs/heads/"): tip for name, tip in (line.split(" ") for line in lines)}
    checked_out = {tree.branch: tree.path for tree in worktrees(project) if tree.branch}
    on = next((name for name, path in checked_out.items() if path == project.main), "the main checkout's commit")
    return Branches(existing, checked_out, start, f"{base or on} @ {start[:7]}")


def name(prefix: str, peer: str) -> str:
    """Give the name of a peer's branch.

    Args:
        prefix: What people gave as ``--branch-prefix``; a ``/`` is put after a word that ends without a separator.
        peer: The peer.

    Raises:
        UsageError: Git allows no branch of that name.
    """
    branch = f"{prefix}{'' if not prefix or prefix[-1] in '/-_.' else '/'}{peer}"
    if git.ask("/", "check-ref-format", "--branch", branch, ok=(0, 1, 128)).status:
        raise UsageError(f"{shown(branch)} cannot be a branch", "give another prefix, such as --branch-prefix agents/")
    return branch


def check(project: Project, known: Branches, branch: str) -> None:
    """Refuse a branch that cannot be used for a new worktree.

    Raises:
        PeercoordError: Another worktree stands on it, or another branch's name excludes it.
    """
    hint = "name the team's branches otherwise: --branch-prefix agents/"
    if branch in known.checked_out:
        where = project.short(known.checked_out[branch])
        raise PeercoordError(f"branch '{branch}' is checked out in {where}", hint, code="branch-in-use")
    for other in known.existing:
        if branch.startswith(f"{other}/") or other.startswith(f"{branch}/"):
            text = (
                f"a branch called '{shown_path(other)}' blocks '{branch}': git keeps branches as files and directories"
            )
            raise PeercoordError(text, hint, code="branch-blocked")
        if other != branch and other.casefold() == branch.casefold():
            text = f"branch '{shown_path(other)}' differs from '{branch}' only in case: one file on some filesystems"
            raise PeercoordError(text, hint, code="branch-blocked")


def check_has(project: Project, start: str, sub: str) -> None:
    """Refuse a commit in which the project's directory is missing.

    Raises:
        PeercoordError: A worktree that starts from it would have no project.
    """
    if sub and not git.fields(project.main, "ls-tree", "-z", "--full-tree", start, "--", sub):
        text = f"commit {start[:7]} has no {shown_path(sub)}/, so a worktree of it would have no project"
        raise PeercoordError(text, "commit the directory first, or choose another commit: --base", code="no-base")


def origin(project: Project, known: Branches, branch: str) -> str:
    """Say for people where a worktree's branch comes from."""
    tip = known.existing.get(branch)
    if tip is None:
        return f"new branch {branch} from {known.base_name}"
    ahead = git.text(project.main, "rev-list", "--count", f"{known.base}..{tip}")
    state = "nothing of its own" if ahead == "0" else f"{ahead} {'commit' if ahead == '1' else 'commits'} of its own"
    return f"existing branch {branch} @ {tip[:7]} ({state}), used again"
