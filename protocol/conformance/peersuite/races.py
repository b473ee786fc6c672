"""Races: several commands at once, of one implementation or of two."""
# ruff: noqa: D103 -- the name of a check is its sentence

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from peersuite.checks import check
from peersuite.command import ConformanceError, Member, World, expect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peersuite.command import Answer

ROUNDS = 60  # of all peers at once, before the suite gives up waiting for the end of the list


def together(members: Sequence[Member], words: Sequence[Sequence[str]]) -> list[Answer]:
    """Run one command of each peer, all at the same time."""
    pairs = zip(members, words, strict=True)
    started = [member.world.start(member.command, word[0], member.me, *word[1:]) for member, word in pairs]
    return [members[0].world.end(one) for one in started]


def team(world: World, size: int) -> list[Member]:
    """Join as several peers, of each implementation in turn."""
    return [world.join(f"p{number}", by=number) for number in range(size)]


class Drain:
    """A team that claims and completes until nothing is left.

    Attributes:
        claimed: Who claimed which task at which epoch.
        done: Who completed which task.
    """

    def __init__(self, world: World, members: list[Member]) -> None:
        self.world, self.members = world, members
        self.claimed: dict[tuple[str, str], str] = {}
        self.done: dict[str, str] = {}
        self.next: list[list[str]] = [["claim"] for _ in members]

    def round(self) -> bool:
        """Run one command of each; true if any of them found something to do."""
        answers = together(self.members, self.next)
        self.next = [self._after(member, answer) for member, answer in zip(self.members, answers, strict=True)]
        return any(answer.line != "nothing" for answer in answers)

    def _after(self, member: Member, answer: Answer) -> list[str]:
        word, *more = answer.line.split()
        if word in ("claimed", "held"):
            owner = self.claimed.setdefault((more[0], more[1]), member.me)
            expect(owner == member.me, f"{member.me} and {owner} were both told that they hold {more[0]}~{more[1]}")
            return ["complete", more[0]]
        if word == "done":
            expect(self.done.setdefault(more[0], member.me) == member.me, f"task {more[0]} was completed twice")
        elif word not in ("nothing", "lost", "evicted"):
            raise ConformanceError(str(answer))
        return ["claim"]

    def run(self) -> None:
        """Go on until no peer finds anything, twice in a row."""
        idle = 0
        for _ in range(ROUNDS):
            idle = 0 if self.round() else idle + 1
            if idle == 2:
                return
        raise ConformanceError(f"after {ROUNDS} rounds the team is still at it: {self.world.store.tickets()}")


def all_done(world: World, tasks: Sequence[str]) -> None:
    """Demand that all these tasks are done, each once."""
    for task in tasks:
        world.lies(task, world.store.done(task))
        done = [outcome for outcome in world.store.outcomes(task) if outcome.endswith(".done")]
        expect(len(done) == 1, f"task {task} has the results {world.store.outcomes(task)}")


@check("CLM-1", "INV-1", "INV-2", "INV-4")
def race_for_the_same_tasks(world: World) -> None:
    tasks = [str(number) for number in range(1, 13)]
    for task in tasks:
        world.store.add(task)
    drain = Drain(world, team(world, 4))
    drain.run()
    all_done(world, tasks)
    expect(sorted(drain.done) == sorted(tasks), f"acknowledged: {sorted(drain.done)}")
    world.sound()


@check("PLC-4", "CMP-4", "INV-4")
def race_along_dependencies(world: World) -> None:
    world.store.add("1")
    layers = [["1"], ["2", "3", "4"], ["5"], ["6", "7"]]
    for before, layer in pairwise(layers):
        for task in layer:
            world.store.add(task, needs=tuple(before))
    Drain(world, team(world, 4)).run()
    all_done(world, [task for layer in layers for task in layer])
    world.sound()


@check("INV-2", "MBR-8", "EVI-3")
def race_with_an_evictor(world: World) -> None:
    tasks = [str(number) for number in range(1, 9)]
    for task in tasks:
        world.store.add(task)
    members = team(world, 4)
    drain = Drain(world, members)
    evictor = world.join("judge")
    victims = members[:3]
    for victim in victims:
        drain.round()
        words = [*drain.next, ["evict", victim.me]]
        answers = together([*drain.members, evictor], words)
        answers.pop().must(f"evicted {victim.me}")
        drain.next = [drain._after(m, a) for m, a in zip(drain.members, answers, strict=True)]
        at = drain.members.index(victim)
        drain.members.pop(at)
        drain.next.pop(at)
    drain.run()
    places = Counter(world.store.at(task).split("/")[1] for task in tasks)
    expect(set(places) <= {"done", "parked"}, f"the tasks lie in {dict(places)}")
    for task in drain.done:
        world.lies(task, world.store.done(task))
    world.sound()


@check("INV-5", "MBR-8", "OPS-5", "EVI-1")
def race_of_a_release_with_an_evictor(world: World) -> None:
    members = team(world, 2)
    judge = world.join("judge")
    for number, member in enumerate(members):
        task = str(number)
        world.store.add(task)
        member.claimed(task, 1)
        world.store.edit(task, cancelled={"reason": "not any more"})
        started = world.start(member.command, "release", member.me, task)
        while started.poll() is None and not world.store.outcomes(task):
            pass  # its result comes first, the move of its ticket after that: evicted in between, if this is quick
        aside = f"departed/{member.me}~{judge.me}"
        world.store.move(member.home, aside)
        answer = world.end(started)
        if answer.code == 0:
            answer.must(f"released {task}")
            world.lies(task, f"queue/parked/cancelled/{task}~1")
        else:
            answer.must("evicted", 4)
            places = (f"{aside}/claims/{task}~1", f"queue/parked/cancelled/{task}~1")
            expect(world.store.at(task) in places, f"the ticket of task {task} lies at {world.store.at(task)}")
    judge.run("sweep").must("swept")
    for number in range(len(members)):
        world.lies(str(number), f"queue/parked/cancelled/{number}~1")
    world.sound()


@check("EVI-1", "TDY-4", "INV-1")
def race_of_evictors(world: World) -> None:
    tasks = [str(number) for number in range(1, 6)]
    home = world.store.peer("z~1.x1")
    for task in tasks:
        world.store.add(task)
        world.store.hold(task, home, f"{task}~1")
    members = team(world, 4)
    answers = together(members, [["evict", "z~1.x1"], ["evict", "z~1.x1"], ["sweep"], ["sweep"]])
    won = [answer for answer in answers if answer.line == "evicted z~1.x1"]
    expect(len(won) == 1, f"{len(won)} peers evicted it: {[str(answer) for answer in answers]}")
    for task in tasks:
        world.lies(task, f"queue/ready/2/000000/{task}~1")
        world.recorded(task, "1.evicted")
    world.sound()


@check("MBR-3", "NAM-5")
def race_for_one_name(world: World) -> None:
    for _ in range(3):
        commands = [world.commands[number % len(world.commands)] for number in range(4)]
        started = [world.start(command, "join", "a") for command in commands]
        joined = [answer.line for answer in map(world.end, started) if answer.code == 0]
        expect(len(joined) <= 1, f"{joined} joined under one name")
        expect(world.store.names("peers") == joined, f"peers/ holds {world.store.names('peers')}, joined: {joined}")
        for me in joined:
            Member(world, world.commands[0], me).run("leave").must("left")
    world.sound()
