"""BOX-12: who asks for a task may wait for it. The agent goes on meanwhile, and claims nothing for who has gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from agent.crew import Crew, crew, killed, until
from support import answers

from peercoord.agent import control
from peercoord.agent.client import NO_AGENT
from peercoord.mailbox import protocol, verbs
from peercoord.queue import reassign
from peercoord.store import down, records
from peercoord.system import child

Team = Callable[..., Crew]
NEVER = {"heartbeat_seconds": 300}
LONG = "80000"  # seconds: longer than any test looks for an answer
SCRIPT = "./.claude-instance/coordinate.sh"
BOTH = pytest.mark.parametrize(
    "words", [(), (*child.command(), "request", "--wait", LONG, "--json")], ids=["coordinate.sh", "peercoord"]
)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    with ExitStack() as stack:
        yield lambda tasks=1, **settings: stack.enter_context(crew(tmp_path, tasks, **{**NEVER, **settings}))


class Waiter:
    """A caller that waits for a task in a worktree."""

    def __init__(self, crew: Crew, name: str, *words: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [*(words or (SCRIPT, "request-task", "--wait", LONG, "--json"))],
            cwd=crew.tree(name),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        crew.sessions.append(self)

    def end(self) -> tuple[int, dict[str, object]]:
        until(lambda: self.process.poll() is not None, what="the answer")
        out, err = self.process.communicate()
        self.err = err
        answer = answers.read(out, "request-task") if out else {"stderr": err}
        found: dict[str, object] = answer.get("data") or answer
        return self.process.returncode, found

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def close(self) -> None:
        """End it with the crew, where the test did not."""
        if self.process.poll() is None:
            self.kill()


def waiting(crew: Crew, name: str) -> dict[str, object]:
    return until(lambda: crew.record(name).get("waiting"), what="somebody waits")  # type: ignore[no-any-return]


def busy(team: Team, tasks: int = 1) -> Crew:
    """A team in which `two` holds the only task that may be claimed, and `one` has an agent."""
    made = team(tasks)
    for name in ("one", "two"):
        made.agent(name)
    assert made.call("two", "request-task")[0] == 0
    return made


def asked(team: Team) -> Crew:
    """A team in which `one`, whose agent runs, waits for a person's word on the only task."""
    made = team()
    made.agent("one")
    assert made.call("one", "request-task")[0] == 0
    assert made.call("one", "report-progress", "1", "--status", "blocked", "--reason", "which?")[0] == 0
    return made


