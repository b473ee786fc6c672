"""claude-task-master itself: its file is read, and kept in step before, after and while peers work."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.lists import Lists

from peercoord.errors import LostError, StorageError
from peercoord.queue.worker import Worker
from peercoord.tasklists.source import find_source, read_source

Program = Callable[..., str]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def tm(task_master: str, lists: Lists, tmp_path: Path) -> Program:
    """Run a command of the program in the project, with a home of its own."""
    environment = os.environ | {"HOME": str(tmp_path), "NO_COLOR": "1"}

    def run(*arguments: str) -> str:
        ended = subprocess.run(
            [task_master, *arguments],
            cwd=lists.home, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300,
        )  # fmt: skip
        assert ended.returncode == 0, f"{arguments}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}"
        return ended.stdout

    return run


@pytest.fixture
def path(lists: Lists, tm: Program) -> Path:
    """Make a project with tasks; return its list."""
    lists.path.touch()
    tm("init", "--yes", "--no-git", "--no-aliases", "--skip-install")
    tasks = lists.home / ".taskmaster" / "tasks" / "tasks.json"
    tasks.parent.mkdir(exist_ok=True)
    if not tasks.exists():  # some versions leave the first file to their model
        tasks.write_text('{"tasks": []}')
    tm("add-task", "--title", "Foundation", "--description", "Build and test", "--priority", "high")
    for number in range(2, 7):
        tm("add-task", "--title", f"Part {number}", "--description", "On top", "--dependencies", "1")
    tm("add-subtask", "--parent", "2", "--title", "First half", "--description", "a")
    tm("add-subtask", "--parent", "2", "--title", "Second half", "--description", "b")
    return tasks


def listed(tm: Program) -> dict[str, Any]:
    """What the program says of every task, which it does not if it finds anything wrong with the file."""
    found = json.loads(tm("list", "--json", "--with-subtasks"))["tasks"]
    return {str(task["id"]): task for task in found}


def both(lists: Lists, path: Path) -> None:
    for _ in range(5):
        left = [*lists.sync(lists.tasks_file(path, wait=20.0)).comparisons, *lists.sync().comparisons]
        if not left:
            return
    raise AssertionError([(m.task, m.resolution.outgoing, m.resolution.incoming) for m in left])


def test_a_project_made_with_the_real_program(lists: Lists, tm: Program, path: Path) -> None:
    tm("add-subtask", "--parent", "3", "--title", "New format", "--description", "then")
    tm("add-dependency", "--id", "3.1", "--depends-on", "2.1")
    tm("set-status", "--id", "1", "--status", "done")
    tm("set-status", "--id", "3", "--status", "in-progress")
    assert find_source(lists.home) == str(path)
    reading = read_source(str(path))
    found = {task.definition.task: task for task in reading.tasks}
    assert reading.refused == []
    assert [task.state for task in found.values()] == ["done", "open", "held", "open", "open", "open"]
    assert [task.definition.dependencies for task in found.values()] == [[], *[["1"]] * 5]
    assert found["1"].definition.raw["priority"] == "high"
    assert found["3"].definition.steps[0].step == "3.1"
    assert found["3"].definition.raw["notes"] == ["step 3.1 builds on step 2.1"]
    assert {task: entry["title"] for task, entry in listed(tm).items()} == {
        task: one.definition.title for task, one in found.items()
    }
    tm("add-tag", "other", "--description", "Another list")
    tm("use-tag", "other")
    tm("add-task", "--title", "Elsewhere", "--description", "In the other list")
    assert [task.definition.title for task in read_source(str(path)).tasks] == ["Elsewhere"]
    assert len(read_source(str(path), "master").tasks) == 6


def test_it_reads_what_we_write_and_we_what_it_writes(lists: Lists, tm: Program, path: Path) -> None:
    before = path.read_bytes()
    both(lists, path)
    assert path.read_bytes() == before
    assert "Foundation" in tm("next")

    worker = lists.join()
    worker.request()
    worker.report("1", {"progress": 0.5, "achievements": ["é ✓"]})
    both(lists, path)
    found = listed(tm)["1"]
    assert (found["status"], found["metadata"]["peercoord"]["achievements"]) == ("in-progress", ["é ✓"])
    assert "in-progress" in tm("show", "1")
    worker.complete("1")
    worker.request()
    worker.report("2", {"steps": ["2.1"]})
    both(lists, path)
    found = listed(tm)
    assert (found["1"]["status"], found["2"]["status"]) == ("done", "in-progress")
    assert [step["status"] for step in found["2"]["subtasks"]] == ["done", "pending"]
    assert "Part 3" in tm("next") or "Second half" in tm("next")

    tm("set-status", "--id", "3", "--status", "deferred")
    tm("set-status", "--id", "2.2", "--status", "done")
    tm("set-status", "--id", "4", "--status", "done")
    tm("add-task", "--title", "Seventh", "--description", "new there", "--dependencies", "4")
    both(lists, path)
    states = [lists.state(task) for task in "347"]
    assert (states[0], states[1][0], states[2][0]) == (("parked", "deferred"), "done", "ready")
    assert listed(tm)["1"]["metadata"]["peercoord"]["assigned_to"] == "w1", "the program keeps what we noted"

    lists.add("8", "Eighth", dependencies=["7"], priority="lowest", steps=[{"id": "8.1", "title": "step"}])
    lists.queue.cancel("5", "not wanted")
    with pytest.raises(LostError, match="task 2 is done"):
        worker.complete("2")  # with its last step the program ticked the task off, too
    both(lists, path)
    found = listed(tm)
    expected = ["done", "done", "deferred", "done", "cancelled", "pending", "pending"]
    assert [found[task]["status"] for task in "1234578"] == expected
    assert "Eighth" in tm("show", "8")
    tm("validate-dependencies")
    tm("set-status", "--id", "8", "--status", "in-progress")
    both(lists, path)
    assert lists.state("8") == ("parked", "held")


class Team:
    """A leader that syncs far more often than a real one, and a peer that takes whatever there is, until it is stopped.

    Between two syncs the leader stands aside for a moment: on a busy machine the program, which takes seconds to start,
    would else hardly be served.
    """

    def __init__(self, home: Path, path: Path) -> None:
        self.home, self.path = home, path
        self.stop = threading.Event()
        self.worker: Worker | None = None
        self.crossed: list[str] = []
        self.failed: list[BaseException] = []
        self.threads = [threading.Thread(target=self.shielded, args=(do,)) for do in (self.lead, self.work)]

    def shielded(self, do: Callable[[Lists], None]) -> None:
        mine = Lists(self.home)
        try:
            while not self.stop.is_set():
                do(mine)
        except BaseException as error:  # noqa: BLE001 - the test asserts on it
            self.failed.append(error)

    def lead(self, mine: Lists) -> None:
        try:
            mine.sync(mine.tasks_file(self.path, wait=5.0))
            mine.sync()
        except (LostError, StorageError) as error:
            self.crossed.append(error.message)  # reported, and tried again
        self.stop.wait(0.2)

    def work(self, mine: Lists) -> None:
        self.worker = worker = self.worker or mine.join("w9")
        claim = worker.request()
        if claim is None:
            self.stop.wait(0.05)
        elif claim.task == "1":
            worker.report("1", {"progress": 0.5})
            worker.complete("1")
        else:
            worker.park(claim.task, "review", "for a person")

    def __enter__(self) -> Team:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_it_works_while_peers_do(lists: Lists, tm: Program, path: Path) -> None:
    """A person adds tasks and sets status after status meanwhile: nothing of either is lost."""
    both(lists, path)
    with Team(lists.home, path) as team:
        for number in range(8, 12):
            tm("add-task", "--title", f"Late {number}", "--description", "added meanwhile", "--priority", "low")
        for task in ("7", "8", "9"):
            tm("set-status", "--id", task, "--status", "cancelled")
            assert "Late" in tm("show", task)
        listed(tm)
    assert not team.failed
    both(lists, path)
    found = listed(tm)
    assert found["1"]["status"] == "done"
    for task in ("7", "8", "9"):
        assert lists.state(task)[0] == "parked", (lists.state(task), team.crossed[-3:])
        assert found[task]["status"] in ("cancelled", "review")
    here = {task: lists.raw(task)["title"] for task in lists.queue.all_tasks()}
    assert {task: entry["title"] for task, entry in found.items()} == here
    assert len(here) == 10
    assert not path.with_name("tasks.json.lock").exists()
