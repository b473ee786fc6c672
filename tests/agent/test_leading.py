"""Leading: one ticket, taken from whoever does not lead; views published while someone leads."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest
from agent.crew import Crew, stays, until

from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.store import paths

Team = Callable[..., Crew]
NEVER = {"heartbeat_seconds": 300}


def state(crew: Crew) -> dict[str, object]:
    path = crew.state / "state.json"
    found: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    return found


def tickets(crew: Crew) -> list[str]:
    return [path.name for path in crew.state.rglob("leader~*")]


def two(crew: Crew) -> tuple[str, str]:
    """Start two agents; who leads, and who does not."""
    crew.agent("one")
    until(lambda: crew.leader() == "one")
    crew.agent("two")
    return "one", "two"


def test_one_of_many_leads_and_there_is_one_ticket(team: Team) -> None:
    crew = team(**NEVER)
    for name in ("a", "b", "c", "d"):
        crew.agent(name)
    until(crew.leader)
    assert len(tickets(crew)) == 1


def test_a_killed_leader_is_followed(team: Team) -> None:
    crew = team(**NEVER)
    leader, other = two(crew)
    term = paths.parse_leader(tickets(crew)[0])
    os.kill(crew.agent_pid(leader), signal.SIGKILL)
    until(lambda: crew.leader() == other)
    assert (paths.parse_leader(tickets(crew)[0]) or 0) > (term or 0)


def test_a_leader_whose_session_lives_loses_the_leadership_and_nothing_else(team: Team) -> None:
    crew = team(**NEVER)
    leader, other = two(crew)
    crew.session(leader).verb("request-task")
    until(lambda: crew.record(leader).get("sessions"))
    home = crew.home(leader)
    os.kill(crew.agent_pid(leader), signal.SIGKILL)
    until(lambda: crew.leader() == other)
    assert crew.home(leader) == home
    assert crew.holder("1") == leader


def test_a_leader_that_stops_lays_it_down(team: Team) -> None:
    from peercoord.agent import control

    crew = team(**NEVER)
    leader, other = two(crew)
    control.stop(str(crew.tree(leader)))
    until(lambda: crew.leader() == other)


@pytest.mark.slow
def test_a_stopped_leader_that_wakes_finds_its_term_over(team: Team) -> None:
    crew = team(state_seconds=1, **NEVER)
    leader, other = two(crew)
    crew.session(leader).verb("request-task")
    pid = crew.agent_pid(leader)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: crew.leader() == other, what="someone else leads")
    until(lambda: state(crew).get("leader") == other)
    os.kill(pid, signal.SIGCONT)
    stays(lambda: state(crew)["leader"] == other, 3)
    assert len(tickets(crew)) == 1
    assert crew.home(leader) is not None


@pytest.mark.slow
def test_whoever_lost_the_ticket_does_not_run_its_duties(team: Team) -> None:
    crew = team(**NEVER)
    crew.agent("one")
    until(lambda: crew.leader() == "one")
    until(lambda: (crew.state / "state.json").exists())
    before = (crew.state / "state.json").stat().st_ino
    ticket = next(crew.state.glob("peers/*/leader~*"))
    ticket.rename(crew.state / "held-by-the-test")  # nobody can lead now
    for _ in range(3):
        crew.root.files.ring()
        (crew.state / "peers" / "x").mkdir()
        (crew.state / "peers" / "x").rmdir()
    stays(lambda: (crew.state / "state.json").stat().st_ino == before, 1.5)


class TestTicket:
    """The moves of the ticket, without an agent."""

    def peer(self, crew: Crew, name: str) -> Leadership:
        from peercoord.queue.peer import Peer

        return Leadership(Peer.join(crew.project, name).membership)

    def test_each_taking_raises_the_term(self, team: Team) -> None:
        crew = team()
        one, other = self.peer(crew, "a"), self.peer(crew, "b")
        assert one.take() == 1
        assert one.term() == 1
        assert other.take() is None
        assert other.take_from(one.me, "test") == 2
        assert one.term() is None
        other.resign()
        assert tickets(crew) == ["leader~2"]
        assert one.take(above=7) == 8

    def test_the_sweep_of_an_evicted_leader_lays_it_down(self, team: Team) -> None:
        from peercoord.queue.recovery import Janitor

        crew = team()
        one, other = self.peer(crew, "a"), self.peer(crew, "b")
        one.take()
        Janitor(crew.queue, "b").evict(one.me, other.me, "test")
        assert one.term() is None
        assert other.take() == 2

    def test_taking_from_one_that_is_gone_is_no_error(self, team: Team) -> None:
        crew = team()
        one = self.peer(crew, "a")
        assert one.take_from(paths.Incarnation("nobody", 1, "x"), "test") is None
        assert members.living(crew.root) == [one.me]


class TestViews:
    def test_a_change_is_published(self, team: Team) -> None:
        crew = team(**NEVER)
        crew.agent("one")
        until(lambda: (crew.state / "state.json").exists())
        crew.call("one", "request-task")
        until(lambda: state(crew)["task_assignments"])
        crew.call("one", "report-progress", "1", "--progress", "0.5")
        until(lambda: state(crew)["task_assignments"]["1"]["progress"] == 0.5)  # type: ignore[index]

    def test_updated_at_moves_while_nothing_changes_and_the_queue_is_left_alone(self, team: Team) -> None:
        crew = team(state_seconds=1, **NEVER)
        crew.agent("one")
        until(lambda: (crew.state / "state.json").exists())
        queue = (crew.state / "task_queue.json").stat().st_ino
        first = state(crew)["updated_at"]
        until(lambda: state(crew)["updated_at"] != first)
        assert (crew.state / "task_queue.json").stat().st_ino == queue

    def test_a_view_that_was_lost_or_broken_comes_back(self, team: Team) -> None:
        crew = team(state_seconds=1, **NEVER)
        crew.agent("one")
        until(lambda: (crew.state / "task_queue.json").exists())
        (crew.state / "task_queue.json").unlink()
        (crew.state / "state.json").write_text("{ torn")
        until(lambda: (crew.state / "task_queue.json").exists())
        until(lambda: b"updated_at" in (crew.state / "state.json").read_bytes())
