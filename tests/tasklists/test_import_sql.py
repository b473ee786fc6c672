from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from peercoord.errors import BrokenFileError, NotFoundError, StorageError, UsageError
from peercoord.tasklists import sql_rows
from peercoord.tasklists.source import read_source

Reader = Callable[..., Any]
Maker = Callable[..., Path]

PLAIN = """CREATE TABLE tasks (
    id INTEGER PRIMARY KEY, title TEXT, description TEXT, status TEXT, priority TEXT, dependencies TEXT);"""


@pytest.fixture
def plain(database: Maker) -> Path:
    return database(
        PLAIN,
        (1, "Foundation", "Build and test", "done", "high", None),
        (2, "Parser", "", "in_progress", "1", "[1]"),
        (3, "Writer", None, "pending", "low", "1, 2"),
        (10, "Docs", "", "todo", None, ""),
        (4, "Old idea", "", "cancelled", "4", '["2", "3"]'),
        (5, "Release", "", "OPEN", "urgent", "7"),
    )


def test_plain_database(read: Reader, plain: Path) -> None:
    found = read(plain)
    states = {"1": "done", "2": "held", "3": "open", "4": "cancelled", "5": "open", "10": "open"}
    assert found.states == states
    priorities = [found.raw(task)["priority"] for task in found.tasks]
    assert priorities == ["high", "high", "low", "lowest", "critical", "medium"]
    assert [found.needs(task) for task in found.tasks] == [[], ["1"], ["1", "2"], ["2", "3"], ["7"], []]
    assert found["2"].reason == "it is 'in_progress' in 'tasks.db'"
    assert found.raw("1")["description"] == "Build and test"
    assert found.raw("1")["source"] == {"kind": "sqlite", "path": str(plain), "status": "done"}
    assert found.refused == []


def test_columns_are_found_by_name_and_others_kept(read: Reader, database: Maker) -> None:
    path = database(
        """CREATE TABLE Tasks (Task_ID TEXT, Name TEXT, Desc TEXT, State TEXT, PRIORITY INT, Depends_On TEXT,
           Test_Strategy TEXT, Notes TEXT, Assigned_To TEXT, Estimate REAL, Coordination_Data TEXT, Blob BLOB);""",
        ("a-1", "First", "d", "Doing", 0, "#b.2", "by hand", "mind the gap", "bob", 2.5, "{}", b"\x00\xff"),
        ("b.2", "Second", "", "Closed", 3, "null", "", None, None, None, None, None),
    )
    found = read(path)
    assert found.states == {"a-1": "held", "b.2": "done"}
    assert found["a-1"].reason == "it is 'Doing' in 'tasks.db', assigned to 'bob'"
    assert found.needs("a-1") == ["b.2"]
    assert found.raw("a-1")["priority"] == "critical"
    assert found.raw("a-1")["testStrategy"] == "by hand"
    assert found.notes("a-1") == ["mind the gap"]
    assert found.raw("a-1")["source"]["extra"] == {"estimate": 2.5, "blob": "\ufffd"}


@pytest.mark.parametrize(
    "columns",
    ["task_id, depends_on_task_id", "id, TASK_ID, Depends_On_Id", "task_id, dependency_id", "depends_on, task_id"],
)
def test_dependencies_in_a_table_of_their_own(read: Reader, database: Maker, columns: str) -> None:
    values = {"task_id": "2", "id": "77"}
    row = ", ".join(values.get(name.strip().lower(), "1") for name in columns.split(","))
    path = database(
        f"""CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT);
            INSERT INTO tasks VALUES (1, 'A', 'todo'), (2, 'B', 'todo');
            CREATE TABLE task_dependencies ({columns}); INSERT INTO task_dependencies VALUES ({row});"""
    )
    found = read(path)
    assert found.needs("2") == ["1"]
    assert found.needs("1") == []


# -- steps -------------------------------------------------------------------------------------------------------


