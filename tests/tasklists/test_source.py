from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.tasklists.source import find_source, read_source

Reader = Callable[..., Any]
Maker = Callable[..., Path]

FULL = "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title, status, priority, dependencies);"


# -- telling sources apart ---------------------------------------------------------------------------------------


LIST, EXPORT = '{"tasks": [{"id": 1, "title": "A"}]}', '\n{"id": "1", "title": "A"}\n\n{"id": "2", "title": "B"}\n'


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        *((name, "", "sqlite") for name in ("tasks.db", "no-suffix", "tasks.json", "issues.jsonl", "a b%20c?d#e.db")),
        ("my list", LIST, "tasks.json"),
        ("issues.json", LIST, "tasks.json"),
        ("issues.json", LIST.replace("[", "\n[\n").replace("]", "\n]\n"), "tasks.json"),
        *((name, EXPORT, "beads") for name in ("issues.json", "issues.jsonl", "export.txt", "beads")),
    ],
)
def test_the_content_alone_decides_the_kind(
    read: Reader, database: Maker, tmp_path: Path, name: str, text: str, kind: str
) -> None:
    path = tmp_path / name
    if text:
        path.write_text(text, encoding="utf-8-sig" if kind == "beads" else "utf-8")
    else:
        database(FULL, (1, "A", "", "", ""), name=name)
    assert read(path).raw("1")["source"]["kind"] == kind
    if kind == "beads":
        with pytest.raises(UsageError, match="has no tags"):
            read_source(str(path), "master")


def test_urls_and_paths_of_a_database(read: Reader, database: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database(FULL, (1, "A", "", "", ""))
    monkeypatch.chdir(path.parent)
    for url in (f"sqlite:///{path}", "sqlite:///tasks.db", "sqlite+pysqlite:///tasks.db?timeout=5", "tasks.db"):
        assert read(url).raw("1")["source"]["path"] == str(path)
    monkeypatch.setenv("HOME", str(path.parent))
    assert len(read("~/tasks.db").tasks) == len(read("sqlite:///~/tasks.db").tasks) == 1


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("sqlite://", "sqlite:///PATH"),
        ("sqlite:///", "sqlite:///PATH"),
        ("sqlite:///:memory:", "sqlite:///PATH"),
        ("sqlite://host/x.db", "sqlite:///PATH"),
        ("mysql://ann:secret@host/db", "sqlite:///PATH"),
        ("postgresql://ann:secret@host/db", "--database"),
        ("postgres://host/db", "--database"),
        ("postgresql+psycopg://host/db", "--database"),
    ],
)
def test_a_url_that_names_no_file_is_refused_with_another_way(url: str, instead: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_source(url)
    assert "secret" not in caught.value.message + caught.value.hint
    assert instead in caught.value.hint


# -- what cannot be read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tasks.json", "tasks.db", "issues.jsonl", "\x1b[31mred"])
def test_an_absent_file_is_named_and_not_made(tmp_path: Path, name: str) -> None:
    for where in (str(tmp_path / name), f"sqlite:///{tmp_path / name}", str(tmp_path / "no" / name)):
        with pytest.raises(NotFoundError) as caught:
            read_source(where)
        assert name.removeprefix("\x1b") in caught.value.message
        assert "\x1b" not in caught.value.message
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (Path.mkdir, UsageError, "is a directory, not a task file"),
        (os.mkfifo, UsageError, "is no plain file"),
        (lambda path: path.symlink_to(path), StorageError, "cannot be read"),
    ],
)
def test_what_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], None], kind: type[PeercoordError], says: str
) -> None:
    path = tmp_path / "tasks.json"
    make(path)
    with pytest.raises(kind, match=says):
        read_source(str(path))


@pytest.mark.parametrize("where", ["a\0b", "x" * 5000, ""])
def test_impossible_names_are_refused(where: str) -> None:
    with pytest.raises((StorageError, UsageError)):
        read_source(where)


@contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """Make a file that this process may not read, also where it runs as root."""
    user, mode = os.geteuid(), path.stat().st_mode
    path.chmod(0)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        path.chmod(mode & 0o7777)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text('{"tasks": []}')
    with pytest.raises(BrokenFileError, match="not a SQLite database"):
        read_source(f"sqlite:///{path}")
    with forbidden(path), pytest.raises(StorageError) as caught:
        read_source(str(path))
    assert f"'{path}' may not be read" in caught.value.message


# -- finding a project's source ----------------------------------------------------------------------------------


def test_a_tasks_json_comes_first_then_a_database(tmp_path: Path, database: Maker) -> None:
    assert find_source(tmp_path) is None
    assert find_source(tmp_path / "absent") is None
    database(FULL, name="claude_memory.db")
    assert find_source(tmp_path) == str(tmp_path / "claude_memory.db")
    (tmp_path / ".taskmaster" / "tasks").mkdir(parents=True)
    database(FULL, name=".taskmaster/own.sqlite3")
    assert find_source(tmp_path) == str(tmp_path / ".taskmaster" / "own.sqlite3")
    (tmp_path / ".taskmaster" / "tasks" / "tasks.json").write_text("{")
    assert find_source(tmp_path) == str(tmp_path / ".taskmaster" / "tasks" / "tasks.json")


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE tasks (id, title, status, priority);",
        "CREATE TABLE tasks (id, title, status, dependencies);",
        "CREATE TABLE todos (id, title, status, priority, dependencies);",
    ],
)
def test_database_of_an_application_is_left_alone(tmp_path: Path, database: Maker, script: str) -> None:
    database(script)
    (tmp_path / "broken.db").write_bytes(b"no database")
    (tmp_path / "folder.db").mkdir()
    assert find_source(tmp_path) is None


def test_edges_in_their_own_table_will_do(tmp_path: Path, database: Maker) -> None:
    database("CREATE TABLE tasks (id, name, state, priority); CREATE TABLE task_dependencies (task_id, depends_on);")
    assert find_source(tmp_path) == str(tmp_path / "tasks.db")


def test_several_databases_are_for_a_person_to_choose_from(tmp_path: Path, database: Maker) -> None:
    database(FULL, name="a.db")
    database(FULL, name="b.db")
    with pytest.raises(UsageError) as caught:
        find_source(tmp_path)
    assert "'a.db', 'b.db'" in caught.value.message
    assert "--tasks" in caught.value.hint


def test_the_home_directory_is_not_searched(tmp_path: Path, database: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    database(FULL)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "project").mkdir()
    assert find_source(tmp_path / "project") is None


def test_what_is_found_can_be_read(data: Path) -> None:
    found = find_source(data / "tagged")
    assert found is not None
    assert len(read_source(found, "master").tasks) == 6
