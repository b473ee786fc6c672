"""A project with tasks, worked on by real coding agents that reach nothing but the scripted model.

All of them run in the network namespace of the model's server, which has loopback only, with an environment made from
nothing and a home of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agents import sessions
from support.project import git

TESTS = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PATIENCE = 240  # seconds for what must come: agents that hang are a failure, slow ones are not
ALLOWED = ["Bash(git *)", "Bash(printf *)", "Bash(python3 -m parts.*)"]  # what this project lets its agents do
PARTS = {1: [], 2: [], 3: [], 4: [1], 5: [1, 2], 6: [2], 7: [3], 8: [4, 5], 9: [6], 10: [7, 8], 11: [9], 12: [10, 11]}

Told = dict[str, Any]


class Offline:
    """A project in a directory, and the server that its agents ask."""

    def __init__(self, home: Path, accidents: dict[str, dict[str, str]], mode: str) -> None:
        self.home, self.project = home, home / "proj"
        self.told: list[Told] = []
        self.started: list[subprocess.Popen[bytes]] = []
        self.temporary = Path(tempfile.mkdtemp(prefix="peercoord-", dir="/tmp"))  # short: sockets are made in it
        (home / "accidents.json").write_text(json.dumps(accidents))
        (home / "user").mkdir()
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TESTS), "LANG": "C.UTF-8"}
        self.server = subprocess.Popen(
            ["unshare", "-n", sys.executable, "-m", "agents.model_server", str(home), mode],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.until(lambda told: 'port' in told)['port']}"

    def _listen(self) -> None:
        assert self.server.stdout is not None
        for line in self.server.stdout:
            with self.news:
                self.told.append(json.loads(line))
                self.news.notify_all()

    def until(self, holds: Callable[[Told], Any]) -> Told:
        """Wait until the server has told something."""
        with self.news:
            found = self.news.wait_for(lambda: next(filter(holds, self.told), None), PATIENCE)
            assert found, (
                f"not told; last: {[(told['who'], told['command']) for told in self.told if 'command' in told][-6:]}"
            )
            return found

    def commands(self, who: str) -> list[str]:
        """Return what a session was told to run, in order."""
        return [told["command"] for told in self.told if told.get("command") and told["who"] == who]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the whole environment of a process in here."""
        return {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.home / "user"),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "GIT_MERGE_AUTOEDIT": "no",
            "TMUX_TMPDIR": str(self.temporary),
            **more,
        }

    def start(self, command: list[str], at: Path, output: Path, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program in the namespace."""
        with output.open("wb") as out:
            started = subprocess.Popen(
                ["nsenter", "-t", str(self.server.pid), "-n", *command],
                cwd=at, env=self.environment(**environment), stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.started.append(started)
        return started

    def run(self, *command: str, at: Path | None = None, **environment: str) -> str:
        """Run a program in the namespace; return what it said."""
        output = self.home / "run.out"
        ended = self.start(list(command), at or self.project, output, **environment).wait(PATIENCE)
        said = output.read_text(errors="replace")
        assert ended == 0, f"{command}: {ended}\n{said}"
        return said

    def data(self, *words: str) -> Any:
        """Return the data of an answer with ``--json``."""
        return json.loads(self.run("peercoord", *words, "--json"))["data"]

    def worktree(self, number: int) -> Path:
        return self.home / f"proj-instance-{number}"

    # -- the project ---------------------------------------------------------------------------------------------

    def make(self, instances: int, tasks: int = 0, *up: str) -> None:
        """Make a repository, a team and the first tasks of the list."""
        (self.project / "parts").mkdir(parents=True)
        (self.project / "parts" / "__init__.py").write_text("")
        (self.project / ".claude").mkdir()
        settings = {"permissions": {"allow": ALLOWED}}
        (self.project / ".claude" / "settings.json").write_text(json.dumps(settings))
        (self.project / ".gitignore").write_text("__pycache__/\n")
        self.run("git", "config", "--global", "user.name", "A Person", at=self.home)
        self.run("git", "config", "--global", "user.email", "person@localhost", at=self.home)
        git(self.project, "init", "-q", "-b", "main")
        git(self.project, "add", ".")
        git(self.project, "commit", "-qm", "first")
        self.run("peercoord", "up", str(self.project), str(instances), *up)
        for number in range(1, tasks + 1):
            needs = PARTS[number]
            imports = f", which imports {', '.join(f'p{one}' for one in needs)}" if needs else ""
            depends = [word for one in needs for word in ("--depends-on", str(one))]
            text = f"Write parts/p{number}.py{imports}."
            self.run("peercoord", "task", "add", f"Part {number}", "--description", text, *depends)

    def done(self) -> dict[str, list[str]]:
        """Return who did each task, as the events say."""
        found: dict[str, list[str]] = {}
        for event in self.data("events", "--last", "1000")["events"]:
            if event["event"] == "done":
                found.setdefault(event["task"], []).append(event["peer"])
        return found

    def session(self, agent: str, number: int, prompt: str, *options: str) -> subprocess.Popen[bytes]:
        """Start a coding agent in a worktree, without a screen."""
        words = [*sessions.command(agent, prompt), *options]
        output = self.home / f"{agent}-{number}.out"
        return self.start(words, self.worktree(number), output, **sessions.variables(self, agent))

    def settings(self, content: Told) -> list[str]:
        """Write settings for Claude Code; return the options that name them."""
        path = self.home / "settings.json"
        path.write_text(json.dumps(content))
        return ["--settings", str(path)]


@contextmanager
def offline(home: Path, accidents: dict[str, dict[str, str]] | None = None, mode: str = "") -> Iterator[Offline]:
    """Serve the model for a project; take the team down at the end."""
    if os.geteuid() != 0 or not shutil.which("nsenter"):
        pytest.skip("a network namespace needs root and util-linux")
    made = Offline(home, accidents or {}, mode)
    try:
        yield made
    finally:
        for session in made.started:
            if session.poll() is None:
                os.killpg(session.pid, signal.SIGKILL)
                session.wait()
        if shutil.which("tmux"):
            subprocess.run(["tmux", "kill-server"], env=made.environment(), capture_output=True, check=False)
        shutil.rmtree(made.temporary, ignore_errors=True)
        if made.project.exists():
            subprocess.run([BIN / "peercoord", "-C", made.project, "down"], env=made.environment(), check=False)
        made.server.communicate(timeout=PATIENCE)
