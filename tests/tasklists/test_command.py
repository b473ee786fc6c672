"""``peercoord sync``: which lists it keeps in step, what it shows, and that a look changes nothing."""

from __future__ import annotations

import json
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.lists import files_below, make_database, make_shared_database, query
from support.project import Project, git, project

from peercoord.store import manifest, records

__all__ = ["project"]


OWN = ".git/peercoord/taskmaster.db"


def chosen(project: Project) -> Any:
    return json.loads((project.state / "protocol.json").read_text())


def script(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(text)


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


# -- the choice --------------------------------------------------------------------------------------------------


def test_without_a_choice_the_project_gets_its_own_database(project: Project) -> None:
    project("task", "add", "First")
    answer = project.data("sync", "--dry-run")
    assert (answer["exit"], answer["code"]) == (3, "no-database")
    assert not (project.main / OWN).exists()
    assert "database" not in chosen(project)
    assert project("sync")[::2] == (0, "")
    assert query(project.main / OWN) == [(1, "First", "pending")]
    assert chosen(project)["database"] == OWN
    assert manifest.read_project(project.main / ".git", "")["lists"] == {"database": OWN}
    assert git(project.main, "status", "--porcelain") == ""
    assert "nothing to do" in project("sync")[1]
    project("config", "database_seconds", "60")
    assert chosen(project)["database"] == OWN, "the choice survives other settings"
    assert chosen(project)["schema_version"] == records.SCHEMA_VERSION
    assert project("sync", "--database", "none")[0] == 0
    assert chosen(project)["database"] == "none"


def test_a_named_database_is_kept_from_then_on(project: Project, tmp_path: Path) -> None:
    path = make_database(tmp_path / "shared.db", (1, "There", "pending"))
    code, out, err = project("sync", "--database", str(path))
    assert (code, "There" in out, f"copied to {path}.before-peercoord" in err) == (0, True, True)
    assert chosen(project)["database"] == str(path)
    project("task", "edit", "1", "--title", "Here")
    assert project("sync")[0] == 0
    assert query(path) == [(1, "Here", "pending")]
    new = tmp_path / "new" / "tasks.db"
    assert project("sync", "--database", str(new))[0] == 0
    new.unlink()
    answer = project.data("sync")
    assert (answer["exit"], answer["code"]) == (3, "no-database"), "only one that was just named is created"
    assert not new.exists()


def test_a_tasks_json_is_written_once_it_is_named(project: Project) -> None:
    path = project.main / ".taskmaster" / "tasks" / "tasks.json"
    path.parent.mkdir(parents=True)
    task = {"id": 1, "title": "One", "description": "d", "status": "pending", "dependencies": []}
    path.write_text(json.dumps({"master": {"tasks": [task]}}).replace('"One"', ' "One"'))
    assert project("sync", "--tasks-file", str(path))[0] == 0
    assert chosen(project)["tasks_file"] == {"path": ".taskmaster/tasks/tasks.json", "tag": "master"}
    assert "reformats" in project("sync", "--dry-run")[2]
    project("request")
    project("report", "1", "--status", "done")
    assert project("sync")[0] == 0
    assert "reformats" not in project("sync", "--dry-run")[2]
    assert json.loads(path.read_text())["master"]["tasks"][0]["status"] == "done"
    assert query(project.main / OWN) == [(1, "One", "done")]
    wrong = project.data("sync", "--tasks-file", "gone.json")
    assert (wrong["exit"], wrong["code"]) == (3, "not-found")
    assert project.data("sync", "--tag", "x")["exit"] == 2


def test_a_password_is_used_and_not_written_down(project: Project) -> None:
    pytest.importorskip("psycopg")
    answer = project.data("sync", "--database", "postgresql://me:s3cret@127.0.0.1:1/db")
    assert answer["exit"] == 1
    assert "s3cret" not in json.dumps(answer)
    assert "s3cret" not in "".join(p.read_text() for p in project.state.rglob("*.json*"))
    assert "database" not in chosen(project), "a database that cannot be reached is not chosen"


def test_an_unknown_project_is_asked_for_with_the_whole_command(project: Project, tmp_path: Path) -> None:
    alone = project.data("sync", "--project", "alpha")
    assert (alone["exit"], "peercoord sync --database" in alone["hint"]) == (2, True)
    path = make_shared_database(tmp_path / "several projects' é.db")
    answer = project.data("sync", "--database", str(path))
    assert answer["code"] == "no-project-row"
    hinted = shlex.split(answer["hint"][answer["hint"].index("peercoord sync") :])
    assert hinted == ["peercoord", "sync", "--database", str(path), "--project", "NAME"]
    assert "database" not in chosen(project)
    assert project(*[word.replace("NAME", "alpha") for word in hinted[1:]])[0] == 0
    assert (chosen(project)["database"], chosen(project)["database_project"]) == (str(path), "alpha")
    assert project.data("task", "show", "1")["definition"]["title"] == "First"
    assert project("sync", "--database", str(make_database(tmp_path / "b.db")))[0] == 0
    assert "database_project" not in chosen(project), "the name belongs to the other database"


# -- looks -------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_every_change_and_makes_none(project: Project, tmp_path: Path) -> None:
    path = make_database(tmp_path / "shared.db", (1, "One", "pending"), (2, "Two", "pending"), (3, "Three", "pending"))
    project("sync", "--database", str(path))
    project("request")
    project("task", "edit", "2", "--title", "Two here")
    script(path, "UPDATE tasks SET title = 'Two there', status = 'deferred' WHERE id = 2;"
                 "INSERT INTO tasks (id, title) VALUES (4, 'Four'), (6, 'There')")  # fmt: skip
    project("task", "add", "Five", "--id", "5")
    project("task", "add", "Here", "--id", "6")
    before = path.read_bytes()
    lines = squeezed(project("sync", "--dry-run")[1])
    assert "1 assigned_instance → there null → one" in lines or "1 assigned_instance → there one" in lines
    assert lines[-1] == "nothing was changed (--dry-run)"
    assert set(lines) >= {
        "1 state → there open → held",
        "2 title → here Two here → Two there (over Two here)",
        "2 state → here open → deferred",
        "4 task → here Four",
        "5 task → there Five",
        "refused: task 6: it is 'Here' here and 'There' there: give one of them another id",
    }
    data = project.data("sync", "--dry-run")
    assert (data["dry_run"], data["changed"]) == (True, False)
    assert {change["task_id"] for change in data["lists"][0]["changes"]} == {1, 2, 4, 5}
    assert path.read_bytes() == before
    assert project.data("task", "show", "2")["definition"]["title"] == "Two here"
    assert [project.data("sync")["changed"] for _ in range(2)] == [True, False]


SIDE = """CREATE TABLE task_dependencies (project TEXT, task_id INTEGER, depends_on INTEGER);
    CREATE TABLE subtasks (id INTEGER, task_id INTEGER, title TEXT);"""


def test_a_look_changes_nothing(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "list"
    path = make_database(folder / "shared.db", (1, "One", "todo"), (2, "Two", "doing"))
    (folder / "tasks.json").write_text('{"t": {"tasks": []}}')
    monkeypatch.chdir(folder)
    project("task", "add", "Here", "--id", "9")
    before = files_below(folder, project.state, project.main / ".git")
    choices = [["--project", "p"], ["--tag", "t", "--tasks-file", "tasks.json"], ["--take-over"], []]
    for flags in (["--explain"], ["--dry-run"], ["--dry-run", "--explain"]):
        for choice in choices:
            answer = project.data("sync", "--database", str(path), *choice, *flags)
            assert answer["dry_run"] is True
            assert ("explain" in answer) == ("--explain" in flags)
        assert project("sync", "--database", "none", *flags)[0] == 0
        assert files_below(folder, project.state, project.main / ".git") == before, flags


def test_explain_shows_what_columns_words_and_tables_mean(project: Project, tmp_path: Path) -> None:
    path = make_database(tmp_path / "shared.db", (1, "One", "todo"), (2, "Two", "doing"))
    script(path, SIDE)
    for adopted in (False, True):
        code, out, _ = project("sync", "--database", str(path), "--explain")
        lines = squeezed(out)
        assert code == 0
        assert {"todo open", "held doing", "needs dependencies", "title theirs"} <= set(lines)
        assert "dependencies table task_dependencies: task_id depends on depends_on" in lines
        assert "steps table subtasks: of task_id" in lines
        assert lines[-1] == "nothing was changed (--explain)"
        assert ("a column is added tasks.assigned_instance" in lines) == (not adopted)
        assert project("sync", "--database", str(path))[0] == 0
    data = project.data("sync", "--explain")
    assert data["explain"]["wins"]["assigned_instance"] == "ours"
    assert data["explain"]["tables"] == [
        {"table": "task_dependencies", "holds": "dependencies", "task": "task_id", "on": "depends_on", "project": None},
        {"table": "subtasks", "holds": "steps", "task": "task_id", "project": None},
    ]
    several = tmp_path / "several.db"
    script(several, SIDE.replace("(id INTEGER, task_id", "(id INTEGER, project TEXT, of")
           + "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, project TEXT);"
           + "INSERT INTO tasks VALUES (1, 'A', 'proj');")  # fmt: skip
    _, out, _ = project("sync", "--database", str(several), "--explain")
    assert "table task_dependencies: task_id depends on depends_on, project in project" in out
    assert "table subtasks, which is not understood" in out


def names(path: Path, found: str) -> set[str]:
    return {name for (name,) in query(path, f"SELECT name FROM {found}")}


def test_a_dry_run_shows_what_comes_before_the_first_change(project: Project, tmp_path: Path) -> None:
    path = make_database(tmp_path / "shared.db", (1, "One", "pending"))
    project("task", "import", str(path))
    lines = squeezed(project("sync", "--database", str(path), "--dry-run")[1])
    assert lines[0] == f"in step with '{path}': no row and no task changes"
    assert f"it is copied to {path}.before-peercoord" in lines
    assert {"a table is added instance_assignments", "a column is added tasks.coordination_data"} <= set(lines)
    adoption = project.data("sync", "--database", str(path), "--dry-run")["adoption"]
    of_tables, of_columns = "sqlite_master WHERE type = 'table'", "pragma_table_info('tasks')"
    tables, columns = names(path, of_tables), names(path, of_columns)
    assert project("sync", "--database", str(path))[0] == 0
    assert Path(adoption["backup"]).is_file()
    assert set(adoption["tables"]) == names(path, of_tables) - tables
    assert {c["column"] for c in adoption["columns"] if c["table"] == "tasks"} == names(path, of_columns) - columns
    assert "adoption" not in project.data("sync", "--dry-run")
    empty = tmp_path / "empty.db"
    empty.touch()
    adoption = project.data("sync", "--database", str(empty), "--dry-run")["adoption"]
    ours = ["peercoord_store", "peercoord_sync", "peercoord_base"]
    assert adoption == {"backup": None, "tables": ["tasks", "instance_assignments", *ours], "columns": []}
    assert empty.read_bytes() == b""
