"""How each real coding agent is led to the scripted model, and started without a screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents import programs

if TYPE_CHECKING:
    from agents.offline import Offline

KEY = "not-a-key-of-anyone"
TRUSTED = "--dangerously-bypass-hook-trust"  # of Codex, in tests only: a person trusts the hooks in its window
BYPASS = ["--dangerously-bypass-approvals-and-sandbox", TRUSTED]
WORDS = {
    "claude": ["-p", "{}", "--output-format", "stream-json", "--verbose", "--permission-mode", "acceptEdits"],
    "codex": ["exec", "--json", "{}"],
    "gemini": ["-p", "{}", "-o", "stream-json", "--approval-mode", "yolo", "--skip-trust"],
    "copilot": ["-p", "{}", "--allow-all-tools", "--no-color"],
    "opencode": ["run", "--format", "json", "{}"],
}


def command(agent: str, prompt: str) -> list[str]:
    """Return the command of a session that works on a prompt and ends; skip the test if the program is missing."""
    return [programs.find(agent), *(word.replace("{}", prompt) for word in WORDS[agent])]


def variables(world: Offline, agent: str) -> dict[str, str]:
    """Write the configuration of the person who starts an agent; return the variables that lead it to the model."""
    return _VARIABLES[agent](world, world.home / "user")


def write(path: Path, content: Any) -> None:
    """Write JSON, unless a file is there that something was added to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(json.dumps(content))


def _claude(world: Offline, user: Path) -> dict[str, str]:
    trusted = {str(tree): {"hasTrustDialogAccepted": True} for tree in (world.project, *world.home.glob("proj-*"))}
    known = {"hasCompletedOnboarding": True, "theme": "dark", "projects": trusted}
    known["customApiKeyResponses"] = {"approved": [KEY[-20:]], "rejected": []}
    write(user / ".claude" / ".claude.json", known)
    return {
        "CLAUDE_CONFIG_DIR": str(user / ".claude"),
        "ANTHROPIC_BASE_URL": world.url,
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


def _codex(world: Offline, user: Path) -> dict[str, str]:
    (user / ".codex").mkdir(exist_ok=True)
    (user / ".codex" / "config.toml").write_text(
        f'model = "gpt-5"\nmodel_provider = "scripted"\n'
        f'[model_providers.scripted]\nname = "scripted"\nbase_url = "{world.url}/v1"\nenv_key = "SCRIPTED_KEY"\n'
        f'wire_api = "responses"\nrequest_max_retries = 1\nstream_max_retries = 1\n'
        f'[projects."{world.project}"]\ntrust_level = "trusted"\n'
    )
    return {"CODEX_HOME": str(user / ".codex"), "SCRIPTED_KEY": KEY}


def _gemini(world: Offline, user: Path) -> dict[str, str]:
    quiet = {"telemetry": {"enabled": False}, "privacy": {"usageStatisticsEnabled": False}}
    chosen = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "model": {"name": "gemini-2.5-flash"}}
    write(user / ".gemini" / "settings.json", quiet | chosen | {"general": {"enableAutoUpdate": False}})
    return {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": world.url}


def _copilot(world: Offline, user: Path) -> dict[str, str]:
    return {
        "COPILOT_HOME": str(user / ".copilot"),
        "COPILOT_PROVIDER_BASE_URL": f"{world.url}/v1",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_API_KEY": KEY,
        "COPILOT_MODEL": "gpt-5.4",
        "COPILOT_OFFLINE": "true",
        "COPILOT_AUTO_UPDATE": "false",
    }


def _opencode(world: Offline, user: Path) -> dict[str, str]:
    place = user / ".config" / "opencode"
    options = {"baseURL": f"{world.url}/v1", "apiKey": KEY}
    models = {"m1": {"name": "m1", "limit": {"context": 200000, "output": 8000}}}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "scripted", "options": options, "models": models}
    chosen = {"model": "scripted/m1", "small_model": "scripted/m1", "provider": {"scripted": provider}}
    quiet = {"autoupdate": False, "share": "disabled", "permission": {"*": "allow"}}
    write(place / "opencode.json", quiet | chosen)
    types = Path(programs.find("opencode")).resolve().parents[2] / "@opencode-ai"
    if types.exists() and not (place / "node_modules").exists():  # else it asks a registry for them, for 80 seconds
        (place / "node_modules").mkdir()
        (place / "node_modules" / "@opencode-ai").symlink_to(types)
    return {f"OPENCODE_DISABLE_{what}": "1" for what in ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD")}


_VARIABLES = {"claude": _claude, "codex": _codex, "gemini": _gemini, "copilot": _copilot, "opencode": _opencode}
