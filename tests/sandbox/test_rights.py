"""Who may read at the door: the owner; the group too, where the coordination directory is group-writable."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from agent.crew import Crew


@pytest.fixture(params=[0o000, 0o077], ids=oct)
def crew(team: Callable[..., Crew], request: pytest.FixtureRequest) -> Iterator[Crew]:
    """A crew whose agents and callers have a file mask that its directories were not made with."""
    made, before = team(), os.umask(request.param)
    yield made
    os.umask(before)


def modes(crew: Crew) -> dict[str, int]:
    home = crew.tree("one") / ".claude-instance"
    found = {}
    for path in (home, *home.rglob("*")):
        with suppress(FileNotFoundError):  # the agent is at work
            found[str(path.relative_to(home))] = stat.S_IMODE(path.lstat().st_mode)
    return found


def test_the_owner_alone(crew: Crew) -> None:
    home = crew.tree("one") / ".claude-instance"
    home.chmod(0o755)
    (home / "agent.log").write_text("of an earlier version\n")
    (home / "agent.log").chmod(0o644)
    crew.agent("one")
    assert crew.call("one", "request-task")[0] == 0
    assert crew.call("one", "report-progress", "1", "--progress", "0.5")[0] == 0
    found = modes(crew)  # what a shell wrote into the outbox is closed by the directory
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077 and "outbox/" not in name} == {}
    assert {"inbox", "outbox", "inbox/wake", "inbox/current", "agent.json", "agent.log"} <= found.keys()
    assert any(name.endswith(".door") for name in found)


def test_the_group_of_a_shared_team(crew: Crew) -> None:
    group = os.getgroups()[-1] if os.geteuid() else 65534
    os.chown(crew.state, -1, group)
    crew.state.chmod(0o2775)
    crew.agent("one")
    assert crew.call("one", "request-task")[0] == 0
    assert crew.call("one", "report-progress", "1", "--progress", "0.5")[0] == 0
    found = modes(crew)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o007} == {}
    shared = {name: mode for name, mode in found.items() if name.startswith(("inbox", "outbox"))}
    assert {name: oct(mode) for name, mode in shared.items() if mode & 0o060 != 0o060} == {}
    home = crew.tree("one") / ".claude-instance"
    assert {path.stat().st_gid for path in (home / "inbox").iterdir()} == {group}
