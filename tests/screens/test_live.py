"""A screen that stays is drawn at each change, leaves the terminal as it was, and ends when a person wants it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.text import Text
from support.project import Project, project

from peercoord.queue.queue import Queue
from peercoord.screens import live
from peercoord.screens.live import Look
from peercoord.store import paths, records
from peercoord.store import root as roots

__all__ = ["project"]

HIGH, LOW = b"\x1b[?1049h", b"\x1b[?1049l"  # a screen of its own, and back
LONG = 60.0  # nobody waits so long: a test that sleeps to its end has failed


def test_it_is_written_once_for_each_change_where_there_is_no_terminal(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    root = roots.create(str(tmp_path / paths.ROOT), "app")
    queue = Queue(root)

    def look() -> Look[int]:
        return Look(len(queue.all_tasks()), None, [])

    def draw(seen: int, changed: bool) -> Sequence[Text]:
        if seen == 2:
            raise KeyboardInterrupt
        if changed:
            queue.add(records.define(str(seen + 1), "A task"))
        return [Text(f"{seen} tasks", "bold red")]

    with pytest.raises(KeyboardInterrupt):
        live.watch(root, look, draw)
    assert capfdbinary.readouterr().out.startswith(b"0 tasks\n\n1 tasks\n\n")


def test_what_only_a_look_shows_counts_as_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.Watching, "pause", lambda *_: 0.0)  # the next look is due at once
    seen: list[tuple[int, bool]] = []

    def draw(count: int, changed: bool) -> Sequence[Text]:
        seen.append((count, changed))
        if count == 3:
            raise KeyboardInterrupt
        return []

    with pytest.raises(KeyboardInterrupt):
        live.watch(
            roots.create(str(tmp_path / paths.ROOT), "app"),
            lambda: Look(len(seen), "silent" if len(seen) == 3 else "at work", []),
            draw,
        )
    assert seen == [(0, True), (1, False), (2, False), (3, True)]


class Terminal:
    """A program in a terminal of 80 by 24."""

    def __init__(self, project: Project, *words: str) -> None:
        self.said = b""
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            os.chdir(project.main)
            os.environ |= {"TERM": "xterm-256color", "COLUMNS": "80"}
            os.execv(sys.executable, [sys.executable, "-m", "peercoord", *words])
        fcntl.ioctl(self.handle, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))

    def until(self, word: bytes) -> bytes:
        """Read until a word comes; return what came since the last call."""
        ends, start = time.monotonic() + LONG, len(self.said)
        while word not in self.said[start:]:
            assert select.select([self.handle], [], [], max(0, ends - time.monotonic()))[0], self.said[start:]
            try:
                self.said += os.read(self.handle, 65536)
            except OSError:  # it has ended
                break
        assert word in self.said[start:], self.said
        return self.said[start:]

    def end(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.slow
def test_status_redraws_itself_in_place_until_q(project: Project) -> None:
    shown = Terminal(project, "status", "--watch")
    first = shown.until(b"Conflicts: 0")
    assert HIGH in first
    assert b"(0/0 tasks)" in first
    subprocess.run([sys.executable, "-m", "peercoord", "task", "add", "Seen at once"], cwd=project.main, check=True)
    again = shown.until(b"(0/1 tasks)")
    assert HIGH not in again
    os.write(shown.handle, b"q")
    shown.until(LOW)
    assert shown.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_leaves_the_terminal_as_it_was(project: Project, name: str, code: int) -> None:
    import signal

    shown = Terminal(project, "status", "--watch")
    shown.until(b"Conflicts: 0")
    os.kill(shown.pid, getattr(signal, name))
    assert b"\x1b[?25h" in shown.until(LOW), "the cursor is there again"
    assert shown.end() == code
    assert b"Traceback" not in shown.said
