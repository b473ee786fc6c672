"""A running team of 0.1.0 goes on when the package is upgraded under it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from agent.crew import Session, killed, until
from upgrade.installed import RELEASE, Environment, current

import peercoord

COUNT = 3
ROWS = "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, description TEXT,"
ROWS += " status TEXT DEFAULT 'pending', priority TEXT DEFAULT 'medium', dependencies TEXT DEFAULT '[]')"


class Team:
    """A project, its installed package, a database of tasks beside it, and a coding session in each worktree."""

    def __init__(self, base: Path, environment: Environment) -> None:
        self.project, self.database, self.environment = base / "app", base / "tasks.db", environment
        self.sessions: dict[int, Session] = {}
        (self.project / "memory-bank").mkdir(parents=True)
        self.document = self.project / "memory-bank" / "techContext.md"
        self.document.write_text("# Tech\n")
        for words in ("init -q -b main", "add -A", "commit -q -m first"):
            subprocess.run(["git", *words.split()], cwd=self.project, check=True)
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(ROWS)
            tasks = [(number, f"Task {number}") for number in range(1, 6)]
            connection.executemany("INSERT INTO tasks (id, title) VALUES (?, ?)", tasks)

    def __call__(self, *words: str, program: str = "peercoord", codes: tuple[int, ...] = (0,)) -> str:
        """Call the installed program in the project; what it printed."""
        done = subprocess.run(
            [str(self.environment.bin / program), *words], cwd=self.project, capture_output=True, text=True, check=False
        )
        assert done.returncode in codes, (words, done.stdout, done.stderr)
        return done.stdout

    def data(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))["data"]

    def tree(self, index: int) -> Path:
        return self.project.parent / f"app-instance-{index}"

    def script(self, index: int) -> bytes:
        return (self.tree(index) / ".claude-instance" / "coordinate.sh").read_bytes()

    def verb(self, index: int, *words: str, code: int = 0) -> str:
        """Call coordinate.sh from the coding session of a worktree."""
        if index not in self.sessions:
            self.sessions[index] = Session(self.tree(index))
        got, said = self.sessions[index].verb(*words)
        assert got == code, (words, got, said)
        return said

    def agent(self, index: int) -> Any:
        """What is known of the agent of a worktree: of its process, version and incarnation."""
        said = self("-C", str(self.tree(index)), "agent", "status", "--json", codes=(0, 3))  # 3: it does not run now
        return json.loads(said)["data"]

    def versions(self, *indices: int) -> list[str]:
        return [self.agent(index)["version"] for index in indices]

    def statuses(self) -> dict[int, str]:
        """How the tasks are in the database."""
        with closing(sqlite3.connect(self.database)) as connection:
            return dict(connection.execute("SELECT id, status FROM tasks"))

    def held(self) -> dict[str, tuple[str, int]]:
        """Who holds which task, and at which epoch."""
        root = self.project / ".claude-coordination"
        claims = (path.relative_to(root).parts for path in root.glob("peers/*/claims/*"))
        return {name.split("~")[0]: (home.split("~")[0], int(name.split("~")[1])) for _, home, _, name in claims}

    def close(self) -> None:
        for session in self.sessions.values():
            session.close()
        until(lambda: not [one.kill() for one in self.agents()], what="the end of every agent")

    def agents(self) -> list[psutil.Process]:
        """The processes of this team's agents."""
        words = ((one, one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))
        return [one for one, line in words if str(self.environment.bin.parent) in " ".join(line[:1])]


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    for key in [key for key in os.environ if key.startswith(("GIT_", "XDG_", "PEERCOORD_"))]:
        monkeypatch.delenv(key)
    base = Path(os.path.realpath(tmp_path))
    monkeypatch.setenv("HOME", str(base))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (base / ".gitconfig").write_text("[user]\n  name = t\n  email = t@localhost\n")
    environment = Environment(base / "venv")
    environment.install(RELEASE)
    made = Team(base, environment)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_running_team_goes_on_when_the_package_is_upgraded_under_it(team: Team, tmp_path: Path) -> None:
    assert team.environment.version() == "0.1.0" != peercoord.__version__
    team(str(team.project), str(COUNT), "--database", str(team.database), program="claude-team-coordinated")
    team("config", "state_seconds", "2")
    for index in range(1, COUNT + 1):
        assert f"task {index}: Task {index}" in team.verb(index, "request-task")
    team.verb(1, "report-progress", "1", "--progress", "0.5", "--achievement", "half of it")
    team.verb(2, "update-memory", "--file", "techContext.md", "--section", "Tools", "--critical", "--content", "- ruff")
    until(lambda: team("memory", "merge") and team.data("review", "list")["waiting"], what="the decision that waits")
    assert team.versions(1, 2, 3) == ["0.1.0"] * COUNT
    before = {index: team.agent(index) for index in range(1, COUNT + 1)}
    scripts = {index: team.script(index) for index in range(1, COUNT + 1)}

    # the third dies, and nobody has noticed it when the package is replaced
    for index in (1, 2):
        os.kill(before[index]["pid"], signal.SIGSTOP)
    killed(before[3]["pid"])
    team.sessions.pop(3).close()
    team.environment.install(current(tmp_path))
    assert team.environment.version() == peercoord.__version__
    for index in (1, 2):
        os.kill(before[index]["pid"], signal.SIGCONT)

    # the others become agents of the new version, and hold what they held
    until(lambda: team.versions(1, 2) == [peercoord.__version__] * 2, what="the new version runs")
    for index in (1, 2):
        after = team.agent(index)
        assert (after["pid"], after["incarnation"]) == (before[index]["pid"], before[index]["incarnation"])
    until(lambda: "3" not in team.held(), what="the task of the dead one is back")
    assert team.held() == {"1": ("instance-1", 1), "2": ("instance-2", 1)}

    # the coordinate.sh of 0.1.0 still serves
    assert "Task 1" in team.verb(1, "check-status")
    team.verb(1, "report-progress", "1", "--progress", "0.75")
    team.verb(2, "report-progress", "2", "--status", "done")
    assert 'task 3: "Task 3"' in team.verb(2, "request-task")
    assert team.held() == {"1": ("instance-1", 1), "3": ("instance-2", 2)}
    assert {index: team.script(index) for index in scripts} == scripts
    until(lambda: team.statuses()[2] == "done", what="the database knows that task 2 is done")

    # what waited for a person still does
    (waits,) = team.data("review", "list")["waiting"]
    assert (waits["critical"], waits["right"]["text"]) == (True, "- ruff")
    team("review", "approve", waits["id"], "--as", "a person")
    assert "- ruff" in team.document.read_text()

    # set up again, the rest is upgraded, and the team works to the end
    team("up", ".", str(COUNT))
    assert team.versions(1, 2, 3) == [peercoord.__version__] * COUNT
    assert all(team.script(index) != scripts[index] for index in scripts)
    assert team.held() == {"1": ("instance-1", 1), "3": ("instance-2", 2)}
    root = team.project / ".claude-coordination"
    recorded = {path.stem: json.loads(path.read_text())["worktree"] for path in (root / "instances").iterdir()}
    assert recorded == {f"instance-{index}": str(team.tree(index)) for index in scripts}
    team.verb(1, "report-progress", "1", "--status", "done")
    team.verb(2, "report-progress", "3", "--status", "done")
    for index, task in ((3, 4), (1, 5)):
        assert f'task {task}: "Task {task}"' in team.verb(index, "request-task")
        team.verb(index, "report-progress", str(task), "--status", "done")
    team("sync")
    assert team.statuses() == dict.fromkeys(range(1, 6), "done")
    team("down")
    assert team.agents() == []
