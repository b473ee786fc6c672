"""Agents stay as small as they are, however long they are called."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest
from agent.crew import Crew

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
