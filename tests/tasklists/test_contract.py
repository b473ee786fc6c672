"""What every list of tasks promises a sync: a database, a ``tasks.json`` and a list in memory, by one suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.lists import Lists
from support.tasklist import MemoryTaskList

from peercoord.errors import LostError, UsageError
from peercoord.tasklists.port import RowUpdate, TaskList


class Side:
    """The other list, and a person who edits it."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def open(self) -> TaskList:
        raise NotImplementedError

    def rows(self) -> list[Any]:
        raise NotImplementedError

    def add(self, task: int, title: str, **more: str) -> None:
        raise NotImplementedError

    def edit(self, task: int, **values: str) -> None:
        raise NotImplementedError

    def remove(self, task: int) -> None:
        raise NotImplementedError

    def row(self, task: int) -> Any:
        return next(row for row in self.rows() if str(row["id"]) == str(task))

    def settled(self) -> None:
        for _ in range(3):
            if not self.lists.sync(self.open()).comparisons:
                return
        raise AssertionError("it does not come to rest")


class Database(Side):
    def __init__(self, lists: Lists) -> None:
        super().__init__(lists)
        lists.plain()

    def open(self) -> TaskList:
        return self.lists.store()

    def rows(self) -> list[Any]:
        found = self.lists.sql("SELECT id, title, description, status, priority FROM tasks ORDER BY id")
        return [dict(zip(("id", "title", "description", "status", "priority"), row, strict=True)) for row in found]

    def add(self, task: int, title: str, **more: str) -> None:
        names = ["id", "title", *more]
        marks = ", ".join("?" * len(names))
        self.lists.sql(f"INSERT INTO tasks ({', '.join(names)}) VALUES ({marks})", task, title, *more.values())

    def edit(self, task: int, **values: str) -> None:
        for name, value in values.items():
            self.lists.sql(f"UPDATE tasks SET {name} = ? WHERE id = ?", value, task)

    def remove(self, task: int) -> None:
        self.lists.sql("DELETE FROM tasks WHERE id = ?", task)


class TasksJsonFile(Side):
    def __init__(self, lists: Lists) -> None:
        super().__init__(lists)
        self.path: Path = lists.home / "tasks.json"
        lists.plain()
        self._write([])

    def _write(self, tasks: list[Any]) -> None:
        self.path.write_text(json.dumps({"tasks": tasks}, indent=2))

    def open(self) -> TaskList:
        return self.lists.tasks_file(self.path)

    def rows(self) -> list[Any]:
        found: list[Any] = json.loads(self.path.read_text())["tasks"]
        return found

    def add(self, task: int, title: str, **more: str) -> None:
        self._write([*self.rows(), {"id": task, "title": title, "description": "", "status": "pending", **more}])

    def edit(self, task: int, **values: str) -> None:
        self._write([{**row, **values} if row["id"] == task else row for row in self.rows()])

    def remove(self, task: int) -> None:
        self._write([row for row in self.rows() if row["id"] != task])


class Memory(Side):
    def __init__(self, lists: Lists) -> None:
        super().__init__(lists)
        self.list = MemoryTaskList()

    def open(self) -> TaskList:
        return self.list

    def rows(self) -> list[Any]:
        return self.list.rows

    def add(self, task: int, title: str, **more: str) -> None:
        self.list.rows.append({"id": str(task), "title": title, **more})

    def edit(self, task: int, **values: str) -> None:
        self.row(task).update(values)

    def remove(self, task: int) -> None:
        self.list.rows.remove(self.row(task))


@pytest.fixture(params=[Database, TasksJsonFile, Memory])
def side(request: pytest.FixtureRequest, lists: Lists) -> Side:
    made: Side = request.param(lists)
    return made


def test_an_empty_list_has_no_term_and_nothing_agreed(side: Side) -> None:
    found = side.open().snapshot()
    assert (found.term, dict(found.digests), dict(found.agreed)) == (-1, {}, {})
    assert not found.refused()


def test_a_digest_tells_a_change_and_nothing_else(side: Side) -> None:
    side.add(1, "One")
    side.add(2, "Two")
    before = dict(side.open().snapshot().digests)
    assert dict(side.open().snapshot().digests) == before
    side.edit(2, title="Two again")
    after = side.open().snapshot().digests
    assert (after["1"] == before["1"], after["2"] == before["2"]) == (True, False)


def test_a_snapshot_changes_nothing(side: Side) -> None:
    side.add(1, "One")
    before = json.dumps(side.rows())
    found = side.open().snapshot()
    values = found.row("1")
    assert values is not None
    assert (values["title"], values["state"], values["priority"]) == ("One", "open", "medium")
    assert [task.definition.task for task in found.incoming(["1"])] == ["1"]
    assert json.dumps(side.rows()) == before
    assert side.open().snapshot().term == -1


