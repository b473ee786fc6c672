"""Remove a team: no work is lost, nothing of ours stays. What a purge undoes: see test_kinds.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peercoord.errors import PeercoordError
from peercoord.store import manifest, paths, session_records
from peercoord.store.root import open_root
from peercoord.team import excludes
from peercoord.team import plan as plans
from peercoord.team.plan import Plan
from peercoord.team.removal import leave, plan_branches, plan_remove
from peercoord.team.repository import left_behind, team_instances
from peercoord.team.worktrees import plan_join

from .conftest import Repo


def take_away(repo: Repo, *named: str) -> tuple[Plan, list[str]]:
    project = repo.project()
    made = plan_remove(project, team_instances(project), named)
    return made, plans.run(made.actions)


def branches(repo: Repo) -> list[str]:
    return repo.git("branch", "--format=%(refname:short)").split()


# -- one worktree ------------------------------------------------------------------------------------------------


def test_worktrees_that_hold_nothing_of_their_own_go_and_their_branches_stay(team: Repo, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("x")
    team.instance(1).write("build/__pycache__/x.pyc")
    (team.instance(1).path / "build/__pycache__/link").symlink_to(tmp_path / "precious")
    shutil.rmtree(team.instance(2).path)  # one that is gone already is forgotten
    made, warnings = take_away(team)
    assert made.actions[0].text == "remove worktree ../app-instance-1"
    assert (made.notes, made.instances, warnings) == ([], [], [])
    assert (os.listdir(team.path.parent), (team.path / ".git/worktrees").exists()) == (["app"], False)
    assert branches(team) == ["main", "team/instance-1", "team/instance-2"]
    assert team.status() == ""
    assert (tmp_path / "precious/file").read_text() == "x", "no link is followed"
    assert (team.path / "memory-bank/progress.md").read_text() == "# Progress\n"


def test_a_worktree_with_work_stays_and_is_named_with_the_reasons(team: Repo) -> None:
    team.instance(1).write("notes.txt")
    team.instance(1).commit("one.txt")
    made = plan_remove(team.project(), team_instances(team.project()))
    (note,) = made.notes
    assert note.startswith("../app-instance-1 stays: ")
    for reason in ("not tracked: notes.txt", "1 commit is on team/instance-1 alone"):
        assert reason in note
    assert [instance.peer for instance in made.instances] == ["instance-1"]
    team.instance(2).write("late.txt")  # after the plan
    assert "late.txt" in " ".join(plans.run(made.actions))
    assert (team.instance(2).path / "late.txt").exists()
    team.git("worktree", "lock", "../app-instance-1")
    made, warnings = take_away(team, "instance-1")
    assert ("with all that is in it, as you named it" in made.actions[0].text, warnings) == (True, [])
    assert (team.instance(1).path.exists(), team.instance(2).path.exists()) == (False, True)


def test_a_worktree_in_which_a_process_runs_stays_even_if_named(team: Repo) -> None:
    words = [sys.executable, "-c", "print('here', flush=True); input()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=team.instance(1).path / "src", **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        made, _ = take_away(team, "instance-1")
        assert f"process {process.pid} works there: {sys.executable} -c" in made.notes[0]
        assert not team.instance(2).path.exists(), "nothing runs there"
        assert team.instance(1).path.exists()
        process.communicate()


def test_a_worktree_that_was_there_before_the_team_is_never_removed(team: Repo) -> None:
    team.git("worktree", "add", "-q", "../mine", "-b", "mine")
    plans.run(plan_join(team.project(), team.beside("mine").path).actions)
    assert "../mine stays: it was there before the team" in take_away(team, "instance-3")[0].notes
    assert (team.beside("mine").path / "src/main.py").exists()


def test_leaving_makes_a_worktree_an_ordinary_one(team: Repo) -> None:
    there = team.instance(1)
    there.write("work.txt")
    excludes.hide(there.path / ".claude-instance")
    before = there.git("rev-parse", "HEAD")
    leave(team.project(), team_instances(team.project())[0])
    assert not (there.path / "memory-bank").is_symlink()
    assert (there.path / "memory-bank/progress.md").read_text() == "# Progress\n"
    assert not (there.path / ".claude-instance").exists()
    assert (there.status(), there.git("rev-parse", "HEAD")) == ("?? work.txt\n", before)
    assert there.git("config", "--get", "core.sparseCheckout", ok=False).strip() in ("", "false")
    assert [instance.peer for instance in team_instances(team.project())] == ["instance-2"]


def test_leaving_removes_what_a_session_said_of_itself(team: Repo) -> None:
    team.coordinated()
    root = open_root(str(team.path / paths.ROOT))
    for peer in ("instance-1", "instance-2"):
        session_records.write(root.files, peer, {"state": "idle"})
    leave(team.project(), team_instances(team.project())[0])
    assert root.files.scan(paths.SESSIONS) == ["instance-2.json"]


def test_leaving_gives_a_sparse_worktree_its_patterns_back(tracked: Repo) -> None:
    tracked.commit("big/data.txt")
    tracked.git("sparse-checkout", "set", "--cone", "src", "memory-bank")
    tracked.up(1)
    there = tracked.instance(1)
    leave(tracked.project(), team_instances(tracked.project())[0])
    assert there.git("sparse-checkout", "list").split() == ["memory-bank", "src"]
    assert ((there.path / "memory-bank/progress.md").exists(), (there.path / "big").exists()) == (True, False)
    assert there.status() == tracked.status() == ""


# -- branches ----------------------------------------------------------------------------------------------------


def test_only_branches_of_ours_whose_commits_are_kept_are_deleted(team: Repo) -> None:
    team.git("branch", "team/instance-9")
    team.instance(2).commit("one.txt")
    take_away(team)
    team.git("worktree", "remove", "../app-instance-2")
    made = plan_branches(team.project())
    assert [action.text for action in made.actions] == ["delete branch team/instance-1, kept in main"]
    assert made.notes == ["branch team/instance-2 stays: neither merged nor pushed (1 commits)"]
    team.git("switch", "-q", "team/instance-1")
    team.commit("late.txt")
    team.git("switch", "-q", "main")
    assert plans.run(made.actions) == ["branch team/instance-1 stays: it changed meanwhile"]
    assert branches(team) == ["main", "team/instance-1", "team/instance-2", "team/instance-9"]
    team.git("merge", "-q", "team/instance-1")
    plans.run(plan_branches(team.project()).actions)
    assert branches(team) == ["main", "team/instance-2", "team/instance-9"]


def test_of_two_branches_on_one_commit_one_stays(team: Repo) -> None:
    team.instance(1).commit("one.txt")
    team.instance(2).git("reset", "-q", "--hard", "team/instance-1")
    take_away(team)
    made = plan_branches(team.project())
    assert (len(made.actions), plans.run(made.actions)) == (2, ["branch team/instance-2 stays: it changed meanwhile"])
    assert branches(team) == ["main", "team/instance-2"]


# -- everything --------------------------------------------------------------------------------------------------


def test_a_purge_leaves_work_as_ordinary_worktrees_and_names_it(team: Repo) -> None:
    team.instance(1).write("work.txt")
    team.instance(2).commit("one.txt")
    manifest.put(team.path / ".git/peercoord/tasks.db", b"x")  # another program's
    made, warnings = team.purge()
    stay = ["../app-instance-1", "../app-instance-2", "branch team/instance-1", "branch team/instance-2"]
    assert ([note.split(" stays: ")[0] for note in made.notes], warnings) == (stay, [])
    for there in (team.instance(1), team.instance(2)):
        assert not (there.path / "memory-bank").is_symlink()
        assert (there.path / "memory-bank/progress.md").exists()
    assert team.instance(1).status() == "?? work.txt\n"
    left = json.loads((team.path / ".git/peercoord/team.json").read_text())
    assert (list(left["left"][""]), left["projects"]) == (["team/instance-1", "team/instance-2"], {})
    assert sorted(os.listdir(team.path / ".git/peercoord")) == ["tasks.db", "team.json"]
    assert [instance.peer for instance in left_behind(team.project())] == ["instance-1", "instance-2"]
    assert team_instances(team.project()) == []
    assert not (team.path / ".git/info/exclude").exists(), "it had only our lines"
    assert "worktreeConfig" not in (team.path / ".git/config").read_text()


def test_a_memory_bank_with_text_of_its_own_stays(repo: Repo) -> None:
    repo.up(1)
    repo.write("memory-bank/progress.md", "# Progress\n\nIt works.\n")
    assert repo.purge()[0].notes == ["memory-bank/ stays: it is more than the empty documents it was made with"]
    assert "?? memory-bank/progress.md" in repo.status(), "the user's, to track or to ignore"


def test_settings_and_lines_that_the_user_added_since_are_kept(team: Repo) -> None:
    team.git("worktree", "add", "-q", "../mine", "-b", "mine")
    team.beside("mine").git("config", "--worktree", "user.email", "me@example.invalid")
    path = team.path / ".git/info/exclude"
    path.write_text("*.mine\n" + path.read_text() + "*.later\n")
    path.chmod(0o640)
    (warning,) = team.purge()[1]
    assert "extensions.worktreeConfig stays on" in warning
    assert team.beside("mine").git("config", "user.email") == "me@example.invalid\n"
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("*.mine\n*.later\n", 0o640)


def test_state_that_is_a_link_is_not_followed(team: Repo, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/state.json").write_text("{}")
    (team.path / ".claude-coordination").symlink_to(tmp_path / "shared")
    with pytest.raises(PeercoordError, match="is a link"):
        team.purge()
    assert (tmp_path / "shared/state.json").exists()
