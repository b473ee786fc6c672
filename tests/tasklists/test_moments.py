"""What is compared is of one moment, though other syncs and changes happen beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.lists import FileLists

from peercoord.tasklists.tasks_json_list import TasksJson

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lists(place: Path) -> FileLists:
    made = FileLists(place)
    made.path.touch()
    return made


def test_a_sync_between_two_reads_does_not_undo_done(lists: FileLists) -> None:
    lists.tasks({"id": 1, "title": "One"}, {"id": 2, "title": "Two", "dependencies": [1]})
    lists.both()
    worker = lists.join()
    task = worker.request()
    assert task is not None
    worker.complete("1")

    class Overtaken(TasksJson):
        """Another sync runs right after the file was read for the first time."""

        first = True

        def _text(self) -> tuple[str, str]:
            found = super()._text()
            if self.first:
                self.first = False
                lists.both()
            return found

    lists.sync(Overtaken(lists.file, None, lists.store()))
    assert lists.state("1")[0] == "done"
    assert lists.task(1)["status"] == "done"


def test_dependents_may_change_in_the_save_that_finishes_a_task(lists: FileLists) -> None:
    tasks: list[dict[str, Any]] = [{"id": n, "title": f"T{n}", "dependencies": [1]} for n in range(2, 7)]
    others: list[dict[str, Any]] = [{"id": 1, "title": "One"}, {"id": 7, "title": "Seven"}]
    lists.tasks(*others, *tasks)
    lists.both()
    others[0]["status"] = "done"
    deleted, *left = tasks
    left[0].update(status="cancelled")
    left[1].update(dependencies=[1, 7])
    left[2].update(status="deferred")
    left[3].update(status="done")
    lists.tasks(*others, *left)
    lists.sync(lists.tasks_file(lists.file))
    assert deleted["id"] == 2
    states = [lists.state(task) for task in "23456"]
    assert states[:3] == [("parked", "cancelled"), ("parked", "cancelled"), ("waiting", "7")]
    assert (states[3], states[4][0]) == (("parked", "deferred"), "done")


def test_a_task_with_an_unknown_dependency_keeps_its_status(lists: FileLists) -> None:
    lists.tasks({"id": 17, "title": "Seventeen", "dependencies": [8]}, {"id": 18, "title": "Eighteen"})
    before = lists.file.read_bytes()
    lists.both()
    assert lists.state("17") == ("parked", "blocked")
    assert lists.file.read_bytes() == before
    assert lists.row(17, "status") == "pending"
