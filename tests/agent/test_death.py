"""Who is dead, with real processes: what is killed, stopped, moved to another clock or namespace, or restarted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from agent.crew import LINUX, ROOT, Crew, Session, stays, until

from peercoord.agent import control
from peercoord.errors import LostError
from peercoord.membership import signals
from peercoord.system import process
from protocol import document

Team = Callable[..., Crew]
ISOLATES = pytest.mark.skipif(not (LINUX and ROOT and shutil.which("unshare")), reason="needs root and unshare")
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)

NEVER = {"heartbeat_seconds": 300}  # so slow that nothing here can be found out by silence
QUICK = {"heartbeat_seconds": 1, "ttl_heartbeats": 3, "state_seconds": 1}


def why_evicted(crew: Crew) -> str:
    """The reason that the first eviction gives; the event is written after the directory has moved."""
    until(lambda: crew.events("evicted"), what="the event of the eviction")
    return str(crew.events("evicted")[0]["because"])


def claimed(crew: Crew, name: str) -> None:
    """Have a coding session in a worktree claim a task, and be on record."""
    crew.agent(name)
    assert crew.session(name).verb("request-task")[0] == 0
    until(lambda: crew.record(name).get("sessions"), what="the session on record")


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


class TestKilled:
    def test_agent_and_session_killed_their_task_is_claimable(self, team: Team) -> None:
        crew = team(**NEVER)
        claimed(crew, "one")
        crew.agent("two")
        crew.sessions[0].kill()
        kill(crew.agent_pid("one"))
        until(lambda: crew.where("1") == "ready", what="the task is back")
        assert crew.call("two", "request-task")[0] == 0
        assert crew.holder("1") == "two"

    def test_an_agent_killed_alone_costs_no_task_and_is_started_again(self, team: Team) -> None:
        crew = team(**NEVER)
        claimed(crew, "one")
        crew.agent("two")
        home, pid = crew.home("one"), crew.agent_pid("one")
        kill(pid)
        until(lambda: crew.agent_pid("one") not in (0, pid), what="another agent")
        assert crew.home("one") == home
        assert crew.holder("1") == "one"
        assert crew.sessions[0].verb("report-progress", "1", "--progress", "0.5")[0] == 0
        assert not crew.events("evicted")


class TestSession:
    def test_a_session_that_ended_gives_its_tasks_back_after_a_grace(self, team: Team) -> None:
        crew = team(session_grace_seconds=1, **NEVER)
        claimed(crew, "one")
        crew.sessions[0].kill()
        until(lambda: "the coding session has ended" in crew.log("one"))
        assert crew.holder("1") == "one", "a restart or a resume takes a moment"
        until(lambda: crew.where("1") == "ready")
        assert crew.home("one") is not None, "the agent itself stays"
        assert crew.queue.result("1")[1] == "released"  # type: ignore[index]

    @pytest.mark.slow
    def test_one_of_two_sessions_is_enough(self, team: Team) -> None:
        crew = team(session_grace_seconds=1, **NEVER)
        claimed(crew, "one")
        other = crew.session("one")
        assert other.verb("check-status")[0] == 0
        until(lambda: len(crew.record("one").get("sessions") or ()) == 2)
        other.kill()
        stays(lambda: crew.holder("1") == "one", 1.5)


class TestCallers:
    """LIV-13: a known coding agent is a session whatever it calls; any other program is none."""

    @pytest.mark.slow
    def test_who_only_looks_keeps_no_ended_session_s_task(self, team: Team) -> None:
        crew = team(session_grace_seconds=1, **NEVER)
        claimed(crew, "one")
        shell = crew.session("one", "zsh")
        assert shell.verb("check-status")[0] == 0
        assert crew.record("one")["last_call"]["program"] == "claude"
        crew.sessions[0].kill()
        until(lambda: crew.where("1") == "ready", what="the task is back, whoever looked")
        ended = until(lambda: crew.record("one").get("session_ended"))
        assert (ended["program"], ended["gave_back"]) == ("claude", [1])
        document.valid("peer", crew.record("one"))

    @pytest.mark.slow
    def test_no_session_s_end_takes_an_unknown_caller_s_task(self, team: Team) -> None:
        """It may be at work: what called may have been over with the call."""
        crew = team(session_grace_seconds=1, **NEVER)
        crew.agent("one")
        other = crew.session("one", "orchestrator")
        assert other.verb("request-task")[0] == 0
        other.kill()
        guest = crew.session("one")
        assert guest.verb("check-status")[0] == 0
        until(lambda: crew.record("one").get("sessions"))
        guest.kill()
        ended = until(lambda: crew.record("one").get("session_ended"))
        assert ended["gave_back"] == []
        assert crew.holder("1") == "one"
        home = crew.home("one")
        assert home is not None
        document.valid("assignment", json.loads((home / "assignments" / "1~1.json").read_text()))

    @pytest.mark.parametrize("words", [("request-task",), ("report-progress", "1", "--progress", "0.5")])
    @pytest.mark.slow
    def test_a_session_that_goes_on_with_such_a_task_takes_it_over(self, team: Team, words: tuple[str, ...]) -> None:
        crew = team(session_grace_seconds=1, **NEVER)
        crew.agent("one")
        assert crew.session("one", "zsh").verb("request-task")[0] == 0
        session = crew.session("one")
        assert session.verb(*words)[0] == 0
        session.kill()
        until(lambda: crew.where("1") == "ready")

    @ISOLATES
    @pytest.mark.parametrize("whole", [False, True], ids=["each command", "the whole session"])
    @pytest.mark.slow
    def test_a_caller_in_a_pid_namespace_is_judged_from_outside(self, team: Team, whole: bool) -> None:
        crew = team(session_grace_seconds=1, **NEVER)
        crew.agent("one")
        apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        session = Session(crew.tree("one"), wrap=apart if whole else None)
        crew.sessions.append(session)
        before = "" if whole else " ".join(apart)
        assert session(f"{before} ./.claude-instance/coordinate.sh request-task")[0] == 0
        found = until(lambda: crew.record("one").get("session"))
        assert found["program"] == "claude"
        assert process.running(found), "its pid is one of this namespace"
        session.kill()
        until(lambda: crew.where("1") == "ready")

    @ISOLATES
    def test_a_direct_call_from_a_pid_namespace_records_no_pid_of_it(self, team: Team) -> None:
        """Outside, the pid is another process or none: the task would go back, or stay, by chance."""
        crew = team(**NEVER)
        pid = crew.agent("one")
        kill(pid)
        until(lambda: not control.locked(str(crew.tree("one"))))
        apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        inside = Session(crew.tree("one"), wrap=apart)  # the first process there
        assert inside.verb("request-task")[0] == 0
        inside.close()
        assert crew.holder("1") == "one"
        assert not crew.record("one").get("sessions")
        assert not crew.record("one").get("session")
        home = crew.home("one")
        assert home is not None
        assert "session" not in json.loads((home / "assignments" / "1~1.json").read_text())


@pytest.mark.slow
@ISOLATES
class TestNamespaces:
    def test_another_pid_namespace_is_judged_by_its_heartbeat_alone(self, team: Team) -> None:
        crew = team(**QUICK)
        inside = crew.spawn("one", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        crew.agent("two")
        assert crew.record("one")["pid_ns"] != crew.record("two")["pid_ns"]
        stays(lambda: crew.home("one") is not None, 6)
        assert not crew.events("challenged"), "it beats, so nobody doubts it"
        inside.kill()
        inside.wait()
        until(lambda: crew.home("one") is None, what="the eviction of what is silent")
        assert "another container" in why_evicted(crew)

    def test_another_time_namespace_counts_starts_otherwise(self, team: Team) -> None:
        """There, the start of every process reads a day later: none of them is another process for that."""
        crew = team(**QUICK)
        crew.agent("two")
        inside = crew.spawn("one", "unshare", "--time", "--boottime", "86400", "--monotonic", "86400", "--fork")
        assert crew.record("one")["time_ns"] != crew.record("two")["time_ns"]
        stays(lambda: None not in (crew.home("one"), crew.home("two")), 6)
        assert not crew.events("evicted")
        kill(crew.record("one")["agent"]["pid"])
        inside.wait()
        until(lambda: crew.home("one") is None)


@pytest.mark.distributed
@ISOLATES
def test_an_agent_in_a_container_is_refused_not_taken_for_a_process_here(team: Team) -> None:
    crew = team(**NEVER)
    inside = crew.spawn("one", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    before = crew.record("one")
    with pytest.raises(signals.NotOursError, match="another container"):
        control.stop(str(crew.tree("one")))
    with pytest.raises(LostError, match="runs already"):
        control.run(str(crew.tree("one")))
    assert inside.poll() is None
    assert crew.record("one") == before
    inside.kill()
    inside.wait()
    until(lambda: not control.locked(str(crew.tree("one"))), what="its end: the lock goes with it")
    assert not control.stop(str(crew.tree("one")))


def test_the_identity_of_a_process_does_not_move_with_the_clock(tmp_path: Path) -> None:
    if FAKETIME is None:
        pytest.skip("libfaketime is not installed")
    code = "import os; from peercoord.system import process; print(process.identify(os.getppid()))"
    import sys

    env = {**os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME": "+30d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(process.identify(os.getpid()))
