"""The plugin for Claude Code says what the table of agents says, and is silent where others speak."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import click
import pytest
from integrations.test_settings import schema

from peercoord import __version__
from peercoord.cli.main import coordinate_sh
from peercoord.integrations import settings
from peercoord.integrations.agents import CLAUDE

PLUGIN = Path(__file__).parents[2] / "examples" / "claude-plugin"
SKILLS = sorted(PLUGIN.glob("skills/*/SKILL.md"))


def read(name: str) -> dict[str, object]:
    return json.loads((PLUGIN / name).read_text(encoding="utf-8"))


def test_its_hooks_are_those_of_the_table() -> None:
    assert read("hooks/hooks.json")["hooks"] == settings.hooks(CLAUDE, "${CLAUDE_PLUGIN_ROOT}/hooks/hook.sh")["hooks"]


@pytest.mark.parametrize("name", ["plugin", "marketplace"])
def test_its_manifests_fit_their_schemas(name: str) -> None:
    import jsonschema

    published = {"plugin": "claude-code-plugin-manifest", "marketplace": "claude-code-marketplace"}[name]
    jsonschema.validate(read(f".claude-plugin/{name}.json"), schema(f"{published}.schema.json"))


def test_its_version_is_that_of_the_package() -> None:
    assert read(".claude-plugin/plugin.json")["version"] == __version__


def test_skills_name_verbs_that_there_are() -> None:
    assert [path.parent.name for path in SKILLS] == ["next", "report", "review", "status"]
    context = click.Context(coordinate_sh)
    for path in SKILLS:
        for verb, options in re.findall(r"coordinate\.sh ([a-z-]+)([^`\n]*)", path.read_text()):
            command = coordinate_sh.get_command(context, verb)
            assert command is not None, verb
            known = {option for param in command.params for option in param.opts}
            assert set(re.findall(r"--[a-z-]+", options)) <= known, options


def run(directory: Path, event: str = "stop", **env: str) -> subprocess.CompletedProcess[str]:
    """Run the plugin's script with a ``peercoord`` that writes what it was called with."""
    program = directory / "bin" / "peercoord"
    program.parent.mkdir(exist_ok=True)
    program.write_text('#!/bin/sh\necho "$@"; cat; exit 2\n')
    program.chmod(0o755)
    return subprocess.run(
        [str(PLUGIN / "hooks" / "hook.sh"), event, "claude"],
        cwd=directory,
        input="{}",
        text=True,
        capture_output=True,
        check=False,
        env={"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(directory), **env},
    )


def test_its_script_speaks_in_a_worktree_and_only_a_waiter_says_two(tmp_path: Path) -> None:
    assert run(tmp_path).stdout == "", "no worktree of a team"
    (tmp_path / ".claude-instance").mkdir()
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (0, "hook stop --agent claude\n{}")
    assert run(tmp_path, "wait").returncode == 2
    assert run(tmp_path, "wait", CLAUDE_CODE_SESSION_ATTENDED="0").stdout == ""


def test_its_script_is_silent_where_others_speak(tmp_path: Path) -> None:
    (tmp_path / ".claude-instance").mkdir()
    assert run(tmp_path, PEERCOORD_WORKTREE="/x").stdout == ""
    assert run(tmp_path, PATH="/usr/bin:/bin").stdout == "", "peercoord is not installed"
    record = tmp_path / ".local/share/peercoord/setup.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"agents": {"codex": {}}}')
    assert run(tmp_path).stdout
    record.write_text('{"agents": {"claude": {}}}')
    assert run(tmp_path).stdout == ""
