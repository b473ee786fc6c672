"""What counts as a look at a silent peer, and what makes the looks before it count for nothing."""

from __future__ import annotations

import errno

import pytest
from membership.test_two_observers import Still, observer
from support.faults import Failing, Fault
from support.memory import MemoryDisk
from support.worlds import World

from peercoord.agent.loop import Agent
from peercoord.agent.monitor import Observer
from peercoord.errors import StorageError
from peercoord.membership.leadership import Leadership
from peercoord.membership.liveness import SUSPECT
from peercoord.membership.membership import Membership
from peercoord.store import paths
from peercoord.system.schedule import Schedule, Step

INTERVAL = 10


class Watch:
    """An observer, and a silent peer on another machine. Calls that ``refused`` picks fail for the observer."""

    def __init__(self) -> None:
        self.refused = ""
        base = World.new(MemoryDisk())
        self.world = base.on(Failing(base.disk, lambda c: Fault(errno.EIO) if repr(c) == self.refused else None))
        self.clock = self.world.root.clock = Still()
        self.world.root.protocol["settings"] = {"heartbeat_seconds": INTERVAL, "state_seconds": 4}
        self.away: Membership = base.join("away").membership
        self.away.update(host="another-machine", boot_id="b", pid_ns="n")
        self.observer: Observer = observer(self.world, "birch")

    def suspects(self, seconds: float) -> bool:
        """Look at the silent peer at this moment; whether its silence counts."""
        self.clock.seconds = seconds
        return self.observer.observe(self.away.me).verdict.state == SUSPECT


def test_three_looks_at_a_silence_are_enough() -> None:
    watch = Watch()
    assert [watch.suspects(at) for at in (0, 10, 20, 30)] == [False, False, False, True]


def test_a_listing_that_failed_is_no_look() -> None:
    """LIV-4: with it the silence would be proven; without it the observer was away for two intervals."""
    watch = Watch()
    assert [watch.suspects(at) for at in (0, 10)] == [False, False]
    watch.refused = f"listdir({watch.away.home})"
    with pytest.raises(StorageError):
        watch.suspects(20)
    watch.refused = ""
    assert not watch.suspects(30)


class Beating(Agent):
    """An agent of which nothing is there but its heart and its eyes."""

    def __init__(self, watch: Watch) -> None:
        membership = watch.observer.membership
        self.observer, self.clock, self.ending = watch.observer, watch.clock, 0
        self.host = type("Host", (), {"log": staticmethod(lambda _: None)})()
        self.schedule = Schedule()
        self.schedule.add(Step("heartbeat", INTERVAL, membership.beat))


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_seen_before_ones_own_heartbeat_failed_counts_for_nothing(fails: bool) -> None:
    """LIV-4: an observer that cannot write does not know why the others are silent."""
    watch = Watch()
    agent = Beating(watch)
    home = watch.observer.membership.home
    for at in (0, 10, 20):
        watch.clock.seconds = at
        beat = f"rename({paths.beat(home, at // 10)}, {paths.beat(home, at // 10 + 1)})"
        watch.refused = beat if fails and at == 20 else ""
        agent.steps()
        assert not watch.suspects(at)
    assert watch.suspects(30) is not fails


def test_a_leader_is_deposed_after_three_times_the_seconds_between_two_views_and_three_looks() -> None:
    """LDR-4."""
    watch = Watch()
    leadership = Leadership(watch.away)
    assert leadership.take() == 1
    for at in (0, 4, 8, 11.9):
        watch.clock.seconds = at
        watch.observer.check_peers()
        assert leadership.term() == 1, f"deposed after {at} s"
    watch.clock.seconds = 12
    watch.observer.check_peers()
    assert (leadership.term(), watch.observer.leadership.term()) == (None, 2)


def test_a_leader_is_not_deposed_after_two_looks() -> None:
    """LDR-4: between two looks far apart the observer itself may have been away."""
    watch = Watch()
    leadership = Leadership(watch.away)
    leadership.take()
    for at in (0, 16, 40):
        watch.clock.seconds = at
        watch.observer.check_peers()
    assert leadership.term() == 1
