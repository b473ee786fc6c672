"""What is compared is of one moment, though other syncs and changes happen beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.lists import FileLists, Lists

from peercoord.queue.renaming import rename
from peercoord.tasklists.tasks_json_list import TasksJson

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lists(place: Path) -> FileLists:
    made = FileLists(place)
    made.path.touch()
    return made


def test_done_stays_done_when_another_sync_writes_it_between_two_reads(lists: FileLists) -> None:
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


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda tasks: tasks.pop(1), ("parked", "cancelled")),
        (lambda tasks: tasks[1].update(status="cancelled"), ("parked", "cancelled")),
        (lambda tasks: tasks[1].update(dependencies=[1, 3]), ("waiting", "3")),
        (lambda tasks: tasks[1].update(status="deferred"), ("parked", "deferred")),
        (lambda tasks: tasks[1].update(status="done"), ("done", "")),
    ],
    ids=["deleted", "cancelled", "depends", "deferred", "done"],
)
def test_a_dependent_changes_in_the_save_that_finishes_its_dependency(
    lists: FileLists, change: Any, state: tuple[str, str]
) -> None:
    tasks = [{"id": 1, "title": "One"}, {"id": 2, "title": "Two", "dependencies": [1]}, {"id": 3, "title": "Three"}]
    lists.tasks(*tasks)
    lists.both()
    tasks[0]["status"] = "done"
    change(tasks)
    lists.tasks(*tasks)
    lists.sync(lists.tasks_file(lists.file))
    found = lists.state("2")
    assert (found[0], found[1] if state[1] else "") == state


def test_a_task_that_waits_for_what_is_not_known_is_not_called_blocked_there(lists: FileLists) -> None:
    lists.tasks({"id": 17, "title": "Seventeen", "dependencies": [8]}, {"id": 18, "title": "Eighteen"})
    before = lists.file.read_bytes()
    lists.both()
    assert lists.state("17") == ("parked", "blocked")
    assert lists.file.read_bytes() == before
    assert lists.row(17, "status") == "pending"


# -- what SQL types mean -----------------------------------------------------------------------------------------


@pytest.fixture
def table(place: Path) -> Lists:
    return Lists(place)


def test_a_column_that_is_called_json_takes_dependencies(table: Lists) -> None:
    table.make(
        "CREATE TABLE tasks(id INTEGER PRIMARY KEY, title TEXT, status TEXT, dependencies JSON, subtasks JSON);"
        "INSERT INTO tasks VALUES (1, 'A', 'todo', '[]', NULL), (2, 'B', 'todo', '[1]', NULL);"
    )
    table.settled()
    table.add("3", dependencies=["1", "2"], subtasks=[{"id": 1, "title": "step"}])
    table.queue.edit("1", dependencies=[])
    table.settled()
    assert table.row(3, "dependencies") == "[1, 2]"
    assert table.row(3, "subtasks") == '[{"id": 1, "title": "step", "status": "pending"}]'


@pytest.fixture
def referring(table: Lists) -> Lists:
    table.make(
        "CREATE TABLE tasks(id INTEGER PRIMARY KEY, title TEXT, status TEXT, depends_on INTEGER REFERENCES tasks(id));"
        "INSERT INTO tasks VALUES (1, 'A', 'todo', NULL), (2, 'B', 'todo', 1);"
    )
    table.settled()
    return table


def test_a_column_that_names_one_task_holds_none_or_one(referring: Lists) -> None:
    referring.add("3")
    referring.add("4", dependencies=["3"])
    referring.queue.edit("2", dependencies=[])
    referring.settled()
    assert [referring.row(task, "depends_on") for task in (2, 3, 4)] == [None, None, 3]
    assert referring.sql("PRAGMA foreign_key_check(tasks)") == []


def test_a_row_that_does_not_fit_is_named_at_every_sync_until_it_does(referring: Lists) -> None:
    referring.add("3", dependencies=["1", "2"])
    why = ("task 3", "its column 'depends_on' holds one task, and it depends on 2")
    assert referring.sync().refused == [why]
    assert referring.sync().refused == [why]
    assert referring.plan().refused == [why]
    referring.queue.edit("3", dependencies=["2"])
    assert referring.sync().refused == []
    assert referring.row(3, "depends_on") == 2


def test_a_row_that_would_break_a_foreign_key_is_refused_by_name(table: Lists) -> None:
    table.make(
        "CREATE TABLE owners(name TEXT PRIMARY KEY); INSERT INTO owners VALUES ('ann');"
        "CREATE TABLE tasks(id INTEGER PRIMARY KEY, title TEXT, status TEXT,"
        " owner TEXT NOT NULL DEFAULT 'nobody' REFERENCES owners(name));"
        "INSERT INTO tasks VALUES (1, 'A', 'todo', 'ann');"
    )
    table.settled()
    table.add("2")
    ((what, why),) = table.sync().refused
    assert (what, "'owners' that is not there" in why) == ("task 2", True)
    assert table.sql("SELECT id FROM tasks") == [(1,)]


def test_a_status_from_a_table_of_words_is_one_of_them(table: Lists) -> None:
    table.make(
        "CREATE TABLE statuses(word TEXT PRIMARY KEY);"
        "INSERT INTO statuses VALUES ('Backlog'), ('Doing'), ('Done');"
        "CREATE TABLE tasks(id INTEGER PRIMARY KEY, title TEXT, status TEXT REFERENCES statuses(word));"
        "INSERT INTO tasks VALUES (1, 'A', 'Backlog');"
    )
    table.settled()
    worker = table.join()
    worker.request()
    worker.complete("1")
    table.settled()
    assert table.row(1, "status") == "Done"


@pytest.mark.parametrize(
    ("column", "value"),
    [("deleted_at TEXT", "'2025-01-01'"), ("is_deleted BOOLEAN DEFAULT 0", "1"), ("archived INTEGER DEFAULT 0", "1")],
)
def test_a_row_that_is_put_away_is_no_task(table: Lists, column: str, value: str) -> None:
    table.make(
        f"CREATE TABLE tasks(id INTEGER PRIMARY KEY, title TEXT, status TEXT, {column});"
        f"INSERT INTO tasks(id, title, status, {column.split()[0]}) VALUES (1, 'Old', 'todo', {value});"
        "INSERT INTO tasks(id, title, status) VALUES (2, 'A', 'todo'), (3, 'B', 'todo');"
    )
    assert table.sync().added == ["2", "3"]
    table.sql(f"UPDATE tasks SET {column.split()[0]} = {value} WHERE id = 3")
    table.sync()
    assert table.state("3") == ("parked", "cancelled")


@pytest.mark.parametrize(("known", "digits"), [(1700000000, 10), (1700000000000, 13)])
def test_a_time_in_a_column_of_numbers_is_a_number(table: Lists, known: int, digits: int) -> None:
    table.make(
        "CREATE TABLE tasks(id INTEGER PRIMARY KEY, title TEXT, status TEXT, created_at INTEGER NOT NULL);"
        f"INSERT INTO tasks VALUES (1, 'A', 'todo', {known});"
    )
    table.settled()
    table.add("2")
    table.settled()
    assert len(str(table.row(2, "created_at"))) == digits
    assert isinstance(table.row(2, "created_at"), int)


# -- a task that has another id here now -------------------------------------------------------------------------


def test_a_renamed_task_s_row_is_cancelled_and_does_not_come_back(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.settled()
    rename(lists.queue, "1", "5")
    lists.settled()
    lists.settled()
    assert lists.queue.all_tasks() == ["5"]
    assert [lists.row(task, "title, status") for task in (1, 5)] == [("A", "cancelled"), ("A", "pending")]
    lists.add("1", "Another")
    lists.settled()
    assert lists.row(1, "title, status") == ("Another", "pending"), "its row is the new task's"
    assert lists.raw("1")["title"] == "Another"


def test_an_id_that_is_given_away_before_the_next_sync_keeps_its_new_task(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.settled()
    rename(lists.queue, "1", "5")
    lists.add("1", "Another")
    lists.settled()
    assert [lists.row(task, "title, status") for task in (1, 5)] == [("Another", "pending"), ("A", "pending")]
    assert sorted(lists.queue.all_tasks()) == ["1", "5"]


def test_a_row_that_is_written_anew_after_a_renaming_is_a_new_task(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.settled()
    rename(lists.queue, "1", "5")
    lists.sql("UPDATE tasks SET title = 'New there', status = 'pending' WHERE id = 1")
    lists.settled()
    assert {task: lists.raw(task)["title"] for task in lists.queue.all_tasks()} == {"1": "New there", "5": "A"}
