"""A person sets an agent up once, starts it in a worktree, and is handed one task after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from agents import programs, sessions
from agents.offline import PATIENCE, offline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
OPTIONS = {"codex": sessions.BYPASS, "claude": ["--allowedTools", "Bash(./.claude-instance/coordinate.sh *)"]}


@pytest.mark.parametrize("agent", sessions.WORDS)
def test_hooks_that_a_person_set_up_lead_through_two_tasks(tmp_path: Path, agent: str) -> None:
    programs.find(agent)
    with offline(tmp_path) as world:
        world.make(1, 2)
        variables = sessions.variables(world, agent)
        world.run("peercoord", "setup", agent, **variables)
        assert world.session(agent, 1, "Work on the tasks of the team.", *OPTIONS.get(agent, ())).wait(PATIENCE) == 0
        assert world.done() == {"1": ["instance-1"], "2": ["instance-1"]}
        assert sum("request-task" in command for command in world.commands("instance-1")) == 1  # then they came by hook