def test_rows_below_a_task_are_its_steps(read: Reader, database: Maker) -> None:
    path = database(
        """CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, dependencies TEXT, parent_id INTEGER);
           INSERT INTO tasks VALUES
             (1, 'Epic', 'todo', NULL, NULL), (2, 'Part', 'closed', NULL, 1), (3, 'Part of part', 'todo', '2', 2),
             (4, 'Other', 'todo', '3', 0), (5, 'Part of other', 'todo', '3,4,1', 4), (6, 'Orphan', 'todo', '2', 99);"""
    )
    found = read(path)
    assert list(found.tasks) == ["1", "4", "6"]
    steps = found["1"].definition.steps
    assert [(step.step, step.title, step.done) for step in steps] == [
        ("1.2", "Part", True),
        ("1.3", "Part of part", False),
    ]
    assert steps[1].raw["dependencies"] == ["1.2"]
    assert found.needs("4") == ["1"]
    assert found.needs("6") == []
    assert found.notes("6") == ["it builds on step 1.2 of task 1"]
    assert found.notes("4") == [
        "it builds on step 1.3 of task 1",
        "step 4.5 builds on step 1.3",
        "step 4.5 builds on task 4",
        "step 4.5 builds on task 1",
    ]


def test_ring_of_parents_leaves_its_rows_as_tasks(read: Reader, database: Maker) -> None:
    path = database(
        """CREATE TABLE tasks (id TEXT, title TEXT, parent_id TEXT);
           INSERT INTO tasks VALUES ('a', 'A', 'b'), ('b', 'B', 'a'), ('c', 'C', 'c'), ('d', 'D', 'a');"""
    )
    assert read(path).states == dict.fromkeys("abcd", "open")


def test_steps_in_a_column_and_in_a_table(read: Reader, database: Maker) -> None:
    path = database(
        """CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, subtasks TEXT);
           CREATE TABLE subtasks (id, task_id, title, status, description, dependencies);
           INSERT INTO subtasks VALUES (7, 2, 'From the table', 'completed', 'd', NULL),
                                       (8, 2, 'Next', NULL, '', '7');""",
        (1, "A", '[{"id": 1, "title": "From the column", "testStrategy": "t"}, 5]'),
        (2, "B", "null"),
        (3, "C", "{broken"),
    )
    found = read(path)
    assert [(s.step, s.title, s.done) for s in found["1"].definition.steps] == [("1.1", "From the column", False)]
    assert found["1"].definition.steps[0].raw["testStrategy"] == "t"
    assert [(s.step, s.title, s.done) for s in found["2"].definition.steps] == [
        ("2.7", "From the table", True),
        ("2.8", "Next", False),
    ]
    assert found["2"].definition.steps[1].raw["dependencies"] == ["2.7"]
    assert found.refused == [
        ("subtasks of task '3'", "they are no JSON list"),
        ("step 2 of task 1", "it has no id"),
    ]


# -- bad rows ----------------------------------------------------------------------------------------------------


def test_bad_rows_are_refused_and_the_rest_goes_on(read: Reader, database: Maker) -> None:
    path = database(
        "CREATE TABLE tasks (id, title, status, dependencies);",
        (None, "No id", "", ""),
        ("../up", "Climbs", "", ""),
        (3, None, "", ""),
        ("x", "Lower", "", ""),
        ("X", "Upper", "", ""),
        (5, b"\xff\x1b[31mbytes", "", "[bad"),
        (6, "line\nbreak\x00 and \x1b]0;t\x07more", "weird", "6"),
        (6.0, "Twice", "", ""),
    )
    found = read(path)
    assert found.states == {"x": "open", "5": "open", "6": "blocked"}
    assert found.raw("5")["title"] == "\ufffdbytes"
    assert found.raw("6")["title"] == "line break and more"
    assert found.needs("5") == ["bad"]
    assert found.needs("6") == ["6"]
    assert [what for what, _ in found.refused] == [
        "entry 1 ('No id')",
        "task '../up' ('Climbs')",
        "task '3'",
        "task 'X' ('Upper')",
        "task '6' ('Twice')",
    ]


def test_tables_beside_the_tasks_that_are_not_understood(read: Reader, database: Maker) -> None:
    steps = database(PLAIN + "CREATE TABLE subtasks (id, title);", (1, "A", "", "", "", ""))
    assert read(steps).refused == [("table 'subtasks'", "it has no column that names the task of a subtask")]
    edges = database(PLAIN + "CREATE TABLE task_dependencies (left_side, right_side);", name="edges.db")
    with pytest.raises(BrokenFileError, match=r"'task_dependencies'.*'left_side', 'right_side'"):
        read(edges)


