"""Databases that are locked, read-only, corrupt, gone, or on a full disk: told, left as they are, and tried again."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from support.lists import Lists, statements
from support.project import Project, project

from peercoord.doctor.checks import Finding, examine_lists
from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.store import paths
from peercoord.tasklists import runner, selection
from peercoord.tasklists.sql_engine import Address

__all__ = ["project"]


def busy(lists: Lists) -> None:
    """Have changes on both sides that wait to be synced."""
    lists.plain((1, "A"), (2, "B"))
    lists.settled()
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.sql("UPDATE tasks SET title = 'B there' WHERE id = 2")


def in_step(lists: Lists) -> None:
    lists.settled()
    assert lists.row(1) == ("done", "w1")
    assert lists.raw("2")["title"] == "B there"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be another program that writes and does not come to an end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def test_a_locked_database_is_told_soon_and_synced_later(lists: Lists) -> None:
    busy(lists)
    with locked(lists.path), pytest.raises(StorageError, match="locked by another program") as caught:
        lists.sync(lists.store(wait=0.05))
    assert caught.value.code == "locked"
    in_step(lists)


def test_locked_between_taking_in_and_writing_what_came_in_stays_and_the_rest_follows(lists: Lists) -> None:
    busy(lists)
    with ExitStack() as stack:

        def around(statement: str) -> None:
            if statement.startswith("BEGIN IMMEDIATE"):
                stack.enter_context(locked(lists.path))

        with statements(around), pytest.raises(StorageError, match="locked by another program"):
            lists.sync(lists.store(wait=0.05))
    assert lists.raw("2")["title"] == "B there"
    assert lists.row(1, "status") == "pending"
    in_step(lists)


def test_claims_and_reports_go_on_while_a_sync_waits(lists: Lists) -> None:
    """Inside the transaction of a sync: nothing that a peer does touches the database."""
    busy(lists)
    worker = lists.join("w2")
    done: list[str] = []

    def around(statement: str) -> None:
        if statement.startswith("UPDATE peercoord_store") and not done:
            with locked_by_us():
                claim = worker.request()
                assert claim is not None
                worker.report(claim.task, {"progress": 0.5})
                worker.complete(claim.task)
                done.append(claim.task)

    @contextmanager
    def locked_by_us() -> Iterator[None]:
        with closing(sqlite3.connect(lists.path, timeout=0.0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            yield

    with statements(around):
        lists.sync()
    assert done == ["2"]
    lists.settled()
    assert lists.row(2) == ("done", "w2")


@contextmanager
def as_somebody(home: Path, *unwritable: Path) -> Iterator[None]:
    """Be a user who may write everything below a directory but these files, also where the tests run as root."""
    user, changed = os.geteuid(), [(p, p.stat().st_mode) for p in unwritable]
    for path in [home, *home.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o777 if path.is_dir() else 0o666))
    for path in unwritable:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for path, mode in changed:
            path.chmod(mode)


def test_a_read_only_database_is_told_and_nothing_is_lost(lists: Lists) -> None:
    busy(lists)
    with as_somebody(lists.home, lists.path), pytest.raises(StorageError, match="may not be written") as caught:
        lists.sync()
    assert caught.value.code == "read-only"
    in_step(lists)


def test_a_database_of_which_no_backup_can_be_made_is_not_changed(lists: Lists) -> None:
    lists.plain((1, "A"))
    with as_somebody(lists.home, lists.home), pytest.raises(StorageError):
        lists.sync()
    assert lists.sql("SELECT name FROM sqlite_master WHERE type = 'table'") == [("tasks",)]
    lists.home.chmod(0o755)
    lists.settled()


@contextmanager
def full(pages: int) -> Iterator[None]:
    """Let no database grow beyond so many pages, as on a disk that is full."""

    def connect(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(Engine, "connect", connect)
    try:
        yield
    finally:
        event.remove(Engine, "connect", connect)


def test_a_full_disk_changes_nothing_there_and_is_made_up_for(lists: Lists) -> None:
    busy(lists)
    for number in range(3, 60):
        lists.add(str(number), "x" * 400)
    with full(1), pytest.raises(StorageError, match="disk is full") as caught:
        lists.sync()
    assert caught.value.code == "enospc"
    assert lists.row(1, "status") == "pending", "the transaction is whole or not at all"
    in_step(lists)
    assert lists.sql("SELECT count(*) FROM tasks") == [(59,)]


def test_a_corrupt_database_is_told_and_never_replaced(lists: Lists) -> None:
    busy(lists)
    whole = lists.path.read_bytes()
    for garbage in (b"not a database at all, whatever its name", whole[:4096] + os.urandom(len(whole) - 4096)):
        lists.path.write_bytes(garbage)
        with pytest.raises(BrokenFileError, match=r"not a SQLite database|damaged"):
            lists.sync()
        assert lists.path.read_bytes() == garbage
    lists.path.write_bytes(whole)
    in_step(lists)


def test_a_database_that_is_gone_is_told_and_not_made_anew(lists: Lists) -> None:
    busy(lists)
    aside = lists.path.rename(lists.home / "elsewhere.db")
    with pytest.raises(NotFoundError, match="is not there") as caught:
        lists.sync()
    assert caught.value.code == "no-database"
    assert not lists.path.exists()
    aside.rename(lists.path)
    in_step(lists)


def test_a_directory_in_its_place(lists: Lists) -> None:
    lists.path.mkdir()
    with pytest.raises(BrokenFileError, match="not a SQLite database"):
        lists.sync()


def test_a_backup_that_came_back_is_caught_up_with(lists: Lists) -> None:
    """The database as it was an hour ago: what was agreed on is as old as the rows, so nothing is taken for an edit."""
    lists.plain((1, "A"), (2, "B"))
    lists.settled()
    old = lists.path.read_bytes()
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.queue.edit("2", title="B here")
    lists.settled()
    lists.path.write_bytes(old)
    lists.settled()
    assert lists.row(1) == ("done", "w1")
    assert lists.row(2, "title") == lists.raw("2")["title"] == "B here"


def test_an_unreadable_definition_costs_that_task(lists: Lists) -> None:
    busy(lists)
    path = lists.home / paths.ROOT / paths.definition("2")
    path.write_text("{ broken")
    lists.sync()
    assert lists.row(1) == ("done", "w1")
    assert lists.row(2, "title") == "B there", "a row whose task cannot be read is left alone"


# -- noted for doctor --------------------------------------------------------------------------------------------


def test_how_it_went_is_noted(lists: Lists) -> None:
    busy(lists)
    lists.root.protocol["database"] = "memory.db"
    chosen = runner.Lists(lists.root, "w1", selection.Choice("memory.db"), wait=0.05)
    assert runner.troubles(lists.root) == []
    for _ in range(2):
        with locked(lists.path), pytest.raises(StorageError):
            runner.run(chosen)
    record = runner.health(lists.root)
    assert (record["ok"], record["code"], record["last_ok"]) == (False, "locked", None)
    [(what, hint)] = runner.troubles(lists.root)
    assert "locked by another program" in what
    assert record["since"] in what
    assert hint
    runner.run(chosen)
    assert runner.troubles(lists.root) == []
    assert runner.health(lists.root)["last_ok"] > record["since"]
    since = runner.health(lists.root)["last_ok"]
    with locked(lists.path), pytest.raises(StorageError):
        runner.run(chosen)
    assert since in runner.troubles(lists.root)[0][0]


class TestDoctor:
    """What the doctor says of a database that cannot be had: what the leader met, and what is so now."""

    def told(self, lists: Lists) -> list[Finding]:
        return list(examine_lists(lists.root))

    @pytest.fixture
    def chosen(self, lists: Lists) -> runner.Lists:
        busy(lists)
        lists.root.protocol["database"] = "memory.db"
        return runner.Lists(lists.root, "w1", selection.Choice("memory.db"), wait=0.05)

    def met(self, lists: Lists, chosen: runner.Lists, *words: str) -> None:
        """A sync fails; the doctor says why, and with which command to go on."""
        with pytest.raises(PeercoordError):
            runner.run(chosen)
        found = self.told(lists)
        assert all(one.state == "bad" and one.fix for one in found)
        assert "no sync with" in found[0].text
        for word in words:
            assert word in " ".join(one.text for one in found)

    def test_none_is_chosen_and_none_is_missed(self, lists: Lists) -> None:
        assert [(one.state, one.text) for one in self.told(lists)] == [("ok", "none is kept in step")]

    def test_before_the_first_sync_and_after_it(self, lists: Lists, chosen: runner.Lists) -> None:
        assert [(one.state, one.fix) for one in self.told(lists)] == [("warning", "peercoord sync")]
        runner.run(chosen)
        [one] = self.told(lists)
        assert one.state == "ok"
        assert "in step, as of 20" in one.text

    def test_locked(self, lists: Lists, chosen: runner.Lists) -> None:
        with locked(lists.path):
            self.met(lists, chosen, "locked by another program")

    def test_locked_at_this_moment_and_never_met(self, lists: Lists, chosen: runner.Lists) -> None:
        runner.run(chosen)
        with locked(lists.path):
            assert [one.state for one in self.told(lists)] == ["warning"]

    def test_read_only(self, lists: Lists, chosen: runner.Lists) -> None:
        with as_somebody(lists.home, lists.path):
            self.met(lists, chosen, "may not be written")

    def test_read_only_from_now_on(self, lists: Lists, chosen: runner.Lists) -> None:
        runner.run(chosen)
        with as_somebody(lists.home, lists.path):
            [one] = self.told(lists)
        assert (one.state, "may not be written" in one.text) == ("bad", True)
        assert one.fix == f"chmod u+w {shlex.quote(str(lists.path))}"

    def test_corrupt(self, lists: Lists, chosen: runner.Lists) -> None:
        lists.path.write_bytes(b"not a database at all, whatever its name")
        self.met(lists, chosen, "is not a SQLite database")

    def test_full(self, lists: Lists, chosen: runner.Lists) -> None:
        for number in range(3, 60):
            lists.add(str(number), "x" * 400)
        with full(1):
            self.met(lists, chosen, "the disk is full")

    def test_gone(self, lists: Lists, chosen: runner.Lists) -> None:
        lists.path.unlink()
        self.met(lists, chosen, "is not there")

    def test_a_server_that_cannot_be_reached(self, lists: Lists) -> None:
        pytest.importorskip("psycopg")
        lists.root.protocol["database"] = "postgresql://me@127.0.0.1:1/none"
        [one] = self.told(lists)
        assert (one.state, "cannot be used" in one.text) == ("bad", True)

    def test_a_tasks_file_that_is_gone(self, lists: Lists, chosen: runner.Lists) -> None:
        runner.run(chosen)
        lists.root.protocol["tasks_file"] = {"path": "tasks.json"}
        [one] = self.told(lists)
        assert (one.state, "tasks.json" in one.text) == ("bad", True)

    def test_the_command_says_it(self, project: Project) -> None:
        project("sync", "--database", str(project.main / "other.db"))
        (project.main / "other.db").write_bytes(b"not a database at all")
        code, out, _ = project("doctor", "--json")
        found = [one for one in json.loads(out)["data"]["checks"] if one["check"] == "database"]
        assert code == 1
        assert [one["state"] for one in found] == ["bad"]


# -- addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("postgresql://me:s3cret@host/db", "postgresql://me@host/db"),
        ("postgres://me:s3cret@host:5433/db?sslmode=require", "postgresql://me@host:5433/db?sslmode=require"),
        ("postgresql+psycopg://host/db", "postgresql://host/db"),
    ],
)
def test_a_password_is_never_shown(where: str, shown: str) -> None:
    address = Address.read(where)
    assert address.shown == shown
    assert "s3cret" not in address.shown
    assert address.kind == "postgresql"


@pytest.mark.parametrize(
    "where", ["mysql://me:s3cret@host/db", "sqlite://", "sqlite:///:memory:", "postgresql://h:x/d"]
)
def test_addresses_that_are_none(where: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.read(where)
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_a_server_that_is_not_there_is_told(lists: Lists) -> None:
    pytest.importorskip("psycopg")
    chosen = runner.Lists(lists.root, "w1", selection.Choice("postgresql://me:s3cret@127.0.0.1:1/none"))
    with pytest.raises(PeercoordError, match="cannot be used") as caught:
        runner.run(chosen)
    assert "s3cret" not in caught.value.message
    assert "s3cret" not in str(runner.health(lists.root))
