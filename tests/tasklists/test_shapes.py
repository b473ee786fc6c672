"""Databases of every shape: columns by other names, words of their own, edges and steps in tables of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.lists import Lists

from peercoord.errors import BrokenFileError

PLAIN = "id INTEGER PRIMARY KEY, title TEXT"


def work(lists: Lists) -> None:
    """Claim the first task, complete it, and have everything in step."""
    lists.settled()
    worker = lists.join()
    assert worker.request() is not None
    lists.settled()
    worker.complete(worker.held()[0].task)
    lists.settled()


# -- names and words ---------------------------------------------------------------------------------------------


def test_columns_by_other_names(lists: Lists) -> None:
    lists.make(
        """CREATE TABLE Tasks (Task_ID TEXT PRIMARY KEY, Name TEXT, "Desc" TEXT, State TEXT, PRIORITY INT,
             Depends_On TEXT, Test_Strategy TEXT);
           INSERT INTO Tasks VALUES ('a-1', 'First', 'd', 'Todo', 1, '', 'by hand'),
             ('b.2', 'Second', '', 'Todo', 3, 'a-1', NULL), ('c', 'Third', '', 'Done', 0, 'a-1,b.2', NULL);"""
    )
    lists.settled()
    lists.queue.edit("b.2", title="2nd", description="more", priority="critical", dependencies=["a-1", "c"])
    lists.queue.edit("a-1", testStrategy="by machine")
    lists.sql("UPDATE Tasks SET Name = '1st', Test_Strategy = 'twice' WHERE Task_ID = 'a-1'")
    lists.settled()
    assert lists.sql("SELECT * FROM Tasks WHERE Task_ID = 'b.2'")[0][1:6] == ("2nd", "more", "Todo", 0, "a-1,c")
    assert (lists.raw("a-1")["title"], lists.raw("a-1")["testStrategy"]) == ("1st", "twice")
    work(lists)
    assert lists.sql("SELECT State FROM Tasks ORDER BY Task_ID")[0] == ("Done",), "in the words of this table"


def test_a_check_on_the_status_column_is_kept(lists: Lists) -> None:
    lists.make(
        """CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL,
             status TEXT NOT NULL CHECK (status IN ('todo', 'doing', 'completed')) DEFAULT 'todo',
             priority TEXT CHECK (priority IN ('high', 'medium', 'low')));
           INSERT INTO tasks (title, priority) VALUES ('A', 'high'), ('B', NULL);"""
    )
    lists.settled()
    lists.queue.edit("2", priority="critical")
    worker = lists.join()
    worker.request()
    lists.settled()
    assert lists.row(2) == ("doing", "w1")
    assert lists.row(2, "priority") == "high", "the nearest word that is allowed"
    worker.park("2", "review", "look at it")
    lists.settled()
    assert lists.row(2, "status") == "doing", "nothing nearer to a review"
    assert json.loads(lists.row(2, "coordination_data"))["state"] == "review"
    assert lists.raw("2")["priority"] == "critical", "what the list cannot say does not come back changed"


@pytest.mark.parametrize(
    ("kind", "given", "written"),
    [("INTEGER", 2, 0), ("TEXT", "2", "0"), ("TEXT", "P2", "P0"), ("TEXT", "High", "critical"), ("", 3, 0)],
)
def test_priorities_as_numbers_and_words(lists: Lists, kind: str, given: Any, written: Any) -> None:
    lists.make(f"CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, priority {kind});")
    lists.sql("INSERT INTO tasks VALUES (1, 'A', 'todo', ?)", given)
    lists.settled()
    lists.queue.edit("1", priority="critical")
    lists.settled()
    assert lists.row(1, "priority") == written
    assert lists.raw("1")["priority"] == "critical"


@pytest.mark.parametrize(
    ("script", "query", "expected"),
    [
        (
            f"CREATE TABLE tasks ({PLAIN}, completed BOOLEAN NOT NULL DEFAULT 0);"
            "INSERT INTO tasks (title) VALUES ('A'), ('B');",
            "SELECT title, completed FROM tasks",
            [("A", 1), ("B", 0)],
        ),
        (
            "CREATE TABLE words (word TEXT PRIMARY KEY); INSERT INTO words VALUES ('Backlog'), ('Doing'), ('Done');"
            f"CREATE TABLE tasks ({PLAIN}, status TEXT REFERENCES words (word));"
            "INSERT INTO tasks VALUES (1, 'A', 'Backlog');",
            "SELECT status FROM tasks",
            [("Done",)],
        ),
        (
            f"CREATE TABLE tasks ({PLAIN}); INSERT INTO tasks VALUES (1, 'A');",
            "SELECT status FROM tasks",
            [("done",)],
        ),
        (
            "CREATE TABLE tasks (id INTEGER, title TEXT, status TEXT, progress REAL, deleted_at TEXT);"
            "INSERT INTO tasks VALUES (1, 'Old', 'todo', 0, '2020-01-01'), (1, 'A', 'todo', 0, NULL);",
            "SELECT title, status, progress FROM tasks",
            [("Old", "todo", 0.0), ("A", "done", 1.0)],
        ),
        (
            f"CREATE TABLE tasks ({PLAIN}, status TEXT); INSERT INTO tasks VALUES (1, 'A', 'todo');"
            "CREATE TABLE instance_assignments (id INTEGER PRIMARY KEY, task_id INTEGER, instance_id TEXT,"
            " assigned_at TEXT, status TEXT, epoch TEXT);"
            "INSERT INTO instance_assignments VALUES (1, 1, 'x', NULL, 'held', 'first');",
            "SELECT instance_id, status, epoch FROM instance_assignments ORDER BY id",
            [("x", "held", "first"), ("w1", "done", "1")],
        ),
    ],
    ids=["completed column", "words of another table", "no status column", "deleted row of one id", "other's history"],
)
def test_a_completed_task_is_written_where_the_table_has_it(
    lists: Lists, script: str, query: str, expected: list[Any]
) -> None:
    lists.make(script)
    work(lists)
    assert lists.sql(query) == expected


def test_done_by_hand_in_a_column_that_says_completed(lists: Lists) -> None:
    lists.make(f"CREATE TABLE tasks ({PLAIN}, completed BOOLEAN NOT NULL DEFAULT 0);"
               "INSERT INTO tasks (title) VALUES ('A');")  # fmt: skip
    lists.settled()
    lists.sql("UPDATE tasks SET completed = 1")
    lists.settled()
    assert lists.state("1")[0] == "done"


def test_an_unknown_word_is_blocked_here_and_left_there(lists: Lists) -> None:
    lists.plain((1, "A", "", "frobnicated"))
    lists.settled()
    assert lists.state("1") == ("parked", "blocked")
    assert lists.row(1, "status") == "frobnicated"


# -- rows that are refused ---------------------------------------------------------------------------------------


def test_a_new_row_has_what_its_table_requires(lists: Lists) -> None:
    lists.make(
        """CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, status TEXT NOT NULL,
             description TEXT NOT NULL, created_at TIMESTAMP NOT NULL, kind TEXT DEFAULT 'k' NOT NULL);"""
    )
    lists.add("1")
    lists.settled()
    assert lists.row(1, "status, description, kind") == ("pending", "", "k")
    assert lists.row(1, "created_at").startswith("2026-")


NEEDED = "its row needs a value for 'effort', 'la bel', which no task has: give the column a default"


def test_a_row_that_does_not_fit_is_reported_until_it_fits(lists: Lists) -> None:
    lists.make(f'CREATE TABLE tasks ({PLAIN}, status TEXT, effort REAL NOT NULL, "la bel" TEXT NOT NULL);'
               "INSERT INTO tasks VALUES (1, 'A', 'todo', 1.5, 'x');")  # fmt: skip
    lists.settled()
    lists.add("2")
    for found in (lists.sync(), lists.sync(), lists.plan()):
        assert found.refused == [("task 2", NEEDED)]
    work(lists)
    assert lists.row(1) == ("done", "w1"), "rows that are there are written"
    lists.make(f"ALTER TABLE tasks RENAME TO old; CREATE TABLE tasks ({PLAIN}, status TEXT);"
               "INSERT INTO tasks SELECT id, title, status FROM old; DROP TABLE old;")  # fmt: skip
    lists.queue.edit("2", title="again")
    lists.settled()
    assert lists.row(2, "title") == "again"


def test_a_row_that_would_break_a_foreign_key_is_refused(lists: Lists) -> None:
    lists.make(f"CREATE TABLE owners (name TEXT PRIMARY KEY); CREATE TABLE tasks ({PLAIN}, status TEXT,"
               " owner TEXT NOT NULL DEFAULT 'nobody' REFERENCES owners (name));")  # fmt: skip
    lists.add("2")
    [(what, why)] = lists.sync().refused
    assert (what, "'owners' that is not there" in why) == ("task 2", True)
    assert lists.sql("SELECT id FROM tasks") == []


def test_a_column_that_names_one_task_holds_none_or_one(lists: Lists) -> None:
    lists.make(f"CREATE TABLE tasks ({PLAIN}, status TEXT, depends_on INTEGER REFERENCES tasks (id));"
               "INSERT INTO tasks VALUES (1, 'A', 'todo', NULL), (2, 'B', 'todo', 1);")  # fmt: skip
    lists.settled()
    lists.add("3", dependencies=["1", "2"])
    lists.add("4", dependencies=["1"])
    lists.queue.edit("2", dependencies=[])
    why = ("task 3", "its column 'depends_on' holds one task, and it depends on 2")
    assert [lists.sync().refused, lists.sync().refused] == [[why], [why]]
    lists.queue.edit("3", dependencies=["2"])
    assert lists.sync().refused == []
    assert [lists.row(task, "depends_on") for task in (2, 3, 4)] == [None, 2, 1]
    assert lists.sql("PRAGMA foreign_key_check(tasks)") == []


def test_a_row_that_the_database_refuses_costs_that_row(lists: Lists) -> None:
    lists.make(
        """CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, status TEXT);
           CREATE TRIGGER no BEFORE INSERT ON tasks WHEN new.id = 2 BEGIN SELECT RAISE(ABORT, 'not two'); END;
           CREATE TRIGGER never BEFORE UPDATE ON tasks WHEN new.id = 1 AND new.status = 'done'
           BEGIN SELECT RAISE(ABORT, 'not done'); END;"""
    )
    for task in "123":
        lists.add(task)
    assert lists.sync().refused == [("task 2", "the database refuses its row: not two")]
    assert [row[0] for row in lists.sql("SELECT id FROM tasks")] == [1, 3]
    worker = lists.join()
    for task in ("1", "2", "3"):
        worker.request()
        worker.complete(task)
    refused = dict(lists.sync().refused)
    assert "not done" in refused["task 1"]
    assert lists.row(3) == ("done", "w1")


def test_assignments_that_the_database_refuses_hold_up_no_task(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.sql(
        "CREATE TABLE instance_assignments (id INTEGER PRIMARY KEY, task_id INTEGER, instance_id TEXT,"
        " assigned_at TEXT, status TEXT CHECK (status IN ('active', 'completed')))"
    )
    lists.settled()
    worker = lists.join()
    worker.request()
    worker.complete("1")
    refused = dict(lists.sync().refused)
    assert "CHECK constraint failed" in refused["table 'instance_assignments'"]
    assert lists.row(1) == ("done", "w1")


# -- what SQL types mean -----------------------------------------------------------------------------------------


def test_a_json_column_takes_dependencies(lists: Lists) -> None:
    lists.make(
        "CREATE TABLE tasks(id INTEGER PRIMARY KEY, title TEXT, status TEXT, dependencies JSON, subtasks JSON);"
        "INSERT INTO tasks VALUES (1, 'A', 'todo', '[]', NULL), (2, 'B', 'todo', '[1]', NULL);"
    )
    lists.settled()
    lists.add("3", dependencies=["1", "2"], subtasks=[{"id": 1, "title": "step"}])
    lists.queue.edit("1", dependencies=[])
    lists.settled()
    assert lists.row(3, "dependencies") == "[1, 2]"
    assert lists.row(3, "subtasks") == '[{"id": 1, "title": "step", "status": "pending"}]'


@pytest.mark.parametrize(
    ("column", "value"),
    [("deleted_at TEXT", "'2025-01-01'"), ("is_deleted BOOLEAN DEFAULT 0", "1"), ("archived INTEGER DEFAULT 0", "1")],
)
def test_a_deleted_or_archived_row_is_no_task(lists: Lists, column: str, value: str) -> None:
    lists.make(
        f"CREATE TABLE tasks(id INTEGER PRIMARY KEY, title TEXT, status TEXT, {column});"
        f"INSERT INTO tasks(id, title, status, {column.split()[0]}) VALUES (1, 'Old', 'todo', {value});"
        "INSERT INTO tasks(id, title, status) VALUES (2, 'A', 'todo'), (3, 'B', 'todo');"
    )
    assert lists.sync().added == ["2", "3"]
    lists.sql(f"UPDATE tasks SET {column.split()[0]} = {value} WHERE id = 3")
    lists.sync()
    assert lists.state("3") == ("parked", "cancelled")


@pytest.mark.parametrize(("known", "digits"), [(1700000000, 10), (1700000000000, 13)])
def test_a_time_in_a_column_of_numbers_is_a_number(lists: Lists, known: int, digits: int) -> None:
    lists.make(
        "CREATE TABLE tasks(id INTEGER PRIMARY KEY, title TEXT, status TEXT, created_at INTEGER NOT NULL);"
        f"INSERT INTO tasks VALUES (1, 'A', 'todo', {known});"
    )
    lists.settled()
    lists.add("2")
    lists.settled()
    assert len(str(lists.row(2, "created_at"))) == digits
    assert isinstance(lists.row(2, "created_at"), int)


# -- edges and steps ---------------------------------------------------------------------------------------------


def test_edges_in_a_table_of_their_own(lists: Lists) -> None:
    lists.make(
        """CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT);
           INSERT INTO tasks VALUES (1, 'A', 'todo'), (2, 'B', 'todo'), (3, 'C', 'todo');
           CREATE TABLE task_dependencies (task_id INTEGER, depends_on_task_id INTEGER, type TEXT);
           INSERT INTO task_dependencies VALUES (2, 1, 'blocks'), (3, 1, 'related'), (3, NULL, 'blocks');"""
    )
    lists.settled()
    assert lists.state("2") == ("waiting", "1")
    lists.queue.edit("2", dependencies=[3])
    lists.settled()
    edges = "SELECT task_id, depends_on_task_id, type FROM task_dependencies ORDER BY 1, 2"
    assert lists.sql(edges) == [(2, 3, None), (3, None, "blocks"), (3, 1, "related")]
    lists.sql("INSERT INTO task_dependencies VALUES (3, 1, 'blocks')")
    lists.settled()
    assert lists.raw("3")["dependencies"] == [1]
    lists.queue.edit("3", dependencies=[])
    lists.settled()
    assert lists.sql(edges) == [(2, 3, None), (3, None, "blocks"), (3, 1, "related")], "what is no dependency stays"


def test_steps_in_rows_below_their_task(lists: Lists) -> None:
    lists.make(
        """CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, parent_id INTEGER);
           INSERT INTO tasks VALUES (1, 'Epic', 'todo', NULL), (2, 'Part', 'todo', 1), (3, 'Other', 'todo', 1);"""
    )
    lists.settled()
    assert lists.queue.all_tasks() == ["1"]
    worker = lists.join()
    worker.request()
    worker.report("1", {"steps": ["1.2"]})
    lists.settled()
    assert [row[0] for row in lists.sql("SELECT status FROM tasks")] == ["in-progress", "done", "todo"]
    lists.sql("UPDATE tasks SET status = 'done' WHERE id = 3")
    lists.settled()
    assert lists.raw("1")["subtasks"][1]["status"] == "done"
    lists.sql("INSERT INTO tasks (id, title, status, parent_id) VALUES (4, 'One more', 'todo', 1)")
    lists.settled()
    assert [step["id"] for step in lists.raw("1")["subtasks"]] == ["1.2", "1.3", "1.4"]
    worker.complete("1")
    lists.settled()
    assert {row[0] for row in lists.sql("SELECT status FROM tasks")} == {"done"}


def test_steps_in_a_json_column(lists: Lists) -> None:
    lists.make("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, subtasks TEXT);")
    steps = [{"id": 1, "title": "x", "mood": "merry"}, {"id": 2, "title": "y", "status": "pending"}]
    lists.sql("INSERT INTO tasks VALUES (1, 'A', 'todo', ?)", json.dumps(steps))
    lists.settled()
    worker = lists.join()
    worker.request()
    worker.report("1", {"steps": ["1.1"]})
    lists.settled()
    assert json.loads(lists.row(1, "subtasks")) == [{**steps[0], "status": "done"}, steps[1]]
    worker.release("1")
    lists.settled()
    assert json.loads(lists.row(1, "subtasks"))[0]["status"] == "pending", "who takes it next begins with it"
    lists.sql("UPDATE tasks SET subtasks = ?", json.dumps([{**step, "status": "done"} for step in steps]))
    lists.settled()
    assert [step["status"] for step in lists.raw("1")["subtasks"]] == ["done", "done"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("CREATE TABLE tasks (code TEXT, label TEXT);", "has no column 'id'"),
        ("CREATE TABLE t (id INTEGER, title TEXT); CREATE VIEW tasks AS SELECT * FROM t;", "is a view"),
        (
            f"CREATE TABLE tasks ({PLAIN}); CREATE TABLE instance_assignments (task_id INTEGER, instance TEXT);",
            "'instance_assignments' has no column 'id', 'instance_id'",
        ),
    ],
)
def test_a_database_of_another_kind_is_refused_unchanged(lists: Lists, script: str, why: str) -> None:
    lists.make(script)
    before = lists.path.read_bytes()
    with pytest.raises(BrokenFileError, match=why):
        lists.sync()
    assert lists.path.read_bytes() == before


def test_what_a_database_means_can_be_asked(lists: Lists) -> None:
    lists.plain((1, "A", "", "todo", "P1"), (2, "B", "", "doing", "P3"))
    told = lists.store().explain()
    assert told["columns"]["needs"] == "dependencies"
    assert told["status_words"] == {"doing": "held", "todo": "open"}
    assert told["written_words"]["done"] == "done"
    assert told["written_words"]["held"] == "doing"
    assert told["priority_words"] == {"P1": "high", "P3": "low"}
