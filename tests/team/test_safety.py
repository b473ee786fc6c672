"""What keeps a worktree: each kind of work that could be lost, and what looks like it and is not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from peercoord.store import manifest
from peercoord.team.safety import removable
from peercoord.worktree import landed

from .conftest import Repo


def kinds(repo: Repo, index: int = 1) -> list[str]:
    return [reason.kind for reason in removable(repo.project(), repo.instance(index).path)]


def texts(repo: Repo, index: int = 1) -> str:
    return " | ".join(reason.text for reason in removable(repo.project(), repo.instance(index).path))


SHELL = """set -e
there=../app-instance-1
commit() { printf '%b' "${2-x}\\n" >"$1"; git add -f -- "$1"; git commit -qm work; }
one() { (cd $there; commit one.txt); }
two() { (cd $there; commit one.txt; commit two.txt); }
squash() { git merge -q --squash team/instance-1; git commit -qm squashed; }
hub() { git clone -q --bare . ../../hub.git; git remote add hub "$PWD/../../hub.git"; git fetch -q hub; }
binary() { printf "$1" >a.bin; git add a.bin; git commit -qm binary; }
"""
CHANGED = "echo changed >$there/src/main.py"
KEEPS = {  # what is done in the main checkout or in the worktree; the reason to keep the worktree
    "changed": (CHANGED, "changed", "not committed: src/main.py"),
    "staged": (f"{CHANGED}; git -C $there add src/main.py", "changed", "not committed: src/main.py"),
    "deleted": ("rm $there/src/main.py", "changed", ""),
    "untracked": (
        "cd $there; mkdir b; touch a.txt b/b.txt d.txt \"$(printf 'c\\033[31m.txt')\"",
        "untracked",
        "a.txt, b/b.txt, c\\x1b[31m.txt and 1 more",
    ),
    "ignored": (
        "cd $there; mkdir -p build/deep; touch results.log build/deep/out.bin; echo x >build/deep/out.bin",
        "ignored",
        "build/deep/out.bin, results.log",
    ),
    "a changed copy": ("echo SECRET=mine >$there/.env", "ignored", ".env"),
    "in the bank's place": (
        "cd $there; rm memory-bank; mkdir memory-bank; echo x >memory-bank/progress.md",
        "hidden",
        "",
    ),
    "locked": ("git worktree lock --reason 'claude session 7' $there", "locked", "it is locked: claude session 7"),
    "two commits": ("two", "commits", "2 commits are on team/instance-1 alone, neither merged nor pushed"),
    "on no branch": ("git -C $there switch -q --detach; one", "commits", "1 commit is on no branch alone"),
    "one of two picked": ("two; git cherry-pick team/instance-1~1", "commits", ""),
    "binary of the same look": ("(cd $there; binary '\\000\\001'); binary '\\001\\000'", "commits", ""),
    "a merge with work of its own": (
        """one; git cherry-pick team/instance-1; commit meanwhile.txt
        cd $there; git merge -q --no-commit --no-ff main; echo x >own.txt; git add own.txt; git commit -qm merge""",
        "commits",
        "",
    ),
    "no common history": ("git -C $there switch -q --orphan fresh; one", "commits", ""),
}
KEEPS_NOT = {  # what is done; where the commits are kept
    "an unchanged copy": ("echo SECRET=2 >.env", ""),
    "equal to the main checkout's": ("echo same >cache.log; echo same >$there/cache.log", ""),
    "made again by programs": (
        """git config core.excludesFile "$PWD/.git/more"
        printf 'node_modules/\\n__pycache__/\\n.venv/\\ntarget/\\n' >.git/more
        cd $there; mkdir -p node_modules/x src/__pycache__ .venv/bin target/debug
        touch node_modules/x/index.js src/__pycache__/main.pyc .venv/pyvenv.cfg .venv/bin/python
        touch target/CACHEDIR.TAG target/debug/x""",
        "",
    ),
    "merged": ("one; git merge -q --no-ff -m merge team/instance-1", ""),
    "tagged": ("one; git tag kept team/instance-1", ""),
    "on another branch": ("one; git branch kept team/instance-1", ""),
    "pushed": ("hub; one; git push -q hub team/instance-1", ""),
    "rebased": (
        "two; commit meanwhile.txt; git cherry-pick team/instance-1~1 team/instance-1; commit one.txt later",
        "",
    ),
    "reverted": ("one; git -C $there revert --no-edit HEAD", ""),
    "squashed": ("one; (cd $there; commit src/main.py better); commit meanwhile.txt; squash", ""),
    "squashed and changed in the same lines": (
        """(cd $there; commit one.txt 'a\\nb\\nc'; commit one.txt 'a\\nB\\nc'); squash; commit one.txt 'a\\nBB\\nc'""",
        r"main \(squashed\)",
    ),
    "squashed elsewhere and fetched": (
        """hub; git remote set-head hub main; two; git switch -q -c elsewhere; squash
        git push -q hub elsewhere:main; git switch -q main; git branch -q -D elsewhere; git fetch -q hub""",
        r"hub/HEAD \(",
    ),
    "squashed and reverted": ("one; squash; git revert --no-edit HEAD", r"main \((picked over|squashed)\)"),
}


def act(team: Repo, script: str) -> None:
    subprocess.run(["sh", "-c", SHELL + script], cwd=team.path, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("work", KEEPS)
def test_work_keeps_its_worktree_and_looking_writes_no_object(team: Repo, work: str) -> None:
    script, kind, text = KEEPS[work]
    act(team, script)
    before = team.git("count-objects", "-v")
    assert kind in kinds(team)
    assert len(kinds(team)) == (2 if work == "no common history" else 1)
    assert text in texts(team)
    assert kinds(team, 2) == []
    assert team.git("count-objects", "-v") == before


@pytest.mark.parametrize("work", KEEPS_NOT)
def test_what_is_kept_elsewhere_keeps_no_worktree(team: Repo, work: str) -> None:
    script, where = KEEPS_NOT[work]
    act(team, script)
    assert (kinds(team), kinds(team, 2)) == ([], [])
    tip = team.git("rev-parse", "team/instance-1").strip()
    assert not where or re.match(where, landed.kept_in(team.project(), tip, ["team/instance-1"]))


def test_what_the_team_wrote_and_a_branch_without_commits_keep_no_worktree(team: Repo) -> None:
    there = team.instance(1)
    act(team, "(cd $there; commit .gitignore '!.claude-instance/\\n.env'); git merge -q team/instance-1")
    for name in ("info.json", "agent.lock", "outbox/1"):
        there.write(f".claude-instance/{name}", "{}")
    assert "info.json" in there.status(), "a .gitignore shows it"
    manifest.note_worktree(team.path / ".git/worktrees/app-instance-1", copied="not a list")  # may be damaged
    assert kinds(team) == []
    there.git("switch", "-q", "--orphan", "fresh")
    assert "commits" not in kinds(team)


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_hidden_from_git_status(team: Repo, flag: str) -> None:
    there = team.instance(1)
    there.git("update-index", flag, "src/main.py")
    assert kinds(team) == []
    there.write("src/main.py", "print('local settings')\n")
    assert there.status() == ""
    assert kinds(team) == ["hidden"]


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
