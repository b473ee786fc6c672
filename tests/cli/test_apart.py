"""What one instance has broken, or holds, costs that instance: the commands of a person go on with the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import answers
from support.project import git

from peercoord.agent import control
from peercoord.cli import down as down_command
from peercoord.cli import main as cli
from peercoord.membership import membership as members
from peercoord.membership import signals
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.system import process
from peercoord.team import agents

HOLDER = """\
import fcntl, sys
handle = open(sys.argv[1], "r")
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


class Team:
    """A team by the commands of a person, and what a hostile or broken instance does to it."""

    def __init__(self, repo: Path, count: int) -> None:
        self.repo = repo
        self.started: list[subprocess.Popen[str]] = []
        assert self("up", repo, count)[0] == 0
        self.root = roots.open_root(str(repo / paths.ROOT))

    def __call__(self, *words: object) -> tuple[int, Any, str]:
        """Exit code, data or error, and what was told."""
        code, out, err = cli.serve([*map(str, words), "--json"])
        answer = answers.read(out.decode(), *map(str, words))
        return code, answer.get("data") or answer["error"], err.decode()

    def down(self, *more: str) -> tuple[int, Any, str]:
        return self("-C", self.repo, "down", *more)

    def tree(self, number: int) -> Path:
        return self.repo.with_name(f"{self.repo.name}-instance-{number}")

    def instance(self, number: int, name: str) -> Path:
        return self.tree(number) / paths.INSTANCE / name

    def record(self, number: int) -> tuple[Path, dict[str, Any]]:
        [who] = [who for who in members.living(self.root) if who.peer == f"instance-{number}"]
        path = self.repo / paths.ROOT / paths.peer_record(paths.peer_dir(who))
        return path, json.loads(path.read_text())

    def tamper(self, number: int, **facts: object) -> dict[str, Any]:
        """Change the record of an agent in the coordination directory; what it said before."""
        path, before = self.record(number)
        path.write_bytes(records.encode({**before, **facts}))
        return before

    def living(self) -> list[str]:
        return [who.peer for who in members.living(self.root)]

    def running(self) -> list[str]:
        trees = {str(self.tree(number)): f"instance-{number}" for number in range(1, 4)}
        return sorted(trees[one["worktree"]] for one in signals.visible(set(trees)))

    def hold(self, lock: Path) -> subprocess.Popen[str]:
        """Hold a lock in another process, as anything can that may open its file."""
        return self.start("-c", HOLDER, str(lock))

    def start(self, *words: str) -> subprocess.Popen[str]:
        child = subprocess.Popen([sys.executable, *words], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline()
        return child

    def close(self) -> None:
        for child in self.started:
            child.kill()
            child.communicate()
        agents.end(signals.visible({str(self.tree(number)) for number in range(1, 4)}))


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key in [key for key in os.environ if key.startswith("GIT_") or key == "PEERCOORD_PROJECT"]:
        monkeypatch.delenv(key)
    home = Path(os.path.realpath(tmp_path)) / "app"
    home.mkdir()
    git(home, "init", "-q", "-b", "main")
    git(home, "config", "user.name", "t")
    git(home, "config", "user.email", "t@localhost")
    git(home, "commit", "-q", "--allow-empty", "-m", "first")
    return home


@pytest.fixture
def three(repo: Path) -> Iterator[Team]:
    made = Team(repo, 3)
    yield made
    made.close()


@pytest.fixture
def two(repo: Path) -> Iterator[Team]:
    made = Team(repo, 2)
    yield made
    made.close()


def test_a_lock_that_is_no_agents_keeps_nobody_from_stopping_or_starting(two: Team) -> None:
    agent = two.record(1)[1]["agent"]
    signals.send(two.record(1)[1], signal.SIGKILL, wait=30)
    holder = two.hold(two.instance(1, control.LOCK))
    forged = {**process.here(), **agent, "pid_ns": "pid:[1]", "pid": holder.pid}
    two.instance(1, "agent.json").write_bytes(records.encode(forged))
    code, data, _ = two.down()
    assert (code, data["failed"], two.running(), two.living()) == (0, [], [], [])
    assert two("up", two.repo, 2)[0] == 0
    assert two.running() == ["instance-1", "instance-2"]
    assert holder.poll() is None


def test_who_cannot_be_stopped_is_named_and_the_others_are_down(three: Team) -> None:
    """One runs on another host by its record, one has the pid of a stranger, the third is as it should be."""
    stranger = three.start("-c", "print('up', flush=True); import sys; sys.stdin.read()")
    elsewhere = three.tamper(1, pid_ns="pid:[1]")
    agent = three.tamper(2, agent=process.identify(stranger.pid))["agent"]
    signals.send({**three.record(2)[1], "agent": agent}, signal.SIGKILL, wait=30)
    code, data, told = three.down()
    assert code == 1
    failed = {one["id"]: one for one in data["failed"]}
    assert sorted(failed) == ["instance-1", "instance-2"]
    assert "another container" in failed["instance-1"]["message"]
    assert failed["instance-1"]["hint"] == f"stop it there: peercoord -C {three.tree(1)} agent stop"
    assert f"process {stranger.pid} was not signalled" in failed["instance-2"]["message"]
    assert failed["instance-2"]["hint"].endswith(f"kill {stranger.pid}")
    assert "not stopped: instance-1: " in told
    assert stranger.poll() is None
    assert three.living() == ["instance-1"], "what the stranger was said to hold is given back"
    code, error, _ = three.down("--remove")
    assert (code, error["code"]) == (1, "not-stopped")
    assert all(three.tree(number).exists() for number in (1, 2, 3))
    three.tamper(1, pid_ns=elsewhere["pid_ns"])
    assert three.down()[:2][0] == 0
    assert (three.running(), three.living()) == ([], [])


def test_a_broken_instance_is_named_and_the_others_are_set_up(two: Team) -> None:
    assert two.down()[0] == 0
    lock = two.instance(1, control.LOCK)
    lock.unlink()
    (lock / "not empty").mkdir(parents=True)
    code, data, told = two("up", two.repo, 2)
    assert (code, [one["id"] for one in data["failed"]]) == (1, ["instance-1"])
    assert "agent.lock" in data["failed"][0]["message"]
    assert "not set up: instance-1: " in told
    assert two.running() == ["instance-2"]
    assert two("-C", two.repo, "doctor")[0] in (0, 1)
    record = two.repo / ".git" / "worktrees" / "app-instance-2" / "peercoord.json"
    record.write_text("nonsense")  # the coordination directory knows what it said
    (lock / "not empty").rmdir()
    lock.rmdir()
    code, data, _ = two("up", two.repo, 2)
    assert (code, data["failed"]) == (0, [])
    assert two.running() == ["instance-1", "instance-2"]
    assert two.down()[0] == 0
    assert two.running() == []


def test_down_stops_agents_beside_a_foreign_lock_and_without_git(two: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(down_command, "LOCK_SECONDS", 0.01)
    holder = two.hold(two.repo / ".git" / "peercoord" / "lock")
    code, error, _ = two.down("--remove")
    assert (code, error["code"]) == (4, "busy")
    assert f"process {holder.pid} holds it" in error["hint"] or not sys.platform.startswith("linux")
    assert two.running() == []
    holder.kill()
    holder.wait()
    assert two("up", two.repo, 2)[0] == 0
    (two.repo / ".git" / "HEAD").rename(two.repo / "HEAD")
    code, data, _ = two.down()
    assert code == 1
    assert any("only agents were stopped" in warning for warning in data["warnings"])
    assert (two.running(), two.living()) == ([], [])
    (two.repo / "HEAD").rename(two.repo / ".git" / "HEAD")
