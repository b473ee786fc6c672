"""``peercoord sync``, ``task export``, and the choice of a database when a team is set up."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.lists import TASKS
from support.project import Project, git, project

from peercoord.cli import main as cli
from peercoord.errors import UsageError
from peercoord.store import manifest, records
from peercoord.tasklists import selection
from peercoord.tasklists.importer import take_in
from peercoord.tasklists.source import read_source
from peercoord.team import plan as plans
from peercoord.team import repository, up

__all__ = ["project"]


def database(path: Path, *rows: tuple[Any, ...]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TASKS)
        connection.executemany("INSERT INTO tasks (id, title, status) VALUES (?, ?, ?)", rows)
    return path


def rows(path: Path, query: str = "SELECT id, title, status FROM tasks ORDER BY id") -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def chosen(project: Project) -> Any:
    return json.loads((project.state / "protocol.json").read_text())


# -- sync --------------------------------------------------------------------------------------------------------


def test_without_a_choice_the_projects_own_database_is_made(project: Project) -> None:
    project("task", "add", "First")
    code, out, err = project("sync")
    assert (code, err) == (0, "")
    own = project.main / ".git" / "peercoord" / "taskmaster.db"
    assert rows(own) == [(1, "First", "pending")]
    assert chosen(project)["database"] == ".git/peercoord/taskmaster.db"
    assert manifest.read_project(project.main / ".git", "")["lists"] == {"database": ".git/peercoord/taskmaster.db"}
    assert git(project.main, "status", "--porcelain") == ""
    code, out, _ = project("sync")
    assert (code, "nothing to do" in out) == (0, True)


def test_a_database_that_is_named_is_kept_from_then_on(project: Project, tmp_path: Path) -> None:
    path = database(tmp_path / "shared.db", (1, "There", "pending"))
    code, out, err = project("sync", "--database", str(path))
    assert code == 0
    assert "'There'" in out or "There" in out
    assert f"copied to {path}.before-peercoord" in err
    assert chosen(project)["database"] == str(path)
    project("task", "edit", "1", "--title", "Here")
    assert project("sync")[0] == 0
    assert rows(path) == [(1, "Here", "pending")]


def test_a_new_file_that_is_named_is_made_and_one_that_is_gone_later_is_not(project: Project, tmp_path: Path) -> None:
    project("task", "add", "First")
    path = tmp_path / "new" / "tasks.db"
    assert project("sync", "--database", str(path))[0] == 0
    path.unlink()
    answer = project.data("sync")
    assert (answer["exit"], answer["code"]) == (3, "no-database")
    assert not path.exists()


def test_a_dry_run_shows_every_change_and_makes_none(project: Project, tmp_path: Path) -> None:
    path = database(tmp_path / "shared.db", (1, "One", "pending"), (2, "Two", "pending"), (3, "Three", "pending"))
    project("sync", "--database", str(path))
    project("request")
    project("task", "edit", "2", "--title", "Two here")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tasks SET title = 'Two there', status = 'deferred' WHERE id = 2")
        connection.execute("INSERT INTO tasks (id, title) VALUES (4, 'Four')")
    project("task", "add", "Five", "--id", "5")
    before = path.read_bytes()
    code, out, _ = project("sync", "--dry-run")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "1 state → there open → held" in lines
    assert "1 assigned_instance → there null → one" in lines or "1 assigned_instance → there one" in lines
    assert "2 title → here Two here → Two there (over Two here)" in lines
    assert "2 state → here open → deferred" in lines
    assert "4 task → here Four" in lines
    assert "5 task → there Five" in lines
    assert lines[-1] == "nothing was changed (--dry-run)"
    assert path.read_bytes() == before
    assert project.data("task", "show", "2")["definition"]["title"] == "Two here"
    data = project.data("sync", "--dry-run")
    assert (data["dry_run"], data["changed"]) == (True, False)
    assert {change["task_id"] for change in data["lists"][0]["changes"]} == {1, 2, 4, 5}
    assert project.data("sync")["changed"] is True
    assert project.data("sync")["changed"] is False


def test_a_dry_run_before_there_is_a_database_makes_none(project: Project) -> None:
    project("task", "add", "First")
    answer = project.data("sync", "--dry-run")
    assert (answer["exit"], answer["code"]) == (3, "no-database")
    assert not (project.main / ".git" / "peercoord" / "taskmaster.db").exists()
    assert "database" not in chosen(project)


def snapshot(*roots: Path) -> dict[str, object]:
    """Give every file below these directories, with its bytes."""
    return {str(path): path.read_bytes() for root in roots for path in sorted(root.rglob("*")) if path.is_file()}


SIDE = """CREATE TABLE task_dependencies (project TEXT, task_id INTEGER, depends_on INTEGER);
    CREATE TABLE subtasks (id INTEGER, task_id INTEGER, title TEXT);"""


@pytest.mark.parametrize("flags", [["--explain"], ["--dry-run"], ["--dry-run", "--explain"]])
@pytest.mark.parametrize(
    "choice", [["--project", "p"], ["--tag", "t", "--tasks-file", "tasks.json"], ["--take-over"], []]
)
def test_a_look_changes_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], choice: list[str]
) -> None:
    folder = tmp_path / "list"
    path = database(folder / "shared.db", (1, "One", "todo"), (2, "Two", "doing"))
    (folder / "tasks.json").write_text('{"t": {"tasks": []}}')
    monkeypatch.chdir(folder)
    project("task", "add", "Here", "--id", "9")
    before = snapshot(folder, project.state, project.main / ".git")
    answer = project.data("sync", "--database", str(path), *choice, *flags)
    assert answer["dry_run"] is True
    assert ("explain" in answer) == ("--explain" in flags)
    assert project("sync", "--database", "none", *flags)[0] == 0
    assert snapshot(folder, project.state, project.main / ".git") == before


def test_what_means_what_is_explained(project: Project, tmp_path: Path) -> None:
    path = database(tmp_path / "shared.db", (1, "One", "todo"), (2, "Two", "doing"))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SIDE)
    for adopted in (False, True):
        code, out, _ = project("sync", "--database", str(path), "--explain")
        lines = [" ".join(line.split()) for line in out.splitlines()]
        assert code == 0
        assert "todo open" in lines
        assert "held doing" in lines
        assert "needs dependencies" in lines
        assert "title theirs" in lines
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


def test_a_table_by_project_is_explained_with_that(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            SIDE.replace("(id INTEGER, task_id", "(id INTEGER, project TEXT, of")
            + "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, project TEXT);"
            + "INSERT INTO tasks VALUES (1, 'A', 'proj');"
        )
    _, out, _ = project("sync", "--database", str(path), "--explain")
    assert "table task_dependencies: task_id depends on depends_on, project in project" in out
    assert "table subtasks, which is not understood" in out


def test_a_dry_run_says_what_comes_before_the_first_change(project: Project, tmp_path: Path) -> None:
    path = database(tmp_path / "shared.db", (1, "One", "pending"))
    project("task", "import", str(path))
    code, out, _ = project("sync", "--database", str(path), "--dry-run")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert lines[0] == f"in step with '{path}': no row and no task changes"
    assert f"it is copied to {path}.before-peercoord" in lines
    assert "a table is added instance_assignments" in lines
    assert "a column is added tasks.coordination_data" in lines
    adoption = project.data("sync", "--database", str(path), "--dry-run")["adoption"]
    before = {name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    columns = {name for (name,) in rows(path, "SELECT name FROM pragma_table_info('tasks')")}
    assert project("sync", "--database", str(path))[0] == 0
    assert Path(adoption["backup"]).is_file()
    after = {name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert set(adoption["tables"]) == after - before
    now = {name for (name,) in rows(path, "SELECT name FROM pragma_table_info('tasks')")}
    assert {(c["table"], c["column"]) for c in adoption["columns"]} == {("tasks", name) for name in now - columns}
    assert "adoption" not in project.data("sync", "--dry-run")
    assert "nothing to do" in project("sync", "--dry-run")[1]


def test_a_database_without_the_table_says_that_it_is_added(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    adoption = project.data("sync", "--database", str(path), "--dry-run")["adoption"]
    own = ["peercoord_store", "peercoord_sync", "peercoord_base"]
    assert adoption == {"backup": None, "tables": ["tasks", "instance_assignments", *own], "columns": []}
    assert path.read_bytes() == b""


# -- a database of several projects ------------------------------------------------------------------------------


def several(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """CREATE TABLE tasks (id INTEGER, project TEXT, title TEXT, status TEXT, PRIMARY KEY (project, id));
               INSERT INTO tasks VALUES (1, 'alpha', 'First', 'pending'), (1, 'beta', 'Theirs', 'pending');"""
        )
    return path


def typed(hint: str, command: str) -> list[str]:
    """Give the words of the command that a hint names, as a shell would."""
    return shlex.split(hint[hint.index(command) :])


def test_a_project_that_is_not_known_is_asked_for_with_the_whole_command(project: Project, tmp_path: Path) -> None:
    path = several(tmp_path / "several projects' é.db")
    answer = project.data("sync", "--database", str(path))
    assert answer["code"] == "no-project-row"
    assert typed(answer["hint"], "peercoord sync") == [
        "peercoord",
        "sync",
        "--database",
        str(path),
        "--project",
        "NAME",
    ]
    assert "database" not in chosen(project)
    words = [word.replace("NAME", "alpha") for word in typed(answer["hint"], "peercoord sync")[1:]]
    assert project(*words)[0] == 0
    assert (chosen(project)["database"], chosen(project)["database_project"]) == (str(path), "alpha")
    assert project.data("task", "show", "1")["definition"]["title"] == "First"


def test_a_projects_name_belongs_to_a_database(project: Project, tmp_path: Path) -> None:
    answer = project.data("sync", "--project", "alpha")
    assert (answer["exit"], "peercoord sync --database" in answer["hint"]) == (2, True)
    assert "database_project" not in chosen(project)
    assert not (project.main / ".git" / "peercoord" / "taskmaster.db").exists()
    project("sync", "--database", str(several(tmp_path / "a.db")), "--project", "alpha")
    other = database(tmp_path / "b.db")
    assert project("sync", "--database", str(other))[0] == 0
    assert "database_project" not in chosen(project), "the other one calls it something else, or nothing"


def test_a_task_that_is_two_tasks_is_shown_with_what_to_do(project: Project, tmp_path: Path) -> None:
    path = database(tmp_path / "shared.db", (1, "One", "todo"))
    project("sync", "--database", str(path))
    project("task", "add", "Here", "--id", "2")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO tasks (id, title) VALUES (2, 'There')")
    code, out, _ = project("sync")
    assert code == 0
    assert "refused: task 2: it is 'Here' here and 'There' there: give one of them another id" in out


def test_no_database(project: Project) -> None:
    assert project("sync")[0] == 0
    assert project("sync", "--database", "none")[0] == 0
    assert chosen(project)["database"] == "none"


def test_a_password_is_used_and_not_written_down(project: Project) -> None:
    pytest.importorskip("psycopg")
    answer = project.data("sync", "--database", "postgresql://me:s3cret@127.0.0.1:1/db")
    assert answer["exit"] == 1
    assert "s3cret" not in json.dumps(answer)
    assert "s3cret" not in "".join(p.read_text() for p in project.state.rglob("*.json*"))
    assert "database" not in chosen(project), "what cannot be reached is not chosen"


def test_a_tasks_json_is_written_once_it_is_named(project: Project) -> None:
    path = project.main / ".taskmaster" / "tasks" / "tasks.json"
    path.parent.mkdir(parents=True)
    task = {"id": 1, "title": "One", "description": "d", "status": "pending", "dependencies": []}
    path.write_text(json.dumps({"master": {"tasks": [task]}}, indent=2))
    assert project("sync", "--tasks-file", str(path))[0] == 0
    assert chosen(project)["tasks_file"] == {"path": ".taskmaster/tasks/tasks.json", "tag": "master"}
    project("request")
    project("report", "1", "--status", "done")
    assert project("sync")[0] == 0
    assert json.loads(path.read_text())["master"]["tasks"][0]["status"] == "done"
    assert rows(project.main / ".git" / "peercoord" / "taskmaster.db") == [(1, "One", "done")]
    wrong = project.data("sync", "--tasks-file", "gone.json")
    assert (wrong["exit"], wrong["code"]) == (3, "not-found")
    assert project.data("sync", "--tag", "x")["exit"] == 2


def test_a_dry_run_says_that_a_tasks_json_will_be_reformatted(project: Project) -> None:
    path = project.main / "tasks.json"
    tasks = [{"id": 1, "title": "One", "description": "d", "status": "pending"}]
    path.write_text(json.dumps({"tasks": tasks}).replace('"One"', ' "One"'))
    assert project("sync", "--tasks-file", str(path))[0] == 0
    assert "reformats" in project("sync", "--dry-run")[2]
    path.write_text(json.dumps({"tasks": tasks}))
    assert "reformats" not in project("sync", "--dry-run")[2]


# -- set-up ------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key in [key for key in os.environ if key.startswith("GIT_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    home = Path(os.path.realpath(tmp_path)) / "team é"
    home.mkdir()
    git(home, "init", "-q", "-b", "main")
    git(home, "commit", "-q", "--allow-empty", "-m", "first")
    return home


@pytest.fixture
def set_up(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Set the project up, without agents; gives what was done and said."""
    monkeypatch.setattr(up, "_start", lambda *_: "")

    def run(**wishes: Any) -> list[str]:
        made = up.plan(repository.discover(fresh, exact=True), up.SetupOptions(1, **wishes))
        warnings = plans.run(made.actions)
        return [action.text for action in made.actions] + made.notes + warnings

    return run


