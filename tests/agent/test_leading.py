"""Leading: one ticket, taken from a peer that cannot lead; views are published while a peer leads."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest
from agent.crew import Crew, until

from peercoord.agent import control
from peercoord.store import paths

Team = Callable[..., Crew]
NEVER = {"heartbeat_seconds": 300}


def state(crew: Crew) -> dict[str, object]:
    path = crew.state / "state.json"
    found: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    return found


def tickets(crew: Crew) -> list[str]:
    """The leader tickets, wherever they lie; a directory may go while it is read."""
    return [name for _, _, names in os.walk(crew.state) for name in names if name.startswith("leader~")]


def two(crew: Crew) -> tuple[str, str]:
    """Start two agents; who leads, and who does not."""
    crew.agent("one")
    until(lambda: crew.leader() == "one")
    crew.agent("two")
    return "one", "two"


def test_one_of_many_leads_and_is_followed_when_it_is_killed_or_stops(team: Team) -> None:
    crew = team(**NEVER)
    names = {"a", "b", "c"}
    for name in names:
        crew.agent(name)
    leader, terms = until(crew.leader), []
    for end in (
        lambda name: os.kill(crew.agent_pid(name), signal.SIGKILL),
        lambda name: control.stop(str(crew.tree(name))),
    ):
        terms.append(paths.parse_leader(tickets(crew)[0]) or 0)
        end(leader)
        names.remove(leader)
        leader = until(lambda: crew.leader() in names and crew.leader(), what="the next leader")
    terms.append(paths.parse_leader(tickets(crew)[0]) or 0)
    assert terms[0] < terms[1] < terms[2]
    assert len(tickets(crew)) == 1


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


@pytest.mark.slow
def test_views_are_published_when_something_changes_as_time_passes_and_when_they_are_lost(team: Team) -> None:
    crew = team(state_seconds=1, **NEVER)
    crew.agent("one")
    views = [crew.state / name for name in ("state.json", "task_queue.json")]
    until(lambda: all(view.exists() for view in views))
    crew.call("one", "request-task")
    until(lambda: state(crew)["task_assignments"])
    crew.call("one", "report-progress", "1", "--progress", "0.5")
    until(lambda: state(crew)["task_assignments"]["1"]["progress"] == 0.5)  # type: ignore[index]
    queue, first = views[1].stat().st_ino, state(crew)["updated_at"]
    until(lambda: state(crew)["updated_at"] != first)
    assert views[1].stat().st_ino == queue, "nothing has changed there"
    views[1].unlink()
    views[0].write_text("{ torn")
    until(lambda: views[1].exists() and b"updated_at" in views[0].read_bytes())
