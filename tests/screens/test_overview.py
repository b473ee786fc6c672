"""What a screen adds to the needs of a team: windows of tmux in which a coding agent has not started yet."""

from __future__ import annotations

import os

import pytest
from support.project import Project, project

from peercoord.cli import main as cli
from peercoord.errors import NotFoundError
from peercoord.membership.membership import judge
from peercoord.screens.overview import overview
from peercoord.status.board import Reader
from peercoord.system import process
from peercoord.system.sessions import Caller
from peercoord.team import tmux
from peercoord.worktree import context

__all__ = ["project"]


def test_a_team_that_is_gone_is_no_team_without_tasks(project: Project) -> None:
    project("task", "add", "One")
    reader = Reader(project.queue, lambda who: judge(project.queue.root, who))
    assert overview(reader, str(project.main), brief=True).board.wanted == 1
    project.state.rename(project.state.with_name("away"))
    with pytest.raises(NotFoundError):
        overview(reader, str(project.main), brief=True)


def test_a_launched_session_that_fires_no_hook_needs_a_look(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project("check-status")  # its agent is in the team
    tree = str(project.worktree)
    monkeypatch.setattr(tmux, "hooks_due", lambda trees: dict.fromkeys({tree} & {*trees}, 0.0))
    monkeypatch.setattr(tmux, "looked_at", lambda tree: ("tmux", "attach", "-t", tree))

    def found() -> list[tuple[str, str, object]]:
        needs = overview(Reader(project.queue, lambda who: judge(project.queue.root, who)), str(project.main)).needs
        return [(need.about, need.what, need.commands) for need in needs if need.kind == "not-started"]

    assert found() == [("one", "has not started yet", [("tmux", "attach", "-t", tree)])]
    runs = Caller({**(process.identify(os.getpid()) or {}), "program": "codex"}, "codex")
    assert cli.serve(["check-status"], cli.Call(context.find(tree), runs))[0] == 0
    assert found() == [], "it has called"
