"""Which list a team's tasks are kept in step with, as chosen when the team is set up."""

from __future__ import annotations

import io
import json
import os
import shlex
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.lists import files_below, make_database, make_shared_database, query
from support.project import Project, git, project

from peercoord.cli import main as cli
from peercoord.errors import UsageError
from peercoord.tasklists import selection
from peercoord.team import plan as plans
from peercoord.team import repository, up

__all__ = ["project"]

SetUp = Callable[..., list[str]]


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
def set_up(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> SetUp:
    """Set the project up without agents; return what was done, the notes and the warnings."""
    monkeypatch.setattr(up, "_start", lambda *_: "")

    def run(**wishes: Any) -> list[str]:
        made = up.plan(repository.discover(fresh, exact=True), up.SetupOptions(1, **wishes))
        warnings = plans.run(made.actions)
        return [action.text for action in made.actions] + made.notes + warnings

    return run


def dry_run(fresh: Path, *words: str) -> Any:
    """Ask the command line what set-up would do."""
    return json.loads(cli.serve(["up", str(fresh), "1", *words, "--dry-run", "--json"], cli.Call())[1])


def protocol(home: Path) -> Any:
    return json.loads((home / ".claude-coordination" / "protocol.json").read_text())


OWN = ".git/peercoord/taskmaster.db"


def test_a_team_gets_its_own_database_once(fresh: Path, set_up: SetUp) -> None:
    assert f"keep the tasks in step with '{OWN}'" in set_up()
    assert protocol(fresh)["database"] == OWN
    assert (fresh / OWN).exists()
    assert git(fresh, "status", "--porcelain") == ""
    assert not [line for line in set_up() if "in step" in line]


def test_a_named_database_is_kept_in_step_or_only_read(fresh: Path, tmp_path: Path, set_up: SetUp) -> None:
    path = make_database(tmp_path / "theirs.db", (1, "One", "done"))
    before = path.read_bytes()
    set_up(tasks=str(path), import_only=True)
    assert path.read_bytes() == before
    assert protocol(fresh)["database"] == OWN
    assert query(fresh / OWN) == [(1, "One", "done")]
    set_up(tasks=str(path))
    assert protocol(fresh)["database"] == str(path)
    assert query(path, "SELECT count(*) FROM peercoord_sync") == [(1,)]


def test_a_database_named_at_first_brings_its_tasks(fresh: Path, tmp_path: Path, set_up: SetUp) -> None:
    path = make_database(tmp_path / "theirs.db", (1, "One", "pending"))
    said = set_up(database=str(path))
    assert f"1 tasks taken in from '{path}'" in said
    assert any("before-peercoord" in line for line in said)


def test_no_database_is_a_choice(fresh: Path, set_up: SetUp) -> None:
    path = fresh / ".taskmaster" / "tasks" / "tasks.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"tasks": [{"id": 1, "title": "One", "description": "d", "status": "pending"}]}))
    assert "keep no database in step" in set_up(database="none")
    assert protocol(fresh)["database"] == "none"
    assert not (fresh / OWN).exists()
    assert "tasks_file" not in protocol(fresh), "a tasks.json is written only when asked for"
    set_up(sync=True)
    assert protocol(fresh)["tasks_file"] == {"path": ".taskmaster/tasks/tasks.json", "tag": "master"}


@pytest.mark.parametrize("blank", ["", " "])
def test_set_up_warns_before_a_tasks_json_is_reformatted(fresh: Path, blank: str) -> None:
    path = fresh / "tasks.json"
    path.write_text(f'{{"tasks": [{blank}{{"id": 1, "title": "One", "status": "pending"}}]}}')
    assert ("reformats" in str(dry_run(fresh, "--tasks", str(path)))) == bool(blank)


# -- a database of several projects ------------------------------------------------------------------------------


def test_an_unknown_project_is_refused_before_set_up_begins(fresh: Path, tmp_path: Path, set_up: SetUp) -> None:
    path = make_shared_database(tmp_path / "it's shared.db")
    before = files_below(fresh, path.parent)
    with pytest.raises(UsageError, match="none of them is 'team") as caught:
        set_up(database=str(path))
    hint = caught.value.hint
    words = shlex.split(hint[hint.index("claude-team-coordinated") :])
    assert words[1:] == [str(fresh), "1", "--database", str(path), "--project", "NAME"]
    with pytest.raises(UsageError, match="none of them is 'team") as caught:
        set_up(tasks=str(path))
    assert "--project NAME beside --tasks" in caught.value.hint
    assert files_below(fresh, path.parent) == before
    assert [tree.name for tree in fresh.parent.glob("team*")] == [fresh.name], "no worktree either"
    assert dry_run(fresh, "--database", str(path))["error"]["code"] == "no-project-row"
    named = dry_run(fresh, "--database", str(path), "--project", "alpha")
    assert f"keep the tasks in step with '{path}'" in named["data"]["actions"]


def test_one_project_of_a_shared_database_is_kept_in_step(fresh: Path, set_up: SetUp) -> None:
    path = make_shared_database(
        fresh / "plan.db", "ALTER TABLE tasks ADD priority; ALTER TABLE tasks ADD dependencies;"
    )
    set_up(database=str(path), key="alpha")
    assert (protocol(fresh)["database"], protocol(fresh)["database_project"]) == ("plan.db", "alpha")
    assert query(path, "SELECT title, assigned_instance FROM tasks WHERE project = 'beta'") == [("Theirs", None)]
    assert not [line for line in set_up() if "in step" in line], "the project's name is remembered"
    tasks = [json.loads(file.read_text())["title"] for file in (fresh / ".claude-coordination/tasks").rglob("*.json")]
    assert tasks == ["First"]


def test_tasks_are_read_from_one_project_of_a_database(fresh: Path, tmp_path: Path, set_up: SetUp) -> None:
    path = make_shared_database(tmp_path / "shared.db")
    set_up(tasks=str(path), key="beta", import_only=True)
    assert query(fresh / OWN) == [(1, "Theirs", "pending")]
    assert "database_project" not in protocol(fresh), "its own database has no other project"


def test_the_next_set_up_finishes_what_a_refusal_cut_short(fresh: Path, tmp_path: Path, set_up: SetUp) -> None:
    path = make_shared_database(tmp_path / "shared.db")
    made = up.plan(repository.discover(fresh, exact=True), up.SetupOptions(1, database=str(path), key="alpha"))
    with closing(sqlite3.connect(path)) as connection, connection:  # after the plan has looked at the database
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


@pytest.mark.parametrize("wishes", [{}, {"database": "none"}])
def test_a_project_name_needs_a_database(fresh: Path, set_up: SetUp, wishes: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="--project goes with a database of several projects"):
        set_up(key="alpha", **wishes)
    assert not (fresh / ".claude-coordination").exists()


def test_the_database_of_another_team_is_refused(fresh: Path, tmp_path: Path, set_up: SetUp, project: Project) -> None:
    path = make_database(tmp_path / "theirs.db", (1, "One", "pending"))
    assert project("sync", "--database", str(path))[0] == 0
    with pytest.raises(UsageError, match="another team") as caught:
        set_up(database=str(path))
    assert not (fresh / ".claude-coordination").exists()
    hint = caught.value.hint
    words = ["peercoord", "-C", str(fresh), "sync", "--database", str(path), "--take-over"]
    assert shlex.split(hint[hint.index("peercoord -C") :]) == words


# -- the database that this machine's tools share ----------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "taken"), [("y\n", True), ("\n", False), (None, False)])
def test_the_shared_database_is_taken_only_after_a_yes(
    fresh: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str | None,
    taken: bool,
) -> None:
    shared = make_database(tmp_path / "home/Workspace/tools/claude/memory/claude_memory.db", (1, "Shared", "pending"))
    before = shared.read_bytes()
    monkeypatch.setattr(up, "_start", lambda *_: "")
    monkeypatch.setattr(sys, "stdin", io.StringIO() if typed is None else Terminal(typed))
    code, answer, _ = cli.serve(["up", str(fresh), "1"], cli.Call())
    assert code == 0
    assert protocol(fresh)["database"] == (selection.MISSION if taken else ".git/peercoord/taskmaster.db")
    offered = f"claude-team-coordinated '{fresh}' --database {selection.MISSION}"
    assert (offered in answer.decode()) == (typed is None)
    assert (shared.read_bytes() != before) == taken


@pytest.mark.slow
def test_a_locked_database_is_left_to_the_leader(
    fresh: Path, tmp_path: Path, set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_database(tmp_path / "theirs.db", (1, "One", "pending"))
    monkeypatch.setattr("peercoord.tasklists.sql_engine.LOCK_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        said = set_up(database=str(path))
    assert any("locked by another program; the leader tries again" in line for line in said)
    assert protocol(fresh)["database"] == str(path)
