"""Making worktrees and bringing them back: the steps that a plan consists of."""

from __future__ import annotations

import os
from pathlib import Path

from peercoord.core.errors import PeercoordError
from peercoord.edges.team import excludes, git, record, sparse
from peercoord.edges.team.git import GitError, shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.edges.team.bank import Bank
    from peercoord.edges.team.plan import Seat
    from peercoord.edges.team.repository import Project


def check_place(path: Path) -> None:
    """Refuse a place where something lies, also under a name that a case-folding filesystem takes for the same.

    Raises:
        PeercoordError: It is taken, or nothing can be made beside the main checkout.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK):
        text = f"{shown_path(path.parent)} cannot be written, and worktrees lie beside the main checkout"
        raise PeercoordError(text, "check the owner and mode of that directory", code="no-place")
    hint = "move it away or remove it, then run the same command again"
    for other in path.parent.iterdir():
        if other.name.casefold() != path.name.casefold():
            continue
        if other.name != path.name:
            text = f"{shown_path(other)} differs from {path.name} only in case: one directory on some filesystems"
            raise PeercoordError(text, hint, code="place-taken")
        if other.is_symlink() or not other.is_dir() or any(other.iterdir()):
            text = f"{shown_path(other)} is there and is no worktree of this repository; it is left as it is"
            raise PeercoordError(text, hint, code="place-taken")


def add(project: Project, bank: Bank, seat: Seat, start: str, setup: tuple[str, ...]) -> str:
    """Make a worktree, on a new branch or on one that exists.

    Args:
        project: The project.
        bank: The memory bank, whose files stay out of the worktree.
        seat: What is to be made.
        start: The commit a new branch starts from; empty for an existing branch.
        setup: The set-up command that is to follow.

    Returns:
        A warning, or an empty string.
    """
    words = ["worktree", "add", "-q", "--no-checkout"]
    if start:
        noted = record.table(record.read_project(project.common, project.sub), "branches")
        record.note_project(project.common, project.sub, branches={**noted, seat.branch: start})
        words += ["--no-track", "-b", seat.branch, str(seat.worktree), start]
    else:
        words += [str(seat.worktree), seat.branch]
    git.ask(project.main, *words)
    git_dir = Path(git.text(seat.worktree, "rev-parse", "--absolute-git-dir"))
    take_in(project, seat, git_dir)
    if setup:
        record.note_worktree(git_dir, setup={"command": list(setup), "status": None})
    return check_out(project, bank, seat.worktree)


def take_in(project: Project, seat: Seat, git_dir: Path) -> str:
    """Write down that a worktree is of the team."""
    record.note_worktree(git_dir, sub=project.sub, index=seat.index, peer=seat.peer, made=seat.made)
    return ""


def check_out(project: Project, bank: Bank, tree: Path) -> str:
    """Write a worktree's files for the first time, without those of the memory bank.

    Returns:
        A warning if large files (LFS) could not be had; their pointers are there then.
    """
    if bank.shared and bank.tracked:
        sparse.leave_out(project, tree, excludes.pattern(bank.path))
    try:
        git.ask(tree, "reset", "-q", "--hard")
    except GitError as error:
        if "smudge filter lfs failed" not in error.said:
            raise
        git.ask(tree, "reset", "-q", "--hard", env={"GIT_LFS_SKIP_SMUDGE": "1"})
        return f"large files in {project.short(tree)} are pointers for now: git -C {project.short(tree)} lfs pull"
    return ""


def belongs_to(tree: Path, git_dir: Path, moved: bool = False) -> bool:
    """Tell whether a directory says, in its ``.git`` file, that it is the worktree of ``git_dir``.

    Args:
        tree: The directory.
        git_dir: A worktree's own git directory.
        moved: The main checkout may have moved since: then the place named there is gone, and its name is enough.
    """
    pointer = tree / ".git"
    if not pointer.is_file():
        return False
    target = Path(os.fsdecode(pointer.read_bytes().rstrip(b"\n").removeprefix(b"gitdir: ")))
    if Path(os.path.normpath(tree / target)) == git_dir:
        return True
    return moved and target.parts[-2:] == git_dir.parts[-2:] and not target.exists()


def moved_to(beside: Path, git_dir: Path) -> Path | None:
    """Find, among the directories in one, the worktree that belongs to ``git_dir``."""
    candidates = [pointer.parent for pointer in sorted(beside.glob("*/.git"))]
    return next((tree for tree in candidates if belongs_to(tree, git_dir, moved=True)), None)


def repair(project: Project, tree: Path) -> str:
    """Tell git where a worktree lies now, and the worktree where its repository lies."""
    git.ask(project.main, "worktree", "repair", str(tree))
    return ""


def make_again(project: Project, tree: Path) -> str:
    """Give a worktree whose directory is gone its files back, from its own index: what was staged is there again."""
    tree.mkdir(parents=True, exist_ok=True)
    git.ask(project.main, "worktree", "repair")
    git.ask(tree, "checkout", "-q", "-f", "--", ".")
    return ""
