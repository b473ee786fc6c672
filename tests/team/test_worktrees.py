"""Set-up: the first run, a larger team, accidents, obstacles, worktrees that join."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peercoord.errors import LostError, PeercoordError, UsageError
from peercoord.memory import copy
from peercoord.store import manifest, paths
from peercoord.team import plan as plans
from peercoord.team.plan import Plan
from peercoord.team.repository import discover, instance_at, team_instances
from peercoord.team.worktrees import plan, plan_join

from .conftest import Repo


def texts(made: Plan) -> str:
    return "\n".join(action.text for action in made.actions)


def peers(made: Plan) -> list[str]:
    return [instance.peer for instance in made.instances]


def branch(repo: Repo, index: int) -> str:
    return repo.instance(index).git("branch", "--show-current").strip()


# -- making ------------------------------------------------------------------------------------------------------


def test_a_team_of_three_grows_and_never_shrinks(repo: Repo) -> None:
    made, warnings = repo.up()
    assert warnings == []
    assert peers(made) == ["instance-1", "instance-2", "instance-3"]
    more, _ = repo.up(4)
    assert texts(more).count("add worktree") == 1
    for index in (1, 2, 3, 4):
        assert branch(repo, index) == f"team/instance-{index}"
        assert (repo.instance(index).path / "src/main.py").exists()
        assert repo.instance(index).status() == ""
    fewer = repo.plan(2)
    assert (fewer.actions, len(fewer.instances)) == ([], 4)
    assert any("4 worktrees" in note for note in fewer.notes)
    assert [one.worktree for one in fewer.instances] == [one.worktree for one in team_instances(repo.project())]


def test_base_and_prefix_of_new_branches_are_chosen_and_the_prefix_is_remembered(repo: Repo) -> None:
    first = repo.git("rev-parse", "HEAD").strip()
    repo.commit("later")
    repo.up(1, base="HEAD~1", branch_prefix="agents/")
    assert repo.instance(1).git("rev-parse", "HEAD").strip() == first
    repo.up(2)
    assert [branch(repo, index) for index in (1, 2)] == ["agents/instance-1", "agents/instance-2"]
    with pytest.raises(PeercoordError, match="'v9' is no commit, branch or tag"):
        repo.plan(3, base="v9")


def test_a_new_branch_follows_no_remote_branch(repo: Repo, tmp_path: Path) -> None:
    repo.git("clone", "-q", ".", str(tmp_path / "work/clone"))
    clone = repo.beside("clone")
    clone.up(1, base="origin/main")
    assert clone.git("config", "--get-regexp", r"branch\.team.*", ok=False) == ""


def test_an_existing_branch_is_named_before_it_is_used_again(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "team/instance-1")
    tip = repo.commit("old-work")
    repo.git("checkout", "-q", "main")
    repo.git("tag", "team/instance-1")  # no confusion
    made, _ = repo.up(1)
    assert f"existing branch team/instance-1 @ {tip[:7]} (1 commit of its own), used again" in texts(made)
    assert repo.instance(1).git("rev-parse", "HEAD").strip() == tip
    assert repo.instance(1).git("symbolic-ref", "HEAD") == "refs/heads/team/instance-1\n"


def test_set_up_runs_one_at_a_time(repo: Repo) -> None:
    script = (
        "import sys, pathlib; from peercoord.store import manifest\nwith manifest.held(pathlib.Path(sys.argv[1])): pass"
    )
    words = [sys.executable, "-c", script, str(repo.project().common)]
    with manifest.held(repo.project().common):
        held = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "another set-up or removal runs in" in held.stderr
    with manifest.held(repo.project().common):
        pass
    assert LostError.exit_code == 4


# -- something in the way ----------------------------------------------------------------------------------------


def a_directory(repo: Repo, tmp_path: Path) -> None:
    repo.instance(1).write("thesis.txt", "years of work\n")


def a_link(repo: Repo, tmp_path: Path) -> None:
    repo.instance(1).path.symlink_to(tmp_path)


def a_name_in_another_case(repo: Repo, tmp_path: Path) -> None:
    repo.beside("App-Instance-1").path.mkdir()


def a_branch_in_another_case(repo: Repo, tmp_path: Path) -> None:
    repo.git("branch", "Team/Instance-1")


def a_branch_above(repo: Repo, tmp_path: Path) -> None:
    repo.git("branch", "team")


def a_branch_below(repo: Repo, tmp_path: Path) -> None:
    repo.git("branch", "team/instance-1/old")


def a_branch_in_use(repo: Repo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "../mine", "-b", "team/instance-1")


def a_tracked_file_of_ours(repo: Repo, tmp_path: Path) -> None:
    repo.commit(".claude-coordination/state.json", "{}")


@pytest.mark.parametrize(
    ("way", "message", "code"),
    [
        (a_directory, "app-instance-1 is there and is no worktree", "place-taken"),
        (a_link, "app-instance-1 is there", "place-taken"),
        (a_name_in_another_case, "differs from app-instance-1 only in case", "place-taken"),
        (a_branch_in_another_case, "'Team/Instance-1' differs from 'team/instance-1' only in case", "branch-blocked"),
        (a_branch_above, "'team' blocks 'team/instance-1'", "branch-blocked"),
        (a_branch_below, "'team/instance-1/old' blocks 'team/instance-1'", "branch-blocked"),
        (a_branch_in_use, "'team/instance-1' is checked out in ../mine", ""),
        (a_tracked_file_of_ours, "tracks .claude-coordination/state.json", ""),
    ],
)
def test_what_is_in_the_way_is_named_and_left_alone(repo: Repo, tmp_path: Path, way, message: str, code: str) -> None:
    way(repo, tmp_path)
    before = sorted(path for path in repo.path.parent.rglob("*"))
    with pytest.raises(PeercoordError) as caught:
        repo.plan(2)
    assert message in caught.value.message
    assert not code or caught.value.code == code
    assert sorted(path for path in repo.path.parent.rglob("*")) == before
    if "blocks" in message:
        assert "--branch-prefix" in caught.value.hint
        repo.up(1, branch_prefix="agents")
        assert branch(repo, 1) == "agents/instance-1"


def test_an_empty_directory_is_no_obstacle(repo: Repo) -> None:
    repo.instance(1).path.mkdir()
    repo.up(1)
    assert repo.instance(1).status() == ""


@pytest.mark.parametrize("count", [0, -1, 100])
def test_a_number_out_of_range_is_refused(repo: Repo, count: int) -> None:
    with pytest.raises(UsageError):
        repo.plan(count)


@pytest.mark.parametrize("prefix", ["a..b/", "-x/", "a b/", "@{/"])
def test_a_prefix_that_git_does_not_allow_is_refused(repo: Repo, prefix: str) -> None:
    with pytest.raises(UsageError, match="cannot be a branch"):
        repo.plan(1, branch_prefix=prefix)


def test_a_project_that_is_not_committed_yet_is_a_clear_error(repo: Repo) -> None:
    repo.write("packages/new/main.py")
    with pytest.raises(PeercoordError, match="has no packages/new/, so a worktree"):
        plan(discover(repo.path / "packages/new", exact=True), 1)


# -- accidents ---------------------------------------------------------------------------------------------------


def test_a_worktree_left_half_made_is_finished(tracked: Repo) -> None:
    plans.run(tracked.plan(1).actions[:3])
    # as a kill leaves it: registered, nothing checked out yet
    tracked.git("worktree", "add", "-q", "--no-checkout", "../app-instance-1", "-b", "team/instance-1")
    assert "finish worktree ../app-instance-1" in texts(tracked.up(1)[0])
    assert tracked.instance(1).status() == ""
    assert tracked.instance(1).has_link(tracked)


def test_a_deleted_worktree_comes_back_with_what_was_staged_and_no_other_is_pruned(team: Repo) -> None:
    there = team.instance(1)
    team.git("worktree", "add", "-q", "../on-a-stick", "-b", "stick")
    there.write("staged.txt", "not lost\n")
    there.git("add", "staged.txt")
    shutil.rmtree(there.path)
    shutil.rmtree(team.beside("on-a-stick").path)
    made, warnings = team.up(2)
    assert warnings == []
    assert "make worktree ../app-instance-1 again" in texts(made)
    assert there.status() == "A  staged.txt\n"
    assert there.has_link(team)
    assert branch(team, 1) == "team/instance-1"
    assert (team.path / ".git/worktrees/on-a-stick").is_dir()
    assert team.plan(2).actions == []


def test_a_locked_worktree_that_is_gone_waits_for_its_disk(team: Repo) -> None:
    team.git("worktree", "lock", "--reason", "usb disk", "../app-instance-1")
    for index in (1, 2):
        shutil.rmtree(team.instance(index).path)
    made = team.plan(2)
    assert [(peer, error.code) for peer, error in made.failed.items()] == [("instance-1", "worktree-locked")]
    assert "is gone, and locked: usb disk" in made.failed["instance-1"].message
    assert peers(made) == ["instance-2"], "the other one is brought back"
    assert {action.peer for action in made.actions} <= {"", "instance-2"}


def test_a_moved_worktree_is_found_and_its_link_mended(team: Repo) -> None:
    team.instance(1).write("note.txt")
    os.rename(team.instance(1).path, team.beside("renamed").path)
    team.git("worktree", "move", "../app-instance-2", "../../moved")
    team.coordinated()
    made, _ = team.up(2)
    assert "git worktree repair ../renamed" in texts(made)
    assert [instance.worktree.name for instance in made.instances] == ["renamed", "moved"]
    assert team.beside("renamed").status() == "?? note.txt\n"
    assert all((instance.worktree / "memory-bank/progress.md").exists() for instance in made.instances)
    assert not team.instance(1).path.exists()
    assert team.plan(2).actions == []


@pytest.mark.parametrize("what", ["the main checkout", "all of it"])
def test_a_moved_main_checkout_is_repaired_from_where_it_is(team: Repo, what: str) -> None:
    if what == "all of it":
        os.rename(team.path.parent, team.path.parent.with_name("renamed"))
        moved = Repo(team.path.parent.with_name("renamed") / "app")
        there = moved.instance(1)
    else:
        moved, there = team.beside("app-new"), team.instance(1)
        os.rename(team.path, moved.path)
    made, _ = moved.up()
    assert made.instances[0].worktree == there.path
    assert there.git("rev-parse", "--git-common-dir").strip() == str(moved.path / ".git")
    assert (there.path / "memory-bank").resolve() == Path(copy.target(str(moved.path / paths.ROOT)))
    assert there.status() == moved.status() == ""
    assert moved.plan().actions == []


def test_a_worktree_whose_git_file_is_gone_is_not_overwritten(team: Repo) -> None:
    (team.instance(1).path / ".git").unlink()
    team.instance(1).write("work.txt")
    assert "is no longer a worktree" in team.plan(1).failed["instance-1"].message


def test_a_clean_worktree_gets_link_and_copies_again(team: Repo) -> None:
    team.instance(1).git("clean", "-q", "-ffdx")
    assert (team.path / "memory-bank/progress.md").exists()
    made, _ = team.up(2)
    assert len(made.actions) == 3
    assert team.instance(1).has_link(team)
    assert (team.instance(1).path / ".env").exists()


def test_a_worktree_removed_with_git_is_added_again_on_its_branch(team: Repo) -> None:
    tip = team.instance(1).commit("work")
    team.git("worktree", "remove", "--force", "../app-instance-1")
    assert team.plan().actions == []
    assert "existing branch team/instance-1" in texts(team.up(2)[0])
    assert team.instance(1).git("rev-parse", "HEAD").strip() == tip


def test_a_lost_record_is_written_again(team: Repo) -> None:
    shutil.rmtree(team.path / ".git/peercoord")
    (team.path / ".git/worktrees/app-instance-1/peercoord.json").unlink()
    assert "take worktree ../app-instance-1, on branch team/instance-1, in" in texts(team.up(2)[0])
    assert [instance.index for instance in team_instances(team.project())] == [1, 2]


# -- joining -----------------------------------------------------------------------------------------------------


def test_an_existing_worktree_joins_from_anywhere_under_its_own_name(team: Repo) -> None:
    team.git("worktree", "add", "-q", ".claude/worktrees/feature", "-b", "worktree-feature")
    there = team.beside("app/.claude/worktrees/feature")
    plans.run(plan_join(team.project(), there.path / "src", "feature").actions)
    instance = instance_at(team.project(), there.path / "src")
    assert instance is not None
    assert (instance.peer, instance.index, instance.made) == ("feature", 3, False)
    assert (there.path / "memory-bank").is_symlink()
    assert there.status() == ""
    assert plan_join(team.project(), there.path).actions == []
    for name, peer in (("one", "instance-5"), ("three", "instance-3")):
        team.git("worktree", "add", "-q", f"../{name}", "-b", name)
        plans.run(plan_join(team.project(), team.beside(name).path, peer).actions)
    indexes = {instance.peer: instance.index for instance in team_instances(team.project())}
    assert indexes == {"instance-1": 1, "instance-2": 2, "feature": 3, "instance-3": 4, "instance-5": 5}
    made, _ = team.up(6)
    assert peers(made) == ["instance-1", "instance-2", "feature", "instance-3", "instance-5", "instance-6"]


def test_which_worktrees_cannot_join(team: Repo, tmp_path: Path) -> None:
    team.git("clone", "-q", ".", str(tmp_path / "clone"))
    team.git("worktree", "add", "-q", "../mine", "-b", "mine")
    mine = team.beside("mine").path
    for place, peer, message in (
        (team.path, "", "is the main checkout"),
        (tmp_path / "clone", "", "is no worktree of this repository"),
        (mine, "Instance-1", "has a peer 'Instance-1' already"),
        (mine, "../x", "peer name"),
    ):
        with pytest.raises(PeercoordError, match=message):
            plan_join(team.project(), place, peer)
