"""Killed between any two statements or file steps, the next sync ends where an undisturbed one would have."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.faults import Call, Wrapper
from support.lists import Crash, Lists, statements

from peercoord.core import names
from peercoord.fs.disk import Disk
from peercoord.roles.janitor import Janitor

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
    """Counts every statement and every file step of a process, and ends it at one of them.

    Args:
        at: Which, counted from 1; 0 for none.
        after: It ends after that step instead of before it (a statement of a transaction that is not committed).
    """

    def __init__(self, at: int = 0, after: bool = False) -> None:
        self.at, self.after, self.count = at, after, 0
        self.last = ""

    def step(self, what: str) -> bool:
        """Say whether to go on; raises the end of the process."""
        self.count += 1
        if self.at and self.count > self.at:
            raise Crash(what)
        if self.count == self.at:
            self.last = what
            if not self.after:
                raise Crash(what)
            return True
        return False


class Steps(Wrapper):
    """A disk whose calls are instants."""

    def __init__(self, disk: Any, instants: Instants) -> None:
        super().__init__(disk)
        self.instants = instants
        self.root = disk.root

    def around(self, call: Call) -> Any:
        ends = self.instants.step(repr(call))
        result = call.run()
        if ends:
            raise Crash(repr(call))
        return result


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
        done = bool(lists.sync(lists.tasks_file(path, disk=disk)).meetings)
    return bool(lists.sync().meetings) or done


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
    found["tickets"] = sorted(s.path for s in lists.queue.sightings())
    found["definitions"] = {task: lists.raw(task) for task in sorted(lists.queue.all_tasks())}
    if (home / "tasks.json").exists():
        found["file"] = (home / "tasks.json").read_text()
        assert not (home / "tasks.json.lock").exists()
    return found


def crashed(home: Path, instants: Instants) -> bool:
    """Sync in a process that ends at one instant; say whether it did."""
    with suppress(FileNotFoundError):
        shutil.rmtree(home / "tasks.json.lock")  # stale by now, as far as these tests are concerned
    try:
        lists = Lists(home, Steps(Disk(str(home / names.ROOT)), instants), frozen=True)
        with statements(instants.step):
            both(lists, instants)
    except Crash:
        return True
    return False


@pytest.fixture
def copies(place: Path) -> Callable[[bool], Path]:
    """Give copies of a scene."""
    made: dict[bool, Path] = {}

    def copy(lists_file: bool) -> Path:
        if lists_file not in made:
            made[lists_file] = place / f"scene-{lists_file}"
            made[lists_file].mkdir()
            scene(made[lists_file], lists_file)
        target = Path(tempfile.mkdtemp(dir=place))
        shutil.copytree(made[lists_file], target, dirs_exist_ok=True)
        return target

    return copy


def every_instant(copies: Callable[[bool], Path], lists_file: bool, after: bool, step: int = 1) -> int:
    undisturbed = end(copies(lists_file))
    at = 1
    while True:
        home = copies(lists_file)
        instants = Instants(at, after)
        if not crashed(home, instants):
            return at
        with suppress(FileNotFoundError):
            (home / "tasks.json.lock").rmdir()
        again = end(home)
        for part, expected in undisturbed.items():
            assert again[part] == expected, f"{part} differs after a crash at instant {at}: {instants.last}"
        shutil.rmtree(home)
        at += step


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


def test_killed_at_many_instants_of_a_sync(copies: Callable[[bool], Path]) -> None:
    instants = every_instant(copies, lists_file=True, after=False, step=13)
    assert instants > 200, "the scene exercises the whole sequence"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("lists_file", [False, True], ids=["database", "database and file"])
def test_killed_before_and_after_every_instant(copies: Callable[[bool], Path], lists_file: bool, after: bool) -> None:
    assert every_instant(copies, lists_file, after) > 200


def test_killed_in_the_first_import(place: Path) -> None:
    """The database is adopted or it is not; the backup is whole; tasks exist once. (At every ninth instant.)"""

    def fresh() -> Path:
        home = Path(tempfile.mkdtemp(dir=place))
        Lists(home, frozen=True).plain((1, "A"), (2, "B", "", "done"), (3, "C", "", "pending", "medium", "[1]"))
        return home

    undisturbed = end(fresh())
    at = 1
    while True:
        home = fresh()
        if not crashed(home, Instants(at)):
            break
        assert end(home) == undisturbed, f"instant {at}"
        assert (home / "memory.db.before-peercoord").exists()
        assert not [p for p in home.iterdir() if p.name.endswith(".part")]
        shutil.rmtree(home)
        at += 9
    assert at > 50
