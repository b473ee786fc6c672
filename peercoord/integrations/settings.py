"""What the settings of each coding agent hold, so that it calls a hook of ours at each event."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from peercoord.integrations.agents import CLAUDE, COPILOT, GEMINI

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.integrations.agents import CodingAgent


def hooks(agent: CodingAgent, script: str, worktree: str = "") -> Json:
    """Return the entry ``hooks`` of an agent's settings, with what stands beside it.

    Args:
        agent: The coding agent.
        script: The absolute path of the hook script, which is called with an event, the agent and the worktree.
        worktree: The worktree, if it is known; otherwise the session's directory tells it.
    """
    entries: dict[str, list[Json]] = {}
    for word, event in agent.events.items():
        words = [word, agent.key, *([worktree] if worktree else [])]
        line = shlex.join([script, *words])
        handler: Json
        if agent is COPILOT:
            entries.setdefault(event.name, []).append({"type": "command", "bash": line, "timeoutSec": event.seconds})
            continue
        handler = {"type": "command", "command": line, "timeout": agent.timeout(word)}
        if agent is CLAUDE:  # by its list of arguments, no shell stands between
            handler |= {"command": script, "args": words}
        elif agent is GEMINI:
            handler = {"name": f"peercoord-{word}", **handler}
        if event.rewakes:
            handler["asyncRewake"] = True
        matcher = {"matcher": event.matcher} if event.matcher else {}
        for name in (event.name, *event.also):
            groups = entries.setdefault(name, [])
            if groups and groups[-1].get("matcher", "") == event.matcher:
                groups[-1]["hooks"].append(handler)
            else:
                groups.append({**matcher, "hooks": [handler]})
    return {"version": 1, "hooks": entries} if agent is COPILOT else {"hooks": entries}


def status_line(script: str) -> str:
    """Return the command that notes what a session of Claude Code cost, and shows nothing."""
    return shlex.join([script, "status", CLAUDE.key])


def is_handler(entry: Json, script: str) -> bool:
    """Check whether an entry of someone's settings is a handler that calls a script."""
    for key in ("command", "bash"):
        said = entry.get(key)
        if isinstance(said, str) and (said == script or said.startswith((f"{script} ", f"{shlex.quote(script)} "))):
            return True
    return False
