"""The git directory of a worktree is the one that the main repository has for it."""

from __future__ import annotations

from pathlib import Path

from support.project import Project, git, project

from peercoord.agent import control
from peercoord.store import instance_records, manifest
from peercoord.system.gitdirs import git_dir_of

__all__ = ["project"]


def own(tree: Path) -> str:
    return git(tree, "rev-parse", "--absolute-git-dir").strip()


def test_it_is_found_for_a_worktree_and_for_a_directory_in_it(project: Project, tmp_path: Path) -> None:
    (project.main / "apps" / "web").mkdir(parents=True)
    real = own(project.worktree)
    assert git_dir_of(str(project.main / "apps" / "web"), str(project.worktree / "apps" / "web")) == real
    for main, tree in ((project.main, project.worktree / "apps"), (project.main, project.main), (tmp_path, tmp_path)):
        assert git_dir_of(str(main), str(tree)) == ""
    git(tmp_path, "init", "-q", "other")
    (project.worktree / ".git").write_text(f"gitdir: {tmp_path}/other/.git\n")
    assert git_dir_of(str(project.main), str(project.worktree)) == real, "what its own file says does not count"


def test_an_agent_records_a_worktree_that_no_set_up_recorded(project: Project) -> None:
    """As the agent of a team made by version 0.1.0, once it is upgraded."""
    instance_records.remove(project.queue.root, "one")
    manifest.note_worktree(Path(own(project.worktree)), sub="", index=1, peer="one", made=True)
    control.start(str(project.worktree))
    try:
        found = instance_records.read(project.queue.root, "one")
        assert (found["worktree"], found["git_dir"]) == (str(project.worktree), own(project.worktree))
        assert found["incarnation"] == control.status(str(project.worktree))["incarnation"]
    finally:
        control.stop(str(project.worktree))
