"""Lists that number their tasks alike: what is the same task, what is another one, and another id for a task."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.memory import MemoryDisk
from support.project import Project
from support.worlds import World

from peercoord.errors import LostError, UsageError
from peercoord.queue.renaming import rename
from peercoord.store import paths, records

Row = dict[str, Any]


def row(task: int, title: str, *needs: int, status: str = "pending") -> Row:
    return {"id": task, "title": title, "status": status, "dependencies": list(needs), "subtasks": []}


def write(path: Path, *rows: Row, **tags: list[Row]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({tag: {"tasks": listed} for tag, listed in (tags or {"master": [*rows]}).items()}))
    return str(path)


def database(path: Path, *rows: tuple[int, str, str]) -> str:
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, dependencies TEXT)")
        made.executemany("INSERT INTO tasks VALUES (?, ?, 'pending', ?)", rows)
    return str(path)


def states(project: Project) -> dict[int, str]:
    return {task["task_id"]: task["status"] for task in project.data("task", "list")["tasks"]}


def refused(title: str, origin: str, task: int, free: int) -> str:
    """Why a task of a list is refused."""
    rename = f"rename that one (peercoord task rename {task} {free}) and import again"
    return f"task {task} here is another one ('{title}', {origin}): {rename}"


@pytest.fixture
def plan(project: Project) -> str:
    return write(project.main / "plan" / "tasks.json", row(1, "A"), row(2, "B", 1))


# -- importing ---------------------------------------------------------------------------------------------------


def test_another_tag_s_tasks_under_the_same_ids_are_refused_and_named(project: Project, plan: str) -> None:
    write(Path(plan), master=[row(1, "A"), row(2, "B", 1)], feature=[row(1, "FA"), row(7, "FB")])
    project("task", "import", plan, "--tag", "master")
    code, out, _ = project("task", "import", plan, "--tag", "feature")
    assert (code, "1 tasks taken in" in out) == (1, True)
    assert "refused: task 1 ('FA'): " + refused("A", "from 'plan/tasks.json', tag 'master'", 1, 8) in out
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
    assert (found["added"], found["known"], list(found["parked"])) == (["50", "60"], [], ["50"])
    assert "task 2 here is another one ('B', from 'plan/tasks.json', tag 'master')" in found["refused"][0]["why"]
    assert "depends on a task of its own list that was refused: task 2 here is another one" in found["parked"]["50"]
    assert states(project) == {1: "done", 2: "done", 50: "blocked", 60: "waiting"}
    assert project("request")[0] == 4, "nothing of it is ready"
    project("task", "edit", "50", "--no-dependencies")
    assert project.data("task", "reopen", "50")["ticket"].startswith("queue/ready/"), "a person has decided"
    done = write(project.main / "done.json", row(1, "X"), row(8, "Y", 1, status="done"))
    assert project.data("task", "import", done)["done"] == ["8"], "what was done there is done here"


@pytest.mark.parametrize("linked", [False, True])
def test_the_same_list_is_known_again_also_with_other_titles_and_under_another_path(
    project: Project, plan: str, linked: bool
) -> None:
    project("task", "import", plan)
    project("task", "edit", "1", "--title", "A, edited here")
    link = project.main.parent / "link"
    link.symlink_to(project.main)
    write(Path(plan), row(1, "A"), row(2, "B, edited there", 1))
    found = project.data("task", "import", str(link / "plan" / "tasks.json") if linked else plan)
    assert (found["known"], found["added"], found["refused"], found["parked"]) == (["1", "2"], [], [], {})


def test_the_same_title_in_another_list_or_added_by_hand_is_the_same_task(project: Project, plan: str) -> None:
    for title in ("A", "by hand"):
        project("task", "add", title)
    found = project.data("task", "import", plan)
    assert found["known"] == ["1"]
    assert found["refused"] == [{"what": "task 2 ('B')", "why": refused("by hand", "added here", 2, 3)}]
    other = database(project.main / "other.db", (1, " a ", ""), (2, "By hand", "1"), (3, "C", "2"))
    found = project.data("task", "import", other)
    assert (found["known"], found["added"], found["refused"]) == (["1", "2"], ["3"], [])
    assert states(project)[3] == "waiting", "linked with what it means"


def test_a_task_whose_files_cannot_be_read_is_taken_for_known(project: Project, plan: str) -> None:
    project("task", "import", plan)
    (project.state / paths.definition("1")).write_text("{,")
    found = project.data("task", "import", write(project.main / "other.json", row(1, "X")))
    assert (found["known"], found["refused"]) == (["1"], [])


def test_a_project_kept_in_step_with_its_list_knows_it_again(project: Project, plan: str) -> None:
    project("task", "import", plan)
    own = str(project.main / "memory.db")
    assert project("sync", "--database", own, "--tasks-file", plan)[0] == 0
    project("task", "add", "C by hand")
    project("task", "edit", "1", "--title", "A, edited here")
    write(Path(plan), row(1, "A"), row(2, "B, edited there", 1), row(9, "new there"))
    assert project("sync")[0] == 0
    for source in (plan, own):
        found = project.data("task", "import", source)
        assert (set(found["known"]), found["added"], found["refused"]) == ({"1", "2", "3", "9"}, [], [])


# -- renaming ----------------------------------------------------------------------------------------------------


def test_a_collision_with_a_list_is_settled_by_the_command_that_the_import_names(project: Project, plan: str) -> None:
    project("task", "add", "by hand")
    project("task", "add", "upon it", "--depends-on", "1", "--id", "20")
    write(Path(plan), row(1, "A"), row(2, "B"))
    code, out, _ = project("task", "import", plan)
    assert (code, "(peercoord task rename 1 21) and import again" in out) == (1, True)
    assert project.data("task", "rename", "1", "21") == {"task_id": 21, "was": 1, "dependents": [20]}
    assert project("task", "import", plan)[0] == 0
    assert states(project) == {1: "ready", 2: "ready", 20: "waiting", 21: "ready"}
    assert project.queue.definition("20").dependencies == ["21"]


def test_a_number_is_above_those_of_the_lists_in_the_project(project: Project) -> None:
    found = write(project.main / ".taskmaster/tasks/tasks.json", master=[row(3, "M")], later=[row(17, "L")])
    assert [project.data("task", "add", title)["task_id"] for title in ("by hand", "another")] == [18, 19]
    for tag in ("master", "later"):
        assert project("task", "import", found, "--tag", tag)[0] == 0


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
    results = [(one["epoch"], one["outcome"], one["peer"]) for one in shown["results"] if one["epoch"]]
    assert results == [(1, "done", "one")]
    assert project.data("task", "show", "1")["code"] == "not-found"
    project("task", "add", "another one", "--id", "1")
    assert project.data("request")["epoch"] == 2, "above what was ever said of that id"


def test_an_id_that_is_taken_is_refused(project: Project) -> None:
    for title in ("one", "two"):
        project("task", "add", title)
    code, _, err = project("task", "rename", "1", "2")
    assert (code, "there is a task 2 already" in err, "task rename 1 3" in err) == (2, True, True)
    for words, expected in ((("7", "8"), 3), (("1", "../x"), 2), (("1", "1"), 2)):
        assert project("task", "rename", *words)[0] == expected
    assert project.data("task", "add", "second", "--id", "1")["code"] == "exists"
    assert sorted(project.queue.all_tasks()) == ["1", "2"]


def test_a_task_that_is_claimed_meanwhile_keeps_its_id() -> None:
    world = World(MemoryDisk())
    world.queue.add(records.define("1", "one"))
    world.join("w").request()
    with pytest.raises(LostError, match="held by w"):
        rename(world.queue, "1", "5")
    assert "parked" not in world.queue.definition("1").raw
    with pytest.raises(UsageError):
        rename(world.queue, "1", "1")


def test_the_id_of_a_task_of_a_list_in_step_is_changed_there_first(project: Project) -> None:
    plan = project.main / "plan.json"
    plan.write_text(json.dumps({"tasks": [{"id": 1, "title": "A", "status": "pending"}]}))
    project("sync", "--database", str(project.main / "own.db"), "--tasks-file", str(plan))
    said = project.data("task", "rename", "1", "7")
    assert (said["code"], "give it another id there" in said["hint"]) == ("listed", True)
    listed = {"id": 7, "title": "A", "status": "pending"}
    plan.write_text(json.dumps({"tasks": [listed]}))
    assert project("task", "rename", "1", "7")[0] == 0
    assert project("sync")[0] == 0
    assert (list(states(project)), json.loads(plan.read_text())["tasks"]) == ([7], [listed])
