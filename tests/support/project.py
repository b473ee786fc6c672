"""For tests: a project with one joined worktree, made with git and the roles, and the command line to call in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from peercoord.cli import main as cli
from peercoord.queue.queue import Queue
from peercoord.store import instance_records, records
from peercoord.store import root as roots
from peercoord.system import clock
from peercoord.worktree import context
from support import answers


@dataclass
class Project:
    main: Path
    worktree: Path
    queue: Queue

    def __call__(self, *words: str, at: Path | None = None) -> tuple[int, str, str]:
        """Call the command line in a directory; exit code, standard output, standard error.

        What it answers with ``--json`` is held against its schema.
        """
        place = context.find(str(at or self.worktree))
        code, out, err = cli.serve(list(words), cli.Call(place))
        if "--json" in words:
            answers.read(out.decode(), *words)
        return code, out.decode(), err.decode()

    def data(self, *words: str, at: Path | None = None) -> Any:
        code, out, _ = self(*words, "--json", at=at)
        answer = json.loads(out)
        return answer["data"] if "data" in answer else {"exit": code, **answer["error"]}

    @property
    def state(self) -> Path:
        return self.main / ".claude-coordination"


def git(at: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", "-C", str(at), *identity, *words], check=True, capture_output=True, text=True).stdout


def add_worktree(project: Project, name: str, branch: str = "") -> Path:
    tree = project.main.parent / name
    git(project.main, "worktree", "add", "-q", str(tree), "-b", branch or name)
    (tree / ".claude-instance").mkdir()
    info = {
        "schema_version": 1,
        "instance_id": name,
        "project": str(project.main),
        "store_id": project.queue.root.store_id,
        "worktree_path": str(tree),
        "branch": branch or name,
    }
    context.instance_files(str(tree)).replace("info.json", records.encode(info))
    git_dir = git(tree, "rev-parse", "--absolute-git-dir").strip()
    instance_records.write(project.queue.root, name, worktree=str(tree), checkout=str(tree), git_dir=git_dir)
    return tree


def build(home: Path, *others: str) -> Project:
    """Make a project with the worktree "one" joined, and others, by git."""
    main = home / MAIN
    main.mkdir()
    git(main, "init", "-q", "-b", "main", "--template=")
    (main / ".git" / "info").mkdir(exist_ok=True)
    (main / ".git" / "info" / "exclude").write_text(".claude-coordination/\n.claude-instance/\n")
    git(main, "commit", "-q", "--allow-empty", "-m", "first")
    made = Project(main, main, Queue(roots.create(str(main / ".claude-coordination"), "proj")))
    for name in ("one", *others):
        add_worktree(made, name)
    made.worktree = home / "one"
    return made


def copy(built: Path, home: Path) -> Project:
    """Copy what was built, to a place and with a store id that its files then name."""
    shutil.copytree(built, home, symlinks=True, dirs_exist_ok=True)
    main = home / MAIN
    store_id = json.loads((main / ".claude-coordination" / "protocol.json").read_text())["store_id"]
    own = clock.token(20)
    for path in home.rglob("*"):
        if (path.name in (".git", "gitdir") or path.suffix == ".json") and path.is_file():
            text = path.read_text().replace(str(built), str(home))
            path.write_text(text.replace(store_id, own))
    return Project(main, home / "one", Queue(roots.open_root(str(main / ".claude-coordination"))))


def clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing in the environment that would lead git or the command line elsewhere."""
    for key in [key for key in os.environ if key.startswith("GIT_") or key == "PEERCOORD_PROJECT"]:
        monkeypatch.delenv(key)


MAIN = "proj é x"
_BUILT: dict[tuple[str, ...], Path] = {}  # by their other worktrees: tests get copies


@pytest.fixture
def project(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    clear(monkeypatch)
    others = ("two",) if "second" in request.fixturenames else ()
    if others not in _BUILT:
        _BUILT[others] = build(Path(os.path.realpath(tmp_path_factory.mktemp("built"))), *others).main.parent
    return copy(_BUILT[others], Path(os.path.realpath(tmp_path)))


@pytest.fixture
def second(project: Project) -> Path:
    return project.main.parent / "two"
