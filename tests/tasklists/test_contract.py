"""What every list of tasks promises a sync: databases, a ``tasks.json`` and a list in memory, by one suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.lists import Lists
from support.postgres import PgLists
from support.tasklist import MemoryTaskList

from peercoord.errors import LostError, UsageError
from peercoord.tasklists.port import RowUpdate, TaskList


class Database:
    """A database, and a person who edits it."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists
        lists.plain()

    def open(self) -> TaskList:
        return self.lists.store()

    def rows(self) -> list[Any]:
        columns = ("id", "title", "description", "status", "priority")
        found = self.lists.sql(f"SELECT {', '.join(columns)} FROM tasks ORDER BY id")
        return [dict(zip(columns, row, strict=True)) for row in found]

    def add(self, task: int, title: str, **more: str) -> None:
        names, marks = ", ".join(["id", "title", *more]), ", ".join("?" * (len(more) + 2))
        self.lists.sql(f"INSERT INTO tasks ({names}) VALUES ({marks})", task, title, *more.values())

    def edit(self, task: int, **values: str) -> None:
        for name, value in values.items():
            self.lists.sql(f"UPDATE tasks SET {name} = ? WHERE id = ?", value, task)

    def remove(self, task: int) -> None:
        self.lists.sql("DELETE FROM tasks WHERE id = ?", task)

    def let_ids_repeat(self) -> None:
        self.lists.sql("ALTER TABLE tasks RENAME TO old")
        self.lists.sql("CREATE TABLE tasks AS SELECT * FROM old")

    def row(self, task: int) -> Any:
        return next(row for row in self.rows() if str(row["id"]) == str(task))

    def settled(self) -> None:
        for _ in range(3):
            if not self.lists.sync(self.open()).comparisons:
                return
        raise AssertionError("it does not come to rest")


class TasksJsonFile(Database):
    """A ``tasks.json``; what was agreed on is in the database beside it."""

    def __init__(self, lists: Lists) -> None:
        super().__init__(lists)
        self.path = lists.home / "tasks.json"
        self.write([])

    def write(self, tasks: list[Any]) -> None:
        self.path.write_text(json.dumps({"tasks": tasks}, indent=2))

    def open(self) -> TaskList:
        return self.lists.tasks_file(self.path)

    def rows(self) -> list[Any]:
        found: list[Any] = json.loads(self.path.read_text())["tasks"]
        return found

    def add(self, task: int, title: str, **more: str) -> None:
        self.write([*self.rows(), {"id": task, "title": title, "description": "", "status": "pending", **more}])

    def edit(self, task: int, **values: str) -> None:
        self.write([{**row, **values} if row["id"] == task else row for row in self.rows()])

    def remove(self, task: int) -> None:
        self.write([row for row in self.rows() if row["id"] != task])

    def let_ids_repeat(self) -> None:
        pass


class Memory(TasksJsonFile):
    """A list in memory."""

    def __init__(self, lists: Lists) -> None:
        self.lists, self.list = lists, MemoryTaskList()

    def write(self, tasks: list[Any]) -> None:
        self.list.rows = [{**row, "id": str(row["id"])} for row in tasks]

    def open(self) -> TaskList:
        return self.list

    def rows(self) -> list[Any]:
        return [{**row, "id": int(row["id"])} for row in self.list.rows]


@pytest.fixture(params=["sqlite", "postgresql", "tasks.json", "memory"])
def side(request: pytest.FixtureRequest, place: Path) -> Database:
    if request.param == "postgresql":
        return Database(PgLists(place, request.getfixturevalue("running").database()))
    made = {"sqlite": Database, "tasks.json": TasksJsonFile, "memory": Memory}[request.param]
    return made(Lists(place))


def test_an_empty_list_has_no_term_and_nothing_agreed(side: Database) -> None:
    found = side.open().snapshot()
    assert (found.term, dict(found.digests), dict(found.agreed)) == (-1, {}, {})
    assert not found.refused()


def test_a_digest_changes_only_with_its_row(side: Database) -> None:
    side.add(1, "One")
    side.add(2, "Two")
    before = dict(side.open().snapshot().digests)
    assert dict(side.open().snapshot().digests) == before
    side.edit(2, title="Two again")
    after = side.open().snapshot().digests
    assert (after["1"] == before["1"], after["2"] == before["2"]) == (True, False)


def test_a_snapshot_changes_nothing(side: Database) -> None:
    side.add(1, "One")
    before = json.dumps(side.rows())
    found = side.open().snapshot()
    values = found.row("1")
    assert values is not None
    assert (values["title"], values["state"], values["priority"]) == ("One", "open", "medium")
    assert [task.definition.task for task in found.incoming(["1"])] == ["1"]
    assert json.dumps(side.rows()) == before
    assert side.open().snapshot().term == -1


def test_both_sides_come_into_step_and_stay(side: Database) -> None:
    side.add(1, "One", description="of theirs")
    side.lists.add("2", "Two", description="of ours", priority="high")
    side.settled()
    assert side.lists.raw("1")["description"] == "of theirs"
    assert (side.row(2)["title"], side.row(2)["description"], side.row(2)["priority"]) == ("Two", "of ours", "high")
    before = json.dumps(side.rows())
    assert side.lists.sync(side.open()).comparisons == []
    assert json.dumps(side.rows()) == before
    side.edit(1, title="One there")
    side.lists.queue.edit("2", title="Two here")
    side.settled()
    assert side.lists.raw("1")["title"] == "One there"
    assert side.row(2)["title"] == "Two here"


