from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from agent.crew import Crew, crew


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Callable[..., Crew]]:
    """Makes crews; their agents and sessions end with the test."""
    with ExitStack() as stack:
        yield lambda tasks=3, **settings: stack.enter_context(crew(tmp_path, tasks, **settings))
