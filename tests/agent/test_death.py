"""Who is dead, with real processes: what is killed, stopped, moved to another clock or namespace, or restarted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from agent.crew import LINUX, ROOT, Crew, stays, until

from peercoord.fs import process

Team = Callable[..., Crew]
ISOLATES = pytest.mark.skipif(not (LINUX and ROOT and shutil.which("unshare")), reason="needs root and unshare")
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)

NEVER = {"heartbeat_seconds": 300}  # so slow that nothing here can be found out by silence
QUICK = {"heartbeat_seconds": 1, "ttl_heartbeats": 3, "state_seconds": 1}


def claimed(crew: Crew, name: str) -> None:
    """Have a coding session in a worktree claim a task."""
    crew.agent(name)
    assert crew.session(name).verb("request-task")[0] == 0


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


class TestKilled:
    def test_agent_and_session_killed_their_task_is_claimable_within_a_second(self, team: Team) -> None:
        crew = team(**NEVER)
        claimed(crew, "one")
        crew.agent("two")
        until(lambda: crew.record("one").get("sessions"), what="the session on record")
        crew.sessions[0].kill()
        begin = time.monotonic()
        kill(crew.agent_pid("one"))
        until(lambda: crew.where("1") == "ready", 10, "the task is back")
        assert time.monotonic() - begin < 1.0
        assert crew.call("two", "request-task")[0] == 0
        assert crew.holder("1") == "two"

    def test_the_agent_first_and_then_the_session(self, team: Team) -> None:
        """Nobody revives what has lost its session too."""
        crew = team(**NEVER)
        claimed(crew, "one")
        crew.agent("two")
        until(lambda: crew.record("one").get("sessions"))
        pid = crew.agent_pid("one")
        kill(pid)
        crew.sessions[0].kill()
        until(
            lambda: crew.where("1") == "ready" or crew.agent_pid("one") not in (0, pid),
            what="the task back in the queue, or an agent that stands for it",
        )

    def test_an_agent_killed_alone_costs_no_task_and_is_started_again(self, team: Team) -> None:
        crew = team(**NEVER)
        claimed(crew, "one")
        crew.agent("two")
        until(lambda: crew.record("one").get("sessions"))
        home, pid = crew.home("one"), crew.agent_pid("one")
        kill(pid)
        until(lambda: crew.agent_pid("one") not in (0, pid), what="another agent")
        assert crew.home("one") == home
        assert crew.holder("1") == "one"
        assert crew.sessions[0].verb("report-progress", "1", "--progress", "0.5")[0] == 0
        assert not crew.events("evicted")

    def test_an_agent_without_any_known_session_stands_for_itself(self, team: Team) -> None:
        crew = team(**NEVER)
        crew.agent("one")
        crew.agent("two")
        kill(crew.agent_pid("one"))
        until(lambda: crew.home("one") is None, what="the eviction")
        assert "is gone" in crew.events("evicted")[0]["because"]

    def test_many_killed_at_once_are_all_found(self, team: Team) -> None:
        """The ring closes over those that are gone: also whoever was watched by the dead alone."""
        crew = team(**NEVER)
        names = [f"w{number}" for number in range(7)]
        for name in names:
            crew.agent(name)
        until(lambda: crew.leader())
        last = next(name for name in names if name != crew.leader())
        for pid in [crew.agent_pid(name) for name in names if name != last]:
            kill(pid)
        until(lambda: [n for n in names if crew.home(n)] == [last], what="all the others are evicted")
        until(lambda: crew.leader() == last)

    def test_a_pid_used_again_is_another_process(self, team: Team) -> None:
        crew = team(**NEVER)
        crew.agent("one")
        kill(crew.agent_pid("one"), signal.SIGSTOP)
        home = crew.home("one")
        assert home is not None
        record = crew.record("one")
        record["agent"]["start"] -= 1  # what it would say had the pid belonged to another process before
        (home / "peer.json").write_text(json.dumps(record))
        crew.agent("two")
        until(lambda: crew.home("one") is None, what="the eviction")


class TestSession:
    def test_a_session_that_ended_gives_its_tasks_back_after_a_grace(self, team: Team) -> None:
        crew = team(session_grace_seconds=1, **NEVER)
        claimed(crew, "one")
        until(lambda: crew.record("one").get("sessions"))
        crew.sessions[0].kill()
        until(lambda: "the coding session has ended" in crew.log("one"))
        assert crew.holder("1") == "one", "a restart or a resume takes a moment"
        until(lambda: crew.where("1") == "ready")
        assert crew.home("one") is not None, "the agent itself stays"
        assert crew.queue.result("1")[1] == "released"  # type: ignore[index]

    @pytest.mark.slow
    def test_a_session_that_comes_back_within_the_grace_keeps_them(self, team: Team) -> None:
        crew = team(session_grace_seconds=2, **NEVER)
        claimed(crew, "one")
        until(lambda: crew.record("one").get("sessions"))
        crew.sessions[0].kill()
        until(lambda: "the coding session has ended" in crew.log("one"))
        assert crew.session("one").verb("check-status")[0] == 0
        until(lambda: [s["pid"] for s in crew.record("one")["sessions"]] == [crew.sessions[1].process.pid])
        stays(lambda: crew.holder("1") == "one", 2.5)

    @pytest.mark.slow
    def test_one_of_two_sessions_is_enough(self, team: Team) -> None:
        crew = team(session_grace_seconds=1, **NEVER)
        claimed(crew, "one")
        other = crew.session("one")
        assert other.verb("check-status")[0] == 0
        until(lambda: len(crew.record("one").get("sessions") or ()) == 2)
        other.kill()
        stays(lambda: crew.holder("1") == "one", 1.5)

    @pytest.mark.slow
    def test_a_silent_session_is_suspect_and_never_evicted(self, team: Team) -> None:
        crew = team(**QUICK)
        claimed(crew, "one")
        crew.agent("two")
        until(lambda: crew.record("one").get("sessions"))
        kill(crew.agent_pid("one"), signal.SIGSTOP)
        os.killpg(crew.sessions[0].process.pid, signal.SIGSTOP)
        stays(lambda: crew.holder("1") == "one", 6)
        state = json.loads((crew.state / "state.json").read_text())
        one = next(i for i in state["active_instances"] if i["id"] == "one")
        assert one["status"] == "suspect"
        assert "is stopped: kill -CONT" in one["because"]
        os.killpg(crew.sessions[0].process.pid, signal.SIGCONT)

    @pytest.mark.slow
    def test_an_agent_that_hangs_without_a_session_dies_of_silence_and_a_challenge(self, team: Team) -> None:
        crew = team(**QUICK)
        crew.agent("one")
        assert crew.queue.files.scan("peers")
        kill(crew.agent_pid("one"), signal.SIGSTOP)
        crew.agent("two")
        begin = time.monotonic()
        until(lambda: crew.home("one") is None, 15, "the eviction")
        assert time.monotonic() - begin > 3, "not before the ttl"
        assert crew.events("challenged")
        assert "did not answer a challenge" in crew.events("evicted")[0]["because"]


@pytest.mark.slow
class TestTime:
    @pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
    @pytest.mark.parametrize("jump", ["+1d", "-1d"])
    def test_a_clock_that_jumps_kills_nobody(self, team: Team, tmp_path: Path, jump: str) -> None:
        crew = team(**QUICK)
        dial = tmp_path / "dial"
        dial.write_text("+0")
        env = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(dial),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        agents = [crew.spawn(name, env=env) for name in ("one", "two")]
        crew.agent("three")
        before = {name: crew.home(name) for name in ("one", "two", "three")}
        dial.write_text(jump)
        beats = {name: beat(crew, name) for name in before}
        until(lambda: all(beat(crew, name) >= beats[name] + 5 for name in before), 20, "everyone goes on beating")
        assert {name: crew.home(name) for name in before} == before
        assert not crew.events("evicted")
        for agent in agents:
            agent.terminate()
            agent.wait()

    def test_an_observer_that_was_stopped_takes_its_own_absence_for_nobodys_death(self, team: Team) -> None:
        crew = team(**QUICK)
        crew.agent("one")
        claimed(crew, "two")  # so nobody takes it for hung meanwhile
        until(lambda: crew.record("two").get("sessions"))
        foreign(crew, "one")
        kill(crew.agent_pid("two"), signal.SIGSTOP)
        stays(lambda: crew.home("one") is not None, 4)
        kill(crew.agent_pid("two"), signal.SIGCONT)
        stays(lambda: crew.home("one") is not None, 2.5)
        assert not crew.events("evicted")


def beat(crew: Crew, name: str) -> int:
    home = crew.home(name)
    assert home is not None
    return max(int(p.name.split("~")[1]) for p in home.glob("beat~*"))


def foreign(crew: Crew, name: str) -> None:
    """Make a peer look as if it ran in another container: only its heartbeat tells of it."""
    home = crew.home(name)
    assert home is not None
    (home / "peer.json").write_text(json.dumps({**crew.record(name), "pid_ns": "pid:[1]"}))


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
        until(lambda: crew.home("one") is None, 20, "the eviction of what is silent")
        assert "another container" in crew.events("evicted")[0]["because"]

    def test_the_one_inside_does_not_take_those_outside_for_dead(self, team: Team) -> None:
        crew = team(**QUICK)
        crew.agent("two")
        inside = crew.spawn("one", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        stays(lambda: crew.home("two") is not None, 6)
        assert not crew.events("evicted")
        inside.kill()
        inside.wait()

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
        until(lambda: crew.home("one") is None, 20)

    def test_a_restarted_host_leaves_its_dead_behind(self, team: Team, tmp_path: Path) -> None:
        crew = team(**NEVER)
        other = tmp_path / "boot_id"
        other.write_text("00000000-0000-4000-8000-000000000000\n")
        script = f'mount --bind "{other}" /proc/sys/kernel/random/boot_id && exec "$@"'
        before = crew.spawn("one", "unshare", "--mount", "sh", "-c", script, "sh")
        assert crew.record("one")["boot_id"] == other.read_text().strip()
        before.kill()
        before.wait()
        crew.agent("two")
        until(lambda: crew.home("one") is None, what="the eviction")
        assert "restarted" in crew.events("evicted")[0]["because"]
        crew.agent("one")
        assert crew.home("one") is not None, "and the worktree itself comes back"


def test_the_identity_of_a_process_does_not_move_with_the_clock(tmp_path: Path) -> None:
    if FAKETIME is None:
        pytest.skip("libfaketime is not installed")
    code = "import os; from peercoord.fs import process; print(process.identify(os.getppid()))"
    import sys

    env = {**os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME": "+30d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(process.identify(os.getpid()))
