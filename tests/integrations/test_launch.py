"""Sessions are started with settings of our own that bypass nothing and reach no file of a person's."""

from __future__ import annotations

import json
import os
import re
import tomllib
from fnmatch import fnmatch
from itertools import pairwise

import pytest
from integrations.test_settings import schema

from peercoord.integrations import launch, settings
from peercoord.integrations.agents import AGENTS, CLAUDE, CODEX, COPILOT, GEMINI, OPENCODE

PROJECT = "/home/my person/it's [new]"
HOOKS = f"{PROJECT}/.claude-coordination/hooks"
FILES = launch.files(f"{HOOKS}/hook.sh", PROJECT, "memory-bank")


@pytest.mark.parametrize("agent", AGENTS.values(), ids=lambda agent: agent.key)
def test_nothing_is_bypassed_and_no_place_outside_is_opened(agent) -> None:
    said = "\n".join([*launch.command(agent, HOOKS), *FILES.values()])
    for word in ("bypass", "yolo", "dangerous", "skip-perm", "allow-all", "additionalDirectories", "allowWrite"):
        assert word not in said
    assert "danger-full-access" not in said
    assert launch.command(agent, HOOKS)[0] == agent.program


def test_settings_of_claude_fit_their_schema_and_name_every_hook() -> None:
    import jsonschema

    claude = json.loads(FILES["claude.json"])
    for name in ("claude.json", "claude-costs.json"):
        jsonschema.validate(json.loads(FILES[name]), schema("claude-code-settings.schema.json"))
    assert claude["hooks"] == settings.hooks(CLAUDE, f"{HOOKS}/hook.sh")["hooks"]


def test_claude_may_call_the_verbs_and_not_write_what_is_shared() -> None:
    rules = json.loads(FILES["claude.json"])["permissions"]
    assert f"Bash({launch.COORDINATE} *)" in rules["allow"]
    denied = [rule.removeprefix("Edit(").removesuffix(")") for rule in rules["deny"]]
    for path in (".claude-coordination/x", "memory-bank/progress.md"):
        assert any(fnmatch(f"/{PROJECT}/{path}", one.replace("\\[", "[[]").replace("\\]", "]")) for one in denied)
    assert any(fnmatch("//home/x/tree/.claude-instance/coordinate.sh", one) for one in denied)
    assert "./memory-bank/**" in denied


def test_a_project_without_a_bank_denies_no_pattern_for_all() -> None:
    rules = json.loads(launch.files(f"{HOOKS}/hook.sh", PROJECT, "")["claude.json"])["permissions"]
    assert not any(rule in ("Edit(./**)", f"Edit(/{PROJECT}/**)") for rule in rules["deny"])


def test_hooks_of_codex_come_as_toml_with_its_command() -> None:
    words = launch.command(CODEX, HOOKS)
    given = [after for word, after in pairwise(words) if word == "-c"]
    told = tomllib.loads("\n".join(given))
    assert told["hooks"] == settings.hooks(CODEX, f"{HOOKS}/hook.sh")["hooks"]
    assert (told["sandbox_mode"], told["approval_policy"]) == ("workspace-write", "on-request")
    assert told["notice"]["hide_rate_limit_model_nudge"] is True


def test_every_worktree_has_the_same_hooks_of_codex() -> None:
    for tree in ("/home/x/app-instance-1", "/home/x/app-instance-2"):
        assert tree not in " ".join(launch.command(CODEX, HOOKS))
        assert launch.environment(CODEX, HOOKS, tree) == {"PEERCOORD_WORKTREE": tree}


