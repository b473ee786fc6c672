"""LAY-1: under a ticket's name, only a regular file is a ticket. Anything else is set aside and stops nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.faults import Pausing
from support.worlds import World

from peercoord.membership.leadership import Leadership
from peercoord.store import paths
from peercoord.store.paths import Ticket
from peercoord.system.disk import Disk


def full(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("kept")


KINDS: dict[str, Callable[[Path], object]] = {
    "empty directory": Path.mkdir,
    "full directory": full,
    "link to a ticket": lambda path: path.symlink_to("../../../leader/leader~0"),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "fifo": os.mkfifo,
}


class Place:
    """A world on a real disk, and one kind of thing that is no ticket."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root, self.kind = root, kind
        self.world = World.new(Disk(str(root)))

    def plant(self, path: str) -> str:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        KINDS[self.kind](target)
        return path

    def aside(self) -> list[str]:
        """The paths from which things were set aside."""
        return sorted(path.read_text().splitlines()[0] for path in (self.root / paths.QUARANTINE).glob("*.why"))

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.root / path)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path, request.param)


def test_many_of_them_hide_no_task(place: Place) -> None:
    """More than the tickets that one request looks at again."""
    place.world.add("z", priority="low")
    for number in range(80):
        place.plant(f"queue/ready/0/000000/{number}~0")
    assert place.world.taken(place.world.join("w"), "z") == Ticket("z", 1)


def test_in_done_it_makes_nothing_done(place: Place) -> None:
    """PLC-3: and the task can be completed."""
    place.world.add("1")
    place.world.add("2", needs=("1",))
    place.plant(paths.done("1"))
    assert place.world.state("1")[0] == "ready"
    place.world.janitor().tidy()
    assert place.world.state("2") == ("waiting", "1")
    worker = place.world.join("w")
    place.world.taken(worker, "1")
    place.plant(paths.done("1"))
    worker.complete("1")
    assert (place.root / paths.done("1")).is_file()
    assert place.world.state("2")[0] == "ready"


def test_it_is_no_leadership(place: Place) -> None:
    """LDR-1."""
    place.plant(f"{paths.LEADER}/leader~9")
    worker = place.world.join("w")
    leadership = Leadership(worker.membership)
    assert leadership.take() == 1
    place.plant(f"{worker.home}/leader~12")
    assert leadership.term() is None
    place.world.janitor().tidy()
    assert leadership.term() == 1


def test_tidying_sets_all_of_them_aside_and_nothing_else(place: Place) -> None:
    """VER-4: a name that no ticket can have is left alone."""
    for task in ("1", "2"):
        place.world.add(task, needs=("1",) if task == "2" else ())
    before = {task: seen.path for task, seen in place.world.queue.survey().items()}
    strange = ["queue/new/1~abc", "queue/waiting/1/3~0", "queue/ready/1/000000/3~1", "queue/ready/4/000007/1~2"]
    strange += ["queue/parked/held/1~8", f"{paths.done_dir('2')}/2", "queue/leader/leader~4"]
    foreign = ["queue/ready/1/000000/notes", "queue/new/x", "queue/parked/other/1~9"]
    for path in (*strange, *foreign):
        place.plant(path)
    place.world.janitor().tidy()
    assert place.aside() == sorted(strange)
    assert all(map(place.exists, foreign))
    assert {task: seen.path for task, seen in place.world.queue.survey().items()} == before


def test_a_ticket_that_arrives_meanwhile_is_not_set_aside() -> None:
    """INV-1: at whatever call another peer clears the place and the ticket moves there."""
    path = "queue/ready/2/000000/1~0"
    for at in range(1, 60):
        world = World.new()
        world.add("1")
        world.files.move(path, "queue/parked/held/1~0")
        world.files.make_dir(path)

        def meanwhile(world: World = world) -> None:
            seen = world.files.stat(path)
            if seen and seen.is_dir:
                world.disk.rmdir(path)
            world.files.move("queue/parked/held/1~0", path)

        pausing = Pausing(world.disk, at, meanwhile)
        world.on(pausing).files.set_irregular_aside(path)
        if pausing.last is None:
            break
        assert world.at("1") == path, pausing.last
    assert at > 3
