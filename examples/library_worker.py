#!/usr/bin/env python3
"""A worker that is a plain program, no coding agent: it counts the words of the documents that tasks name.

    python examples/library_worker.py PROJECT NAME

Start as many as you like, on one project, under different names; stop any of them at any moment, also with ``kill -9``.
Each task's description names one file of the project; what comes out lies in ``PROJECT/out/<task>.txt``. The loop ends
when nothing is ready.
"""

from __future__ import annotations

import sys
from pathlib import Path

from peercoord import LostError, Peer, Task


def work(project: Path, peer: Peer, task: Task) -> str:
    """Count the words of the file that the task names; returns what came out.

    Raises:
        OSError: It cannot be read.
        ValueError: It lies outside the project, or is no text.
    """
    source = (project / task.description.strip()).resolve()
    if not source.is_relative_to(project):  # a description is data: it does not get to name any file of this machine
        raise ValueError(f"{task.description!r} is not inside the project")
    lines = source.read_text(encoding="utf-8").splitlines()
    words = 0
    for number, line in enumerate(lines, start=1):
        words += len(line.split())
        if number % 1000 == 0:
            peer.report(task, progress=number / len(lines))
    return f"{words} words in {source.relative_to(project)}"


def main(project: Path, name: str) -> None:
    """Work until nothing is ready."""
    out = project / "out"
    out.mkdir(exist_ok=True)
    with Peer.join(project, name) as peer:
        while task := peer.request():
            try:
                found = work(project, peer, task)
                (out / f"{task.id}.txt").write_text(f"{found}\n", encoding="utf-8")
                peer.complete(task, words=found)
                print(f"{name}: task {task.id}: {found}", flush=True)
            except LostError as error:  # evicted, or the task was given to another: what was done here does not count
                print(f"{name}: {error.message}", file=sys.stderr)
                return
            except (OSError, ValueError) as error:
                peer.fail(task, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} PROJECT NAME")
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
