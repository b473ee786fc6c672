"""What one instance has broken, or holds, costs that instance: the commands of a person go on with the others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cli.teams import Team

from peercoord.agent import control
from peercoord.cli import down as down_command
from peercoord.membership import membership as members
from peercoord.membership import signals
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.system import process

Teams = Callable[[int], Team]
Start = Callable[..., subprocess.Popen[str]]
HOLDER = """\
import fcntl, sys
handle = open(sys.argv[1], "r")
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python programs, and returns once they have printed something."""
    with ExitStack() as stack:

        def started(*words: str) -> subprocess.Popen[str]:
            child = subprocess.Popen([sys.executable, *words], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            stack.callback(child.communicate)
            stack.callback(child.kill)
            assert child.stdout is not None
            assert child.stdout.readline()
            return child

        yield started


def record(team: Team, number: int) -> tuple[Path, dict[str, Any]]:
    root = roots.open_root(str(team.repo / paths.ROOT))
    [who] = [who for who in members.living(root) if who.peer == f"instance-{number}"]
    path = team.repo / paths.ROOT / paths.peer_record(paths.peer_dir(who))
    return path, json.loads(path.read_text())


def tamper(team: Team, number: int, **facts: object) -> dict[str, Any]:
    """Change the record of an agent in the coordination directory; what it said before."""
    path, before = record(team, number)
    path.write_bytes(records.encode({**before, **facts}))
    return before


@pytest.mark.slow
def test_who_cannot_be_stopped_is_named_and_the_others_are_down(teams: Teams, start: Start) -> None:
    """One runs on another host by its record, one has the pid of a stranger, the third is as it should be."""
    three = teams(3)
    stranger = start("-c", "print('up', flush=True); import sys; sys.stdin.read()")
    elsewhere = tamper(three, 1, pid_ns="pid:[1]")
    agent = tamper(three, 2, agent=process.identify(stranger.pid))["agent"]
    signals.send({**record(three, 2)[1], "agent": agent}, signal.SIGKILL, wait=30)
    code, data, told = three.person("down")
    failed = {one["id"]: one for one in data["failed"]}
    assert (code, sorted(failed)) == (1, ["instance-1", "instance-2"])
    assert "another container" in failed["instance-1"]["message"]
    assert failed["instance-1"]["hint"] == f"stop it there: peercoord -C {three.tree(1)} agent stop"
    assert f"process {stranger.pid} was not signalled" in failed["instance-2"]["message"]
    assert failed["instance-2"]["hint"].endswith(f"kill {stranger.pid}")
    assert "not stopped: instance-1: " in told
    assert stranger.poll() is None
    assert three.living() == ["instance-1"], "what the stranger was said to hold is given back"
    code, error, _ = three.person("down", "--remove")
    assert (code, error["code"]) == (1, "not-stopped")
    assert all(three.tree(number).exists() for number in (1, 2, 3))
    tamper(three, 1, pid_ns=elsewhere["pid_ns"])
    three.data("down")
    assert (three.running(), three.living()) == ([], [])


@pytest.mark.slow
def test_what_one_instance_holds_or_has_broken_keeps_no_other_from_stopping_or_starting(
    teams: Teams, start: Start
) -> None:
    two = teams(2)
    agent, lock = record(two, 1)[1]["agent"], two.own(1, control.LOCK)
    signals.send(record(two, 1)[1], signal.SIGKILL, wait=30)
    holder = start("-c", HOLDER, str(lock))
    forged = {**process.here(), **agent, "pid_ns": "pid:[1]", "pid": holder.pid}
    two.own(1, "agent.json").write_bytes(records.encode(forged))
    assert (two.data("down")["failed"], two.running(), two.living()) == ([], [], []), "the lock is no agent's"
    two.data("up", two.repo, 2)
    assert two.running() == ["instance-1", "instance-2"]
    assert holder.poll() is None

    two.data("down")
    lock.unlink()
    (lock / "not empty").mkdir(parents=True)
    code, data, told = two("up", two.repo, 2)
    assert (code, [one["id"] for one in data["failed"]]) == (1, ["instance-1"])
    assert "agent.lock" in data["failed"][0]["message"]
    assert "not set up: instance-1: " in told
    assert two.running() == ["instance-2"]
    assert two.person("doctor")[0] in (0, 1)
    git_record = two.repo / ".git" / "worktrees" / "app-instance-2" / "peercoord.json"
    git_record.write_text("nonsense")  # the coordination directory knows what it said
    (lock / "not empty").rmdir()
    lock.rmdir()
    assert two.data("up", two.repo, 2)["failed"] == []
    assert two.running() == ["instance-1", "instance-2"]
    two.data("down")
    assert two.running() == []


def test_down_stops_agents_beside_a_foreign_lock_and_without_git(
    teams: Teams, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(down_command, "LOCK_SECONDS", 0.01)
    one = teams(1)
    holder = start("-c", HOLDER, str(one.repo / ".git" / "peercoord" / "lock"))
    code, error, _ = one.person("down", "--remove")
    assert (code, error["code"]) == (4, "busy")
    assert f"process {holder.pid} holds it" in error["hint"] or not sys.platform.startswith("linux")
    assert one.running() == []
    holder.kill()
    holder.wait()
    one.data("up", one.repo, 1)
    (one.repo / ".git" / "HEAD").rename(one.repo / "HEAD")
    code, data, _ = one.person("down")
    assert (code, any("only agents were stopped" in warning for warning in data["warnings"])) == (1, True)
    assert (one.running(), one.living()) == ([], [])
    (one.repo / "HEAD").rename(one.repo / ".git" / "HEAD")
