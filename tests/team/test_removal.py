"""Taking a team away: nobody's work with it, nothing of ours left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peercoord.errors import PeercoordError
from peercoord.store import manifest
from peercoord.team import excludes
from peercoord.team import plan as plans
from peercoord.team.removal import leave, plan_branches, plan_purge, plan_remove, remove
from peercoord.team.repository import discover, left_behind, team_instances
from peercoord.team.worktrees import WorktreeOptions, plan, plan_join


def take_away(repo, **chosen):
    project = repo.project()
    made = plan_remove(project, team_instances(project), **chosen)
    return made, plans.run(made.actions)


def purge(repo, **chosen):
    made = plan_purge(repo.project(), **chosen)
    return made, plans.run(made.actions)


# -- one worktree ------------------------------------------------------------------------------------------------


def test_worktrees_that_hold_nothing_of_their_own_go_and_their_branches_stay(team):
    made, warnings = take_away(team)
    assert [action.text for action in made.actions] == [
        "remove worktree ../app-instance-1",
        "remove worktree ../app-instance-2",
    ]
    assert (made.notes, made.instances, warnings) == ([], [], [])
    assert os.listdir(team.path.parent) == ["app"]
    assert "team/instance-1" in team.git("branch", "--format=%(refname:short)").split()
    assert team.status() == ""


def test_removal_never_follows_a_link(team, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("x")
    (team.instance(1).path / "build").mkdir()
    (team.instance(1).path / "build/link").symlink_to(tmp_path / "precious")
    take_away(team, named=["instance-1"])
    assert not team.instance(1).path.exists()
    assert (tmp_path / "precious/file").read_text() == "x"
    assert (team.path / "memory-bank/progress.md").read_text() == "# Progress\n"


def test_a_worktree_with_work_stays_and_is_named_with_the_reasons(team):
    team.instance(1).write("notes.txt")
    team.instance(1).commit("one.txt")
    made, _ = take_away(team)
    assert len(made.notes) == 1
    assert made.notes[0].startswith("../app-instance-1 stays: ")
    assert "not tracked: notes.txt" in made.notes[0]
    assert "1 commit is on team/instance-1 alone" in made.notes[0]
    assert [instance.peer for instance in made.instances] == ["instance-1"]
    assert team.instance(1).path.joinpath("notes.txt").exists()
    assert not team.instance(2).path.exists()


def test_a_worktree_that_a_person_named_goes_with_all_that_is_in_it(team):
    team.instance(1).write("notes.txt")
    team.instance(1).write("src/main.py", "changed\n")
    team.git("worktree", "lock", "../app-instance-1")
    made, warnings = take_away(team, named=["instance-1"])
    assert "with all that is in it, as you named it" in made.actions[0].text
    assert warnings == []
    assert not team.instance(1).path.exists()


def test_a_worktree_in_which_a_process_runs_stays_even_if_named(team):
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()"],
        cwd=team.instance(1).path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline() == b"here\n"
        made, _ = take_away(team, named=["instance-1"])
        assert f"process {process.pid} works there" in made.notes[0]
        assert team.instance(1).path.exists()
    finally:
        process.communicate()


def test_work_that_appears_after_the_plan_is_seen(team):
    made = plan_remove(team.project(), team_instances(team.project()))
    team.instance(1).write("late.txt")
    warnings = plans.run(made.actions)
    assert "late.txt" in " ".join(warnings)
    assert team.instance(1).path.joinpath("late.txt").exists()
    assert not team.instance(2).path.exists()


def test_a_worktree_that_was_there_before_the_team_is_never_removed(team):
    team.git("worktree", "add", "-q", "../mine", "-b", "mine")
    plans.run(plan_join(team.project(), team.beside("mine").path).actions)
    made, _ = take_away(team, named=["instance-3"])
    assert "../mine stays: it was there before the team" in made.notes
    assert team.beside("mine").path.joinpath("src/main.py").exists()


def test_a_worktree_with_a_submodule_goes_though_git_refuses(team, tmp_path):
    team.git("init", "-q", str(tmp_path / "lib"))
    lib = team.beside("x")
    lib.path = tmp_path / "lib"
    lib.commit("lib.txt")
    team.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib.path), "lib")
    team.git("commit", "-q", "-m", "lib")
    team.instance(1).git("merge", "-q", "main")
    team.up()
    assert "submodules cannot be" in refusal(team)
    take_away(team)
    assert not team.instance(1).path.exists()
    assert not (team.path / ".git/worktrees").exists()


def refusal(team) -> str:
    words = ["git", "-C", str(team.path), "worktree", "remove", "../app-instance-1"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stderr


def test_our_own_files_keep_no_worktree_even_where_a_gitignore_shows_them(team):
    team.instance(1).commit(".gitignore", "!.claude-instance/\n.env\n*.lock\n")
    team.git("merge", "-q", "team/instance-1")
    team.instance(1).write(".claude-instance/info.json", "{}")
    team.instance(1).write(".claude-instance/agent.lock", "")
    assert "info.json" in team.instance(1).status()
    made, warnings = take_away(team)
    assert (made.notes, warnings) == ([], [])
    assert not team.instance(1).path.exists()


def test_a_worktree_whose_directory_is_gone_is_forgotten(team):
    shutil.rmtree(team.instance(1).path)
    take_away(team)
    assert not (team.path / ".git/worktrees").exists()


def test_leaving_makes_a_worktree_an_ordinary_one(team):
    there = team.instance(1)
    there.write("work.txt")
    excludes.hide(there.path / ".claude-instance")
    before = team.git("-C", str(there.path), "rev-parse", "HEAD")
    leave(team.project(), team_instances(team.project())[0])
    assert not (there.path / "memory-bank").is_symlink()
    assert (there.path / "memory-bank/progress.md").read_text() == "# Progress\n"
    assert not (there.path / ".claude-instance").exists()
    assert there.status() == "?? work.txt\n"
    assert there.git("rev-parse", "HEAD") == before
    assert there.git("config", "--get", "core.sparseCheckout", ok=False).strip() in ("", "false")
    assert [instance.peer for instance in team_instances(team.project())] == ["instance-2"]
    assert (team.path / "memory-bank/progress.md").exists()


def test_leaving_gives_a_sparse_worktree_its_patterns_back(tracked):
    tracked.commit("big/data.txt")
    tracked.git("sparse-checkout", "set", "--cone", "src", "memory-bank")
    tracked.up(1)
    there = tracked.instance(1)
    leave(tracked.project(), team_instances(tracked.project())[0])
    assert there.git("sparse-checkout", "list").split() == ["memory-bank", "src"]
    assert (there.path / "memory-bank/progress.md").exists()
    assert not (there.path / "big").exists()
    assert there.status() == tracked.status() == ""


# -- branches ----------------------------------------------------------------------------------------------------


def test_only_branches_of_ours_whose_commits_are_kept_are_deleted(team):
    team.git("branch", "team/instance-9")
    team.instance(2).commit("one.txt")
    take_away(team)
    team.git("worktree", "remove", "../app-instance-2")
    made = plan_branches(team.project())
    plans.run(made.actions)
    assert [action.text for action in made.actions] == ["delete branch team/instance-1, kept in main"]
    assert made.notes == ["branch team/instance-2 stays: neither merged nor pushed (1 commits)"]
    assert team.git("branch", "--format=%(refname:short)").split() == ["main", "team/instance-2", "team/instance-9"]


def test_a_squash_merged_branch_goes(team):
    team.instance(1).commit("one.txt")
    team.instance(1).commit("two.txt")
    team.git("merge", "-q", "--squash", "team/instance-1")
    team.git("commit", "-q", "-m", "squashed")
    take_away(team)
    made = plan_branches(team.project())
    plans.run(made.actions)
    assert made.actions[0].text == "delete branch team/instance-1, kept in main (same content)"
    assert team.git("branch", "--format=%(refname:short)").split() == ["main"]


def test_of_two_branches_on_one_commit_one_stays(team):
    team.instance(1).commit("one.txt")
    team.instance(2).git("reset", "-q", "--hard", "team/instance-1")
    take_away(team)
    made = plan_branches(team.project())
    assert len(made.actions) == 2
    warnings = plans.run(made.actions)
    assert warnings == ["branch team/instance-2 stays: it changed meanwhile"]
    assert team.git("branch", "--format=%(refname:short)").split() == ["main", "team/instance-2"]


def test_a_branch_that_moved_since_the_plan_stays(team):
    take_away(team)
    made = plan_branches(team.project())
    team.git("switch", "-q", "team/instance-1")
    team.commit("late.txt")
    team.git("switch", "-q", "main")
    warnings = plans.run(made.actions)
    assert warnings == ["branch team/instance-1 stays: it changed meanwhile"]


# -- everything --------------------------------------------------------------------------------------------------


def picture(repo) -> dict[str, object]:
    """What a repository consists of, for a comparison before and after."""
    common = repo.project().common
    files = {}
    for top in (repo.path, common):
        for path in sorted(top.rglob("*")):
            name = path.relative_to(top.parent).as_posix()
            if "/objects/" in name or name.endswith("/index"):
                continue
            if path.is_symlink():
                files[name] = os.readlink(path)
            elif path.is_file():
                files[name] = (path.stat().st_mode, path.read_bytes())
            elif not path.is_relative_to(common / "logs"):  # git leaves empty ones of its own there
                files[name] = "directory"
    return {
        "files": files,
        "config": repo.git("config", "--list", "--show-scope"),
        "refs": repo.git("for-each-ref"),
        "worktrees": repo.git("worktree", "list", "--porcelain"),
        "status": repo.git("status", "--porcelain", "--ignored", "--untracked-files=all"),
        "index": repo.git("ls-files", "-s", "-v"),
        "beside": sorted(os.listdir(repo.path.parent)),
    }


SHAPES = [
    *("tracked", "missing", "sparse", "bare"),
    *(
        pytest.param(shape, marks=pytest.mark.slow)
        for shape in ("ignored", "no-exclude", "no-newline", "subdirectory", "packed")
    ),
]


def shaped(repo, shape, tmp_path):
    """Give a repository a shape; give the checkout to work in."""
    if shape != "missing":
        repo.commit("memory-bank/progress.md", "# Progress\n")
    if shape == "ignored":
        repo.git("rm", "-q", "-r", "--cached", "memory-bank")
        repo.commit(".gitignore", "memory-bank/\n*.log\n")
    elif shape == "sparse":
        repo.git("sparse-checkout", "set", "--cone", "src", "memory-bank")
    elif shape == "no-exclude":
        shutil.rmtree(repo.path / ".git/info")
    elif shape == "no-newline":
        repo.write(".git/info/exclude", "*.mine")
    elif shape == "packed":
        repo.git("pack-refs", "--all")
    elif shape == "bare":
        bare = tmp_path / "proj/.bare"
        repo.git("clone", "-q", "--bare", ".", str(bare))
        repo.git("-C", str(bare), "worktree", "add", "-q", "../main", "main")
        repo.path = tmp_path / "proj/main"
    return repo


@pytest.mark.parametrize("shape", SHAPES)
def test_after_a_purge_nothing_is_left(repo, shape, tmp_path):
    repo = shaped(repo, shape, tmp_path)
    before = picture(repo)
    project = discover(repo.path / ("src" if shape == "subdirectory" else "."), exact=True)
    plans.run(plan(project, 2).actions)
    state = project.directory / ".claude-coordination"
    excludes.hide(state)
    (state / "state.json").write_text("{}")
    for instance in team_instances(project):
        excludes.hide(instance.directory / ".claude-instance")
    assert picture(repo) != before
    made = plan_purge(project)
    assert made.notes == []
    assert plans.run(made.actions) == []
    assert picture(repo) == before


@pytest.mark.parametrize("at", [2, 4, *(pytest.param(at, marks=pytest.mark.slow) for at in (1, 3, 5, 6))])
def test_a_set_up_stopped_half_way_can_be_taken_away(tracked, at):
    before = picture(tracked)
    steps = tracked.plan(2).actions
    assert len(steps) == 7
    plans.run(steps[:at])
    made, warnings = purge(tracked)
    assert (made.notes, warnings) == ([], [])
    assert picture(tracked) == before


def test_a_purge_again_has_nothing_to_do(team):
    purge(team)
    assert plan_purge(team.project()).actions == []
    assert team.plan(1).actions[0].text.startswith("note in .git/peercoord")


def test_a_purge_leaves_work_as_ordinary_worktrees_and_names_it(team):
    team.instance(1).write("work.txt")
    team.instance(2).commit("one.txt")
    made, warnings = purge(team)
    assert warnings == []
    assert [note.split(" stays: ")[0] for note in made.notes] == [
        "../app-instance-1",
        "../app-instance-2",
        "branch team/instance-1",
        "branch team/instance-2",
    ]
    for index in (1, 2):
        there = team.instance(index)
        assert not (there.path / "memory-bank").is_symlink()
        assert (there.path / "memory-bank/progress.md").exists()
    assert team.instance(1).status() == "?? work.txt\n"
    left = json.loads((team.path / ".git/peercoord/team.json").read_text())
    assert (list(left["left"][""]), left["projects"]) == (["team/instance-1", "team/instance-2"], {})
    assert [instance.peer for instance in left_behind(team.project())] == ["instance-1", "instance-2"]
    assert team_instances(team.project()) == []
    assert "peercoord" not in (team.path / ".git/info/exclude").read_text()
    assert "worktreeConfig" not in (team.path / ".git/config").read_text()


def test_a_memory_bank_that_somebody_wrote_in_stays(repo):
    repo.up(1)
    repo.write("memory-bank/progress.md", "# Progress\n\nIt works.\n")
    made, _ = purge(repo)
    assert "memory-bank/ stays: it is more than the empty documents it was made with" in made.notes
    assert repo.path.joinpath("memory-bank/progress.md").read_text() == "# Progress\n\nIt works.\n"
    # nothing hides it any more: it is the user's, to track or to ignore
    assert "?? memory-bank/progress.md" in repo.status()


def test_settings_of_a_worktree_that_the_user_made_since_are_kept(team):
    team.git("worktree", "add", "-q", "../mine", "-b", "mine")
    team.beside("mine").git("config", "--worktree", "user.email", "me@example.invalid")
    _, warnings = purge(team)
    assert len(warnings) == 1
    assert "extensions.worktreeConfig stays on" in warnings[0]
    assert team.beside("mine").git("config", "user.email") == "me@example.invalid\n"


def test_a_repository_that_had_worktree_settings_keeps_them(tracked):
    tracked.git("config", "extensions.worktreeConfig", "true")
    tracked.git("config", "--worktree", "user.email", "me@example.invalid")
    before = picture(tracked)
    tracked.up(1)
    purge(tracked)
    assert picture(tracked) == before


def test_lines_that_the_user_added_around_ours_stay(repo):
    repo.write(".git/info/exclude", "*.mine")
    repo.up(1)
    path = repo.path / ".git/info/exclude"
    path.write_text(path.read_text() + "*.later\n")
    path.chmod(0o640)
    purge(repo)
    assert path.read_text() == "*.mine\n*.later\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_another_team_in_the_same_repository_is_left_whole(repo):
    repo.commit("web/memory-bank/progress.md")
    repo.commit("api/memory-bank/progress.md")
    web, api = (discover(repo.path / name, exact=True) for name in ("web", "api"))
    plans.run(plan(web, 1).actions)
    plans.run(plan(api, 1, WorktreeOptions(branch_prefix="api/")).actions)
    plans.run(plan_purge(web).actions)
    assert team_instances(web) == []
    assert plan(api, 1).actions == []
    assert repo.beside("api-instance-1").status() == repo.status() == ""
    assert repo.git("branch", "--format=%(refname:short)").split() == ["api/instance-1", "main"]
    plans.run(plan_purge(api).actions)
    assert not (repo.path / ".git/peercoord").exists()


def test_a_purge_stopped_half_way_is_gone_on_from(team):
    steps = plan_purge(team.project()).actions
    for _ in range(len(steps)):
        rest = plan_purge(team.project()).actions
        if not rest:
            break
        plans.run(rest[:1])
    assert plan_purge(team.project()).actions == []
    assert not (team.path / ".git/peercoord").exists()
    assert "worktreeConfig" not in (team.path / ".git/config").read_text()
    assert team.git("branch", "--format=%(refname:short)").split() == ["main"]


def test_state_that_is_a_link_is_not_followed(team, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/state.json").write_text("{}")
    (team.path / ".claude-coordination").symlink_to(tmp_path / "shared")
    with pytest.raises(PeercoordError, match="is a link"):
        purge(team)
    assert (tmp_path / "shared/state.json").exists()


def test_what_others_keep_in_our_directory_of_the_git_directory_stays(team):
    manifest.put(team.path / ".git/peercoord/tasks.db", b"x")
    purge(team)
    assert os.listdir(team.path / ".git/peercoord") == ["tasks.db"]


def test_a_removal_that_git_cannot_finish_is_an_error_that_names_the_place(team):
    if os.geteuid() == 0:
        pytest.skip("root may delete everything")
    locked = team.instance(1).path / "src"
    locked.chmod(0o555)
    try:
        with pytest.raises(PeercoordError, match="app-instance-1"):
            remove(team.project(), team_instances(team.project())[0])
    finally:
        locked.chmod(0o755)


def test_the_order_of_the_plan_is_the_reverse_of_set_up(team):
    (team.path / ".claude-coordination").mkdir()
    texts = [action.text for action in plan_purge(team.project()).actions]
    assert [text.split(" ")[0] for text in texts] == [
        "remove",
        "remove",
        "delete",
        "delete",
        "delete",
        "turn",
        "take",
        "delete",
    ]
    assert Path(texts[4].split(" ")[1].rstrip("/")).name == ".claude-coordination"
