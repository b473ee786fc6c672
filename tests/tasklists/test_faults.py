"""Databases that are locked, read-only, corrupt, gone, or on a full disk: told, left as they are, and tried again."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from support.lists import Lists, statements
from support.project import project

from peercoord.doctor.checks import examine_lists
from peercoord.errors import BrokenFileError, LostError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.membership.leadership import current_term
from peercoord.store import paths
from peercoord.tasklists import runner, selection
from peercoord.tasklists.sql_engine import Address

__all__ = ["project"]


@pytest.fixture
def busy(lists: Lists) -> Lists:
    """A list with changes on both sides."""
    lists.plain((1, "A"), (2, "B"))
    lists.settled()
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.sql("UPDATE tasks SET title = 'B there' WHERE id = 2")
    return lists


@pytest.fixture
def chosen(busy: Lists) -> runner.Lists:
    """The lists that a sync keeps in step."""
    busy.root.protocol["database"] = "memory.db"
    return runner.Lists(busy.root, "w1", selection.Choice("memory.db"), wait=0.05)


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
def test_a_fault_changes_nothing_and_is_recovered_from(busy: Lists, chosen: runner.Lists, fault: str) -> None:
    """The sync fails with its reason, the doctor repeats it with a command to type, and the next sync catches up."""
    happen, kind, code, words = FAULTS[fault]
    for number in range(3, 60 if fault == "full" else 3):
        busy.add(str(number), "x" * 400)
    assert [(one.state, one.fix) for one in examine_lists(busy.root)] == [("warning", "peercoord sync")]
    assert runner.troubles(busy.root) == []
    with happen(busy.path):
        for _ in range(2):
            with pytest.raises(kind, match=words) as caught:
                runner.run(chosen)
        assert code in ("", caught.value.code)
        found = list(examine_lists(busy.root))
    assert all(one.state == "bad" and one.fix for one in found)
    assert "no sync with" in found[0].text
    assert re.search(words, " ".join(one.text for one in found))
    assert busy.row(1, "status") == "pending", "the transaction is whole or not at all"
    record = runner.health(busy.root)
    assert (record["ok"], record["code"], record["last_ok"]) == (False, caught.value.code, None)
    [(what, hint)] = runner.troubles(busy.root)
    assert (bool(re.search(words, what)), record["since"] in what, bool(hint)) == (True, True, True)
    runner.run(chosen)
    in_step(busy)
    assert runner.troubles(busy.root) == []
    assert runner.health(busy.root)["last_ok"] > record["since"]
    [one] = examine_lists(busy.root)
    assert (one.state, "in step, as of 20" in one.text) == ("ok", True)
    since = runner.health(busy.root)["last_ok"]
    with locked(busy.path), pytest.raises(StorageError):
        runner.run(chosen)
    assert since in runner.troubles(busy.root)[0][0], "the last time when it was in step"


def test_a_lock_between_taking_in_and_writing_loses_nothing(busy: Lists) -> None:
    with ExitStack() as stack:

        def around(statement: str) -> None:
            if statement.startswith("BEGIN IMMEDIATE"):
                stack.enter_context(locked(busy.path))

        with statements(around), pytest.raises(StorageError, match="locked by another program"):
            busy.sync(busy.store(wait=0.05))
    assert busy.raw("2")["title"] == "B there"
    assert busy.row(1, "status") == "pending"
    in_step(busy)


def test_claims_and_reports_go_on_while_a_sync_waits(busy: Lists) -> None:
    """Inside the transaction of a sync: nothing that a peer does touches the database."""
    worker = busy.join("w2")
    done: list[str] = []

    def around(statement: str) -> None:
        if statement.startswith("UPDATE peercoord_store") and not done:
            with closing(sqlite3.connect(busy.path, timeout=0.0)) as other:
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("BEGIN IMMEDIATE")
                claim = worker.request()
                assert claim is not None
                worker.report(claim.task, {"progress": 0.5})
                worker.complete(claim.task)
                done.append(claim.task)

    with statements(around):
        busy.sync()
    assert done == ["2"]
    busy.settled()
    assert busy.row(2) == ("done", "w2")


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
    """What was agreed on is as old as the rows, so nothing is taken for an edit."""
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


def test_an_unreadable_definition_costs_that_task_alone(busy: Lists) -> None:
    path = busy.home / paths.ROOT / paths.definition("2")
    path.write_text("{ broken")
    busy.sync()
    assert busy.row(1) == ("done", "w1")
    assert busy.row(2, "title") == "B there", "a row whose task cannot be read is left alone"


def vanish(state: Path) -> None:
    state.rename(state.with_name("gone"))


def lose_tasks(state: Path) -> None:
    """A deletion (``rm -rf``, ``git clean``) that is half done: the leader's ticket is still there."""
    for name in (paths.BIRTHS, paths.TASKS, paths.QUEUE, paths.RESULTS):
        shutil.rmtree(state / name)


@pytest.mark.parametrize("accident", [vanish, lose_tasks])
@pytest.mark.parametrize("at", [1, 2])
def test_a_directory_deleted_during_a_sync_cancels_no_row(
    busy: Lists, accident: Callable[[Path], None], at: int
) -> None:
    term, calls = current_term(busy.root), 0

    def leads() -> bool:
        nonlocal calls
        calls += 1
        still = current_term(busy.root) == term
        if calls == at:
            accident(busy.home / paths.ROOT)
        return still

    with suppress(LostError):
        busy.sync(leads=leads)
    assert (busy.row(1, "status"), busy.row(2, "status")) == ("pending", "pending")


# -- what the doctor shows ---------------------------------------------------------------------------------------


def test_the_doctor_looks_at_the_lists_as_they_are_now(busy: Lists, chosen: runner.Lists) -> None:
    del busy.root.protocol["database"]
    assert [(one.state, one.text) for one in examine_lists(busy.root)] == [("ok", "none is kept in step")]
    busy.root.protocol["database"] = "memory.db"
    runner.run(chosen)
    with locked(busy.path):
        assert [one.state for one in examine_lists(busy.root)] == ["warning"]
    with as_somebody(busy.home, busy.path):
        [one] = examine_lists(busy.root)
    assert (one.state, "may not be written" in one.text) == ("bad", True)
    assert one.fix == f"chmod u+w {shlex.quote(str(busy.path))}"
    busy.root.protocol["tasks_file"] = {"path": "tasks.json"}
    [one] = examine_lists(busy.root)
    assert (one.state, "tasks.json" in one.text) == ("bad", True)


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
    assert (address.shown, address.path) == (shown, None)


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
