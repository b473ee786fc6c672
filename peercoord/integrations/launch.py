"""How `up` starts a coding agent: its command, its environment, and settings of our own.

The settings lie in the coordination directory, never below a worktree: hooks run outside the sandbox, and what a coding
agent may write must not say what runs there. They are the same for every worktree; the environment says which one it
is. No file of a person is touched. A session may call the verbs, edit its worktree and commit; it asks for the rest.
Nothing here bypasses a coding agent's own permissions or its sandbox.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from peercoord import __version__
from peercoord.agent.transcripts import opened
from peercoord.integrations import script, settings
from peercoord.integrations.agents import CLAUDE, CODEX, COPILOT, GEMINI, OPENCODE
from peercoord.store import paths

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.integrations.agents import CodingAgent
    from peercoord.store.root import Root

COORDINATE = "./.claude-instance/coordinate.sh"
ALLOWED = (COORDINATE, "git add", "git commit", "git merge")
"""Commands that a session runs without a question: the verbs, and what a finished task needs."""

WORKTREE = "PEERCOORD_WORKTREE"
"""Says to every hook which worktree the session is in, and that it has hooks of its own."""

PROMPT = (
    "Work on the tasks of your team, one after the other, until none is left. What peercoord says at the start of the "
    "session tells which task is yours and how it is reported. If it says nothing, "
    f"ask for a task: {COORDINATE} request-task"
)
_CLAUDE, _CLAUDE_COSTS = "claude.json", "claude-costs.json"
_POLICY, _OPENCODE, _COPILOT = "gemini.toml", "opencode.json", "copilot"
_SETTINGS_BYTES = 1 << 20  # of a person or a project; more is not looked at


def command(agent: CodingAgent, hooks: str, prompt: str = PROMPT, worktree: str = "") -> list[str]:
    """Return the command that starts a coding agent in a worktree.

    Args:
        agent: The coding agent.
        hooks: Absolute path of the directory with the settings.
        prompt: The first prompt; empty if a person types it.
        worktree: Absolute path of the worktree, whose own settings may have a status line.
    """
    first = [prompt] if prompt else []
    if agent is CLAUDE:  # the default mode asks a server, and stops at a dialog behind a gateway
        chosen = _CLAUDE if _has_status_line(hooks, worktree) else _CLAUDE_COSTS
        return ["claude", "--settings", f"{hooks}/{chosen}", "--permission-mode", "acceptEdits", *first]
    if agent is CODEX:  # the hooks come with the command: a person reviews them once for all worktrees
        words = ["codex"]
        for event, groups in settings.hooks(CODEX, f"{hooks}/{Path(paths.HOOK_SCRIPT).name}")["hooks"].items():
            words += ["-c", f"hooks.{event}={_toml(groups)}"]
        words += ["-c", 'sandbox_mode="workspace-write"', "-c", 'approval_policy="on-request"']
        # the offer of another model, at a limit, is a dialog in which nobody can tell the session to go on
        return [*words, "-c", "notice.hide_rate_limit_model_nudge=true", *first]
    if agent is GEMINI:  # one policy that is named replaces the person's own, unless they are named too
        own = Path(os.environ.get("GEMINI_CLI_HOME") or Path.home()) / ".gemini" / "policies"
        policies = [f"{hooks}/{_POLICY}", *([str(own)] if own.is_dir() else [])]
        words = ["gemini", "--approval-mode", "auto_edit", *(word for one in policies for word in ("--policy", one))]
        return [*words, *(["--prompt-interactive", prompt] if prompt else [])]
    if agent is COPILOT:
        allowed = [word for one in ALLOWED for word in ("--allow-tool", f"shell({one}:*)")]
        allowed += ["--allow-tool", "write", "--deny-tool", f"write({COORDINATE[2:]})"]
        return [
            "copilot",
            "--plugin-dir",
            f"{hooks}/{_COPILOT}",
            *allowed,
            *(["--interactive", prompt] if prompt else []),
        ]
    return ["opencode", *(["--prompt", prompt] if prompt else [])]


def _has_status_line(hooks: str, worktree: str) -> bool:
    """Check whether a person's or the project's settings of Claude Code have a status line, which ours would hide."""
    own = os.environ.get("CLAUDE_CONFIG_DIR") or f"{Path.home()}/.claude"
    places = [own, *(f"{tree}/.claude" for tree in (worktree, str(Path(hooks).parents[1])) if tree)]
    for path in (f"{place}/{name}" for place in places for name in ("settings.json", "settings.local.json")):
        try:
            with opened(path) as (handle, seen):
                if seen.st_size > _SETTINGS_BYTES or b"statusLine" in os.pread(handle, _SETTINGS_BYTES, 0):
                    return True
        except FileNotFoundError:
            continue
        except OSError:
            return True  # who knows what it says
    return False


def environment(agent: CodingAgent, hooks: str, worktree: str) -> dict[str, str]:
    """Return the variables with which a coding agent is started in a worktree."""
    if agent is GEMINI:  # it takes hooks from a person's files alone, and these must not be silent
        return {}
    return {WORKTREE: worktree, **({"OPENCODE_CONFIG": f"{hooks}/{_OPENCODE}"} if agent is OPENCODE else {})}


def files(hook: str, project: str, bank: str) -> dict[str, str]:
    """Return the settings of all coding agents, by the name of the file.

    Args:
        hook: Absolute path of the hook script.
        project: Absolute path of the project in the main checkout.
        bank: Path of the memory bank in the project; empty if there is none.
    """
    root = f"{project}/{paths.ROOT}"
    written = [f"/{_literal(root)}/**", f"//**/{COORDINATE[2:]}"]
    written += [f"/{_literal(f'{project}/{bank}')}/**", f"./{_literal(bank)}/**"] if bank else []
    claude: Json = {
        "$schema": "https://json.schemastore.org/claude-code-settings.json",
        "permissions": {
            "allow": [f"Bash({one}{rest})" for one in ALLOWED for rest in ("", " *")],
            "deny": [f"Edit({path})" for path in written],
        },
        **settings.hooks(CLAUDE, hook),
    }
    parts = [f"{paths.ROOT}/", COORDINATE[2:], *([f"{bank}/"] if bank else [])]
    file_path = f'"file_path":"[^"]*({"|".join(re.sub(r"[^A-Za-z0-9/_ -]", r".", part) for part in parts)})'
    policy = [
        *[_rule("run_shell_command", f"commandPrefix = {_toml(one)}", "allow", 300) for one in ALLOWED],
        *[_rule(tool, f"argsPattern = {_toml(file_path)}", "deny", 900) for tool in ("write_file", "replace")],
    ]
    denied = {f"*{part}*" if part.endswith("/") else f"*{part}": "deny" for part in parts}
    opencode: Json = {
        "$schema": "https://opencode.ai/config.json",
        "plugin": [Path(hook).with_name(script.PLUGIN).as_uri()],
        "permission": {
            "edit": {"*": "allow", **denied},
            "bash": {"*": "ask", **{f"{one}*": "allow" for one in ALLOWED}},
            "external_directory": "deny",
        },
    }
    return {
        _CLAUDE: _json(claude),
        _CLAUDE_COSTS: _json({**claude, "statusLine": {"type": "command", "command": settings.status_line(hook)}}),
        f"{_COPILOT}/plugin.json": _json({"name": "peercoord", "version": __version__, "hooks": "hooks.json"}),
        f"{_COPILOT}/hooks.json": _json(settings.hooks(COPILOT, hook)),
        _POLICY: "\n".join(policy),
        _OPENCODE: _json(opencode),
        script.PLUGIN: script.plugin(hook, ""),
    }


def missing(root: Root, project: str, bank: str) -> list[str]:
    """List the settings that are missing in the coordination directory, or of another version."""
    hook = f"{project}/{paths.ROOT}/{paths.HOOK_SCRIPT}"
    wanted = {paths.hook_settings(name): text.encode() for name, text in files(hook, project, bank).items()}
    wanted[paths.HOOK_SCRIPT] = script.script()
    return [path for path, text in wanted.items() if root.files.read(path) != text]


def install(root: Root, project: str, bank: str) -> None:
    """Write the hook script and the settings of all coding agents.

    Args:
        root: The coordination directory.
        project: Absolute path of the project in the main checkout.
        bank: Path of the memory bank in the project; empty if there is none.

    Raises:
        StorageError: They could not be written.
    """
    hook = script.install(root)
    for name, text in files(hook, project, bank).items():
        path = paths.hook_settings(name)
        if root.files.read(path) != text.encode():
            root.files.put(path, text.encode())


def _literal(path: str) -> str:
    """Write a path for rules that read it as gitignore does."""
    return re.sub(r"([\\*?\[\]!#])", r"\\\1", path)


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _toml(value: Any) -> str:
    """Write a value as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return orjson.dumps(value).decode().replace("\x7f", "\\u007f")


def _rule(tool: str, which: str, decision: str, priority: int) -> str:
    return f'[[rule]]\ntoolName = "{tool}"\n{which}\ndecision = "{decision}"\npriority = {priority}\n'
