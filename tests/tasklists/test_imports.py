"""What an import takes for a list of tasks, and what it refuses; ``stories/read_*.txt`` hold what it finds in one."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.engine import Engine
from support.lists import make_database, make_shared_database

from peercoord.errors import BrokenFileError, NotFoundError, PeercoordError, StorageError, UsageError
from peercoord.store import ids, records
from peercoord.tasklists import sql_rows, tasks_json
from peercoord.tasklists.imported import Origin, build
from peercoord.tasklists.source import Reading, find_source, read_source

FULL = "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title, status, priority, dependencies);"
LIST, EXPORT = '{"tasks": [{"id": 1, "title": "A"}]}', '\n{"id": "1", "title": "A"}\n\n{"id": "2", "title": "B"}\n'


def script(path: Path, text: str = FULL) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(text)
    return path


def titles(reading: Reading) -> list[str]:
    return [task.definition.title for task in reading.tasks]


# -- which kind of list ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        *((name, "", "sqlite") for name in ("tasks.db", "no-suffix", "tasks.json", "issues.jsonl", "a b%20c?d#e.db")),
        *((name, LIST, "tasks.json") for name in ("my list", "issues.json")),
        ("issues.json", LIST.replace("[", "\n[\n").replace("]", "\n]\n"), "tasks.json"),
        *((name, EXPORT, "beads") for name in ("issues.json", "issues.jsonl", "export.txt", "beads")),
    ],
)
def test_the_content_alone_decides_the_kind(tmp_path: Path, name: str, text: str, kind: str) -> None:
    path = tmp_path / name
    if text:
        path.write_text(text, encoding="utf-8-sig" if kind == "beads" else "utf-8")
    else:
        make_database(path, (1, "A", "pending"))
    assert read_source(str(path)).tasks[0].definition.raw["source"]["kind"] == kind
    if kind == "beads":
        with pytest.raises(UsageError, match="has no tags"):
            read_source(str(path), "master")


def test_a_database_is_named_by_path_or_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_database(tmp_path / "tasks.db", (1, "A", "pending"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    urls = (f"sqlite:///{path}", "sqlite:///tasks.db", "sqlite+pysqlite:///tasks.db?timeout=5", "sqlite:///~/tasks.db")
    for where in (*urls, "tasks.db", "~/tasks.db"):
        assert read_source(where).tasks[0].definition.raw["source"]["path"] == str(path)


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        *((url, "sqlite:///PATH") for url in ("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://host/x.db")),
        ("mysql://ann:secret@host/db", "sqlite:///PATH"),
        *((f"{kind}://ann:secret@host/db", "--database") for kind in ("postgresql", "postgres", "postgresql+psycopg")),
    ],
)
def test_a_url_that_names_no_file_is_refused_with_another_way(url: str, instead: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_source(url)
    assert "secret" not in caught.value.message + caught.value.hint
    assert instead in caught.value.hint


# -- files that cannot be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tasks.json", "tasks.db", "issues.jsonl", "\x1b[31mred"])
def test_an_absent_file_is_named_and_not_made(tmp_path: Path, name: str) -> None:
    for where in (str(tmp_path / name), f"sqlite:///{tmp_path / name}", str(tmp_path / "no" / name)):
        with pytest.raises(NotFoundError) as caught:
            read_source(where)
        assert name.removeprefix("\x1b") in caught.value.message
        assert "\x1b" not in caught.value.message
    assert os.listdir(tmp_path) == []


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be a user whom permissions bind, also where the tests run as root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (Path.mkdir, UsageError, "is a directory, not a task file"),
        (os.mkfifo, UsageError, "is no plain file"),
        (lambda path: path.symlink_to(path), StorageError, "cannot be read"),
        (lambda path: path.touch(0), StorageError, "may not be read"),
    ],
)
def test_what_cannot_be_read_is_refused(
    place: Path, make: Callable[[Path], None], kind: type[PeercoordError], says: str
) -> None:
    place.chmod(0o755)
    make(place / "tasks.json")
    with unprivileged(), pytest.raises(kind, match=says):
        read_source(str(place / "tasks.json"))


@pytest.mark.parametrize("where", ["a\0b", "x" * 5000, ""])
def test_impossible_names_are_refused(where: str) -> None:
    with pytest.raises((StorageError, UsageError)):
        read_source(where)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("tasks.json", b"", "is empty"),
        ("tasks.json", b"\x7fELF\x02\x01\xff\xfe", "not text in UTF-8 (byte 6)"),
        ("tasks.json", b"{\x00\x01", "is not JSON"),
        ("tasks.json", b"[]", "no JSON object"),
        ("tasks.json", b"null", "no JSON object"),
        ("tasks.json", b"{}", "no list of tasks"),
        ("tasks.json", b'{"tasks": {}}', "no list of tasks"),
        ("tasks.json", b'{"master": {"tasks": 5}}', "no list of tasks"),
        ("tasks.json", b"[" * 100_000, "nested too deeply"),
        ("tasks.json", b'{"tasks": [{"id": ' + b"1" * 5000 + b"}]}", "is not JSON"),
        ("tasks.json", b'{"tasks": [\n<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> x\n]}', "resolve the merge conflict"),
        ("issues.jsonl", b"", "is empty"),
        ("issues.jsonl", b"\n\n", "holds no issues"),
        ("issues.jsonl", b"{\n", "holds no issues (line 1: it is not JSON"),
        ("issues.jsonl", b"5\n", "holds no issues (line 1: it is no issue)"),
        ("issues.jsonl", b"\xff\n", "not text in UTF-8"),
        ("issues.jsonl", b"[" * 100_000, "holds no issues (line 1: it is not JSON"),
        ("tasks.db", b"", "is empty"),
        ("tasks.db", b"hello", "is not a SQLite database"),
        ("tasks.db", b"SQLite format 3\0", "is not a SQLite database"),
        ("tasks.db", b"SQLite format 3\0" + b"\xff" * 5000, "is not a SQLite database"),
    ],
)
def test_a_file_of_another_kind_is_named_and_left(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BrokenFileError) as caught:
        read_source(str(path))
    assert says in caught.value.message + caught.value.hint
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert (path.read_bytes(), os.listdir(tmp_path)) == (content, [name])


def test_a_truncated_file_is_refused_with_line_and_column(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    whole = (data / "tagged/.taskmaster/tasks/tasks.json").read_bytes()
    for size in range(1, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(BrokenFileError, match=r"line \d+ column \d+"):
            read_source(str(path))


# -- a project's list --------------------------------------------------------------------------------------------


def test_a_tasks_json_comes_first_then_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(script(tmp_path / "home.db").parent))
    project, folder = tmp_path / "project", tmp_path / "project" / ".taskmaster"
    assert find_source(project) is None, "an absent directory, and the home directory is not searched"
    for path in (project / "claude_memory.db", folder / "own.sqlite3"):
        script(path)
        assert find_source(project) == str(path)
    (folder / "tasks").mkdir()
    (folder / "tasks" / "tasks.json").write_text("{")
    assert find_source(project) == str(folder / "tasks" / "tasks.json")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CREATE TABLE tasks (id, title, status, priority);", False),
        ("CREATE TABLE tasks (id, title, status, dependencies);", False),
        ("CREATE TABLE todos (id, title, status, priority, dependencies);", False),
        ("CREATE TABLE tasks (id, name, state, priority); CREATE TABLE task_dependencies (task_id, depends_on);", True),
    ],
)
def test_a_database_of_an_application_is_left_alone(tmp_path: Path, text: str, found: bool) -> None:
    path = script(tmp_path / "tasks.db", text)
    (tmp_path / "broken.db").write_bytes(b"no database")
    (tmp_path / "folder.db").mkdir()
    assert find_source(tmp_path) == (str(path) if found else None)


def test_several_databases_are_for_a_person_to_choose_from(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        script(tmp_path / name)
    with pytest.raises(UsageError, match=r"'a\.db', 'b\.db'") as caught:
        find_source(tmp_path)
    assert "--tasks" in caught.value.hint


@pytest.mark.parametrize(
    ("tags", "state", "found"),
    [
        (["only"], None, "only"),
        (["only"], '{"currentTag": "gone"}', "only"),
        (["a", "master"], None, "master"),
        (["a", "master"], "{}", "master"),
        (["a", "master"], '{"currentTag": "a"}', "a"),
        (["tasks", "metadata"], '{"currentTag": "tasks"}', "tasks"),
        (["a", "b"], None, "say which with --tag: 'a', 'b'"),
        (["a", "b"], '{"currentTag": "gone"}', "say which with --tag: 'a', 'b'"),
        (["a", "b"], '{"currentTag": ', "repair it, or say which tag with --tag"),
    ],
)
def test_which_tag_is_read_and_none_is_guessed(tmp_path: Path, tags: list[str], state: str | None, found: str) -> None:
    path = tmp_path / ".taskmaster" / "tasks" / "tasks.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({tag: {"tasks": [{"id": 1, "title": tag}]} for tag in tags}))
    if state is not None:
        (tmp_path / ".taskmaster" / "state.json").write_text(state)
    if found in tags:
        assert titles(read_source(str(path))) == [found]
    else:
        with pytest.raises(PeercoordError) as caught:
            read_source(str(path))
        assert found in caught.value.hint
        assert titles(read_source(str(path), "b")) == ["b"]


def test_a_project_of_a_shared_database_is_known_by_its_directory(tmp_path: Path) -> None:
    path = str(make_shared_database(tmp_path / "shared.db"))
    assert titles(read_source(path, home=tmp_path / "alpha")) == ["First"]
    with pytest.raises(UsageError, match="none of them is 'x'; known: 'alpha', 'beta'"):
        read_source(path, home=tmp_path / "x")


# -- rows --------------------------------------------------------------------------------------------------------

MANY = [str(number) for number in range(1001)]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"dependencies": MANY}, "at most 1000"),
        ({"subtasks": [{"id": number, "title": "s"} for number in MANY]}, "at most 1000"),
        ({"subtasks": [{"id": n, "title": "s", "details": "x" * 150_000} for n in range(8)]}, "its record would hold"),
    ],
)
def test_a_task_beyond_the_limits_is_refused_alone(tmp_path: Path, more: Any, why: str) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps({"tasks": [{"id": 7, "title": "Large", **more}, {"id": 2, "title": "Second"}]}))
    found = read_source(str(path))
    assert titles(found) == ["Second"]
    [(what, reason)] = found.refused
    assert (what.startswith("task 7"), why in reason) == (True, True)


def test_long_text_is_cut_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    task = {"id": 1, "title": "t" * 900, "description": "d" * 200_001, "huge": "x" * 9000}
    path.write_text(json.dumps({"tasks": [task]}))
    raw = read_source(str(path)).tasks[0].definition.raw
    assert (len(raw["title"]), len(raw["description"])) == (500, 200_000)
    assert raw["notes"] == ["left in the source for their size: 'huge'", "'description' was cut at 200000 characters"]


ANY = st.sampled_from(
    [None, True, 0, 1, -5, 10**40, 2.5, float("inf"), float("nan"), [], [1, "2.1", None], {}, {"id": 1}, [[["x"]]]]
) | st.text(max_size=20)
ID = st.sampled_from([1, "1", 2, "2.1", "a", "A", "../x"]) | ANY
STEP = st.fixed_dictionaries(
    {"id": ID, "title": ANY, "status": ANY, "dependencies": st.lists(ID, max_size=2), "x": ANY}
)
KEYS = ("title", "description", "details", "status", "priority", "dependencies", "testStrategy", "x", "parked")
TASK = st.fixed_dictionaries({"id": ID, "subtasks": ANY | st.lists(STEP, max_size=2), **dict.fromkeys(KEYS, ANY)})


@settings(max_examples=40)
@given(st.lists(TASK, max_size=3))
def test_any_row_becomes_a_task_or_is_refused(rows: list[Any]) -> None:
    reading = build([tasks_json.row(row) for row in rows], Origin("tasks.json", Path("tasks.json"), "master"))
    whole_rows = [what for what, _ in reading.refused if not what.startswith("step ")]
    assert len(reading.tasks) + len(whole_rows) == len(rows)
    for task in reading.tasks:
        made = task.definition
        back = records.decode(records.encode(made.raw), "it")
        assert records.Definition.read(back, "it", made.task).raw == back
        assert ids.is_id(made.task)
        assert "\x1b" not in json.dumps(made.raw, ensure_ascii=False)


# -- a database that others use ----------------------------------------------------------------------------------

ADDED = "INSERT INTO tasks (id, title) VALUES (50, 'Just added')"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_reading_a_live_database_leaves_it_as_it_was(tmp_path: Path, mode: str) -> None:
    path = make_database(tmp_path / "tasks.db", (1, "A", "pending"))
    script(path, f"PRAGMA journal_mode = {mode}")
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert titles(read_source(str(path))) == ["A"]
    assert os.listdir(tmp_path) == ["tasks.db"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    with closing(sqlite3.connect(path)) as other:
        other.execute(ADDED)
        other.commit()
        assert titles(read_source(str(path))) == ["A", "Just added"], "also while it lies in the log alone"
        other.execute("BEGIN EXCLUSIVE")
        if mode == "delete":
            with pytest.raises(StorageError, match="is locked"):
                sql_rows.read(path, wait=0.05)


def test_a_database_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = make_database(tmp_path / "tasks.db", (1, "A", "pending"))
    script(path, "PRAGMA journal_mode = wal")
    with closing(sqlite3.connect(path)) as writer:
        left = [ADDED]

        def change(*_: object) -> None:
            while left:
                writer.execute(left.pop())
                writer.commit()

        event.listen(Engine, "after_cursor_execute", change)
        try:
            assert titles(read_source(str(path))) == ["A", "Just added"]
        finally:
            event.remove(Engine, "after_cursor_execute", change)


LARGE = [(number, "x" * 500, "todo") for number in range(1000)]


def test_a_damaged_database_can_be_recovered(tmp_path: Path) -> None:
    path = make_database(tmp_path / "tasks.db", *LARGE)
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xa5" * (len(whole) - 8192))
    with pytest.raises(BrokenFileError, match="is damaged") as caught:
        read_source(str(path))
    assert ".recover" in caught.value.hint


def test_the_unfinished_change_of_a_program_that_died_is_an_error(tmp_path: Path) -> None:
    path = make_database(tmp_path / "tasks.db", *LARGE)
    die = f"""
import os, sqlite3
connection = sqlite3.connect({str(path)!r})
connection.execute("PRAGMA cache_size = 1")
connection.execute("UPDATE tasks SET status = 'done'")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", die], check=True)
    before = sorted(os.listdir(tmp_path))
    assert before == ["tasks.db", "tasks.db-journal"]
    with pytest.raises(StorageError, match="unfinished change") as caught:
        sql_rows.read(path)
    assert "open it once" in caught.value.hint
    assert sorted(os.listdir(tmp_path)) == before