def test_both_sides_come_into_step_and_stay(side: Side) -> None:
    side.add(1, "One", description="of theirs")
    side.lists.add("2", "Two", description="of ours", priority="high")
    side.settled()
    assert side.lists.raw("1")["description"] == "of theirs"
    assert (side.row(2)["title"], side.row(2)["description"], side.row(2)["priority"]) == ("Two", "of ours", "high")
    before = json.dumps(side.rows())
    assert side.lists.sync(side.open()).comparisons == []
    assert json.dumps(side.rows()) == before


def test_edits_go_both_ways(side: Side) -> None:
    side.add(1, "One")
    side.add(2, "Two")
    side.settled()
    side.edit(1, title="One there")
    side.lists.queue.edit("2", title="Two here")
    side.settled()
    assert side.lists.raw("1")["title"] == "One there"
    assert side.row(2)["title"] == "Two here"


def test_of_two_edits_of_one_field_theirs_is_taken_and_ours_kept_in_the_notes(side: Side) -> None:
    side.add(1, "One")
    side.settled()
    side.edit(1, title="One there")
    side.lists.queue.edit("1", title="One here")
    side.settled()
    assert side.lists.raw("1")["title"] == side.row(1)["title"] == "One there"
    assert "One here" in str(side.lists.raw("1")["notes"])


def test_the_life_of_a_task_goes_out(side: Side) -> None:
    side.add(1, "One")
    side.settled()
    worker = side.lists.join()
    worker.request()
    side.settled()
    assert side.row(1)["status"] == "in-progress"
    worker.complete("1")
    side.settled()
    assert side.row(1)["status"] == "done"


def test_done_by_hand_and_cancelled_by_hand_come_in(side: Side) -> None:
    for task in (1, 2, 3):
        side.add(task, f"T{task}")
    side.settled()
    side.edit(1, status="done")
    side.edit(2, status="cancelled")
    side.remove(3)
    side.settled()
    assert [side.lists.state(task) for task in ("2", "3")] == [("parked", "cancelled")] * 2
    assert side.lists.state("1")[0] == "done"


def test_a_list_that_lost_most_of_its_rows_cancels_nothing(side: Side) -> None:
    for task in range(1, 7):
        side.add(task, f"T{task}")
    side.settled()
    for task in range(1, 6):
        side.remove(task)
    with pytest.raises(UsageError, match="5 of 6 tasks have no row any more") as caught:
        side.lists.sync(side.open())
    assert caught.value.code == "rows-gone"
    assert all(side.lists.state(str(task))[0] == "ready" for task in range(1, 7))


def test_two_rows_with_one_id_are_left_alone(side: Side) -> None:
    side.add(1, "One")
    side.settled()
    if isinstance(side, Database):
        side.lists.sql("ALTER TABLE tasks RENAME TO old")
        side.lists.sql("CREATE TABLE tasks AS SELECT * FROM old")
    side.add(1, "Another")
    found = side.open().snapshot()
    assert [what for what, _ in found.twice()] == ["task '1'"]
    assert found.row("1") is None


@pytest.mark.parametrize("title", ["", " \n", "\x1b[2J"])
def test_a_row_that_is_no_task_is_named_by_every_sync(side: Side, title: str) -> None:
    side.add(1, "One")
    side.add(2, title)
    for _ in range(2):
        assert ("task '2'", "it has no title") in side.lists.sync(side.open()).refused
    assert side.lists.queue.all_tasks() == ["1"]


def test_text_that_comes_in_is_made_safe(side: Side) -> None:
    side.add(1, "\x1b[31mred\u202e\x07")
    side.settled()
    assert side.lists.raw("1")["title"] == "red"


def test_under_a_term_that_is_over_nothing_changes(side: Side) -> None:
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


def test_an_update_that_fails_leaves_everything(side: Side) -> None:
    side.add(1, "One")
    side.settled()
    before, agreed = json.dumps(side.rows()), dict(side.open().snapshot().agreed)

    def fail(_: object) -> list[RowUpdate]:
        raise WorkFailedError

    with pytest.raises(WorkFailedError):
        side.open().update(3, fail)
    found = side.open().snapshot()
    assert (json.dumps(side.rows()), dict(found.agreed), found.term) == (before, agreed, 0)


def test_what_was_agreed_on_is_remembered(side: Side) -> None:
    side.add(1, "One")
    side.settled()
    found = side.open().snapshot()
    version, digest = found.agreed["1"]
    assert version == side.lists.version("1")
    assert digest == found.digests["1"]
    base = found.bases(["1", "2"])
    assert base.keys() == {"1"}
    assert base["1"]["theirs"]["title"] == base["1"]["ours"]["title"] == "One"


def test_a_write_of_one_field_leaves_the_others(side: Side) -> None:
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
