"""The agent: one background process per worktree that beats, watches, repairs and, if it comes to that, leads.

Promises: it survives everything but its own end. A step that fails (the disk is full, the directory is gone, a right
was taken away) says so once, is tried again after growing pauses, and goes on by itself when the fault is over; the
other steps go on meanwhile. An agent whose incarnation was evicted joins again and says so.
"""

from __future__ import annotations

import signal

from peercoord.core import liveness, names
from peercoord.core.errors import EvictedError, PeercoordError
from peercoord.core.schedule import Schedule, Step
from peercoord.fs import process
from peercoord.roles import membership as members
from peercoord.roles.janitor import Janitor
from peercoord.roles.leader import Leadership
from peercoord.roles.peer import judge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peercoord.core.records import Json
    from peercoord.fs.watch import Wakeups
    from peercoord.roles.peer import Peer

STOP, GIVE_BACK = signal.SIGTERM, signal.SIGUSR2
LOOK_SECONDS = 1.0
TIDY_SECONDS = 30.0
LEAST_VIEWS_SECONDS = 0.5


class Duty:
    """Something that only the leader does.

    Attributes:
        name: What it is, for messages.
        every: Seconds between two runs.
        run: Does it; told the term.
    """

    def __init__(self, name: str, every: float, run: Callable[[int], object], least: float = 0.0) -> None:
        self.name, self.every, self.run, self.least = name, every, run, least


class Agent:
    """The background process of one worktree.

    Args:
        connect: Resumes this worktree's peer, or joins.
        wake: What to wait on.
        log: Writes a line for people.
        duties: Gives what the leader does, for a peer just connected.
    """

    def __init__(
        self,
        connect: Callable[[], Peer],
        wake: Wakeups,
        log: Callable[[str], None],
        duties: Callable[[Peer], Sequence[Duty]],
    ) -> None:
        self.connect = connect
        self.wake = wake
        self.log = log
        self.duties = duties
        self.schedule = Schedule()
        self.ending = 0
        self._join()

    def _join(self) -> None:
        self.peer = peer = self.connect()
        self.root = peer.root
        self.leadership = Leadership(peer.membership)
        self.janitor = Janitor(peer.queue, peer.name)
        self.clock = peer.root.clock
        self.schedule = Schedule()
        self.schedule.add(Step("heartbeat", self.root.number("heartbeat_seconds"), peer.membership.beat))
        self.schedule.add(Step("watching", LOOK_SECONDS, self.look))
        self.schedule.add(Step("tidying", TIDY_SECONDS, self.janitor.tidy))
        for duty in self.duties(peer):
            self.schedule.add(Step(duty.name, duty.every, self._led(duty), duty.least))
        self.log(f"{peer.membership.me} is at work")

    def _led(self, duty: Duty) -> Callable[[], None]:
        def run() -> None:
            term = self.leadership.term()
            if term is not None:
                duty.run(term)

        return run

    def run(self) -> None:
        """Work until told to stop."""
        self.wake.on_signals((STOP, signal.SIGINT, GIVE_BACK))
        while not self.ending:
            self.steps()
            if self.wake.wait(self.schedule.pause(self.clock.monotonic(), LOOK_SECONDS)):
                self.schedule.soon("watching", self.clock.monotonic())
            self.ending = next(iter(self.wake.signals), 0)
        self.stop(give_back=self.ending == GIVE_BACK)

    def steps(self) -> None:
        """Run what is due, each step shielded from the failures of the others."""
        for step in self.schedule.due(self.clock.monotonic()):
            try:
                step.run()
            except EvictedError as error:
                self._rejoin(error)
                return
            except PeercoordError as error:
                if self.schedule.failed(step, self.clock.monotonic(), error.message):
                    self.log(f"{step.name} failed: {error.message}")
            else:
                if self.schedule.ran(step, self.clock.monotonic()):
                    self.log(f"{step.name} works again")

    def _rejoin(self, error: EvictedError) -> None:
        self.log(f"{error.message}; joining again")
        try:
            self._join()
        except PeercoordError as failure:
            again = Step("joining again", LOOK_SECONDS, lambda: self._rejoin(error))
            self.schedule = Schedule()
            self.schedule.add(again)
            self.schedule.failed(again, self.clock.monotonic(), failure.message)
            self.log(f"joining again failed: {failure.message}")

    def look(self) -> None:
        """Judge the others, evict the dead, take the leadership where nobody leads."""
        self.peer.membership.require()
        watched: list[Json] = []
        for who in members.living(self.root):
            if who == self.peer.membership.me:
                continue
            record = members.read_record(self.root, names.peer_dir(who))
            verdict = judge(self.root, who)
            if verdict.state == liveness.DEAD:
                self.log(f"evicting {who}: {verdict.because}")
                self.janitor.evict(who, self.peer.membership.me, verdict.because)
            elif verdict.state == liveness.ALIVE and record:
                agent = record.get("agent")
                if isinstance(agent, dict) and not process.running(agent):
                    self.leadership.take_from(who, f"the agent of {who} is gone")
                watched += [record[what] for what in ("agent", "session") if isinstance(record.get(what), dict)]
        self.wake.watch_exits([one for one in watched if process.running(one)])
        if self.leadership.term() is None and self.leadership.take() is not None:
            self.log("leading")

    def stop(self, *, give_back: bool) -> None:
        """End: lay the leadership down; when asked, give every claim back and leave."""
        try:
            self.leadership.give()
            if give_back:
                self.peer.leave()
            else:
                self.peer.membership.update(agent=None, stopped_at=self.clock.now())
        except PeercoordError as error:
            self.log(f"stopping: {error.message}")
        self.log("stopped")
