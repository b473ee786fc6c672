"""What the page may do: the same commands that a person types, with fixed words and checked by the same guards.

``approve``, ``reject`` and ``land`` keep the guard of ``peercoord review``: a page that was started from within a
coding session cannot decide.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Do = Callable[[list[str]], tuple[int, str]]
    """Carries out a command line; returns its exit code and what it said."""

COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "answer": (["task", "answer"], ["task", "text"]),
    "accept": (["task", "accept"], ["task"]),
    "reopen": (["task", "reopen"], ["task"]),
    "cancel": (["task", "cancel"], ["task"]),
    "reassign": (["reassign"], ["task", "to"]),
    "approve": (["review", "approve"], ["id"]),
    "reject": (["review", "reject"], ["id"]),
    "land": (["land"], []),
}
"""By action: the words of its command, and the fields that follow as arguments."""
TAKES = ("left", "right", "both", "proposed")


class Actions:
    """Carries out what a form asks for, one after the other."""

    def __init__(self, do: Do) -> None:
        self._do = do
        self._lock = threading.Lock()

    def run(self, action: str, fields: Mapping[str, str]) -> tuple[int, str]:
        """Carry out an action; return the exit code of its command and what that said."""
        words = self.words(action, fields)
        if not words:
            return 2, "That cannot be done here."
        with self._lock:
            return self._do(words)

    @staticmethod
    def words(action: str, fields: Mapping[str, str]) -> list[str]:
        """The command line of an action; empty if there is no such action, or a field is missing."""
        command, wanted = COMMANDS.get(action, ([], []))
        if not command or any(not fields.get(key, "").strip() for key in wanted):
            return []
        options = []
        if action == "approve" and fields.get("take") in TAKES:
            options = ["--take", fields["take"]]
        if action == "reject":
            if not fields.get("text", "").strip():
                return []
            options = [f"--reason={fields['text']}"]
        return [*command, *options, *(["--"] if wanted else []), *(fields[key] for key in wanted)]
