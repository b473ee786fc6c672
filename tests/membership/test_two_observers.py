"""Two peers that watch the same silent one do not hinder each other (LIV-7)."""

from __future__ import annotations

from support.memory import MemoryDisk
from support.worlds import World

from peercoord.agent.monitor import Observer
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.membership.membership import Membership
from peercoord.queue.recovery import Janitor
from peercoord.store import paths
from peercoord.system.clock import Clock


class Still(Clock):
    """A clock that goes on when it is told to."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def observer(world: World, peer: str) -> Observer:
    membership = world.join(peer).membership
    return Observer(membership, Janitor(world.queue, peer), Leadership(membership), lambda _: None, lambda _: None)


def watched() -> tuple[World, Still, Membership, list[Observer]]:
    """A peer on another machine, and two here that watch it."""
    world = World.new(MemoryDisk())
    clock = Still()
    world.root.clock = clock
    world.root.protocol["settings"] = {"heartbeat_seconds": 10}
    away = world.join("away").membership
    away.update(host="another-machine", boot_id="b", pid_ns="n")
    return world, clock, away, [observer(world, "birch"), observer(world, "cedar")]


def test_a_silent_peer_of_another_host_is_evicted_by_one_of_them() -> None:
    world, clock, away, both = watched()
    for _ in range(40):
        clock.seconds += 5
        for one in both:
            one.membership.beat()
            one.check_peers(everyone=True)
        if not away.present():
            break
    assert [who for who, _ in members.departed(world.root)] == [away.me]
    assert clock.seconds <= 60, "three intervals of silence, one of patience, and the looks between"


def test_one_that_answers_the_challenge_lives() -> None:
    world, clock, away, both = watched()
    challenged = 0
    for _ in range(60):
        clock.seconds += 5
        for one in both:
            one.membership.beat()
            one.check_peers(everyone=True)
        beats = [paths.parse_beat(name) for name in world.files.scan(away.home)]
        if any(beat and beat[1] for beat in beats):
            challenged += 1
            away.beat()
    assert away.present()
    assert challenged > 1
