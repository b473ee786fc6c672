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
from peercoord.store import instance_records
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


def add_worktree(project: Project, name: str) -> Path:
    tree = project.main.parent / name
    git(project.main, "worktree", "add", "-q", str(tree), "-b", name)
    (tree / ".claude-instance").mkdir()
    info = {
        "schema_version": 1,
        "instance_id": name,
        "project": str(project.main),
        "store_id": project.queue.root.store_id,
        "worktree_path": str(tree),
        "branch": name,
    }
    context.write_instance(str(tree), "info.json", info)
    git_dir = git(tree, "rev-parse", "--absolute-git-dir").strip()
    instance_records.write(project.queue.root, name, worktree=str(tree), checkout=str(tree), git_dir=git_dir)
    return tree


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Project:
    for key in [key for key in os.environ if key.startswith("GIT_")]:
        monkeypatch.delenv(key)
    monkeypatch.delenv("PEERCOORD_PROJECT", raising=False)
    golden, base = tmp_path_factory.getbasetemp() / "golden project", Path(os.path.realpath(tmp_path))
    if not golden.is_dir():
        build(golden)
    shutil.copytree(golden, base, dirs_exist_ok=True, symlinks=True)
    store_id, own = roots.open_root(str(golden / "proj é x" / ".claude-coordination")).store_id, clock.token(20)
    for path in NAMED:
        text = (base / path).read_text()
        (base / path).write_text(text.replace(str(golden), str(base)).replace(store_id, own))
    home = base / "proj é x"
    root = roots.open_root(str(home / ".claude-coordination"))
    return Project(home, base / "one", Queue(root))


NAMED = (
    "one/.git",
    "one/.claude-instance/info.json",
    "proj é x/.git/worktrees/one/gitdir",
    "proj é x/.claude-coordination/instances/one.json",
    "proj é x/.claude-coordination/protocol.json",
)
"""Files of the golden project that hold its place or its store id."""


def build(base: Path) -> None:
    """Make the project that every test gets a copy of."""
    home = base / "proj é x"
    home.mkdir(parents=True)
    git(home, "init", "-q", "-b", "main")
    (home / ".git" / "info").mkdir(exist_ok=True)
    (home / ".git" / "info" / "exclude").write_text(".claude-coordination/\n.claude-instance/\n")
    git(home, "commit", "-q", "--allow-empty", "-m", "first")
    root = roots.create(str(home / ".claude-coordination"), "proj")
    add_worktree(Project(home, home, Queue(root)), "one")


@pytest.fixture
def second(project: Project) -> Path:
    return add_worktree(project, "two")
