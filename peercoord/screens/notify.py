"""Tell a person who looks elsewhere: by the terminal's bell, on the desktop, or by a command of their own.

Every text comes from agents and tasks. It is handed over as an argument, in the environment or on standard input, never
as a word of a shell or as markup.
"""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson

from peercoord.errors import UsageError
from peercoord.foreign import plain
from peercoord.status import notices
from peercoord.system import streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.screens.overview import Overview
    from peercoord.status.notices import Notice

BELL, DESKTOP = "bell", "desktop"
WAYS = (BELL, DESKTOP)
RUNNING_MOST = 8  # commands that run at one time; further notices are left out until one of them has ended
_APPLE = ("on run {title, body}", "display notification body with title title", "end run")


class Notifier:
    """Tells what begins on a board; what is there at the first look is known already.

    Args:
        ways: Any of ``WAYS``.
        command: A command of the person's for the shell; empty if there is none.
    """

    def __init__(self, ways: Sequence[str], command: str = "") -> None:
        if DESKTOP in ways and not _desktop("", ""):
            raise UsageError("the desktop cannot be reached", "install notify-send, or use: --notify bell")
        self.ways, self.command = ways, command
        self._known: set[tuple[str, ...]] | None = None
        self._running: list[subprocess.Popen[bytes]] = []

    def look(self, seen: Overview) -> list[Notice]:
        """Tell what is new since the last look; return it. Of a team that was taken down nothing is told."""
        found = notices.standing(seen.board, seen.needs) if seen.down is None else []
        fresh = notices.new(found, self._known) if self._known is not None else []
        self._known = {one.key for one in found} if seen.down is None else self._known
        for one in fresh:
            self._tell(one, plain(seen.board.project) or "project")
        return fresh

    def _tell(self, notice: Notice, project: str) -> None:
        if BELL in self.ways and sys.stdout.isatty():
            streams.deliver(_rung(f"peercoord: {project}: {notice.text}"))
        if DESKTOP in self.ways:
            self._run(_desktop(f"peercoord: {project}", notice.text))
        if self.command:
            facts = {"PEERCOORD_KIND": notice.kind, "PEERCOORD_NOTICE": notice.text, "PEERCOORD_TEAM": project}
            self._run(["/bin/sh", "-c", self.command], orjson.dumps(notice.as_json(project)), facts)

    def _run(self, words: Sequence[str], data: bytes = b"", facts: dict[str, str] | None = None) -> None:
        """Start a program and go on; what it says is not shown, and that it failed is no failure of the screen."""
        self._running = [one for one in self._running if one.poll() is None]
        if len(self._running) >= RUNNING_MOST:
            return
        with suppress(OSError):
            started = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **(facts or {})},
                start_new_session=True,
            )
            self._running.append(started)
            if started.stdin is not None:
                with started.stdin as stdin:
                    stdin.write(data)


def _rung(text: str) -> bytes:
    """The bell, and the text as a notification of terminals that know OSC 9; through tmux, if that lets it pass."""
    said = f"\x1b]9;{text}\x1b\\"
    if os.environ.get("TMUX"):
        said = f"\x1bPtmux;{said.replace(chr(27), chr(27) * 2)}\x1b\\"
    return f"\a{said}".encode()


def _desktop(title: str, text: str) -> list[str]:
    """The command that shows a notification on the desktop; empty if there is none."""
    if sys.platform == "darwin" and shutil.which("osascript"):
        return ["osascript", *(word for line in _APPLE for word in ("-e", line)), title, text]
    if shutil.which("notify-send"):
        return ["notify-send", "--app-name=peercoord", "--", title, html.escape(text, quote=False)]
    return []
