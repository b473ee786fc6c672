"""What an agent notes of its worktree while a call notes something else: neither loses what the other wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from agent.crew import Crew

from peercoord.agent import control
from peercoord.agent.host import Worktree
from peercoord.agent.loop import STOP, Agent
from peercoord.errors import LostError
from peercoord.system import process
from peercoord.system.sessions import Caller
from peercoord.system.watch import Wakeups
from peercoord.worktree import actions
from peercoord.worktree.call import WorktreeCall

Team = Callable[..., Crew]


class Quiet(Wakeups):
    """Leaves the signals of this process alone."""

    def on_signals(self, numbers: Iterable[int]) -> None:
        pass


@pytest.fixture
def crew(team: Team) -> Crew:
    return team(1, heartbeat_seconds=300, session_grace_seconds=1)


@pytest.fixture
def agent(crew: Crew) -> Iterator[Agent]:
    """The agent of `one`, in this process; its steps are taken by the test."""
    place = control.place_of(str(crew.tree("one")))
    wake = Quiet()
    made = Agent(Worktree(place, lambda _: None, lambda *_: None), place.files(), wake)
    yield made
    assert made.duties is not None
    made.duties.end()
    made.changes.close()
    with suppress(OSError):
        made.outbox.close()
    wake.close()


def session(crew: Crew) -> dict[str, Any]:
    """Start a coding session; what is recorded of it."""
    found = process.identify(crew.session("one").process.pid)
    assert found is not None
    return {**found, "program": "claude"}


def call(crew: Crew, session: dict[str, Any]) -> None:
    actions.request(WorktreeCall(control.place_of(str(crew.tree("one"))), Caller(session, "claude")))


def test_a_session_that_comes_at_the_end_of_the_grace_keeps_the_task(
    crew: Crew, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = session(crew), session(crew)
    call(crew, first)
    crew.sessions[0].kill()
    agent.sessions.ended = agent.clock.monotonic() - 60, agent.clock.now()

    def scanned(_: str) -> list[object]:
        call(crew, second)
        return []

    monkeypatch.setattr(process, "coding_agents_in", scanned)
    assert agent.check_sessions() == 0.0, "it looks again at once"
    agent.check_sessions()
    assert (crew.holder("1"), crew.record("one")["sessions"]) == ("one", [second])


def test_sessions_that_come_while_another_one_is_struck_off_stay_known(
    crew: Crew, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third, fourth = (session(crew) for _ in range(4))
    call(crew, first)
    call(crew, second)
    crew.sessions[0].kill()

    def came(processes: Iterable[object]) -> bool:
        monkeypatch.undo()
        call(crew, third)
        call(crew, fourth)
        return True

    monkeypatch.setattr(agent.wake, "watch_exits", came)
    agent.check_sessions()
    agent.check_sessions()
    assert {one["pid"] for one in crew.record("one")["sessions"]} == {one["pid"] for one in (second, third, fourth)}


def test_the_stop_is_noted_while_no_call_notes_anything(
    crew: Crew, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = []
    update = agent.peer.membership.update

    def watched(**facts: object) -> None:
        try:
            with agent.instance.held("call.lock", wait=0):
                alone.append(False)
        except LostError:
            alone.append(True)
        update(**facts)

    monkeypatch.setattr(agent.peer.membership, "update", watched)
    agent.ending = STOP
    agent._end()
    assert alone == [True]
    assert crew.record("one")["stopped_at"]


def test_a_stop_is_noted_also_while_a_call_holds_on(crew: Crew, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> None:
        raise LostError("another call of this worktree is at work")

    agent.ending = STOP
    monkeypatch.setattr(agent.instance, "held", busy)
    agent._end()
    assert crew.record("one")["stopped_at"]


def test_a_task_that_an_answer_gave_stays_while_somebody_waits(crew: Crew, agent: Agent) -> None:
    """CHG-4: a call that waits by itself is shown in the record, not at the door."""
    waiter = session(crew)
    call(crew, session(crew))
    (ticket,) = agent.peer.worker.held()
    agent.peer.worker.assignments.write(ticket, crew.queue.definition("1"), awaited=True)
    agent.peer.membership.update(waiting=waiter)
    agent.clear()
    assert crew.holder("1") == "one"
    crew.sessions[0].kill()
    agent.clear()
    assert crew.where("1") == "ready"


def test_a_machine_that_slept_takes_nobody_for_dead_and_looks_at_everything_again(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    slept = [agent.clock.asleep()]
    monkeypatch.setattr(agent.clock, "asleep", lambda: slept[-1])
    monkeypatch.setattr(agent.host, "log", told.append)
    monkeypatch.setattr(agent.observer, "reset_observations", lambda: told.append("reset"))
    monkeypatch.setattr(agent.schedule, "hasten", lambda now: told.append(f"all at {now}"))
    agent._look_at_sleep(5.0)
    assert told == []
    slept.append(slept[-1] + 3600.0)
    agent._look_at_sleep(6.0)
    agent._look_at_sleep(7.0)
    assert told == ["this machine slept for 3600 s: looking at everything again", "reset", "all at 6.0"]
