"""Create worktrees and branches, and bring them back: the steps of the plan."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError, UsageError
from peercoord.foreign import shown
from peercoord.store import inspection, isolated_git, manifest
from peercoord.store.beneath import Beneath, InstanceFiles
from peercoord.system import git, gitdirs
from peercoord.system.git import GitError, shown_path
from peercoord.team import excludes, repository
from peercoord.team.repository import commit, worktrees

if TYPE_CHECKING:
    from peercoord.store.project import Project
    from peercoord.team.bank_link import Bank
    from peercoord.team.plan import Instance


def check_place(path: Path) -> None:
    """Refuse a place that is taken, also by a name that differs only in case."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        text = f"{shown_path(path.parent)} cannot be written, and worktrees lie beside the main checkout"
        raise PeercoordError(text, "check the owner and mode of that directory", code="no-place")
    most = os.pathconf(path.parent, "PC_NAME_MAX")
    size = len(os.fsencode(path.name))
    if size > most:
        text = f"a worktree beside the main checkout would have a name of {size} bytes; {most} are allowed"
        hint = "give the project's directory a shorter name, then run the same command again"
        raise UsageError(text, hint, code="name-too-long")
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


def add(project: Project, bank: Bank, instance: Instance, start: str, setup: tuple[str, ...]) -> str:
    """Create a worktree on a new or an existing branch."""
    repository.refuse_irregular(project.common)
    words = ["worktree", "add", "-q", "--no-checkout"]
    if start:
        noted = manifest.branches(project.common, project.sub)
        manifest.note_project(project.common, project.sub, branches={**noted, instance.branch: start})
        words += ["--no-track", "-b", instance.branch, str(instance.worktree), start]
    else:
        words += [str(instance.worktree), instance.branch]
    git.set_up(project.main, *words)
    git_dir = repository.git_dirs(project)[instance.worktree]
    take_in(project, instance, git_dir)
    if setup:
        manifest.note_worktree(git_dir, setup={"command": list(setup), "status": None})
    return check_out(project, bank, instance.worktree, git_dir)


def take_in(project: Project, instance: Instance, git_dir: Path) -> None:
    """Record that a worktree belongs to the team."""
    manifest.note_worktree(
        git_dir, sub=project.sub, index=instance.index, peer=instance.peer, made=instance.made, left=False
    )


def check_out(project: Project, bank: Bank, tree: Path, git_dir: Path) -> str:
    """Check out a new worktree's files except the memory bank's; the person's own filters run."""
    if bank.shared and bank.tracked:
        excludes.leave_out(project, tree, git_dir, f"{excludes.pattern(bank.path)}/")
    try:
        git.set_up(tree, "reset", "-q", "--hard")
    except GitError as error:
        if "smudge filter lfs failed" not in error.said:
            raise
        git.set_up(tree, "reset", "-q", "--hard", env={"GIT_LFS_SKIP_SMUDGE": "1"})
        return f"large files in {project.short(tree)} are pointers for now: git -C {git.pasted(tree)} lfs pull"
    return ""


def led_to(tree: Path, git_dir: Path) -> bool:
    """Check whether a directory's ``.git`` file names ``git_dir``, or a lost one of its name: the repository moved."""
    target = Path(gitdirs.target(str(tree / ".git")) or "/")
    return target == git_dir or (target.parts[-2:] == git_dir.parts[-2:] and not target.exists())


def moved_to(beside: Path, git_dir: Path) -> Path | None:
    """Find the worktree of ``git_dir`` among the entries of a directory."""
    candidates = [pointer.parent for pointer in sorted(beside.glob("*/.git"))]
    return next((tree for tree in candidates if led_to(tree, git_dir)), None)


def repair(tree: Path, git_dir: Path) -> None:
    """Make a worktree and its git directory point to each other."""
    InstanceFiles(Beneath(str(tree))).replace(".git", os.fsencode(f"gitdir: {git_dir}\n"))
    manifest.beneath(git_dir).replace("gitdir", os.fsencode(f"{tree}/.git\n"))


