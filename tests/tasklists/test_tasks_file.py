"""claude-task-master's ``tasks.json``, two ways: shape, tags, order, unknown keys, every byte kept; its lock held."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from support.faults import Call, Wrapper
from support.lists import FileLists

from peercoord.errors import BrokenFileError, LostError, NotFoundError, StorageError
from peercoord.system import clock as clocks
from peercoord.system.disk import Disk
from peercoord.tasklists.importer import take_in
from peercoord.tasklists.source import read_source
from peercoord.tasklists.tasks_json_lock import locked

DATA = Path(__file__).parent / "data"


@pytest.fixture
def lists(place: Path) -> FileLists:
    made = FileLists(place)
    made.path.touch()
    return made


# -- bytes -------------------------------------------------------------------------------------------------------

ODD = (
    '{ "tasks" :[{"id":1,"title":"A","status":"pending","x":1.50,"u":"\\u00e9","description":"d"},\r\n'
    '  {"title":"B","id":"2",  "status" : "todo","dependencies":[ 1 ]}] ,"metadata":{"odd":[ ]} }'
)


@pytest.mark.parametrize("shape", ["tagged", "standard", "legacy", "odd", "mixed"])
def test_what_does_not_change_keeps_every_byte(lists: FileLists, shape: str) -> None:
    sources = {
        "tagged": DATA / "tagged/.taskmaster/tasks/tasks.json",
        "standard": DATA / "standard/.taskmaster/tasks/tasks.json",
        "legacy": DATA / "legacy.json",
        "mixed": DATA / "mixed.json",
    }
    lists.write(sources[shape].read_bytes().decode() if shape in sources else ODD)
    lists.tag = "master" if shape in ("tagged", "mixed") else None
    before = lists.file.read_bytes()
    lists.both()
    assert lists.queue.all_tasks()
    assert lists.file.read_bytes() == before


def test_one_completion_changes_the_status_and_adds_the_metadata(lists: FileLists) -> None:
    tasks = [
        {"id": n, "title": f"T{n}", "description": "é", "status": "pending", "x": {"deep": [1]}} for n in (1, 2, 3)
    ]
    data = {"other": {"tasks": [{"id": 1, "title": "F"}]}, "master": {"tasks": tasks, "metadata": {"k": 1}}, "z": 1}
    text = "\ufeff" + json.dumps(data, ensure_ascii=False, indent="\t").replace("\n", "\r\n")
    lists.write(text)
    lists.tag = "master"
    lists.both()
    lists.finish("1")
    lists.both()
    after = lists.file.read_bytes().decode()
    made = json.loads(after.removeprefix("\ufeff"))
    assert made["master"]["tasks"][0].pop("metadata")["peercoord"]["assigned_to"] == "w1"
    assert made["master"]["tasks"][0].pop("status") == "done"
    del tasks[0]["status"]
    assert made == data
    assert list(made) == list(data)
    assert after.startswith(text[: text.index('"pending"')]), "not a byte before it"
    assert after.endswith(text[text.index('"T2"') :]), "not a byte after the task"
    assert after.count("\n") == after.count("\r\n")


def test_the_mode_stays_and_a_link_stays_a_link(lists: FileLists, place: Path) -> None:
    lists.tasks({"id": 1, "title": "A"})
    real = place / "elsewhere.json"
    shutil.move(lists.file, real)
    real.chmod(0o640)
    lists.file.symlink_to(real)
    lists.both()
    lists.finish("1")
    lists.both()
    assert lists.file.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert json.loads(real.read_text())["master"]["tasks"][0]["status"] == "done"


# -- both ways ---------------------------------------------------------------------------------------------------


def test_a_tasks_life_is_written(lists: FileLists) -> None:
    steps = [{"id": 1, "title": "a", "status": "pending", "keep": 1}, {"id": 2, "title": "b", "status": "done"}]
    lists.tasks({"id": 1, "title": "A", "subtasks": steps, "metadata": {"mine": [1]}}, {"id": 2, "title": "B"})
    lists.both()
    worker = lists.join()
    worker.request()
    worker.report("1", {"steps": ["1.1"], "achievements": ["half"], "time_spent": 30})
    lists.both()
    task = lists.task(1)
    assert task["status"] == "in-progress"
    assert [step["status"] for step in task["subtasks"]] == ["done", "done"]
    assert task["subtasks"][0]["keep"] == 1
    assert task["metadata"]["mine"] == [1]
    told = task["metadata"]["peercoord"]
    assert (told["assigned_to"], told["epoch"], told["achievements"], told["time_spent"]) == ("w1", 1, ["half"], 30)
    assert "metadata" not in lists.task(2), "what nobody touched is not touched"
    worker.fail("1", "it broke")
    lists.both()
    assert lists.task(1)["status"] == "pending"
    assert lists.task(1)["metadata"]["peercoord"]["attempts"] == 1
    assert "assigned_to" not in lists.task(1)["metadata"]["peercoord"]


def test_expanded_there_the_task_has_its_steps_here(lists: FileLists) -> None:
    lists.tasks({"id": 1, "title": "A"})
    lists.both()
    lists.tasks({"id": 1, "title": "A", "subtasks": [{"id": 1, "title": "x"}, {"id": 2, "title": "y"}]})
    lists.both()
    assert [step["id"] for step in lists.raw("1")["subtasks"]] == ["1.1", "1.2"]
    worker = lists.join()
    worker.request()
    assert worker.report("1", {"steps": ["1"]})["progress"] == 0.5
    lists.both()
    assert [step.get("status") for step in lists.task(1)["subtasks"]] == ["done", None]


def test_a_task_added_here_is_written_as_the_program_writes_one(lists: FileLists) -> None:
    lists.tasks({"id": 1, "title": "A"})
    lists.both()
    lists.add("2", "Two", dependencies=["1"], priority="critical", steps=[{"id": "2.1", "title": "s"}])
    lists.both()
    assert lists.task(2) == {
        "id": 2,
        "title": "Two",
        "description": "Two",
        "details": "",
        "testStrategy": "",
        "status": "pending",
        "dependencies": [1],
        "priority": "high",
        "subtasks": [
            {"id": 1, "title": "s", "description": "", "dependencies": [], "details": "", "status": "pending"}
        ],
    }
    assert lists.raw("2")["priority"] == "critical"
    assert lists.raw("2")["description"] == ""


def test_ids_in_quotes_stay_in_quotes(lists: FileLists) -> None:
    lists.tasks(
        {"id": "1", "title": "A", "metadata": "a note"},
        {"id": "2", "title": "B", "metadata": ["a", "b"]},
        {"title": "No id"},
    )
    assert lists.sync(lists.tasks_file(lists.file)).refused == [("entry 3 ('No id')", "it has no id")]
    lists.both()
    lists.add("3", "C", dependencies=["1"])
    lists.queue.edit("2", dependencies=[1])
    lists.finish("1")
    lists.both()
    assert lists.task(3)["id"] == "3"
    assert lists.task(3)["dependencies"] == lists.task(2)["dependencies"] == ["1"]
    assert (lists.task(1)["status"], lists.task(1)["metadata"]) == ("done", "a note"), "metadata of any kind stays"


def test_a_tag_that_is_a_bare_list_is_kept_in_step(lists: FileLists) -> None:
    task = {"id": 1, "title": "A", "description": "d", "status": "pending"}
    lists.write({"master": {"tasks": [task]}, "bare": [task], "notes": ["no", "tasks"], "empty": []})
    before = lists.file.read_bytes()
    lists.tag = "bare"
    lists.both()
    assert lists.file.read_bytes() == before
    lists.finish("1")
    lists.add("2", "Two")
    lists.both()
    data = json.loads(lists.file.read_text())
    assert [(one["id"], one["status"]) for one in data["bare"]] == [(1, "done"), (2, "pending")]
    assert (data["master"], data["notes"], data["empty"]) == ({"tasks": [task]}, ["no", "tasks"], [])


def test_tasks_of_another_tag_are_not_written_into_this_one(lists: FileLists) -> None:
    task = {"description": "d", "status": "pending"}
    lists.write({"a": {"tasks": [{"id": 1, "title": "A", **task}]}, "b": {"tasks": [{"id": 2, "title": "B", **task}]}})
    before = lists.file.read_bytes()
    take_in(lists.queue, read_source(str(lists.file), "b", lists.home).tasks)
    lists.tag = "a"
    lists.both()
    assert lists.queue.all_tasks() == ["1", "2"]
    assert lists.file.read_bytes() == before


@pytest.mark.parametrize("beside", [[{"id": 1, "title": "a person"}], {"people": []}])
def test_what_is_named_like_the_tag_of_the_tasks_is_left_alone(lists: FileLists, beside: object) -> None:
    task = {"id": 1, "title": "A", "description": "d", "status": "pending"}
    lists.write({"tasks": [task], "metadata": {"tags": ["dev"]}, "dev": beside})
    lists.tag = "dev"
    lists.both()
    lists.finish("1")
    lists.both()
    data = json.loads(lists.file.read_text())
    assert (data["tasks"][0]["status"], data["dev"]) == ("done", beside)


# -- what stands in the way --------------------------------------------------------------------------------------


def test_a_broken_or_missing_file_is_reported_and_left(lists: FileLists) -> None:
    lists.tasks({"id": 1, "title": "A"})
    lists.both()
    lists.finish("1")
    for text in ("", "{", "[]", '{"tasks": 1}', '{"tasks": [', "<<<<<<< HEAD\n{}"):
        lists.write(text)
        with pytest.raises(BrokenFileError):
            lists.sync(lists.tasks_file(lists.file))
        assert lists.file.read_text() == text
    lists.sync()
    assert lists.row(1, "status") == "done", "the database goes on"
    lists.tasks({"id": 1, "title": "A"})
    with pytest.raises(NotFoundError, match="no tag 'gone'"):
        lists.sync(lists.tasks_file(lists.file, "gone"))
    lists.file.unlink()
    with pytest.raises(NotFoundError):
        lists.sync(lists.tasks_file(lists.file))
    assert lists.state("1")[0] == "done"


def make_lock(lists: FileLists, kind: str) -> Path:
    lock = lists.file.with_name("tasks.json.lock")
    if kind == "directory":
        lock.mkdir()
    else:
        lock.write_text('{"pid":1,"timestamp":1}')
    return lock


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_the_lock_of_another_program_is_waited_for(lists: FileLists, kind: str) -> None:
    lists.tasks({"id": 1, "title": "A"})
    lists.both()
    lists.finish("1")
    lock = make_lock(lists, kind)
    with pytest.raises(StorageError, match=r"tasks\.json is locked by another program") as caught:
        lists.sync(lists.tasks_file(lists.file, wait=0.05))
    assert caught.value.code == "locked"
    assert lock.exists()
    assert lists.task(1)["status"] == "pending"
    threading.Timer(0.05, lambda: lock.rmdir() if lock.is_dir() else lock.unlink()).start()
    lists.sync(lists.tasks_file(lists.file, wait=10.0))
    assert lists.task(1)["status"] == "done"


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_what_a_crash_left_is_cleared_away(lists: FileLists, kind: str) -> None:
    lists.tasks({"id": 1, "title": "A"})
    lists.both()
    lists.finish("1")
    lock = make_lock(lists, kind)
    long_ago = lists.file.stat().st_mtime - 60
    os.utime(lock, (long_ago, long_ago))
    lists.file.with_name(".tasks.json.abcdefghijkm").write_text("half")
    others = {lists.file.with_name(f".tasks.json.{end}") for end in ("swp", "un~", "backup202401")}
    for path in others:
        path.write_text("unsaved edits")
    lists.both()
    assert lists.task(1)["status"] == "done"
    assert set(lists.file.parent.iterdir()) == {lists.file, *others}, "files of other programs stay"
    assert {path.read_text() for path in others} == {"unsaved edits"}


class Meanwhile(Wrapper):
    """A disk on which something happens just before the file is replaced."""

    def __init__(self, disk: Disk, happens: Any) -> None:
        super().__init__(disk)
        self.root, self.happens = disk.root, happens

    def around(self, call: Call) -> Any:
        if call.name == "create" and self.happens and b"peercoord" in call.args[1]:
            happens, self.happens = self.happens, None
            happens()
        return call.run()


def test_someone_who_writes_without_the_lock_is_not_overwritten(lists: FileLists) -> None:
    lists.tasks({"id": 1, "title": "A"})
    lists.both()
    lists.finish("1")

    def edit() -> None:
        lists.file.write_text(lists.file.read_text().replace('"A"', '"A there"'))

    disk = Meanwhile(Disk(str(lists.file.parent)), edit)
    with pytest.raises(LostError, match="written by someone who did not lock it"):
        lists.sync(lists.tasks_file(lists.file, disk=disk))
    assert lists.task(1)["title"] == "A there"
    lists.both()
    assert (lists.task(1)["status"], lists.raw("1")["title"]) == ("done", "A there")
    assert sorted(p.name for p in lists.file.parent.iterdir()) == ["tasks.json"]


def test_a_writer_that_stood_still_too_long_does_not_write(lists: FileLists) -> None:
    lists.tasks({"id": 1, "title": "A"})
    lists.both()
    lists.finish("1")
    lock = lists.file.with_name("tasks.json.lock")

    def taken() -> None:
        lock.rmdir()
        lock.write_text("another program's now")

    disk = Meanwhile(Disk(str(lists.file.parent)), taken)
    with pytest.raises(LostError, match="was taken away meanwhile"):
        lists.sync(lists.tasks_file(lists.file, disk=disk))
    assert lists.task(1)["status"] == "pending"
    assert lock.read_text() == "another program's now"


def test_only_one_has_the_lock(place: Path) -> None:
    disk = Disk(str(place))
    inside = 0
    most = 0
    guard = threading.Lock()

    def take() -> None:
        nonlocal inside, most
        for _ in range(10):
            with locked(disk, "f", clocks.token, 20.0):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(place.iterdir()) == []
