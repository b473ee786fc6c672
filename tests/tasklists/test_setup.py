"""The list that is chosen when a team is set up: what ``commands/up_*.txt`` cannot show."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.lists import files_below, make_database, make_shared_database
from support.project import git, project

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


def protocol(home: Path) -> Any:
    return json.loads((home / ".claude-coordination" / "protocol.json").read_text())


OWN = ".git/peercoord/taskmaster.db"


def test_an_unknown_project_is_refused_before_set_up_begins(fresh: Path, tmp_path: Path, set_up: SetUp) -> None:
    path = make_shared_database(tmp_path / "it's shared.db")
    before = files_below(fresh, path.parent)
    for choice in ("database", "tasks"):
        with pytest.raises(UsageError, match="none of them is 'team"):
            set_up(**{choice: str(path)})
    assert files_below(fresh, path.parent) == before
    assert [tree.name for tree in fresh.parent.glob("team*")] == [fresh.name], "no worktree either"


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


# -- the database that this machine's tools share ----------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "taken"), [("y\n", True), ("\n", False), (None, False)])
def test_the_shared_database_is_taken_only_after_a_yes(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str | None, taken: bool
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
