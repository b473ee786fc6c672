"""What would be lost if a worktree were removed: looked for everywhere that git's own check does not look.

Git refuses to remove a worktree with changed or untracked files. It says nothing of ignored files, commits of a
detached head, stashes, submodules, files marked as unchanged, or a program that runs there. One worktree is *removable*
only if nothing of the kind is found. Whatever cannot be told counts as a reason to keep it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from peercoord.core import names
from peercoord.edges.team import git, include, landed, record, submodules
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.repository import worktrees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import psutil

    from peercoord.edges.team.repository import Project, Worktree

_UNDER_WAY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or patch series",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
}
_REBUILT = ("__pycache__", "node_modules", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".nox")
_MARKS = ("CACHEDIR.TAG", "pyvenv.cfg")  # in a directory that some program makes again by itself


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a worktree is kept.

    Attributes:
        kind: A stable word: ``changed``, ``untracked``, ``ignored``, ``hidden``, ``commits``, ``stash``, ``process``,
            ``locked``, ``under-way`` or ``submodule``.
        text: What was found, for people.
    """

    kind: str
    text: str


def removable(project: Project, worktree: Path, ignore_pids: Collection[int] = ()) -> list[Reason]:
    """Look for what would be lost if a worktree were removed.

    The files of ``.claude-instance/`` do not count: whoever removes a worktree collects what its peer left there.

    Args:
        project: The project.
        worktree: Root of one of its worktrees.
        ignore_pids: Processes that do not count.

    Returns:
        The reasons to keep it; empty if it may go.

    Raises:
        PeercoordError: Git could not tell.
    """
    tree = next(tree for tree in worktrees(project) if tree.path == worktree)
    found = [] if tree.locked is None else [Reason("locked", f"it is locked: {shown_path(tree.locked) or 'no reason'}")]
    found += _under_way(tree.git_dir)
    found += _commits(project, tree)
    found += _stashes(project, tree)
    if tree.missing:
        found += _left_behind(tree.git_dir)
    else:
        known = record.read_worktree(tree.git_dir)
        link = project.path(str(record.read_project(project.common, project.sub).get("bank") or ""))
        found += _files(tree.path, project.main, link, record.table(known, "copied"))
        found += _submodules(project, tree)
        found += _processes(tree.path, ignore_pids)
    return found


def _left_behind(git_dir: Path) -> list[Reason]:
    """Look for what a worktree whose directory is gone still has in its git directory."""
    found = []
    staged = git.fields(git_dir, "--git-dir=.", "diff-index", "--cached", "--name-only", "-z", "HEAD", "--")
    if staged and (git_dir / "index").exists():
        found.append(Reason("changed", f"its directory is gone, but this was staged: {_some(staged)}"))
    if (git_dir / "modules").exists():
        found.append(Reason("submodule", "its directory is gone, but not the commits of its submodules"))
    return found


def _under_way(git_dir: Path) -> list[Reason]:
    whats = dict.fromkeys(what for name, what in _UNDER_WAY.items() if (git_dir / name).exists())
    return [Reason("under-way", f"{what} is under way") for what in whats]


def _commits(project: Project, tree: Worktree) -> list[Reason]:
    if not tree.head or landed.kept_in(project, tree.head, [tree.branch]):
        return []
    count = landed.own_commits(project, tree.head)
    many = "1 commit is" if count == 1 else f"{count} commits are"
    where = f"on {tree.branch}" if tree.branch else "on no branch"
    return [Reason("commits", f"{many} {where} alone, neither merged nor pushed")]


def _stashes(project: Project, tree: Worktree) -> list[Reason]:
    lines = git.fields(project.main, "stash", "list", "-z", "--format=%gd %gs")
    on = tree.branch or "(no branch)"
    made = [line.split(" ")[0] for line in lines if _stashed_on(line) == on]
    return [Reason("stash", f"stashed there: {', '.join(made)}")] if made else []


def _stashed_on(line: str) -> str:
    """Read from a stash's line, ``stash@{0} WIP on main: 1a2b3c4 words``, the branch it was made on."""
    words = line.split(" ", 1)[1].removeprefix("WIP ")
    return words.removeprefix("On ").removeprefix("on ").partition(": ")[0]


# -- files -------------------------------------------------------------------------------------------------------


