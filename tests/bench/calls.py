"""Time the calls of ``coordinate.sh`` beside an empty shell and an empty Python process.

Rounds are interleaved: each runs every command once, so that other load on the machine slows all of them alike. The
ratio of medians can be compared between machines; the milliseconds cannot.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

from bench.scene import scene
from peercoord.integrations import script
from peercoord.store import paths
from peercoord.store.root import open_root

HOOK = "hook after a tool"  # with nothing to say
HOOK_MS = 5.0  # above an empty shell
BARS = {"check-status": 0.4, "report-progress": 0.4, "request-task": 0.6}  # of one ``python -c pass``
WARM_UP = 3  # rounds that are not counted


def measure(rounds: int, tasks: int, where: str = "") -> dict[str, Any]:
    """Measure the verbs with an agent running, each in milliseconds and in B: one ``python -c pass``."""
    with scene(2, max(tasks, rounds + WARM_UP + 1), where) as made:
        shell, hook = made.shell(made.worktrees[0]), _hook(made.project, made.worktrees[1])
        taken: dict[str, list[float]] = {}
        for number in range(rounds + WARM_UP):
            for name, words in [*_round(shell, number + 1), (HOOK, hook)]:
                spent = _run(words, made.worktrees[0])
                if number >= WARM_UP:
                    taken.setdefault(name, []).append(spent)
    base = median(taken["python -c pass"])
    above = round((median(taken[HOOK]) - median(taken["/bin/sh -c :"])) * 1000, 2)
    return {
        "hook": {"above_sh_ms": above, "bar": HOOK_MS, "holds": above <= HOOK_MS},
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


def _hook(project: str, worktree: str) -> list[str]:
    """Let a session begin in a worktree where nothing else happens; return the words of its hook after a tool."""
    root = open_root(f"{project}/{paths.ROOT}")
    words = ["/bin/sh", script.install(root), "tools", "claude", worktree]
    _run(words, worktree)
    heard = f"{project}/{paths.ROOT}/{paths.quiet(worktree)}/{paths.QUIET_HEARD}"
    os.utime(heard)  # as if it had begun some seconds ago
    return words


def _run(words: list[str], at: str) -> float:
    begin = time.perf_counter()
    done = subprocess.run(
        words, cwd=at, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    spent = time.perf_counter() - begin
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr.decode('utf-8', 'replace')}")
    return spent


def _figures(name: str, values: list[float], base: float) -> dict[str, Any]:
    ratio = round(median(values) / base, 3)
    bar = BARS.get(name)
    figures: dict[str, Any] = {"median_ms": round(median(values) * 1000, 2), "b": ratio}
    return figures if bar is None else {**figures, "bar": bar, "holds": ratio <= bar}
