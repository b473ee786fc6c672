"""What an open dash costs while nothing happens, and how long it takes to draw: in a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from functools import partial
from typing import Any

from bench.idle import SCREEN, watched
from bench.scene import scene
from peercoord.queue.queue import Queue
from peercoord.store import paths, records
from peercoord.store import root as roots

FIRST_SECONDS = 120.0
SETTLES = 25  # times the first drawing, until nothing happens any more
TITLE = "a task that is seen"


class Terminal:
    """A dash in a pseudo-terminal, and all that it drew."""

    def __init__(self, project: str) -> None:
        self._main, side = pty.openpty()
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        words = [sys.executable, "-m", "peercoord", "-C", project, "dash"]
        self.running = subprocess.Popen(words, stdin=side, stdout=side, stderr=side, env=env, start_new_session=True)
        os.close(side)
        self.seen = b""

    def read(self, seconds: float, until: bytes = b"") -> float:
        """Take in what is drawn, until these bytes are; return how long that took."""
        begin = time.monotonic()
        while (left := begin + seconds - time.monotonic()) > 0 and not (until and until in self.seen):
            if select.select([self._main], [], [], left)[0]:
                self.seen += os.read(self._main, 1 << 16)
        return time.monotonic() - begin

    def press(self, key: bytes, until: bytes) -> float:
        """Press a key; return the seconds until these bytes are drawn."""
        self.seen = b""
        os.write(self._main, key)
        return self.read(FIRST_SECONDS, until)

    def close(self) -> None:
        self.running.send_signal(signal.SIGTERM)
        self.running.wait()
        os.close(self._main)


def measure(tasks: int, seconds: float, where: str = "") -> dict[str, Any]:
    """Measure an open dash on a queue of so many tasks."""
    with scene(1, tasks, where) as made:
        shown = Terminal(made.project)
        try:
            first = shown.read(FIRST_SECONDS, b"TASKS")
            shown.read(max(5.0, SETTLES * first))  # the agent has joined, and every task was read again after that
            spent, idle, resident = watched(shown.running.pid, partial(shown.read, seconds))
            last = shown.press(b"3\x1b[F", f"#{tasks} ".encode())
            shown.seen = b""
            queue = Queue(roots.open_root(f"{made.project}/{paths.ROOT}"))
            queue.add(records.define(str(tasks + 1), TITLE))
            change = shown.read(FIRST_SECONDS, f"added #{tasks + 1}".encode())
        finally:
            shown.close()
    return {
        "tasks": tasks,
        "seconds": round(spent, 1),
        "first_seconds": round(first, 2),
        "last_row_seconds": round(last, 2),
        "change_seconds": round(change, 2),
        "cpu_percent": round(idle, 3),
        "rss_mib": round(resident, 1),
        "bars": {"under 2 % of a core while nothing happens": idle < SCREEN},
    }
