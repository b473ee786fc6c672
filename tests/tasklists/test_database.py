"""A TaskMaster database and the tickets, both ways, through everything that a task goes through."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.lists import Lists

from peercoord.errors import EvictedError, LostError, UsageError
from peercoord.queue.reassign import reassign

# -- adopting ----------------------------------------------------------------------------------------------------


def test_tasks_come_in_and_the_rows_stay_as_they_were(lists: Lists) -> None:
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


def test_ids_that_are_no_numbers_get_a_table_that_can_hold_them(lists: Lists) -> None:
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


def test_two_reports_of_one_second_both_go_out(place: Path) -> None:
    lists = Lists(place, frozen=True)
    lists.plain((1, "Foundation"))
    lists.sync()
    worker = lists.join()
    worker.request()
    for share in (0.0, 0.4, 0.7):
        worker.report("1", {"progress": share})
        lists.sync()
        assert json.loads(lists.row(1, "instance_progress"))["progress"] == share


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


def test_every_time_in_a_peers_hands_is_one_row(lists: Lists) -> None:
    lists.plain((1, "Foundation"))
    lists.sync()
    first, second = lists.join("w1"), lists.join("w2")
    first.request()
    first.release("1", "lunch")
    second.request()
    second.fail("1", "it broke")
    first.request()
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


def test_what_happened_between_two_syncs_while_the_ticket_stayed_in_place_goes_out(lists: Lists) -> None:
    lists.plain((1, "Foundation"))
    lists.sync()
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.settled()
    lists.queue.reopen("1")
    other = lists.join("w2")
    other.request()
    other.complete("1")
    lists.settled()
    assert lists.row(1) == ("done", "w2")
    assert lists.sql("SELECT epoch, instance_id, status FROM instance_assignments") == [
        (1, "w1", "done"),
        (2, "w2", "done"),
    ]


def test_parked_tasks_say_why(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B"), (3, "C"))
    lists.sync()
    worker = lists.join()
    for why in ("blocked", "review"):
        claim = worker.request()
        assert claim is not None
        worker.park(claim.task, why, f"it is {why}, says w1")
    lists.queue.cancel("3", "no longer wanted")
    lists.settled()
    assert [lists.row(t, "status") for t in (1, 2, 3)] == ["blocked", "review", "cancelled"]
    assert json.loads(lists.row(1, "coordination_data"))["reason"] == "it is blocked, says w1"
    assert json.loads(lists.row(3, "coordination_data"))["reason"] == "no longer wanted"
    lists.queue.reopen("2")
    lists.settled()
    assert lists.row(2, "status") == "pending"


def test_poison_is_blocked_there_with_its_attempts(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.sync()
    worker = lists.join()
    for _ in range(3):
        worker.request()
        worker.fail("1", "no")
    assert lists.state("1") == ("parked", "failed")
    lists.settled()
    assert lists.row(1, "status") == "blocked"
    assert json.loads(lists.row(1, "coordination_data"))["attempts"] == 3
    lists.sql("UPDATE tasks SET status = 'pending'")
    lists.settled()
    assert lists.state("1")[0] == "ready", "a person said: try again"


def test_what_an_import_parked_is_told_without_touching_what_was_written(lists: Lists) -> None:
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


# -- what people do there ----------------------------------------------------------------------------------------


def test_new_rows_and_edits_come_in(lists: Lists) -> None:
    lists.plain((1, "Foundation"), (2, "Parser"))
    lists.sync()
    lists.sql(
        "UPDATE tasks SET title = 'Ground', description = 'deeper', priority = 'low', dependencies = '[2]' WHERE id = 1"
    )
    lists.sql("INSERT INTO tasks (id, title, priority) VALUES (3, 'Third', 'critical')")
    assert lists.sync().added == ["3"]
    raw = lists.raw("1")
    assert (raw["title"], raw["description"], raw["priority"], raw["dependencies"]) == ("Ground", "deeper", "low", [2])
    assert lists.state("1") == ("waiting", "2")
    assert lists.state("3") == ("ready", "0")
    lists.settled()


def test_edits_here_go_out(lists: Lists) -> None:
    lists.plain((1, "Foundation"), (2, "Parser"))
    lists.sync()
    lists.queue.edit("1", title="Ground", description="d", priority="critical", dependencies=[2])
    lists.settled()
    assert lists.row(1, "title, description, priority, dependencies") == ("Ground", "d", "critical", "[2]")


def test_of_two_edits_of_one_field_theirs_wins_and_ours_is_kept_in_the_notes(lists: Lists) -> None:
    lists.plain((1, "Foundation"))
    lists.sync()
    lists.queue.edit("1", title="from here", priority="low")
    lists.sql("UPDATE tasks SET title = 'from there'")
    lists.settled()
    raw = lists.raw("1")
    assert (raw["title"], raw["priority"]) == ("from there", "low")
    assert lists.row(1, "title, priority") == ("from there", "low"), "fields are compared one by one"
    assert any("'from here'" in note for note in raw["notes"])


def test_done_by_hand_counts_whoever_holds_it(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B", "", "pending", "medium", "[1]"))
    lists.sync()
    worker = lists.join()
    worker.request()
    lists.settled()
    lists.sql("UPDATE tasks SET status = 'done' WHERE id = 1")
    lists.settled()
    assert lists.state("1")[0] == "done"
    assert lists.state("2")[0] == "ready", "what waited for it goes on"
    with pytest.raises(LostError, match="task 1 is done"):
        worker.report("1", {"progress": 0.9})
    assert lists.row(1) == ("done", None)
    assert lists.sql("SELECT instance_id, status, ended_at IS NULL FROM instance_assignments") == [
        ("w1", "released", 0)
    ]


def test_a_cancellation_reaches_a_holder_at_its_next_call_and_nobody_after_it(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B", "", "pending", "medium", "[1]"))
    lists.sync()
    worker = lists.join()
    worker.request()
    lists.sql("UPDATE tasks SET status = 'cancelled' WHERE id = 1")
    lists.settled()
    assert lists.state("1") == ("claimed", str(worker.me))
    assert lists.state("2") == ("parked", "blocked")
    assert lists.row(1, "status") == "cancelled"
    worker.release("1")
    assert lists.state("1") == ("parked", "cancelled")
    lists.sql("UPDATE tasks SET status = 'pending' WHERE id = 1")
    lists.settled()
    assert [lists.state(t)[0] for t in "12"] == ["ready", "waiting"]


def test_a_cancelled_task_that_its_holder_finished_is_done(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.sync()
    worker = lists.join()
    worker.request()
    lists.sql("UPDATE tasks SET status = 'cancelled' WHERE id = 1")
    lists.settled()
    worker.complete("1")
    lists.settled()
    assert lists.row(1) == ("done", "w1")


@pytest.mark.parametrize("word", ["pending", "review", "deferred", "blocked"])
def test_other_words_do_not_take_a_task_out_of_someones_hands(lists: Lists, word: str) -> None:
    lists.plain((1, "A"))
    lists.sync()
    worker = lists.join()
    worker.request()
    lists.settled()
    lists.sql("UPDATE tasks SET status = ? WHERE id = 1", word)
    lists.settled()
    assert lists.row(1) == ("in-progress", "w1")
    assert worker.report("1", {"progress": 0.5})["progress"] == 0.5


@pytest.mark.parametrize(
    ("word", "parked"),
    [("in-progress", "held"), ("review", "review"), ("deferred", "deferred"), ("on-hold", "blocked")],
)
def test_a_task_that_a_person_sets_aside_is_parked_and_comes_back(lists: Lists, word: str, parked: str) -> None:
    lists.plain((1, "A"))
    lists.sync()
    lists.sql("UPDATE tasks SET status = ? WHERE id = 1", word)
    lists.settled()
    assert lists.state("1") == ("parked", parked)
    assert lists.row(1, "status") == word
    lists.sql("UPDATE tasks SET status = 'pending' WHERE id = 1")
    lists.settled()
    assert lists.state("1")[0] == "ready"
    assert "parked" not in lists.raw("1")


def test_opened_again_by_hand_it_goes_on_from_its_highest_epoch(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.sync()
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.settled()
    lists.sql("UPDATE tasks SET status = 'pending'")
    lists.settled()
    claim = lists.join("w2").request()
    assert claim is not None
    assert claim.ticket.epoch == 2


def test_a_deleted_row_cancels_and_is_not_written_again(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B"))
    lists.sync()
    lists.sql("DELETE FROM tasks WHERE id = 1")
    lists.settled()
    assert lists.state("1") == ("parked", "cancelled")
    assert "deleted" in lists.raw("1")["cancelled"]["reason"]
    assert lists.sql("SELECT id FROM tasks") == [(2,)]
    lists.queue.reopen("1")
    lists.settled()
    assert lists.row(1, "status") == "pending", "taken up again, it has a row again"


def test_a_deleted_row_of_a_finished_task_changes_nothing(lists: Lists) -> None:
    lists.plain((1, "A", "", "done"))
    lists.sync()
    lists.sql("DELETE FROM tasks")
    lists.settled()
    assert lists.state("1")[0] == "done"


def test_an_emptied_table_cancels_nothing(lists: Lists) -> None:
    lists.plain(*((number, f"T{number}") for number in range(1, 9)))
    lists.sync()
    lists.sql("DELETE FROM tasks")
    with pytest.raises(UsageError, match="8 of 8 tasks have no row any more") as caught:
        lists.sync()
    assert caught.value.code == "rows-gone"
    assert lists.state("5")[0] == "ready"
    lists.sync(restore=True)
    assert len(lists.sql("SELECT id FROM tasks")) == 8


def test_a_row_that_comes_back_is_taken_up_again(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.sync()
    lists.sql("DELETE FROM tasks")
    lists.settled()
    lists.sql("INSERT INTO tasks (id, title, status) VALUES (1, 'A', 'pending')")
    lists.settled()
    assert lists.state("1")[0] == "ready"


def test_a_cycle_that_comes_in_is_refused_and_both_sides_stay(lists: Lists) -> None:
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


def test_a_row_that_is_no_task_any_more_is_no_decision_about_it(lists: Lists) -> None:
    lists.plain((1, "A"), (2, "B"))
    lists.sync()
    lists.sql("UPDATE tasks SET title = '' WHERE id = 1")
    lists.sync()
    assert lists.state("1")[0] == "ready"
    assert lists.row(1, "title") == ""
    lists.queue.edit("2", title="B2")
    lists.sync()
    assert lists.row(2, "title") == "B2", "the others go on"


def test_hostile_text_comes_in_as_an_import_would_take_it(lists: Lists) -> None:
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


def test_tasks_that_were_imported_from_the_database_are_the_same_tasks(lists: Lists) -> None:
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


def test_a_database_with_other_tasks_under_the_same_ids_is_refused_whole(lists: Lists) -> None:
    lists.add("1", "Here")
    lists.plain((1, "There"), (2, "Two"))
    with pytest.raises(UsageError, match="'Here' here and 'There' there") as caught:
        lists.sync()
    assert caught.value.code == "id-clash"
    assert lists.queue.all_tasks() == ["1"]
    assert [row[0] for row in lists.sql("SELECT name FROM sqlite_master WHERE type = 'table'")] == ["tasks"]


def test_two_tasks_added_under_one_id_at_the_same_time_are_told_and_left(lists: Lists) -> None:
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


def test_two_rows_of_one_id_are_left_alone(lists: Lists) -> None:
    lists.make(
        """CREATE TABLE tasks (id INTEGER, title TEXT, status TEXT);
           INSERT INTO tasks VALUES (1, 'A', 'todo'), (2, 'B', 'todo'), (2, 'B again', 'todo');"""
    )
    outcome = lists.sync()
    assert outcome.added == ["1"]
    why = ("task '2'", "two rows have this id; neither is kept in step until one of them has another id")
    assert why in outcome.refused
    assert lists.sync().refused == [why], "named until it is settled"
    lists.sql("DELETE FROM tasks WHERE title = 'B again'")
    assert lists.sync().refused == []


def test_a_zombie_learns_of_it_through_the_tickets_not_the_database(lists: Lists) -> None:
    lists.plain((1, "A"))
    lists.sync()
    worker = lists.join()
    worker.request()
    lists.settled()
    lists.evict(worker)
    lists.settled()
    assert lists.row(1) == ("pending", None)
    with pytest.raises(EvictedError):
        worker.complete("1")
    lists.settled()
    assert lists.row(1, "status") == "pending"
