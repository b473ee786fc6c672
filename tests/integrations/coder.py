"""For tests: a coding session that tells its hooks what happens, as its program would."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from agent.crew import Crew

from peercoord.agent import client
from peercoord.integrations import hook
from peercoord.integrations.agents import AGENTS
from peercoord.integrations.hook import Answer
from peercoord.mailbox import verbs
from peercoord.store import session_records
from peercoord.system import process
from peercoord.system.sessions import Caller
from peercoord.worktree import actions, context
from peercoord.worktree.call import WorktreeCall
from peercoord.worktree.reply import Reply
from protocol import document

ENVIRONMENT = {client.NO_AGENT: "1"}


class Process:
    """The process of a coding session: it sleeps until it is killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["sleep", "1000"], start_new_session=True)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Coder:
    """A coding session in a worktree; its hooks are answered in this process."""

    def __init__(self, crew: Crew, name: str, agent: str = "claude", ident: str = "") -> None:
        self.crew, self.name, self.agent, self.ident = crew, name, AGENTS[agent], ident or f"session-of-{name}"
        self.tree = crew.tree(name)
        self.process = Process()
        crew.sessions.append(self.process)
        self.environ = {**ENVIRONMENT, "CLAUDE_PID": str(self.process.process.pid)}
        self.identity = {**(process.identify(self.process.process.pid) or {}), "program": self.agent.program}

    @property
    def place(self) -> context.Place:
        return context.find(given=str(self.tree))

    def answer(self, event: str, **said: Any) -> Answer:
        """Tell an event."""
        told = {"session_id": self.ident, "cwd": str(self.tree), **said}
        return hook.run(self.agent, event, told, self.place, self.environ)

    def tell(self, event: str, **said: Any) -> dict[str, Any]:
        """Tell an event, and return what the model gets to see or the agent to do."""
        answer = self.answer(event, **said)
        found: dict[str, Any] = json.loads(answer.output() or b"{}")
        return found

    def told(self, event: str, **said: Any) -> str:
        """Tell an event, and return the text that reaches the model; empty if none does."""
        found = self.tell(event, **said)
        inner = found.get("hookSpecificOutput", found)
        return str(inner.get("additionalContext", found.get("reason", "")))

    def verb(self, *words: str) -> Reply:
        """Call coordinate.sh as this session."""
        call = WorktreeCall(self.place, Caller(self.identity, self.agent.program))
        return actions.answer(call, verbs.read(list(words)))

    def record(self) -> dict[str, Any]:
        """What is on record of the session; it agrees with its schema."""
        found = session_records.read(self.crew.root.files, self.name)
        if found:
            document.valid("session", found)
        return found

    @property
    def state(self) -> str:
        return str(self.record().get("state", ""))