def test_the_policy_of_gemini_knows_the_paths_of_its_tools() -> None:
    rules = tomllib.loads(FILES["gemini.toml"])["rule"]
    assert [rule["commandPrefix"] for rule in rules if rule["decision"] == "allow"] == list(launch.ALLOWED)
    pattern = next(rule["argsPattern"] for rule in rules if rule["toolName"] == "write_file")
    for path, is_denied in (
        ("/home/x/tree/memory-bank/progress.md", True),
        ("memory-bank/progress.md", True),
        (".claude-instance/coordinate.sh", True),
        (".claude-instance/memory-contributions/notes.md", False),
        ("src/memory.py", False),
    ):
        said = json.dumps({"content": "memory-bank/", "file_path": path}, separators=(",", ":"))
        assert bool(re.search(pattern, said)) is is_denied, path


def test_the_policies_of_a_person_stay_in_force(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GEMINI_CLI_HOME", str(tmp_path))
    assert launch.command(GEMINI, HOOKS).count("--policy") == 1
    (tmp_path / ".gemini/policies").mkdir(parents=True)
    assert f"{tmp_path}/.gemini/policies" in launch.command(GEMINI, HOOKS)


def test_a_prompt_comes_only_where_nobody_types_one() -> None:
    for agent in AGENTS.values():
        assert launch.command(agent, HOOKS)[-1] == launch.PROMPT
        assert launch.PROMPT not in launch.command(agent, HOOKS, "")


@pytest.mark.parametrize("where", ["person", "worktree", "project", "fifo", "huge", "nowhere"])
def test_a_status_line_of_a_persons_is_not_hidden(tmp_path, monkeypatch, where) -> None:
    home, tree, project = tmp_path / "home", tmp_path / "tree", tmp_path / "project"
    for place in (home, tree / ".claude", project / ".claude"):
        place.mkdir(parents=True)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home))
    (home / "settings.json").write_text('{"theme": "dark"}')
    own = json.dumps({"statusLine": {"type": "command", "command": "mine"}})
    names = {"person": home / "settings.json", "worktree": tree / ".claude/settings.local.json"}
    names["project"] = project / ".claude/settings.json"
    if where in names:
        names[where].write_text(own)
    elif where == "fifo":
        os.mkfifo(tree / ".claude/settings.json")
    elif where == "huge":
        with (tree / ".claude/settings.json").open("w") as file:
            file.truncate(1 << 40)
    words = launch.command(CLAUDE, f"{project}/.claude-coordination/hooks", "", str(tree))
    given = json.loads(FILES[words[words.index("--settings") + 1].rpartition("/")[2]])
    assert ("statusLine" in given) is (where == "nowhere")
    given.pop("statusLine", None)
    assert given == json.loads(FILES["claude.json"]), "all else is the same"


def test_hooks_of_a_person_speak_where_ours_cannot() -> None:
    assert launch.environment(GEMINI, HOOKS, "/home/x/tree") == {}


def test_copilot_gets_its_hooks_as_a_plugin() -> None:
    words = launch.command(COPILOT, HOOKS)
    assert words[words.index("--plugin-dir") + 1] == f"{HOOKS}/copilot"
    assert json.loads(FILES["copilot/plugin.json"])["hooks"] == "hooks.json"
    assert json.loads(FILES["copilot/hooks.json"]) == settings.hooks(COPILOT, f"{HOOKS}/hook.sh")
    assert "write(.claude-instance/coordinate.sh)" in words


def test_opencode_finds_its_plugin_and_the_rules_for_files() -> None:
    from urllib.parse import unquote, urlsplit

    told = json.loads(FILES["opencode.json"])
    assert unquote(urlsplit(told["plugin"][0]).path) == f"{HOOKS}/opencode.js"
    assert json.dumps(f"{HOOKS}/hook.sh", ensure_ascii=False) in FILES["opencode.js"]
    assert launch.environment(OPENCODE, HOOKS, "/home/x/tree")["OPENCODE_CONFIG"] == f"{HOOKS}/opencode.json"
    rules = told["permission"]["edit"]
    for path in ("memory-bank/progress.md", "/home/x/.claude-coordination/x", ".claude-instance/coordinate.sh"):
        assert [answer for pattern, answer in rules.items() if fnmatch(path, pattern)][-1] == "deny"
