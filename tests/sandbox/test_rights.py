"""Who may read at the door: the owner; the group too, where the coordination directory is group-writable."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from agent.crew import Crew, crew


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Crew]:
    with ExitStack() as stack:
        yield stack.enter_context(crew(tmp_path, 3, heartbeat_seconds=300))


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(team: Crew) -> dict[str, int]:
    home = team.tree("one") / ".claude-instance"
    paths = [home, *home.rglob("*")]
    return {str(path.relative_to(home)): stat.S_IMODE(path.lstat().st_mode) for path in paths}


def test_the_owner_alone(team: Crew, mask: int) -> None:
    home = team.tree("one") / ".claude-instance"
    home.chmod(0o755)
    (home / "agent.log").write_text("of an earlier version\n")
    (home / "agent.log").chmod(0o644)
    team.agent("one")
    assert team.call("one", "request-task")[0] == 0
    assert team.call("one", "report-progress", "1", "--progress", "0.5")[0] == 0
    found = modes(team)  # what a shell wrote into the outbox is closed by the directory
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077 and "outbox/" not in name} == {}
    assert {"inbox", "outbox", "inbox/wake", "inbox/current", "agent.json", "agent.log"} <= found.keys()
    assert any(name.endswith(".door") for name in found)


def test_the_group_of_a_shared_team(team: Crew, mask: int) -> None:
    group = os.getgroups()[-1] if os.geteuid() else 65534
    os.chown(team.state, -1, group)
    team.state.chmod(0o2775)
    team.agent("one")
    assert team.call("one", "request-task")[0] == 0
    assert team.call("one", "report-progress", "1", "--progress", "0.5")[0] == 0
    found = modes(team)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o007} == {}
    shared = {name: mode for name, mode in found.items() if name.startswith(("inbox", "outbox"))}
    assert {name: oct(mode) for name, mode in shared.items() if mode & 0o060 != 0o060} == {}
    home = team.tree("one") / ".claude-instance"
    assert {path.stat().st_gid for path in (home / "inbox").iterdir()} == {group}
