"""Whether the commits of a branch are kept somewhere else, so that the branch may go without anything being lost.

Reachable from another branch, a remote branch or a tag: kept. Else by content, in the branches that work ends up in
(where the main checkout stands, each remote's default branch): every commit picked over (a rebase), all of them
together as one commit (a squash), or nothing left that a merge would bring. In the history is enough: what was taken in
and reverted later is not lost. Nothing is written to the repository: a trial merge's objects go to a scratch directory.
"""

from __future__ import annotations

import os
import tempfile

from peercoord.edges.team import git
from peercoord.edges.team.git import GitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from peercoord.edges.team.repository import Project

_DIFF = (
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--full-index",
    "--no-renames",
    "--submodule=short",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


def kept_in(project: Project, tip: str, but: Collection[str] = ()) -> str:
    """Say where the commits up to ``tip`` are kept.

    Args:
        project: The project.
        tip: A commit.
        but: Local branches that do not count, the one in question above all.

    Returns:
        A branch or tag, with a word on how; empty if they are nowhere else.
    """
    refs = ("refs/heads", "refs/remotes", "refs/tags")
    holders = git.text(project.main, "for-each-ref", "--contains", tip, "--format=%(refname)", *refs).splitlines()
    not_these = {f"refs/heads/{branch}" for branch in but}
    for holder in holders:
        if holder not in not_these:
            return holder.split("/", 2)[2]
    for name, target in _targets(project, not_these):
        how = _how(project, target, tip)
        if how:
            return f"{name} ({how})" if how != "merged" else name
    return ""


def own_commits(project: Project, tip: str) -> int:
    """Count the commits up to ``tip`` that the main checkout's branch does not have."""
    return int(git.text(project.main, "rev-list", "--count", f"HEAD..{tip}"))


def _targets(project: Project, not_these: Collection[str]) -> list[tuple[str, str]]:
    """List the branches that work ends up in, with their commits."""
    on = git.text(project.main, "rev-parse", "--symbolic-full-name", "HEAD")
    targets = [] if on in not_these else [(on.removeprefix("refs/heads/"), git.text(project.main, "rev-parse", "HEAD"))]
    remotes = git.text(project.main, "for-each-ref", "--format=%(refname) %(objectname)", "refs/remotes/*/HEAD")
    return targets + [(name.split("/", 2)[2], tip) for name, tip in (line.split(" ") for line in remotes.splitlines())]


def _how(project: Project, target: str, tip: str) -> str:
    base = git.text(project.main, "merge-base", target, tip, ok=(0, 1))
    if not base:
        return ""
    if base == tip:
        return "merged"
    merges = git.text(project.main, "rev-list", "--merges", "-n1", f"{base}..{tip}")
    if not merges and _all_picked(project, target, tip):
        return "picked over"
    if _brings_nothing(project, target, tip):
        return "same content"
    return "squashed" if _is_squashed(project, base, target, tip) else ""


def _all_picked(project: Project, target: str, tip: str) -> bool:
    lines = git.text(project.main, "cherry", target, tip).splitlines()
    return all(line.startswith("-") for line in lines)


def _brings_nothing(project: Project, target: str, tip: str) -> bool:
    """Tell whether merging ``tip`` into ``target`` would change nothing."""
    objects = git.text(project.main, "rev-parse", "--path-format=absolute", "--git-path", "objects")
    with tempfile.TemporaryDirectory(prefix="peercoord-") as scratch:
        env = {"GIT_OBJECT_DIRECTORY": scratch, "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(objects)}
        words = ("merge-tree", "--write-tree", "--no-messages", target, tip)
        try:
            merged = git.ask(project.main, *words, ok=(0, 1), env=env)
        except GitError:
            return False  # a git before 2.38 has no trial merge
    tree = git.text(project.main, "rev-parse", f"{target}^{{tree}}")
    return merged.status == 0 and merged.out.strip() == tree


def _quoted(path: str) -> str:
    """Write a path for a list that separates with colons."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"' if os.pathsep in path or path[0] == '"' else path


def _is_squashed(project: Project, base: str, target: str, tip: str) -> bool:
    """Tell whether one commit of ``target`` since ``base`` makes the very change that ``base..tip`` makes in all."""
    changed = git.fields(project.main, "diff", "--numstat", "-z", "--no-renames", base, tip)
    if not changed:
        return True
    if any(line.startswith("-\t-\t") for line in changed):
        return False  # before git 2.39, a patch id says nothing of binary content
    first = changed[0].split("\t", 2)[2]
    whole = git.ask(project.main, "diff", *_DIFF, base, tip).out
    log = ("log", "-p", "--full-diff", "--no-merges", "-n500", "--format=commit %H", *_DIFF, f"{base}..{target}")
    since = git.ask(project.main, *log, "--", first).out
    return bool(_patch_ids(project, whole) & _patch_ids(project, since))


def _patch_ids(project: Project, patches: str) -> set[str]:
    answer = git.ask(project.main, "patch-id", "--stable", data=patches)
    return {line.split(" ", 1)[0] for line in answer.out.splitlines()}
