"""Set-up: the first run, a larger team, accidents, obstacles, worktrees that join."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peercoord.errors import PeercoordError, UsageError
from peercoord.membership import membership as members
from peercoord.memory import copy
from peercoord.store import manifest, paths
from peercoord.store import root as roots
from peercoord.system import process
from peercoord.team import plan as plans
from peercoord.team import rebuild
from peercoord.team.evidence import Evidence
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
    repo.instance(1).path.mkdir()  # an empty directory is no obstacle
    made, warnings = repo.up()
    assert (peers(made), warnings) == (["instance-1", "instance-2", "instance-3"], [])
    assert texts(repo.up(4)[0]).count("add worktree") == 1
    for index in (1, 2, 3, 4):
        assert branch(repo, index) == f"team/instance-{index}"
        assert ((repo.instance(index).path / "src/main.py").exists(), repo.instance(index).status()) == (True, "")
    fewer = repo.plan(2)
    assert (fewer.actions, any("4 worktrees" in note for note in fewer.notes)) == ([], True)
    assert [one.worktree for one in fewer.instances] == [one.worktree for one in team_instances(repo.project())]


def test_base_and_prefix_of_new_branches_are_chosen_and_the_prefix_is_remembered(repo: Repo, tmp_path: Path) -> None:
    first = repo.git("rev-parse", "HEAD").strip()
    repo.commit("later")
    repo.up(1, base="HEAD~1", branch_prefix="agents/")
    assert repo.instance(1).git("rev-parse", "HEAD").strip() == first
    repo.up(2)
    assert [branch(repo, index) for index in (1, 2)] == ["agents/instance-1", "agents/instance-2"]
    repo.git("clone", "-q", ".", str(tmp_path / "work/clone"))
    repo.beside("clone").up(1, base="origin/main")
    assert repo.beside("clone").git("config", "--get-regexp", r"branch\.team.*", ok=False) == "", "it follows none"
    with pytest.raises(PeercoordError, match="'v9' is no commit, branch or tag"):
        repo.plan(3, base="v9")
    for prefix in ("a..b/", "-x/", "a b/", "@{/"):
        with pytest.raises(UsageError, match="cannot be a branch"):
            repo.beside("clone").plan(2, branch_prefix=prefix)


def test_an_existing_branch_is_named_before_it_is_used_again(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "team/instance-1")
    tip = repo.commit("old-work")
    repo.git("checkout", "-q", "main")
    repo.git("tag", "team/instance-1")  # no confusion
    again = f"existing branch team/instance-1 @ {tip[:7]} (1 commit of its own), used again"
    assert again in texts(repo.up(1)[0])
    assert repo.instance(1).git("rev-parse", "HEAD").strip() == tip
    assert repo.instance(1).git("symbolic-ref", "HEAD") == "refs/heads/team/instance-1\n"
    repo.git("worktree", "remove", "--force", "../app-instance-1")
    assert again in texts(repo.up(1)[0]), "also after git removed its worktree"


def test_set_up_runs_one_at_a_time(repo: Repo) -> None:
    script = (
        "import sys, pathlib; from peercoord.store import manifest\nwith manifest.held(pathlib.Path(sys.argv[1])): pass"
    )
    words = [sys.executable, "-c", script, str(repo.project().common)]
    with manifest.held(repo.project().common):
        held = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "another set-up or removal runs in" in held.stderr
    assert subprocess.run(words, check=False).returncode == 0


# -- something in the way ----------------------------------------------------------------------------------------

BLOCKED = {  # what stands in the way; what is said, and its code
    "a directory": (
        lambda repo: repo.instance(1).write("thesis.txt", "years of work\n"),
        "app-instance-1 is there and is no worktree",
        "place-taken",
    ),
    "a link": (lambda repo: repo.instance(1).path.symlink_to("/"), "app-instance-1 is there", "place-taken"),
    "a name in another case": (
        lambda repo: repo.beside("App-Instance-1").path.mkdir(),
        "differs from app-instance-1 only in case",
        "place-taken",
    ),
    "a branch in another case": (
        lambda repo: repo.git("branch", "Team/Instance-1"),
        "'Team/Instance-1' differs from 'team/instance-1' only in case",
        "branch-blocked",
    ),
    "a branch above": (lambda repo: repo.git("branch", "team"), "'team' blocks 'team/instance-1'", "branch-blocked"),
    "a branch below": (
        lambda repo: repo.git("branch", "team/instance-1/old"),
        "'team/instance-1/old' blocks 'team/instance-1'",
        "branch-blocked",
    ),
    "a branch in use": (
        lambda repo: repo.git("worktree", "add", "-q", "../mine", "-b", "team/instance-1"),
        "'team/instance-1' is checked out in ../mine",
        "branch-in-use",
    ),
    "a tracked file of ours": (
        lambda repo: repo.commit(".claude-coordination/state.json", "{}"),
        "tracks .claude-coordination/state.json",
        "state-tracked",
    ),
}


@pytest.mark.parametrize("what", BLOCKED)
def test_what_is_in_the_way_is_named_and_left_alone(repo: Repo, what: str) -> None:
    make, message, code = BLOCKED[what]
    make(repo)
    before = sorted(path for path in repo.path.parent.rglob("*"))
    with pytest.raises(PeercoordError) as caught:
        repo.plan(2)
    assert (message in caught.value.message, caught.value.code) == (True, code), caught.value.message
    assert sorted(path for path in repo.path.parent.rglob("*")) == before
    if "blocks" in message:
        assert "--branch-prefix" in caught.value.hint
        repo.up(1, branch_prefix="agents")
        assert branch(repo, 1) == "agents/instance-1"


@pytest.mark.parametrize("count", [0, -1, 100])
def test_a_number_out_of_range_is_refused(repo: Repo, count: int) -> None:
    with pytest.raises(UsageError):
        repo.plan(count)


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
    assert (tracked.instance(1).status(), tracked.instance(1).has_link(tracked)) == ("", True)


def test_a_deleted_worktree_comes_back_with_what_was_staged_and_no_other_is_pruned(team: Repo) -> None:
    there = team.instance(1)
    team.git("worktree", "add", "-q", "../on-a-stick", "-b", "stick")
    there.write("staged.txt", "not lost\n")
    there.git("add", "staged.txt")
    shutil.rmtree(there.path)
    shutil.rmtree(team.beside("on-a-stick").path)
    made, warnings = team.up(2)
    assert (warnings, "make worktree ../app-instance-1 again" in texts(made)) == ([], True)
    assert (there.status(), there.has_link(team), branch(team, 1)) == ("A  staged.txt\n", True, "team/instance-1")
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
    assert (team.instance(1).path.exists(), team.plan(2).actions) == (False, [])


@pytest.mark.parametrize("everything", [False, True])
def test_a_moved_main_checkout_is_repaired_from_where_it_is(team: Repo, everything: bool) -> None:
    if everything:
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
    assert (there.status(), moved.status(), moved.plan().actions) == ("", "", [])


def test_a_worktree_whose_git_file_is_gone_is_not_overwritten(team: Repo) -> None:
    (team.instance(1).path / ".git").unlink()
    assert "is no longer a worktree" in team.plan(1).failed["instance-1"].message


def test_a_lost_record_is_written_again(team: Repo) -> None:
    shutil.rmtree(team.path / ".git/peercoord")
    (team.path / ".git/worktrees/app-instance-1/peercoord.json").unlink()
    assert "take worktree ../app-instance-1, on branch team/instance-1, in" in texts(team.up(2)[0])
    assert [instance.index for instance in team_instances(team.project())] == [1, 2]


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({}, True),
        ({"host": "as-it-was-called"}, True),
        ({"boot_id": "before"}, True),
        ({"host": "as-it-was-called", "boot_id": "before"}, True),
        ({"pid_ns": "pid:[1]"}, False),
        ({"machine": "another", "boot_id": "another"}, False),
        ({"worktree": None}, False),
    ],
    ids=["of here", "renamed", "restarted", "renamed and restarted", "a container", "another machine", "no worktree"],
)
def test_a_peer_whose_worktree_is_gone_is_retired_only_where_that_can_be_seen(repo, record, found):
    root = roots.create(str(repo.path / paths.ROOT), "app")
    facts = {**process.here(), "worktree": str(repo.path.parent / "gone"), **record}
    if record.keys() >= {"host", "boot_id"} and not facts["machine"]:
        pytest.skip("this machine has no identity to be known by after a restart")
    members.join(root, "one", facts, lambda _: pytest.fail("there is no other peer"), lambda *_: None)
    assert bool(rebuild.stale_peers(repo.project(), root, Evidence())) is found


# -- joining -----------------------------------------------------------------------------------------------------


def test_an_existing_worktree_joins_from_anywhere_under_its_own_name(team: Repo) -> None:
    team.git("worktree", "add", "-q", ".claude/worktrees/feature", "-b", "worktree-feature")
    there = team.beside("app/.claude/worktrees/feature")
    plans.run(plan_join(team.project(), there.path / "src", "feature").actions)
    instance = instance_at(team.project(), there.path / "src")
    assert instance is not None
    assert (instance.peer, instance.index, instance.made) == ("feature", 3, False)
    assert ((there.path / "memory-bank").is_symlink(), there.status()) == (True, "")
    assert plan_join(team.project(), there.path).actions == []
    for name, peer in (("one", "instance-5"), ("three", "instance-3")):
        team.git("worktree", "add", "-q", f"../{name}", "-b", name)
        plans.run(plan_join(team.project(), team.beside(name).path, peer).actions)
    indexes = {instance.peer: instance.index for instance in team_instances(team.project())}
    assert indexes == {"instance-1": 1, "instance-2": 2, "feature": 3, "instance-3": 4, "instance-5": 5}
    assert peers(team.up(6)[0])[2:] == ["feature", "instance-3", "instance-5", "instance-6"]


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
