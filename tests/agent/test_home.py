"""What ends an agent: a loss that was seen for a while; never the first look, nor what its worktree says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from peercoord.agent import home as homes
from peercoord.agent.home import Home
from peercoord.membership import membership as members
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.files import Files
from peercoord.system import clock, process
from peercoord.system.disk import Disk

GRACE = 10.0


class World:
    """A project, a worktree and a clock that goes on as it is told."""

    def __init__(self, base: Path) -> None:
        self.project, self.tree = base / "project", base / "tree"
        self.project.mkdir()
        self.state = self.project / paths.ROOT
        self.root = roots.create(str(self.state), "p")
        self.instance = self.tree / paths.INSTANCE
        self.instance.mkdir(parents=True)
        (self.instance / "info.json").write_text("{}")
        self.home = Home(Files(Disk(str(self.instance)), clock.token), self.root, "one")
        self.now = 100.0

    def look(self) -> str:
        return self.home.look(self.now, GRACE)[0]

    def ends(self, within: float = 3600.0) -> tuple[str, float]:
        """Look as often as it asks to; how it ends, and after how many seconds."""
        begin = self.now
        while self.now - begin <= within:
            found, again = self.home.look(self.now, GRACE)
            if found != homes.HERE:
                return found, self.now - begin
            self.now += homes.LOOK_SECONDS if again is None else min(again, homes.LOOK_SECONDS)
        return homes.HERE, within

    def joined(self, **record: Any) -> None:
        """A peer of this worktree, as an agent would have recorded itself."""
        facts = {**process.here(), "worktree": str(self.tree), **record}
        members.join(self.root, "one", facts, lambda _: pytest.fail("nobody else is here"), lambda *_: None)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def move(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}-away"))


def test_all_there(world: World) -> None:
    assert world.ends()[0] == homes.HERE


@pytest.mark.parametrize(
    ("lost", "how", "within", "because"),
    [
        (("tree",), homes.GONE, 5, "its worktree"),
        (("tree", "project"), homes.GONE, 5, "its worktree"),
        (("project",), homes.ORPHANED, 12, "its project"),
        (("state",), homes.ORPHANED, 650, ".claude-coordination is gone"),
        (("instance",), homes.ABANDONED, 25, "was cleaned away"),
    ],
)
def test_what_is_gone_ends_it_in_time(
    world: World, lost: tuple[str, ...], how: str, within: float, because: str
) -> None:
    assert world.look() == homes.HERE
    for name in lost:
        move(getattr(world, name))
    assert world.look() == homes.HERE, "never at the first look"
    found, after = world.ends()
    assert found == how
    assert after <= within
    assert because in world.home.because


def test_the_loss_of_a_project_is_found_within_one_rescan() -> None:
    from peercoord.agent.loop import RESCAN_SECONDS

    assert homes.LOOK_SECONDS + max(homes.PROJECT_SECONDS, homes.GONE_SECONDS) + homes.SOON_SECONDS <= RESCAN_SECONDS


@pytest.mark.parametrize("name", ["tree", "project", "state"])
def test_what_comes_back_in_time_was_never_gone(world: World, name: str) -> None:
    path = getattr(world, name)
    for _ in range(5):
        move(path)
        assert [world.look(), world.look()] == [homes.HERE, homes.HERE]
        world.now += 1e6  # however long it was away: it was looked for only twice
        path.with_name(f"{path.name}-away").rename(path)
        assert world.look() == homes.HERE
    assert world.ends()[0] == homes.HERE


def test_a_stopped_agent_does_not_take_its_own_absence_for_a_loss(world: World) -> None:
    move(world.project)
    world.look()
    world.now += 3600
    assert world.look() == homes.HERE


def test_an_empty_mount_point_is_waited_for(world: World) -> None:
    move(world.state)
    world.state.mkdir()
    assert world.ends(within=100_000)[0] == homes.HERE
    assert list(world.state.iterdir()) == []


def test_another_store_in_its_place_ends_it_after_long(world: World) -> None:
    move(world.state)
    roots.create(str(world.state), "another")
    found, after = world.ends()
    assert found == homes.ORPHANED
    assert after >= homes.STORE_SECONDS
    assert "another team's" in world.home.because


def test_a_protocol_file_that_cannot_be_read_says_nothing(world: World) -> None:
    (world.state / paths.PROTOCOL).write_text("")
    assert world.ends()[0] == homes.HERE


def test_a_filesystem_that_does_not_answer_says_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.lstat

    def stale(path: str) -> os.stat_result:
        if str(path) in (str(world.tree), str(world.project), str(world.state)):
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(homes.os, "lstat", stale)
    assert world.ends()[0] == homes.HERE


# -- another agent -----------------------------------------------------------------------------------------------

ME = process.identify(os.getpid())
OTHER = process.identify(os.getppid())


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({"agent": ME}, homes.HERE),
        ({"agent": OTHER}, homes.REPLACED),
        ({"agent": None}, homes.HERE),
        ({"agent": {"pid": os.getppid(), "start": 1}}, homes.HERE),
        ({"agent": {"pid": 1, "start": 1}, "pid_ns": "pid:[1]"}, homes.REPLACED),
        ({"agent": OTHER, "worktree": "/another"}, homes.HERE),
    ],
    ids=["this one", "another one", "none", "one that is gone", "one in a container", "of another worktree"],
)
def test_the_coordination_directory_says_who_stands_for_it(world: World, record: dict[str, Any], found: str) -> None:
    world.joined(**record)
    assert world.look() == found


@pytest.mark.parametrize("change", [{"host": "renamed"}, {"pid": os.getppid(), "start": 1}, {"pid_ns": "pid:[1]"}])
def test_what_the_worktree_says_of_its_agent_ends_none(world: World, change: dict[str, Any]) -> None:
    world.joined(agent=ME)
    said = {**process.here(), **(OTHER or {}), **change}
    (world.instance / "agent.json").write_bytes(records.encode(said))
    assert world.look() == homes.HERE
    assert json.loads((world.instance / "agent.json").read_text())["start"]


def test_a_renamed_host_replaces_nobody(world: World) -> None:
    world.joined(agent=ME, host="as-it-was-called")
    assert world.look() == homes.HERE