def test_a_view_with_tags(read: Reader, database: Maker) -> None:
    path = database("CREATE TABLE work (nr, what, tag);"
                    "CREATE VIEW tasks AS SELECT nr AS id, what AS title, tag FROM work;"
                    "INSERT INTO work VALUES (1, 'A', 'web'), (2, 'B', 'cli'), (3, 'C', NULL);")  # fmt: skip
    assert read(path, "web").states == {"1": "open"}
    assert read(path, "web").raw("1")["source"]["tag"] == "web"
    assert len(read(path).tasks) == 3
    with pytest.raises(NotFoundError) as caught:
        read(path, "wbe")
    assert caught.value.hint == "its tags are '', 'cli', 'web'"
    with pytest.raises(UsageError) as caught_too:
        read(database(PLAIN, name="untagged.db"), "master")
    assert caught_too.value.hint == "leave --tag out"


SEVERAL = """CREATE TABLE tasks (id INTEGER, project TEXT, title TEXT, status TEXT);
    CREATE TABLE task_dependencies ({} task_id INTEGER, depends_on INTEGER);
    CREATE TABLE subtasks ({} id INTEGER, task_id INTEGER, title TEXT);"""
TWO = ((1, "mine", "A", "todo"), (2, "mine", "B", "todo"), (1, "theirs", "C", "todo"), (2, "theirs", "D", "todo"))


def shared(database: Maker, *rows: tuple[Any, ...], column: str = "project TEXT,") -> Path:
    path = database(SEVERAL.format(column, column), *rows)
    with closing(sqlite3.connect(path)) as connection, connection:
        for project in ("mine", "theirs") if column else ("",):
            given, end = ((project,), 2) if column else ((), 20)
            marks = ", ".join("?" * (len(given) + 2))
            needs = (2, 1) if project != "theirs" else (1, 2)
            connection.execute(f"INSERT INTO task_dependencies VALUES ({marks})", (*given, *needs))
            connection.execute(f"INSERT INTO subtasks VALUES ({marks}, ?)", (*given, 1, end, f"{project} step"))
    return path


@pytest.mark.parametrize("by", ["directory", "name"])
def test_of_several_projects_one_is_read(database: Maker, tmp_path: Path, by: str) -> None:
    path = shared(database, *TWO)
    home, name = (tmp_path / "mine", "") if by == "directory" else (tmp_path / "x", "mine")
    found = {task.definition.task: task.definition for task in read_source(str(path), home=home, project=name).tasks}
    assert {task: one.title for task, one in found.items()} == {"1": "A", "2": "B"}
    assert (found["1"].dependencies, found["2"].dependencies) == ([], ["1"])
    assert [step.title for step in found["2"].steps] == ["mine step"]


def test_a_project_that_shares_ids_and_is_not_known_is_asked_for(database: Maker, tmp_path: Path) -> None:
    path = shared(database, *TWO)
    with pytest.raises(UsageError, match="none of them is 'x'; those there are: 'mine', 'theirs'") as caught:
        read_source(str(path), home=tmp_path / "x")
    assert f"peercoord sync --database {path} --project NAME" in caught.value.hint
    with pytest.raises(UsageError, match="none of them is 'y'"):
        read_source(str(path), home=tmp_path / "mine", project="y")


def test_edges_without_a_project_need_different_ids(database: Maker, tmp_path: Path) -> None:
    path = shared(database, *TWO[:2], (20, "theirs", "C", "todo"), column="")
    reading = read_source(str(path), home=tmp_path / "mine")
    assert [task.definition.task for task in reading.tasks] == ["1", "2"]
    assert reading.tasks[1].definition.dependencies == ["1"]
    assert reading.refused == [], "a step of task 20 is none of ours"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO tasks VALUES (2, 'theirs', 'D', 'todo')")
    with pytest.raises(UsageError, match="its table 'task_dependencies' does not say whose a row is"):
        read_source(str(path), home=tmp_path / "mine")


