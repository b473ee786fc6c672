"""What agents cost that have nothing to do: processor time and memory, over a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.scene import scene
from peercoord.agent import control

SETTLE_SECONDS = 10.0  # joining, and noticing that the others join, is not idling
ONE_CPU, ALL_CPU, MEMORY = 0.1, 3.0, 40.0  # per cent of one core; MiB
MANY = 50
SCREEN = 2.0  # per cent of one core that an open screen may use while nothing happens


def watched(pid: int, wait: Callable[[], object]) -> tuple[float, float, float]:
    """Watch a process during a wait: how long that took in seconds, its per cent of a core, its memory in MiB."""
    import psutil

    process = psutil.Process(pid)
    before, begin = sum(process.cpu_times()[:2]), time.monotonic()
    wait()
    spent = time.monotonic() - begin
    return spent, 100 * (sum(process.cpu_times()[:2]) - before) / spent, process.memory_info().rss / (1 << 20)


def measure(agents: int, seconds: float, tasks: int = 15, where: str = "") -> dict[str, Any]:
    """Measure idle agents of one project: per cent of a core, and memory in MiB."""
    import psutil

    with scene(agents, tasks, where) as made:
        processes = [psutil.Process(int(control.status(tree)["pid"])) for tree in made.worktrees]
        time.sleep(SETTLE_SECONDS)
        before = [sum(p.cpu_times()[:2]) for p in processes]
        begin = time.monotonic()
        time.sleep(seconds)
        spent = time.monotonic() - begin
        shares = [100 * (sum(p.cpu_times()[:2]) - b) / spent for p, b in zip(processes, before, strict=True)]
        memory = [p.memory_info().rss / (1 << 20) for p in processes]
        own = [p.memory_full_info().uss / (1 << 20) for p in processes]
    together, most = sum(shares), max(shares)
    return {
        "agents": agents,
        "seconds": round(spent, 1),
        "cpu_percent": {"mean": round(together / agents, 4), "most": round(most, 4), "together": round(together, 3)},
        "rss_mib": {"mean": round(sum(memory) / agents, 1), "most": round(max(memory), 1)},
        "own_mib": {"mean": round(sum(own) / agents, 1), "most": round(max(own), 1)},
        "bars": {
            "mean of an agent under 0.1 % of a core": together / agents < ONE_CPU,
            "all together under 3 % of a core": together < ALL_CPU,
            "each under 40 MiB": max(memory) < MEMORY,
        },
    }
