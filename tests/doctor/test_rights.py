"""The doctor says when other users may write where the team's state lies."""

from __future__ import annotations

import subprocess

from support.project import Project

from peercoord.doctor import host
from peercoord.worktree import context


def told(project: Project) -> list[tuple[str, str]]:
    place = context.find(str(project.main))
    mine = [one for one in host._rights(place) if str(project.main.parent) in one.text or one.state == "ok"]
    return [(one.state, one.fix) for one in mine]


def test_what_everyone_may_write_is_named_with_its_remedy(project: Project) -> None:
    (project.state / "queue" / "ready").mkdir(parents=True, exist_ok=True)
    for path in (project.state, project.state / "peers", project.state / "queue" / "ready", project.main):
        before = path.stat().st_mode
        path.chmod(0o777)
        [(state, fix)] = [one for one in told(project) if one[0] != "ok"]
        assert state == "bad"
        subprocess.run(["sh", "-c", fix], check=True)
        assert [one for one in told(project) if one[0] == "bad"] == []
        path.chmod(before)


def test_a_sticky_parent_and_the_teams_group_are_well(project: Project) -> None:
    above = project.main.parent
    above.chmod(0o1777)
    project.state.chmod(0o775)
    assert [one for one in told(project) if one[0] == "bad"] == []
    above.chmod(0o777)
    assert [one[0] for one in told(project)] == ["bad"]
    above.chmod(0o755)
