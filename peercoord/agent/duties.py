"""The leader's duties, in threads of their own, so that none delays a heartbeat or an answer."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import EvictedError, PeercoordError
from peercoord.system.schedule import FAULTS, Schedule, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peercoord.membership.leadership import Leadership

LONGEST_WAIT = 60.0
END_SECONDS = 10.0  # for which an agent that ends waits for its running duties
SETTLE_SECONDS = 0.2  # changes come together, and a caller may be about to call again


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that only the leader does; the next leader may do it again."""

    name: str  # in messages
    every: float  # seconds between two runs
    run: Callable[[int], object]  # given the term; may return the seconds until the next run, if that is sooner
    least: float = 0.0  # least seconds between two runs that changes bring forward; 0 if changes bring none forward
    rest: Callable[[], object] = lambda: None  # frees what it holds, when another peer leads
    apart: bool = False  # it waits for a child process, perhaps long, and gets a thread of its own


def led(leadership: Leadership, duty: Duty) -> Callable[[], object]:
    """Return a step that does a duty while this peer leads, and lets it rest otherwise."""

    def run() -> object:
        term = leadership.term()  # asked each time: a leader that was suspended must notice before it writes
        if term is not None:
            return duty.run(term)
        duty.rest()
        return None

    return run


class Duties:
    """The leader's duties on their schedules: one thread, and one more for each duty that waits for a process."""

    def __init__(self, leadership: Leadership, duties: Sequence[Duty], log: Callable[[str], None]) -> None:
        shared = [duty for duty in duties if not duty.apart]
        lines = [shared, *([duty] for duty in duties if duty.apart)]
        self._lines = [_Line(leadership, line, log) for line in lines if line]

    def changed(self) -> None:
        """Bring forward the duties that changes call for."""
        for line in self._lines:
            line.changed()

    def end(self, seconds: float = END_SECONDS) -> None:
        """Wait for the running duties, at most this many seconds in all, and begin no other."""
        latest = time.monotonic() + seconds
        for line in self._lines:
            line.ending()
        for line in self._lines:
            line.end(max(0.0, latest - time.monotonic()))


class _Line:
    """Duties that run one after the other, in a thread of their own."""

    def __init__(self, leadership: Leadership, duties: Sequence[Duty], log: Callable[[str], None]) -> None:
        self.clock = leadership.root.clock
        self.log = log
        self.schedule = Schedule()
        # a process takes long enough to start for changes that come together
        self._settling = 0.0 if any(duty.apart for duty in duties) else SETTLE_SECONDS
        self._changing = [duty.name for duty in duties if duty.least]
        for duty in duties:
            self.schedule.add(Step(duty.name, duty.every, led(leadership, duty), duty.least))
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="duties", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """Bring forward the duties that changes call for."""
        with self._lock:
            for name in self._changing:
                self.schedule.soon(name, self.clock.monotonic() + self._settling)
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
        again: object = None
        with self._lock:
            self.schedule.begins(step)
        try:
            again = step.run()
        except EvictedError:
            message = kind = "evicted"  # the agent notices, and joins again
        except PeercoordError as error:
            message, kind = error.message, error.code
        except FAULTS as error:
            message, kind = traceback.format_exc(), f"{type(error).__name__}: {error}"
        with self._lock:
            now = self.clock.monotonic()
            if not message:
                sooner = again if isinstance(again, float) else None
                told = f"{step.name} works again" if self.schedule.ran(step, now, sooner) else ""
            else:
                told = f"{step.name} failed: {message}" if self.schedule.failed(step, now, kind) else ""
        if told:
            self.log(told)

    def ending(self) -> None:
        """Begin no other duty."""
        self._ended = True
        self._wake.set()

    def end(self, seconds: float) -> None:
        """Wait for the running duty, at most this many seconds."""
        self._thread.join(seconds)
