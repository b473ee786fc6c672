"""How long a person waits for the status screen of a large team."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from statistics import median
from typing import Any

from bench import scene

BAR_SECONDS = 1.0  # from the call to the last line, with what earlier calls have read


def measure(tasks: int, rounds: int, where: str) -> dict[str, Any]:
    """Call ``peercoord status`` in a project of so many tasks."""
    with scene.scene(0, tasks, where) as made, tempfile.TemporaryDirectory(dir=where or None) as cache:
        subprocess.run(["git", "init", "-q", made.project], check=True)
        times = [_status(made.project, cache, tasks) for _ in range(1 + rounds)]
    first, later = times[0], median(times[1:])
    return {
        "tasks": tasks,
        "first_s": round(first, 3),
        "median_s": round(later, 3),
        "bars": {f"status takes at most {BAR_SECONDS} s": later <= BAR_SECONDS},
    }


def _status(project: str, cache: str, tasks: int) -> float:
    environ = {**os.environ, "XDG_CACHE_HOME": cache}
    words = [sys.executable, "-m", "peercoord", "-C", project, "status"]
    began = time.monotonic()
    said = subprocess.run(words, check=True, capture_output=True, text=True, env=environ).stdout
    took = time.monotonic() - began
    assert f"(0/{tasks} tasks)" in said, said
    return took
