"""Which programs are coding agents: the table by which the session behind a call is found.

A ``coordinate.sh`` call comes from some depth of shells below the coding agent, often through an interpreter. What
counts is the name of the program, of the script that an interpreter runs, or of the package that the script lies in.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS = {
    *("aider", "amp", "auggie", "claude", "cline", "codex", "copilot", "crush", "cursor-agent", "droid", "gemini"),
    *("goose", "kilocode", "kimi", "kiro-cli", "opencode", "openhands", "plandex", "qwen"),
}
PACKAGES = {
    *("aider-chat", "claude-code", "claude-agent-sdk", "codex", "copilot", "gemini-cli", "opencode-ai"),
    *("openhands-cli", "qwen-code"),
}
INTERPRETERS = ("node", "bun", "deno", "python", "ruby", "tsx")
SHELLS = ("sh", "ash", "bash", "busybox", "dash", "fish", "ksh", "mksh", "zsh")
SANDBOX_MARKS = ("SANDBOX_RUNTIME", "CODEX_SANDBOX", "CODEX_SANDBOX_NETWORK_DISABLED", "GEMINI_SANDBOX_ACTIVE")
"""Environment variables by which coding agents tell what they run that it is inside their sandbox."""


def coding_agent(words: Sequence[str]) -> str:
    """Name the coding agent that a command line runs; empty if it runs none that is known.

    Args:
        words: The command line, the program first.
    """
    for place, word in enumerate(words[:3]):
        parts = word.replace("\\", "/").split("/")
        stem = parts[-1].removesuffix(".exe").removesuffix(".js").removesuffix(".mjs").removesuffix(".py")
        if stem in PROGRAMS:
            return stem
        known = [part for part in parts[:-1] if part in PACKAGES]
        if known:
            return known[-1]
        if place == 0 and not stem.startswith(INTERPRETERS):
            return ""
    return ""


def runs_one_command(words: Sequence[str]) -> bool:
    """Tell whether a command line is a shell that was given one command to run: ``bash -c …``, ``zsh -lc …``."""
    shell = words[0].rpartition("/")[2].lstrip("-") if words else ""
    return shell in SHELLS and any(w.startswith("-") and not w.startswith("--") and "c" in w for w in words[1:4])
