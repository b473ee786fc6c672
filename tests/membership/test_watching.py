"""How an observer watches silent peers: what counts as a look, and who is evicted or deposed in the end."""

from __future__ import annotations

import errno
import os

import pytest
from support.faults import Failing, Fault
from support.worlds import World

from peercoord.agent.loop import Agent
from peercoord.agent.monitor import Observer
from peercoord.errors import StorageError
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.membership.liveness import SUSPECT
from peercoord.membership.membership import Membership
from peercoord.queue.recovery import Janitor
from peercoord.store import paths
from peercoord.system import process
from peercoord.system.clock import Clock
from peercoord.system.schedule import Schedule, Step

INTERVAL = 10


class Still(Clock):
    """A clock that goes on when it is told to."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Watch:
    """Two observers, and a silent peer on another machine. Calls that ``refused`` names fail for the observers."""

    def __init__(self) -> None:
        self.refused, self.revived = "", list[str]()
        base = World.new()
        self.world = base.on(Failing(base.disk, lambda c: Fault(errno.EIO) if repr(c) == self.refused else None))
        self.clock = self.world.root.clock = Still()
        self.world.root.protocol["settings"] = {"heartbeat_seconds": INTERVAL, "state_seconds": 4}
        self.away: Membership = base.join("away").membership
        self.away.update(host="another-machine", boot_id="b", pid_ns="n")
        self.observer, self.other = self.observe_as("birch"), self.observe_as("cedar")

    def observe_as(self, peer: str) -> Observer:
        membership = self.world.join(peer).membership
        janitor = Janitor(self.world.queue, peer)
        return Observer(membership, janitor, Leadership(membership), lambda _: None, self.revived.append)

    def suspects(self, seconds: float) -> bool:
        """Look at the silent peer at this moment; return whether its silence counts."""
        self.clock.seconds = seconds
        return self.observer.observe(self.away.me).verdict.state == SUSPECT


@pytest.mark.parametrize("fails", [False, True])
def test_a_silence_is_proven_by_looks_that_succeed(fails: bool) -> None:
    """LIV-4: if a listing fails, the observer was away for two intervals."""
    watch = Watch()
    assert [watch.suspects(at) for at in (0, 10)] == [False, False]
    if fails:
        watch.refused = f"listdir({watch.away.home})"
        with pytest.raises(StorageError):
            watch.suspects(20)
        watch.refused = ""
    else:
        assert not watch.suspects(20)
    assert watch.suspects(30) is not fails


class Beating(Agent):
    """An agent with nothing but its heartbeat and its observer."""

    def __init__(self, watch: Watch) -> None:
        membership = watch.observer.membership
        self.observer, self.clock, self.ending = watch.observer, watch.clock, 0
        self.host = type("Host", (), {"log": staticmethod(lambda _: None)})()
        self.schedule = Schedule()
        self.schedule.add(Step("heartbeat", INTERVAL, membership.beat))


@pytest.mark.parametrize("fails", [False, True])
def test_an_observer_whose_own_heartbeat_fails_begins_to_look_again(fails: bool) -> None:
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


def test_a_silent_leader_is_deposed_after_three_times_the_seconds_between_two_views() -> None:
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


@pytest.mark.parametrize("answers", [False, True])
def test_of_two_observers_one_evicts_a_peer_that_does_not_answer_its_challenge(answers: bool) -> None:
    """LIV-7: they do not hinder each other."""
    watch, challenged = Watch(), 0
    while watch.away.present() and watch.clock.seconds < 300:
        watch.clock.seconds += 5
        for one in (watch.observer, watch.other):
            one.membership.beat()
            one.check_peers(everyone=True)
        beats = [paths.parse_beat(name) for name in watch.world.files.scan(watch.away.home)]
        if any(beat and beat[1] for beat in beats):
            challenged += 1
            if answers:
                watch.away.beat()
    assert watch.away.present() == answers
    assert [who for who, _ in members.departed(watch.world.root)] == ([] if answers else [watch.away.me])
    assert challenged > 1 if answers else watch.clock.seconds <= 60  # three intervals, one of patience, some looks


def test_a_running_session_is_not_evicted_and_gets_a_new_agent() -> None:
    """LIV-8, LIV-9: the agent is gone, the session runs, the heartbeat stands still for ever."""
    watch = Watch()
    gone, session = {"pid": os.getpid(), "start": -1}, process.identify(os.getpid())
    watch.away.update(**process.here(), session=session, agent=gone, worktree="/where/it/works")
    for _ in range(20):
        watch.observer.check_peers()
        watch.clock.seconds += 10
    assert watch.away.present()
    assert set(watch.revived) == {"/where/it/works"}
