"""A seed made into a situation: who is there, what they do, what goes wrong; run, judged, and told.

Every seed draws a subset of the faults and of the things that peers do (Groce et al., Swarm Testing, 2012): a run in
which everything happens hides what only a few things together bring about.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from support import tree

from peercoord.errors import PeercoordError
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.system import process
from simulation.baton import Actor, Baton, ViolationError
from simulation.laws import Laws
from simulation.lives import Host, Judge, Life, Person
from simulation.sea import Sea, Weather

if TYPE_CHECKING:
    from peercoord.queue.claims import Claim

HERE = {"host": "nowhere", "machine": "none", "boot_id": "no boot", "pid_ns": "", "time_ns": ""}
KINDS = (("coherent", 25), ("local", 25), ("network", 35), ("refusing", 10), ("watching", 14))
STEPS = ("request", "work", "end", "again", "report", "beat", "tidy", "evict", "lead", "usurp", "leave", "ask", "watch")
ALWAYS = {"request": 2.0, "work": 4.0, "end": 2.0}
DEEDS = ("add", "edit", "cancel", "reopen", "reassign", "reassign")
THEMES = ("zombies", "graph", "meddling", "door", "lives", "reopening", "torn")
NEVER = {
    "coherent": ("tidy", "watch"),
    "local": ("watch",),
    "network": ("watch",),
    "refusing": ("watch",),
    "watching": ("evict",),
}
FAVOURITE = 5.0  # what is done most in a run, beside the work
INTERVAL = 100  # seconds between heartbeats
REPAIRS = 4  # rounds of tidying and working after which all must be at rest


class Told:
    """What came of one seed."""

    def __init__(self, seed: int, wrong: str, world: World) -> None:
        self.seed, self.wrong, self.steps = seed, wrong, world.baton.steps
        self.mark = int(world.chance.random() * 2**48)
        self.situation = f"{world.kind}, {len(world.names)} peers, {len(world.tasks)} tasks, {world.faults}"
        self.trace = world.sea.trace or []

    def __str__(self) -> str:
        return f"seed {self.seed} ({self.situation}; {self.steps} file operations): {self.wrong or 'all holds'}"


class World:
    """One run."""

    def __init__(self, seed: int, traced: bool = False) -> None:
        self.chance = chance = Random(seed)
        self.kind = chance.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])[0]
        sticky = chance.choice((0.0, 0.3, 0.7, 0.9, 0.97))
        self.baton = Baton(chance, sticky, ranked=chance.random() < 0.3)
        self.storm = Weather()
        self.sea = Sea(self.baton, Weather(), lambda client, call, paths: self.laws.changed(client, call, paths))
        self.sea.trace = [] if traced else None
        self.intake: Host | None = None
        self.mutex = chance.random() < 0.7
        self.words = 0
        self.fallen: set[str] = set()
        self.protocol: dict[str, Any] = {
            "protocol": {"version": 1, "least_reader": 1, "least_writer": 1},
            "store_id": "s1mulated",
            "settings": {"max_attempts": chance.choice((2, 99)), "heartbeat_seconds": INTERVAL},
        }
        self._plan()
        self.laws = Laws(self.sea, reopening="reopen" in self.deeds and self.doings > 0)

    def token(self) -> str:
        """Return a word never given before."""
        self.words += 1
        return f"{self.words:06d}{int(self.chance.random() * 1e6):06d}"

    def number(self) -> int:
        """Return a random whole number."""
        return int(self.chance.random() * 2**32)

    # -- planning --------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        chance, watching = self.chance, self.kind == "watching"
        self.names = [f"p{number}" for number in range(chance.choice((2, 2, 2, 3, 3, 4)))]
        self.tasks = [f"t{number}" for number in range(chance.choice((1, 1, 2, 3, 5)))]
        self.density = 0.5
        self.actions = 40 if watching else chance.randint(4, 14)
        self.rest = 60.0 if watching else chance.choice((0.01, 1.0, 20.0))
        self.doings = chance.choice((0, 0, 1, 2))
        self.deeds = chance.sample(DEEDS, k=2)
        self.people = chance.choice((1, 1, 2))
        self.completing = chance.choice((0.4, 0.7, 0.9))
        self.leaving = chance.choice((0.0, 0.5))
        favourites = chance.sample(STEPS, k=3)
        getattr(self, f"_{self.kind}")(self.storm)
        theme = chance.choice((*THEMES, *(("graph",) * 3 if self.kind == "coherent" else ()), "", ""))
        theme = "" if watching else theme
        if theme:
            favourites = getattr(self, f"_{theme}")(self.storm)
        weights = {step: ALWAYS.get(step, 0.0) or chance.choice((0.0, 0.0, 1.0)) for step in STEPS}
        weights |= dict.fromkeys(favourites, FAVOURITE * 3 / len(favourites))
        if watching:
            weights |= {"watch": 30.0, "leave": 0.2}
        weights |= dict.fromkeys(NEVER[self.kind], 0.0)
        self.menu = (list(weights), list(weights.values()))
        self.needs = {
            task: [other for other in self.tasks[:at] if chance.random() < self.density]
            for at, task in enumerate(self.tasks)
        }
        if self.storm.stale_list:
            self.deeds = [deed for deed in self.deeds if deed != "reopen"] or ["edit"]  # rests on ASM-5
        self.refusing = self.storm.refused > 0 or self.storm.unanswered > 0 or self.storm.full
        self.faults = f"{theme or 'anything'}: {self.storm!r}"

    # What a run may be about, beside its weather. Each gives the steps that are done most.

    def _zombies(self, weather: Weather) -> tuple[str, ...]:
        self.tasks = self.tasks[:2]
        weather.pause, weather.crashes, self.completing = 0.05, 0, 0.9
        return ("evict", "work", "work")

    def _graph(self, _weather: Weather) -> tuple[str, ...]:
        self.names = [f"p{number}" for number in range(self.chance.choice((2, 3, 4)))]
        self.tasks = [f"t{number}" for number in range(self.chance.choice((4, 6, 8)))]
        self.density, self.completing = self.chance.choice((0.4, 0.7)), 0.98
        self.rest = 0.01
        return ("work", "request")

    def _meddling(self, weather: Weather) -> tuple[str, ...]:
        self.tasks = self.tasks[:2]
        self.doings, self.people = self.chance.choice((6, 12)), 2
        self.deeds = ["reassign", self.chance.choice(DEEDS)]
        self.completing = 0.7
        weather.pause = weather.pause and 0.05
        return ("work", "request", "end")

    def _door(self, _weather: Weather) -> tuple[str, ...]:
        self.tasks = self.tasks[:2]
        self.actions, self.completing = 16, 0.4
        return ("ask", "request")

    def _lives(self, weather: Weather) -> tuple[str, ...]:
        self.names = [self.names[0]] * self.chance.choice((1, 2, 3)) + ["q"]
        weather.pause = weather.pause and 0.05
        weather.stale_list = weather.stale_list and 20.0
        return ("leave", "evict")

    def _reopening(self, weather: Weather) -> tuple[str, ...]:
        """What was done is taken up again, by two who may both have the mutex."""
        self.tasks = self.tasks[:1]
        self.names = self.names[:2]
        self.doings, self.people, self.deeds = 12, 3, ["reopen"]
        self.mutex = self.chance.random() < 0.2
        self.completing, self.actions, self.rest = 0.98, 24, 0.5
        weather.stale_list, weather.pause, weather.crashes, weather.dither = 0.0, 0.0, 0, 0.3
        return ("work",)

    def _torn(self, weather: Weather) -> tuple[str, ...]:
        """Machines die in the middle of a rename and leave both names."""
        self.tasks, self.density = self.tasks[:2], 0.0
        self.completing, self.actions = 0.2, 14
        weather.both_names = 1.0 if weather.crash else 0.0
        weather.crash, weather.crashes = weather.crash and 0.03, 8
        weather.pause = weather.pause and 0.01
        return ("work", "request")

    def _coherent(self, weather: Weather) -> None:
        weather.torn_listing = self.chance.choice((0.0, 0.3))
        weather.pause = self.chance.choice((0.0, 0.01, 0.03))

    def _local(self, weather: Weather) -> None:
        weather.torn_listing = self.chance.choice((0.0, 0.3))
        weather.crash, weather.crashes = self.chance.choice((0.003, 0.01, 0.03)), self.chance.choice((0, 1, 2))
        weather.pause = self.chance.choice((0.0, 0.01, 0.04))

    def _network(self, weather: Weather) -> None:
        self._local(weather)
        weather.stale_stat = self.chance.choice((0.0, 2.0, 30.0))
        weather.stale_list = self.chance.choice((0.0, 0.0, 2.0, 20.0))
        weather.follow = self.chance.choice((0.0, 2.0, 16.0, 16.0))
        weather.unanswered = self.chance.choice((0.0, 0.0, 0.02, 0.1))
        weather.both_win = self.chance.choice((0.0, 0.5))
        weather.both_names = self.chance.choice((0.0, 0.0, 0.0, 0.5))

    def _refusing(self, weather: Weather) -> None:
        self._local(weather)
        weather.refused = self.chance.choice((0.01, 0.05, 0.2))
        weather.unanswered = self.chance.choice((0.0, 0.05))
        weather.full = self.chance.random() < 0.3

    def _watching(self, weather: Weather) -> None:
        weather.crash, weather.crashes = 0.002, self.chance.choice((0, 1))
        weather.pause = self.chance.choice((0.0, 0.01))
        weather.outage = self.chance.choice((0.0, 0.005, 0.01))
        weather.stale_list = self.chance.choice((0.0, 2.0, 30.0, 30.0))
        weather.unanswered = self.chance.choice((0.0, 0.0, 0.05))
        weather.refused = self.chance.choice((0.0, 0.0, 0.02))
        weather.asleep = self.chance.choice((0.0, 0.002, 0.005))
        weather.outage = weather.outage and self.chance.choice((0.0, weather.outage))

    # -- running ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Build, let the storm rage, then let it be calm, repair, and judge."""
        founder = Actor("founder", lambda: None, 0.0)
        self.baton.actors.append(founder)
        self._build(Host(self, "person", founder))
        self.baton.actors.remove(founder)
        for number, name in enumerate(self.names):
            actor = self.baton.add(f"{name}#{number}", lambda: None)
            actor.life = Life(self, name, actor).live
        for number in range(self.people if self.doings else 0):
            actor = self.baton.add(f"person{number}", lambda: None)
            actor.life = Person(self, f"person{number}", actor).live
        self.sea.weather.__dict__.update(self.storm.__dict__)
        self.baton.run()
        self.sea.weather.calm()
        self.sea.until = 0.0
        self.intake = None
        self._rest(founder)

    def _build(self, host: Host) -> None:
        roots.build(host.files, "", self.protocol)
        for task in self.tasks:
            host.queue.add(records.define(task, f"Task {task}", dependencies=self.needs[task]))
        self.sea.started()

    def claimed(self, claim: Claim) -> None:
        """A peer was given a task: what it depends on must be done, unless people meddle with the list."""
        if self.doings:
            return
        for need in claim.definition.dependencies:
            if self.laws.places[need].kind != "done":
                raise ViolationError(
                    f"task {claim.task} was given out while task {need} is at {self.laws.places[need].path} (CLM-5)"
                )

    # -- at rest ---------------------------------------------------------------------------------------------

    def _rest(self, founder: Actor) -> None:
        self.baton.actors.append(founder)
        self.baton.failure = None
        if self.kind == "coherent":
            self._nothing_forgotten()
        healer = Life(self, "healer", founder)
        self.laws.fenced.discard("")
        try:
            healer._enter()
            for who in [name for name in self.sea.entries("peers") or () if name != str(healer.me.me)]:
                incarnation = paths.parse_incarnation(who)
                if incarnation:
                    Judge(healer.host).evict(incarnation, healer.me.me, "its process has ended")
            for _ in range(REPAIRS):
                healer.tidy()
                while claim := healer.me.request():
                    healer.complete(claim.task)
        except PeercoordError as error:
            raise ViolationError(f"in calm weather: {type(error).__name__}: {error.message}") from error
        self.laws.at_rest()
        try:
            tree.check(self.sea.truth)
        except AssertionError as error:
            raise ViolationError(f"at rest: {error}") from None

    def _nothing_forgotten(self) -> None:
        """Where nothing is late or lost and nobody crashed, no repair is needed: nothing waits for what is done."""
        for task, place in self.laws.places.items():
            if place.kind == "waiting" and self.laws.places[place.holder].kind == "done":
                raise ViolationError(f"task {task} waits for task {place.holder}, which is done (PLC-4)")


@contextmanager
def nowhere() -> Iterator[None]:
    """Let this process run on no machine that any peer's record names."""
    here = process.here
    process.here = lambda: dict(HERE)
    try:
        yield
    finally:
        process.here = here


def tell(seed: int, traced: bool = False) -> Told:
    """Run one seed."""
    world = World(seed, traced)
    wrong = ""
    with nowhere():
        try:
            world.run()
        except ViolationError as violation:
            wrong = str(violation)
        except Exception as error:  # noqa: BLE001 - a fault of the program is a finding as well, with its seed
            last = traceback.extract_tb(error.__traceback__)[-1]
            wrong = f"{type(error).__name__}: {error}, in {last.name} at {last.filename}:{last.lineno}"
    return Told(seed, wrong, world)
