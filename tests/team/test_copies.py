"""A tracked list: no worktree keeps a copy of it, except one that was edited; that one is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from peercoord.agent import control
from peercoord.doctor import checks as doctor
from peercoord.store.root import open_root
from peercoord.team import plan as plans
from peercoord.team import up
from peercoord.team.removal import plan_leave
from peercoord.team.repository import team_instances

FILE = ".taskmaster/tasks/tasks.json"


@pytest.fixture
def tracked_list(tracked: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(control, "start", lambda *_: None)
    task = {"id": 1, "title": "One", "status": "pending"}
    tracked.commit(FILE, json.dumps({"master": {"tasks": [task]}}))
    return tracked


def set_up(repo: Any, **wished: Any) -> str:
    made = up.plan(repo.project(exact=True), up.SetupOptions(1, **wished))
    warnings = plans.run(made.actions)
    return "\n".join([*made.notes, *warnings])


def findings(repo: Any) -> str:
    root = open_root(str(repo.path / ".claude-coordination"))
    return "\n".join(one.text for one in doctor.examine_lists(root))


def test_a_tracked_list_in_step_is_left_out_of_the_worktrees(tracked_list: Any) -> None:
    repo, tree = tracked_list, tracked_list.instance(1)
    said = set_up(repo, tasks=str(repo.path / FILE))
    assert f"'{FILE}' is tracked, so each worktree would have a stale copy of it" in said
    assert not (tree.path / FILE).exists()
    assert (tree.path / "memory-bank").is_symlink(), "the link is as it was"
    assert (tree.status(), repo.status()) == ("", "")
    tree.commit("work.txt")
    assert tree.git("diff", "--name-only", "HEAD~1").split() == ["work.txt"], "no commit removes it"
    assert "is tracked" not in set_up(repo)
    assert "has a copy" not in findings(repo)
    tree.write(FILE, '{"tasks": [1]}')  # it comes back
    assert "instance-1 has a copy of the list in step" in findings(repo)
    assert "was changed there, which no other worktree sees" in set_up(repo)
    (tree.path / FILE).unlink()
    project = repo.project(exact=True)
    plans.run(plan_leave(project, team_instances(project)[0]))
    assert (tree.path / FILE).exists(), "a worktree that leaves has it again"
    assert tree.status() == ""


def test_a_copy_that_was_changed_stays_and_is_named(tracked_list: Any) -> None:
    repo, tree = tracked_list, tracked_list.instance(1)
    assert "is tracked" not in set_up(repo)
    assert (tree.path / FILE).exists(), "a list that is only read stays"
    (tree.path / FILE).write_text('{"tasks": []}')
    for wished in ({"tasks": str(repo.path / FILE)}, {}):
        said = set_up(repo, **wished)
        assert f"'{FILE}' in ../app-instance-1 was changed there, which no other worktree sees" in said
        assert (tree.path / FILE).read_text() == '{"tasks": []}'
        assert "instance-1 has a copy of the list in step" in findings(repo)
    tree.git("checkout", "--", FILE)
    set_up(repo)
    assert not (tree.path / FILE).exists()
