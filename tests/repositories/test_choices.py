"""What people may choose when a team is set up, what happens when it fails half way, and worktrees that join."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import answers

from .conftest import Shell, instances, snapshot


@pytest.mark.slow
def test_after_a_failure_half_way_the_next_run_goes_on_from_there(sh: Shell) -> None:
    repo = sh.repository()
    planned = sh.data(repo, "claude-team-coordinated", repo, 3, "--dry-run")["actions"]
    blocker = repo / ".git" / "refs" / "heads" / "team" / "instance-2.lock"
    blocker.parent.mkdir()
    blocker.touch()
    broken = sh.run(repo, "claude-team-coordinated", repo, 3, "--json", ok=False)
    assert broken.returncode == 1
    found = answers.read(broken.stdout, "claude-team-coordinated")["data"]
    (failed,) = found["failed"]
    assert failed["id"] == "instance-2"
    assert "instance-2.lock" in failed["message"]
    one, three = repo.parent / "app-instance-1", repo.parent / "app-instance-3"
    assert [line for line in found["to_type"] if "instance-2" in line] == [], "no session can start there"
    assert sh.verb(three, "check-status")["instance_id"] == "instance-3", "the others are set up"
    assert sh.git(one, "status", "--porcelain") == ""
    blocker.unlink()
    made = sh.up(repo, 3)
    assert 0 < len(made["actions"]) < len(planned)
    assert not any("add worktree ../app-instance-1" in text for text in made["actions"])
    assert [tree.name for tree in instances(made)] == ["app-instance-1", "app-instance-2", "app-instance-3"]
    sh.task(repo)
    assert sh.verb(one, "request-task")["task_id"] == 1


@pytest.mark.slow
def test_a_worktree_made_by_a_coding_agent_joins_and_leaves(sh: Shell) -> None:
    """As ``claude --worktree`` makes it: inside the main checkout."""
    repo = sh.repository()
    sh.up(repo, 1)
    inner = repo / ".claude" / "worktrees" / "brave-fox"
    sh.git(repo, "worktree", "add", "-q", "-b", "worktree-brave-fox", str(inner))
    before = snapshot(inner), (repo / ".git" / "info" / "exclude").read_text()
    joined = sh.peercoord(inner, "join", inner, "--name", "fox")
    assert joined["instance"]["id"] == "fox"
    assert sh.git(repo, "status", "--porcelain", "-uall") == "", "nothing of it shows in the main checkout"
    assert sh.git(inner, "status", "--porcelain", "-uall") == ""
    assert sh.up(repo)["actions"] == []
    sh.task(repo)
    assert sh.verb(inner, "request-task")["task_id"] == 1
    sh.git(repo, "clean", "-qfdx", "-e", ".claude-coordination")
    assert sh.verb(inner, "check-status")["instance_id"] == "fox", "git clean leaves a worktree inside alone"
    sh.peercoord(inner, "leave")
    assert (snapshot(inner), (repo / ".git" / "info" / "exclude").read_text()) == before
    assert sh.tasks(repo) == {"1": "ready"}
    assert sh.peercoord(inner, "leave")["exit"] == 3
    clash = sh.peercoord(inner, "join", inner, "--name", "instance-1")
    assert clash["code"] == "name-taken"


@pytest.mark.slow
def test_a_joined_worktree_stays_when_the_team_goes(sh: Shell) -> None:
    repo = sh.repository()
    sh.up(repo, 1)
    tree = repo.parent / "by hand"
    sh.git(repo, "worktree", "add", "-q", "-b", "feature", str(tree))
    before = snapshot(tree)
    sh.peercoord(tree, "join", tree)
    purged = sh.peercoord(repo, "down", "--purge")
    assert "was there before the team" in " ".join(purged["notes"])
    assert snapshot(tree) == before
    assert "feature" in sh.git(repo, "branch", "--list", "feature")
    assert Path(tree, ".git").exists()
