"""What is kept for how long, and how a machine's sleep is taken."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from agent.crew import Crew

from peercoord.agent.loop import Agent
from peercoord.errors import PeercoordError
from peercoord.queue.peer import Peer
from peercoord.queue.recovery import Janitor
from peercoord.queue.retention import DAY_SECONDS, Archivist
from peercoord.store import paths
from peercoord.store import root as roots
from peercoord.store.files import Files

Team = Callable[..., Crew]


@pytest.fixture
def past(team: Team) -> Crew:
    """A task done at the third attempt, another one failed once, and a peer that has left."""
    crew = team(2)
    with Peer.join(crew.project, "one") as peer:
        for _ in range(2):
            task = peer.request()
            assert task is not None
            peer.fail(task, "not yet")
        task = peer.request()
        assert task is not None
        peer.complete(task)
        other = peer.request()
        assert other is not None
        peer.fail(other, "not today")
        (crew.state / "events" / "gone.jsonl.1").write_text("{}\n")
    Janitor(crew.queue, "x").tidy()
    return crew


def kept(crew: Crew) -> dict[str, set[str]]:
    """What may be past, by kind."""
    return {
        "results": {path.name for path in (crew.state / "results").rglob("*.json")},
        "departed": {path.name.partition("~")[0] for path in (crew.state / "departed").iterdir()},
        "events": {path.name for path in (crew.state / "events").iterdir()},
    }


def age(crew: Crew, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Let so many days pass on the filesystem's clock."""
    now = time.time_ns() + days * DAY_SECONDS * 10**9
    monkeypatch.setattr(Files, "now", lambda _: now)


def test_within_the_retention_all_is_kept(past: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept(past)
    assert len(before["results"]) == 4
    assert before["departed"] == {"one"}
    age(past, monkeypatch, past.root.number("retention_days") - 1)
    Archivist(past.root).run()
    assert kept(past) == before


def test_after_it_tombstones_old_attempts_and_rotated_events_go(past: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    done = next(path.name for path in (past.state / "queue" / "done").rglob("*") if path.is_file())
    age(past, monkeypatch, past.root.number("retention_days") + 1)
    Archivist(past.root).run()
    after = kept(past)
    assert after["departed"] == set()
    assert "gone.jsonl.1" not in after["events"]
    assert "one.jsonl" in after["events"]
    mine = {name for name in after["results"] if name.startswith(f"{done}~")}
    assert [name.rpartition(".json")[0].rpartition(".")[2] for name in mine] == ["done"], "of what is done, the last"
    assert any(not name.startswith(f"{done}~") for name in after["results"]), "attempts of what is not done count"


def test_what_is_not_sealed_is_no_tombstone_yet(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = team()
    peer = Peer.join(crew.project, "one")
    peer.request()
    home = crew.home("one")
    assert home is not None
    home.rename(crew.state / "departed" / f"{home.name}~two~1.x")
    age(crew, monkeypatch, 400)
    Archivist(crew.root).run()
    assert list((crew.state / "departed").glob("*/claims/*"))


def test_the_retention_is_a_setting(past: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    past.root.protocol["settings"]["retention_days"] = 3
    age(past, monkeypatch, 4)
    Archivist(past.root).run()
    assert kept(past)["departed"] == set()


@pytest.mark.parametrize("who", ["least_reader", "least_writer"])
def test_a_directory_that_asks_for_a_newer_program_is_not_opened(team: Team, who: str) -> None:
    crew = team()
    crew.root.protocol["protocol"] = {"version": 1, "least_reader": 1, "least_writer": 1, who: 2}
    crew.root.files.put(paths.PROTOCOL, roots.records.encode(crew.root.protocol))
    with pytest.raises(PeercoordError, match="needs protocol version 2"):
        roots.open_root(str(crew.state))


class Sleeper:
    """A clock of a machine that slept for an hour between two looks."""

    slept = 0.0

    def asleep(self) -> float:
        return self.slept


def test_a_machine_that_slept_takes_nobody_for_dead_and_looks_at_everything_again() -> None:
    told: list[str] = []

    class Woken(Agent):
        def __init__(self) -> None:
            self.clock = Sleeper()  # type: ignore[assignment]
            self._slept = 0.0
            self.host = type("Host", (), {"log": staticmethod(told.append)})()
            self.observer = type("Eyes", (), {"reset_observations": staticmethod(lambda: told.append("reset"))})()  # type: ignore[assignment]
            self.schedule = type("Plan", (), {"hasten": staticmethod(lambda now: told.append(f"all at {now}"))})()  # type: ignore[assignment]

    agent = Woken()
    agent._look_at_sleep(5.0)
    assert told == []
    agent.clock.slept = 3600.0  # type: ignore[attr-defined]
    agent._look_at_sleep(6.0)
    agent._look_at_sleep(7.0)
    assert told == ["this machine slept for 3600 s: looking at everything again", "reset", "all at 6.0"]