def make_again(project: Project, tree: Path, git_dir: Path) -> str:
    """Restore the files of a worktree whose directory is gone from its own index, with what was staged."""
    tree.mkdir(parents=True, exist_ok=True)
    repair(tree, git_dir)
    with inspection.of_worktree(project, tree, git_dir) as found:
        if not isolated_git.is_indexed(git_dir):
            found.write_index("read-tree", "HEAD")
        found.ask("checkout-index", "--quiet", "--all", "--force")
        stored = found.filtered(found.fields("ls-files", "-z"))
    if not stored:
        return ""
    return f"files with a filter (LFS) in {project.short(tree)} are as git stores them, {len(stored)} in all"


def restore_index(project: Project, tree: Path, git_dir: Path) -> None:
    """Rebuild a worktree's index from its commit; no file is touched."""
    with inspection.of_worktree(project, tree, git_dir) as found:
        found.write_index("read-tree", "HEAD")


# -- branches ------------------------------------------------------------------------------------------------------


_PART_BYTES = 250  # of a branch name between slashes: a file name has 255, git adds ".lock"


@dataclass(frozen=True, slots=True)
class Branches:
    """The branches of a repository when a plan is made."""

    existing: dict[str, str]  # each local branch and the commit at its tip
    checked_out: dict[str, Path]  # each branch that some worktree stands on, and the worktree's root
    base: str  # the commit that new branches start from
    base_name: str  # how people call it


def survey(project: Project, base: str) -> Branches:
    """Read a repository's branches."""
    start = commit(project, base or "HEAD")
    existing = git.branches(git.text(project.main, "for-each-ref", git.TIPS, "refs/heads"))
    checked_out = {tree.branch: tree.path for tree in worktrees(project) if tree.branch}
    on = next(
        (branch_name for branch_name, path in checked_out.items() if path == project.main), "the main checkout's commit"
    )
    return Branches(existing, checked_out, start, f"{base or on} @ {start[:7]}")


def branch_name(prefix: str, peer: str) -> str:
    """Return the name of a peer's branch."""
    branch = f"{prefix}{'' if not prefix or prefix[-1] in '/-_.' else '/'}{peer}"
    if git.ask("/", "check-ref-format", "--branch", branch, ok=(0, 1, 128)).status:
        raise UsageError(f"{shown(branch)} cannot be a branch", "give another prefix, such as --branch-prefix agents/")
    size = max(len(os.fsencode(part)) for part in branch.split("/"))
    if size > _PART_BYTES:
        text = f"a part of the branch name {shown(branch)} has {size} bytes; git can keep {_PART_BYTES}"
        raise UsageError(text, "give a shorter prefix, such as --branch-prefix agents/", code="name-too-long")
    return branch


def check_branch(project: Project, known: Branches, branch: str) -> None:
    """Refuse a branch that cannot be used for a new worktree."""
    text, code = "", "branch-blocked"
    if branch in known.checked_out:
        where = project.short(known.checked_out[branch])
        text, code = f"branch '{branch}' is checked out in {where}", "branch-in-use"
    for other in known.existing if not text else ():
        if branch.startswith(f"{other}/") or other.startswith(f"{branch}/"):
            why = "git keeps branches as files and directories"
            text = f"a branch called '{shown_path(other)}' blocks '{branch}': {why}"
            break
        if other != branch and other.casefold() == branch.casefold():
            text = f"branch '{shown_path(other)}' differs from '{branch}' only in case: one file on some filesystems"
            break
    if text:
        raise PeercoordError(text, "name the team's branches otherwise: --branch-prefix agents/", code=code)


def check_has_project(project: Project, start: str, sub: str) -> None:
    """Refuse a commit in which the project's directory is missing."""
    if sub and not git.fields(project.main, "ls-tree", "-z", "--full-tree", start, "--", sub):
        text = f"commit {start[:7]} has no {shown_path(sub)}/, so a worktree of it would have no project"
        raise PeercoordError(text, "commit the directory first, or choose another commit: --base", code="no-base")


def branch_origin(project: Project, known: Branches, branch: str) -> str:
    """Describe for people where a worktree's branch comes from."""
    tip = known.existing.get(branch)
    if tip is None:
        return f"new branch {branch} from {known.base_name}"
    ahead = git.text(project.main, "rev-list", "--count", f"{known.base}..{tip}")
    state = "nothing of its own" if ahead == "0" else f"{ahead} {'commit' if ahead == '1' else 'commits'} of its own"
    return f"existing branch {branch} @ {tip[:7]} ({state}), used again"
