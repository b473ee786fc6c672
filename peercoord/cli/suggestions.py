"""What people mean by a word that is no command."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MEANT = {
    "start": "up",
    "init": "up",
    "setup": "up",
    "create": "up",
    "restart": "up",
    "stop": "down",
    "end": "down",
    "kill": "down",
    "remove": "down --remove",
    "add": "task add",
    "list": "task list",
    "ls": "task list",
    "tasks": "task list",
    "show": "task show",
    "import": "task import",
    "export": "task export",
    "cancel": "task cancel",
    "reopen": "task reopen",
    "next": "request",
    "claim": "request",
    "done": "report --status done",
    "complete": "report --status done",
    "progress": "report",
    "block": "report --status blocked",
    "dashboard": "status",
    "instances": "status",
    "assign": "reassign",
    "merge": "memory merge",
    "contribute": "memory add",
    "undo": "review undo",
    "approve": "review approve",
    "log": "events",
    "logs": "events",
    "settings": "config",
    "fix": "doctor --fix",
    "check-health": "doctor",
}
"""Words that people try, and the commands that they mean."""


def meant(word: str, commands: Iterable[str]) -> str:
    """Return the command that a word is likely to mean; empty if none is near."""
    near = get_close_matches(word, [*commands, *MEANT], n=1)
    return MEANT.get(near[0], near[0]) if near else ""