def protocol(home: Path) -> Any:
    return json.loads((home / ".claude-coordination" / "protocol.json").read_text())


def test_a_team_gets_a_database_of_its_own(fresh: Path, set_up: Callable[..., list[str]]) -> None:
    said = set_up()
    assert "keep the tasks in step with '.git/peercoord/taskmaster.db'" in said
    assert protocol(fresh)["database"] == ".git/peercoord/taskmaster.db"
    assert (fresh / ".git" / "peercoord" / "taskmaster.db").exists()
    assert git(fresh, "status", "--porcelain") == ""
    assert not [line for line in set_up() if "in step" in line], "once is enough"


def test_a_database_that_is_named_is_written_unless_it_is_read_once(
    fresh: Path, tmp_path: Path, set_up: Callable[..., list[str]]
) -> None:
    path = database(tmp_path / "theirs.db", (1, "One", "done"))
    before = path.read_bytes()
    set_up(tasks=str(path), import_only=True)
    assert path.read_bytes() == before
    assert protocol(fresh)["database"] == ".git/peercoord/taskmaster.db"
    assert rows(fresh / ".git" / "peercoord" / "taskmaster.db") == [(1, "One", "done")]
    set_up(tasks=str(path))
    assert protocol(fresh)["database"] == str(path)
    assert rows(path, "SELECT count(*) FROM peercoord_sync") == [(1,)]


