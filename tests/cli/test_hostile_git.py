"""A git configuration that a coding agent wrote: its agent and a person's commands run nothing of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.teams import Team
from support.poison import ATTRIBUTES, Canary
from support.project import git

from peercoord.agent import control

EVERYWHERE, REPLACED = "everywhere", "replaced"


def attack(team: Team, canary: Canary, way: str) -> None:
    """Make the worktree of a team of one hostile, after its session has claimed a task."""
    main, tree = team.repo, team.tree(1)
    team.data("task", "add", "One")
    assert team.script("request-task").returncode == 0
    if way == REPLACED:
        (tree / ".git").rename(tree / ".git.old")
        git(tree, "init", "-q")
        git(tree, "add", "a.py")
        git(tree, "commit", "-q", "-m", "x")
        canary.poison(tree / ".git" / "config")
    else:
        git(main, "config", "extensions.worktreeConfig", "true")
        canary.poison(main / ".git" / "worktrees" / "app-instance-1" / "config.worktree")
        canary.poison(main / ".git" / "config")
    (tree / ".gitattributes").write_text(ATTRIBUTES)
    os.utime(tree / "a.py", (1, 1))
    assert canary.bites(tree)


@pytest.mark.parametrize("way", [EVERYWHERE, pytest.param(REPLACED, marks=pytest.mark.slow)])
def test_nothing_that_is_configured_runs_for_a_person_or_an_agent(
    teams: Callable[[int], Team], tmp_path: Path, way: str
) -> None:
    team, canary = teams(1), Canary(tmp_path / "canary")
    head = git(team.tree(1), "rev-parse", "HEAD").strip()
    attack(team, canary, way)
    assert control.status(str(team.tree(1)))["running"], "the verbs go through an agent outside"
    answer = team.script("report-progress", "1", "--status", "done", "--json")
    assert answer.returncode == 0, answer.stderr
    done = json.loads(answer.stdout)["data"]
    if way == EVERYWHERE:
        assert (done["branch"], done["commit"]) == ("team/instance-1", head)
        assert "'.gitattributes' among them" in answer.stderr + answer.stdout
    else:
        assert "commit" not in done
        assert "does not lead to" in answer.stderr + answer.stdout
    for words in (["status"], ["doctor"], ["down", "--dry-run"], ["down", "--remove", "--dry-run"]):
        team.person(*words)
        assert canary.ran() == "", words
    team("up", team.repo, "1")
    team.person("down", "--remove")
    assert (team.tree(1) / "a.py").exists(), "what cannot be told keeps a worktree"
    team.person("down", "--purge")
    assert canary.ran() == ""
