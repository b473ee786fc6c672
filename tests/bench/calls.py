"""Time the calls of ``coordinate.sh`` beside an empty shell and an empty Python process.

Rounds are interleaved: each runs every command once, so that other load on the machine slows all of them alike. The
ratio of medians can be compared between machines; the milliseconds cannot.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import Any

from bench.scene import scene

BARS = {"check-status": 0.4, "report-progress": 0.4, "request-task": 0.6}  # of one ``python -c pass``
WARM_UP = 3  # rounds that are not counted


def measure(rounds: int, tasks: int, where: str = "") -> dict[str, Any]:
    """Measure the verbs with an agent running, each in milliseconds and in B: one ``python -c pass``."""
    with scene(1, max(tasks, rounds + WARM_UP + 1), where) as made:
        shell = made.shell(made.worktrees[0])
        taken: dict[str, list[float]] = {}
        for number in range(rounds + WARM_UP):
            for name, words in _round(shell, number + 1):
                spent = _run(words, made.worktrees[0])
                if number >= WARM_UP:
                    taken.setdefault(name, []).append(spent)
    base = median(taken["python -c pass"])
    return {
        "rounds": rounds,
        "tasks": tasks,
        "python": sys.version.split()[0],
        "commands": {name: _figures(name, values, base) for name, values in taken.items()},
    }


def _round(shell: str, number: int) -> list[tuple[str, list[str]]]:
    return [
        ("/bin/sh -c :", ["/bin/sh", "-c", ":"]),
        ("python -c pass", [sys.executable, "-c", "pass"]),
        ("request-task", [shell, "request-task"]),
        ("report-progress", [shell, "report-progress", str(number), "--progress", "0.5"]),
        ("check-status", [shell, "check-status"]),
        ("request-task, held", [shell, "request-task"]),
        ("report-progress, done", [shell, "report-progress", str(number), "--status", "done"]),
    ]


def _run(words: list[str], at: str) -> float:
    begin = time.perf_counter()
    done = subprocess.run(words, cwd=at, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    spent = time.perf_counter() - begin
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr.decode('utf-8', 'replace')}")
    return spent


def _figures(name: str, values: list[float], base: float) -> dict[str, Any]:
    ratio = round(median(values) / base, 3)
    bar = BARS.get(name)
    figures: dict[str, Any] = {"median_ms": round(median(values) * 1000, 2), "b": ratio}
    return figures if bar is None else {**figures, "bar": bar, "holds": ratio <= bar}
