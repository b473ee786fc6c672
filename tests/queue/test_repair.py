"""Tidying: what cannot be listed or moved stops nothing else, and of two names of a ticket the right one stays."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.faults import Call, Failing, Fault
from support.memory import MemoryDisk
from support.tree import check_at_rest
from support.worlds import World

from peercoord.membership.leadership import Leadership
from peercoord.queue import duplicates
from peercoord.store import paths, records
from peercoord.store.paths import Ticket


class Wreck:
    """The remains of many crashes, one of each kind, and where tidying should move them."""

    def __init__(self) -> None:
        self.world = world = World.new()
        amber, zinc, cedar, birch = (world.join(who) for who in ("amber", "zinc", "cedar", "birch"))
        self.cedar = cedar.home
        self.amber, self.zinc = (paths.departed_dir(worker.me, birch.me) for worker in (amber, zinc))
        for task in ("first", "second", "done", "edited", "doubled", "blocked", "new"):
            world.add(task)
        world.add("next", ("done",))
        world.add("later", ("edited",))
        self._lies("first", paths.claim(amber.home, Ticket("first", 1)))
        self._lies("second", paths.claim(zinc.home, Ticket("second", 1)))
        self._lies("done", paths.done("done"))
        self._lies("blocked", "queue/parked/blocked/blocked~0")
        birth = world.queue.birth("new")
        assert birth is not None
        self._lies("new", paths.new_ticket("new", birth.nonce))
        world.files.put(paths.definition("edited"), records.encode(records.define("edited", "E", priority="high").raw))
        world.disk.link(world.at("doubled"), f"{cedar.home}/claims/doubled~1")
        world.disk.link("queue/leader/leader~0", f"{zinc.home}/leader~1")
        world.disk.rename(amber.home, self.amber)
        world.disk.rename(zinc.home, self.zinc)

    def _lies(self, task: str, path: str) -> None:
        assert self.world.files.move(self.world.at(task), path, make_home=True)

    def left(self) -> set[str]:
        """What is not repaired yet: tasks, the leader's ticket, directories that are not sealed."""
        lies = dict.fromkeys(("first", "second"), "queue/ready/2/000000/{}~1")
        lies |= dict.fromkeys(("next", "blocked", "new"), "queue/ready/2/000000/{}~0")
        lies |= {"edited": "queue/ready/1/000000/{}~0", "doubled": f"{self.cedar}/claims/{{}}~1"}
        places = {task: [where.format(task)] for task, where in lies.items()} | {"leader": ["queue/leader/leader~1"]}
        assert isinstance(self.world.disk, MemoryDisk)
        seen = [path for path in self.world.disk.files() if path.startswith(("queue/", "peers/", "departed/"))]
        seen = [path for path in seen if not path.endswith(".json")]
        found = {task for task in places if [p for p in seen if f"/{task}~" in p] != places[task]}
        folders = self.world.disk.folders()
        return found | {home for home in ("amber", "zinc") if f"{getattr(self, home)}/claims" in folders}


CASES = [
    ("listdir", "peers", {"doubled"}),
    ("listdir", "{cedar}", set()),
    ("listdir", "{cedar}/claims", {"doubled"}),
    ("listdir", "departed", {"first", "second", "leader", "amber", "zinc"}),
    ("listdir", "{amber}", {"first", "amber"}),
    ("listdir", "{amber}/claims", {"first", "amber"}),
    ("listdir", "{zinc}", {"second", "leader", "zinc"}),
    ("rmdir", "{amber}/claims", {"amber"}),
    ("listdir", "queue/new", {"new"}),
    ("listdir", "queue/waiting", {"next"}),
    ("listdir", "queue/waiting/done", {"next"}),
    ("listdir", "queue/waiting/edited", set()),
    ("listdir", "queue/parked", set()),
    ("listdir", "queue/parked/held", set()),
    ("listdir", "queue/parked/blocked", {"blocked"}),
    ("listdir", "queue/parked/unreadable", set()),
    ("listdir", "queue/ready", {"edited", "doubled"}),
    ("listdir", "queue/ready/2", {"edited", "doubled"}),
    ("listdir", "queue/ready/2/000000", {"edited", "doubled"}),
    ("listdir", "queue/ready/4/000000", set()),
    ("listdir", "queue/done", set()),
    ("listdir", f"queue/done/{paths.shard('done')}", {"next"}),
    ("listdir", f"queue/done/{paths.shard('edited')}", set()),
    ("listdir", f"results/{paths.shard('first')}", {"first", "amber"}),
    ("listdir", "queue/leader", {"leader"}),
    ("unlink", "queue/leader/leader~0", {"leader"}),
    ("rename", "queue/leader/leader~1", {"leader", "zinc"}),
    ("rename", "queue/ready/1/000000/edited~0", {"edited"}),
    ("stat", f"tasks/{paths.shard('edited')}/edited.json", {"edited"}),
]


@pytest.mark.parametrize(("name", "place", "left"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_what_tidying_cannot_list_or_move_stops_nothing_else(name: str, place: str, left: set[str]) -> None:
    """TDY-4: it is noted once, and done by the next tidying that can."""
    wreck = Wreck()
    assert len(wreck.left()) == 10
    path = place.format(amber=wreck.amber, zinc=wreck.zinc, cedar=wreck.cedar)

    def denied(call: Call) -> Fault | None:
        return Fault(errno.EACCES) if (call.name, call.path) == (name, path) else None

    disk = Failing(wreck.world.disk, denied)
    janitor = wreck.world.on(disk).janitor()
    for _ in range(3):
        janitor.tidy()
    assert disk.met
    assert wreck.left() == left
    events = (wreck.world.files.read(paths.events("janitor")) or b"").decode().splitlines()
    assert len([line for line in events if '"stuck"' in line and path in line]) == 1
    wreck.world.janitor().tidy()
    assert wreck.left() == set()
    check_at_rest(wreck.world.disk)


# -- the leader's ticket -----------------------------------------------------------------------------------------


def test_the_leaders_ticket_is_looked_at_again_before_a_name_is_removed() -> None:
    """ASM-10: under the mutex; another peer may have removed it during the wait."""
    world = World.new()
    amber = world.join("amber")
    world.disk.link("queue/leader/leader~0", f"{amber.home}/leader~1")
    waited = []

    @contextmanager
    def intake() -> Iterator[None]:
        waited.append(world.files.remove(f"{amber.home}/leader~1"))
        yield

    world.root.intake = intake
    duplicates.remove_leader_duplicates(world.queue)
    assert waited == [True]
    assert world.files.scan(paths.LEADER) == ["leader~0"]


def test_an_old_look_does_not_end_a_leadership() -> None:
    """ASM-10, LDR-5."""
    world = World.new()
    amber = world.join("amber")
    assert Leadership(amber.membership).take() == 1
    old = Failing(
        world.disk, lambda call: Fault(errno.ENOENT) if (call.name, call.path[-8:]) == ("stat", "leader~1") else None
    )
    assert Leadership(world.on(old).resume(amber.me).membership).term() == 1
    assert old.met
