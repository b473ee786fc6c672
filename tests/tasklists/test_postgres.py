"""What is special about PostgreSQL, against a server that these tests start. ``test_contract.py`` holds the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from support.lists import Crash, statements
from support.postgres import PgLists, Server
from tasklists.test_fencing import race_two_leaders

from peercoord.errors import PeercoordError, StorageError, UsageError
from peercoord.tasklists import runner, selection


@pytest.fixture
def lists(place: Path, running: Server) -> PgLists:
    return PgLists(place, running.database())


def test_adopted_with_a_copy_of_the_table(lists: PgLists) -> None:
    lists.plain((1, "A"))
    store = lists.store()
    lists.sync(store)
    assert store.backup == "peercoord_backup_tasks"
    assert lists.sql("SELECT id, title FROM peercoord_backup_tasks") == [(1, "A")]
    assert lists.sql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'peercoord_backup_tasks'") == [
        (6,)
    ]


def test_an_empty_database_gets_the_table(lists: PgLists) -> None:
    lists.add("1", "A", steps=[{"id": "1.1", "title": "a"}])
    lists.add("2", "B", dependencies=["1"])
    lists.settled()
    assert lists.row(2, "title, dependencies") == ("B", "[1]")
    worker = lists.join()
    worker.request()
    worker.report("1", {"steps": ["1.1"]})
    lists.settled()
    assert json.loads(lists.row(1, "subtasks"))[0]["status"] == "done"


def test_types_of_its_own(lists: PgLists) -> None:
    lists.make(
        """CREATE TYPE mood AS ENUM ('todo', 'in_progress', 'completed');
           CREATE TABLE tasks (id BIGINT GENERATED ALWAYS AS IDENTITY, name VARCHAR(40) NOT NULL, status mood NOT NULL
             DEFAULT 'todo', priority SMALLINT, dependencies BIGINT[], done_at TIMESTAMPTZ, instance_progress JSONB,
             PRIMARY KEY (id));
           INSERT INTO tasks (name, priority, dependencies) VALUES ('A', 0, NULL), ('B', 3, '{1}')"""
    )
    lists.settled()
    assert lists.raw("2")["dependencies"] == [1]
    assert lists.raw("1")["priority"] == "critical"
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.queue.edit("2", dependencies=[], priority="high")
    lists.settled()
    assert lists.row(1) == ("completed", "w1")
    assert lists.row(1, "instance_progress")["progress"] == 1.0
    assert lists.row(2, "priority, dependencies") == (1, [])


def test_a_row_that_the_server_refuses_costs_that_row(lists: PgLists) -> None:
    lists.make("CREATE TABLE tasks (id INTEGER PRIMARY KEY, title VARCHAR(8) NOT NULL, status TEXT)")
    lists.add("1", "short")
    lists.add("2", "much too long for it")
    [(what, why)] = lists.sync().refused
    assert what == "task 2"
    assert "too long" in why
    assert lists.sql("SELECT id, status FROM tasks") == [(1, "pending")]


# -- fencing and transactions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "more", "unique"),
    [
        ("UNIQUE", "", True),
        ("", "CREATE UNIQUE INDEX alone ON tasks (id)", True),
        ("", "CREATE UNIQUE INDEX open_ids ON tasks (id) WHERE status = 'todo'", False),
        ("", "CREATE UNIQUE INDEX pair ON tasks (id, project_id)", False),
    ],
)
def test_a_table_that_names_no_project(lists: PgLists, key: str, more: str, unique: bool) -> None:
    lists.make(
        f"""CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT);
            INSERT INTO projects VALUES (7, 'proj'), (8, 'x');
            CREATE TABLE tasks (id INTEGER {key}, project_id INTEGER, title TEXT, status TEXT); {more};
            INSERT INTO tasks VALUES (10, 7, 'A', 'todo'), (11, 7, 'B', 'todo'), (20, 8, 'C', 'todo');
            CREATE TABLE task_dependencies (task_id TEXT, depends_on TEXT);
            INSERT INTO task_dependencies VALUES ('11', '10'), ('20', '10')"""
    )
    if unique:
        lists.settled()
        assert lists.state("11") == ("waiting", "10")
        assert lists.store().snapshot().refused() == []
    else:
        with pytest.raises(UsageError, match="its table 'task_dependencies' does not say whose a row is"):
            lists.sync()


def test_two_leaders_at_once(lists: PgLists) -> None:
    lists.plain((1, "A"), (2, "B"))
    lists.sync(term=5)
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.sql("UPDATE tasks SET status = 'cancelled' WHERE id = 2")
    race_two_leaders(lists, lambda: PgLists(lists.home, lists.url), rounds=10)
    assert [lists.row(n, "status") for n in (1, 2)] == ["done", "cancelled"]


def test_a_person_who_edits_in_the_middle_is_not_overwritten(lists: PgLists) -> None:
    """Between our reading of a row and our writing of it."""
    lists.plain((1, "A"))
    lists.settled()
    lists.queue.edit("1", title="from here")
    edited: list[str] = []

    def around(statement: str) -> None:
        if statement.startswith("UPDATE tasks") and not edited:
            edited.append(statement)
            with lists.engine.begin() as connection:
                connection.execute(text("UPDATE tasks SET title = 'from there'"))

    with statements(around):
        lists.sync()
    lists.settled()
    assert edited
    assert lists.row(1, "title") == lists.raw("1")["title"] == "from there"
    assert any("'from here'" in note for note in lists.raw("1")["notes"])


def test_killed_at_every_other_statement(lists: PgLists) -> None:
    lists.plain((1, "A"), (2, "B"))
    lists.settled()
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.sql("UPDATE tasks SET title = 'B there' WHERE id = 2")
    at = -1
    while True:
        at += 2
        left = at

        def around(_statement: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash

        try:
            with statements(around):
                lists.sync()
        except Crash:
            assert lists.row(1) == ("pending", None), f"nothing is half written, at statement {at}"
            continue
        break
    assert at > 15
    assert lists.row(1) == ("done", "w1")
    assert lists.raw("2")["title"] == "B there"
    assert lists.sync().comparisons == []


# -- a server with troubles --------------------------------------------------------------------------------------


def test_a_locked_table_is_reported_soon(lists: PgLists) -> None:
    lists.plain((1, "A"))
    lists.settled()
    lists.queue.edit("1", title="B")
    with lists.engine.begin() as connection:
        connection.execute(text("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StorageError) as caught:
            lists.sync(lists.store(wait=0.05))
    assert caught.value.code == "locked"
    lists.settled()
    assert lists.row(1, "title") == "B"


def test_a_connection_lost_in_the_middle_changes_nothing(lists: PgLists) -> None:
    lists.plain((1, "A"))
    lists.settled()
    lists.queue.edit("1", title="B")
    cut: list[bool] = []

    def around(statement: str) -> None:
        if statement.startswith("UPDATE tasks") and not cut:
            cut.append(True)
            with lists.engine.begin() as connection:
                connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                         " WHERE application_name = 'peercoord' AND datname = current_database()")
                )  # fmt: skip

    with statements(around), pytest.raises(StorageError, match="cannot be used"):
        lists.sync()
    assert lists.row(1, "title") == "A"
    lists.settled()
    assert lists.row(1, "title") == "B"


def test_a_server_that_goes_and_comes_back(lists: PgLists, running: Server) -> None:
    lists.plain((1, "A"))
    lists.settled()
    worker = lists.join()
    running.stop()
    try:
        worker.request()
        worker.report("1", {"progress": 0.5})
        worker.complete("1")
        chosen = runner.Lists(lists.root, "w1", selection.Choice(lists.url))
        with pytest.raises(PeercoordError, match="cannot be used"):
            runner.run(chosen)
        assert runner.health(lists.root)["ok"] is False
    finally:
        running.start()
    runner.run(chosen)
    assert lists.row(1) == ("done", "w1")
    assert runner.health(lists.root)["ok"] is True


def test_a_read_only_server_is_reported(lists: PgLists) -> None:
    lists.plain((1, "A"))
    lists.settled()
    lists.queue.edit("1", title="B")
    name = lists.sql("SELECT current_database()")[0][0]
    lists.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(StorageError) as caught:
        lists.sync()
    assert caught.value.code == "read-only"
    with lists.engine.begin() as connection:
        connection.execute(text("SET TRANSACTION READ WRITE"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = off"))
    lists.settled()
    assert lists.row(1, "title") == "B"
