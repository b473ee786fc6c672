"""Entries that are other tasks than their ids say: moved, copied, swapped, or all replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.lists import FileLists, Lists

from peercoord.errors import UsageError
from peercoord.queue.renaming import rename
from peercoord.tasklists import tasks_json
from peercoord.tasklists.importer import take_in
from peercoord.tasklists.reconcile import Outcome, is_alike


@pytest.fixture
def lists(place: Path) -> FileLists:
    made = FileLists(place)
    made.path.touch()
    made.tasks(*({"id": n, "title": title, "description": f"about {title}"} for n, title in enumerate(TITLES, 1)))
    made.both()
    return made


TITLES = ("Login page", "Payment API", "Search index", "Mail queue", "Audit trail")


def entries(lists: FileLists) -> Any:
    return json.loads(lists.file.read_text())["master"]["tasks"]


def rewrite(lists: FileLists, *tasks: Any) -> None:
    lists.write({"master": {"tasks": list(tasks), "metadata": {"created": "x"}}})


def sync(lists: FileLists, **more: Any) -> Outcome:
    return lists.sync(lists.tasks_file(lists.file), **more)


def held(lists: FileLists) -> Any:
    worker = lists.join()
    assert worker.request().task == "1"
    lists.both()
    return worker


# -- under another id --------------------------------------------------------------------------------------------


def test_a_task_moved_to_another_id_is_reported_until_renamed(lists: FileLists) -> None:
    worker = held(lists)
    first, *rest = entries(lists)
    rewrite(lists, {**first, "id": 12}, *rest)
    for _ in range(2):
        refused = dict(sync(lists).refused)
        assert refused["task 1"] == f"it has the id 12 in {lists.tasks_file(lists.file).name} now"
        assert "it is task 1, moved: give it its id back, or: peercoord task rename 1 12" in refused["task 12"]
    assert lists.state("1")[0] == "claimed", "neither cancelled nor given out twice"
    assert "12" not in lists.queue.all_tasks()
    intake = take_in(lists.queue, tasks_json.read(lists.file).tasks)
    assert [what for what, _ in intake.refused] == ["task 12"], "an import knows it too"
    assert "peercoord task rename 1 12" in intake.refused[0][1]
    assert intake.added == []
    rewrite(lists, first, *rest)
    assert sync(lists).refused == []
    worker.release("1")
    lists.both()
    rewrite(lists, {**entries(lists)[0], "id": 12}, *rest)
    sync(lists)
    rename(lists.queue, "1", "12")
    lists.both()
    assert sync(lists).refused == []
    assert sorted(lists.queue.all_tasks()) == ["12", "2", "3", "4", "5"]
    assert [entry["id"] for entry in entries(lists)] == [12, 2, 3, 4, 5]


def test_a_copy_of_a_held_task_is_reported(lists: FileLists) -> None:
    held(lists)
    first, *rest = entries(lists)
    rewrite(lists, first, {**first, "id": 12}, *rest)
    refused = dict(sync(lists).refused)
    assert list(refused) == ["task 12"]
    assert "task 1, copied: to make it a task of its own, take that note out of it" in refused["task 12"]
    assert "12" not in lists.queue.all_tasks()
    another = {"peercoord": {**first["metadata"]["peercoord"], "store": "another"}}
    copies = [
        {"id": 12, "title": first["title"], "description": "d", "status": "pending"},
        {**first, "id": 13, "status": "pending", "metadata": another},  # the note of another team says nothing
    ]
    rewrite(lists, first, *copies, *rest)
    assert sync(lists).refused == []
    assert [lists.state(task)[0] for task in ("12", "13")] == ["ready", "ready"]


def test_two_entries_with_swapped_ids_are_both_refused(lists: FileLists) -> None:
    held(lists)
    first, second, *rest = entries(lists)
    rewrite(lists, {**second, "id": 1}, {**first, "id": 2}, *rest)
    assert "it is task 1" in dict(sync(lists).refused)["task 2"]
    assert lists.raw("2")["title"] == TITLES[1]
    assert lists.raw("1")["title"] == TITLES[0]


def test_a_row_copied_in_a_database_is_reported(place: Path) -> None:
    lists = Lists(place)
    lists.plain((1, "A"))
    lists.sync()
    lists.join().request()
    lists.settled()
    lists.sql(
        "INSERT INTO tasks SELECT 2, title, description, status, priority, dependencies,"
        " assigned_instance, instance_progress, coordination_data FROM tasks"
    )
    refused = dict(lists.sync().refused)
    assert "it is task 1, copied" in refused["task 2"]
    assert lists.queue.all_tasks() == ["1"]


# -- replaced ----------------------------------------------------------------------------------------------------


def other(task: int, title: str, **more: Any) -> Any:
    return {"id": task, "title": title, "description": f"how to do it: {title}", "status": "pending", **more}


NEW = ("Set up Kafka", "Write onboarding docs", "Rotate certificates", "Upgrade Rust", "Translate strings")


def test_another_list_under_the_same_ids_stops_the_sync(lists: FileLists) -> None:
    held(lists)
    rewrite(lists, *(other(n, title) for n, title in enumerate(NEW, 1)))
    before = lists.file.read_bytes()
    with pytest.raises(UsageError, match=r"5 of 5 tasks are other ones in .* so it was made again") as caught:
        sync(lists)
    assert "peercoord sync --take-edits" in caught.value.hint
    assert "task 1 was 'Login page', is 'Set up Kafka' (open)" in caught.value.message
    assert [lists.raw(str(n))["title"] for n in range(1, 6)] == list(TITLES)
    assert lists.file.read_bytes() == before
    sync(lists, take_edits=True)
    assert lists.raw("2")["title"] == NEW[1]


def test_a_held_or_done_task_is_not_replaced_by_another(lists: FileLists) -> None:
    worker = held(lists)
    worker.park("1", "review", "later")
    worker.request()
    worker.complete("2")
    lists.queue.reopen("1")
    assert worker.request().task == "1"
    lists.both()
    first, second, *rest = entries(lists)
    rewrite(lists, other(1, NEW[0]), second, *rest)
    refused = dict(sync(lists).refused)
    assert list(refused) == ["task 1"]
    assert "it is 'Login page' here, held, and 'Set up Kafka' there" in refused["task 1"]
    rewrite(lists, first, other(2, NEW[1]), *rest)
    refused = dict(sync(lists).refused)
    assert list(refused) == ["task 2"]
    assert "here, done, and" in refused["task 2"]
    assert (lists.state("1")[0], lists.state("2")[0]) == ("claimed", "done")
    assert dict(sync(lists).refused) == refused, "until it is settled"
    sync(lists, take_edits=True)
    assert lists.raw("2")["title"] == NEW[1]


def test_an_open_task_may_be_rewritten_and_a_held_one_edited(lists: FileLists) -> None:
    held(lists)
    first, second, third, *rest = entries(lists)
    edited = {**first, "title": "Login page, with passkeys", "description": "other words altogether"}
    rewrite(lists, edited, second, other(3, NEW[2]), *rest)
    assert sync(lists).refused == []
    assert lists.raw("1")["title"] == "Login page, with passkeys"
    assert lists.raw("3")["title"] == NEW[2]
    assert third["title"] == TITLES[2]


def test_an_older_copy_of_the_list_reopens_nothing(lists: FileLists) -> None:
    before = lists.file.read_text()
    worker = lists.join()
    for task in "1234":
        assert worker.request().task == task
        worker.complete(task)
    lists.both()
    lists.file.write_text(before)
    with pytest.raises(UsageError, match="4 of 5 tasks are other ones"):
        sync(lists)
    assert [lists.state(task)[0] for task in "1234"] == ["done"] * 4


@pytest.mark.parametrize(
    ("one", "two", "alike"),
    [
        ("One", "One, edited", True),
        ("Fix  LOGIN", "fix login", True),
        ("Set up the project", "Set up the whole project structure", True),
        ("Authentication", "Authentification", True),
        ("", "", True),
        ("Login page", "Payment API", False),
        ("Implement user login", "Implement payments", False),
        ("", "something", False),
    ],
)
def test_which_texts_are_alike(one: str, two: str, alike: bool) -> None:
    assert is_alike(one, two) is alike
    assert is_alike(two, one) is alike


# -- a task that has another id here now -------------------------------------------------------------------------


def test_the_row_of_a_renamed_task_is_cancelled_for_good(place: Path) -> None:
    lists = Lists(place)
    lists.plain((1, "A"))
    lists.settled()
    rename(lists.queue, "1", "5")
    lists.settled()
    lists.settled()
    assert lists.queue.all_tasks() == ["5"]
    assert [lists.row(task, "title, status") for task in (1, 5)] == [("A", "cancelled"), ("A", "pending")]
    lists.add("1", "Another")
    lists.settled()
    assert lists.row(1, "title, status") == ("Another", "pending"), "its row is the new task's"
    assert lists.raw("1")["title"] == "Another"


def test_an_id_reused_before_the_next_sync_keeps_its_new_task(place: Path) -> None:
    lists = Lists(place)
    lists.plain((1, "A"))
    lists.settled()
    rename(lists.queue, "1", "5")
    lists.add("1", "Another")
    lists.settled()
    assert [lists.row(task, "title, status") for task in (1, 5)] == [("Another", "pending"), ("A", "pending")]
    assert sorted(lists.queue.all_tasks()) == ["1", "5"]


def test_a_row_rewritten_after_a_renaming_is_a_new_task(place: Path) -> None:
    lists = Lists(place)
    lists.plain((1, "A"))
    lists.settled()
    rename(lists.queue, "1", "5")
    lists.sql("UPDATE tasks SET title = 'New there', status = 'pending' WHERE id = 1")
    lists.settled()
    assert {task: lists.raw(task)["title"] for task in lists.queue.all_tasks()} == {"1": "New there", "5": "A"}


def test_the_row_of_a_task_renamed_twice_is_cancelled(place: Path) -> None:
    lists = Lists(place)
    lists.plain((1, "A"))
    lists.settled()
    rename(lists.queue, "1", "5")
    rename(lists.queue, "5", "6")
    lists.settled()
    lists.settled()
    assert [lists.row(task, "title, status") for task in (1, 6)] == [("A", "cancelled"), ("A", "pending")]
