"""The plugin for Claude Code: the program accepts it, and a session that has it works the list to its end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from agents import programs
from agents.offline import PATIENCE, offline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PLUGIN = Path(__file__).parents[2] / "examples" / "claude-plugin"
VERBS = {"permissions": {"allow": ["Bash(./.claude-instance/coordinate.sh *)"]}}


def test_claude_accepts_it_without_a_warning(tmp_path: Path) -> None:
    command = [programs.find("claude"), "plugin", "validate", "--strict", str(PLUGIN)]
    done = subprocess.run(command, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert (done.returncode, "Validation passed" in done.stdout) == (0, True), done.stdout + done.stderr


def test_a_session_that_has_it_works_the_list(tmp_path: Path) -> None:
    with offline(tmp_path) as world:
        world.make(1, 2)
        session = world.claude(1, "Work.", "--plugin-dir", str(PLUGIN), settings=VERBS)
        assert session.wait(PATIENCE) == 0
        assert world.done() == {"1": ["instance-1"], "2": ["instance-1"]}
