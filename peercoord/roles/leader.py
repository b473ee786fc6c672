"""Leadership: one ticket, ``leader~<term>``, that lies in ``queue/leader/`` or in the directory of the peer that leads.

Promises: one rename takes it, so there is one leader at most by the tickets; every taking raises the term, and nothing
lowers it. A leader that was stopped and wakes finds its ticket gone before it writes: whatever it may still do are
folds over files that the next leader repeats, and the database checks the term itself. So to take the ticket from a
leader that does not lead is always safe, and needs no proof that it is dead.

What a leader does runs in a thread of its own: reading a long list may take a second, and nobody at the door, and no
peer that waits to see a heartbeat, should wait for that.
"""

from __future__ import annotations

import threading
import traceback

from peercoord.core import names
from peercoord.core.errors import EvictedError, PeercoordError
from peercoord.core.schedule import FAULTS, Schedule, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peercoord.core.names import Incarnation
    from peercoord.roles.membership import Membership


class Leadership:
    """One incarnation's hold on the leadership.

    Args:
        membership: The incarnation's place in the team.
    """

    def __init__(self, membership: Membership) -> None:
        self.root = membership.root
        self.files = membership.root.files
        self.me = membership.me
        self.home = membership.home

    def term(self) -> int | None:
        """Give the term under which this incarnation leads, from a listing; ``None`` if it does not lead.

        A ticket with two names, which the crash of a machine may leave, does not count: others may take the other one.
        A look that shows nothing may be old, and says less than the listing; and no more is needed than that, for what
        a leader does may be done by two.
        """
        term = max(_terms(self.files.scan(self.home)), default=None)
        seen = None if term is None else self.files.stat(names.leader(self.home, term))
        return None if seen is not None and seen.links > 1 else term

    def take(self, above: int = 0) -> int | None:
        """Take the leadership if it lies free.

        Args:
            above: The new term is higher than this, too (what the database has seen).

        Returns:
            The new term; ``None`` if someone else has it.
        """
        return self._take(names.LEADER, above, "it lay free")

    def take_from(self, who: Incarnation, because: str, above: int = 0) -> int | None:
        """Take the leadership from a peer that has it and does not lead.

        Returns:
            The new term; ``None`` if that peer no longer has it.
        """
        return self._take(names.peer_dir(who), above, because)

    def _take(self, home: str, above: int, because: str) -> int | None:
        for term in sorted(_terms(self.files.scan(home)), reverse=True):
            new = max(term, above) + 1
            if self.files.move(names.leader(home, term), names.leader(self.home, new)):
                self.root.event(self.me.peer, "leads", term=new, incarnation=str(self.me), because=because)
                self.files.ring()
                return new
        return None

    def give(self) -> None:
        """Lay the leadership down for whoever comes first."""
        for term in _terms(self.files.scan(self.home)):
            if self.files.move(names.leader(self.home, term), names.leader(names.LEADER, term)):
                self.root.event(self.me.peer, "resigned", term=term)
                self.files.ring()


def _terms(entries: list[str]) -> list[int]:
    return [term for term in map(names.parse_leader, entries) if term is not None]


class Duty:
    """Something that only the leader does.

    Attributes:
        name: What it is, for messages.
        every: Seconds between two runs.
        run: Does it; told the term. Repeatable: the next leader does it again.
        least: Seconds between two runs that changes call for; 0 if changes do not call for it.
        rest: Lets go of what it holds, when somebody else leads.
    """

    __slots__ = ("every", "least", "name", "rest", "run")

    def __init__(
        self,
        name: str,
        every: float,
        run: Callable[[int], object],
        least: float = 0.0,
        rest: Callable[[], object] = lambda: None,
    ) -> None:
        self.name, self.every, self.run, self.least, self.rest = name, every, run, least, rest


class Duties:
    """The leader's duties on their schedule, in a thread.

    Args:
        leadership: Says whether there is anything to do.
        duties: What there is.
        log: Writes a line for people.
    """

    def __init__(self, leadership: Leadership, duties: Sequence[Duty], log: Callable[[str], None]) -> None:
        self.leadership = leadership
        self.clock = leadership.root.clock
        self.log = log
        self.schedule = Schedule()
        self._changing = [duty.name for duty in duties if duty.least]
        for duty in duties:
            self.schedule.add(Step(duty.name, duty.every, self._led(duty), duty.least))
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="duties", daemon=True)
        self._thread.start()

    def _led(self, duty: Duty) -> Callable[[], None]:
        def run() -> None:
            term = self.leadership.term()  # asked each time: a leader that was stopped must find out before it writes
            if term is not None:
                duty.run(term)
            else:
                duty.rest()

        return run

    def changed(self) -> None:
        """Something changed: bring forward what shows it."""
        with self._lock:
            for name in self._changing:
                self.schedule.soon(name, self.clock.monotonic() + SETTLE_SECONDS)
        self._wake.set()

    def _work(self) -> None:
        while not self._ended:
            with self._lock:
                due = self.schedule.due(self.clock.monotonic())
            for step in due:
                self._run(step)
            with self._lock:
                pause = self.schedule.pause(self.clock.monotonic(), LONGEST_WAIT)
            if self._wake.wait(pause):
                self._wake.clear()

    def _run(self, step: Step) -> None:
        message = kind = ""
        with self._lock:
            self.schedule.begins(step)
        try:
            step.run()
        except EvictedError:
            message = kind = "evicted"  # the agent itself finds out, and joins again
        except PeercoordError as error:
            message, kind = error.message, error.code
        except FAULTS as error:
            message, kind = traceback.format_exc(), f"{type(error).__name__}: {error}"
        with self._lock:
            now = self.clock.monotonic()
            if not message:
                told = f"{step.name} works again" if self.schedule.ran(step, now) else ""
            else:
                told = f"{step.name} failed: {message}" if self.schedule.failed(step, now, kind) else ""
        if told:
            self.log(told)

    def end(self, seconds: float = 10.0) -> None:
        """Finish the duty under way, at most so many seconds, and begin no other."""
        self._ended = True
        self._wake.set()
        self._thread.join(seconds)


LONGEST_WAIT = 60.0
SETTLE_SECONDS = 0.2  # what changes seldom changes alone; and whoever changed it may be about to call again