def test_a_named_database_is_taken_with_its_tasks(
    fresh: Path, tmp_path: Path, set_up: Callable[..., list[str]]
) -> None:
    path = database(tmp_path / "theirs.db", (1, "One", "pending"))
    said = set_up(database=str(path))
    assert f"1 tasks taken in from '{path}'" in said
    assert any("before-peercoord" in line for line in said)
    assert (fresh / ".claude-coordination" / "births").is_dir()


def test_a_shared_database_that_does_not_know_the_project_is_refused_before_anything_is_made(
    fresh: Path, tmp_path: Path, set_up: Callable[..., list[str]]
) -> None:
    path = several(tmp_path / "it's shared.db")
    before = snapshot(fresh, path.parent)
    with pytest.raises(UsageError, match="none of them is 'team") as caught:
        set_up(database=str(path))
    assert snapshot(fresh, path.parent) == before
    assert [tree.name for tree in fresh.parent.glob("team*")] == [fresh.name], "no worktree either"
    words = typed(caught.value.hint, "claude-team-coordinated")
    assert words[1:] == [str(fresh), "1", "--database", str(path), "--project", "NAME"]
    said = set_up(database=str(path), key="alpha")
    assert f"1 tasks taken in from '{path}'" in said
    assert (protocol(fresh)["database"], protocol(fresh)["database_project"]) == (str(path), "alpha")
    [tree] = fresh.parent.glob("team*-instance-1")
    assert (tree / ".claude-instance" / "coordinate.sh").exists()
    assert rows(path, "SELECT title, assigned_instance FROM tasks WHERE project = 'beta'") == [("Theirs", None)]


