"""Importing lists that number their tasks alike: what is the same task, what is another one, and what hangs on it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.project import Project

from peercoord.store import paths

Row = dict[str, Any]


def row(task: int, title: str, *needs: int, status: str = "pending") -> Row:
    return {"id": task, "title": title, "status": status, "dependencies": list(needs), "subtasks": []}


def write(path: Path, **tags: list[Row]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({tag: {"tasks": rows} for tag, rows in tags.items()}))
    return str(path)


def database(path: Path, *rows: tuple[int, str, str]) -> str:
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, dependencies TEXT)")
        made.executemany("INSERT INTO tasks VALUES (?, ?, 'pending', ?)", rows)
    return str(path)


def states(project: Project) -> dict[int, str]:
    return {task["task_id"]: task["status"] for task in project.data("task", "list")["tasks"]}


@pytest.fixture
def plan(project: Project) -> str:
    return write(project.main / "plan" / "tasks.json", master=[row(1, "A"), row(2, "B", 1)])


def test_another_tag_s_tasks_under_the_same_ids_are_refused_and_named(project: Project, plan: str) -> None:
    write(Path(plan), master=[row(1, "A"), row(2, "B", 1)], feature=[row(1, "FA"), row(7, "FB")])
    project("task", "import", plan, "--tag", "master")
    code, out, _ = project("task", "import", plan, "--tag", "feature")
    assert code == 1
    assert "1 tasks taken in" in out
    assert (
        "refused: task 1 ('FA'): task 1 here is another one ('A', from 'plan/tasks.json', tag 'master'): "
        "rename that one (peercoord task rename 1 8) and import again"
    ) in out
    assert project.queue.definition("1").title == "A"
    again = project.data("task", "import", plan, "--tag", "feature")
    assert (again["added"], again["known"]) == ([], ["7"])
    assert [one["what"] for one in again["refused"]] == ["task 1 ('FA')"]


def test_what_depends_on_a_refused_task_is_not_linked_to_its_namesake(project: Project, plan: str) -> None:
    project("task", "import", plan)
    for task in ("1", "2"):
        project("request")
        project("report", task, "--status", "done")
    other = database(project.main / "other.db", (2, "Totally different", ""), (50, "Upon it", "2"), (60, "Next", "50"))
    found = project.data("task", "import", other)
    assert (found["added"], found["known"]) == (["50", "60"], [])
    assert "task 2 here is another one ('B', from 'plan/tasks.json', tag 'master')" in found["refused"][0]["why"]
    assert list(found["parked"]) == ["50"]
    assert "depends on a task of its own list that was refused: task 2 here is another one" in found["parked"]["50"]
    assert states(project) == {1: "done", 2: "done", 50: "blocked", 60: "waiting"}
    assert project("request")[0] == 4, "nothing of it is ready"
    project("task", "edit", "50", "--no-dependencies")
    assert project.data("task", "reopen", "50")["ticket"].startswith("queue/ready/"), "a person has decided"


@pytest.mark.parametrize("linked", [False, True])
def test_the_same_list_is_known_again_whoever_changed_a_title_and_under_another_path(
    project: Project, plan: str, linked: bool
) -> None:
    project("task", "import", plan)
    project("task", "edit", "1", "--title", "A, edited here")
    link = project.main.parent / "link"
    link.symlink_to(project.main)
    write(Path(plan), master=[row(1, "A"), row(2, "B, edited there", 1)])
    found = project.data("task", "import", str(link / "plan" / "tasks.json") if linked else plan)
    assert (found["known"], found["added"], found["refused"], found["parked"]) == (["1", "2"], [], [], {})


def test_the_same_title_in_another_list_is_the_same_task(project: Project, plan: str) -> None:
    project("task", "import", plan)
    project("task", "edit", "2", "--title", "B, as it is called now")
    other = database(project.main / "other.db", (1, " a ", ""), (2, "B, as it is called now", "1"), (3, "C", "2"))
    found = project.data("task", "import", other)
    assert (found["known"], found["added"], found["refused"]) == (["1", "2"], ["3"], [])
    assert states(project)[3] == "waiting", "linked with what it means"


def test_a_task_added_by_hand_is_another_one_unless_it_is_called_the_same(project: Project, plan: str) -> None:
    project("task", "add", "A")
    project("task", "add", "by hand")
    found = project.data("task", "import", plan)
    assert found["known"] == ["1"]
    assert found["refused"] == [
        {
            "what": "task 2 ('B')",
            "why": "task 2 here is another one ('by hand', added here): "
            "rename that one (peercoord task rename 2 3) and import again",
        }
    ]


def test_a_task_whose_files_cannot_be_read_is_taken_for_known(project: Project, plan: str) -> None:
    project("task", "import", plan)
    (project.state / paths.definition("1")).write_text("{,")
    write(project.main / "other.json", master=[row(1, "X")])
    found = project.data("task", "import", str(project.main / "other.json"))
    assert (found["known"], found["refused"]) == (["1"], [])


def test_a_project_kept_in_step_with_its_list_knows_it_again(project: Project, plan: str) -> None:
    project("task", "import", plan)
    choice = ("--database", str(project.main / "memory.db"), "--tasks-file", plan)
    assert project("sync", *choice)[0] == 0
    project("task", "add", "C by hand")
    project("task", "edit", "1", "--title", "A, edited here")
    write(Path(plan), master=[row(1, "A"), row(2, "B, edited there", 1), row(9, "new there")])
    assert project("sync")[0] == 0
    everything = {"1", "2", "3", "9"}
    for source in (plan, str(project.main / "memory.db")):
        found = project.data("task", "import", source)
        assert (set(found["known"]), found["added"], found["refused"]) == (everything, [], [])
