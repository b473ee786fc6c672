"""``peercoord task export``: what leaves can be read again by the other program, and by an import here."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from support.project import Project, project

from peercoord.store import paths
from peercoord.tasklists.export import FORMATS, export, gather
from peercoord.tasklists.importer import take_in
from peercoord.tasklists.source import read_source

__all__ = ["project"]


@pytest.fixture
def worked(project: Project) -> Project:
    project("task", "add", "First é", "-d", "=SUM(A1)", "-p", "critical", "--step", "a", "--step", "b")
    project("task", "add", "Second", "--depends-on", "1", "-p", "lowest")
    project("task", "add", "Third")
    project("task", "add", "Fourth", "--id", "four")
    project("request")
    project("report", "1", "--step", "1.1", "--achievement", "x")
    project("task", "cancel", "3", "--reason", "no use")
    return project


def imported(tmp_path: Path, name: str, text: str) -> dict[str, Any]:
    path = tmp_path / name
    path.write_text(text)
    reading = read_source(str(path))
    assert reading.refused == []
    return {task.definition.task: task for task in reading.tasks}


@pytest.mark.parametrize(("form", "name"), [("tasks.json", "tasks.json"), ("beads", "issues.jsonl")])
def test_an_export_is_imported_as_the_same_board(worked: Project, tmp_path: Path, form: str, name: str) -> None:
    code, out, err = worked("task", "export", "--format", form)
    assert (code, err) == (0, "")
    assert worked.data("task", "export", "--format", form)["content"] == out
    found = imported(tmp_path, name, out)
    states = {"1": "held", "2": "open", "3": "cancelled", "four": "open"}
    assert {task: item.state for task, item in found.items()} == states
    first, second = found["1"].definition, found["2"].definition
    assert (first.title, first.raw["description"], first.raw["priority"]) == ("First é", "=SUM(A1)", "critical")
    assert [(step.step, step.title, step.done) for step in first.steps] == [("1.1", "a", True), ("1.2", "b", False)]
    assert (first.dependencies, second.dependencies, second.raw["priority"]) == ([], ["1"], "lowest")


@pytest.mark.parametrize("form", FORMATS)
def test_an_unchanged_board_is_exported_the_same_tomorrow(worked: Project, form: str) -> None:
    tasks, _ = gather(worked.queue)
    today, tomorrow = (export(tasks, form, moment) for moment in ("2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z"))
    assert today == tomorrow
    assert "2030-01-0" not in today


def test_an_export_says_what_only_the_tickets_know(worked: Project) -> None:
    told = json.loads(worked("task", "export")[1])["master"]["tasks"][0]["metadata"]["peercoord"]
    assert (told["assigned_to"], told["achievements"], told["progress"]) == ("one", ["x"], 0.5)
    issues = {
        issue["id"]: issue for issue in map(json.loads, worked("task", "export", "--format", "beads")[1].splitlines())
    }
    assert (issues["1"]["priority"], issues["1"]["status"], issues["1.1"]["status"]) == (0, "in_progress", "closed")
    assert all((issue["status"] == "closed") == ("closed_at" in issue) for issue in issues.values())
    assert issues["3"]["close_reason"] == "cancelled: no use"


def test_an_export_as_a_table_leaves_unreadable_tasks_out(worked: Project) -> None:
    (worked.state / paths.definition("four")).write_text("{,")
    code, out, err = worked("task", "export", "--format", "csv")
    assert code == 0
    assert "task four is left out" in err
    table = list(csv.DictReader(io.StringIO(out)))
    assert [row["id"] for row in table] == ["1", "2", "3"]
    columns = ("status", "assigned_to", "progress", "steps_done")
    assert [table[0][column] for column in columns] == ["held", "one", "0.5", "1/2"]
    assert table[0]["description"] == "'=SUM(A1)", "no spreadsheet takes it for a formula"
    assert (table[1]["dependencies"], table[2]["status"]) == ("1", "cancelled")


def test_unknown_keys_go_back_under_their_own_names(project: Project) -> None:
    task = {
        "id": 1,
        "title": "One",
        "description": "d",
        "details": "how",
        "testStrategy": "by hand",
        "status": "pending",
        "dependencies": [],
        "priority": "low",
        "subtasks": [{"id": 1, "title": "s", "description": "sd", "dependencies": [], "status": "pending", "own": 7}],
        "complexity": 5,
        "strange": {"key": [1, 2]},
        "metadata": {"mine": 1},
    }
    path = project.main / "plan" / "tasks.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"tasks": [task]}))
    take_in(project.queue, read_source(str(path)).tasks)
    assert json.loads(project("task", "export")[1])["master"]["tasks"] == [task]
