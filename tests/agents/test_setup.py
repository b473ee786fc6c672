"""A person sets an agent up once, starts it in a worktree, and is handed one task after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from agents import programs, sessions
from agents.offline import PATIENCE, offline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PLUGIN = str(Path(__file__).parents[2] / "examples" / "claude-plugin")
OPTIONS = {"codex": sessions.BYPASS, "claude": ["--allowedTools", "Bash(./.claude-instance/coordinate.sh *)"]}


@pytest.mark.parametrize("agent", sessions.WORDS)
def test_hooks_that_a_person_set_up_lead_from_task_to_task(tmp_path: Path, agent: str) -> None:
    programs.find(agent)
    tasks = 1 if agent == "opencode" else 2  # `opencode run` ends with its first turn, whatever a plugin says
    with offline(tmp_path) as world:
        world.make(1, tasks)
        variables = sessions.variables(world, agent)
        world.run("peercoord", "setup", agent, **variables)
        assert world.session(agent, 1, "Work on the tasks of the team.", *OPTIONS.get(agent, ())).wait(PATIENCE) == 0
        assert world.done() == {str(task): ["instance-1"] for task in range(1, tasks + 1)}
        assert sum("request-task" in command for command in world.commands("instance-1")) == 1  # then they came by hook


def test_the_plugin_leads_claude_code_from_task_to_task(tmp_path: Path) -> None:
    program = programs.find("claude")
    with offline(tmp_path) as world:
        world.make(1, 2)
        world.run(program, "plugin", "validate", PLUGIN, "--strict", **sessions.variables(world, "claude"))
        options = ("--plugin-dir", PLUGIN, *OPTIONS["claude"])
        assert world.session("claude", 1, "/peercoord:next", *options).wait(PATIENCE) == 0
        assert world.done() == {"1": ["instance-1"], "2": ["instance-1"]}
        told = [text for told in world.told for kind, text in told.get("entries", []) if kind == "told"]
        assert any("Take a task with this command" in text for text in told)  # the skill
        assert any("The next one is handed out by" in text for text in told)  # the hook
