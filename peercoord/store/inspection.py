"""Choose the checkout to inspect: the main one, an instance's worktree, or a submodule.

A worktree is inspected only if it, its git directory and the coordination directory's record agree; see
``isolated_git`` for what an inspection does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.store import instance_records, paths
from peercoord.store import root as roots
from peercoord.store.isolated_git import CHANGED, Changes, Checkout, of
from peercoord.system import gitdirs
from peercoord.system.git import shown_path

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from peercoord.store.isolated_git import Inspection
    from peercoord.store.project import Project
    from peercoord.store.root import Root


def of_main(project: Project) -> AbstractContextManager[Inspection]:
    """Inspect the main checkout."""
    return of_directory(str(project.main))


def of_directory(directory: str) -> AbstractContextManager[Inspection]:
    """Inspect the checkout that a directory lies in. Its ``.git`` is believed: it is not an instance's worktree."""
    tree, git_dir, common = gitdirs.repository(directory)
    if not tree:
        raise NotFoundError(
            f"{shown_path(directory)} is not inside a git repository",
            "name a directory of the project, or make it one: git init",
            code="no-repository",
        )
    return of(Checkout(tree, git_dir, common))


def of_worktree(project: Project, tree: Path, git_dir: Path) -> AbstractContextManager[Inspection]:
    """Inspect a worktree of a project, unless it, its git directory and the main repository contradict each other."""
    checkout = Checkout(str(tree), str(git_dir), str(project.common))
    _check_record(project, checkout)
    checkout.check()
    return of(checkout)


def of_instance(root: Root, project: str, worktree: str, peer: str = "") -> AbstractContextManager[Inspection]:
    """Inspect the worktree of an instance, as the coordination directory records it.

    Args:
        root: The coordination directory.
        project: The project's directory in the main checkout.
        worktree: The same directory in the worktree.
        peer: The instance, if it is the caller's own: a team made by version 0.1.0 may have no record of it yet.
    """
    record = instance_records.read(root, peer) if peer else instance_records.of_worktree(root, worktree)
    if record and record["worktree"] != worktree:
        record = {}
    main, _, common = gitdirs.repository(project)
    git_dir = str(record.get("git_dir") or (gitdirs.git_dir_of(project, worktree) if peer else ""))
    if not git_dir:
        raise NotFoundError(f"{shown_path(worktree)} is no instance's worktree", "see: peercoord status")
    sub = os.path.relpath(project, main)
    tree = worktree if sub == "." else worktree.removesuffix(f"/{sub}")
    checkout = Checkout(tree, git_dir, common)
    checkout.check()
    return of(checkout)


def _check_record(project: Project, checkout: Checkout) -> None:
    """Refuse a git directory that is not the recorded one of the worktree, unless that is gone: the project moved."""
    try:
        root = roots.open_root(str(project.directory / paths.ROOT))
    except PeercoordError:
        return  # without the coordination directory there is only git's own list
    place = os.path.join(checkout.tree, project.sub) if project.sub else checkout.tree
    recorded = instance_records.of_worktree(root, place).get("git_dir", checkout.git_dir)
    if os.path.isdir(recorded) and os.path.realpath(recorded) != os.path.realpath(checkout.git_dir):
        raise PeercoordError(
            f"git has {shown_path(checkout.git_dir)} for {shown_path(place)}, and its record {shown_path(recorded)}",
            "see who changed it; after a move: git worktree repair",
            code=CHANGED,
        )


def submodules(found: Inspection) -> dict[str, str]:
    """Map the paths of the submodules that are filled in a checkout to the commits that its index names."""
    listed = (entry.partition("\t") for entry in found.fields("ls-files", "--stage", "-z"))
    links = {path: facts.split(" ")[1] for facts, _, path in listed if facts.startswith("160000 ")}
    return {path: known for path, known in links.items() if os.path.lexists(f"{found.checkout.tree}/{path}/.git")}


def submodule_changes(found: Inspection) -> Changes:
    """Look for changes in the submodules of a checkout, at every depth; each submodule is named by its path there."""
    changes = Changes()
    homes = (os.path.join(found.checkout.git_dir, "modules"), os.path.join(found.checkout.common, "modules"))
    if not any(map(os.path.lexists, (*homes, os.path.join(found.checkout.tree, ".gitmodules")))):
        return changes
    for path in submodules(found):
        try:
            with of_submodule(found, path) as inner:
                own, below = inner.changes(), submodule_changes(inner)
        except PeercoordError:
            changes.unsure.append(path)
            continue
        if own.entries or below.entries:
            changes.entries.append((" M", path))
        elif own.unsure or below.unsure:
            changes.unsure.append(path)
    return changes


def of_submodule(found: Inspection, path: str) -> AbstractContextManager[Inspection]:
    """Inspect a submodule of a checkout that is inspected, unless its ``.git`` leads out of that checkout's modules."""
    tree = os.path.join(found.checkout.tree, path)
    inside = os.path.realpath(tree) == os.path.join(os.path.realpath(found.checkout.tree), path)
    git_dir = gitdirs.target(os.path.join(tree, ".git")) if inside else ""
    homes = {os.path.join(home, "modules") for home in (found.checkout.git_dir, found.checkout.common)}
    real = os.path.realpath(git_dir)
    if not git_dir or not any(real.startswith(f"{os.path.realpath(home)}/") for home in homes):
        raise PeercoordError(
            f"{shown_path(tree)}/.git does not lead into {shown_path(found.checkout.git_dir)}/modules",
            "see what is in it, and move it into place: git submodule absorbgitdirs",
            code=CHANGED,
        )
    return of(Checkout(tree, git_dir, git_dir))
