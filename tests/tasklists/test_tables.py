"""Tables that differ in one thing, a row each; and who may use a database. ``stories/`` hold other tables."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.lists import Lists

from peercoord.errors import UsageError
from peercoord.queue.reassign import reassign
from peercoord.store import paths, records
from peercoord.tasklists.sql_projects import Team


def everything(lists: Lists) -> list[Any]:
    names = [name for (name,) in lists.sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [(name, lists.sql(f"SELECT * FROM {name}")) for name in names]


def test_a_backup_is_made_before_the_first_change_and_only_then(lists: Lists) -> None:
    lists.plain((1, "A"))
    store = lists.store()
    lists.sync(store)
    copy = lists.home / "memory.db.before-peercoord"
    assert store.backup == str(copy)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT id, title FROM tasks").fetchall() == [(1, "A")]
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert tables == [("tasks",)]
    lists.add("2")
    lists.sync()
    assert sorted(p.name for p in lists.home.iterdir() if p.name.startswith("memory")) == ["memory.db", copy.name]


def test_every_claim_has_its_own_row_of_assignments(lists: Lists) -> None:
    lists.plain((1, "Foundation"))
    lists.sync()
    first, second = lists.join("w1"), lists.join("w2")
    first.request()
    first.release("1", "lunch")
    second.request()
    second.fail("1", "it broke")
    first.request()
    late = {"schema_version": 1, "task_id": 1, "epoch": 3, "outcome": "released", "peer": "w1", "at": lists.clock.now()}
    lists.root.files.publish(paths.result("1", 3, "released"), records.encode(late))  # its rename never came
    lists.evict(first)
    lists.join("w3").request()
    reassign(lists.queue, "1", "w2")
    lists.settled()
    rows = (
        "SELECT epoch, instance_id, status, assigned_at IS NULL, ended_at IS NULL, ended_at > assigned_at"
        " FROM instance_assignments ORDER BY epoch"
    )
    expected = [(1, "w1", "released"), (2, "w2", "failed"), (3, "w1", "evicted"), (4, "w3", "released")]
    assert lists.sql(rows) == [*((*row, 0, 0, 1) for row in expected), (5, "w2", "in-progress", 0, 1, None)]
    assert json.loads(lists.row(1, "coordination_data"))["attempts"] == 2


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
    ("kind", "stands", "half", "whole"),
    [
        ("REAL", "0.0", 0.4, 1.0),
        ("REAL", "NULL", 0.4, 1.0),
        ("REAL", "10.0", 40.0, 100.0),
        ("INTEGER", "0", 40, 100),
        ("INTEGER", "NULL", 40, 100),
        ("TEXT", "'10%'", "40%", "100%"),
        ("TEXT", "'0.1'", "0.4", "1.0"),
        ("TEXT", "'begun'", "begun", "begun"),
        ("INTEGER CHECK (progress IN (0, 100))", "0", 0, 100),
    ],
)
def test_progress_is_written_as_the_column_has_it(lists: Lists, kind: str, stands: str, half: Any, whole: Any) -> None:
    lists.make(f"CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, progress {kind});")
    lists.make(f"INSERT INTO tasks VALUES (1, 'A', 'pending', {stands}), (2, 'B', 'pending', {stands})")
    lists.settled()
    worker = lists.join()
    worker.request()
    worker.report("1", {"progress": 0.4})
    lists.settled()
    assert lists.row(1, "status, progress") == ("in-progress", half)
    worker.complete("1")
    lists.settled()
    assert lists.row(1, "status, progress") == ("done", whole)


@pytest.mark.parametrize(
    ("stands", "written"),
    [
        ("NULL", "2026-01-31T15:30:00Z"),
        ("'2020-01-01 10:00:00'", "2026-01-31 15:30:00"),
        ("1577872800", 1769873400),
        ("1577872800000", 1769873400000),
    ],
)
def test_a_time_is_written_as_the_column_has_it(place: Path, stands: str, written: object) -> None:
    lists = Lists(place, frozen=True)
    lists.make("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, updated_at);")
    lists.make(f"INSERT INTO tasks VALUES (1, 'A', 'pending', {stands}), (2, 'B', 'pending', {stands})")
    lists.settled()
    before = lists.row(2, "updated_at")
    lists.join().request()
    lists.settled()
    assert lists.row(1, "updated_at") == written
    assert lists.row(2, "updated_at") == before, "nothing of it changed"


# -- several projects --------------------------------------------------------------------------------------------

BY_NAME = """CREATE TABLE tasks (id INTEGER, project TEXT, title TEXT, status TEXT, PRIMARY KEY (project, id));
    INSERT INTO tasks VALUES (1, 'other', 'Theirs', 'todo'), (2, 'other', 'Their second', 'todo'),
      (1, 'proj', 'Tickets', 'todo'), (2, 'proj', 'Our second', 'todo');"""
EDGES = """CREATE TABLE task_dependencies (project TEXT, task_id INTEGER, depends_on INTEGER);
    INSERT INTO task_dependencies VALUES ('other', 1, 2), ('proj', 2, 1);"""
BY_NUMBER = """CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO projects VALUES (7, 'proj'), (8, 'x');
    CREATE TABLE tasks (id INTEGER {key}, project_id INTEGER, title TEXT, status TEXT);
    INSERT INTO tasks VALUES (10, 7, 'Tickets', 'todo'), (11, 7, 'More', 'todo'), (20, 8, 'Theirs', 'todo');
    CREATE TABLE task_dependencies (task_id INTEGER, depends_on INTEGER);
    INSERT INTO task_dependencies VALUES (11, 10);"""
NOT_UNIQUE = BY_NUMBER.format(key="")


@pytest.mark.parametrize(
    ("script", "clear"),
    [
        *((BY_NUMBER.format(key=key), True) for key in ("PRIMARY KEY", "UNIQUE", "NOT NULL UNIQUE")),
        (BY_NAME + "CREATE TABLE task_dependencies (task_id INTEGER, depends_on INTEGER);", False),
        (BY_NAME + EDGES + "CREATE TABLE subtasks (id INTEGER, whose TEXT, task_id INTEGER, title TEXT);", False),
        (NOT_UNIQUE, False),
        (NOT_UNIQUE + "CREATE UNIQUE INDEX some ON tasks (id) WHERE status = 'todo';", False),
        (NOT_UNIQUE + "CREATE UNIQUE INDEX both ON tasks (id, project_id);", False),
        (NOT_UNIQUE + "CREATE UNIQUE INDEX worked_out ON tasks (id + project_id);", False),
    ],
)
def test_a_table_whose_rows_may_be_of_any_project_is_refused(lists: Lists, script: str, clear: bool) -> None:
    lists.make(script)
    if clear:
        lists.settled()
        assert (lists.state("11"), lists.store().snapshot().refused()) == (("waiting", "10"), [])
        return
    before = everything(lists)
    for do in (lists.plan, lists.sync, lambda: lists.store().explain()):
        with pytest.raises(UsageError, match=r"its table '(task_dependencies|subtasks)' does not say whose") as caught:
            do()
        assert caught.value.code == "no-project-column"
        assert "give it a column 'project" in caught.value.hint
    assert everything(lists) == before


def test_a_number_is_no_name_of_a_project(lists: Lists) -> None:
    lists.make(BY_NUMBER.format(key="PRIMARY KEY"))
    with pytest.raises(UsageError, match="none of them is '8'; known: 'proj', 'x'") as caught:
        lists.sync(lists.store(team=Team("s70re", "8", lists.home)))
    assert "--project" in caught.value.hint
    assert lists.store(team=Team("s70re", "proj", lists.home, "8")).snapshot().digests.keys() == {"20"}


def test_two_projects_kept_in_step_leave_each_other_alone(lists: Lists) -> None:
    lists.make(BY_NAME + EDGES)
    lists.settled()
    columns = "task_id, instance_id, epoch, status, project"
    lists.sql(f"INSERT INTO instance_assignments ({columns}) VALUES (1, 'them', 1, 'held', 'other')")
    other = lists.store(team=Team("0ther", "other", lists.home))
    before = other.snapshot().row("1")
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.settled()
    assert other.snapshot().row("1") == before
    rows = [(1, "them", 1, "held", "other"), (1, "w1", 1, "done", "proj")]
    assert lists.sql(f"SELECT {columns} FROM instance_assignments ORDER BY id") == rows
    other.update(4, lambda _: [])
    terms = lists.sql("SELECT store_id, project, term FROM peercoord_store ORDER BY 1")
    assert terms == [("0ther", "other", 4), ("s70re", "proj", 0)]


@pytest.mark.parametrize("project", ["", "project TEXT,"])
def test_a_second_team_is_refused_without_a_project_column(lists: Lists, project: str) -> None:
    lists.make(f"CREATE TABLE tasks (id INTEGER PRIMARY KEY, {project} title TEXT, status TEXT);"
               "INSERT INTO tasks (id, title, status) VALUES (1, 'A', 'todo');")  # fmt: skip
    lists.settled()
    other = Team("0ther", "second", lists.home)
    for attempt in (lists.store(team=other).snapshot, lambda: lists.store(team=other).update(1, lambda _: [])):
        with pytest.raises(UsageError, match="another team: project 'proj', store s70re") as caught:
            attempt()
        assert caught.value.code == "other-store"
        assert f"peercoord sync --database {lists.store().database.address.word} --take-over" in caught.value.hint
    lists.store(team=other, take_over=True).update(1, lambda _: [])
    assert lists.sql("SELECT store_id, term FROM peercoord_store") == [("0ther", 1)]
    assert lists.sql("SELECT count(*) FROM peercoord_sync") == [(0,)]
    with pytest.raises(UsageError, match="another team"):
        lists.sync()