class TestAgent:
    def test_a_task_that_becomes_ready_is_claimed_for_who_waits(self, team: Team) -> None:
        crew = busy(team)
        waiter = Waiter(crew, "one")
        assert waiting(crew, "one")["pid"] == crew.agent_pid("one")
        assert crew.call("one", "check-status")[0] == 0, "the agent answers others meanwhile"
        assert crew.call("two", "release")[0] == 0
        code, answer = waiter.end()
        assert (code, answer["task_id"], crew.holder("1")) == (0, 1, "one")
        until(lambda: crew.record("one")["waiting"] is None, what="nobody waits any more")

    def test_when_time_is_over_the_answer_is_that_of_a_caller_who_does_not_wait(self, team: Team) -> None:
        crew = busy(team)
        waited = crew.call("one", "request-task", "--wait=1")
        assert waited == crew.call("one", "request-task")
        assert waited[0] == 4

    def test_the_end_of_the_last_task_is_told(self, team: Team) -> None:
        crew = busy(team)
        waiter = Waiter(crew, "one")
        waiting(crew, "one")
        assert crew.call("two", "report-progress", "1", "--status", "done")[0] == 0
        assert waiter.end() == (0, {"finished": True, "total_tasks": 1})

    def test_for_who_has_gone_nothing_is_claimed(self, team: Team) -> None:
        crew = busy(team)
        waiter = Waiter(crew, "one")
        waiting(crew, "one")
        waiter.kill()
        assert crew.call("two", "release")[0] == 0
        until(lambda: crew.record("one")["waiting"] is None)
        assert crew.where("1") == "ready"
        assert not crew.queue.results("1") or crew.queue.result("1")[2]["peer"] == "two"  # type: ignore[index]

    def test_who_outlives_the_agent_goes_on_waiting(self, team: Team) -> None:
        crew = busy(team)
        waiter = Waiter(crew, "one", env={NO_AGENT: "1"})
        waiting(crew, "one")
        killed(crew.agent_pid("one"))
        until(lambda: crew.home("one") is None or crew.record("one")["waiting"]["pid"] == waiter.process.pid)
        assert crew.call("two", "release")[0] == 0
        code, answer = waiter.end()
        assert (code, answer["task_id"]) == (0, 1)

    def test_who_waits_starts_no_agent_that_a_person_stopped(self, team: Team) -> None:
        crew = busy(team)
        waiter = Waiter(crew, "one")
        waiting(crew, "one")
        control.stop(str(crew.tree("one")))
        until(lambda: crew.record("one")["waiting"]["pid"] == waiter.process.pid)
        assert crew.call("two", "release")[0] == 0
        assert waiter.end()[0] == 0
        assert not control.locked(str(crew.tree("one")))

    def test_who_waits_is_told_that_the_team_is_taken_down(self, team: Team) -> None:
        crew = busy(team)
        waiter = Waiter(crew, "one")
        waiting(crew, "one")
        down.write(crew.root, "person")
        crew.root.files.ring()
        code, answer = waiter.end()
        assert code == 3
        assert "the team was taken down" in str(answer)

    def test_many_may_wait_and_others_still_come_through(self, team: Team) -> None:
        crew = busy(team)
        waiters = [Waiter(crew, "one") for _ in range(12)]
        outbox = crew.tree("one") / ".claude-instance" / "outbox"
        until(lambda: len(list(outbox.iterdir())) == len(waiters), what="all of them at a door")
        assert crew.call("one", "check-status")[0] == 0
        assert crew.call("two", "release")[0] == 0
        assert {(code, answer["task_id"]) for code, answer in [waiter.end() for waiter in waiters]} == {(0, 1)}

    def test_who_waits_is_told_what_the_answers_not_sent_would_have_told(self, team: Team) -> None:
        crew = team(2)
        for name in ("one", "two"):
            crew.agent(name)
            assert crew.call(name, "request-task")[0] == 0
        crew.queue.cancel("1", "not wanted")
        waiter = Waiter(crew, "one")
        waiting(crew, "one")
        assert crew.call("two", "release")[0] == 0
        assert waiter.end()[1]["task_id"] == 2
        assert waiter.err.count("task 1 was cancelled by person") == 1, waiter.err

    @BOTH
    def test_who_asked_and_waits_is_told_of_the_answer(self, team: Team, words: tuple[str, ...]) -> None:
        crew = asked(team)
        waiter = Waiter(crew, "one", *words)
        waiting(crew, "one")
        assert reassign.answer(crew.queue, "1", "yes")[1] == "one"
        assert waiter.end()[1]["task_id"] == 1
        until(lambda: crew.record("one")["waiting"] is None)
        assert crew.call("one", "check-status")[0] == 0
        assert crew.holder("1") == "one"
        (record,) = (crew.state / "peers").glob("one~*/assignments/1~*.json")
        assert "awaited" not in json.loads(record.read_text())

    def test_who_has_gone_is_given_no_task_by_an_answer(self, team: Team) -> None:
        """CHG-4, BOX-4: a caller that has gone is seen to wait until the agent looks."""
        crew = asked(team)
        waiter = Waiter(crew, "one")
        waiting(crew, "one")
        waiter.kill()
        reassign.answer(crew.queue, "1", "yes")
        until(lambda: crew.record("one")["waiting"] is None and crew.where("1") == "ready")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "words", [["--wait", "3"], ["--wait=3"], ["--json", "--wait", "03"], ["--wait", "3", "--json"]]
    )
    def test_the_script_has_more_patience_than_its_caller(self, team: Team, words: list[str]) -> None:
        crew = busy(team)
        waiter = Waiter(crew, "one", SCRIPT, "request-task", *words, env={"PEERCOORD_WAIT": "1"})
        waiter.process.communicate()
        assert waiter.process.returncode == 4, "3 says that the agent does not answer"


