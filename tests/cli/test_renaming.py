"""Another id for a task: all that is known of it moves along and the old id is free, also after a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.memory import MemoryDisk
from support.project import Project
from support.worlds import World

from peercoord.errors import LostError, UsageError
from peercoord.queue.renaming import rename
from peercoord.store import records


def write(path: Path, *tasks: tuple[int, str]) -> str:
    path.write_text(json.dumps({"tasks": [{"id": n, "title": title, "status": "pending"} for n, title in tasks]}))
    return str(path)


def states(project: Project) -> dict[int, tuple[str, str]]:
    return {task["task_id"]: (task["title"], task["status"]) for task in project.data("task", "list")["tasks"]}


def test_a_collision_with_a_list_is_settled_by_the_command_that_the_import_names(project: Project) -> None:
    project("task", "add", "by hand")
    project("task", "add", "upon it", "--depends-on", "1", "--id", "20")
    plan = write(project.main / "plan.json", (1, "A"), (2, "B"))
    code, out, _ = project("task", "import", plan)
    assert code == 1, "something was refused"
    assert "(peercoord task rename 1 21) and import again" in out
    said = project.data("task", "rename", "1", "21")
    assert said == {"task_id": 21, "was": 1, "dependents": [20]}
    assert project("task", "import", plan)[0] == 0
    assert states(project) == {
        1: ("A", "ready"),
        2: ("B", "ready"),
        20: ("upon it", "waiting"),
        21: ("by hand", "ready"),
    }
    assert project.queue.definition("20").dependencies == ["21"]


def test_a_number_is_above_those_of_the_lists_in_the_project(project: Project) -> None:
    found = project.main / ".taskmaster" / "tasks"
    found.mkdir(parents=True)
    tags: dict[str, Any] = {
        "master": {"tasks": [{"id": 3, "title": "M"}]},
        "later": {"tasks": [{"id": 17, "title": "L"}]},
    }
    (found / "tasks.json").write_text(json.dumps(tags))
    assert project.data("task", "add", "by hand")["task_id"] == 18
    assert project.data("task", "add", "another")["task_id"] == 19
    for tag in tags:
        assert project("task", "import", str(found / "tasks.json"), "--tag", tag)[0] == 0


def test_what_is_known_of_a_task_goes_along(project: Project) -> None:
    project("task", "add", "one", "--step", "a", "--step", "b", "-d", "about it", "-p", "high")
    project("request")
    project("report", "1", "--step", "1", "--achievement", "half")
    assert project.data("task", "rename", "1", "8")["code"] == "held"
    project("report", "1", "--status", "done")
    project("task", "rename", "1", "8")
    shown = project.data("task", "show", "8")
    assert (shown["state"], shown["epoch"], shown["definition"]["description"]) == ("done", 1, "about it")
    assert [step["id"] for step in shown["definition"]["subtasks"]] == ["8.1", "8.2"]
    assert [(one["epoch"], one["outcome"], one["peer"]) for one in shown["results"] if one["epoch"]] == [
        (1, "done", "one")
    ]
    assert project.data("task", "show", "1")["code"] == "not-found"
    assert project.queue.result("8") is not None
    project("task", "add", "another one", "--id", "1")
    assert project.data("request")["epoch"] == 2, "above what was ever said of that id"


def test_an_id_that_is_taken_is_refused(project: Project) -> None:
    for title in ("one", "two"):
        project("task", "add", title)
    code, _, err = project("task", "rename", "1", "2")
    assert (code, "there is a task 2 already" in err, "task rename 1 3" in err) == (2, True, True)
    assert project.data("task", "rename", "7", "8")["exit"] == 3
    assert project("task", "rename", "1", "../x")[0] == 2
    assert project("task", "rename", "1", "1")[0] == 2
    assert project.data("task", "add", "second", "--id", "1")["code"] == "exists"
    assert sorted(project.queue.all_tasks()) == ["1", "2"]


def test_who_claims_it_meanwhile_keeps_it() -> None:
    world = World(MemoryDisk())
    world.queue.add(records.define("1", "one"))
    worker = world.join("w")
    worker.request()
    with pytest.raises(LostError, match="held by w"):
        rename(world.queue, "1", "5")
    assert "parked" not in world.queue.definition("1").raw
    with pytest.raises(UsageError):
        rename(world.queue, "1", "1")


def test_the_id_of_a_task_of_a_list_in_step_is_changed_there_first(project: Project) -> None:
    plan = write(project.main / "plan.json", (1, "A"), (2, "B"))
    project("sync", "--database", str(project.main / "own.db"), "--tasks-file", plan)
    said = project.data("task", "rename", "1", "7")
    assert (said["code"], "give it another id there" in said["hint"]) == ("listed", True)
    write(Path(plan), (7, "A"), (2, "B"))
    assert project("task", "rename", "1", "7")[0] == 0
    assert project("sync")[0] == 0
    assert {task: title for task, (title, _) in states(project).items()} == {2: "B", 7: "A"}
    assert json.loads(Path(plan).read_text())["tasks"][0] == {"id": 7, "title": "A", "status": "pending"}
