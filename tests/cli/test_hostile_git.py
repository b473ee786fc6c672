"""A git configuration that a coding agent wrote: its agent and a person's commands run nothing of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from cli.teams import Team
from support.poison import ATTRIBUTES, Canary
from support.project import git

from peercoord.agent import control


def test_nothing_that_is_configured_runs_for_a_person_or_an_agent(teams: Callable[[int], Team], tmp_path: Path) -> None:
    """Other ways to make a worktree hostile: tests/team/test_inspection.py."""
    team, canary = teams(1), Canary(tmp_path / "canary")
    main, tree = team.repo, team.tree(1)
    head = git(tree, "rev-parse", "HEAD").strip()
    team.data("task", "add", "One")
    assert team.script("request-task").returncode == 0
    git(main, "config", "extensions.worktreeConfig", "true")
    canary.poison(main / ".git" / "worktrees" / "app-instance-1" / "config.worktree")
    canary.poison(main / ".git" / "config")
    (tree / ".gitattributes").write_text(ATTRIBUTES)
    os.utime(tree / "a.py", (1, 1))
    assert canary.bites(tree)
    assert control.status(str(tree))["running"], "the verbs go through an agent outside"
    answer = team.script("report-progress", "1", "--status", "done", "--json")
    assert answer.returncode == 0, answer.stderr
    done = json.loads(answer.stdout)["data"]
    assert (done["branch"], done["commit"]) == ("team/instance-1", head)
    assert "not committed: '.gitattributes'" in answer.stderr + answer.stdout
    for words in (["status"], ["doctor"], ["down", "--dry-run"], ["down", "--remove", "--dry-run"]):
        team.person(*words)
        assert canary.ran() == "", words
    team("up", team.repo, "1")
    team.person("down", "--remove")
    assert (tree / "a.py").exists(), "what cannot be told keeps a worktree"
    team.person("down", "--purge")
    assert canary.ran() == ""
