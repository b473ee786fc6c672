"""What people may choose when a team is set up, what happens when it fails half way, and worktrees that join."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import answers

from .conftest import Shell, instances, snapshot


@pytest.mark.slow
def test_three_is_the_default_and_a_smaller_number_changes_nothing_and_says_so(sh: Shell) -> None:
    repo = sh.repository()
    assert len(instances(sh.up(repo))) == 3
    fewer = sh.up(repo, 1)
    assert fewer["actions"] == []
    assert len(fewer["instances"]) == 3
    assert "the team has 3 worktrees, and keeps them" in " ".join(fewer["notes"])


@pytest.mark.slow
def test_base_prefix_and_a_branch_that_blocks_it(sh: Shell) -> None:
    repo = sh.repository()
    first = sh.git(repo, "rev-parse", "HEAD").strip()
    sh.commit(repo, "later.txt")
    sh.git(repo, "branch", "team")
    blocked = sh.data(repo, "claude-team-coordinated", repo, 1)
    assert blocked["code"] == "branch-blocked"
    assert "'team' blocks 'team/instance-1'" in blocked["message"]
    assert not (repo / ".git" / "peercoord").exists()
    tree = instances(sh.up(repo, 1, "--branch-prefix", "crew/", "--base", first))[0]
    assert sh.git(tree, "rev-parse", "--abbrev-ref", "HEAD").strip() == "crew/instance-1"
    assert sh.git(tree, "rev-parse", "HEAD").strip() == first
    assert instances(sh.up(repo, 2))[1].exists(), "the prefix chosen once is kept"
    assert "crew/instance-2" in sh.git(repo, "branch", "--list", "crew/*")
    assert sh.data(repo, "claude-team-coordinated", repo, 3, "--base", "nowhere")["code"] == "no-base"


@pytest.mark.slow
def test_an_existing_branch_is_named_before_it_is_used_again(sh: Shell) -> None:
    repo = sh.repository()
    sh.git(repo, "checkout", "-q", "-b", "team/instance-1")
    tip = sh.commit(repo, "old.txt")
    sh.git(repo, "checkout", "-q", "main")
    planned = sh.data(repo, "claude-team-coordinated", repo, 1, "--dry-run")
    named = f"existing branch team/instance-1 @ {tip[:7]} (1 commit of its own), used again"
    assert any(named in text for text in planned["actions"]), planned["actions"]
    tree = instances(sh.up(repo, 1))[0]
    assert (tree / "old.txt").exists()
    sh.peercoord(repo, "down", "--purge")
    assert tip in sh.git(repo, "rev-parse", "team/instance-1"), "a branch that was there before is not ours to delete"


@pytest.mark.slow
def test_worktreeinclude_setup_and_the_index(sh: Shell) -> None:
    repo = sh.repository()
    (repo / ".env").write_text("SECRET=1\n")
    sh.commit(repo, ".worktreeinclude", ".env\n")
    said = 'echo "port 30$PEERCOORD_INSTANCE_INDEX in $(pwd)"; cat .env; test "$PEERCOORD_INSTANCE_INDEX" != 2'
    made = sh.up(repo, 2, "--setup", said)
    one, two = instances(made)
    assert [(tree / ".env").read_text() for tree in (one, two)] == ["SECRET=1\n"] * 2
    kept = (one / ".claude-instance" / "setup.log").read_text()
    assert kept == f"port 301 in {one}\nSECRET=1\n"
    assert len(made["warnings"]) == 1, "one failed, and the team is there all the same"
    assert str(two) in made["warnings"][0]
    assert f"cd {two} && PEERCOORD_INSTANCE_INDEX=2 " in made["to_type"][1]
    again = sh.up(repo, 2, "--setup", "exit 0")
    assert [text for text in again["actions"] if "run in" in text], "the one that failed is tried again"
    assert sh.up(repo, 2, "--setup", "exit 1")["actions"] == []
    (two / ".env").write_text("SECRET=changed\n")
    kept = sh.peercoord(repo, "down", "--remove")
    assert [one["id"] for one in kept["kept"]] == ["instance-2"], "a changed .env is somebody's work"


@pytest.mark.slow
def test_progress_is_shown_and_can_be_silenced(sh: Shell) -> None:
    repo = sh.repository()
    shown = sh.run(repo, "claude-team-coordinated", repo, 1).stdout
    assert "add worktree ../app-instance-1 on new branch team/instance-1 from main" in shown
    assert "start the agent of instance-1" in shown
    planned = sh.run(repo, "claude-team-coordinated", repo, 2, "--dry-run").stdout
    done = sh.run(repo, "claude-team-coordinated", repo, 2).stdout
    steps = [line for line in planned.splitlines() if line.startswith("  ")]
    assert steps
    assert [line for line in done.splitlines() if line.startswith("  ")][: len(steps)] == steps


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
