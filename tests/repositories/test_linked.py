"""The git directory of a worktree is the one that the main repository has for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.project import Project, git, project

from peercoord.agent import control
from peercoord.store import instance_records, manifest
from peercoord.system.gitdirs import git_dir_of

__all__ = ["project"]


def own(tree: Path) -> str:
    return git(tree, "rev-parse", "--absolute-git-dir").strip()


def test_it_is_found_for_a_worktree_and_for_a_directory_in_it(project: Project) -> None:
    (project.main / "apps" / "web").mkdir(parents=True)
    assert git_dir_of(str(project.main), str(project.worktree)) == own(project.worktree)
    inside = git_dir_of(str(project.main / "apps" / "web"), str(project.worktree / "apps" / "web"))
    assert inside == own(project.worktree)
    assert git_dir_of(str(project.main), str(project.worktree / "apps")) == ""
    assert git_dir_of(str(project.main), str(project.main)) == ""


def test_a_replaced_git_file_of_the_worktree_is_not_asked(project: Project, tmp_path: Path) -> None:
    real = own(project.worktree)
    git(tmp_path, "init", "-q", "other")
    (project.worktree / ".git").write_text(f"gitdir: {tmp_path}/other/.git\n")
    assert git_dir_of(str(project.main), str(project.worktree)) == real


@pytest.mark.parametrize("kind", ["bare", "separate", "submodule"])
def test_it_is_found_where_the_main_checkout_has_no_git_directory(tmp_path: Path, kind: str) -> None:
    main, tree = tmp_path / "main", tmp_path / "tree"
    if kind == "separate":
        git(tmp_path, "init", "-q", "--separate-git-dir", str(tmp_path / "store"), str(main))
        git(main, "commit", "-q", "--allow-empty", "-m", "first")
    else:
        git(tmp_path, "init", "-q", "lib")
        git(tmp_path / "lib", "commit", "-q", "--allow-empty", "-m", "first")
    if kind == "bare":
        git(tmp_path, "clone", "-q", "--bare", "lib", "lib.git")
        git(tmp_path / "lib.git", "worktree", "add", "-q", str(main), "-b", "work")
    if kind == "submodule":
        git(tmp_path, "init", "-q", "outer")
        git(tmp_path / "outer", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../lib", "lib")
        main = tmp_path / "outer" / "lib"
    git(main, "worktree", "add", "-q", str(tree), "-b", "one")
    assert git_dir_of(str(main), str(tree)) == own(tree)


def test_outside_any_repository_there_is_none(tmp_path: Path) -> None:
    assert git_dir_of(str(tmp_path), str(tmp_path / "one")) == ""


def test_an_agent_records_a_worktree_that_no_set_up_recorded(project: Project) -> None:
    """As the agent of a team made by version 0.1.0, once it is upgraded."""
    instance_records.remove(project.queue.root, "one")
    manifest.note_worktree(Path(own(project.worktree)), sub="", index=1, peer="one", made=True)
    control.start(str(project.worktree))
    try:
        assert instance_records.read(project.queue.root, "one") == {
            "schema_version": 1,
            "instance_id": "one",
            "worktree": str(project.worktree),
            "checkout": str(project.worktree),
            "git_dir": own(project.worktree),
            "incarnation": control.status(str(project.worktree))["incarnation"],
        }
    finally:
        control.stop(str(project.worktree))
