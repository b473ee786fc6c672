"""A task whose id is 0 is a task like any other, in every command."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from support.lists import make_database, query
from support.project import Project, project

from peercoord.memory import contribution
from peercoord.store import records

__all__ = ["project"]


def database(at: Path) -> Path:
    path = make_database(at / "tasks.db", (0, "Zero", "pending"), (1, "One", "pending"))
    with closing(sqlite3.connect(path)) as made, made:
        made.executescript(
            """UPDATE tasks SET priority = 'critical' WHERE id = 0; UPDATE tasks SET dependencies = '[0]' WHERE id = 1;
               CREATE TABLE subtasks (id INTEGER, task_id INTEGER, title TEXT, status TEXT);
               INSERT INTO subtasks VALUES (0, 0, 'a', 'pending'), (1, 0, 'b', 'pending');"""
        )
    return path


def test_task_0_is_worked_on_and_kept_in_step(project: Project, tmp_path: Path) -> None:
    path = database(tmp_path)
    assert project("sync", "--database", str(path))[0] == 0
    task = project.data("request")
    assert (task["task_id"], task["priority"], task["held_before"]) == (0, "critical", False)
    assert project("report", "0", "--step", "0")[0] == 0
    assert project("report", "--step", task["steps"][-1]["id"])[0] == 0
    assert project("report", "0", "--progress", "0", "--time-spent", "0")[0] == 0
    assert project("memory", "add", "--file", "techContext.md", "--content", "- x")[0] == 0
    record = json.loads(next((project.state / "memory-updates" / "queued").iterdir()).read_text())
    assert contribution.Contribution(record).task == "0"
    assert project("release", "0")[0] == 0
    assert project("reassign", "0", "one")[0] == 0
    held = project.data("check")["assigned_tasks"]
    assert [(one["task_id"], one["epoch"]) for one in held] == [(0, 2)]
    assert project("report", "0", "--status", "done")[0] == 0
    assert project.data("task", "show", "0")["state"] == "done"
    assert project.data("request")["task_id"] == 1
    assert project("report", "--status", "done")[0] == 0
    assert project.data("request")["finished"] is True
    assert project("sync")[0] == 0
    assert query(path, "SELECT status FROM tasks ORDER BY id") == [("done",), ("done",)]


def test_a_hand_edited_priority_of_0_is_shown(project: Project) -> None:
    project("task", "add", "t")
    path = next((project.state / "tasks").rglob("1.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "priority": 0}))
    code, out, err = project("request")
    assert (code, err) == (0, "")
    assert "priority critical" in out
    raw = json.loads(path.read_text())
    raw.pop("priority")
    path.write_text(json.dumps(raw))
    assert "priority medium" in project("request")[1]
    assert records.priority_level(0) == 0