class TestAlone:
    """No agent serves the worktree."""

    @BOTH
    def test_the_call_waits_itself(self, team: Team, words: tuple[str, ...]) -> None:
        crew = team()
        crew.agent("two")
        assert crew.call("two", "request-task")[0] == 0
        waiter = Waiter(crew, "one", *words, env={NO_AGENT: "1"})
        assert waiting(crew, "one")["pid"] == waiter.process.pid
        assert crew.call("two", "release")[0] == 0
        code, answer = waiter.end()
        assert (code, answer["task_id"]) == (0, 1)
        assert crew.record("one")["waiting"] is None

    @BOTH
    def test_the_call_tells_what_the_answers_not_given_would_have_told(
        self, team: Team, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(NO_AGENT, "1")
        crew = team(2)
        for name in ("one", "two"):
            assert crew.call(name, "request-task")[0] == 0
        crew.queue.cancel("1", "not wanted")
        waiter = Waiter(crew, "one", *words)
        waiting(crew, "one")
        assert crew.call("two", "release")[0] == 0
        assert waiter.end()[1]["task_id"] == 2
        assert waiter.err.count("task 1 was cancelled by person") == 1, waiter.err

    def test_an_interrupted_call_waits_no_more(self, team: Team) -> None:
        crew = team()
        crew.agent("two")
        assert crew.call("two", "request-task")[0] == 0
        words = (*child.command(), "request", "--wait", LONG)
        waiter = Waiter(crew, "one", *words, env={NO_AGENT: "1"})
        waiting(crew, "one")
        waiter.process.send_signal(signal.SIGINT)
        assert waiter.end()[0] == 130
        assert crew.record("one")["waiting"] is None
        assert crew.holder("1") == "two"


class TestForWhom:
    """CLM-2: exit 4 says whether waiting makes sense, and who holds what others wait for."""

    def test_who_holds_what_others_wait_for(self, team: Team) -> None:
        crew = busy(team)
        for task, needs in (("2", "1"), ("3", "2"), ("4", "3")):
            crew.queue.add(records.define(task, task, dependencies=[needs]))
        code, out, _ = crew.call("one", "request-task", "--json")
        assert code == 4
        wait = answers.read(out, "request-task")["data"]["wait"]
        assert wait == {"helps": True, "for": [{"task_id": 1, "held_by": "two", "frees": [2, 3, 4]}]}
        said = crew.call("one", "request-task")[1]
        assert "wait for two: it works on task 1, and 2, 3, 4 wait for it\n" in said
        assert said.endswith("ask again, and wait: ./.claude-instance/coordinate.sh request-task --wait\n")

    def test_what_waits_for_a_person_is_not_waited_for(self, team: Team) -> None:
        crew = busy(team)
        crew.queue.add(records.define("2", "2", dependencies=["1"]))
        assert crew.call("two", "report-progress", "1", "--status", "blocked", "--reason", "which?")[0] == 0
        code, out, _ = crew.call("one", "request-task", "--json")
        assert (code, json.loads(out)["data"]["wait"]) == (4, {"helps": False, "for": []})
        assert "waiting does not help" in crew.call("one", "request-task")[1]


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("request-task", 0),
        ("request-task --wait", protocol.WAIT_SECONDS),
        ("request-task --wait --json", protocol.WAIT_SECONDS),
        ("request-task --json --wait 7", 7),
        ("request-task --wait=007", 7),
        ("request-task --wait= --json", 0),
        ("request-task --wait soon", 0),
        ("request-task --wait ²", 0),
        (f"request-task --wait {protocol.WAIT_MOST}", protocol.WAIT_MOST),
        ("request-task --wait 99999999", 0),
        ("check-status --wait", 0),
        ("", 0),
    ],
)
def test_how_long_a_request_waits(words: str, seconds: int) -> None:
    assert verbs.read(words.split()).wait == seconds
