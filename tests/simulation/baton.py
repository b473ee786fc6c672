"""Threads that run strictly one at a time, handing on a baton at every file operation; and simulated time.

The production code is not written for a scheduler, so each actor has a thread of its own. Only the holder of the baton
runs; who is next is a choice of the seeded generator, so a seed gives the same run every time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random

STEPS_MOST = 60_000  # file operations in one run: more, and it does not end
STACK_BYTES = 512 * 1024


class Aborted(BaseException):
    """The run is over: every thread unwinds."""


class Crashed(BaseException):
    """This process is gone: nothing it would have done happens any more."""


class ViolationError(Exception):
    """Something that must hold does not."""


class Actor:
    """One who acts: a peer's process and its successors, or a person."""

    def __init__(self, name: str, life: Callable[[], None], rank: float) -> None:
        self.name, self.life, self.rank = name, life, rank
        self.wake = 0.0
        self.dead = False
        self.turn = threading.Lock()
        self.turn.acquire()


class Baton:
    """The scheduler: an actor keeps the baton with the chance ``sticky``, or (``ranked``) the highest rank goes on
    until it is drawn again (Burckhardt et al., A Randomized Scheduler with Probabilistic Guarantees, 2010).
    """

    def __init__(self, chance: Random, sticky: float, ranked: bool) -> None:
        self.chance, self.sticky, self.ranked = chance, sticky, ranked
        self.now = 0.0
        self.steps = 0
        self.actors: list[Actor] = []
        self.failure: BaseException | None = None
        self.over = threading.Lock()
        self.over.acquire()

    def add(self, name: str, life: Callable[[], None]) -> Actor:
        """Take in an actor; it runs once ``run`` is called."""
        actor = Actor(name, life, self.chance.random())
        self.actors.append(actor)
        return actor

    def run(self) -> None:
        """Let all actors live to their end."""
        threading.stack_size(STACK_BYTES)
        threads = [threading.Thread(target=self._live, args=(actor,), daemon=True) for actor in self.actors]
        for thread in threads:
            thread.start()
        self._pick().turn.release()
        self.over.acquire()
        for thread in threads:
            thread.join()
        if self.failure is not None:
            raise self.failure

    def _live(self, actor: Actor) -> None:
        actor.turn.acquire()
        try:
            if self.failure is None:
                actor.life()
        except Aborted:
            pass
        except BaseException as error:  # noqa: BLE001 - handed on to whoever called run
            self.failure = self.failure or error
        self.actors.remove(actor)
        if self.actors:
            self._pick().turn.release()
        else:
            self.over.release()

    def step(self, actor: Actor) -> None:
        """A file operation is about to be done: time goes on, and someone else may go first."""
        self.steps += 1
        if self.steps > STEPS_MOST:
            raise ViolationError(f"the run does not end: {self.steps} file operations, the last by {actor.name}")
        self.now += 0.001 + 0.02 * self.chance.random()
        if self.ranked:
            if self.chance.random() < 0.02:
                actor.rank = self.chance.random() * min(one.rank for one in self.actors)
            self.hand_on(actor)
        elif self.chance.random() >= self.sticky:
            self.hand_on(actor)

    def sleep(self, actor: Actor, seconds: float) -> None:
        """Let an actor do nothing for so many simulated seconds."""
        actor.wake = self.now + seconds
        self.hand_on(actor)

    def hand_on(self, actor: Actor) -> None:
        """Let whoever is chosen run; comes back when this actor is chosen again."""
        other = self._pick()
        if other is not actor:
            other.turn.release()
            actor.turn.acquire()
        if self.failure is not None:
            raise Aborted

    def _pick(self) -> Actor:
        ready = [actor for actor in self.actors if actor.wake <= self.now]
        if not ready or self.failure is not None:
            first = min(self.actors, key=lambda actor: actor.wake)
            self.now = max(self.now, first.wake)
            return first
        if self.ranked:
            return max(ready, key=lambda actor: actor.rank)
        return ready[int(self.chance.random() * len(ready))]
