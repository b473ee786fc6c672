from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peercoord.errors import NotFoundError, StorageError, UsageError
from peercoord.tasklists.source import find_source, read_source

Reader = Callable[..., Any]
Maker = Callable[..., Path]

FULL = "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title, status, priority, dependencies);"


# -- telling sources apart ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tasks.db", "no-suffix", "tasks.json", "issues.jsonl", "a b%20c?d#e.db"])
def test_database_is_told_by_its_first_bytes(read: Reader, database: Maker, name: str) -> None:
    assert read(database(FULL, (1, "A", "", "", ""), name=name)).raw("1")["source"]["kind"] == "sqlite"


def test_json_is_read_whatever_the_file_is_called(read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "my list"
    path.write_text('{"tasks": [{"id": 1, "title": "A"}]}')
    assert read(path).raw("1")["source"]["kind"] == "tasks.json"


@pytest.mark.parametrize("name", ["issues.json", "issues.jsonl", "export.txt", "beads"])
def test_one_object_a_line_is_an_export_whatever_it_is_called(read: Reader, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('\n{"id": "bd-1", "title": "A"}\n\n{"id": "bd-2", "title": "B"}\n', encoding="utf-8-sig")
    found = read(path)
    assert [found.raw(task)["source"]["kind"] for task in ("bd-1", "bd-2")] == ["beads", "beads"]
    with pytest.raises(UsageError, match="has no tags"):
        read_source(str(path), "master")


@pytest.mark.parametrize(
    "text", ['{"tasks": [{"id": 1, "title": "A"}]}', '{\n"tasks": [\n{"id": 1, "title": "A"}\n]\n}\n']
)
def test_a_list_on_one_line_or_on_many_is_no_export(read: Reader, tmp_path: Path, text: str) -> None:
    path = tmp_path / "issues.json"
    path.write_text(text)
    assert read(path).raw("1")["source"]["kind"] == "tasks.json"


def test_url_with_full_and_with_relative_path(read: Reader, database: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database(FULL, (1, "A", "", "", ""))
    monkeypatch.chdir(path.parent)
    for url in (f"sqlite:///{path}", "sqlite:///tasks.db", "sqlite+pysqlite:///tasks.db?timeout=5", "tasks.db"):
        assert read(url).raw("1")["source"]["path"] == str(path)


def test_home_is_known(read: Reader, database: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database(FULL, (1, "A", "", "", ""))
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


def test_url_of_a_text_file_is_refused_as_no_database(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text('{"tasks": []}')
    with pytest.raises(Exception, match="not a SQLite database"):
        read_source(f"sqlite:///{path}")


# -- what cannot be read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tasks.json", "tasks.db", "issues.jsonl"])
def test_absent_file_is_named_and_not_made(tmp_path: Path, name: str) -> None:
    for where in (str(tmp_path / name), f"sqlite:///{tmp_path / name}", str(tmp_path / "no" / name)):
        with pytest.raises(NotFoundError) as caught:
            read_source(where)
        assert name in caught.value.message
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["tasks.json", "tasks.db", "issues.jsonl"])
def test_directory_where_a_file_should_be(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="is a directory, not a task file"):
        read_source(str(tmp_path / name))


def test_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tasks.json")
    with pytest.raises(UsageError, match="is no plain file"):
        read_source(str(tmp_path / "tasks.json"))


def test_ring_of_links(tmp_path: Path) -> None:
    (tmp_path / "tasks.json").symlink_to(tmp_path / "tasks.json")
    with pytest.raises(StorageError, match="cannot be read"):
        read_source(str(tmp_path / "tasks.json"))


@pytest.mark.parametrize("where", ["a\0b", "x" * 5000, ""])
def test_impossible_names(where: str) -> None:
    with pytest.raises((StorageError, UsageError)):
        read_source(where)


def test_file_that_may_not_be_read(tmp_path: Path, forbidden: Callable[[Path], Any]) -> None:
    path = tmp_path / "tasks.json"
    path.write_text('{"tasks": []}')
    with forbidden(path), pytest.raises(StorageError) as caught:
        read_source(str(path))
    assert f"'{path}' may not be read" in caught.value.message


def test_hostile_file_name_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        read_source(str(tmp_path / "\x1b[31mred"))
    assert "\x1b" not in caught.value.message


# -- finding a project's source ----------------------------------------------------------------------------------


def test_nothing_to_find(tmp_path: Path) -> None:
    assert find_source(tmp_path) is None
    assert find_source(tmp_path / "absent") is None


def test_tasks_json_comes_first(tmp_path: Path, database: Maker) -> None:
    database(FULL)
    (tmp_path / ".taskmaster" / "tasks").mkdir(parents=True)
    (tmp_path / ".taskmaster" / "tasks" / "tasks.json").write_text("{")
    assert find_source(tmp_path) == str(tmp_path / ".taskmaster" / "tasks" / "tasks.json")


def test_database_in_its_folder_comes_before_the_top_level(tmp_path: Path, database: Maker) -> None:
    database(FULL, name="claude_memory.db")
    assert find_source(tmp_path) == str(tmp_path / "claude_memory.db")
    (tmp_path / ".taskmaster").mkdir()
    database(FULL, name=".taskmaster/own.sqlite3")
    assert find_source(tmp_path) == str(tmp_path / ".taskmaster" / "own.sqlite3")


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
