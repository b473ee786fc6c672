"""Counting is right after every change, and what has not changed is not listed again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from support.faults import Counting

from peercoord.queue.counts import count_tasks
from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.files import Files
from peercoord.system.disk import Disk


class Project:
    """A project on a real disk."""

    def __init__(self, home: Path, tasks: int) -> None:
        self.home, self.state = home, home / paths.ROOT
        self.queue = Queue(roots.create(str(self.state), "p"))
        for number in range(1, tasks + 1):
            self.queue.add(records.define(str(number), f"task {number}"))


def settle(project: Project) -> None:
    """Let an hour pass since whatever changed."""
    for folder, _, _ in os.walk(project.state):
        seen = os.stat(folder)
        os.utime(folder, ns=(seen.st_atime_ns, seen.st_mtime_ns - 3600 * 10**9))


def told(project: Project) -> tuple[dict[str, int], list[str]]:
    """The figures, and the directories listed for them."""
    disk = Counting(Disk(str(project.state)))
    disk.root = str(project.state)  # type: ignore[attr-defined]
    counts = count_tasks(Files(disk, lambda: "t"))
    return counts, [call.path for call in disk.calls if call.name == "listdir"]


def test_the_figures_are_right_after_every_change(tmp_path: Path) -> None:
    project = Project(tmp_path, 5)
    project.queue.add(records.define("6", "waits", dependencies=["1"]))
    deeds: list[tuple[Callable[[Peer], object], dict[str, int]]] = [
        (lambda peer: None, {"ready": 5, "waiting": 1, "total_tasks": 6}),
        (lambda peer: peer.request(), {"ready": 4, "in_progress": 1}),
        (lambda peer: peer.complete("1"), {"ready": 5, "in_progress": 0, "done": 1, "waiting": 0}),
        (lambda peer: project.queue.cancel("2"), {"ready": 4, "parked": 1}),
        (lambda peer: project.queue.add(records.define("7", "late")), {"ready": 5, "total_tasks": 7}),
    ]
    with Peer.join(project.home, "one") as peer:
        for do, expected in deeds:
            do(peer)
            for _ in range(2):  # as listed, and as remembered
                counts = told(project)[0]
                assert {key: counts[key] for key in expected} == expected
            settle(project)
            told(project)


def test_what_has_not_changed_is_not_listed_again(tmp_path: Path) -> None:
    project = Project(tmp_path, 40)
    settle(project)
    first, listed = told(project)
    again, seldom = told(project)
    assert again == first
    assert len([path for path in listed if path.startswith(f"{paths.BIRTHS}/")]) > 20
    assert not [path for path in seldom if path.startswith((f"{paths.BIRTHS}/", f"{paths.READY}/2/", f"{paths.DONE}/"))]


def test_what_changed_a_moment_ago_is_not_trusted(tmp_path: Path) -> None:
    """Two changes within one tick of the filesystem's clock leave the same time."""
    project = Project(tmp_path, 3)
    ready = next(path for path in (project.state / "queue" / "ready" / "2").iterdir())
    assert told(project)[0]["ready"] == 3
    seen = os.stat(ready)
    next(ready.iterdir()).rename(tmp_path / "gone")
    os.utime(ready, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert told(project)[0]["ready"] == 2
