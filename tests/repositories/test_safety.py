"""What keeps a worktree when a team is taken down, what is handed over, and where nothing is ever written."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import BIN, Shell, instances, snapshot


@pytest.fixture
def repo(sh: Shell) -> Path:
    made = sh.repository()
    sh.commit(made, "memory-bank/techContext.md", "# Tech\n")
    return made


def kept(sh: Shell, repo: Path, *words: str) -> str:
    """Take the team down with removal; give why ``instance-1`` stays, empty if it went."""
    done = sh.peercoord(repo, "down", "--remove", *words)
    assert sh.agents() == []
    return " ".join(done["notes"]) if done["kept"] else ""


# -- work --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_work_keeps_its_worktree_until_its_name_is_typed(sh: Shell, repo: Path) -> None:
    """Each kind of work alone: tests/team/test_safety.py."""
    tree = instances(sh.up(repo, 1))[0]
    sh.commit(tree)
    (tree / "new.txt").write_text("new")
    before = {key: value for key, value in snapshot(tree).items() if ".claude-instance" not in key}
    said = kept(sh, repo)
    for why in ("not tracked: new.txt", "1 commit is on team/instance-1 alone, neither merged nor pushed"):
        assert why in said
    assert snapshot(tree).items() >= before.items()
    assert "not tracked: new.txt" in " ".join(sh.peercoord(repo, "down", "--purge")["notes"])
    assert sh.peercoord(repo, "down")["actions"] == [], "it is an ordinary worktree by now"
    assert tree.exists()
    sh.peercoord(repo, "down", "--discard", "instance-1")
    assert not tree.exists(), "a name that is typed still takes what a team left"


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
@pytest.mark.slow
def test_what_ran_in_a_session_that_is_closed_keeps_nothing(sh: Shell, repo: Path) -> None:
    sockets = Path(tempfile.mkdtemp(prefix="peercoord-i7-", dir="/tmp"))  # a socket's path has little room
    sh.env["TMUX_TMPDIR"] = str(sockets)
    slow = sh.base / "slow.sh"  # a program that takes its time to end
    slow.write_text("#!/bin/sh\ntrap 'sleep 0.5; exit' HUP TERM\necho ready >$1\nwhile :; do sleep 0.1; done\n")
    slow.chmod(0o755)
    os.mkfifo(sh.base / "ready")
    try:
        made = sh.up(repo, 1, "--launch", "tmux", "--command", f"{slow} {sh.base}/ready")
        assert (sh.base / "ready").read_text() == "ready\n"
        assert list(made["sessions"]) == ["instance-1"]
        assert kept(sh, repo) == ""
        assert not instances(made)[0].exists()
    finally:
        sh.run(repo, "tmux", "kill-server", ok=False)
        shutil.rmtree(sockets, ignore_errors=True)  # the server removes its socket meanwhile


# -- contributions -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_uncollected_contributions_keep_a_worktree(sh: Shell, repo: Path) -> None:
    tree = instances(sh.up(repo, 1))[0]
    sh.peercoord(tree, "agent", "stop")
    note = tree / ".claude-instance" / "memory-contributions" / "techContext-updates.md"
    note.write_text("## Tools\n\n- ruff checks\n")
    assert "were not collected: techContext-updates.md" in kept(sh, repo)
    assert note.exists()
    left = sh.peercoord(tree, "leave")
    assert "were not collected" in " ".join(left.get("warnings", [])) or note.exists()
    assert note.read_text() == "## Tools\n\n- ruff checks\n"
    assert sh.git(tree, "status", "--porcelain", "-uall") == ""


@pytest.mark.slow
def test_a_queued_request_is_served_before_its_worktree_goes(sh: Shell, repo: Path) -> None:
    tree = instances(sh.up(repo, 1))[0]
    sh.task(repo)
    assert sh.verb(tree, "request-task")["epoch"] == 1
    own = tree / ".claude-instance"
    me = (own / "inbox" / "current").read_text().split()[0]
    sh.peercoord(tree, "agent", "stop")
    words = ["1", "0-1-abcdef", me, "1~1", "1", "1", str(tree), "4", "report-progress", "1", "--status", "done"]
    (own / "outbox" / "0-1-abcdef").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    assert kept(sh, repo) == ""
    assert sh.tasks(repo) == {"1": "done"}


# -- output that is closed ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_output_that_is_closed_early_stops_nothing_half_way(sh: Shell, repo: Path) -> None:
    tree = repo.parent / "app-instance-2"
    assert unheard(sh, BIN / "claude-team-coordinated", repo, 2) == 0
    assert sh.up(repo)["actions"] == []
    assert len(sh.agents()) == 2
    assert sh.verb(tree, "check-status")["instance_id"] == "instance-2"
    assert unheard(sh, BIN / "peercoord", "-C", repo, "down", "--purge") == 0
    assert sh.agents() == []
    assert sorted(path.name for path in repo.parent.iterdir()) == ["app"]
    assert not (repo / ".git" / "peercoord").exists()


def unheard(sh: Shell, *words: object) -> int:
    """Run a command whose output is closed from the first line on."""
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([str(word) for word in words], env=sh.env, stdout=write, stderr=subprocess.DEVNULL) as done:
        os.close(write)
        return done.wait()


# -- hand-over ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_task_comes_with_what_its_last_holder_left_when_the_team_was_down(sh: Shell, repo: Path) -> None:
    """A release and an eviction: tests/cli/test_work.py."""
    one, two = instances(sh.up(repo, 2))
    sh.task(repo)
    assert sh.verb(one, "request-task")["hand_over"] == {}
    sh.verb(one, "report-progress", "1", "--progress", "0.3", "--achievement", "a third", "--blocker", "no key")
    tip = sh.commit(one, "third.txt")
    (one / "fourth.txt").write_text("half a thought")
    sh.peercoord(one, "agent", "stop")
    sh.peercoord(repo, "down")
    sh.up(repo)
    left = sh.verb(two, "request-task")["hand_over"]
    assert (left["peer"], left["progress"], left["commit"]) == ("instance-1", 0.3, tip)
    assert (left["achievements"], left["blockers"]) == (["a third"], ["no key"])
    assert (left["worktree"], left["branch"], left["dirty_files"]) == (str(one), "team/instance-1", ["fourth.txt"])


# -- nothing outside ---------------------------------------------------------------------------------------------


@pytest.fixture
def other_home(sh: Shell) -> Iterator[Shell]:
    """A home that can be taken away. Root may write what is read-only, so what was written is looked for as well."""
    yield sh
    for place in (sh.home, *sh.home.iterdir()) if sh.home.exists() else ():
        place.chmod(0o755)


@pytest.mark.parametrize(
    "home", ["read-only", *(pytest.param(home, marks=pytest.mark.slow) for home in ("missing", "unset"))]
)
@pytest.mark.slow
def test_nothing_outside_the_project_and_its_worktrees_is_written(other_home: Shell, home: str) -> None:
    sh = other_home
    repo = sh.repository()
    config = sh.base / "config"
    shutil.copy(sh.home / ".gitconfig", config)
    sh.env["GIT_CONFIG_GLOBAL"] = str(config)
    sh.env |= {"TMPDIR": str(sh.base / "tmp"), "XDG_RUNTIME_DIR": str(sh.base / "run")}
    for place in ("tmp", "run"):
        (sh.base / place).mkdir()
    if home == "read-only":
        for place in (*sh.home.iterdir(), sh.home):
            place.chmod(0o555)
    elif home == "missing":
        shutil.rmtree(sh.home)
    else:
        del sh.env["HOME"]
    before = {key: value for key, value in snapshot(sh.base).items() if not key.startswith("work/")}
    tree = instances(sh.up(repo, 1))[0]
    sh.task(repo)
    assert sh.verb(tree, "request-task")["task_id"] == 1
    sh.verb(tree, "report-progress", "1", "--progress", "0.5", "--achievement", "x")
    sh.verb(tree, "update-memory", "--file", "techContext.md", "--content", "- x")
    sh.verb(tree, "check-status")
    sh.peercoord(repo, "status")
    sh.verb(tree, "report-progress", "1", "--status", "done")
    assert kept(sh, repo) == ""
    assert "actions" in sh.peercoord(repo, "down", "--purge", "--discard", "memory")
    assert {key: value for key, value in snapshot(sh.base).items() if not key.startswith("work/")} == before
    assert sorted(path.name for path in repo.parent.iterdir()) == ["app"]
