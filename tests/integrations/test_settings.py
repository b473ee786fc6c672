"""What we write for each coding agent fits its published schema, and names every event of the table."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from peercoord.integrations import launch, settings
from peercoord.integrations.agents import AGENTS, CLAUDE, CODEX, COPILOT, GEMINI, STOP, WAIT

SCRIPT = "/home/my person/it's/hook.sh"
SCHEMAS = Path(os.environ.get("PEERCOORD_AGENT_SCHEMAS") or Path(__file__).parents[3] / "shared" / "data")


def schema(name: str) -> dict[str, object]:
    """A published schema; it is no part of this project, so that it may be absent."""
    path = SCHEMAS / name
    if not path.exists():
        pytest.skip(f"{name} is not here: PEERCOORD_AGENT_SCHEMAS names the directory that has it")
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("worktree", ["", "/home/my person/app-instance-1"])
def test_settings_of_claude_fit_their_schema(worktree: str) -> None:
    import jsonschema

    jsonschema.validate(settings.hooks(CLAUDE, SCRIPT, worktree), schema("claude-code-settings.schema.json"))


def test_hooks_of_codex_fit_their_schema() -> None:
    import jsonschema

    jsonschema.validate(settings.hooks(CODEX, SCRIPT), schema("codex-hooks.schema.json"))


HOOK_OF_GEMINI = {"name": str, "type": str, "command": str, "description": str, "timeout": int}
"""What Gemini CLI reads of one hook, where its published schema is not here."""

EVENTS_OF_GEMINI = {
    *("SessionStart", "SessionEnd", "BeforeAgent", "AfterAgent", "BeforeModel", "AfterModel", "BeforeToolSelection"),
    *("BeforeTool", "AfterTool", "PreCompress", "Notification"),
}


def test_hooks_of_gemini_fit_its_schema_or_the_table_of_its_keys() -> None:
    import jsonschema

    written = settings.hooks(GEMINI, SCRIPT)
    if (SCHEMAS / "gemini-settings.schema.json").exists():
        jsonschema.validate(written, schema("gemini-settings.schema.json"))
    assert {*written["hooks"]} <= EVENTS_OF_GEMINI
    groups = [group for some in written["hooks"].values() for group in some]
    assert {key for group in groups for key in group} <= {"matcher", "sequential", "hooks"}
    for hook in (hook for group in groups for hook in group["hooks"]):
        assert {key: type(value) for key, value in hook.items()}.items() <= HOOK_OF_GEMINI.items()
        assert (hook["type"], hook["timeout"] >= 1000) == ("command", True), "milliseconds"


def test_settings_of_opencode_fit_its_schema_or_the_table_of_its_keys() -> None:
    import jsonschema

    written = json.loads(launch.files(SCRIPT, "/home/my person/app", "memory-bank")["opencode.json"])
    if (SCHEMAS / "opencode-config.schema.json").exists():
        jsonschema.validate(written, schema("opencode-config.schema.json"))
    assert written.keys() == {"$schema", "plugin", "permission"}
    assert all(isinstance(one, str) for one in written["plugin"])
    assert written["permission"].keys() <= {"edit", "bash", "external_directory"}
    rules = [one for one in written["permission"].values() if isinstance(one, dict)]
    answers = {answer for one in rules for answer in one.values()} | {
        one for one in written["permission"].values() if isinstance(one, str)
    }
    assert answers <= {"allow", "ask", "deny"}
    assert all(next(iter(one)) == "*" for one in rules), "the last rule that fits counts"


@pytest.mark.parametrize("agent", [CLAUDE, CODEX, GEMINI, COPILOT], ids=lambda agent: agent.key)
def test_every_event_calls_the_script_with_its_word(agent) -> None:
    import shlex

    called = []
    for event, groups in settings.hooks(agent, SCRIPT)["hooks"].items():
        for handler in groups if agent is COPILOT else [one for group in groups for one in group["hooks"]]:
            assert settings.is_handler(handler, SCRIPT)
            words = [handler["command"], *handler["args"]] if agent is CLAUDE else None
            script, word, key = words or shlex.split(handler.get("command") or handler["bash"])
            assert (script, key) == (SCRIPT, agent.key)
            assert event in (agent.events[word].name, *agent.events[word].also)
            assert handler.get("timeoutSec", handler.get("timeout")) == agent.timeout(word)
            called.append(word)
    assert set(called) == set(agent.events)
    assert len(called) == sum(1 + len(event.also) for event in agent.events.values())


def test_the_waiter_runs_beside_the_stop_and_wakes() -> None:
    handlers = settings.hooks(CLAUDE, SCRIPT)["hooks"]["Stop"][0]["hooks"]
    assert [(one["args"][0], one.get("asyncRewake", False)) for one in handlers] == [(STOP, False), (WAIT, True)]


def test_a_handler_of_other_people_is_not_taken_for_ours() -> None:
    for command in ("", "/home/other/hook.sh", f"{SCRIPT}2 stop", "echo " + SCRIPT):
        assert not settings.is_handler({"command": command}, SCRIPT)


def test_every_agent_of_the_table_is_covered() -> None:
    assert set(AGENTS) == {"claude", "codex", "gemini", "copilot", "opencode"}
