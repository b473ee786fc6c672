"""Events wake an agent. No test here looks at a clock, and none would end without its event."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from peercoord.agent.loop import Agent
from peercoord.agent.sessions import SessionWatch
from peercoord.system import process
from peercoord.system.schedule import Schedule, Step
from peercoord.system.watch import Changes, Wakeups

FOREVER = 1e6  # seconds
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="events are tried on Linux")


@pytest.fixture
def wake() -> Iterator[Wakeups]:
    made = Wakeups()
    yield made
    made.close()


def test_the_end_of_a_process_wakes(wake: Wakeups) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        identity = process.identify(child.pid)
        assert identity is not None
        assert wake.watch_exits([identity])
        child.kill()
        assert wake.wait(FOREVER) == {"exit"}


def test_a_caller_at_the_door_wakes(wake: Wakeups) -> None:
    read, write = os.pipe()
    with open(read, "rb") as door, open(write, "wb", buffering=0) as caller:
        wake.listen("door", door)
        caller.write(b"x")
        assert wake.wait(FOREVER) == {"door"}


def test_another_thread_wakes(wake: Wakeups) -> None:
    other = threading.Thread(target=wake.poke, args=("claims",))
    other.start()
    assert wake.wait(FOREVER) == {"claims"}
    other.join()


@LINUX
@pytest.mark.parametrize("change", ["made", "moved here", "removed", "touched"])
def test_a_change_in_a_watched_directory_wakes(wake: Wakeups, tmp_path: Path, change: str) -> None:
    home, other = tmp_path / "peers", tmp_path / "other"
    for folder in (home, other):
        folder.mkdir()
        (folder / "there").touch()
    changes = Changes(lambda name, _: wake.poke(name))
    try:
        assert changes.watch("peers", str(home))
        if change == "made":
            (home / "new").mkdir()
        elif change == "moved here":
            (other / "there").rename(home / "moved")
        elif change == "removed":
            (home / "there").unlink()
        else:
            (home / "there").touch()
        assert wake.wait(FOREVER) == {"peers"}
    finally:
        changes.close()


class Resting(Agent):
    """An agent with nothing but its schedule, on which no step is due."""

    def __init__(self) -> None:
        self.clock = type("Still", (), {"monotonic": lambda _: 5.0, "asleep": lambda _: 0.0})()
        self._slept = 0.0
        self.duties = None
        self.outbox = type("Outbox", (), {"waiting": False})()
        self.schedule = Schedule()
        for name in ("watching", "session", "hand edits", "home", "door", "assignment records"):
            step = Step(name, FOREVER, lambda: None)
            self.schedule.add(step)
            self.schedule.ran(step, 0.0)


@pytest.mark.parametrize(
    ("happened", "due"),
    [
        ("exit", ["watching", "session"]),
        ("peers", ["watching", "session"]),
        ("leader", ["watching", "session"]),
        ("contributions", ["hand edits"]),
        ("instance", ["hand edits"]),
        ("home", ["home"]),
        ("outbox", ["door"]),
    ],
)
def test_an_event_brings_its_step_forward(happened: str, due: list[str]) -> None:
    agent = Resting()
    assert agent.schedule.due(5.0) == []
    agent._react({happened})
    assert [step.name for step in agent.schedule.due(6.0)] == due


class Listening(SessionWatch):
    """A watch of sessions with nothing but its clock, its settings and its peer."""

    def __init__(self, minutes: int, held: list[object]) -> None:
        self.at, self.signs, self.facts = 0.0, 0, {"last_call": {"at": "then"}}
        told, self._signs = self, None
        self.clock = type("Clock", (), {"monotonic": lambda _: told.at, "now": lambda _: f"at {told.at:.0f}"})()
        self.signs_of_work, self.log = lambda: told.signs, lambda _: None
        settings = {"silent_minutes": minutes, "heartbeat_seconds": 10, "ttl_heartbeats": 3}
        self.root = type("Root", (), {"number": lambda _, key: settings[key]})()
        self.peer = type("Peer", (), {"worker": type("Worker", (), {"held": lambda _: held})()})()

    def note(self, **facts: object) -> None:
        self.facts.update(facts)

    def silent_since(self, at: float, living: bool = True) -> object:
        self.at = at
        self._check_silence(self.facts, [{"pid": 1}] if living else [])
        return self.facts.get("silent_since")


def test_a_session_is_silent_after_the_minutes_in_the_settings() -> None:
    agent = Listening(minutes=2, held=[])
    assert [agent.silent_since(at) for at in (0, 60, 119, 120)] == [None, None, None, "then"]
    agent.signs += 1
    assert agent.silent_since(130) is None, "a commit is work"
    assert [agent.silent_since(at) for at in (249, 250)] == [None, "at 130"]


def test_without_a_setting_only_an_unknown_caller_is_silent() -> None:
    assert [Listening(0, ["1~1"]).silent_since(at) for at in (0, 9999)] == [None, None]
    agent = Listening(0, ["1~1"])
    assert [agent.silent_since(at, living=False) for at in (0, 29, 30)] == [None, None, "then"]
    idle = Listening(0, [])
    assert [idle.silent_since(at, living=False) for at in (0, 9999)] == [None, None]
