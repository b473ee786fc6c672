"""A person sets an agent up once, starts it in a worktree, and is handed one task after the other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from agents import programs, sessions
from agents.offline import PATIENCE, offline

from peercoord.integrations import check

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


def test_a_gemini_that_does_not_trust_its_worktree_fires_no_hook_and_the_check_says_so(tmp_path: Path) -> None:
    program = programs.find("gemini")
    with offline(tmp_path) as world:
        world.make(1, 1)
        variables = sessions.variables(world, "gemini")
        world.run("peercoord", "setup", "gemini", **variables)
        words, tree = [program, "-p", "Work.", "--approval-mode", "auto_edit"], world.worktree(1)
        assert world.start(words, tree, tmp_path / "out", **variables).wait(PATIENCE) != 0
        assert not [*(tmp_path / "user").glob(".local/share/peercoord/fired-*")]
        asked = ("peercoord", "-C", str(world.project), "setup", "gemini", "--check")
        assert f"Gemini CLI does not trust {tree} yet" in world.run(*asked, **variables)
        (tmp_path / "user/.gemini/trustedFolders.json").write_text(json.dumps({str(tree): "TRUST_FOLDER"}))
        assert world.start(words, tree, tmp_path / "out", **variables).wait(PATIENCE) == 0
        assert "does not trust" not in world.run(*asked, **variables)


def test_the_hooks_of_a_launched_codex_are_looked_up_in_codex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(programs.find('codex')).parent}:{os.environ['PATH']}")
    (one,) = check.launched(tmp_path, tmp_path / "hooks", tmp_path)
    assert one.text == "Codex skips 7 of 7 hooks without a word: they were not reviewed"


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
