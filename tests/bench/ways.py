"""Count the product files, function calls, changes of file and system calls that five actions take.

The actions run in this process, as ``python -m peercoord`` runs them, on projects that ``up`` made. So nothing here
names a module of the product but ``SERVERS``. A first round on other projects imports all that is needed. Work in child
processes (git) is not counted. The leader's agent merges and syncs by the same commands, in a child process.

A call in the main checkout looks at what lies beside each directory above it: name an empty place with ``--dir``.

- files: how many files of the product have a function that was called
- calls: calls of functions of the product, as ``sys.setprofile`` reports them; each step of a generator is one
- changes: calls whose nearest product caller is in another file
- system: calls of the operating system by the product, imports left out; see ``SYSTEM`` for the kinds
"""

from __future__ import annotations

import io
import json
import os
import runpy
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import peercoord

PRODUCT = f"{Path(peercoord.__file__).resolve().parent}/"
SERVERS = ("mailbox/server.py",)  # what serves a request that lies in the mailbox
VERBS = {
    "request-task": ["request-task"],
    "report-progress": ["report-progress", "1", "--progress", "0.5"],
    "update-memory": ["update-memory", "--file", "techContext.md", "--section", "Tools", "--content", "- ruff checks"],
}
SYSTEM = {  # what a call of the operating system counts as
    "reads": ("read", "readlink"),
    "listings": ("listdir", "scandir"),
    "looks": ("stat", "lstat", "access"),
    "changes on disk": ("write", "rename", "replace", "link", "symlink", "unlink", "mkdir", "rmdir", "utime"),
    "flushes": ("fsync",),
    "programs": ("fork_exec",),
}
KINDS = {name: kind for kind, names in SYSTEM.items() for name in names}
TABLE = (
    "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, description TEXT, status TEXT, priority TEXT,"
    " dependencies TEXT)"
)
ROWS = [(number, f"Task {number}", "", "pending", "medium", "[]") for number in (1, 2, 3)]


def measure(where: str = "", cold: bool = False) -> dict[str, Any]:
    """Run each action on one project to warm up, and on a second one to count.

    This happens in a process without a parent: the product asks which of the caller's ancestors is a coding agent.
    """
    words = ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, __file__, where, "cold" if cold else ""]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        raise RuntimeError("the actions were not counted; see the messages above")
    return {"python": sys.version.split()[0], "version": peercoord.__version__, "actions": json.loads(done.stdout)}


def _counted(where: str, cold: bool) -> dict[str, dict[str, int]]:
    with tempfile.TemporaryDirectory(prefix="peercoord-bench-", dir=where or None, ignore_cleanup_errors=True) as made:
        base = Path(made).resolve()
        token = base.name.removeprefix("peercoord-bench-")
        os.environ.update({"HOME": made, "PEERCOORD_NO_AGENT": "1", "GIT_CONFIG_GLOBAL": os.devnull})
        if not cold:
            _round(base / "warm-up", f"warm-{token}")
        return _round(base / "counted", f"real-{token}")


class Counter:
    """Counts what happens in the product."""

    def __init__(self, beneath: Sequence[str] = ()) -> None:
        self.beneath = beneath
        self.files: set[str] = set()
        self.calls = self.changes = self._depth = 0
        self.system = dict.fromkeys(SYSTEM, 0)

    def hook(self, frame: FrameType, event: str, called: object) -> None:
        """Take one event of ``sys.setprofile``."""
        if event == "c_call":
            self._system_call(frame, called)
        file = _product_file(frame)
        if not file or event not in ("call", "return"):
            return
        if file in self.beneath:
            self._depth += 1 if event == "call" else -1
        if event == "return" or frame.f_code.co_name == "<module>" or (self.beneath and not self._depth):
            return
        self.files.add(file)
        self.calls += 1
        caller = frame.f_back
        while caller is not None and not _product_file(caller):
            caller = caller.f_back
        self.changes += caller is not None and _product_file(caller) != file

    def _system_call(self, frame: FrameType | None, called: object) -> None:
        kind = KINDS.get(getattr(called, "__name__", ""), "")
        if not kind or getattr(called, "__module__", "") not in ("posix", "_posixsubprocess"):
            return
        if self.beneath and not self._depth:
            return
        while frame is not None and not _product_file(frame):
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return
            frame = frame.f_back
        self.system[kind] += frame is not None

    def figures(self) -> dict[str, int]:
        """Return what was counted."""
        assert self.calls, f"nothing of the product ran in {self.beneath or PRODUCT}: were modules moved?"
        return {"files": len(self.files), "calls": self.calls, "changes": self.changes, **self.system}


def _product_file(frame: FrameType) -> str:
    name = frame.f_code.co_filename
    return name[len(PRODUCT) :] if name.startswith(PRODUCT) else ""


def _round(base: Path, label: str) -> dict[str, dict[str, int]]:
    """Run each action once."""
    found = {}
    project, worktree = _project(base / "typed" / f"typed-{label}")
    for number in (1, 2, 3):
        _call(project, ["task", "add", f"Task {number}"])
    for name, words in VERBS.items():
        found[name] = _count(worktree, words)
    found["memory merge, one bullet"] = _count(project, ["memory", "merge"])
    project, worktree = _project(base / "served" / f"served-{label}")
    _choose_database(project)
    found["first sync, three tasks"] = _count(project, ["sync"])
    for name, words in VERBS.items():
        found[f"{name}, served"] = _count(worktree, ["agent", "call", "--", *words], SERVERS)
    return found


def _count(at: Path, words: list[str], beneath: Sequence[str] = ()) -> dict[str, int]:
    counter = Counter(beneath)
    _call(at, words, counter.hook)
    return counter.figures()


def _call(at: Path, words: list[str], hook: Callable[[FrameType, str, Any], object] | None = None) -> None:
    """Call the product in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with (
        patch.object(sys, "argv", ["peercoord", "-C", str(at), *words]),
        patch.object(sys, "stdout", out),
        patch.object(sys, "stderr", err),
    ):
        code: Any = 0
        sys.setprofile(hook)
        try:
            runpy.run_module("peercoord", run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        finally:
            sys.setprofile(None)
    if code:
        raise RuntimeError(f"{' '.join(words)}: exit {code}: {err.buffer.getvalue().decode('utf-8', 'replace')}")


def _project(project: Path) -> tuple[Path, Path]:
    """Make a project with a memory bank and one worktree, whose agent is stopped."""
    (project / "memory-bank").mkdir(parents=True)
    (project / "memory-bank" / "techContext.md").write_text("# Tech\n\n## Tools\n\n- mypy checks\n")
    author = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*author, "commit", "-q", "-m", "start"]):
        _run(["git", *words], project)
    product = [sys.executable, "-m", "peercoord"]
    _run([*product, "up", str(project), "1", "--database", "none"], project)
    worktree = Path(f"{project}-instance-1")
    _run([*product, "-C", str(worktree), "agent", "stop"], project)
    return project, worktree


def _choose_database(project: Path) -> None:
    """Create a database, and choose it for a project not synced yet."""
    with closing(sqlite3.connect(project / "tasks.db")) as connection, connection:
        connection.execute(TABLE)
        connection.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)", ROWS)
    protocol = project / ".claude-coordination" / "protocol.json"
    protocol.write_text(json.dumps({**json.loads(protocol.read_text()), "database": "tasks.db"}))


def _run(words: list[str], at: Path) -> None:
    done = subprocess.run(words, cwd=at, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr}")


if __name__ == "__main__":
    print(json.dumps(_counted(sys.argv[1], sys.argv[2] == "cold")))
