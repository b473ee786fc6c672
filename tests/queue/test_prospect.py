"""BOX-12: when asking for a task again may help."""

from __future__ import annotations

import pytest
from support.worlds import World

from peercoord.queue.prospect import LEAST_SECONDS, Prospect
from peercoord.store import paths
from peercoord.system.clock import Clock


class Standing(Clock):
    """A clock that a test moves."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def world() -> World:
    """A world in which `two` holds the only task."""
    made = World.new()
    made.working("two", "1")
    return made


def test_only_a_ready_ticket_is_worth_asking_for(world: World) -> None:
    one = world.join("one")
    prospect = Prospect(world.queue, one.home)
    assert not prospect.is_there()
    world.files.put(f"{paths.READY}/2/{paths.ready_shard(0)}/.DS_Store", b"")
    world.files.ticket(f"{paths.claims_dir(one.home)}/{paths.Ticket('9', 1, done=True)}")
    assert not prospect.is_there(), "a stray file, and a done task that could not be moved to done/"
    world.add("2")
    assert prospect.is_there()


def test_a_ticket_that_stays_listed_is_asked_for_once_a_second(world: World) -> None:
    world.root.clock = clock = Standing()
    world.add("2")
    prospect = Prospect(world.queue, "")
    assert prospect.is_there()
    assert not prospect.is_there()
    assert prospect.pause(hears=True) == LEAST_SECONDS
    clock.seconds = LEAST_SECONDS
    assert prospect.pause(hears=True) > LEAST_SECONDS
    assert prospect.is_there()