def test_of_two_edits_theirs_is_taken_and_ours_is_noted(side: Database) -> None:
    side.add(1, "One")
    side.settled()
    side.edit(1, title="One there")
    side.lists.queue.edit("1", title="One here")
    side.settled()
    assert side.lists.raw("1")["title"] == side.row(1)["title"] == "One there"
    assert "One here" in str(side.lists.raw("1")["notes"])


def test_claims_and_completions_go_out(side: Database) -> None:
    side.add(1, "One")
    side.settled()
    worker = side.lists.join()
    worker.request()
    side.settled()
    assert side.row(1)["status"] == "in-progress"
    worker.complete("1")
    side.settled()
    assert side.row(1)["status"] == "done"


def test_done_by_hand_and_cancelled_by_hand_come_in(side: Database) -> None:
    for task in (1, 2, 3):
        side.add(task, f"T{task}")
    side.settled()
    side.edit(1, status="done")
    side.edit(2, status="cancelled")
    side.remove(3)
    side.settled()
    assert [side.lists.state(task) for task in ("2", "3")] == [("parked", "cancelled")] * 2
    assert side.lists.state("1")[0] == "done"


def test_a_list_that_lost_most_of_its_rows_cancels_nothing(side: Database) -> None:
    for task in range(1, 7):
        side.add(task, f"T{task}")
    side.settled()
    for task in range(1, 6):
        side.remove(task)
    with pytest.raises(UsageError, match="5 of 6 tasks have no row any more") as caught:
        side.lists.sync(side.open())
    assert caught.value.code == "rows-gone"
    assert all(side.lists.state(str(task))[0] == "ready" for task in range(1, 7))
    side.lists.sync(side.open(), restore=True)
    assert len(side.rows()) == 6


def test_two_rows_with_one_id_are_left_alone(side: Database) -> None:
    side.add(1, "One")
    side.settled()
    side.let_ids_repeat()
    side.add(1, "Another")
    found = side.open().snapshot()
    assert [what for what, _ in found.twice()] == ["task '1'"]
    assert found.row("1") is None
    for _ in range(2):
        assert "task '1'" in dict(side.lists.sync(side.open()).refused), "reported by every sync"


def test_a_row_that_is_no_task_is_reported_by_every_sync(side: Database) -> None:
    side.add(1, "One")
    for task, title in enumerate(("", " \n", "\x1b[2J"), 2):
        side.add(task, title)
    for _ in range(2):
        refused = side.lists.sync(side.open()).refused
        assert {(f"task '{task}'", "it has no title") for task in (2, 3, 4)} <= set(refused)
    assert side.lists.queue.all_tasks() == ["1"]


def test_incoming_text_is_made_safe(side: Database) -> None:
    side.add(1, "\x1b[31mred\u202e\x07")
    side.settled()
    assert side.lists.raw("1")["title"] == "red"


def test_under_an_older_term_nothing_changes(side: Database) -> None:
    side.add(1, "One")
    side.lists.sync(side.open(), term=5)
    side.open().update(8, lambda _: [])
    assert side.open().snapshot().term == 8
    side.lists.queue.edit("1", title="Late")
    before = json.dumps(side.rows())
    with pytest.raises(LostError) as caught:
        side.lists.sync(side.open(), term=7)
    assert caught.value.code == "stale-term"
    with pytest.raises(LostError):
        side.open().update(7, lambda _: [])
    assert json.dumps(side.rows()) == before


class WorkFailedError(Exception):
    """Something fails while the update is worked out."""


def test_an_update_that_fails_leaves_everything(side: Database) -> None:
    side.add(1, "One")
    side.settled()
    before, agreed = json.dumps(side.rows()), dict(side.open().snapshot().agreed)

    def fail(_: object) -> list[RowUpdate]:
        raise WorkFailedError

    with pytest.raises(WorkFailedError):
        side.open().update(3, fail)
    found = side.open().snapshot()
    assert (json.dumps(side.rows()), dict(found.agreed), found.term) == (before, agreed, 0)


def test_the_agreed_version_is_remembered(side: Database) -> None:
    side.add(1, "One")
    side.settled()
    found = side.open().snapshot()
    version, digest = found.agreed["1"]
    assert version == side.lists.version("1")
    assert digest == found.digests["1"]
    base = found.bases(["1", "2"])
    assert base.keys() == {"1"}
    assert base["1"]["theirs"]["title"] == base["1"]["ours"]["title"] == "One"


def test_a_write_of_one_field_leaves_the_others(side: Database) -> None:
    side.add(1, "One", description="words of a person", priority="low")
    side.settled()
    before = dict(side.row(1))

    def work(found: Any) -> list[RowUpdate]:
        ours = {**found.row("1"), "claims": []}
        return [RowUpdate("1", ours, {"title": "Uno"}, "", lambda theirs: {"ours": {}, "theirs": theirs})]

    assert side.open().update(4, work) == []
    after = dict(side.row(1))
    assert after.pop("title") == "Uno"
    before.pop("title")
    assert after == before
    found = side.open().snapshot()
    assert found.agreed["1"] == ("", found.digests["1"])
    assert found.bases(["1"])["1"]["theirs"]["title"] == "Uno"
