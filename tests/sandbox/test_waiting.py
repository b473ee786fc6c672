"""BOX-12: a caller may wait for a task. The agent goes on meanwhile, and claims nothing for a caller that has gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest
from agent.crew import Crew, killed, until
from support import answers

from peercoord.agent import control
from peercoord.agent.client import NO_AGENT
from peercoord.mailbox import protocol, verbs
from peercoord.queue import reassign
from peercoord.queue.peer import Peer
from peercoord.store import down, records
from peercoord.system import child

Team = Callable[..., Crew]
LONG = "80000"  # seconds: longer than any test looks for an answer
SCRIPT = "./.claude-instance/coordinate.sh"
BOTH = pytest.mark.parametrize(
    "words", [(), (*child.command(), "request", "--wait", LONG, "--json")], ids=["coordinate.sh", "peercoord"]
)


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


def waiting(crew: Crew, name: str = "one") -> dict[str, object]:
    return until(lambda: crew.record(name).get("waiting"), what="a caller waits")  # type: ignore[no-any-return]


def no_caller_waits(crew: Crew) -> None:
    until(lambda: crew.record("one")["waiting"] is None, what="no caller waits any more")


class Busy:
    """A crew in which `two`, a peer of this process, holds the only task; an agent serves `one`, or none."""

    def __init__(self, crew: Crew, task: str) -> None:
        self.crew, self.task = crew, task
        self.two = Peer.join(crew.project, "two")
        claim = self.two.request()
        assert claim is not None
        self.claim = claim

    def release(self) -> None:
        self.two.release(self.claim)

    def wait(self, *words: str, env: dict[str, str] | None = None) -> Waiter:
        """Start a caller in `one`, and see that it waits."""
        waiter = Waiter(self.crew, "one", *words, env=env)
        waiting(self.crew)
        return waiter


@pytest.fixture
def busy(served: tuple[Crew, str]) -> Iterator[Busy]:
    """With the agent that serves all tests of this module."""
    made = Busy(*served)
    yield made
    for session in made.crew.sessions:
        session.close()
    made.crew.sessions.clear()
    made.two.leave()


@pytest.fixture
def asked(served: tuple[Crew, str]) -> tuple[Crew, str]:
    """A crew in which `one` waits for a person's word on the only task."""
    crew, task = served
    assert crew.call("one", "request-task")[0] == 0
    assert crew.call("one", "report-progress", task, "--status", "blocked", "--reason", "which?")[0] == 0
    return served


class TestAgent:
    def test_a_task_that_becomes_ready_is_claimed_for_the_caller(self, busy: Busy) -> None:
        waiter = busy.wait()
        assert waiting(busy.crew)["pid"] == busy.crew.agent_pid("one")
        assert busy.crew.call("one", "check-status")[0] == 0, "the agent answers others meanwhile"
        busy.release()
        code, answer = waiter.end()
        assert (code, answer["task_id"], busy.crew.holder(busy.task)) == (0, int(busy.task), "one")
        no_caller_waits(busy.crew)

    def test_when_time_is_over_the_answer_is_that_of_a_caller_who_does_not_wait(self, busy: Busy) -> None:
        waited = busy.crew.call("one", "request-task", "--wait=1")
        assert waited == busy.crew.call("one", "request-task")
        assert waited[0] == 4

    def test_the_end_of_the_last_task_is_told(self, busy: Busy) -> None:
        waiter = busy.wait()
        busy.two.complete(busy.claim)
        code, answer = waiter.end()
        assert (code, answer["finished"]) == (0, True)

    def test_nothing_is_claimed_for_a_caller_that_has_gone(self, busy: Busy) -> None:
        busy.wait().kill()
        busy.release()
        no_caller_waits(busy.crew)
        assert busy.crew.where(busy.task) == "ready"
        assert busy.crew.queue.result(busy.task)[2]["peer"] == "two"  # type: ignore[index]

    def test_many_may_wait_and_others_still_come_through(self, busy: Busy) -> None:
        before = len(busy.crew.outbox("one"))
        waiters = [busy.wait() for _ in range(12)]
        until(lambda: len(busy.crew.outbox("one")) >= before + len(waiters), what="all of them at a door")
        assert busy.crew.call("one", "check-status")[0] == 0
        busy.release()
        told = {(code, answer["task_id"]) for code, answer in [waiter.end() for waiter in waiters]}
        assert told == {(0, int(busy.task))}

    def test_a_waiting_caller_is_told_what_was_not_sent_before(self, busy: Busy) -> None:
        other = f"{busy.task}0"
        busy.crew.queue.add(records.define(other, "another"))
        assert busy.crew.call("one", "request-task")[0] == 0
        busy.crew.queue.cancel(other, "not wanted")
        waiter = busy.wait()
        busy.release()
        assert waiter.end()[1]["task_id"] == int(busy.task)
        assert waiter.err.count(f"task {other} was cancelled by person") == 1, waiter.err

    @BOTH
    def test_a_caller_that_asked_and_waits_is_told_of_the_answer(
        self, asked: tuple[Crew, str], words: tuple[str, ...]
    ) -> None:
        crew, task = asked
        waiter = Waiter(crew, "one", *words)
        waiting(crew)
        assert reassign.answer(crew.queue, task, "yes")[1] == "one"
        assert waiter.end()[1]["task_id"] == int(task)
        no_caller_waits(crew)
        assert crew.call("one", "check-status")[0] == 0
        assert crew.holder(task) == "one"
        (record,) = (crew.state / "peers").glob(f"one~*/assignments/{task}~*.json")
        assert "awaited" not in json.loads(record.read_text())

    def test_a_caller_that_has_gone_is_given_no_task_by_an_answer(self, asked: tuple[Crew, str]) -> None:
        """CHG-4, BOX-4: a caller that has gone is seen to wait until the agent looks."""
        crew, task = asked
        waiter = Waiter(crew, "one")
        waiting(crew)
        waiter.kill()
        reassign.answer(crew.queue, task, "yes")
        until(lambda: crew.record("one")["waiting"] is None and crew.where(task) == "ready")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "words", [["--wait", "3"], ["--wait=3"], ["--json", "--wait", "03"], ["--wait", "3", "--json"]]
    )
    def test_the_script_has_more_patience_than_its_caller(self, busy: Busy, words: list[str]) -> None:
        waiter = Waiter(busy.crew, "one", SCRIPT, "request-task", *words, env={"PEERCOORD_WAIT": "1"})
        waiter.process.communicate()
        assert waiter.process.returncode == 4, "3 says that the agent does not answer"


