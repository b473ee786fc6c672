"""Real repositories in temporary directories, with a git that reads nobody's settings but these."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from peercoord.edges.team import plan as plans
from peercoord.edges.team.plan import Plan
from peercoord.edges.team.repository import Project, discover
from peercoord.edges.team.worktrees import Options, plan

SETTINGS = """\
[user]
  name = Test
  email = test@example.invalid
[init]
  defaultBranch = main
[commit]
  gpgsign = false
[merge]
  conflictStyle = merge
"""


class Repo:
    """A checkout, and what tests do with it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *words: str, ok: bool = True, **env: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.path, capture_output=True, check=False, env={**os.environ, **env}
        )
        assert not ok or done.returncode == 0, f"git {words}: {os.fsdecode(done.stdout + done.stderr)}"
        return os.fsdecode(done.stdout)

    def write(self, name: str, content: str = "x\n") -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def commit(self, name: str, content: str = "x\n", message: str = "work") -> str:
        self.write(name, content)
        self.git("add", "-f", "--", name)
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD").strip()

    def status(self) -> str:
        return self.git("status", "--porcelain", "--untracked-files=all")

    def beside(self, name: str) -> Repo:
        return Repo(self.path.parent / name)

    def project(self, exact: bool = False) -> Project:
        return discover(self.path, exact)

    def plan(self, count: int | None = None, **chosen: object) -> Plan:
        return plan(self.project(), count, Options(**chosen))  # type: ignore[arg-type]

    def up(self, count: int | None = None, **chosen: object) -> tuple[Plan, list[str]]:
        """Set a team up; check that nothing is left to do; give the plan and the warnings."""
        made = self.plan(count, **chosen)
        warnings = plans.run(made.actions)
        return made, warnings

    def instance(self, index: int) -> Repo:
        return self.beside(f"{self.path.name}-instance-{index}")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("GIT_", "TMUX", "XDG_"))]:
        monkeypatch.delenv(name)
    directory = tmp_path / "home"
    directory.mkdir()
    (directory / ".gitconfig").write_text(SETTINGS)
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(directory / ".gitconfig"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / ".config"))
    return directory


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit, made once and copied."""
    base = tmp_path_factory.mktemp("template")
    (base / "gitconfig").write_text(SETTINGS)
    path = base / "app"
    path.mkdir()
    env = {**os.environ, "GIT_CONFIG_GLOBAL": str(base / "gitconfig"), "GIT_CONFIG_NOSYSTEM": "1"}
    (path / "src").mkdir()
    (path / "src" / "main.py").write_text("print('hello')\n")
    (path / ".gitignore").write_text(".env\n*.log\nbuild/\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=path, check=True, env=env)
    return path


@pytest.fixture
def repo(tmp_path: Path, template: Path) -> Repo:
    """A repository ``app`` with one commit and no memory bank."""
    path = tmp_path / "work" / "app"
    shutil.copytree(template, path)
    return Repo(path)


@pytest.fixture
def tracked(repo: Repo) -> Repo:
    """The same with a memory bank that it tracks."""
    repo.write("memory-bank/progress.md", "# Progress\n")
    repo.commit("memory-bank/projectbrief.md", "# Brief\n", "bank")
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "bank")
    return repo
