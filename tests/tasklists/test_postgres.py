"""What is special about PostgreSQL, against a server that these tests start. ``test_contract.py`` holds the rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
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


@pytest.fixture
def edited(lists: PgLists) -> PgLists:
    """A list with a title that was edited here, and not yet there."""
    lists.plain((1, "A"))
    lists.settled()
    lists.queue.edit("1", title="B")
    return lists


@pytest.fixture
def worked(lists: PgLists) -> PgLists:
    """A list with changes on both sides."""
    lists.plain((1, "A"), (2, "B"))
    lists.sync(term=5)
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.sql("UPDATE tasks SET title = 'B there', status = 'cancelled' WHERE id = 2")
    return lists


def test_adopted_with_a_copy_of_the_table(lists: PgLists) -> None:
    lists.plain((1, "A"))
    store = lists.store()
    lists.sync(store)
    assert store.backup == "peercoord_backup_tasks"
    assert lists.sql("SELECT id, title FROM peercoord_backup_tasks") == [(1, "A")]
    assert lists.sql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'peercoord_backup_tasks'") == [
        (6,)
    ]


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


def test_two_leaders_at_once(worked: PgLists) -> None:
    race_two_leaders(worked, lambda: PgLists(worked.home, worked.url), rounds=10)
    assert [worked.row(n, "status") for n in (1, 2)] == ["done", "cancelled"]


def before_the_update(happens: Callable[[], object]) -> AbstractContextManager[None]:
    """Let something happen between our reading of the rows and our first writing of one."""
    left = [happens]

    def around(statement: str) -> None:
        if statement.startswith("UPDATE tasks") and left:
            left.pop()()

    return statements(around)


def test_a_person_who_edits_in_the_middle_is_not_overwritten(edited: PgLists) -> None:
    with before_the_update(lambda: edited.sql("UPDATE tasks SET title = 'from there'")):
        edited.sync()
    edited.settled()
    assert edited.row(1, "title") == edited.raw("1")["title"] == "from there"
    assert any("'B'" in note for note in edited.raw("1")["notes"])


def test_a_connection_lost_in_the_middle_changes_nothing(edited: PgLists) -> None:
    ours = "application_name = 'peercoord' AND datname = current_database()"
    ends = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"
    with before_the_update(lambda: edited.sql(ends)), pytest.raises(StorageError, match="cannot be used"):
        edited.sync()
    assert edited.row(1, "title") == "A"
    edited.settled()
    assert edited.row(1, "title") == "B"


def test_killed_at_every_other_statement(worked: PgLists) -> None:
    def killed(at: int) -> bool:
        left = iter(range(at))

        def around(_statement: str) -> None:
            if next(left, None) is None:
                raise Crash

        try:
            with statements(around):
                worked.sync(term=5)
        except Crash:
            return True
        return False

    for at in count(0, 2):
        if not killed(at):
            break
        assert worked.row(1) == ("pending", None), f"nothing is half written, at statement {at}"
    assert at > 14
    assert worked.row(1) == ("done", "w1")
    assert worked.raw("2")["title"] == "B there"
    assert worked.sync(term=5).comparisons == []


# -- a server with troubles --------------------------------------------------------------------------------------


def test_a_locked_table_is_reported_soon(edited: PgLists) -> None:
    with edited.engine.begin() as connection:
        connection.execute(text("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StorageError) as caught:
            edited.sync(edited.store(wait=0.05))
    assert caught.value.code == "locked"
    edited.settled()
    assert edited.row(1, "title") == "B"


def test_a_server_that_goes_and_comes_back(lists: PgLists, running: Server) -> None:
    lists.plain((1, "A"))
    lists.settled()
    worker = lists.join()
    chosen = runner.Lists(lists.root, "w1", selection.Choice(lists.url))
    running.stop()
    try:
        worker.request()
        worker.report("1", {"progress": 0.5})
        worker.complete("1")
        with pytest.raises(PeercoordError, match="cannot be used"):
            runner.run(chosen)
        assert runner.health(lists.root)["ok"] is False
    finally:
        running.start()
    runner.run(chosen)
    assert (lists.row(1), runner.health(lists.root)["ok"]) == (("done", "w1"), True)


def test_a_read_only_server_is_reported(edited: PgLists) -> None:
    setting = f"ALTER DATABASE {edited.sql('SELECT current_database()')[0][0]} SET default_transaction_read_only"
    edited.sql(f"{setting} = on")
    with pytest.raises(StorageError) as caught:
        edited.sync()
    assert caught.value.code == "read-only"
    with edited.engine.begin() as connection:
        connection.execute(text("SET TRANSACTION READ WRITE"))
        connection.execute(text(f"{setting} = off"))
    edited.settled()
    assert edited.row(1, "title") == "B"
