"""What keeps a worktree: one test for each kind of work that could be lost, and for what looks like it and is not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from peercoord.store import manifest
from peercoord.team.safety import removable
from peercoord.worktree import landed


def kinds(repo, index=1, **more):
    return [reason.kind for reason in removable(repo.project(), repo.instance(index).path, **more)]


def texts(repo, index=1):
    return " | ".join(reason.text for reason in removable(repo.project(), repo.instance(index).path))


def test_a_fresh_worktree_may_go(team):
    assert kinds(team) == []


def test_what_the_team_put_there_does_not_keep_it(team):
    team.instance(1).write(".claude-instance/info.json", "{}")
    team.instance(1).write(".claude-instance/outbox/1", "")
    assert kinds(team) == []


# -- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("staged", [False, True])
def test_changes(team, staged):
    team.instance(1).write("src/main.py", "print('changed')\n")
    if staged:
        team.instance(1).git("add", "src/main.py")
    assert kinds(team) == ["changed"]
    assert "not committed: src/main.py" in texts(team)


def test_a_deletion_is_a_change(team):
    (team.instance(1).path / "src/main.py").unlink()
    assert kinds(team) == ["changed"]


def test_untracked_files_are_named_the_first_three(team):
    for name in ("a.txt", "b/b.txt", "c\x1b[31m.txt", "d.txt"):
        team.instance(1).write(name)
    assert kinds(team) == ["untracked"]
    assert "a.txt, b/b.txt, c\\x1b[31m.txt and 1 more" in texts(team)


def test_ignored_files_that_are_only_there(team):
    team.instance(1).write("results.log", "a day of computing\n")
    team.instance(1).write("build/deep/out.bin", "x")
    assert kinds(team) == ["ignored"]
    assert "build/deep/out.bin, results.log" in texts(team)


def test_a_copy_that_was_changed_is_work_and_one_that_was_not_is_none(team):
    team.instance(1).write(".env", "SECRET=mine\n")
    assert kinds(team) == ["ignored"]
    team.write(".env", "SECRET=2\n")
    assert kinds(team, 2) == []


def test_an_ignored_file_equal_to_the_main_checkout_s_is_no_work(team):
    team.write("cache.log", "same\n")
    team.instance(1).write("cache.log", "same\n")
    assert kinds(team) == []


def test_what_programs_make_again_is_no_work(team):
    there = team.instance(1)
    team.git("config", "core.excludesFile", str(team.path / ".git/more"))
    team.write(".git/more", "node_modules/\n__pycache__/\n.venv/\ntarget/\n")
    there.write("node_modules/x/index.js")
    there.write("src/__pycache__/main.pyc")
    there.write(".venv/pyvenv.cfg")
    there.write(".venv/bin/python")
    there.write("target/CACHEDIR.TAG")
    there.write("target/debug/x")
    assert kinds(team) == []


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_hidden_from_git_status(team, flag):
    there = team.instance(1)
    there.git("update-index", flag, "src/main.py")
    assert kinds(team) == []
    there.write("src/main.py", "print('local settings')\n")
    assert there.status() == ""
    assert kinds(team) == ["hidden"]


def test_a_file_written_in_the_memory_bank_s_place(team):
    (team.instance(1).path / "memory-bank").unlink()
    team.instance(1).write("memory-bank/progress.md", "# Only here\n")
    assert kinds(team) == ["hidden"]


# -- commits -----------------------------------------------------------------------------------------------------


def test_commits_of_its_own(team):
    team.instance(1).commit("one.txt")
    team.instance(1).commit("two.txt")
    assert kinds(team) == ["commits"]
    assert "2 commits are on team/instance-1 alone, neither merged nor pushed" in texts(team)


def test_commits_on_no_branch(team):
    team.instance(1).git("switch", "-q", "--detach")
    assert kinds(team) == []
    team.instance(1).commit("one.txt")
    assert "1 commit is on no branch alone" in texts(team)


def test_merged_commits(team):
    team.instance(1).commit("one.txt")
    team.git("merge", "-q", "--no-ff", "-m", "merge", "team/instance-1")
    assert kinds(team) == []


def test_commits_kept_by_another_branch_or_a_tag(team):
    team.instance(1).commit("one.txt")
    team.git("tag", "kept", "team/instance-1")
    assert kinds(team) == []
    team.git("tag", "-d", "kept")
    team.git("branch", "kept", "team/instance-1")
    assert kinds(team) == []


def test_pushed_commits(team, tmp_path):
    team.git("clone", "-q", "--bare", ".", str(tmp_path / "hub.git"))
    team.git("remote", "add", "hub", str(tmp_path / "hub.git"))
    team.instance(1).commit("one.txt")
    assert kinds(team) == ["commits"]
    team.instance(1).git("push", "-q", "hub", "team/instance-1")
    assert kinds(team) == []


def squash(team, message="squashed"):
    team.git("merge", "-q", "--squash", "team/instance-1")
    team.git("commit", "-q", "-m", message)


def test_squash_merged_commits(team):
    team.instance(1).commit("one.txt")
    team.instance(1).commit("src/main.py", "print('better')\n")
    team.commit("meanwhile.txt")
    squash(team)
    assert kinds(team) == []


def test_squash_merged_and_changed_further_in_the_same_lines(team):
    team.instance(1).commit("one.txt", "a\nb\nc\n")
    team.instance(1).commit("one.txt", "a\nB\nc\n")
    squash(team)
    team.commit("one.txt", "a\nBB\nc\n")
    tip = team.git("rev-parse", "team/instance-1").strip()
    assert landed.kept_in(team.project(), tip, ["team/instance-1"]) == "main (squashed)"
    assert kinds(team) == []


def test_squash_merged_upstream_and_fetched(team, tmp_path):
    team.git("clone", "-q", "--bare", ".", str(tmp_path / "hub.git"))
    team.git("remote", "add", "hub", str(tmp_path / "hub.git"))
    team.git("fetch", "-q", "hub")
    team.git("remote", "set-head", "hub", "main")
    team.instance(1).commit("one.txt")
    team.instance(1).commit("two.txt")
    team.git("switch", "-q", "-c", "elsewhere")
    squash(team)
    team.git("push", "-q", "hub", "elsewhere:main")
    team.git("switch", "-q", "main")
    team.git("branch", "-q", "-D", "elsewhere")
    team.git("fetch", "-q", "hub")
    tip = team.git("rev-parse", "team/instance-1").strip()
    assert landed.kept_in(team.project(), tip, ["team/instance-1"]).startswith("hub/HEAD (")
    assert kinds(team) == []


def test_rebased_commits(team):
    there = team.instance(1)
    first, second = there.commit("one.txt"), there.commit("two.txt")
    team.commit("meanwhile.txt")
    team.git("cherry-pick", first, second)
    team.commit("one.txt", "changed later\n")
    assert kinds(team) == []


def test_a_commit_and_its_revert_leave_nothing_to_lose(team):
    team.instance(1).commit("one.txt")
    team.instance(1).git("revert", "--no-edit", "HEAD")
    assert kinds(team) == []


def test_one_commit_of_two_picked_over_is_not_enough(team):
    first = team.instance(1).commit("one.txt")
    team.instance(1).commit("two.txt")
    team.git("cherry-pick", first)
    assert kinds(team) == ["commits"]


def test_work_that_was_taken_in_and_reverted_later_is_in_the_history(team):
    team.instance(1).commit("one.txt")
    squash(team)
    assert kinds(team) == []
    team.git("revert", "--no-edit", "HEAD")
    tip = team.git("rev-parse", "team/instance-1").strip()
    # its commit is still in the history: nothing is lost, and that is what is asked
    assert landed.kept_in(team.project(), tip, ["team/instance-1"]) in ("main (picked over)", "main (squashed)")


def test_binary_work_is_not_taken_for_merged_by_a_text_of_the_same_look(team):
    there = team.instance(1)
    (there.path / "a.bin").write_bytes(bytes(range(256)))
    there.git("add", "-A")
    there.git("commit", "-q", "-m", "binary")
    (team.path / "a.bin").write_bytes(bytes(range(255, -1, -1)))
    team.git("add", "-A")
    team.git("commit", "-q", "-m", "other binary")
    assert kinds(team) == ["commits"]


def test_a_merge_with_work_of_its_own_is_not_taken_for_picked_over(team):
    there = team.instance(1)
    picked = there.commit("one.txt")
    team.git("cherry-pick", picked)
    team.commit("meanwhile.txt")
    there.git("merge", "-q", "--no-commit", "--no-ff", "main")
    there.write("resolution.txt", "hard thinking\n")
    there.git("add", "resolution.txt")
    there.git("commit", "-q", "-m", "merge with work")
    assert kinds(team) == ["commits"]


def test_a_history_without_common_ground(team):
    there = team.instance(1)
    there.git("switch", "-q", "--orphan", "fresh")
    assert "commits" not in kinds(team)
    there.commit("one.txt")
    assert "commits" in kinds(team)


def test_two_branches_on_one_commit_do_not_both_go(team):
    team.instance(1).commit("one.txt")
    team.instance(2).git("reset", "-q", "--hard", "team/instance-1")
    tip = team.git("rev-parse", "team/instance-1").strip()
    assert landed.kept_in(team.project(), tip, ["team/instance-1"]) == "team/instance-2"
    assert landed.kept_in(team.project(), tip, ["team/instance-1", "team/instance-2"]) == ""


def test_looking_writes_no_object(team):
    team.instance(1).commit("one.txt")
    team.commit("two.txt")
    before = team.git("count-objects", "-v")
    assert kinds(team) == ["commits"]
    assert team.git("count-objects", "-v") == before


# -- the rest ----------------------------------------------------------------------------------------------------


def test_a_stash_made_there(team):
    team.instance(1).write("src/main.py", "print('changed')\n")
    team.instance(1).git("stash")
    team.instance(2).write("src/main.py", "print('changed too')\n")
    team.instance(2).git("stash", "push", "-m", "try: this")
    assert texts(team) == "stashed there: stash@{1}"
    assert texts(team, 2) == "stashed there: stash@{0}"


def test_a_lock_with_its_reason(team):
    team.git("worktree", "lock", "--reason", "claude session 7", "../app-instance-1")
    assert texts(team) == "it is locked: claude session 7"


@pytest.mark.parametrize("what", ["merge", "rebase", "cherry-pick", "revert", "bisect"])
def test_an_operation_under_way(team, what):
    there = team.instance(1)
    there.commit("src/main.py", "print('theirs')\n")
    there.commit("src/main.py", "print('theirs again')\n")
    team.commit("src/main.py", "print('ours')\n")
    words = {
        "merge": ("merge", "main"),
        "rebase": ("rebase", "main"),
        "cherry-pick": ("cherry-pick", "main"),
        "revert": ("revert", "--no-edit", "HEAD~1"),
        "bisect": ("bisect", "start"),
    }[what]
    there.git(*words, ok=False)
    assert "under-way" in kinds(team)
    assert "under way" in texts(team)


def test_a_process_that_works_there_with_its_number_and_command(team):
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()"],
        cwd=team.instance(1).path / "src",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline() == b"here\n"
        assert kinds(team) == ["process"]
        assert f"process {process.pid} works there: {sys.executable} -c" in texts(team)
        assert kinds(team, ignore_pids=[process.pid]) == []
        assert kinds(team, 2) == []
    finally:
        process.communicate()
    assert kinds(team) == []


def test_a_worktree_whose_directory_is_gone_is_kept_for_what_was_staged(team):
    team.instance(1).write("new.txt")
    team.instance(1).git("add", "new.txt")
    subprocess.run(["rm", "-r", str(team.instance(1).path), str(team.instance(2).path)], check=True)
    assert "this was staged: new.txt" in texts(team)
    assert kinds(team, 2) == []


@pytest.fixture
def with_submodule(team, tmp_path):
    team.git("init", "-q", str(tmp_path / "lib"))
    lib = team.beside("x")
    lib.path = tmp_path / "lib"
    lib.commit("lib.txt")
    team.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib.path), "lib")
    team.git("commit", "-q", "-m", "lib")
    team.instance(1).git("merge", "-q", "main")
    team.up()
    return team


def test_a_clean_submodule_may_go(with_submodule):
    assert (with_submodule.instance(1).path / "lib/lib.txt").exists()
    assert kinds(with_submodule) == []


def test_commits_that_only_a_submodule_there_has(with_submodule):
    there = with_submodule.instance(1)
    inner = there.beside("app-instance-1/lib")
    tip = inner.commit("more.txt")
    there.git("commit", "-q", "-a", "-m", "newer lib")
    with_submodule.git("merge", "-q", "team/instance-1")
    assert kinds(with_submodule) == ["submodule"]
    assert f"submodule lib: commits are there alone, not pushed: {tip[:7]}" in texts(with_submodule)
    main = with_submodule.beside("app/lib")
    main.git("fetch", "-q", str(inner.path), f"{tip}:refs/heads/kept")
    assert kinds(with_submodule) == []


def test_a_submodule_that_gitmodules_ignores_counts(with_submodule):
    team, there = with_submodule, with_submodule.instance(1)
    for at in (team, there):
        at.git("config", "-f", ".gitmodules", "submodule.lib.ignore", "all")
        at.git("commit", "-q", "-a", "-m", "ignore it")
    there.git("reset", "-q", "--hard", "main")
    tip = there.beside("app-instance-1/lib").commit("more.txt")
    there.git("update-index", "--cacheinfo", f"160000,{tip},lib")
    there.git("commit", "-q", "-m", "newer lib")
    main = team.beside("app/lib")
    main.git("fetch", "-q", str(there.path / "lib"), f"{tip}:refs/heads/kept")
    assert "1 commit is on team/instance-1 alone" in texts(team)


def test_files_and_stashes_in_a_submodule(with_submodule):
    inner = with_submodule.instance(1).beside("app-instance-1/lib")
    inner.write("lib.txt", "changed\n")
    inner.git("stash")
    assert "submodule lib: it has stashes" in texts(with_submodule)
    inner.write("new.txt")
    assert "submodule lib: not tracked: new.txt" in texts(with_submodule)


def test_the_record_of_copies_may_be_damaged_in_shape(team):
    git_dir = team.path / ".git/worktrees/app-instance-1"
    manifest.note_worktree(git_dir, copied="not a list")
    assert kinds(team) == []