class TestTheAgentEnds:
    def busy(self, team: Team) -> Busy:
        crew = team(1)
        busy = Busy(crew, "1")
        crew.agent("one")
        return busy

    def test_a_caller_that_outlives_the_agent_goes_on_waiting(self, team: Team) -> None:
        busy = self.busy(team)
        waiter = busy.wait(env={NO_AGENT: "1"})
        killed(busy.crew.agent_pid("one"))
        until(lambda: waiting(busy.crew)["pid"] == waiter.process.pid)
        busy.release()
        code, answer = waiter.end()
        assert (code, answer["task_id"]) == (0, 1)

    @pytest.mark.slow
    def test_a_waiting_caller_starts_no_agent_that_a_person_stopped(self, team: Team) -> None:
        busy = self.busy(team)
        waiter = busy.wait()
        control.stop(str(busy.crew.tree("one")))
        until(lambda: waiting(busy.crew)["pid"] == waiter.process.pid)
        busy.release()
        assert waiter.end()[0] == 0
        assert not control.locked(str(busy.crew.tree("one")))

    def test_a_waiting_caller_is_told_that_the_team_is_taken_down(self, team: Team) -> None:
        busy = self.busy(team)
        waiter = busy.wait()
        down.write(busy.crew.root, "person")
        busy.crew.root.files.ring()
        code, answer = waiter.end()
        assert (code, "the team was taken down" in str(answer)) == (3, True)


class TestAlone:
    """No agent serves the worktree."""

    @BOTH
    def test_the_call_waits_and_tells_what_the_answers_not_given_would_have_told(
        self, team: Team, words: tuple[str, ...]
    ) -> None:
        crew = team(1)
        busy = Busy(crew, "1")
        crew.queue.add(records.define("2", "another"))
        env = {NO_AGENT: "1"}
        assert subprocess.run([SCRIPT, "request-task"], cwd=crew.tree("one"), env={**os.environ, **env}).returncode == 0
        crew.queue.cancel("2", "not wanted")
        waiter = busy.wait(*words, env=env)
        assert waiting(crew)["pid"] == waiter.process.pid
        busy.release()
        code, answer = waiter.end()
        assert (code, answer["task_id"], crew.record("one")["waiting"]) == (0, 1, None)
        assert waiter.err.count("task 2 was cancelled by person") == 1, waiter.err

    def test_an_interrupted_call_waits_no_more(self, team: Team) -> None:
        busy = Busy(team(1), "1")
        waiter = busy.wait(*child.command(), "request", "--wait", LONG, env={NO_AGENT: "1"})
        waiter.process.send_signal(signal.SIGINT)
        assert waiter.end()[0] == 130
        assert (busy.crew.record("one")["waiting"], busy.crew.holder("1")) == (None, "two")


class TestForWhom:
    """CLM-2: exit 4 says whether waiting makes sense, and who holds what others wait for."""

    def test_who_holds_what_others_wait_for(self, busy: Busy) -> None:
        crew, first = busy.crew, int(busy.task)
        others = [first * 1000 + at for at in (1, 2, 3)]
        for task, needs in zip(others, (first, *others[:-1]), strict=True):
            crew.queue.add(records.define(str(task), "waits", dependencies=[str(needs)]))
        code, out, _ = crew.call("one", "request-task", "--json")
        wait = answers.read(out, "request-task")["data"]["wait"]
        assert (code, wait["helps"]) == (4, True)
        assert wait["for"] == [{"task_id": first, "held_by": "two", "frees": others}]
        said = crew.call("one", "request-task")[1]
        shown = ", ".join(map(str, others))
        assert f"wait for two: it works on task {first}, and tasks {shown} wait for it\n" in said
        assert said.endswith("ask again, and wait: ./.claude-instance/coordinate.sh request-task --wait\n")
        busy.two.worker.park(busy.task, "blocked", "which?")
        code, out, _ = crew.call("one", "request-task", "--json")
        assert (code, json.loads(out)["data"]["wait"]) == (4, {"helps": False, "for": []}), "a person is needed"
        assert "waiting does not help" in crew.call("one", "request-task")[1]
        for task in others:
            crew.queue.cancel(str(task))


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
