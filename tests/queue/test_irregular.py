"""Under a ticket's name, only a regular file is a ticket (LAY-1). Anything else is set aside and holds up nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.faults import Pausing
from support.memory import MemoryDisk
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
        """Where from things were set aside."""
        why = sorted((self.root / paths.QUARANTINE).glob("*.why"))
        return [path.read_text().splitlines()[0] for path in why]

    def there(self, path: str) -> bool:
        return os.path.lexists(self.root / path)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path, request.param)


def test_it_is_never_claimed(place: Place) -> None:
    """CLM-1: of a task that nobody knows, and of one whose ticket lies elsewhere."""
    place.world.add("2")
    strange = [place.plant("queue/ready/0/000000/1~0"), place.plant("queue/ready/0/000000/2~7")]
    worker = place.world.join("w")
    assert place.world.taken(worker, "2") == Ticket("2", 1)
    assert [place.there(path) for path in strange] == [False, False]
    assert len(place.aside()) == 2
    assert os.listdir(place.root / worker.home / "claims") == ["2~1"]


def test_more_of_them_than_a_request_looks_at_again_hide_no_task(place: Place) -> None:
    place.world.add("z", priority="low")
    for number in range(80):
        place.plant(f"queue/ready/0/000000/{number}~0")
    assert place.world.taken(place.world.join("w"), "z") == Ticket("z", 1)


def test_in_the_own_claims_it_is_not_held(place: Place) -> None:
    place.world.add("2")
    worker = place.world.join("w")
    place.plant(f"{worker.home}/claims/1~1")
    place.plant(f"{worker.home}/claims/2~1")
    place.plant(f"{worker.home}/claims/3~1~done")
    assert place.world.taken(worker, "2") == Ticket("2", 1)
    assert len(place.aside()) == 3


@pytest.mark.parametrize("name", ["1~1", "1~1~done", "2~4"])
def test_a_departed_peer_can_always_be_sealed(place: Place, name: str) -> None:
    """EVI-5, LAY-5."""
    place.world.add("1")
    victim, boss = place.world.join("victim"), place.world.join("boss")
    place.world.taken(victim, "1")
    held = f"{victim.home}/claims/1~1"
    if name == "1~1":
        os.rename(place.root / held, place.root / "queue/parked/held/1~1")
    place.plant(f"{victim.home}/claims/{name}")
    place.plant(f"{victim.home}/leader~3")
    place.world.evict(victim.me, boss.me)
    home = paths.departed_dir(victim.me, boss.me)
    assert not place.there(f"{home}/claims")
    assert sorted(place.aside()) == sorted([f"{home}/claims/{name}", f"{home}/leader~3"])
    place.world.janitor().tidy()
    assert os.listdir(place.root / paths.LEADER) == ["leader~0"]


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
    """VER-4: a name that is none of a ticket's is left alone."""
    for task in ("1", "2"):
        place.world.add(task, needs=("1",) if task == "2" else ())
    before = place.world.queue.survey()
    strange = [
        place.plant(path)
        for path in (
            *("queue/new/1~abc", "queue/waiting/1/3~0", "queue/ready/1/000000/3~1", "queue/ready/4/000007/1~2"),
            *("queue/parked/held/1~8", f"{paths.done_dir('2')}/2", "queue/leader/leader~4"),
        )
    ]
    foreign = [place.plant(path) for path in ("queue/ready/1/000000/notes", "queue/new/x", "queue/parked/other/1~9")]
    place.world.janitor().tidy()
    assert sorted(place.aside()) == sorted(strange)
    assert all(map(place.there, foreign))
    after = place.world.queue.survey()
    assert {task: seen.path for task, seen in after.items()} == {task: seen.path for task, seen in before.items()}


def test_a_file_with_content_is_a_ticket_and_what_it_says_is_ignored(tmp_path: Path) -> None:
    world = World.new(Disk(str(tmp_path)))
    world.add("1")
    (tmp_path / world.at("1")).write_text('{"epoch": 99}')
    worker = world.join("w")
    assert world.taken(worker, "1") == Ticket("1", 1)
    worker.complete("1")
    assert world.state("1")[0] == "done"


def test_a_ticket_that_comes_to_its_place_meanwhile_is_not_set_aside() -> None:
    """INV-1: whenever another peer clears the place and the ticket moves there."""
    path = "queue/ready/2/000000/1~0"
    for at in range(1, 60):
        world = World.new(MemoryDisk())
        world.add("1")
        world.files.move(path, "queue/parked/held/1~0")
        world.files.make_dir(path)

        def meanwhile(world: World = world) -> None:
            if world.files.stat(path) and world.files.stat(path).is_dir:
                world.disk.rmdir(path)
            world.files.move("queue/parked/held/1~0", path)

        pausing = Pausing(world.disk, at, meanwhile)
        world.on(pausing).files.set_irregular_aside(path)
        if pausing.last is None:
            break
        assert world.at("1") == path, pausing.last
    assert at > 3