def test_a_project_column_may_sort_the_tasks_of_one_team(read: Reader, database: Maker) -> None:
    path = shared(database, *TWO[:1], (2, "frontend", "B", "todo"), column="")
    assert list(read(path).tasks) == ["1", "2"]


# -- broken files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("CREATE TABLE other (id, title);", "it has no table 'tasks'; its tables: 'other'"),
        ("PRAGMA user_version = 1;", "it has no table 'tasks'; its tables: none"),
        ("CREATE TABLE tasks (title, status);", "its table 'tasks' has no column 'id'; its columns: 'status', 'title'"),
        ("CREATE TABLE tasks (id, status);", "its table 'tasks' has no column 'title'; its columns: 'id', 'status'"),
    ],
)
def test_database_of_another_kind_is_named_with_what_it_has(
    read: Reader, database: Maker, script: str, says: str
) -> None:
    path = database(script)
    with pytest.raises(BrokenFileError) as caught:
        read(path)
    assert says in caught.value.message
    assert str(path) in caught.value.message
    assert "'tasks'" in caught.value.hint


def damaged(database: Maker) -> bytes:
    path = database(PLAIN, *((n, "x" * 300, "", "todo", "", "") for n in range(500)), name="whole.db")
    whole = path.read_bytes()
    path.unlink()
    return whole[:8192] + b"\xa5" * (len(whole) - 8192)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"hello", "is not a SQLite database"),
        (b"SQLite format 3\0", "is not a SQLite database"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "is not a SQLite database"),
        (None, "is damaged"),
    ],
)
def test_what_is_no_database_is_named_and_left(
    read: Reader, database: Maker, tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "tasks.db"
    content = damaged(database) if content is None else content
    path.write_bytes(content)
    with pytest.raises(BrokenFileError) as caught:
        read(path)
    assert says in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert (".recover" in caught.value.hint) == (says == "is damaged")
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["tasks.db"]


def test_unfinished_change_of_a_program_that_died_is_an_error(database: Maker) -> None:
    path = database(PLAIN, *((n, "x" * 500, "", "todo", "", "") for n in range(1000)))
    die = f"""
import os, sqlite3
connection = sqlite3.connect({str(path)!r})
connection.execute("PRAGMA cache_size = 1")
connection.execute("UPDATE tasks SET status = 'done'")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", die], check=True)
    before = sorted(os.listdir(path.parent))
    assert before == ["tasks.db", "tasks.db-journal"]
    with pytest.raises(StorageError) as caught:
        sql_rows.read(path)
    assert "unfinished change" in caught.value.message
    assert "open it once" in caught.value.hint
    assert sorted(os.listdir(path.parent)) == before


# -- nothing is left behind --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_reading_a_live_database_leaves_it_as_it_was(read: Reader, plain: Path, mode: str) -> None:
    with closing(sqlite3.connect(plain)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    before = plain.read_bytes(), plain.stat().st_mtime_ns
    assert len(read(plain).tasks) == 6
    assert os.listdir(plain.parent) == ["tasks.db"]
    assert (plain.read_bytes(), plain.stat().st_mtime_ns) == before
    with closing(sqlite3.connect(plain)) as other:
        other.execute("INSERT INTO tasks VALUES (50, 'Just added', '', 'todo', '', '')")
        other.commit()
        assert "50" in read(plain).tasks, "also while it lies in the log alone"
        other.execute("BEGIN EXCLUSIVE")
        if mode == "delete":
            with pytest.raises(StorageError, match="is locked"):
                sql_rows.read(plain, wait=0.05)


def test_database_that_changes_while_it_is_read_is_read_again(read: Reader, plain: Path) -> None:
    with closing(sqlite3.connect(plain)) as other:
        other.execute("PRAGMA journal_mode = wal")
    writers: list[sqlite3.Connection] = []

    def change(*_: object) -> None:
        if not writers:
            writers.append(sqlite3.connect(plain))
            writers[0].execute("INSERT INTO tasks VALUES (50, 'Just added', '', 'todo', '', '')")
            writers[0].commit()

    event.listen(Engine, "after_cursor_execute", change)
    try:
        found = read(plain)
    finally:
        event.remove(Engine, "after_cursor_execute", change)
        for writer in writers:
            writer.close()
    assert len(writers) == 1
    assert "50" in found.tasks
