"""A TaskMaster database and the tickets, both ways, through everything that a task goes through."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.lists import Lists

from peercoord.errors import LostError, UsageError
from peercoord.queue.reassign import reassign
from peercoord.store import paths, records

# -- adopting ----------------------------------------------------------------------------------------------------


def test_tasks_come_in_and_rows_stay_as_they_were(lists: Lists) -> None:
    lists.plain(
        (1, "Foundation", "", "done"), (2, "Parser", "", "pending", "high", "[1]"), (3, "Idea", "", "cancelled")
    )
    before = lists.sql("SELECT id, title, description, status, priority, dependencies FROM tasks")
    outcome = lists.sync()
    assert sorted(outcome.added) == ["1", "2", "3"]
    assert [lists.state(t)[0] for t in "123"] == ["done", "ready", "parked"]
    assert lists.sql("SELECT id, title, description, status, priority, dependencies FROM tasks") == before
    assert lists.row(2, "assigned_instance, instance_progress, coordination_data") == (None, None, None)
    assert lists.sync().comparisons == []


def test_the_missions_schema_is_added_and_nothing_else_changes(lists: Lists) -> None:
    lists.make(
        """CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, status TEXT, mood TEXT, picture BLOB);
           INSERT INTO tasks VALUES (1, 'A', 'todo', 'merry', x'00ff');
           CREATE TABLE notes (id INTEGER, body TEXT); INSERT INTO notes VALUES (7, 'keep me');
           CREATE INDEX by_mood ON tasks (mood); CREATE VIEW v AS SELECT * FROM notes;"""
    )
    lists.sync()
    assert lists.sql("SELECT mood, picture FROM tasks") == [("merry", b"\x00\xff")]
    assert lists.sql("SELECT * FROM v") == [(7, "keep me")]
    columns = [row[1] for row in lists.sql("SELECT * FROM pragma_table_info('tasks')")]
    mission = ["assigned_instance", "instance_progress", "coordination_data"]
    assert columns == ["id", "title", "status", "mood", "picture", *mission]
    assigned = {row[1]: row[2] for row in lists.sql("SELECT * FROM pragma_table_info('instance_assignments')")}
    plain = {
        "id": "INTEGER",
        "task_id": "INTEGER",
        "instance_id": "TEXT",
        "assigned_at": "TIMESTAMP",
        "status": "TEXT",
    }
    assert assigned == {**plain, "epoch": "INTEGER", "ended_at": "TIMESTAMP"}
    [reference] = lists.sql('SELECT "table", "from", "to" FROM pragma_foreign_key_list(\'instance_assignments\')')
    assert reference == ("tasks", "task_id", "id")


def test_a_backup_is_made_before_the_first_change_and_only_then(lists: Lists) -> None:
    lists.plain((1, "A"))
    store = lists.store()
    lists.sync(store)
    copy = lists.home / "memory.db.before-peercoord"
    assert store.backup == str(copy)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT id, title FROM tasks").fetchall() == [(1, "A")]
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert tables == [("tasks",)]
    lists.add("2")
    lists.sync()
    assert sorted(p.name for p in lists.home.iterdir() if p.name.startswith("memory")) == ["memory.db", copy.name]


def test_a_database_without_tasks_gets_the_table(lists: Lists) -> None:
    lists.make("CREATE TABLE memories (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO memories VALUES (1, 'hello');")
    lists.add("1", "First", description="what to do", priority="high", steps=[{"id": "1.1", "title": "a"}])
    lists.add("2", "Second", dependencies=["1"])
    lists.settled()
    columns = "title, description, status, priority, dependencies"
    assert lists.row(1, columns) == ("First", "what to do", "pending", "high", "[]")
    assert lists.row(2, "title, dependencies") == ("Second", "[1]")
    assert json.loads(lists.row(1, "subtasks")) == [{"id": 1, "title": "a", "status": "pending"}]
    assert lists.sql("SELECT text FROM memories") == [("hello",)]


def test_ids_that_are_not_numbers_get_a_table_that_holds_them(lists: Lists) -> None:
    lists.path.touch()
    for task in ("bd-1", "5.10", "5.1", "007"):
        lists.add(task)
    lists.settled()
    assert sorted(row[0] for row in lists.sql("SELECT id FROM tasks")) == ["007", "5.1", "5.10", "bd-1"]
    worker = lists.join()
    claim = worker.request()
    assert claim is not None
    lists.settled()
    assert lists.sql("SELECT task_id, instance_id FROM instance_assignments") == [(claim.task, "w1")]


def test_an_id_that_the_table_cannot_hold_costs_that_task_alone(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.add("bd-1")
    lists.add("7")
    outcome = lists.sync()
    assert outcome.refused == [("task bd-1", "its id 'bd-1' does not fit into a column of whole numbers")]
    assert lists.row(7, "title") == "Task 7"
    assert lists.sync().comparisons == [], "it is not tried again before it changes"
    lists.queue.edit("bd-1", title="changed")
    assert lists.sync().refused, "it is tried again, and not taken for a deleted row"
    assert lists.state("bd-1")[0] == "ready"


# -- a task's life -----------------------------------------------------------------------------------------------


def test_a_claim_a_report_and_a_completion_go_out(lists: Lists) -> None:
    lists.plain((1, "Foundation"))
    lists.sync()
    worker = lists.join()
    worker.request()
    worker.report("1", {"progress": 0.4, "achievements": ["set up"], "blockers": ["no key"], "time_spent": 60})
    lists.settled()
    assert lists.row(1) == ("in-progress", "w1")
    progress = json.loads(lists.row(1, "instance_progress"))
    assert (progress["progress"], progress["status"], progress["achievements"]) == (0.4, "in-progress", ["set up"])
    data = json.loads(lists.row(1, "coordination_data"))
    assert data == {
        "task": 1,
        "store": "s70re",
        "epoch": 1,
        "attempts": 0,
        "state": "in-progress",
        "achievements": ["set up"],
        "blockers": ["no key"],
        "time_spent": 60,
    }
    [(task, who, began, status, epoch, ended)] = lists.sql(
        "SELECT task_id, instance_id, assigned_at, status, epoch, ended_at FROM instance_assignments"
    )
    assert (task, who, status, epoch, ended) == (1, "w1", "in-progress", 1, None)
    worker.complete("1", facts={"branch": "team/w1", "commit": "c0ffee"})
    lists.settled()
    assert lists.row(1) == ("done", "w1")
    assert json.loads(lists.row(1, "instance_progress"))["progress"] == 1.0
    assert json.loads(lists.row(1, "coordination_data"))["commit"] == "c0ffee"
    [row] = lists.sql("SELECT task_id, instance_id, assigned_at, status, epoch, ended_at FROM instance_assignments")
    assert row[:5] == (1, "w1", began, "done", 1)
    assert row[5] > began


def test_every_claim_has_its_own_row_of_assignments(lists: Lists) -> None:
    lists.plain((1, "Foundation"))
    lists.sync()
    first, second = lists.join("w1"), lists.join("w2")
    first.request()
    first.release("1", "lunch")
    second.request()
    second.fail("1", "it broke")
    first.request()
    late = {"schema_version": 1, "task_id": 1, "epoch": 3, "outcome": "released", "peer": "w1", "at": lists.clock.now()}
    lists.root.files.publish(paths.result("1", 3, "released"), records.encode(late))  # its rename never came
    lists.evict(first)
    third = lists.join("w3")
    third.request()
    reassign(lists.queue, "1", "w2")
    lists.settled()
    what = "epoch, instance_id, status, assigned_at IS NULL, ended_at IS NULL"
    rows = f"SELECT {what} FROM instance_assignments ORDER BY epoch"
    expected = [(1, "w1", "released"), (2, "w2", "failed"), (3, "w1", "evicted"), (4, "w3", "released")]
    assert lists.sql(rows) == [*((*row, 0, 0) for row in expected), (5, "w2", "in-progress", 0, 1)]
    assert json.loads(lists.row(1, "coordination_data"))["attempts"] == 2
    second.complete("1")
    lists.settled()
    assert lists.sql(rows)[-1] == (5, "w2", "done", 0, 0)


def test_an_import_that_parks_a_task_leaves_its_row(lists: Lists) -> None:
    lists.plain(
        (1, "A", "", "pending", "medium", "[2]"),
        (2, "B", "", "pending", "medium", "[1]"),
        (3, "C", "", "pending", "medium", "[99]"),
        (4, "D", "", "in-progress"),
    )
    lists.settled()
    assert [lists.state(t) for t in "1234"] == [("parked", "blocked")] * 3 + [("parked", "held")]
    assert [lists.row(t, "status") for t in (1, 2, 3, 4)] == ["pending"] * 3 + ["in-progress"]
    assert "wait for itself" in json.loads(lists.row(1, "coordination_data"))["reason"]
    assert "99" in json.loads(lists.row(3, "coordination_data"))["reason"]
    assert lists.row(4, "coordination_data") is None
    lists.sql("UPDATE tasks SET dependencies = '[98]' WHERE id = 3")
    lists.settled()
    assert lists.raw("3")["dependencies"] == [98]


def test_a_claim_between_two_syncs_and_quick_reports_go_out(place: Path) -> None:
    lists = Lists(place, frozen=True)
    lists.plain((1, "Foundation"))
    lists.sync()
    worker = lists.join()
    worker.request()
    for share in (0.0, 0.4, 0.7):
        worker.report("1", {"progress": share})
        lists.sync()
        assert json.loads(lists.row(1, "instance_progress"))["progress"] == share
    worker.complete("1")
    lists.settled()
    lists.queue.reopen("1")
    other = lists.join("w2")
    other.request()
    other.complete("1")
    lists.settled()
    assert lists.row(1) == ("done", "w2")
    rows = lists.sql("SELECT epoch, instance_id, status FROM instance_assignments")
    assert rows == [(1, "w1", "done"), (2, "w2", "done")]


def test_a_parked_or_failed_task_says_why_and_can_be_reopened(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B"), (3, "C"), (4, "D"))
    lists.sync()
    worker = lists.join()
    for why in ("blocked", "review"):
        claim = worker.request()
        assert claim is not None
        worker.park(claim.task, why, f"it is {why}, says w1")
    lists.queue.cancel("3", "no longer wanted")
    for _ in range(3):
        worker.request()
        worker.fail("4", "no")
    lists.settled()
    assert [lists.row(t, "status") for t in (1, 2, 3, 4)] == ["blocked", "review", "cancelled", "blocked"]
    told = [json.loads(lists.row(t, "coordination_data")) for t in (1, 3, 4)]
    assert [data["reason"] for data in told[:2]] == ["it is blocked, says w1", "no longer wanted"]
    assert told[2]["attempts"] == 3
    lists.queue.reopen("2")
    lists.sql("UPDATE tasks SET status = 'pending' WHERE id = 4")
    lists.settled()
    assert lists.row(2, "status") == "pending"
    assert lists.state("4")[0] == "ready", "a person said: try again"


# -- what people do there ----------------------------------------------------------------------------------------


def test_edits_go_both_ways(lists: Lists) -> None:
    lists.plain((1, "Foundation"), (2, "Parser"), (3, "Third"))
    lists.sync()
    lists.sql("UPDATE tasks SET title = 'Ground', description = 'deeper', priority = 'low', dependencies = '[2]'"
              " WHERE id = 1")  # fmt: skip
    lists.queue.edit("3", title="3rd", description="d", priority="critical", dependencies=[2])
    assert lists.sync().added == []
    lists.settled()
    raw = lists.raw("1")
    assert (raw["title"], raw["description"], raw["priority"], raw["dependencies"]) == ("Ground", "deeper", "low", [2])
    assert lists.state("1") == ("waiting", "2")
    assert lists.row(3, "title, description, priority, dependencies") == ("3rd", "d", "critical", "[2]")


def test_done_by_hand_counts_even_if_a_peer_holds_the_task(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B", "", "pending", "medium", "[1]"))
    lists.sync()
    worker = lists.join()
    worker.request()
    lists.settled()
    lists.sql("UPDATE tasks SET status = 'review' WHERE id = 1")
    lists.settled()
    assert lists.row(1) == ("in-progress", "w1"), "no other word takes it from its holder"
    lists.sql("UPDATE tasks SET status = 'done' WHERE id = 1")
    lists.settled()
    assert lists.state("1")[0] == "done"
    assert lists.state("2")[0] == "ready", "its dependent goes on"
    with pytest.raises(LostError, match="task 1 is done"):
        worker.report("1", {"progress": 0.9})
    assert lists.row(1) == ("done", None)
    ended = "SELECT instance_id, status, ended_at IS NULL FROM instance_assignments"
    assert lists.sql(ended) == [("w1", "released", 0)]
    lists.sql("UPDATE tasks SET status = 'pending' WHERE id = 1")
    lists.settled()
    claim = lists.join("w2").request()
    assert claim is not None
    assert claim.ticket.epoch == 2, "opened again, it goes on from its highest epoch"


def test_a_cancellation_reaches_the_holder_at_its_next_call(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B", "", "pending", "medium", "[1]"), (3, "C"))
    lists.sync()
    worker, other = lists.join(), lists.join("w2")
    worker.request()
    assert other.request().task == "3"
    lists.sql("UPDATE tasks SET status = 'cancelled' WHERE id IN (1, 3)")
    lists.settled()
    assert lists.state("1") == ("claimed", str(worker.me))
    assert lists.state("2") == ("parked", "blocked")
    assert lists.row(1, "status") == "cancelled"
    worker.release("1")
    assert lists.state("1") == ("parked", "cancelled")
    other.complete("3")
    lists.sql("UPDATE tasks SET status = 'pending' WHERE id = 1")
    lists.settled()
    assert [lists.state(t)[0] for t in "12"] == ["ready", "waiting"]
    assert lists.row(3) == ("done", "w2"), "its holder had finished it"


def test_a_task_that_a_person_sets_aside_is_parked(lists: Lists) -> None:
    words = {"in-progress": "held", "review": "review", "deferred": "deferred", "on-hold": "blocked"}
    lists.plain(*((number, f"T{number}") for number in range(1, 5)))
    lists.sync()
    for task, word in enumerate(words, 1):
        lists.sql("UPDATE tasks SET status = ? WHERE id = ?", word, task)
    lists.settled()
    assert [lists.state(task) for task in "1234"] == [("parked", state) for state in words.values()]
    assert [lists.row(task, "status") for task in range(1, 5)] == list(words)
    lists.sql("UPDATE tasks SET status = 'pending'")
    lists.settled()
    assert [lists.state(task)[0] for task in "1234"] == ["ready"] * 4
    assert not any("parked" in lists.raw(task) for task in "1234")


def test_a_deleted_row_cancels_and_is_not_written_again(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B"), (3, "C", "", "done"))
    lists.sync()
    lists.sql("DELETE FROM tasks WHERE id IN (1, 3)")
    lists.settled()
    assert lists.state("1") == ("parked", "cancelled")
    assert "deleted" in lists.raw("1")["cancelled"]["reason"]
    assert lists.state("3")[0] == "done", "done stays done"
    assert lists.sql("SELECT id FROM tasks") == [(2,)]
    lists.queue.reopen("1")
    lists.settled()
    assert lists.row(1, "status") == "pending", "taken up again, it has a row again"
    lists.sql("DELETE FROM tasks WHERE id = 1")
    lists.settled()
    lists.sql("INSERT INTO tasks (id, title, status) VALUES (1, 'A', 'pending')")
    lists.settled()
    assert lists.state("1")[0] == "ready", "so it is when its row comes back"


def test_a_cycle_that_comes_in_is_refused(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B", "", "pending", "medium", "[1]"))
    lists.sync()
    lists.sql("UPDATE tasks SET dependencies = '[2]', title = 'A2' WHERE id = 1")
    [(what, why)] = lists.sync().refused
    assert what == "task 1"
    assert "1 → 2 → 1" in why
    assert lists.raw("1")["title"] == "A", "a row is taken in whole or not at all"
    assert lists.row(1, "title, dependencies") == ("A2", "[2]")
    lists.sql("UPDATE tasks SET dependencies = '[]' WHERE id = 1")
    lists.settled()
    assert lists.raw("1")["title"] == "A2"


def test_a_row_that_lost_its_title_decides_nothing(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B"))
    lists.sync()
    lists.sql("UPDATE tasks SET title = '' WHERE id = 1")
    lists.sync()
    assert lists.state("1")[0] == "ready"
    assert lists.row(1, "title") == ""
    lists.queue.edit("2", title="B2")
    lists.sync()
    assert lists.row(2, "title") == "B2", "the others go on"


def test_hostile_text_is_cleaned_and_never_executed(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.sync()
    title = "x\x1b[31m'; DROP TABLE tasks; --\u202e\nnext"
    lists.sql("UPDATE tasks SET title = ?", title)
    lists.settled()
    assert lists.raw("1")["title"] == "x'; DROP TABLE tasks; -- next"
    lists.queue.edit("1", title="Robert'); DROP TABLE tasks;--")
    lists.settled()
    assert lists.row(1, "title") == "Robert'); DROP TABLE tasks;--"


def test_text_that_is_not_utf_8_costs_its_bad_bytes(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B"))
    lists.sql("UPDATE tasks SET title = CAST(x'4142ff43' AS TEXT) WHERE id = 1")
    lists.settled()
    assert lists.raw("1")["title"] == "AB\ufffdC"
    assert lists.sql("SELECT hex(title) FROM tasks WHERE id = 1") == [("4142FF43",)]


# -- ids that meet -----------------------------------------------------------------------------------------------


def test_imported_tasks_are_recognised_by_their_source(lists: Lists) -> None:
    from peercoord.tasklists.importer import take_in
    from peercoord.tasklists.source import read_source

    lists.plain((1, "A"), (2, "B", "", "in-progress"))
    reading = read_source(str(lists.path), None, lists.home)
    assert reading.tasks[0].definition.raw["source"]["path"] == "memory.db"
    take_in(lists.queue, reading.tasks, take_in_progress=True)
    lists.queue.edit("1", title="A here")
    lists.sql("UPDATE tasks SET priority = 'high' WHERE id = 1")
    assert lists.sync().added == []
    lists.settled()
    assert (lists.raw("1")["title"], lists.raw("1")["priority"]) == ("A here", "high"), "the birth is the ancestor"
    assert lists.row(1, "title, priority") == ("A here", "high")
    assert lists.state("2")[0] == "ready", "taken although a person had it"
    assert lists.row(2, "status") == "in-progress"


def test_a_database_of_other_tasks_under_the_same_ids_is_refused(lists: Lists) -> None:
    lists.add("1", "Here")
    lists.plain((1, "There"), (2, "Two"))
    with pytest.raises(UsageError, match="'Here' here and 'There' there") as caught:
        lists.sync()
    assert caught.value.code == "id-clash"
    assert lists.queue.all_tasks() == ["1"]
    assert [row[0] for row in lists.sql("SELECT name FROM sqlite_master WHERE type = 'table'")] == ["tasks"]


def test_two_tasks_added_under_one_id_are_reported_and_left(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.sync()
    lists.add("2", "Here")
    lists.sql("INSERT INTO tasks (id, title) VALUES (2, 'There')")
    outcome = lists.sync()
    assert outcome.refused == [("task 2", "it is 'Here' here and 'There' there: give one of them another id")]
    assert (lists.raw("2")["title"], lists.row(2, "title")) == ("Here", "There")
    lists.sql("UPDATE tasks SET id = 3 WHERE id = 2")
    lists.settled()
    assert (lists.row(2, "title"), lists.raw("3")["title"]) == ("Here", "There")
