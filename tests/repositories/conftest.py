"""Real repositories, and the installed commands called in them as people and coding agents call them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import answers

BIN = Path(sys.executable).parent
SETTINGS = """\
[user]
  name = Test
  email = test@example.invalid
[init]
  defaultBranch = main
[commit]
  gpgsign = false
[protocol "file"]
  allow = always
"""


WORKING = ("index", "ORIG_HEAD", "COMMIT_EDITMSG", "logs/HEAD", "logs/refs/heads/main")  # of git's own store


class Shell:
    """Where commands are called from: a directory with its own home and no user's settings.

    Args:
        base: An empty directory; everything happens below it.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.home = base / "home"
        self.home.mkdir()
        (self.home / ".gitconfig").write_text(SETTINGS)
        dropped = ("GIT_", "TMUX", "XDG_", "PEERCOORD_", "CLAUDE")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        self.env |= {
            "HOME": str(self.home),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self.home / ".gitconfig"),
            "LC_ALL": "C.UTF-8",
        }

    def run(self, at: Path, *words: object, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=at,
            env=self.env,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
        assert not ok or done.returncode == 0, f"{words} in {at}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def git(self, at: Path, *words: object) -> str:
        return self.run(at, "git", *words).stdout

    def data(self, at: Path, *words: object) -> Any:
        """Call a command with ``--json``; give its data, or its error with the exit code as ``exit``.

        What it answers is held against its schema.
        """
        done = self.run(at, *words, "--json", ok=False)
        assert done.stdout, f"{words}: {done.returncode} {done.stderr}"
        answer = answers.read(done.stdout, *words)
        return answer["data"] if "data" in answer else {**answer["error"], "exit": done.returncode}

    def peercoord(self, at: Path, *words: object) -> Any:
        return self.data(at, BIN / "peercoord", *words)

    def up(self, project: Path, *words: object) -> Any:
        made = self.data(project, BIN / "claude-team-coordinated", project, *words)
        assert "instances" in made, made
        common = self.git(project, "rev-parse", "--path-format=absolute", "--git-common-dir").removesuffix("\n")
        assert answers.check_team(Path(common)) or "--dry-run" in words
        return made

    def verb(self, tree: Path, *words: object) -> Any:
        """Call a verb of a worktree's ``coordinate.sh``."""
        return self.data(tree, "./.claude-instance/coordinate.sh", *words)

    def task(self, project: Path, title: str = "a task", *words: object) -> Any:
        return self.peercoord(project, "task", "add", title, *words)

    def tasks(self, project: Path) -> dict[str, str]:
        listed = self.peercoord(project, "task", "list")["tasks"]
        return {str(task["task_id"]): task["status"] for task in listed}

    def repository(self, name: str = "app") -> Path:
        made = self.base / "work" / name
        made.mkdir(parents=True)
        self.git(made, "init", "-q")
        (made / "src.py").write_text("print('hello')\n")
        (made / ".gitignore").write_text(".env\nbuild/\n")
        self.git(made, "add", "-A")
        self.git(made, "commit", "-q", "-m", "first")
        return made

    def commit(self, tree: Path, name: str = "work.txt", content: str = "work\n") -> str:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content)
        self.git(tree, "add", "--", name)
        self.git(tree, "commit", "-q", "-m", f"write {name}")
        return self.git(tree, "rev-parse", "HEAD").strip()

    def agents(self) -> list[psutil.Process]:
        """Every agent whose worktree lies below this test's directory."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "agent" in words and "run" in words and any(word.startswith(f"{self.base}/") for word in words):
                found.append(process)
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stop every agent and what it started for a while, so that what happens meanwhile happens whole."""
        agents = self.agents()
        for agent in agents:
            agent.suspend()
        started = [child for agent in agents for child in agent.children(recursive=True)]  # none of them starts more
        for child in started:
            with suppress(psutil.NoSuchProcess):
                child.suspend()
        yield
        for process in (*started, *agents):
            with suppress(psutil.NoSuchProcess):
                process.resume()


@pytest.fixture
def sh(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(Path(os.path.realpath(tmp_path)))
    yield made
    while left := made.agents():  # one that is still there may have started another again
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=240)


def instances(made: Any) -> list[Path]:
    """Return the projects in the worktrees that a call of ``up`` answered."""
    return [Path(one["worktree_path"]) for one in made["instances"]]


def snapshot(base: Path) -> dict[str, str]:
    """Return every file, directory and link below a directory with what it holds.

    Objects, the index and the reflogs of ``HEAD`` and ``main`` are git's own working store: commits of the test write
    them.
    """
    found = {}
    for where, directories, files in os.walk(base):
        directories[:] = sorted(d for d in directories if d != "objects")
        for name in sorted((*directories, *files)):
            path = Path(where, name)
            key = str(path.relative_to(base))
            if path.is_symlink():
                found[key] = f"→ {os.readlink(path)}"
            elif path.is_dir():
                found[key] = "/"
            elif not key.endswith(WORKING):
                found[key] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "special"
    return found