def test_what_a_refusal_left_half_made_is_finished_by_the_next_call(
    fresh: Path, tmp_path: Path, set_up: Callable[..., list[str]]
) -> None:
    path = several(tmp_path / "shared.db")
    made = up.plan(repository.discover(fresh, exact=True), up.SetupOptions(1, database=str(path), key="alpha"))
    with closing(sqlite3.connect(path)) as connection, connection:  # after the look that a plan begins with
        connection.executescript("CREATE TABLE task_dependencies (task_id INTEGER, depends_on INTEGER);")
    with pytest.raises(UsageError, match="does not say whose a row is"):
        plans.run(made.actions)
    [tree] = fresh.parent.glob("team*-instance-1")
    assert not (tree / ".claude-instance" / "coordinate.sh").exists()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("DROP TABLE task_dependencies;")
    set_up(database=str(path), key="alpha")
    assert (tree / ".claude-instance" / "coordinate.sh").exists()
    assert protocol(fresh)["database_project"] == "alpha"


def test_another_teams_database_is_refused_with_what_can_be_typed(
    fresh: Path, tmp_path: Path, set_up: Callable[..., list[str]], project: Project
) -> None:
    path = database(tmp_path / "theirs.db", (1, "One", "pending"))
    assert project("sync", "--database", str(path))[0] == 0
    with pytest.raises(UsageError, match="another team") as caught:
        set_up(database=str(path))
    assert not (fresh / ".claude-coordination").exists()
    words = ["peercoord", "-C", str(fresh), "sync", "--database", str(path), "--take-over"]
    assert typed(caught.value.hint, "peercoord -C") == words


