"""The command line's tests share one kind of project, and one kind of team."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cli.teams import Team
from support import answers
from support.project import Project, clear, git, project, second

__all__ = ["project", "second"]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, one file and a memory bank."""
    clear(monkeypatch)
    home = Path(os.path.realpath(tmp_path)) / "app"
    (home / "memory-bank").mkdir(parents=True)
    (home / "memory-bank" / "techContext.md").write_text("# Tech\n")
    (home / "a.py").write_text("1\n")
    git(home, "init", "-q", "-b", "main")
    git(home, "config", "user.name", "t")
    git(home, "config", "user.email", "t@localhost")
    git(home, "add", "-A")
    git(home, "commit", "-q", "-m", "first")
    return home


@pytest.fixture
def teams(repo: Path) -> Iterator[Callable[[int], Team]]:
    """Makes teams of so many on that repository."""
    with ExitStack() as stack:

        def make(count: int) -> Team:
            team = Team(repo, count)
            stack.callback(team.close)
            return team

        yield make
    answers.check_team(repo / ".git")


@pytest.fixture
def busy(project: Project) -> Project:
    """Instance "one" holds task 1, the only one."""
    project("task", "add", "t")
    project("request")
    return project


@pytest.fixture
def asked(project: Project) -> Project:
    """Task 1 was reported as blocked by instance "one"; task 2 is ready."""
    project("task", "add", "One")
    project("task", "add", "Two")
    project("request")
    project("report", "1", "--status", "blocked", "--blocker", "needs the API key")
    return project
