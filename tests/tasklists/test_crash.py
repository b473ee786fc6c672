"""Killed between any two statements or file steps, the next sync ends where an undisturbed one would have.

One sync is run, undisturbed; before each of its steps what lies on the disk is copied, and that copy is what a kill at
this instant leaves (a transaction's journal in it, and nothing that a program does when it ends). Instants that leave
the same are one, so each thing that a kill can leave is gone on from once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.faults import Call, Wrapper
from support.lists import Lists, statements

from peercoord.queue.recovery import Janitor
from peercoord.store import paths
from peercoord.system.disk import Disk

TASKS_JSON = {
    "master": {
        "tasks": [
            {"id": 11, "title": "Eleven", "description": "d", "status": "pending", "priority": "low"},
            {"id": 12, "title": "Twelve", "description": "d", "status": "pending", "dependencies": [11], "subtasks": [
                {"id": 1, "title": "a", "status": "pending"}, {"id": 2, "title": "b", "status": "pending"}]},
        ]
    }
}  # fmt: skip


class Instants:
    """Keeps what lies on the disk before each step of a sync.

    Args:
        home: The directory in which it runs.
        to: Where the copies go.
    """

    def __init__(self, home: Path, to: Path) -> None:
        self.home, self.to = home, to
        self.count = 0
        self.left: dict[str, tuple[str, Path]] = {}

    def step(self, what: str) -> None:
        """Keep what a kill would leave now, before this step."""
        self.count += 1
        copy = self.to / str(self.count)
        # A program of its own: to close a database's file here would let go of the locks that the sync has on it.
        subprocess.run(["cp", "-a", str(self.home), str(copy)], check=True)
        state = digest(copy)
        if state in self.left:
            shutil.rmtree(copy)
        else:
            self.left[state] = (what, copy)


def digest(home: Path) -> str:
    """What tells one content of a directory from another: every name, every byte, and when it was last changed."""
    found = hashlib.sha256()
    for path in sorted(home.rglob("*")):
        found.update(f"{path.relative_to(home)}\0".encode())
        if path.is_file():
            found.update(f"{path.stat().st_mtime_ns}\0".encode() + path.read_bytes())
    return found.hexdigest()


class Steps(Wrapper):
    """A disk whose calls are steps."""

    def __init__(self, disk: Any, instants: Instants) -> None:
        super().__init__(disk)
        self.instants = instants
        self.root = disk.root

    def around(self, call: Call) -> Any:
        self.instants.step(repr(call))
        return call.run()


def scene(home: Path, lists_file: bool) -> None:
    """Both sides have agreed once, and then everything happened on both."""
    lists = Lists(home, frozen=True)
    needs = {3: "[1]", 6: "[5]"}
    lists.plain(*((n, f"T{n}", "", "pending", "medium", needs.get(n, "[]")) for n in range(1, 8)))
    lists.sync()
    if lists_file:
        lists.home.joinpath("tasks.json").write_text(json.dumps(TASKS_JSON, indent=2))
        both(lists)
    worker = lists.join()
    for _ in range(2):
        claim = worker.request()
        assert claim is not None
        worker.report(claim.task, {"progress": 0.5, "achievements": [f"half of {claim.task}"]})
        worker.complete(claim.task)
    worker.request()
    lists.queue.edit("5", title="five here", priority="high")
    lists.queue.edit("6", description="ours")
    lists.add("9", "Nine", dependencies=["5"], steps=[{"id": "9.1", "title": "s"}])
    lists.sql("UPDATE tasks SET title = 'five there', dependencies = '[4]' WHERE id = 5")
    lists.sql("UPDATE tasks SET status = 'done' WHERE id = 3")
    lists.sql("UPDATE tasks SET status = 'cancelled' WHERE id = 4")
    lists.sql("UPDATE tasks SET status = 'deferred' WHERE id = 7")
    lists.sql("INSERT INTO tasks (id, title, dependencies) VALUES (8, 'Eight', '[7]'), (10, 'Ten', '[8]')")
    if lists_file:
        data = json.loads(lists.home.joinpath("tasks.json").read_text())
        data["master"]["tasks"][0]["title"] = "Eleven there"
        data["master"]["tasks"][1]["subtasks"][0]["status"] = "done"
        data["master"]["tasks"].append({"id": 13, "title": "Thirteen", "description": "x", "status": "pending"})
        lists.home.joinpath("tasks.json").write_text(json.dumps(data, indent=2))


def both(lists: Lists, instants: Instants | None = None) -> bool:
    """Sync the file, if there is one, and the database; say whether there was anything to do."""
    path = lists.home / "tasks.json"
    done = False
    if path.exists():
        disk: Any = Disk(str(lists.home))
        disk = Steps(disk, instants) if instants else disk
        done = bool(lists.sync(lists.tasks_file(path, disk=disk)).comparisons)
    return bool(lists.sync().comparisons) or done


def end(home: Path) -> dict[str, Any]:
    """Sync and tidy up until nothing is left to do, and give all that must be the same however that came about."""
    lists = Lists(home, frozen=True)
    Janitor(lists.queue, "janitor").tidy()
    for _ in range(4):
        if not both(lists):
            break
    else:
        raise AssertionError("it does not come to rest")
    found: dict[str, Any] = dict(lists.dump())
    Janitor(lists.queue, "janitor").tidy()
    found["tickets"] = sorted(s.path for s in lists.queue.locations())
    found["definitions"] = {task: lists.raw(task) for task in sorted(lists.queue.all_tasks())}
    if (home / "tasks.json").exists():
        found["file"] = (home / "tasks.json").read_text()
        assert not (home / "tasks.json.lock").exists()
    return found


def states(home: Path, to: Path) -> Iterator[tuple[str, Path]]:
    """Sync; give everything that a kill on the way would have left, and the step before which it would."""
    to.mkdir()
    instants = Instants(home, to)
    lists = Lists(home, Steps(Disk(str(home / paths.ROOT)), instants), frozen=True)
    with statements(instants.step):
        both(lists, instants)
    yield from instants.left.values()


@pytest.fixture
def copies(place: Path) -> Callable[[bool], Path]:
    """Return copies of a scene."""
    made: dict[bool, Path] = {}

    def copy(lists_file: bool) -> Path:
        if lists_file not in made:
            made[lists_file] = place / f"scene-{lists_file}"
            made[lists_file].mkdir()
            scene(made[lists_file], lists_file)
        target = place / f"copy-{len(list(place.iterdir()))}"
        shutil.copytree(made[lists_file], target)
        return target

    return copy


def gone_on_from(left: Iterator[tuple[str, Path]], undisturbed: dict[str, Any]) -> int:
    """Go on from everything that a kill left; how many there were."""
    found = list(left)
    for what, home in found:
        with suppress(FileNotFoundError):
            shutil.rmtree(home / "tasks.json.lock")  # stale by now, as far as these tests are concerned
        again = end(home)
        for part, expected in undisturbed.items():
            assert again[part] == expected, f"{part} differs after a kill before {what}"
        assert not [path for path in home.iterdir() if path.name.endswith(".part")]
        shutil.rmtree(home)
    return len(found)


def test_the_scene_is_worth_it(copies: Callable[[bool], Path]) -> None:
    found = end(copies(True))
    by_id = {row[0]: row for row in found["tasks"]}
    assert [by_id[n][3] for n in (1, 2, 3, 4, 7)] == ["done", "done", "done", "cancelled", "deferred"]
    assert by_id[5][1] == "five there"
    assert by_id[9][1] == "Nine"
    assert {8, 10, 11, 12, 13} <= by_id.keys()
    assert len(found["instance_assignments"]) == 3
    data = json.loads(found["file"])["master"]["tasks"]
    assert {str(task["id"]) for task in data} == {str(n) for n in range(1, 14)}
    assert found["definitions"]["12"]["subtasks"][0]["status"] == "done"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("lists_file", [False, True], ids=["database", "database and file"])
def test_killed_before_every_step(copies: Callable[[bool], Path], place: Path, lists_file: bool) -> None:
    assert gone_on_from(states(copies(lists_file), place / "left"), end(copies(lists_file))) > 40


@pytest.mark.slow
def test_killed_before_every_step_of_the_first_import(place: Path) -> None:
    """The database is adopted or it is not; the backup is whole; tasks exist once."""

    def fresh(name: str) -> Path:
        home = place / name
        home.mkdir()
        Lists(home, frozen=True).plain((1, "A"), (2, "B", "", "done"), (3, "C", "", "pending", "medium", "[1]"))
        return home

    assert gone_on_from(states(fresh("one"), place / "left"), end(fresh("other"))) > 20