def _files(tree: Path, main: Path, link: str, copied: dict[str, str]) -> list[Reason]:
    """Look for files that are in a checkout alone.

    Args:
        tree: Root of the checkout.
        main: Root of the checkout whose equal files make a copy expendable.
        link: The memory bank's path, which may be a link there.
        copied: The digests of files that set-up copied, by path.
    """
    words = ("status", "--porcelain", "-z", "--untracked-files=all", "--ignored=matching", "--no-renames")
    listed = git.fields(tree, *words, "--ignore-submodules=none")
    lines = [line for line in listed if line[:2] not in ("??", "!!") or names.INSTANCE not in line[3:].split("/")]
    changed = [line[3:] for line in lines if line[:2] not in ("??", "!!")]
    untracked = [line[3:] for line in lines if line[:2] == "??"]
    ignored = [path for line in lines if line[:2] == "!!" for path in _new(tree, main, line[3:], link, copied)]
    found = []
    for kind, word, paths in (
        ("changed", "not committed", changed),
        ("untracked", "not tracked", untracked),
        ("ignored", "ignored by git, and only there", ignored),
        ("hidden", "changed, but hidden from git status (assume-unchanged, skip-worktree)", _hidden(tree)),
    ):
        if paths:
            found.append(Reason(kind, f"{word}: {_some(paths)}"))
    return found


def _some(paths: list[str]) -> str:
    rest = len(paths) - 3
    return ", ".join(map(shown_path, paths[:3])) + (f" and {rest} more" if rest > 0 else "")


def _new(tree: Path, main: Path, path: str, link: str, copied: dict[str, str]) -> Iterable[str]:
    """Go through an ignored file or directory; give the files that are nowhere else and that no program rebuilds."""
    place = tree / path
    if path == link and place.is_symlink():
        return
    if not place.is_symlink() and place.is_dir():
        if place.name in _REBUILT or any((place / mark).exists() for mark in _MARKS):
            return
        for entry in sorted(os.listdir(place)):
            yield from _new(tree, main, f"{path.rstrip('/')}/{entry}", link, copied)
    elif not _is_copy(place, main / path, copied.get(path)):
        yield path


def _is_copy(place: Path, original: Path, digest: str | None) -> bool:
    if not place.is_symlink() and not place.is_file():
        return False
    own = include.digest(place)
    if own == digest:
        return True
    return (original.is_symlink() or original.is_file()) and own == include.digest(original)


def _hidden(tree: Path) -> list[str]:
    """List files that the index says not to look at, and that differ from it."""
    marks = [(line[0], line[2:]) for line in git.fields(tree, "ls-files", "-v", "-z")]
    asked = [path for mark, path in marks if (mark == "S" or mark.islower()) and include.is_own_file(tree / path)]
    listed = git.fields(tree, "ls-files", "-s", "-z", "--", *asked) if asked else []
    found = []
    for facts, _, path in (entry.partition("\t") for entry in listed):
        if git.text(tree, "hash-object", f"--path={path}", "--", path) != facts.split(" ")[1]:
            found.append(path)
    return found


# -- submodules and processes --------------------------------------------------------------------------------------


def _submodules(project: Project, tree: Worktree) -> list[Reason]:
    found = []
    for root in submodules.filled(tree.path):
        path = root.relative_to(tree.path)
        original = project.main / path
        reasons = _files(root, original, "", {})
        if git.text(root, "stash", "list", "-n1"):
            reasons.append(Reason("stash", "it has stashes"))
        alone = [tip for tip in _tips(root) if not _has(original, tip)]
        if alone:
            reasons.append(Reason("commits", f"commits are there alone, not pushed: {', '.join(t[:7] for t in alone)}"))
        found += [Reason("submodule", f"submodule {shown_path(path)}: {reason.text}") for reason in reasons]
    return found


def _tips(root: Path) -> list[str]:
    """List the commits, one for each line of work, that a submodule's remote branches do not have."""
    return git.text(root, "rev-list", "HEAD", "--branches", "--not", "--remotes").splitlines()[:3]


def _has(original: Path, commit: str) -> bool:
    """Tell whether a branch or tag of the main checkout's submodule has a commit."""
    if not (original / ".git").exists():
        return False
    words = ("for-each-ref", "--count=1", "--contains", commit)
    answer = git.ask(original, *words, ok=(0, 1, 129))
    return answer.status == 0 and bool(answer.out)


def _processes(tree: Path, ignore: Collection[int]) -> list[Reason]:
    """Look for programs that work in a directory. Those of other users cannot be seen, nor need they be stopped."""
    import psutil

    found = []
    for process in psutil.process_iter(["cwd"]):
        cwd = process.info["cwd"]
        if cwd and process.pid != os.getpid() and process.pid not in ignore and Path(cwd).is_relative_to(tree):
            found.append(Reason("process", f"process {process.pid} works there: {_command(process)}"))
    return found


def _command(process: psutil.Process) -> str:
    import psutil

    try:
        return shown_path(" ".join(process.cmdline()) or process.name())[:80]
    except psutil.Error:
        return "gone by now"
