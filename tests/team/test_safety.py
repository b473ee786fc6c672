"""What keeps a worktree: each kind of work that could be lost, and what looks like it and is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from peercoord.store import manifest
from peercoord.team.safety import removable
from peercoord.worktree import landed

from .conftest import Repo


def kinds(repo: Repo, index: int = 1, **more: object) -> list[str]:
    return [reason.kind for reason in removable(repo.project(), repo.instance(index).path, **more)]


def texts(repo: Repo, index: int = 1) -> str:
    return " | ".join(reason.text for reason in removable(repo.project(), repo.instance(index).path))


# -- files -------------------------------------------------------------------------------------------------------


def changed(team: Repo, there: Repo) -> None:
    there.write("src/main.py", "print('changed')\n")


def staged(team: Repo, there: Repo) -> None:
    changed(team, there)
    there.git("add", "src/main.py")


def deleted(team: Repo, there: Repo) -> None:
    (there.path / "src/main.py").unlink()


def untracked(team: Repo, there: Repo) -> None:
    for name in ("a.txt", "b/b.txt", "c\x1b[31m.txt", "d.txt"):
        there.write(name)


def ignored(team: Repo, there: Repo) -> None:
    there.write("results.log", "a day of computing\n")
    there.write("build/deep/out.bin", "x")


def changed_copy(team: Repo, there: Repo) -> None:
    there.write(".env", "SECRET=mine\n")


def unchanged_copy(team: Repo, there: Repo) -> None:
    team.write(".env", "SECRET=2\n")


def equal_to_the_main_checkouts(team: Repo, there: Repo) -> None:
    team.write("cache.log", "same\n")
    there.write("cache.log", "same\n")


def made_again_by_programs(team: Repo, there: Repo) -> None:
    team.git("config", "core.excludesFile", str(team.path / ".git/more"))
    team.write(".git/more", "node_modules/\n__pycache__/\n.venv/\ntarget/\n")
    for name in ("node_modules/x/index.js", "src/__pycache__/main.pyc", ".venv/pyvenv.cfg", ".venv/bin/python"):
        there.write(name)
    there.write("target/CACHEDIR.TAG")
    there.write("target/debug/x")


def written_by_the_team(team: Repo, there: Repo) -> None:
    there.commit(".gitignore", "!.claude-instance/\n.env\n")
    team.git("merge", "-q", "team/instance-1")
    for name in ("info.json", "agent.lock", "outbox/1"):
        there.write(f".claude-instance/{name}", "{}")
    assert "info.json" in there.status(), "a .gitignore shows it"
    git_dir = team.path / ".git/worktrees/app-instance-1"
    manifest.note_worktree(git_dir, copied="not a list")  # a record of copies may be damaged


def written_in_the_banks_place(team: Repo, there: Repo) -> None:
    (there.path / "memory-bank").unlink()
    there.write("memory-bank/progress.md", "# Only here\n")


def locked(team: Repo, there: Repo) -> None:
    team.git("worktree", "lock", "--reason", "claude session 7", "../app-instance-1")


# -- commits -----------------------------------------------------------------------------------------------------


def two_commits(team: Repo, there: Repo) -> None:
    there.commit("one.txt")
    there.commit("two.txt")


def on_no_branch(team: Repo, there: Repo) -> None:
    there.git("switch", "-q", "--detach")
    there.commit("one.txt")


def merged(team: Repo, there: Repo) -> None:
    there.commit("one.txt")
    team.git("merge", "-q", "--no-ff", "-m", "merge", "team/instance-1")


def tagged(team: Repo, there: Repo) -> None:
    there.commit("one.txt")
    team.git("tag", "kept", "team/instance-1")


def on_another_branch(team: Repo, there: Repo) -> None:
    there.commit("one.txt")
    team.git("branch", "kept", "team/instance-1")


def hub(team: Repo) -> None:
    team.git("clone", "-q", "--bare", ".", "../../hub.git")
    team.git("remote", "add", "hub", str(team.path.parent.parent / "hub.git"))


def pushed(team: Repo, there: Repo) -> None:
    hub(team)
    there.commit("one.txt")
    assert kinds(team) == ["commits"]
    there.git("push", "-q", "hub", "team/instance-1")


def squash(team: Repo) -> None:
    team.git("merge", "-q", "--squash", "team/instance-1")
    team.git("commit", "-q", "-m", "squashed")


def squashed(team: Repo, there: Repo) -> None:
    there.commit("one.txt")
    there.commit("src/main.py", "print('better')\n")
    team.commit("meanwhile.txt")
    squash(team)


def squashed_and_changed_in_the_same_lines(team: Repo, there: Repo) -> None:
    there.commit("one.txt", "a\nb\nc\n")
    there.commit("one.txt", "a\nB\nc\n")
    squash(team)
    team.commit("one.txt", "a\nBB\nc\n")
    assert kept_in(team) == "main (squashed)"


def squashed_elsewhere_and_fetched(team: Repo, there: Repo) -> None:
    hub(team)
    team.git("fetch", "-q", "hub")
    team.git("remote", "set-head", "hub", "main")
    two_commits(team, there)
    team.git("switch", "-q", "-c", "elsewhere")
    squash(team)
    team.git("push", "-q", "hub", "elsewhere:main")
    team.git("switch", "-q", "main")
    team.git("branch", "-q", "-D", "elsewhere")
    team.git("fetch", "-q", "hub")
    assert kept_in(team).startswith("hub/HEAD (")


def squashed_and_reverted(team: Repo, there: Repo) -> None:
    there.commit("one.txt")
    squash(team)
    team.git("revert", "--no-edit", "HEAD")
    assert kept_in(team) in ("main (picked over)", "main (squashed)"), "it is still in the history"


def rebased(team: Repo, there: Repo) -> None:
    first, second = there.commit("one.txt"), there.commit("two.txt")
    team.commit("meanwhile.txt")
    team.git("cherry-pick", first, second)
    team.commit("one.txt", "changed later\n")


def reverted(team: Repo, there: Repo) -> None:
    there.commit("one.txt")
    there.git("revert", "--no-edit", "HEAD")


def one_of_two_picked(team: Repo, there: Repo) -> None:
    first = there.commit("one.txt")
    there.commit("two.txt")
    team.git("cherry-pick", first)


def binary_of_the_same_look(team: Repo, there: Repo) -> None:
    for repo, order in ((there, 1), (team, -1)):
        (repo.path / "a.bin").write_bytes(bytes(range(256))[::order])
        repo.git("add", "-A")
        repo.git("commit", "-q", "-m", "binary")


def merge_with_work_of_its_own(team: Repo, there: Repo) -> None:
    team.git("cherry-pick", there.commit("one.txt"))
    team.commit("meanwhile.txt")
    there.git("merge", "-q", "--no-commit", "--no-ff", "main")
    there.write("resolution.txt", "hard thinking\n")
    there.git("add", "resolution.txt")
    there.git("commit", "-q", "-m", "merge with work")


def no_common_history(team: Repo, there: Repo) -> None:
    there.git("switch", "-q", "--orphan", "fresh")
    assert "commits" not in kinds(team)
    there.commit("one.txt")


def kept_in(team: Repo, *without: str) -> str:
    tip = team.git("rev-parse", "team/instance-1").strip()
    return landed.kept_in(team.project(), tip, ["team/instance-1", *without])


NAMED_THREE = "a.txt, b/b.txt, c\\x1b[31m.txt and 1 more"
KEEPS = [
    (changed, "changed", "not committed: src/main.py"),
    (staged, "changed", "not committed: src/main.py"),
    (deleted, "changed", ""),
    (untracked, "untracked", NAMED_THREE),
    (ignored, "ignored", "build/deep/out.bin, results.log"),
    (changed_copy, "ignored", ".env"),
    (written_in_the_banks_place, "hidden", ""),
    (locked, "locked", "it is locked: claude session 7"),
    (two_commits, "commits", "2 commits are on team/instance-1 alone, neither merged nor pushed"),
    (on_no_branch, "commits", "1 commit is on no branch alone"),
    (one_of_two_picked, "commits", ""),
    (binary_of_the_same_look, "commits", ""),
    (merge_with_work_of_its_own, "commits", ""),
    (no_common_history, "commits", ""),
]
KEEPS_NOT = [
    *(unchanged_copy, equal_to_the_main_checkouts, made_again_by_programs, written_by_the_team),
    *(merged, tagged, on_another_branch, pushed, rebased, reverted),
    *(squashed, squashed_and_changed_in_the_same_lines, squashed_elsewhere_and_fetched, squashed_and_reverted),
]
Act = Callable[[Repo, Repo], None]


@pytest.mark.parametrize(("act", "kind", "text"), KEEPS, ids=lambda one: getattr(one, "__name__", ""))
def test_work_keeps_its_worktree_and_looking_writes_no_object(team: Repo, act: Act, kind: str, text: str) -> None:
    act(team, team.instance(1))
    before = team.git("count-objects", "-v")
    assert kind in kinds(team)
    assert len(kinds(team)) == (2 if act is no_common_history else 1)
    assert text in texts(team)
    assert kinds(team, 2) == []
    assert team.git("count-objects", "-v") == before


@pytest.mark.parametrize("act", KEEPS_NOT, ids=lambda act: act.__name__)
def test_what_is_kept_elsewhere_keeps_no_worktree(team: Repo, act: Act) -> None:
    act(team, team.instance(1))
    assert kinds(team) == []
    assert kinds(team, 2) == []


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_hidden_from_git_status(team: Repo, flag: str) -> None:
    there = team.instance(1)
    there.git("update-index", flag, "src/main.py")
    assert kinds(team) == []
    there.write("src/main.py", "print('local settings')\n")
    assert there.status() == ""
    assert kinds(team) == ["hidden"]


def test_two_branches_on_one_commit_do_not_both_go(team: Repo) -> None:
    team.instance(1).commit("one.txt")
    team.instance(2).git("reset", "-q", "--hard", "team/instance-1")
    assert kept_in(team) == "team/instance-2"
    assert kept_in(team, "team/instance-2") == ""


# -- the rest ----------------------------------------------------------------------------------------------------


def test_a_stash_made_there(team: Repo) -> None:
    team.instance(1).write("src/main.py", "print('changed')\n")
    team.instance(1).git("stash")
    team.instance(2).write("src/main.py", "print('changed too')\n")
    team.instance(2).git("stash", "push", "-m", "try: this")
    assert texts(team) == "stashed there: stash@{1}"
    assert texts(team, 2) == "stashed there: stash@{0}"


@pytest.mark.slow
def test_an_operation_under_way(team: Repo) -> None:
    there = team.instance(1)
    there.commit("src/main.py", "print('theirs')\n")
    there.commit("src/main.py", "print('theirs again')\n")
    team.commit("src/main.py", "print('ours')\n")
    for words, end in (
        (("merge", "main"), ("merge", "--abort")),
        (("rebase", "main"), ("rebase", "--abort")),
        (("cherry-pick", "main"), ("cherry-pick", "--abort")),
        (("revert", "--no-edit", "HEAD~1"), ("revert", "--abort")),
        (("bisect", "start"), ("bisect", "reset")),
    ):
        there.git(*words, ok=False)
        assert "under-way" in kinds(team), words
        assert "under way" in texts(team)
        there.git(*end)
        assert kinds(team) == ["commits"]


def test_a_process_that_works_there_with_its_number_and_command(team: Repo) -> None:
    words = [sys.executable, "-c", "print('here', flush=True); input()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=team.instance(1).path / "src", **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        assert (kinds(team), kinds(team, ignore_pids=[process.pid]), kinds(team, 2)) == (["process"], [], [])
        assert f"process {process.pid} works there: {sys.executable} -c" in texts(team)
        process.communicate()
    assert kinds(team) == []


def test_a_worktree_whose_directory_is_gone_is_kept_for_what_was_staged(team: Repo) -> None:
    team.instance(1).write("new.txt")
    team.instance(1).git("add", "new.txt")
    subprocess.run(["rm", "-r", str(team.instance(1).path), str(team.instance(2).path)], check=True)
    assert "this was staged: new.txt" in texts(team)
    assert kinds(team, 2) == []


def test_work_in_a_submodule(team: Repo, tmp_path: Path) -> None:
    team.git("init", "-q", str(tmp_path / "lib"))
    Repo(tmp_path / "lib").commit("lib.txt")
    team.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(tmp_path / "lib"), "lib")
    team.git("commit", "-q", "-m", "lib")
    there = team.instance(1)
    there.git("merge", "-q", "main")
    team.up()
    inner, main = there.beside("app-instance-1/lib"), team.beside("app/lib")
    assert (inner.path / "lib.txt").exists()
    assert kinds(team) == []
    tip = inner.commit("more.txt")
    there.git("commit", "-q", "-a", "-m", "newer lib")
    team.git("merge", "-q", "team/instance-1")
    assert kinds(team) == ["submodule"]
    assert f"submodule lib: commits are there alone, not pushed: {tip[:7]}" in texts(team)
    main.git("fetch", "-q", str(inner.path), f"{tip}:refs/heads/kept")
    assert kinds(team) == []
    for at in (team, there):  # a submodule that .gitmodules ignores counts
        at.git("config", "-f", ".gitmodules", "submodule.lib.ignore", "all")
        at.git("commit", "-q", "-a", "-m", "ignore it")
    there.git("reset", "-q", "--hard", "main")
    tip = inner.commit("again.txt")
    there.git("update-index", "--cacheinfo", f"160000,{tip},lib")
    there.git("commit", "-q", "-m", "newer lib")
    main.git("fetch", "-q", str(inner.path), f"{tip}:refs/heads/kept-too")
    assert "1 commit is on team/instance-1 alone" in texts(team)
    inner.write("lib.txt", "changed\n")
    inner.git("stash")
    assert "submodule lib: it has stashes" in texts(team)
    inner.write("new.txt")
    assert "submodule lib: not tracked: new.txt" in texts(team)
