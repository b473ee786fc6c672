"""Figures for other programs: progress and time of change of tasks, and a row for the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.lists import Lists

from peercoord.membership.membership import judge
from peercoord.status import views
from peercoord.status.board import Reader

TABLE = "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, progress {}, updated_at {});"
ROWS = "INSERT INTO tasks VALUES (1, 'A', 'pending', {0}, {1}), (2, 'B', 'pending', {0}, {1});"


def sync(lists: Lists) -> None:
    def summary() -> dict[str, Any]:
        board = Reader(lists.queue, lambda who: judge(lists.root, who)).board()
        return views.summary(board.rows)

    for _ in range(3):
        if not lists.sync(lists.store(summary=summary)).comparisons:
            return


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
def test_progress_is_written_as_the_column_has_it(
    lists: Lists, kind: str, stands: str, half: object, whole: object
) -> None:
    lists.make(TABLE.format(kind, "TEXT") + ROWS.format(stands, "NULL"))
    sync(lists)
    worker = lists.join()
    worker.request()
    worker.report("1", {"progress": 0.4})
    sync(lists)
    assert lists.row(1, "status, progress") == ("in-progress", half)
    worker.complete("1")
    sync(lists)
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
    lists.make(TABLE.format("REAL", "") + ROWS.format("NULL", stands))
    sync(lists)
    before = lists.row(2, "updated_at")
    lists.join().request()
    sync(lists)
    assert lists.row(1, "updated_at") == written
    assert lists.row(2, "updated_at") == before, "nothing of it changed"


def test_the_row_of_the_project_holds_its_status_and_progress(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B"))
    lists.sql(
        "CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT, status TEXT, overall_progress REAL, total_tasks INT,"
        " completed_tasks INT, progress_summary TEXT)"
    )
    lists.sql("INSERT INTO projects (name, status) VALUES ('other', 'active')")
    sync(lists)
    columns = "SELECT status, overall_progress, total_tasks, completed_tasks FROM projects WHERE name = 'proj'"
    assert lists.sql(columns) == [("active", 0.0, 2, 0)]
    worker = lists.join()
    worker.request()
    worker.complete("1")
    sync(lists)
    assert lists.sql(columns) == [("active", 0.5, 2, 1)]
    assert json.loads(lists.sql("SELECT progress_summary FROM projects WHERE name = 'proj'")[0][0])["completed"] == 1
    worker.request()
    worker.complete("2")
    sync(lists)
    assert lists.sql(columns) == [("completed", 1.0, 2, 2)]
    assert lists.sql("SELECT status, overall_progress FROM projects WHERE name = 'other'") == [("active", None)]


def test_a_persons_word_for_the_project_stays(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.sql(
        "CREATE TABLE project_status (project_name TEXT, status TEXT CHECK (status IN ('Active', 'Done', 'paused')))"
    )
    lists.sql("INSERT INTO project_status VALUES ('proj', 'paused')")
    sync(lists)
    assert lists.sql("SELECT status FROM project_status") == [("paused",)]
    lists.sql("UPDATE project_status SET status = 'Active'")
    worker = lists.join()
    worker.request()
    worker.complete("1")
    sync(lists)
    assert lists.sql("SELECT status FROM project_status") == [("Done",)]


def test_a_refused_row_of_figures_holds_up_no_task(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.sql("CREATE TABLE projects (name TEXT, owner TEXT NOT NULL, progress INT)")
    lists.join()
    sync(lists)
    assert lists.sql("SELECT * FROM projects") == []
    assert lists.row(1, "status") == "pending"


SHARED = """CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO projects VALUES (1, 'other'), (2, 'proj');
    CREATE TABLE tasks (id INTEGER PRIMARY KEY, project_id INTEGER, title TEXT, status TEXT);
    INSERT INTO tasks VALUES (1, 2, 'Ours', 'todo'), (2, 1, 'Theirs', 'todo');"""


@pytest.mark.parametrize(
    ("columns", "there", "expected"),
    [
        ("project_id INTEGER, status TEXT, total INT", [(2, "active", 9), (1, "active", 9)], [2, 1]),
        ("project_id INTEGER, status TEXT, total INT", [], [2]),
        ("label TEXT, status TEXT, total INT", [("x", "active", 9)], ["x"]),
    ],
    ids=["the row of our number", "one new row", "no row names a project"],
)
def test_figures_go_to_the_row_of_our_project(
    lists: Lists, columns: str, there: list[Any], expected: list[Any]
) -> None:
    lists.make(SHARED)
    lists.sql(f"CREATE TABLE project_status ({columns.replace('total', 'total_tasks')})")
    for row in there:
        lists.sql("INSERT INTO project_status VALUES (?, ?, ?)", *row)
    for _ in range(2):
        sync(lists)
        found = [(one, "active", 1 if one == 2 else 9) for one in expected]
        assert lists.sql("SELECT * FROM project_status") == found
