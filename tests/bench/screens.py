"""How long a person waits for the status screen of a large team."""

from __future__ import annotations

import os
import resource
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
        _called(cache, "-C", cache, "status", check=False)  # compiles what is imported, as its installation does
        times = [_status(made.project, cache, tasks) for _ in range(1 + rounds)]
    first, later = times[0], [median(some) for some in zip(*times[1:], strict=True)]
    return {
        "tasks": tasks,
        "first_s": round(first[0], 3),
        "first_cpu_s": round(first[1], 3),
        "median_s": round(later[0], 3),
        "median_cpu_s": round(later[1], 3),
        "bars": {f"status takes at most {BAR_SECONDS} s": later[0] <= BAR_SECONDS},
    }


def _status(project: str, cache: str, tasks: int) -> tuple[float, float]:
    """Call it once; return the seconds that it took, and those of the processor."""
    began, spent = time.monotonic(), _spent()
    said = _called(cache, "-C", project, "status")
    took = time.monotonic() - began, _spent() - spent
    assert f"(0/{tasks} tasks)" in said, said
    return took


def _called(cache: str, *words: str, check: bool = True) -> str:
    environ = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPYCACHEPREFIX": f"{cache}/compiled"}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    line = [sys.executable, "-m", "peercoord", *words]
    return subprocess.run(line, check=check, capture_output=True, text=True, env=environ).stdout


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
