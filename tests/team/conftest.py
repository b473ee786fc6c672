"""Real repositories in temporary directories, with a git that reads no user's settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from peercoord.memory import copy
from peercoord.store import paths
from peercoord.store import root as roots
from peercoord.store.project import Project
from peercoord.team import plan as plans
from peercoord.team.plan import Plan
from peercoord.team.removal import plan_purge
from peercoord.team.repository import discover
from peercoord.team.worktrees import WorktreeOptions, plan

SETTINGS = """\
[user]
  name = Test
  email = test@example.invalid
[init]
  defaultBranch = main
  templateDir =
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
        return plan(self.project(), count, WorktreeOptions(**chosen))  # type: ignore[arg-type]

    def up(self, count: int | None = None, **chosen: object) -> tuple[Plan, list[str]]:
        """Set a team up; check that nothing is left to do; give the plan and the warnings."""
        made = self.plan(count, **chosen)
        warnings = plans.run(made.actions)
        return made, warnings

    def coordinated(self) -> None:
        """Make the coordination directory: what worktrees see of a memory bank lies there."""
        roots.create(str(self.path / paths.ROOT), "app")

    def instance(self, index: int) -> Repo:
        return self.beside(f"{self.path.name}-instance-{index}")

    def purge(self, *discard: str) -> tuple[Plan, list[str]]:
        made = plan_purge(self.project(), discard)
        return made, plans.run(made.actions)

    def has_link(self, main: Repo, bank: str = "memory-bank", sub: str = ".") -> bool:
        """Check that this worktree has the link to the read-only copy of the main checkout's bank."""
        place = self.path / sub / bank
        leads_to = copy.target(str((main.path / sub).resolve() / paths.ROOT))
        return place.is_symlink() and os.path.normpath(place.parent.resolve() / os.readlink(place)) == leads_to


def picture(repo: Repo) -> dict[str, object]:
    """What a repository consists of, for a comparison before and after."""
    common = Path(repo.git("rev-parse", "--path-format=absolute", "--git-common-dir").removesuffix("\n"))
    files: dict[str, object] = {}
    for top in (repo.path, common):
        for path in sorted(top.rglob("*")):
            name = path.relative_to(top.parent).as_posix()
            if "/objects/" in name or name.endswith("/index"):
                continue
            if path.is_symlink():
                files[name] = os.readlink(path)
            elif path.is_file():
                content = path.read_bytes()
                if path.name == "packed-refs" and content.count(b"\n") == 1:
                    continue  # git leaves its head line
                files[name] = (path.stat().st_mode, content)
            elif not path.is_relative_to(common / "logs"):  # git leaves empty ones of its own there
                files[name] = "directory"
    asked = {
        "config": ("config", "--list", "--show-scope"),
        "refs": ("for-each-ref",),
        "worktrees": ("worktree", "list", "--porcelain"),
        "status": ("status", "--porcelain", "--ignored", "--untracked-files=all"),
        "index": ("ls-files", "-s", "-v"),
    }
    said = {what: repo.git(*words) for what, words in asked.items()}
    return {**files, **said, "beside": sorted(os.listdir(repo.path.parent))}


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "home"
    directory.mkdir()
    (directory / ".gitconfig").write_text(SETTINGS)
    patch = at_home(directory / ".gitconfig")
    patch.setenv("HOME", str(directory))
    patch.setenv("XDG_CONFIG_HOME", str(directory / ".config"))
    yield directory
    patch.undo()


def at_home(settings: Path) -> pytest.MonkeyPatch:
    """Let git and tmux read no user's settings."""
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith(("GIT_", "TMUX", "XDG_"))]:
        patch.delenv(name)
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    return patch


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repositories made once and copied.

    ``plain/app`` has no team, ``coordinated/app`` a coordination directory and a team of three, and ``team/app`` a
    memory bank and a team of two.
    """
    base = tmp_path_factory.mktemp("templates").resolve()
    (base / "gitconfig").write_text(SETTINGS)
    patch = at_home(base / "gitconfig")
    plain = Repo(base / "plain" / "app")
    plain.write("src/main.py", "print('hello')\n")
    plain.write(".gitignore", ".env\n*.log\nbuild/\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        plain.git(*words)
    shutil.copytree(base / "plain", base / "coordinated")
    coordinated = Repo(base / "coordinated" / "app")
    coordinated.coordinated()
    coordinated.up(3)
    shutil.copytree(base / "plain", base / "team")
    team = with_bank(Repo(base / "team" / "app"))
    team.write(".env", "SECRET=1\n")
    team.commit(".worktreeinclude", ".env\n")
    team.up(2)
    patch.undo()
    return base


def with_bank(repo: Repo) -> Repo:
    repo.write("memory-bank/progress.md", "# Progress\n")
    repo.write("memory-bank/projectbrief.md", "# Brief\n")
    repo.git("add", "memory-bank")
    repo.git("commit", "-q", "-m", "bank")
    return repo


@pytest.fixture
def repo(tmp_path: Path, templates: Path) -> Repo:
    """A repository ``app`` with one commit and no memory bank."""
    shutil.copytree(templates / "plain", tmp_path / "work")
    return Repo(tmp_path / "work" / "app")


@pytest.fixture
def tracked(repo: Repo) -> Repo:
    """The same with a memory bank that it tracks."""
    return with_bank(repo)


@pytest.fixture
def team(tmp_path: Path, templates: Path) -> Repo:
    """The same with a team of two, an ``.env`` that both worktrees have a copy of, and nothing left to do."""
    return copy_of(templates / "team", tmp_path / "work")


def copy_of(template: Path, work: Path) -> Repo:
    """Copy a repository with its worktrees; what names its place names the new one."""
    shutil.copytree(template, work, symlinks=True)
    old, new = os.fsencode(template), os.fsencode(work)
    for directory, _, names in os.walk(work):
        for file in (Path(directory, name) for name in names):
            if file.is_file() and not file.is_symlink() and old in (content := file.read_bytes()):
                file.write_bytes(content.replace(old, new))
    return Repo(work / "app")
