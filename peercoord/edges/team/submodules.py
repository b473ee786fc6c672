"""Submodules in a new worktree: filled from what the main checkout has, without the network.

Git keeps a worktree's submodules apart from the main checkout's and would clone them anew. So each that is filled in
the main checkout is cloned from there (objects are shared by hard links where the filesystem allows), then given its
true address and remote branches back. One that the main checkout does not have stays empty, as it is there.

Git refuses local clones of submodules by default (``protocol.file.allow``), because a hostile repository could name
any path. Here the path is ours, and nothing below is followed: each level is done by a call of its own.
"""

from __future__ import annotations

from pathlib import Path

from peercoord.core.errors import PeercoordError
from peercoord.edges.team import git
from peercoord.edges.team.git import shown_path
from peercoord.edges.team.plan import Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.edges.team.repository import Project


def listed(tree: Path, start: str = "") -> dict[str, str]:
    """Map the paths of a checkout's submodules to their names.

    Args:
        tree: Root of the checkout.
        start: Look into this commit instead of the checkout's files.
    """
    where = ("--blob", f"{start}:.gitmodules") if start else ("--file", ".gitmodules")
    if not start and not (tree / ".gitmodules").is_file():
        return {}
    words = ("config", *where, "-z", "--get-regexp", r"^submodule\..*\.path$")
    entries = git.fields(tree, *words, ok=(0, 1, 128))
    pairs = (entry.split("\n", 1) for entry in entries)
    return {path: key.removeprefix("submodule.").removesuffix(".path") for key, path in pairs}


def filled(tree: Path) -> list[Path]:
    """List the roots of the submodules that are filled in a checkout, at every depth, outermost first."""
    found = []
    for path in listed(tree):
        if (tree / path / ".git").exists():
            found += [tree / path, *filled(tree / path)]
    return found


def plan_fill(project: Project, tree: Path, start: str = "") -> list[Action]:
    """Plan to fill a worktree's submodules that the main checkout has and it has not.

    Args:
        project: The project.
        tree: The worktree's root.
        start: The commit it will start from, if it is still to be made.
    """
    wanted = [
        path
        for path in listed(tree if not start else project.main, start)
        if (project.main / path / ".git").exists() and not (tree / path / ".git").exists()
    ]
    if not wanted:
        return []
    some = ", ".join(shown_path(path) for path in wanted)
    text = f"fill submodules of {project.short(tree)} from the main checkout: {some}"
    return [Action(text, lambda: "; ".join(fill(project.main, tree)))]


def fill(source: Path, target: Path) -> list[str]:
    """Fill the submodules of one checkout from another, at every depth.

    Args:
        source: Root of a checkout whose submodules are filled.
        target: Root of another checkout of the same repository.

    Returns:
        A warning for each that could not be filled.
    """
    warnings = []
    for path, name in listed(target).items():
        if not (source / path / ".git").exists() or (target / path / ".git").exists():
            continue
        try:
            _fill_one(source, target, path, name)
        except PeercoordError as error:
            retry = f"git -C {shown_path(target)} submodule update --init {shown_path(path)}"
            warnings.append(f"submodule {shown_path(path)} is not filled ({error.message}); try: {retry}")
        else:
            warnings += fill(source / path, target / path)
    return warnings


def _fill_one(source: Path, target: Path, path: str, name: str) -> None:
    local = git.text(source / path, "rev-parse", "--path-format=absolute", "--git-common-dir")
    address = git.text(source / path, "config", "--get", "remote.origin.url", ok=(0, 1))
    git.ask(target, "submodule", "--quiet", "init", "--", path)
    here_only = _settings({f"submodule.{name}.url": local, "protocol.file.allow": "always"})
    git.ask(target, "submodule", "--quiet", "update", "--checkout", "--", path, env=here_only)
    if address:
        git.ask(target / path, "remote", "set-url", "origin", address)
    refs = "+refs/remotes/origin/*:refs/remotes/origin/*"
    git.ask(target / path, "fetch", "-q", "--prune", "--no-tags", "--no-recurse-submodules", local, refs)


def _settings(values: dict[str, str]) -> dict[str, str]:
    """Write settings for one command as environment variables: a name may hold a ``=``, which ``-c`` would split at."""
    env = {"GIT_CONFIG_COUNT": str(len(values))}
    for number, (key, value) in enumerate(values.items()):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env
