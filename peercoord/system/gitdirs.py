"""The git directories of a project and its worktrees, as the main repository has them: read only, and without git.

A coding agent owns its worktree and may have replaced the ``.git`` file there. The main repository keeps, for each
linked worktree, a directory ``worktrees/<name>/`` whose file ``gitdir`` says where the worktree is. What is read here
is a file of one line each; a link, a FIFO or a device in its place counts as no file.
"""

from __future__ import annotations

import os

from peercoord.system.disk import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 4096  # bytes: a path, and what git writes before it
_POINTER = "gitdir: "
_UNDER_WAY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or patch series",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
}


def under_way(git_dir: str) -> list[str]:
    """Return what a person has begun in a checkout and not ended, such as ``a merge``."""
    return [what for name, what in _UNDER_WAY.items() if os.path.lexists(f"{git_dir}/{name}")]


def git_dir_of(project: str, worktree: str) -> str:
    """Return the git directory of a worktree; empty if the main repository has no such worktree."""
    return find(project, worktree)[0]


def find(project: str, worktree: str) -> tuple[str, str]:
    """Find a worktree in the main repository's list; return its git directory and its root, or empty texts."""
    main, _, common = repository(project)
    if not common:
        return "", ""
    sub = os.path.relpath(project, main)
    found = ((git_dir, root) for git_dir, root in _linked(common) if os.path.normpath(f"{root}/{sub}") == worktree)
    return next(found, ("", ""))


def repository(directory: str) -> tuple[str, str, str]:
    """Return the root of the checkout that a directory lies in, its git directory, and the one of all its worktrees.

    All three are empty where there is no repository.
    """
    while True:
        git_dir = os.path.join(directory, ".git")
        if not os.path.isdir(git_dir):
            git_dir = target(git_dir)
        if git_dir:
            return directory, os.path.normpath(git_dir), common_of(git_dir)
        above = os.path.dirname(directory)
        if above == directory:
            return "", "", ""
        directory = above


def target(pointer: str) -> str:
    """Return the git directory that a ``.git`` file names; empty if it is no such file."""
    word, found, rest = line(pointer).partition(_POINTER)
    return os.path.normpath(os.path.join(os.path.dirname(pointer), rest)) if found and rest and not word else ""


def common_of(git_dir: str) -> str:
    """Return the git directory that a checkout shares with all others of its repository."""
    return os.path.normpath(os.path.join(git_dir, line(os.path.join(git_dir, "commondir"))))


def root_of(git_dir: str) -> str:
    """Return the root of the linked worktree that a git directory says it belongs to; empty if it names none."""
    pointer = line(os.path.join(git_dir, "gitdir"))
    return os.path.dirname(os.path.normpath(os.path.join(git_dir, pointer))) if pointer else ""


def _linked(common: str) -> Iterator[tuple[str, str]]:
    """List the linked worktrees of a repository: the git directory of each, and its root."""
    home = os.path.join(common, "worktrees")
    try:
        entries = sorted(os.listdir(home))
    except OSError:
        return
    for entry in entries:
        root = root_of(os.path.join(home, entry))
        if root:
            yield os.path.join(home, entry), os.path.realpath(root)


def line(path: str) -> str:
    """Read a file of one line; empty if there is no such file."""
    try:
        return os.fsdecode(read_file(path, _MOST)).removesuffix("\n")
    except OSError:
        return ""
