"""Agents stay as small as they are, however long they are called."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest
from agent.crew import Crew

from peercoord.agent import host
from peercoord.mailbox import server

Team = Callable[..., Crew]


def calls(crew: Crew, count: int) -> float:
    """Call an agent so often; its memory afterwards, in MiB."""
    for number in range(count):
        verb = ("check-status",) if number % 3 else ("report-progress", "1", "--progress", str(number % 100 / 100))
        assert crew.call("one", *verb)[0] == 0
    return float(psutil.Process(crew.agent_pid("one")).memory_info().rss) / (1 << 20)


@pytest.mark.slow
def test_the_memory_of_an_agent_is_flat(team: Team) -> None:
    crew = team(20, heartbeat_seconds=300)
    crew.agent("one")
    crew.call("one", "request-task")
    settled = calls(crew, 300)
    assert settled < 40
    assert calls(crew, 900) - settled < 2.0


def test_what_was_served_is_forgotten_in_time(team: Team) -> None:
    from peercoord.agent import control
    from peercoord.mailbox import protocol

    crew = team()
    crew.tree("one")
    mine = host.Worktree(control.place_of(str(crew.tree("one"))), print, print)
    mine.connect([])
    clock = [0.0]
    box = server.Outbox(mine.place().files(), mine.serve, mine.standing, lambda: clock[0])
    assert box.open() is not None
    for number, verb in enumerate(("check-status", "update-memory", "release", "nonsense") * 5):
        request = protocol.Request(
            f"r{number}", [verb, "--file=a.md", f"--content={number}"][: 3 if verb[0] == "u" else 1]
        )
        (crew.tree("one") / ".claude-instance" / "outbox" / f"r{number}").write_bytes(request.encode())
    for clock[0] in (0.0, 61.0, 122.0, 183.0):
        box.rescan()
    assert (box._seen, box._served, box._told) == ({}, {}, set())
    box.close()
    assert not list((crew.tree("one") / ".claude-instance" / "outbox").iterdir())
    assert {path.name for path in (crew.tree("one") / ".claude-instance" / "inbox").iterdir()} == {"current"}
