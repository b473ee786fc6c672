"""Databases that are locked, read-only, corrupt, gone, or on a full disk: told, left as they are, and tried again."""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from support.lists import Lists, statements
from support.project import Project, project

from peercoord.doctor.checks import examine_lists
from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.store import paths
from peercoord.tasklists import runner, selection
from peercoord.tasklists.sql_engine import Address

__all__ = ["project"]


def busy(lists: Lists) -> None:
    """Make changes on both sides."""
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
    """Lock the database, as another program that writes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


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


@contextmanager
def replaced(path: Path, garbage: bytes) -> Iterator[None]:
    """Put other bytes in the place of a database; nobody may write to them."""
    whole = path.read_bytes()
    path.write_bytes(garbage)
    yield
    assert path.read_bytes() == garbage
    path.write_bytes(whole)


@contextmanager
def elsewhere(path: Path) -> Iterator[None]:
    """Take the database away; nobody may make a new one."""
    aside = path.rename(path.with_name("elsewhere.db"))
    yield
    assert not path.exists()
    aside.rename(path)


def damaged(path: Path) -> AbstractContextManager[None]:
    whole = path.read_bytes()
    return replaced(path, whole[:4096] + os.urandom(len(whole) - 4096))


FAULTS: dict[str, tuple[Callable[[Path], AbstractContextManager[None]], type[PeercoordError], str, str]] = {
    "locked": (locked, StorageError, "locked", "locked by another program"),
    "read-only": (lambda path: as_somebody(path.parent, path), StorageError, "read-only", "may not be written"),
    "full": (lambda _: full(1), StorageError, "enospc", "the disk is full"),
    "garbage": (lambda path: replaced(path, b"no database"), BrokenFileError, "", "is not a SQLite database"),
    "damaged": (damaged, BrokenFileError, "", "damaged|not a SQLite database"),
    "gone": (elsewhere, NotFoundError, "no-database", "is not there"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_changes_nothing_and_is_recovered_from(lists: Lists, fault: str) -> None:
    """The sync fails with its reason, the doctor repeats it with a command to type, and the next sync catches up."""
    happen, kind, code, words = FAULTS[fault]
    busy(lists)
    for number in range(3, 60 if fault == "full" else 3):
        lists.add(str(number), "x" * 400)
    lists.root.protocol["database"] = "memory.db"
    chosen = runner.Lists(lists.root, "w1", selection.Choice("memory.db"), wait=0.05)
    with happen(lists.path):
        with pytest.raises(kind, match=words) as caught:
            runner.run(chosen)
        assert code in ("", caught.value.code)
        found = list(examine_lists(lists.root))
    assert all(one.state == "bad" and one.fix for one in found)
    assert "no sync with" in found[0].text
    assert re.search(words, " ".join(one.text for one in found))
    assert lists.row(1, "status") == "pending", "the transaction is whole or not at all"
    runner.run(chosen)
    in_step(lists)
    [one] = examine_lists(lists.root)
    assert (one.state, "in step, as of 20" in one.text) == ("ok", True)


def test_a_lock_between_taking_in_and_writing_loses_nothing(lists: Lists) -> None:
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


def test_without_a_backup_a_database_is_not_changed(lists: Lists) -> None:
    lists.plain((1, "A"))
    with as_somebody(lists.home, lists.home), pytest.raises(StorageError):
        lists.sync()
    assert lists.sql("SELECT name FROM sqlite_master WHERE type = 'table'") == [("tasks",)]
    lists.home.chmod(0o755)
    lists.settled()


def test_a_directory_in_the_place_of_the_database(lists: Lists) -> None:
    lists.path.mkdir()
    with pytest.raises(BrokenFileError, match="not a SQLite database"):
        lists.sync()


def test_a_restored_backup_is_caught_up_with(lists: Lists) -> None:
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


def test_an_unreadable_definition_costs_that_task_alone(lists: Lists) -> None:
    busy(lists)
    path = lists.home / paths.ROOT / paths.definition("2")
    path.write_text("{ broken")
    lists.sync()
    assert lists.row(1) == ("done", "w1")
    assert lists.row(2, "title") == "B there", "a row whose task cannot be read is left alone"


# -- noted for doctor --------------------------------------------------------------------------------------------


def test_the_outcome_of_a_sync_is_noted(lists: Lists) -> None:
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


def doctor(lists: Lists) -> list[tuple[str, str]]:
    return [(one.state, one.text) for one in examine_lists(lists.root)]


def test_the_doctor_looks_at_the_lists_as_they_are_now(lists: Lists) -> None:
    assert doctor(lists) == [("ok", "none is kept in step")]
    busy(lists)
    lists.root.protocol["database"] = "memory.db"
    assert [(one.state, one.fix) for one in examine_lists(lists.root)] == [("warning", "peercoord sync")]
    runner.run(runner.Lists(lists.root, "w1", selection.Choice("memory.db")))
    with locked(lists.path):
        assert [state for state, _ in doctor(lists)] == ["warning"]
    with as_somebody(lists.home, lists.path):
        [one] = examine_lists(lists.root)
    assert (one.state, "may not be written" in one.text) == ("bad", True)
    assert one.fix == f"chmod u+w {shlex.quote(str(lists.path))}"
    lists.root.protocol["tasks_file"] = {"path": "tasks.json"}
    [(state, text)] = doctor(lists)
    assert (state, "tasks.json" in text) == ("bad", True)


def test_doctor_shows_a_broken_database(project: Project) -> None:
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
def test_an_address_of_no_database_is_refused(where: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.read(where)
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_an_unreachable_server_is_reported_without_its_password(lists: Lists) -> None:
    pytest.importorskip("psycopg")
    lists.root.protocol["database"] = "postgresql://me@127.0.0.1:1/none"
    [one] = examine_lists(lists.root)
    assert (one.state, "cannot be used" in one.text) == ("bad", True)
    chosen = runner.Lists(lists.root, "w1", selection.Choice("postgresql://me:s3cret@127.0.0.1:1/none"))
    with pytest.raises(PeercoordError, match="cannot be used") as caught:
        runner.run(chosen)
    assert "s3cret" not in caught.value.message
    assert "s3cret" not in str(runner.health(lists.root))
