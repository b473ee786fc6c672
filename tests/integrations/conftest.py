from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from agent.crew import Crew, crew
from integrations.coder import Coder


@pytest.fixture
def coder(tmp_path: Path) -> Iterator[Callable[..., Coder]]:
    """Makes coding sessions in worktrees of one project; all ends with the test."""
    with ExitStack() as stack:
        made: list[Crew] = []

        def make(name: str = "one", tasks: int = 3, agent: str = "claude", **settings: object) -> Coder:
            if not made:
                made.append(stack.enter_context(crew(tmp_path, tasks, **settings)))
            return Coder(made[0], name, agent)

        yield make
