"""A git configuration that a coding agent wrote: its agent and a person's commands run nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import answers
from support.poison import ATTRIBUTES, Canary
from support.project import git

from peercoord.agent import control
from peercoord.cli import main as cli
from peercoord.membership import signals
from peercoord.store import paths
from peercoord.team import agents

EVERYWHERE, REPLACED = "everywhere", "replaced"


class Team:
    """A team of one, with a real agent, whose worktree is made hostile."""

    def __init__(self, base: Path) -> None:
        self.main, self.tree = base / "app", base / "app-instance-1"
        self.canary = Canary(base / "canary")
        self.main.mkdir()
        git(self.main, "init", "-q", "-b", "main")
        (self.main / "a.py").write_text("1\n")
        git(self.main, "add", "-A")
        git(self.main, "commit", "-q", "-m", "first")
        assert self("up", self.main, "1")[0] == 0

    def __call__(self, *words: object) -> tuple[int, Any, str]:
        code, out, err = cli.serve([*map(str, words), "--json"])
        answer = answers.read(out.decode(), *map(str, words))
        return code, answer.get("data") or answer["error"], err.decode()

    def person(self, *words: object) -> tuple[int, Any, str]:
        return self("-C", self.main, *words)

    def verb(self, *words: str) -> tuple[int, str, str]:
        """Call the worktree's script, which asks the agent."""
        done = subprocess.run(
            [self.tree / paths.INSTANCE / "coordinate.sh", *words], cwd=self.tree, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    def attack(self, way: str) -> None:
        self.person("task", "add", "One")
        assert self.verb("request-task")[0] == 0
        if way == REPLACED:
            (self.tree / ".git").rename(self.tree / ".git.old")
            git(self.tree, "init", "-q")
            git(self.tree, "add", "a.py")
            git(self.tree, "commit", "-q", "-m", "x")
            self.canary.poison(self.tree / ".git" / "config")
        else:
            git(self.main, "config", "extensions.worktreeConfig", "true")
            self.canary.poison(self.main / ".git" / "worktrees" / "app-instance-1" / "config.worktree")
            self.canary.poison(self.main / ".git" / "config")
        (self.tree / ".gitattributes").write_text(ATTRIBUTES)
        os.utime(self.tree / "a.py", (1, 1))
        assert self.canary.bites(self.tree)


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    for key in [key for key in os.environ if key.startswith("GIT_") or key == "PEERCOORD_PROJECT"]:
        monkeypatch.delenv(key)
    made = Team(Path(os.path.realpath(tmp_path)))
    yield made
    agents.end(signals.visible({str(made.tree)}))


@pytest.mark.parametrize("way", [EVERYWHERE, REPLACED])
def test_nothing_that_is_configured_runs_for_a_person_or_an_agent(team: Team, way: str) -> None:
    head = git(team.tree, "rev-parse", "HEAD").strip()
    team.attack(way)
    assert control.status(str(team.tree))["running"], "the verbs go through an agent outside"
    code, out, err = team.verb("report-progress", "1", "--status", "done", "--json")
    assert code == 0, err
    done = json.loads(out)["data"]
    if way == EVERYWHERE:
        assert (done["branch"], done["commit"]) == ("team/instance-1", head)
        assert "'.gitattributes' among them" in err + out
    else:
        assert "commit" not in done
        assert "does not lead to" in err + out
    for words in (["status"], ["doctor"], ["down", "--dry-run"], ["down", "--remove", "--dry-run"]):
        team.person(*words)
        assert team.canary.ran() == "", words
    team("up", team.main, "1")
    team.person("down", "--remove")
    assert (team.tree / "a.py").exists(), "what cannot be told keeps a worktree"
    team.person("down", "--purge")
    assert team.canary.ran() == ""
