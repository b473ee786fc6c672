"""Agents found by their command line: the only trace left of one whose worktree was deleted, moved or cleaned.

An agent holds its lock in ``.claude-instance/``. When that directory goes, the lock goes with it, the agent runs on,
and a new one may be started beside it. So whoever starts one, or takes a worktree away, first looks for such a stray.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from peercoord.core import names
from peercoord.edges import agentctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import psutil

END_SECONDS = 10.0


def at(directories: Collection[Path]) -> list[psutil.Process]:
    """List this user's agents that were started for one of these worktrees, in whatever state the worktrees are."""
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline", "uids"]):
        uids = process.info["uids"]
        if uids and uids.real == os.getuid() and _worktree(process.info["cmdline"] or ()) in directories:
            found.append(process)
    return found


def strays(directory: Path) -> list[psutil.Process]:
    """List agents that run for a worktree and do not serve it: without its lock, or begun where it lay before."""
    import psutil

    there = (directory / names.INSTANCE).is_dir()
    holder = agentctl.running_agent(str(directory)).get("pid") if there else None
    found = [process for process in at([directory]) if process.pid != holder]
    with suppress(psutil.NoSuchProcess):
        if holder and _worktree(psutil.Process(holder).cmdline()) != directory:
            found.append(psutil.Process(holder))
    return found


def end(processes: Iterable[psutil.Process]) -> None:
    """End agents and wait until they are gone; one that does not end in time is killed.

    They lay down what they can. What they held stays theirs: the worktree's next agent goes on with it.
    """
    import psutil

    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
            process.resume()
    _, alive = psutil.wait_procs(processes, timeout=END_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=END_SECONDS)


def _worktree(words: Iterable[str]) -> Path | None:
    """Read from a command line which worktree it is the agent of; ``None`` if it is no agent's."""
    words = list(words)
    if "peercoord" not in words or "-C" not in words:
        return None
    at = words.index("-C") + 1
    if words[at + 1 : at + 3] != ["agent", "run"]:
        return None
    return Path(words[at])
