"""For tests: a project, worktrees with real agents, and coding sessions that are real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from peercoord.agent import control
from peercoord.membership import membership as members
from peercoord.queue.queue import Queue
from peercoord.store import instance_records, paths, records
from peercoord.store import root as roots
from peercoord.system import child, process
from peercoord.team.up import coordinate_sh
from peercoord.worktree import context

HANGS = 240.0  # seconds: what does not hold by then, even on a busy machine, never will
PACE = threading.Event()  # never set: a pause between two looks that no test relies on


def until(holds: Callable[[], Any], what: str = "") -> Any:
    """Wait until something holds. To take long is no failure; to never hold is one."""
    end = time.monotonic() + HANGS
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < end, f"not within {HANGS} s: {what or holds}"
        PACE.wait(0.004)


def _end(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def killed(pid: int) -> None:
    """Kill a process and wait until it is gone: one that waits for a disk does not die at once."""
    identity = process.identify(pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: identity is None or not process.running(identity), what=f"the end of {pid}")


def stays(holds: Callable[[], Any], seconds: float, what: str = "") -> None:
    """Check for a while that something still holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert holds(), what or holds
        PACE.wait(0.02)


class Session:
    """A coding session: a shell under the name of a coding agent, which runs what it is told."""

    def __init__(self, tree: Path, wrap: list[str] | None = None, program: str = "claude") -> None:
        self.tree = tree
        loop = 'while IFS= read -r line; do eval "$line"; echo "<end $?>"; done'
        named = ["bash", "-c", 'exec -a "$0" sh -c "$1"', program, loop]
        run = {} if wrap else {"executable": "/bin/sh"}
        self.process = subprocess.Popen(
            [*wrap, *named] if wrap else [program, "-c", loop],
            cwd=tree,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **run,
        )

    def __call__(self, line: str) -> tuple[int, str]:
        """Run a line of shell; its exit code and what it printed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        said = ""
        for got in self.process.stdout:
            if got.startswith("<end "):
                return int(got[5:-2]), said
            said += got
        raise AssertionError(f"the session ended: {said}")

    def verb(self, *words: str) -> tuple[int, str]:
        """Call coordinate.sh."""
        import shlex

        return self(" ".join(["./.claude-instance/coordinate.sh", *map(shlex.quote, words)]))

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        for end in (self.process.stdin, self.process.stdout):
            if end is not None:
                end.close()


class Crew:
    """A project with worktrees."""

    def __init__(self, base: Path, tasks: int, **settings: object) -> None:
        self.base = base
        self.project = base / "project"
        self.project.mkdir()
        self.root = roots.create(str(self.project / paths.ROOT), "crew", settings)
        self.queue = Queue(self.root)
        for number in range(1, tasks + 1):
            self.queue.add(records.define(str(number), f"task {number}"))
        self.sessions: list[Any] = []  # what runs here, each with ``close``

    @property
    def state(self) -> Path:
        return self.project / paths.ROOT

    def tree(self, name: str) -> Path:
        """Return a worktree (a plain directory), created at first."""
        tree = self.base / name
        if not tree.exists():
            (tree / paths.INSTANCE / "memory-contributions").mkdir(parents=True)
            info = {
                "schema_version": 1,
                "instance_id": name,
                "project": str(self.project),
                "store_id": self.root.store_id,
                "worktree_path": str(tree),
                "branch": "",
            }
            context.instance_files(str(tree)).replace("info.json", records.encode(info))
            instance_records.write(self.root, name, worktree=str(tree), git_dir=f"{self.project}/.git/worktrees/{name}")
            script = tree / paths.INSTANCE / "coordinate.sh"
            script.write_bytes(coordinate_sh())
            script.chmod(0o755)
        return tree

    def agent(self, name: str) -> int:
        """Start a worktree's agent; its pid."""
        return control.start(str(self.tree(name)))

    def spawn(self, name: str, *wrap: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start an agent in the foreground through the command ``wrap``, and wait until it has joined."""
        tree = self.tree(name)
        read, write = os.pipe()
        words = [*wrap, *child.command(), "-C", str(tree), "agent", "run", "--ready-fd", str(write)]
        log = (tree / paths.INSTANCE / "agent.log").open("ab")
        agent = subprocess.Popen(
            words, pass_fds=[write], stdout=log, stderr=log, start_new_session=True, env={**os.environ, **(env or {})}
        )
        os.close(write)
        log.close()
        assert os.read(read, 6) == b"ready\n", self.log(name)
        os.close(read)
        return agent

    def session(self, name: str, program: str = "claude") -> Session:
        """Start a coding session in a worktree; ``program`` may be the name of an unknown program."""
        session = Session(self.tree(name), program=program)
        self.sessions.append(session)
        return session

    def call(self, name: str, *words: str) -> tuple[int, str, str]:
        """Call a worktree's coordinate.sh from this process."""
        done = subprocess.run(
            ["./.claude-instance/coordinate.sh", *words], cwd=self.tree(name), capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    def script(self, name: str) -> Path:
        return self.tree(name) / paths.INSTANCE / "coordinate.sh"

    def without_python(self, name: str) -> None:
        """Take Python away from a worktree's script, so that only the agent can answer."""
        lines = self.script(name).read_text().splitlines()
        lines = ["python='/gone for ever/python'" if line.startswith("python=") else line for line in lines]
        self.script(name).write_text("\n".join(lines) + "\n")

    def outbox(self, name: str) -> list[str]:
        return sorted(path.name for path in (self.tree(name) / paths.INSTANCE / "outbox").glob("*"))

    def entry(self, name: str, task: str) -> dict[str, Any]:
        """What a peer's published report says about a task."""
        report = json.loads((self.state / "progress-reports" / f"{name}.json").read_text())
        found: dict[str, Any] = next(e for e in report["assigned_tasks"] if str(e["task_id"]) == task)
        return found

    def log(self, name: str) -> str:
        path = self.tree(name) / paths.INSTANCE / "agent.log"
        return path.read_text() if path.exists() else ""

    # -- looking ---------------------------------------------------------------------------------------------

    def home(self, name: str) -> Path | None:
        """The directory of the living incarnation of a name."""
        found = [who for who in members.living(self.root) if who.peer == name]
        return self.state / paths.peer_dir(found[-1]) if found else None

    def record(self, name: str) -> dict[str, Any]:
        home = self.home(name)
        found: dict[str, Any] = json.loads((home / "peer.json").read_text()) if home else {}
        return found

    def agent_pid(self, name: str) -> int:
        agent = self.record(name).get("agent")
        return int(agent["pid"]) if agent and process.running(agent) else 0

    def holder(self, task: str) -> str:
        found = self.queue.locate(task)
        who = paths.parse_incarnation(found.detail) if found and found.state == "claimed" else None
        return who.peer if who else ""

    def where(self, task: str) -> str:
        found = self.queue.locate(task)
        return found.state if found else ""

    def leader(self) -> str:
        from peercoord.membership.leadership import leader_name

        return leader_name(self.root.files)

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = [line for path in (self.state / "events").iterdir() for line in path.read_text().splitlines()]
        return [e for e in map(json.loads, lines) if e["event"] == kind]

    def close(self) -> None:
        """End all that runs here: sessions, agents, and agents that those were just starting."""
        for session in self.sessions:
            session.close()
        until(lambda: not [_end(process) for process in self.running()], what="the end of every agent")

    def running(self) -> list[psutil.Process]:
        """The agents of this crew's worktrees, also those that are starting."""
        below = f"{self.base}/"
        found = []
        for one in psutil.process_iter(["cmdline"]):
            words = one.info["cmdline"] or []
            if "agent" in words and "peercoord" in words and any(word.startswith(below) for word in words):
                found.append(one)
        return found


@contextmanager
def crew(base: Path, tasks: int = 3, **settings: object) -> Iterator[Crew]:
    """A crew that is taken down in the end."""
    made = Crew(Path(os.path.realpath(base)), tasks, **settings)
    try:
        yield made
    finally:
        made.close()


LINUX = sys.platform.startswith("linux")
ROOT = os.geteuid() == 0
