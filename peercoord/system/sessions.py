"""Which programs are coding agents, and which marks they leave in the processes they start.

A call of ``coordinate.sh`` comes from some levels of shells below the coding agent, often through an interpreter. An
agent is recognised by the name of the program, of the script that an interpreter or shell runs, or of the script's
package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peercoord.foreign import Json

PROGRAMS = {
    *("aider", "amp", "auggie", "claude", "cline", "codex", "copilot", "crush", "cursor-agent", "droid", "gemini"),
    *("goose", "kilocode", "kimi", "kiro-cli", "opencode", "openhands", "plandex", "qwen"),
}
PACKAGES = {
    *("aider-chat", "claude-code", "claude-agent-sdk", "codex", "copilot", "cursor-agent", "gemini-cli"),
    *("opencode-ai", "openhands-cli", "qwen-code"),
}
INSTALLED = ("/node_modules", "/site-packages", "/dist-packages", "local/share", "/usr/share", "pipx/venvs", "uv/tools")
"""Ends of folders in which packages are installed. Elsewhere a folder of such a name may be a checkout."""
INTERPRETERS = ("node", "bun", "deno", "python", "ruby", "tsx")
SHELLS = ("sh", "ash", "bash", "busybox", "dash", "fish", "ksh", "mksh", "zsh")
WRAPPERS = ("bwrap", "env", "nice", "nohup", "setsid", "stdbuf", "sudo", "timeout", "unshare", "xargs")
EVALUATES = ("-c", "-e", "-p", "--eval", "--print")  # options of interpreters that take a program, not a script
WORDS_MOST = 12  # words of a command line among which its script is looked for
NAME_CHARS = 60
SANDBOX_MARKS = ("SANDBOX_RUNTIME", "CODEX_SANDBOX", "CODEX_SANDBOX_NETWORK_DISABLED", "GEMINI_SANDBOX_ACTIVE")
"""Environment variables that coding agents set in processes inside their sandbox."""
MARKS = (
    *("AI_AGENT", "CLAUDECODE", "CODEX_CI", "CODEX_THREAD_ID", "CURSOR_AGENT", "GEMINI_CLI", "OPENCODE"),
    *SANDBOX_MARKS,
)
"""Environment variables that coding agents set in the processes they start."""
GENERIC_MARK = "AGENT"  # set by some of them to their own name; by other programs to anything

WORKING, PERMISSION, ASKS, LIMITED = "working", "needs permission", "asks a question", "rate limited"
FAILED, WAITING, IDLE, ENDED = "turn failed", "waiting for work", "idle", "ended"
STATES = (WORKING, PERMISSION, ASKS, LIMITED, FAILED, WAITING, IDLE, ENDED)
"""What a coding session does, as its hooks tell. That there is none is seen by its process."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made a call."""

    # the process of the known coding agent behind the call, ``{"pid", "start", "program"}``; ``None`` if there is
    # none. An unknown process is no session: it may be a person's shell, or end with this call
    session: Json | None = None
    program: str = ""  # what called, for people; empty if that cannot be seen
    # the environment variable that a coding agent left in the caller; empty if there is none or it is unseen
    mark: str = ""


def mark_in(environ: Mapping[str, str]) -> str:
    """Return the name of the variable that a coding agent left in an environment; empty if there is none."""
    mark = next((name for name in MARKS if environ.get(name)), "")
    return mark or (GENERIC_MARK if environ.get(GENERIC_MARK, "").lower() in PROGRAMS else "")


def coding_agent(words: Sequence[str]) -> str:
    """Return the name of the known coding agent that a command line runs; else empty."""
    for word in _programs(words):
        *folders, name = word.replace("\\", "/").split("/")
        if _stem(name) in PROGRAMS:
            return _stem(name)
        for at, folder in reversed([*enumerate(folders)]):
            above = "/" + "/".join(folders[:at])
            if folder in PACKAGES and (above.endswith(INSTALLED) or "/@" in above[above.rfind("/") :]):
                return folder
    return ""


def program(words: Sequence[str]) -> str:
    """Return the program or script of a command line, for people; empty for a shell's command or a wrapper."""
    for word in reversed(_programs(words)):
        name = word.rpartition("/")[2]
        if name and name not in (*SHELLS, *WRAPPERS):
            return name[:NAME_CHARS]
    return ""


def _programs(words: Sequence[str]) -> list[str]:
    """Return the words that may name what a command line runs: the program, and its script."""
    if not words:
        return []
    found = [words[0].lstrip("-")]
    stem = _stem(found[0].rpartition("/")[2])
    if stem not in SHELLS and not stem.startswith(INTERPRETERS):
        return found
    for at, word in enumerate(words[1:WORDS_MOST], 1):
        if not word.startswith("-"):
            found.append(word)
            if not words[at - 1].startswith("-") or stem in SHELLS:
                break  # the rest are the script's arguments
        elif ("c" in word and not word.startswith("--")) if stem in SHELLS else word in EVALUATES:
            break  # a command, no script
    return found


def _stem(name: str) -> str:
    return name.removesuffix(".exe").removesuffix(".js").removesuffix(".mjs").removesuffix(".py")
