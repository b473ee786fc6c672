"""Agents that cannot write say so once, keep trying, and recover by themselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from agent.crew import Crew, stays, until

from peercoord.queue.peer import Peer
from peercoord.queue.reassign import reassign
from peercoord.system import process
from peercoord.system.disk import Disk

Team = Callable[..., Crew]
QUICK = {"heartbeat_seconds": 1, "state_seconds": 1}


@pytest.mark.slow
def test_a_directory_that_was_moved_away_and_comes_back(team: Team) -> None:
    crew = team(**QUICK)
    crew.agent("one")
    crew.call("one", "request-task")
    home = crew.home("one")
    away = crew.base / "away"
    crew.state.rename(away)
    until(lambda: "joining again failed: " in crew.log("one"))
    stays(lambda: crew.log("one").count("joining again failed") == 1, 2.5)
    assert not crew.state.exists(), "no agent creates a directory where the mount is missing"
    code, _, told = crew.call("one", "check-status")
    assert code == 3
    assert "no coordination directory" in told
    away.rename(crew.state)
    until(lambda: "joining again works again" in crew.log("one"))
    assert crew.home("one") == home
    assert crew.holder("1") == "one"


@pytest.mark.slow
def test_a_worktree_that_is_removed_takes_its_agent_with_it(team: Team) -> None:
    crew = team(**QUICK)
    pid = crew.agent("one")
    crew.call("one", "request-task")
    crew.tree("one").rename(crew.base.parent / f"{crew.base.name}-gone")
    until(lambda: process.identify(pid) is None, what="the agent's end")
    assert crew.home("one") is None
    assert crew.where("1") == "ready"
    [told] = crew.events("agent-ended")
    assert told["because"] == f"its worktree {crew.base}/one is gone"


def clean(crew: Crew) -> dict[str, bytes]:
    """Do what ``git clean -fdx`` does in the worktree of one; what its ``.claude-instance/`` held."""
    home = crew.tree("one") / ".claude-instance"
    held = {path.name: path.read_bytes() for path in home.iterdir() if path.name in ("info.json", "coordinate.sh")}
    while home.exists():  # an agent is at work in there
        shutil.rmtree(home, ignore_errors=True)
    return held


@pytest.mark.slow
def test_a_cleaned_worktree_that_nobody_mends_ends_its_agent_and_its_tasks_go_back(team: Team) -> None:
    crew = team(session_grace_seconds=1, **QUICK)
    pid = crew.agent("one")
    reassign(crew.queue, "1", "one")
    clean(crew)
    until(lambda: process.identify(pid) is None, what="the agent's end")
    assert crew.home("one") is None
    assert crew.where("1") == "ready"
    assert crew.leader() == ""
    assert not (crew.tree("one") / ".claude-instance").exists(), "it creates nothing again"


@pytest.mark.slow
def test_an_agent_started_in_a_mended_worktree_takes_the_place_of_the_one_before(team: Team) -> None:
    crew = team(**QUICK)
    pid = crew.agent("one")
    home = crew.home("one")
    crew.call("one", "request-task")
    for name, data in clean(crew).items():
        (crew.tree("one") / ".claude-instance").mkdir(exist_ok=True)
        (crew.tree("one") / ".claude-instance" / name).write_bytes(data)
    (crew.tree("one") / ".claude-instance" / "coordinate.sh").chmod(0o755)
    new = crew.agent("one")
    until(lambda: process.identify(pid) is None, what="the end of the first")
    assert new != pid
    assert [one.pid for one in crew.running()] == [new]
    assert crew.home("one") == home
    assert crew.record("one")["agent"] == process.identify(new)
    assert crew.call("one", "report-progress", "1", "--progress", "0.5")[0] == 0, "its door is open"


def test_the_record_of_a_claim_that_was_reassigned_goes(team: Team) -> None:
    crew = team()
    crew.agent("one")
    two = Peer.join(crew.project, "two")
    crew.call("one", "request-task")
    home = crew.home("one")
    assert home is not None
    assert [path.name for path in (home / "assignments").iterdir()] == ["1~1.json"]
    assert reassign(crew.queue, "1", two.name) == ("one", 2)
    until(lambda: not list((home / "assignments").iterdir()), what="one's record is gone")
    assert [path.name for path in crew.state.glob("peers/two~*/assignments/*")] == ["1~2.json"]


def test_inotify_used_up_means_polling(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    from peercoord.system import watch

    crew = team(**QUICK)

    def none_left(*_: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(watch.Changes, "_schedule", none_left)
    assert not watch.events_come(Disk(str(crew.base)), "", "probe")
    assert not watch.Changes(print).watch("x", str(crew.base))
