"""What an open page costs while nothing happens, and how soon it hears of a change: without a browser."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from functools import partial
from http.client import HTTPConnection
from typing import Any

from bench.idle import SCREEN, watched
from bench.scene import scene
from peercoord.queue.queue import Queue
from peercoord.store import paths, records
from peercoord.store import root as roots

CHANGE_SECONDS = 2.0
FIRST_SECONDS = 120.0


class Served:
    """A page that is served, and a stream of its changes."""

    def __init__(self, project: str) -> None:
        words = [sys.executable, "-m", "peercoord", "-C", project, "web"]
        self.running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert self.running.stderr is not None
        told = next(line for line in self.running.stderr if "/in/" in line)
        address = re.search(r"http://([0-9.]+):(\d+)(/in/\w+)", told)
        assert address
        self._place = (address[1], int(address[2]))
        signing_in = HTTPConnection(*self._place, timeout=FIRST_SECONDS)
        signing_in.request("GET", address[3])
        answer = signing_in.getresponse()
        self._headers = {"Cookie": str(answer.headers["Set-Cookie"]).partition(";")[0]}
        self._home = str(answer.headers["Location"]).rstrip("/")
        signing_in.close()

    def open(self, path: str) -> HTTPConnection:
        connection = HTTPConnection(*self._place, timeout=FIRST_SECONDS)
        connection.request("GET", f"{self._home}{path}", headers=self._headers)
        return connection

    def close(self) -> None:
        self.running.terminate()
        self.running.communicate()


def measure(tasks: int, seconds: float, where: str = "") -> dict[str, Any]:
    """Measure an open board of so many tasks."""
    with scene(1, tasks, where) as made:
        served = Served(made.project)
        try:
            begin = time.monotonic()
            page = served.open("/")
            page.getresponse().read()
            first = time.monotonic() - begin
            page.close()
            stream = served.open("/live?page=tasks&ident=&known=")
            lines = stream.getresponse()
            while not lines.readline().startswith(b"data:"):
                pass
            time.sleep(5)  # the agent has joined
            spent, idle, resident = watched(served.running.pid, partial(time.sleep, seconds))
            Queue(roots.open_root(f"{made.project}/{paths.ROOT}")).add(records.define("seen", "a task that is seen"))
            begin = time.monotonic()
            while b"a task that is seen" not in lines.readline():
                pass
            change = time.monotonic() - begin
            stream.close()
        finally:
            served.close()
    return {
        "tasks": tasks,
        "seconds": round(spent, 1),
        "first_seconds": round(first, 2),
        "change_seconds": round(change, 2),
        "cpu_percent": round(idle, 3),
        "rss_mib": round(resident, 1),
        "bars": {
            "under 2 % of a core while nothing happens": idle < SCREEN,
            "a change is there within 2 s": change < CHANGE_SECONDS,
        },
    }