def test_tasks_of_a_shared_database_come_from_one_project_alone(
    fresh: Path, tmp_path: Path, set_up: Callable[..., list[str]]
) -> None:
    path = several(tmp_path / "shared.db")
    before = snapshot(fresh, path.parent)
    with pytest.raises(UsageError, match="none of them is 'team") as caught:
        set_up(tasks=str(path))
    assert "--project NAME beside --tasks" in caught.value.hint
    assert snapshot(fresh, path.parent) == before
    own = fresh / ".git" / "peercoord" / "taskmaster.db"
    for _ in range(2):
        set_up(tasks=str(path), key="beta", import_only=True)
        assert rows(own) == [(1, "Theirs", "pending")]
    assert "database_project" not in protocol(fresh), "its own database has no other project"


def test_a_shared_database_in_the_project_is_found_and_kept_by_its_project(
    fresh: Path, set_up: Callable[..., list[str]]
) -> None:
    path = several(fresh / "plan.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("ALTER TABLE tasks ADD priority; ALTER TABLE tasks ADD dependencies;")
    set_up(database=str(path), key="beta")
    assert not [line for line in set_up() if "in step" in line], "what was said once is remembered"
    tasks = [json.loads(file.read_text())["title"] for file in (fresh / ".claude-coordination/tasks").rglob("*.json")]
    assert tasks == ["Theirs"]


@pytest.mark.parametrize("wishes", [{}, {"database": "none"}])
def test_a_projects_name_without_a_database_is_refused(
    fresh: Path, set_up: Callable[..., list[str]], wishes: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="--project goes with a database of several projects"):
        set_up(key="alpha", **wishes)
    assert not (fresh / ".claude-coordination").exists()


def test_set_up_takes_the_projects_name_on_the_command_line(fresh: Path, tmp_path: Path) -> None:
    path = several(tmp_path / "shared.db")
    call = ["up", str(fresh), "1", "--database", str(path), "--dry-run", "--json"]
    refused = json.loads(cli.serve(call, cli.Call())[1])
    assert refused["error"]["code"] == "no-project-row"
    code, out, _ = cli.serve([*call, "--project", "alpha"], cli.Call())
    assert code == 0
    assert f"keep the tasks in step with '{path}'" in json.loads(out)["data"]["actions"]


def test_a_tasks_json_that_is_found_is_written_only_if_asked(fresh: Path, set_up: Callable[..., list[str]]) -> None:
    path = fresh / ".taskmaster" / "tasks" / "tasks.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"tasks": [{"id": 1, "title": "One", "description": "d", "status": "pending"}]}))
    set_up()
    assert "tasks_file" not in protocol(fresh)
    set_up(sync=True)
    assert protocol(fresh)["tasks_file"] == {"path": ".taskmaster/tasks/tasks.json", "tag": "master"}


@pytest.mark.parametrize("blank", ["", " "])
def test_set_up_says_that_a_tasks_json_will_be_reformatted(fresh: Path, blank: str) -> None:
    path = fresh / "tasks.json"
    path.write_text(f'{{"tasks": [{blank}{{"id": 1, "title": "One", "status": "pending"}}]}}')
    _, out, _ = cli.serve(["up", str(fresh), "1", "--tasks", str(path), "--dry-run", "--json"], cli.Call())
    assert (b"reformats" in out) == bool(blank)


def test_none_is_a_choice(fresh: Path, set_up: Callable[..., list[str]]) -> None:
    assert "keep no database in step" in set_up(database="none")
    assert protocol(fresh)["database"] == "none"
    assert not (fresh / ".git" / "peercoord" / "taskmaster.db").exists()


@pytest.mark.slow
def test_a_locked_database_is_a_warning_and_the_leader_tries_again(
    fresh: Path, tmp_path: Path, set_up: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database(tmp_path / "theirs.db", (1, "One", "pending"))
    monkeypatch.setattr("peercoord.tasklists.sql_engine.LOCK_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        said = set_up(database=str(path))
    assert any("locked by another program; the leader tries again" in line for line in said)
    assert protocol(fresh)["database"] == str(path)


@pytest.mark.parametrize(("answer", "taken"), [("y\n", True), ("\n", False)])
def test_the_shared_database_is_asked_for_at_a_terminal(fresh: Path, tmp_path: Path, answer: str, taken: bool) -> None:
    shared = database(tmp_path / "home/Workspace/tools/claude/memory/claude_memory.db", (1, "Shared", "pending"))
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "peercoord", "up", str(fresh), "1"]
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    running = subprocess.Popen(words, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    try:
        os.write(ours, answer.encode())
        out, _ = running.communicate(timeout=240)
    finally:
        os.close(ours)
        os.close(theirs)
        down = [sys.executable, "-m", "peercoord", "-C", str(fresh), "down"]
        subprocess.run(down, env=environment, capture_output=True, check=False)
    assert b"claude_memory.db is there. Keep this project's tasks in it?" in out
    assert (protocol(fresh)["database"] == selection.MISSION) == taken
    assert ("peercoord_sync" in str(rows(shared, "SELECT name FROM sqlite_master"))) == taken


def test_the_shared_database_is_never_taken_silently(fresh: Path, tmp_path: Path) -> None:
    shared = database(tmp_path / "home/Workspace/tools/claude/memory/claude_memory.db", (1, "Shared", "pending"))
    before = shared.read_bytes()
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    words = [sys.executable, "-m", "peercoord", "up", str(fresh), "1"]
    made = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)
    down = [sys.executable, "-m", "peercoord", "-C", str(fresh), "down"]
    subprocess.run(down, env=environment, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    assert f"claude-team-coordinated '{fresh}' --database ~/Workspace/tools/claude" in made.stdout.decode()
    assert shared.read_bytes() == before
    assert protocol(fresh)["database"] == ".git/peercoord/taskmaster.db"


# -- export ------------------------------------------------------------------------------------------------------


@pytest.fixture
def worked(project: Project) -> Project:
    project("task", "add", "First é", "-d", "=SUM(A1)", "-p", "critical", "--step", "a", "--step", "b")
    project("task", "add", "Second", "--depends-on", "1")
    project("task", "add", "Third")
    project("task", "add", "Fourth", "--id", "four")
    project("request")
    project("report", "1", "--step", "1.1", "--achievement", "x")
    project("task", "cancel", "3", "--reason", "no use")
    return project


def reimported(tmp_path: Path, name: str, text: str) -> dict[str, Any]:
    path = tmp_path / name
    path.write_text(text)
    reading = read_source(str(path))
    assert reading.refused == []
    return {task.definition.task: task for task in reading.tasks}


def test_export_as_tasks_json_and_back(worked: Project, tmp_path: Path) -> None:
    code, out, err = worked("task", "export")
    assert (code, err) == (0, "")
    found = reimported(tmp_path, "tasks.json", out)
    assert {task: item.state for task, item in found.items()} == {
        "1": "held",
        "2": "open",
        "3": "cancelled",
        "four": "open",
    }
    first = found["1"].definition
    assert (first.title, first.raw["description"], first.raw["priority"]) == ("First é", "=SUM(A1)", "critical")
    assert [step.done for step in first.steps] == [True, False]
    assert found["2"].definition.dependencies == ["1"]
    told = json.loads(out)["master"]["tasks"][0]["metadata"]["peercoord"]
    assert (told["assigned_to"], told["achievements"], told["progress"]) == ("one", ["x"], 0.5)
    assert worked.data("task", "export")["content"] == out


def test_export_as_beads_and_back(worked: Project, tmp_path: Path) -> None:
    _, out, _ = worked("task", "export", "--format", "beads")
    issues = {issue["id"]: issue for issue in map(json.loads, out.splitlines())}
    assert issues["1"]["priority"] == 0
    assert issues["1"]["status"] == "in_progress"
    assert issues["1.1"]["status"] == "closed"
    for issue in issues.values():
        assert (issue["status"] == "closed") == ("closed_at" in issue), "closed exactly if it has a time"
    assert issues["3"]["close_reason"] == "cancelled: no use"
    found = reimported(tmp_path, "issues.jsonl", out)
    assert found["2"].definition.dependencies == ["1"]
    assert found["1"].definition.dependencies == []
    assert [step.step for step in found["1"].definition.steps] == ["1.1", "1.2"]
    assert found["3"].state == "cancelled"


def test_export_as_a_table(worked: Project) -> None:
    _, out, _ = worked("task", "export", "--format", "csv")
    table = list(csv.DictReader(io.StringIO(out)))
    assert [row["id"] for row in table] == ["1", "2", "3", "four"]
    first = table[0]
    assert (first["status"], first["assigned_to"], first["progress"], first["steps_done"]) == (
        "held",
        "one",
        "0.5",
        "1/2",
    )
    assert first["description"] == "'=SUM(A1)", "no spreadsheet takes it for a formula"
    assert table[1]["dependencies"] == "1"
    assert table[2]["status"] == "cancelled"


def test_what_a_task_brought_goes_back_under_its_own_names(project: Project, tmp_path: Path) -> None:
    task = {
        "id": 1,
        "title": "One",
        "description": "d",
        "details": "how",
        "testStrategy": "by hand",
        "status": "pending",
        "dependencies": [],
        "priority": "low",
        "subtasks": [{"id": 1, "title": "s", "description": "sd", "dependencies": [], "status": "pending", "own": 7}],
        "complexity": 5,
        "strange": {"key": [1, 2]},
        "metadata": {"mine": 1},
    }
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps({"tasks": [task]}))
    take_in(project.queue, read_source(str(path)).tasks)
    _, out, _ = project("task", "export")
    assert json.loads(out)["master"]["tasks"] == [task]


def test_an_unreadable_task_is_left_out_and_told(worked: Project) -> None:
    from peercoord.store import paths

    (worked.state / paths.definition("four")).write_text("{,")
    code, out, err = worked("task", "export", "--format", "csv")
    assert code == 0
    assert "task four is left out" in err
    assert len(out.splitlines()) == 4


def test_a_source_inside_the_project_is_noted_as_seen_from_there(project: Project) -> None:
    path = project.main / "plan" / "tasks.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"tasks": [{"id": 1, "title": "One"}]}))
    project("task", "import", str(path))
    assert project.data("task", "show", "1")["definition"]["source"]["path"] == "plan/tasks.json"


def test_beads_come_in(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "issues.jsonl"
    lines = [
        {"id": "bd-1", "title": "One", "status": "open", "priority": 0},
        {"id": "bd-2", "title": "Two", "status": "open", "priority": 2,
         "dependencies": [{"issue_id": "bd-2", "depends_on_id": "bd-1", "type": "blocks"}]},
    ]  # fmt: skip
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert project("task", "import", str(path))[0] == 0
    assert project.data("request")["task_id"] == "bd-1"
    assert project("sync")[0] == 0
    own = project.main / ".git" / "peercoord" / "taskmaster.db"
    assert rows(own, "SELECT id, status, dependencies FROM tasks ORDER BY id") == [
        ("bd-1", "in-progress", "[]"),
        ("bd-2", "pending", '["bd-1"]'),
    ]


def test_the_choice_survives_other_settings(project: Project) -> None:
    project("sync")
    project("config", "database_seconds", "60")
    assert chosen(project)["database"] == ".git/peercoord/taskmaster.db"
    assert chosen(project)["schema_version"] == records.SCHEMA_VERSION


@pytest.mark.parametrize(("form", "name"), [("tasks.json", "tasks.json"), ("beads", "issues.jsonl")])
def test_an_export_that_is_read_again_is_the_same_board(project: Project, tmp_path: Path, form: str, name: str) -> None:
    steps = [{"id": 1, "title": "a step"}, {"id": 2, "title": "another", "status": "done"}]
    listed = [
        {"id": 1, "title": "One", "priority": "critical", "subtasks": steps},
        {"id": 2, "title": "Two", "priority": "lowest", "dependencies": [1]},
    ]
    source = tmp_path / "in.json"
    source.write_text(json.dumps({"tasks": listed}))
    assert project("task", "import", str(source))[0] == 0
    (tmp_path / name).write_text(project("task", "export", "--format", form)[1])
    found = [made.definition for made in read_source(str(tmp_path / name)).tasks]
    assert [(one.task, one.title, one.raw["priority"], list(one.dependencies)) for one in found] == [
        ("1", "One", "critical", []),
        ("2", "Two", "lowest", ["1"]),
    ]
    assert [(step.step, step.title, step.done) for step in found[0].steps] == [
        ("1.1", "a step", False),
        ("1.2", "another", True),
    ]
