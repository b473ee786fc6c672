"""The coding agents: their events and limits, and the answers that each of them understands.

One table. Our own words for events are the same for all agents; everything that differs from one to another is here.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peercoord.foreign import Json

START, PROMPT, TOOLS, PERMISSION, NOTIFICATION = "start", "prompt", "tools", "permission", "notification"
COMPACT, STOP, STOP_FAILURE, WAIT, END = "compact", "stop", "stop-failure", "wait", "end"
EVENTS = (START, PROMPT, TOOLS, PERMISSION, NOTIFICATION, COMPACT, STOP, STOP_FAILURE, WAIT, END)
WAITER_SECONDS = 43200  # a waiter lives as long as its session, at most this long


@dataclass(frozen=True, slots=True)
class Event:
    """How a coding agent tells one event.

    Attributes:
        name: The agent's own name of it.
        seconds: How long the agent waits for the hook, as settings say it.
        matcher: What the settings match it by; empty for all.
        rewakes: It runs in the background, and wakes an idle session when it exits with 2.
        injects: A context in the answer reaches the model.
        also: Further events that call the same hook.
    """

    name: str
    seconds: int
    _: KW_ONLY
    matcher: str = ""
    rewakes: bool = False
    injects: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CodingAgent:
    """One kind of coding agent.

    Attributes:
        key: Its name in commands (``--agent``).
        title: Its name for people.
        program: Its program, as typed.
        events: Its events, by our words. What is missing it does not tell.
        nested: A context lies in ``hookSpecificOutput``; otherwise at the top of the answer.
        again: The ``decision`` in an answer to a stop that makes it go on.
        blocks_most: Stops in a row that it lets itself be kept from; 0 if no limit is known.
        context_chars: Characters of one text that reach the model whole.
        milliseconds: Its settings give time limits in milliseconds, otherwise in seconds.
        pid_variable: The variable in a hook's environment with the pid of the session's process; empty if none.
        asks: The model is asked to go on by a context in the answer to a stop, which does not show as an error.
    """

    key: str
    title: str
    program: str
    events: Mapping[str, Event]
    _: KW_ONLY
    nested: bool = True
    again: str = "block"
    blocks_most: int = 0
    context_chars: int = 10_000
    milliseconds: bool = False
    pid_variable: str = ""
    asks: bool = False

    @property
    def wakes(self) -> bool:
        """Whether a hook that waits can wake an idle session."""
        return any(event.rewakes for event in self.events.values())

    def timeout(self, event: str) -> int:
        """Return the time limit of an event in the unit of its settings."""
        return self.events[event].seconds * (1000 if self.milliseconds else 1)

    def context(self, event: str, text: str, **more: str) -> Json:
        """Return the answer that gives the model a text; empty where none would reach it.

        Args:
            event: Our word for the event that is answered.
            text: The text.
            **more: Further keys of the answer, such as ``sessionTitle``.
        """
        told = self.events.get(event)
        if told is None or not told.injects or not text:
            return {}
        said = self._cut(text)
        if not self.nested:
            return {"additionalContext": said}
        return {"hookSpecificOutput": {"hookEventName": told.name, **more, "additionalContext": said}}

    def go_on(self, reason: str) -> Json:
        """Return the answer to a stop that makes the session go on.

        It ends a line, because some agents put a mark of their own behind it.
        """
        return {"decision": self.again, "reason": f"{self._cut(reason, 1)}\n"}

    def ask(self, text: str) -> Json:
        """Return the answer to a stop that asks the model for something before it stops."""
        return self.context(STOP, text) if self.asks else self.go_on(text)

    def _cut(self, text: str, less: int = 0) -> str:
        most = self.context_chars - less
        return text if len(text) <= most else f"{text[: most - 1]}…"


CLAUDE = CodingAgent(
    "claude",
    "Claude Code",
    "claude",
    {
        START: Event("SessionStart", 15, injects=True),
        PROMPT: Event("UserPromptSubmit", 10, injects=True),
        TOOLS: Event("PostToolBatch", 10, injects=True),
        PERMISSION: Event("PermissionRequest", 10),
        NOTIFICATION: Event("Notification", 10),
        COMPACT: Event("PreCompact", 10),
        STOP: Event("Stop", 30, injects=True),
        STOP_FAILURE: Event("StopFailure", 10),
        # a turn that fails has no stop, so the waiter begins with the turn; a second one ends at once
        WAIT: Event("Stop", WAITER_SECONDS, rewakes=True, also=("UserPromptSubmit",)),
        END: Event("SessionEnd", 10),
    },
    blocks_most=8,
    pid_variable="CLAUDE_PID",
    asks=True,
)
CODEX = CodingAgent(
    "codex",
    "Codex",
    "codex",
    {
        START: Event("SessionStart", 15, injects=True),
        PROMPT: Event("UserPromptSubmit", 10, injects=True),
        TOOLS: Event("PostToolUse", 10, injects=True),
        PERMISSION: Event("PermissionRequest", 10),
        COMPACT: Event("PreCompact", 10),
        STOP: Event("Stop", 30),
        END: Event("SessionEnd", 3),  # Codex cuts it to 3 s
    },
)
GEMINI = CodingAgent(
    "gemini",
    "Gemini CLI",
    "gemini",
    {
        START: Event("SessionStart", 15, injects=True),
        PROMPT: Event("BeforeAgent", 10, injects=True),
        TOOLS: Event("AfterTool", 10, injects=True),
        NOTIFICATION: Event("Notification", 10),
        STOP: Event("AfterAgent", 30),
        END: Event("SessionEnd", 10),
    },
    again="deny",
    milliseconds=True,
)
COPILOT = CodingAgent(
    "copilot",
    "Copilot CLI",
    "copilot",
    {
        START: Event("sessionStart", 15, injects=True),
        PROMPT: Event("userPromptSubmitted", 10),
        TOOLS: Event("postToolUse", 10, injects=True),
        PERMISSION: Event("permissionRequest", 10),
        NOTIFICATION: Event("notification", 10),
        COMPACT: Event("preCompact", 10),
        STOP: Event("agentStop", 30),
        STOP_FAILURE: Event("errorOccurred", 10),
        END: Event("sessionEnd", 10),
    },
    nested=False,
)
OPENCODE = CodingAgent(  # its plugin, opencode.js beside this file, calls the hook and acts on the answers
    "opencode",
    "opencode",
    "opencode",
    {
        START: Event("session.created", 15, injects=True),
        PROMPT: Event("chat.message", 10),
        TOOLS: Event("tool.execute.after", 10, injects=True),
        PERMISSION: Event("permission.asked", 10),
        COMPACT: Event("experimental.session.compacting", 10, injects=True),
        STOP: Event("session.idle", 30),
        STOP_FAILURE: Event("session.error", 10),
        END: Event("dispose", 10),
    },
    nested=False,
)
AGENTS = {one.key: one for one in (CLAUDE, CODEX, GEMINI, COPILOT, OPENCODE)}
