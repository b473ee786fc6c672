"""Set-up as people meet it: first run, again, larger, after accidents, and with something in the way."""

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
from peercoord.team.repository import discover, instance_at, team_instances
from peercoord.team.worktrees import WorktreeOptions, plan, plan_join


def fingerprint(top: Path) -> dict[str, str]:
    """Everything below a directory: kind, mode and content of each entry."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = f"link {os.readlink(path)}"
        elif path.is_file():
            found[name] = f"{path.stat().st_mode:o} {path.read_bytes()!r}"
        else:
            found[name] = "directory"
    return found


# -- making ------------------------------------------------------------------------------------------------------


def test_three_worktrees_beside_the_project_each_on_its_branch(repo):
    made, warnings = repo.up()
    assert warnings == []
    assert [instance.peer for instance in made.instances] == ["instance-1", "instance-2", "instance-3"]
    for index in (1, 2, 3):
        there = repo.instance(index)
        assert there.git("branch", "--show-current") == f"team/instance-{index}\n"
        assert (there.path / "src/main.py").exists()
        assert there.status() == ""
    assert repo.status() == ""
    assert [instance.worktree for instance in made.instances] == [
        instance.worktree for instance in team_instances(repo.project())
    ]


def test_the_same_call_again_has_nothing_to_do(repo):
    repo.up(2)
    before = fingerprint(repo.path.parent)
    made, _ = repo.up(2)
    assert made.actions == []
    assert len(made.instances) == 2
    assert fingerprint(repo.path.parent) == before
    assert repo.plan().actions == []


def test_a_larger_number_adds_and_a_smaller_one_says_that_it_changes_nothing(repo):
    repo.up(1)
    made, _ = repo.up(3)
    assert [instance.index for instance in made.instances] == [1, 2, 3]
    assert sum("add worktree" in action.text for action in made.actions) == 2
    fewer = repo.plan(2)
    assert fewer.actions == []
    assert any("3 worktrees" in note for note in fewer.notes)
    assert len(fewer.instances) == 3


def test_looking_changes_nothing_and_says_what_the_run_then_does(tracked):
    tracked.write(".env", "SECRET=1\n")
    tracked.commit(".worktreeinclude", ".env\n")
    before = fingerprint(tracked.path.parent)
    announced = [action.text for action in tracked.plan(2).actions]
    assert fingerprint(tracked.path.parent) == before
    said: list[str] = []
    plans.run(tracked.plan(2).actions, said.append)
    assert said == announced
    assert sum("add worktree ../app-instance-" in text for text in said) == 2


def test_the_base_of_new_branches_can_be_chosen(repo):
    first = repo.git("rev-parse", "HEAD").strip()
    repo.commit("later")
    repo.up(1, base="HEAD~1")
    assert repo.instance(1).git("rev-parse", "HEAD").strip() == first
    with pytest.raises(PeercoordError, match="'v9' is no commit, branch or tag"):
        repo.plan(2, base="v9")


def test_a_new_branch_follows_no_remote_branch(repo, tmp_path):
    repo.git("clone", "-q", ".", str(tmp_path / "work/clone"))
    clone = repo.beside("clone")
    clone.up(1, base="origin/main")
    assert clone.git("config", "--get-regexp", r"branch\.team.*", ok=False) == ""


@pytest.mark.parametrize("count", [0, -1, 100])
def test_a_number_out_of_range_is_refused(repo, count):
    with pytest.raises(UsageError):
        repo.plan(count)


def test_a_repository_without_a_commit_is_a_clear_error(repo, tmp_path):
    repo.git("init", "-q", str(tmp_path / "empty"))
    with pytest.raises(PeercoordError, match="has no commit yet"):
        plan(discover(tmp_path / "empty"), 1)


def test_a_detached_main_checkout_is_a_base_too(repo):
    repo.git("checkout", "-q", "--detach")
    made, _ = repo.up(1)
    assert any("from the main checkout's commit @ " in action.text for action in made.actions)
    assert repo.instance(1).status() == ""


def test_a_shallow_clone_gets_its_team(repo, tmp_path):
    repo.commit("more")
    repo.git("clone", "-q", "--depth=1", f"file://{repo.path}", str(tmp_path / "work/shallow"))
    shallow = repo.beside("shallow")
    shallow.up(1)
    assert shallow.instance(1).status() == ""


ODD_NAMES = [
    "prøjekt 文\t'$(x)",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("my project", "a'b\"c", "-dash")),
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_path_of_any_letters(repo, name):
    there = repo.beside(name)
    os.rename(repo.path, there.path)
    there.write("memory-bank/progress.md")
    there.git("add", "-A")
    there.git("commit", "-q", "-m", "bank")
    there.coordinated()
    there.up(2)
    assert there.instance(2).status() == there.status() == ""
    assert there.instance(2).path.joinpath("memory-bank/progress.md").exists()
    assert there.plan(2).actions == []


def test_a_project_in_a_directory_of_its_repository(repo):
    repo.commit("packages/web/memory-bank/progress.md")
    repo.commit("packages/api/main.py")
    web = discover(repo.path / "packages/web", exact=True)
    made = plan(web, 1)
    plans.run(made.actions)
    instance = made.instances[0]
    assert instance.worktree == repo.beside("web-instance-1").path
    assert instance.directory == instance.worktree / "packages/web"
    assert os.path.realpath(instance.directory / "memory-bank") == copy.target(str(web.directory / paths.ROOT))
    assert repo.beside("web-instance-1").status() == repo.status() == ""
    # a second team in the same repository needs branches of its own
    api = discover(repo.path / "packages/api", exact=True)
    with pytest.raises(PeercoordError, match=r"'team/instance-1' is checked out in \.\./web-instance-1"):
        plan(api, 1)
    plans.run(plan(api, 1, WorktreeOptions(branch_prefix="api")).actions)
    assert repo.beside("api-instance-1").git("branch", "--show-current") == "api/instance-1\n"
    assert [instance.peer for instance in team_instances(api)] == ["instance-1"]
    assert repo.status() == ""


def test_a_bare_repository_with_worktrees(repo, tmp_path):
    repo.commit("memory-bank/progress.md")
    bare = tmp_path / "proj/.bare"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    repo.git("-C", str(bare), "worktree", "add", "-q", "../main")
    main = repo.beside("x")
    main.path = tmp_path / "proj/main"
    main.up(2)
    for checkout in (main, main.instance(1), main.instance(2)):
        assert checkout.status() == ""
    assert main.git("rev-parse", "--is-bare-repository", GIT_DIR=str(bare)) == "true\n"
    assert discover(main.instance(1).path).main == main.path
    assert main.plan(2).actions == []


def test_a_project_that_is_not_committed_yet_is_a_clear_error(repo):
    repo.write("packages/new/main.py")
    with pytest.raises(PeercoordError, match="has no packages/new/, so a worktree"):
        plan(discover(repo.path / "packages/new", exact=True), 1)


def test_a_checkout_inside_another_one_is_told_where_its_worktrees_show(repo, tmp_path):
    repo.git("init", "-q", str(tmp_path / "work"))
    outer = repo.beside("x")
    outer.path = tmp_path / "work"
    note = next(note for note in repo.plan(1).notes if "lie in the checkout" in note)
    pattern = note.split(" a line ")[1].split(" in its ")[0]
    outer.write(".git/info/exclude", f"{pattern}\n/app/\n")
    repo.up(1)
    assert outer.status() == ""
    assert repo.plan(2).notes == []


def test_bare_repositories_that_must_be_named_explicitly_are(tracked, tmp_path, home):
    with home.joinpath(".gitconfig").open("a") as settings:
        settings.write("[safe]\n  bareRepository = explicit\n")
    tracked.up(1)
    assert tracked.instance(1).status() == ""
    assert [instance.peer for instance in team_instances(discover(tracked.instance(1).path))] == ["instance-1"]


def test_two_projects_of_one_name_on_one_machine(repo, tmp_path):
    repo.git("clone", "-q", ".", str(tmp_path / "elsewhere/app"))
    other = repo.beside("x")
    other.path = tmp_path / "elsewhere/app"
    repo.up(1)
    other.up(1)
    assert team_instances(repo.project())[0].worktree != team_instances(other.project())[0].worktree


def test_only_the_project_and_its_worktrees_are_written(tracked, home):
    before = fingerprint(home)
    home.chmod(0o555)
    tracked.up(2)
    home.chmod(0o755)
    assert fingerprint(home) == before
    assert sorted(os.listdir(tracked.path.parent)) == ["app", "app-instance-1", "app-instance-2"]


def test_set_up_runs_one_at_a_time(repo):
    with manifest.held(repo.project().common):
        held = subprocess.run(
            [sys.executable, "-c", "import sys, pathlib; from peercoord.store import manifest as record\n"
             "with record.held(pathlib.Path(sys.argv[1])): pass", str(repo.project().common)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "another set-up or removal runs in" in held.stderr
    with manifest.held(repo.project().common):
        pass
    assert LostError.exit_code == 4


# -- something in the way ----------------------------------------------------------------------------------------


def test_a_directory_of_somebody_elses_is_named_and_left_alone(repo):
    repo.beside("app-instance-2").write("thesis.txt", "years of work\n")
    with pytest.raises(PeercoordError, match="app-instance-2 is there and is no worktree") as caught:
        repo.plan(3)
    assert caught.value.code == "place-taken"
    assert repo.beside("app-instance-2").path.joinpath("thesis.txt").read_text() == "years of work\n"
    assert not repo.instance(1).path.exists()


def test_an_empty_directory_is_no_obstacle_but_a_link_or_a_file_is(repo, tmp_path):
    repo.instance(1).path.mkdir()
    repo.up(1)
    assert repo.instance(1).status() == ""
    repo.instance(2).path.symlink_to(tmp_path)
    with pytest.raises(PeercoordError, match="app-instance-2 is there"):
        repo.plan(2)


def test_a_name_that_differs_only_in_case_is_refused(repo):
    repo.beside("App-Instance-1").path.mkdir()
    with pytest.raises(PeercoordError, match="differs from app-instance-1 only in case"):
        repo.plan(1)


def test_a_branch_that_differs_only_in_case_is_refused(repo):
    repo.git("branch", "Team/Instance-1")
    with pytest.raises(PeercoordError, match="'Team/Instance-1' differs from 'team/instance-1' only in case"):
        repo.plan(1)


@pytest.mark.parametrize("blocker", ["team", "team/instance-1/old"])
def test_a_branch_whose_name_excludes_ours_is_explained(repo, blocker):
    repo.git("branch", blocker)
    with pytest.raises(PeercoordError, match=f"'{blocker}' blocks 'team/instance-1'") as caught:
        repo.plan(1)
    assert "--branch-prefix" in caught.value.hint
    repo.up(1, branch_prefix="agents")
    assert repo.instance(1).git("branch", "--show-current") == "agents/instance-1\n"


def test_the_prefix_is_remembered_for_worktrees_added_later(repo):
    repo.up(1, branch_prefix="agents/")
    repo.up(2)
    assert repo.instance(2).git("branch", "--show-current") == "agents/instance-2\n"


@pytest.mark.parametrize("prefix", ["a..b/", "-x/", "a b/", "@{/"])
def test_a_prefix_that_git_does_not_allow_is_refused(repo, prefix):
    with pytest.raises(UsageError, match="cannot be a branch"):
        repo.plan(1, branch_prefix=prefix)


def test_an_existing_branch_is_named_before_it_is_used_again(repo):
    repo.git("checkout", "-q", "-b", "team/instance-1")
    tip = repo.commit("old-work")
    repo.git("checkout", "-q", "main")
    made, _ = repo.up(1)
    text = next(action.text for action in made.actions if "add worktree" in action.text)
    assert f"existing branch team/instance-1 @ {tip[:7]} (1 commit of its own), used again" in text
    assert repo.instance(1).git("rev-parse", "HEAD").strip() == tip


def test_a_tag_of_the_branch_s_name_is_no_confusion(repo):
    repo.git("tag", "team/instance-1")
    repo.up(1)
    assert repo.instance(1).git("symbolic-ref", "HEAD") == "refs/heads/team/instance-1\n"


def test_a_branch_checked_out_elsewhere_is_named_with_its_place(repo):
    repo.git("worktree", "add", "-q", "../mine", "-b", "team/instance-1")
    with pytest.raises(PeercoordError, match=r"'team/instance-1' is checked out in \.\./mine"):
        repo.plan(1)


def test_a_repository_that_tracks_our_directories_is_refused(repo):
    repo.commit(".claude-coordination/state.json", "{}")
    with pytest.raises(PeercoordError, match=r"tracks \.claude-coordination/state\.json"):
        repo.plan(1)


def test_a_parent_directory_that_cannot_be_written_is_said_first(repo):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    repo.path.parent.chmod(0o555)
    try:
        with pytest.raises(PeercoordError, match="cannot be written"):
            repo.plan(1)
    finally:
        repo.path.parent.chmod(0o755)


# -- accidents ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 4, *(pytest.param(at, marks=pytest.mark.slow) for at in (2, 3, 5, 6, 7, 8, 9))])
def test_a_failure_at_any_step_leaves_what_was_done_and_the_next_run_goes_on(tracked, at):
    tracked.write(".env", "SECRET=1\n")
    tracked.commit(".worktreeinclude", ".env\n")
    steps = tracked.plan(2).actions
    assert len(steps) == 9
    plans.run(steps[:at])
    for checkout in (tracked, *(tracked.instance(index) for index in (1, 2))):
        assert not checkout.path.exists() or checkout.status() == ""
    tracked.up(2)
    assert tracked.plan(2).actions == []
    for index in (1, 2):
        there = tracked.instance(index)
        assert there.status() == ""
        assert (there.path / "memory-bank").is_symlink()
        assert (there.path / ".env").read_text() == "SECRET=1\n"


def test_a_worktree_left_half_made_is_finished(tracked):
    made = tracked.plan(1)
    plans.run(made.actions[:3])
    # as a kill leaves it: registered, nothing checked out yet
    tracked.git("worktree", "add", "-q", "--no-checkout", "../app-instance-1", "-b", "team/instance-1")
    again, _ = tracked.up(1)
    assert any("finish worktree ../app-instance-1" in action.text for action in again.actions)
    assert tracked.instance(1).status() == ""
    assert (tracked.instance(1).path / "memory-bank").is_symlink()


def test_a_deleted_worktree_comes_back_with_what_was_staged(team):
    there = team.instance(1)
    there.write("staged.txt", "not lost\n")
    there.git("add", "staged.txt")
    shutil.rmtree(there.path)
    made, warnings = team.up(2)
    assert warnings == []
    assert any("make worktree ../app-instance-1 again" in action.text for action in made.actions)
    assert there.status() == "A  staged.txt\n"
    assert (there.path / "memory-bank").is_symlink()
    assert there.git("branch", "--show-current") == "team/instance-1\n"
    assert team.plan(2).actions == []


def test_other_missing_worktrees_of_the_user_are_not_pruned(repo):
    repo.git("worktree", "add", "-q", "../on-a-stick", "-b", "stick")
    repo.up(1)
    shutil.rmtree(repo.beside("on-a-stick").path)
    shutil.rmtree(repo.instance(1).path)
    repo.up(1)
    assert (repo.path / ".git/worktrees/on-a-stick").is_dir()


def test_a_moved_worktree_is_found_beside_and_repaired(team):
    team.instance(1).write("note.txt")
    os.rename(team.instance(1).path, team.beside("renamed").path)
    made, _ = team.up(1)
    assert any("git worktree repair ../renamed" in action.text for action in made.actions)
    assert made.instances[0].worktree == team.beside("renamed").path
    assert team.beside("renamed").status() == "?? note.txt\n"
    assert not team.instance(1).path.exists()
    assert team.plan(1).actions == []


def test_a_worktree_moved_with_git_is_still_of_the_team_and_its_link_is_made_anew(team):
    team.git("worktree", "move", "../app-instance-1", "../../moved")
    team.coordinated()
    made, _ = team.up(1)
    assert [instance.worktree.name for instance in made.instances] == ["moved", "app-instance-2"]
    assert (made.instances[0].worktree / "memory-bank/progress.md").exists()


def test_a_locked_worktree_that_is_gone_waits_for_its_disk(repo):
    repo.up(2)
    repo.git("worktree", "lock", "--reason", "usb disk", "../app-instance-1")
    shutil.rmtree(repo.instance(1).path)
    shutil.rmtree(repo.instance(2).path)
    made = repo.plan(2)
    assert [(peer, error.code) for peer, error in made.failed.items()] == [("instance-1", "worktree-locked")]
    assert "is gone, and locked: usb disk" in made.failed["instance-1"].message
    assert [instance.peer for instance in made.instances] == ["instance-2"], "the other one is brought back"
    assert {action.peer for action in made.actions} == {"", "instance-2"}


def test_a_moved_main_checkout_is_repaired_from_where_it_is(team):
    os.rename(team.path, team.beside("app-new").path)
    moved = team.beside("app-new")
    moved.up()
    there = team.instance(1)
    assert there.git("rev-parse", "--git-common-dir").strip() == str(moved.path / ".git")
    assert (there.path / "memory-bank").resolve() == Path(copy.target(str(moved.path / paths.ROOT)))
    assert there.status() == ""


def test_a_parent_directory_renamed_with_all_in_it_is_repaired(team):
    os.rename(team.path.parent, team.path.parent.with_name("renamed"))
    moved = team.beside("x")
    moved.path = team.path.parent.with_name("renamed") / "app"
    made, _ = moved.up()
    assert sum("git worktree repair" in action.text for action in made.actions) == 2
    assert [instance.worktree for instance in made.instances] == [moved.instance(1).path, moved.instance(2).path]
    assert moved.instance(1).status() == moved.status() == ""
    assert moved.plan().actions == []


def test_a_worktree_whose_git_file_is_gone_is_not_overwritten(repo):
    repo.up(1)
    (repo.instance(1).path / ".git").unlink()
    repo.instance(1).write("work.txt")
    assert "is a worktree no more" in repo.plan(1).failed["instance-1"].message


def test_git_clean_in_a_worktree_costs_nothing_that_the_next_run_does_not_bring_back(tracked):
    tracked.write(".env", "SECRET=1\n")
    tracked.commit(".worktreeinclude", ".env\n")
    tracked.up(1)
    tracked.instance(1).git("clean", "-q", "-ffdx")
    assert (tracked.path / "memory-bank/progress.md").exists()
    made, _ = tracked.up(1)
    assert len(made.actions) == 3
    assert (tracked.instance(1).path / "memory-bank").is_symlink()
    assert (tracked.instance(1).path / ".env").exists()


def test_a_worktree_removed_with_git_is_added_again_on_its_branch(repo):
    repo.up(2)
    tip = repo.instance(1).commit("work")
    repo.git("worktree", "remove", "../app-instance-1")
    assert repo.plan().actions == []
    made, _ = repo.up(2)
    assert "existing branch team/instance-1" in next(a.text for a in made.actions if "add worktree" in a.text)
    assert repo.instance(1).git("rev-parse", "HEAD").strip() == tip


def test_a_full_gc_and_a_prune_change_nothing(team):
    team.git("gc", "-q", "--prune=now")
    team.git("worktree", "prune")
    assert team.plan(1).actions == []
    assert team.instance(1).status() == ""


def test_a_lost_record_is_written_again(repo):
    repo.up(2)
    shutil.rmtree(repo.path / ".git/peercoord")
    (repo.path / ".git/worktrees/app-instance-1/peercoord.json").unlink()
    made, _ = repo.up(2)
    assert any("take worktree ../app-instance-1, on branch team/instance-1, in" in a.text for a in made.actions)
    assert [instance.index for instance in team_instances(repo.project())] == [1, 2]


# -- joining -----------------------------------------------------------------------------------------------------


def test_an_existing_worktree_joins_wherever_it_lies(team):
    team.git("worktree", "add", "-q", ".claude/worktrees/feature", "-b", "worktree-feature")
    there = team.path / ".claude/worktrees/feature"
    plans.run(plan_join(team.project(), there / "src", "feature").actions)
    instance = instance_at(team.project(), there / "src")
    assert instance is not None
    assert (instance.peer, instance.index, instance.made) == ("feature", 3, False)
    assert (there / "memory-bank").is_symlink()
    assert subprocess.run(["git", "status", "--porcelain"], cwd=there, capture_output=True, check=True).stdout == b""
    assert plan_join(team.project(), there).actions == []
    assert [instance.peer for instance in team.up(4)[0].instances] == [
        "instance-1",
        "instance-2",
        "feature",
        "instance-4",
    ]


def test_a_name_with_a_number_takes_that_number_and_no_other_worktree_gets_the_name(team):
    for name, peer in (("one", "instance-5"), ("two", "bob"), ("three", "instance-3")):
        team.git("worktree", "add", "-q", f"../{name}", "-b", name)
        plans.run(plan_join(team.project(), team.beside(name).path, peer).actions)
    indexes = {instance.peer: instance.index for instance in team_instances(team.project())}
    assert indexes == {"instance-1": 1, "instance-2": 2, "instance-5": 5, "bob": 3, "instance-3": 4}
    made, _ = team.up(6)
    assert [instance.peer for instance in made.instances] == [
        "instance-1",
        "instance-2",
        "bob",
        "instance-3",
        "instance-5",
        "instance-6",
    ]


def test_who_cannot_join(repo, tmp_path):
    repo.up(1)
    with pytest.raises(PeercoordError, match="is the main checkout"):
        plan_join(repo.project(), repo.path)
    repo.git("clone", "-q", ".", str(tmp_path / "clone"))
    with pytest.raises(PeercoordError, match="is no worktree of this repository"):
        plan_join(repo.project(), tmp_path / "clone")
    repo.git("worktree", "add", "-q", "../mine", "-b", "mine")
    with pytest.raises(PeercoordError, match="has a peer 'Instance-1' already"):
        plan_join(repo.project(), repo.beside("mine").path, "Instance-1")
    with pytest.raises(UsageError, match="peer name"):
        plan_join(repo.project(), repo.beside("mine").path, "../x")
