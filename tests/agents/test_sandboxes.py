"""The agents' own sandboxes, for real: coordinate.sh works in them, and nothing beside the worktree can be written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from agents import programs, sessions
from agents.offline import PATIENCE, offline
from support.project import git

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not shutil.which("bwrap") or not shutil.which("socat"), reason="bubblewrap or socat is missing"),
]
PROMPT = "Do one task of this project: ./.claude-instance/coordinate.sh request-task"
SANDBOX = {"enabled": True, "autoAllowBashIfSandboxed": True, "allowUnsandboxedCommands": False}
CODEX = ["-s", "workspace-write", "-c", "sandbox_workspace_write.exclude_slash_tmp=true"]
CODEX += ["-c", "sandbox_workspace_write.exclude_tmpdir_env_var=true"]


@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_a_task_is_done_from_inside(tmp_path: Path, agent: str) -> None:
    programs.find(agent)
    with offline(tmp_path) as world:
        world.make(1)
        text = "Write parts/p1.py. Run `touch ../beside`. Run `touch inside`."
        world.run("peercoord", "task", "add", "Part 1", "--description", text)
        options = CODEX if agent == "codex" else world.settings({"sandbox": SANDBOX})
        if agent == "codex":
            world.run("peercoord", "setup", "codex", "--allow-commits", **sessions.variables(world, agent))
        assert world.session(agent, 1, PROMPT, *options).wait(PATIENCE) == 0
        assert world.done() == {"1": ["instance-1"]}
        assert (world.worktree(1) / "inside").exists()
        assert git(world.worktree(1), "log", "-1", "--format=%s").strip() == "Part 1"
        assert not (tmp_path / "beside").exists()
        came = [text for told in world.told for kind, text in told.get("entries", []) if kind == "came"]
        assert any("Read-only file system" in text for text in came)
        assert not any("bash_profile" in text for text in came)  # the sandbox's own files are no uncommitted work
