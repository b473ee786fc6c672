"""claude-task-master's ``tasks.json``, two ways: shape, tags, order, unknown keys, every byte kept; its lock held."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.faults import Call, Meanwhile
from support.lists import FileLists
from tasklists.test_fencing import in_threads

from peercoord.errors import BrokenFileError, LostError, NotFoundError, StorageError
from peercoord.system.disk import Disk
from peercoord.tasklists.tasks_json_list import TasksJson
from peercoord.tasklists.tasks_json_lock import locked

PLACE = ".taskmaster/tasks/tasks.json"


@pytest.fixture
def finished(file_lists: FileLists) -> FileLists:
    """A list with a task that is done here, and not yet there."""
    file_lists.tasks({"id": 1, "title": "A"})
    file_lists.both()
    file_lists.finish("1")
    return file_lists


# -- bytes -------------------------------------------------------------------------------------------------------

ODD = (
    '{ "tasks" :[{"id":1,"title":"A","status":"pending","x":1.50,"u":"\\u00e9","description":"d"},\r\n'
    '  {"title":"B","id":"2",  "status" : "todo","dependencies":[ 1 ]}] ,"metadata":{"odd":[ ]} }'
)


@pytest.mark.parametrize("shape", [f"tagged/{PLACE}", f"standard/{PLACE}", "legacy.json", "mixed.json", "odd"])
def test_what_does_not_change_keeps_every_byte(file_lists: FileLists, data: Path, shape: str) -> None:
    file_lists.write((data / shape).read_bytes().decode() if "json" in shape else ODD)
    file_lists.tag = "master" if shape.startswith(("tagged", "mixed")) else None
    before = file_lists.file.read_bytes()
    file_lists.both()
    assert file_lists.queue.all_tasks()
    assert file_lists.file.read_bytes() == before


def test_one_completion_changes_the_status_and_adds_the_metadata(file_lists: FileLists) -> None:
    tasks = [
        {"id": n, "title": f"T{n}", "description": "é", "status": "pending", "x": {"deep": [1]}} for n in (1, 2, 3)
    ]
    data = {"other": {"tasks": [{"id": 1, "title": "F"}]}, "master": {"tasks": tasks, "metadata": {"k": 1}}, "z": 1}
    text = "\ufeff" + json.dumps(data, ensure_ascii=False, indent="\t").replace("\n", "\r\n")
    file_lists.write(text)
    file_lists.tag = "master"
    file_lists.both()
    file_lists.finish("1")
    file_lists.both()
    after = file_lists.file.read_bytes().decode()
    made = json.loads(after.removeprefix("\ufeff"))
    assert made["master"]["tasks"][0].pop("metadata")["peercoord"]["assigned_to"] == "w1"
    assert made["master"]["tasks"][0].pop("status") == "done"
    del tasks[0]["status"]
    assert made == data
    assert list(made) == list(data)
    assert after.startswith(text[: text.index('"pending"')]), "not a byte before it"
    assert after.endswith(text[text.index('"T2"') :]), "not a byte after the task"
    assert after.count("\n") == after.count("\r\n")


def test_the_mode_stays_and_a_link_stays_a_link(file_lists: FileLists, place: Path) -> None:
    file_lists.tasks({"id": 1, "title": "A"})
    real = place / "elsewhere.json"
    shutil.move(file_lists.file, real)
    real.chmod(0o640)
    file_lists.file.symlink_to(real)
    file_lists.both()
    file_lists.finish("1")
    file_lists.both()
    assert file_lists.file.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert json.loads(real.read_text())["master"]["tasks"][0]["status"] == "done"


# -- several programs at once -------------------------------------------------------------------------------------


class Overtaken(TasksJson):
    """Another sync runs right after the file was read for the first time."""

    lists: FileLists | None = None

    def _text(self) -> tuple[str, str]:
        found = super()._text()
        if self.lists:
            lists, self.lists = self.lists, None
            lists.both()
        return found


def test_a_sync_between_two_reads_does_not_undo_done(finished: FileLists) -> None:
    overtaken = Overtaken(finished.file, None, finished.store())
    overtaken.lists = finished
    finished.sync(overtaken)
    assert finished.state("1")[0] == "done"
    assert finished.task(1)["status"] == "done"


def test_a_broken_or_missing_file_is_reported_and_left(finished: FileLists) -> None:
    for text in ("", "{", "[]", '{"tasks": 1}', '{"tasks": [', "<<<<<<< HEAD\n{}"):
        finished.write(text)
        with pytest.raises(BrokenFileError):
            finished.sync(finished.tasks_file(finished.file))
        assert finished.file.read_text() == text
    finished.sync()
    assert finished.row(1, "status") == "done", "the database goes on"
    finished.file.unlink()
    with pytest.raises(NotFoundError):
        finished.sync(finished.tasks_file(finished.file))
    assert finished.state("1")[0] == "done"


def make_lock(file_lists: FileLists, kind: str) -> Path:
    lock = file_lists.file.with_name("tasks.json.lock")
    if kind == "directory":
        lock.mkdir()
    else:
        lock.write_text('{"pid":1,"timestamp":1}')
    return lock


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_the_lock_of_another_program_is_waited_for(finished: FileLists, kind: str) -> None:
    lock = make_lock(finished, kind)
    with pytest.raises(StorageError, match=r"tasks\.json is locked by another program") as caught:
        finished.sync(finished.tasks_file(finished.file, wait=0.05))
    assert caught.value.code == "locked"
    assert lock.exists()
    assert finished.task(1)["status"] == "pending"
    threading.Timer(0.05, lambda: lock.rmdir() if lock.is_dir() else lock.unlink()).start()
    finished.sync(finished.tasks_file(finished.file, wait=10.0))
    assert finished.task(1)["status"] == "done"


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_what_a_crash_left_is_cleared_away(finished: FileLists, kind: str) -> None:
    lock = make_lock(finished, kind)
    long_ago = finished.file.stat().st_mtime - 60
    os.utime(lock, (long_ago, long_ago))
    finished.file.with_name(".tasks.json.abcdefghijkm").write_text("half")
    others = {finished.file.with_name(f".tasks.json.{end}") for end in ("swp", "un~", "backup202401")}
    for path in others:
        path.write_text("unsaved edits")
    finished.both()
    assert finished.task(1)["status"] == "done"
    assert set(finished.file.parent.iterdir()) == {finished.file, *others}, "files of other programs stay"
    assert {path.read_text() for path in others} == {"unsaved edits"}


def sync_meanwhile(file_lists: FileLists, happens: Callable[[], None]) -> None:
    """Sync on a disk on which something happens just before the file is replaced."""

    def replaces(call: Call) -> bool:
        return call.name == "create" and b"peercoord" in call.args[1]

    disk = Meanwhile(Disk(str(file_lists.file.parent)), (replaces, happens))
    file_lists.sync(file_lists.tasks_file(file_lists.file, disk=disk))


def test_someone_who_writes_without_the_lock_is_not_overwritten(finished: FileLists) -> None:
    def edit() -> None:
        finished.file.write_text(finished.file.read_text().replace('"A"', '"A there"'))

    with pytest.raises(LostError, match="written by someone who did not lock it"):
        sync_meanwhile(finished, edit)
    assert finished.task(1)["title"] == "A there"
    finished.both()
    assert (finished.task(1)["status"], finished.raw("1")["title"]) == ("done", "A there")
    assert sorted(p.name for p in finished.file.parent.iterdir()) == ["tasks.json"]


def test_a_writer_that_stood_still_too_long_does_not_write(finished: FileLists) -> None:
    lock = finished.file.with_name("tasks.json.lock")

    def taken() -> None:
        lock.rmdir()
        lock.write_text("another program's now")

    with pytest.raises(LostError, match="was taken away meanwhile"):
        sync_meanwhile(finished, taken)
    assert finished.task(1)["status"] == "pending"
    assert lock.read_text() == "another program's now"


def test_only_one_has_the_lock(place: Path) -> None:
    disk, inside, most = Disk(str(place)), [], []

    def take() -> None:
        for _ in range(10):
            with locked(disk, "f", 20.0):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    assert not in_threads(take, take, take, take)
    assert max(most) == 1
    assert list(place.iterdir()) == []
