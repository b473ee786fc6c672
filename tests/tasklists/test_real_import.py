"""Task lists made by claude-task-master itself, read back: the shapes are its own, whatever its version."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peercoord.tasklists.source import find_source

Reader = Callable[..., Any]
Program = Callable[..., str]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.fixture
def tm(task_master: str, project: Path, tmp_path: Path) -> Program:
    """Run a command of the program in the project, with a home of its own."""
    (tmp_path / "home").mkdir()
    environment = os.environ | {"HOME": str(tmp_path / "home"), "NO_COLOR": "1"}

    def run(*arguments: str) -> str:
        ended = subprocess.run(
            [task_master, *arguments],
            cwd=project, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return run


def test_a_project_made_with_the_real_program(tm: Program, project: Path, read: Reader) -> None:
    tm("init", "--yes", "--no-git", "--no-aliases", "--skip-install")
    tasks = project / ".taskmaster" / "tasks" / "tasks.json"
    tasks.parent.mkdir(exist_ok=True)
    if not tasks.exists():  # some versions leave the first file to their model
        tasks.write_text('{"tasks": []}')

    tm("add-task", "--title", "Foundation", "--description", "Build and test", "--priority", "high")
    tm("add-task", "--title", "Parser", "--description", "All formats", "--dependencies", "1")
    tm("add-task", "--title", "Writer", "--description", "One format", "--dependencies", "1", "--priority", "low")
    tm("add-subtask", "--parent", "2", "--title", "Old format", "--description", "first")
    tm("add-subtask", "--parent", "3", "--title", "New format", "--description", "then")
    tm("add-dependency", "--id", "3.1", "--depends-on", "2.1")
    tm("set-status", "--id", "1", "--status", "done")
    tm("set-status", "--id", "3", "--status", "in-progress")
    assert find_source(project) == str(tasks)

    found = read(tasks)
    assert found.refused == []
    assert found.states == {"1": "done", "2": "open", "3": "held"}
    assert {task: found.needs(task) for task in found.tasks} == {"1": [], "2": ["1"], "3": ["1"]}
    assert [found.raw(task)["priority"] for task in "123"] == ["high", "medium", "low"]
    assert found["3"].definition.steps[0].step == "3.1"
    assert found.notes("3") == ["step 3.1 builds on step 2.1"]

    listed = json.loads(tm("list", "--json"))["tasks"]
    assert [(str(task["id"]), task["title"]) for task in listed] == [(t, found.raw(t)["title"]) for t in found.tasks]
    assert "Parser" in tm("next")

    tm("add-tag", "other", "--description", "Another list")
    tm("use-tag", "other")
    tm("add-task", "--title", "Elsewhere", "--description", "In the other list")
    assert read(tasks).raw("1")["title"] == "Elsewhere"
    assert read(tasks, "master").states == {"1": "done", "2": "open", "3": "held"}
