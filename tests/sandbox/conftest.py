from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from agent.crew import Crew, crew

from peercoord.store import records

NEVER = {"heartbeat_seconds": 300}


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Callable[..., Crew]]:
    """Makes crews whose agents never beat by themselves."""
    with ExitStack() as stack:
        yield lambda tasks=3, **settings: stack.enter_context(crew(tmp_path, tasks, **{**NEVER, **settings}))


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """A crew in which one agent serves `one` for all tests of a module; its script can start no Python."""
    with crew(tmp_path_factory.mktemp("standing"), 0, **NEVER) as made:
        made.agent("one")
        made.without_python("one")
        yield made


@pytest.fixture
def served(standing: Crew) -> Iterator[tuple[Crew, str]]:
    """The standing crew, and the one task that is open in it."""
    task = str(len(standing.queue.all_tasks()) + 1)
    standing.queue.add(records.define(task, f"task {task}"))
    yield standing, task
    for left in standing.queue.all_tasks():
        if standing.where(left) == "claimed":
            assert standing.call("one", "report-progress", left, "--status=done")[0] == 0
        elif standing.where(left) == "ready":
            standing.queue.cancel(left)
