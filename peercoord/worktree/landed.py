"""Whether a branch may be removed because its commits are kept elsewhere.

They are kept if another branch, a remote branch or a tag reaches them. They are also kept if their content is in the
history of a target branch (the main checkout's, or a remote's default branch): each commit picked (a rebase), all
together in one commit (a squash), or nothing left for a merge to bring. Work that was merged and reverted later is not
lost. Nothing is written to the repository: the objects of a trial merge go to a scratch directory.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from peercoord.store import inspection
from peercoord.store.isolated_git import quoted
from peercoord.system.git import TIPS, GitError, lines
from peercoord.system.git import branches as local_branches
from peercoord.system.git import tips as tips_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from peercoord.store.isolated_git import Inspection
    from peercoord.store.project import Project

_DIFF = (
    *("--no-ext-diff", "--no-textconv", "--no-color", "--full-index", "--no-renames", "--submodule=short"),
    *("--ignore-submodules=none", "--src-prefix=a/", "--dst-prefix=b/"),  # .gitmodules may say otherwise
)


def kept_in(project: Project, tip: str, but: Collection[str] = ()) -> str:
    """Return a branch or tag, but not one of ``but``, that keeps the commits up to ``tip``; empty if there is none."""
    refs = ("refs/heads", "refs/remotes", "refs/tags")
    not_these = {f"refs/heads/{branch}" for branch in but}
    with inspection.of_main(project) as git:
        for holder in lines(git.text("for-each-ref", "--contains", tip, "--format=%(refname)", *refs)):
            if holder not in not_these:
                return holder.split("/", 2)[2]
        for name, target in _targets(git, not_these):
            how = how_contained(git, target, tip)
            if how:
                return f"{name} ({how})" if how != "merged" else name
    return ""


def not_landed(project: Project, branches: Iterable[str]) -> list[str]:
    """List the branches whose commits are in no target branch; names of no local branch are ignored."""
    with inspection.of_main(project) as git:
        tips = local_branches(git.text("for-each-ref", TIPS, "refs/heads"))
        targets = [target for _, target in _targets(git, ())]
        there = [branch for branch in dict.fromkeys(branches) if branch in tips]
        return [branch for branch in there if not any(how_contained(git, target, tips[branch]) for target in targets)]


def own_commits(project: Project, tip: str) -> int:
    """Count the commits up to ``tip`` that the main checkout's branch lacks."""
    with inspection.of_main(project) as git:
        return int(git.text("rev-list", "--count", f"HEAD..{tip}"))


def contains(git: Inspection, tip: str, commit: str) -> bool:
    """Check whether the history of ``tip`` contains a commit."""
    return tip == commit or git.ask("merge-base", "--is-ancestor", commit, tip, ok=(0, 1, 128)).status == 0


def changed_paths(git: Inspection, old: str, new: str) -> set[str]:
    """Return the paths that differ between two commits."""
    return set(git.fields("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new))


def _targets(git: Inspection, not_these: Collection[str]) -> list[tuple[str, str]]:
    """List the target branches, with their commits."""
    on = git.text("rev-parse", "--symbolic-full-name", "HEAD")
    targets = [] if on in not_these else [(on.removeprefix("refs/heads/"), git.text("rev-parse", "HEAD"))]
    remotes = tips_of(git.text("for-each-ref", TIPS, "refs/remotes/*/HEAD"))
    return targets + [(name.split("/", 2)[2], tip) for name, tip in remotes.items()]


def how_contained(git: Inspection, target: str, tip: str) -> str:
    """Return how ``target`` contains the changes up to ``tip``: merged, picked over, squashed …; else empty."""
    base = git.text("merge-base", target, tip, ok=(0, 1))
    if not base:
        return ""
    if base == tip:
        return "merged"
    if base == target:  # no commit there since: only changes that undo each other bring nothing
        trees = git.text("rev-parse", f"{base}^{{tree}}", f"{tip}^{{tree}}").split()
        return "same content" if trees[0] == trees[1] else ""
    merges = git.text("rev-list", "--merges", "-n1", f"{base}..{tip}")
    try:
        if not merges and _all_picked(git, base, target, tip):
            return "picked over"
        if _brings_nothing(git, target, tip):
            return "same content"
        return "squashed" if _is_squashed(git, base, target, tip) else ""
    except GitError:
        return ""  # content is missing in a partial clone, and is not fetched


def _all_picked(git: Inspection, base: str, target: str, tip: str) -> bool:
    listed = lines(git.text("diff-tree", "-r", "--raw", "--ignore-submodules=none", base, tip))
    if any("160000" in line.replace(":", "").split()[:2] for line in listed):
        return False  # `cherry` leaves out submodules that .gitmodules says to ignore
    return all(line.startswith("-") for line in lines(git.text("cherry", target, tip)))


def _brings_nothing(git: Inspection, target: str, tip: str) -> bool:
    """Check whether merging ``tip`` into ``target`` would change nothing."""
    objects = os.path.join(git.checkout.common, "objects")
    with tempfile.TemporaryDirectory(prefix="peercoord-") as scratch:
        env = {"GIT_OBJECT_DIRECTORY": scratch, "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted(objects)}
        words = ("merge-tree", "--write-tree", "--no-messages", target, tip)
        try:
            merged = git.ask(*words, ok=(0, 1), env=env)
        except GitError:
            return False  # a git before 2.38 has no trial merge
    tree = git.text("rev-parse", f"{target}^{{tree}}")
    return merged.status == 0 and merged.out.strip() == tree


def _is_squashed(git: Inspection, base: str, target: str, tip: str) -> bool:
    """Check whether one commit of ``target`` since ``base`` makes the whole change of ``base..tip``."""
    changed = git.fields("diff", "--numstat", "-z", *_DIFF, base, tip)
    if not changed:
        return True
    if any(line.startswith("-\t-\t") for line in changed):
        return False  # before git 2.39, a patch id says nothing of binary content
    first = changed[0].split("\t", 2)[2]
    whole = git.ask("diff", *_DIFF, base, tip).out
    log = ("log", "-p", "--full-diff", "--no-merges", "-n500", "--format=commit %H", *_DIFF, f"{base}..{target}")
    since = git.ask(*log, "--", first).out
    return bool(_patch_ids(git, whole) & _patch_ids(git, since))


def _patch_ids(git: Inspection, patches: str) -> set[str]:
    answer = git.ask("patch-id", "--stable", data=patches)
    return {line.split(" ", 1)[0] for line in lines(answer.out)}
