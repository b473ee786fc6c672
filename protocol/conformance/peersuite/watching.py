"""How a peer leads, and how it judges others: by their processes where it can see them, else by observed silence."""
# ruff: noqa: D103 -- the name of a check is its sentence

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from peersuite.checks import check
from peersuite.command import Member, NotTriedError, expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from peersuite.command import Answer, World

INTERVAL, TTL = 1, 2  # seconds between two heartbeats; heartbeats missed until silence counts
SOON, LONG = "1", "6"  # seconds of a look: too few for a silence to count; enough for that and a challenge
LEADERS, PATIENT = 4, 2
ONCE = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
LONG_AGO, LATER = 946684800, 4102444800  # years 2000 and 2100


# -- leading -----------------------------------------------------------------------------------------------------


@check("LDR-1", "LDR-2", "LDR-3", "NAM-3")
def leads_under_a_rising_term(world: World) -> None:
    first, second = world.join("a"), world.join("b")
    for foreign in ("leader~07", "leader~x", "leader~"):
        world.store.touch(f"queue/leader/{foreign}")
        world.store.touch(f"{second.home}/{foreign}")
    first.run("lead").must("leads 1")
    expect(world.store.has(f"{first.home}/leader~1"), f"it holds {world.store.names(first.home)}")
    first.run("lead").must("leads 1")
    second.run("lead").must("follows", 4)
    first.run("leave").must("left")
    second.run("lead").must("leads 2")
    expect(world.store.has(f"{second.home}/leader~2"), f"it holds {world.store.names(second.home)}")


@check("LDR-2", "LDR-4", "INV-7")
def takes_the_leadership_from_who_does_not_lead(world: World) -> None:
    other = world.store.peer("b~1.x1")
    world.store.move("queue/leader/leader~0", f"{other}/leader~8")
    peer, third = world.join("a"), world.join("c")
    peer.run("lead").must("follows", 4)
    peer.run("lead", third.me).must("follows", 4)
    peer.run("lead", "b~1.x1").must("leads 9")
    expect(world.store.has(f"{peer.home}/leader~9"), f"it holds {world.store.names(peer.home)}")
    world.sound()


@check("LDR-1", "INV-7", "CLM-1")
def race_for_the_leadership(world: World) -> None:
    members = [world.join(f"p{number}", by=number) for number in range(LEADERS)]
    for term in (1, 2, 3):
        started = [world.start(member.command, "lead", member.me) for member in members]
        answers = [world.end(one) for one in started]
        leading = [member for member, answer in zip(members, answers, strict=True) if answer.line == f"leads {term}"]
        expect(len(leading) == 1, f"{len(leading)} lead at term {term}: {[str(answer) for answer in answers]}")
        world.sound()
        leading[0].run("leave").must("left")
        members[members.index(leading[0])] = world.join(leading[0].me.partition("~")[0])


# -- silence -----------------------------------------------------------------------------------------------------


class Watch:
    """One peer's look at another one, and what becomes of the other's heartbeat meanwhile."""

    def __init__(
        self, world: World, who: str, seconds: str, each: Callable[[list[str]], None], **settings: object
    ) -> None:
        world.store.settings(**{"heartbeat_seconds": INTERVAL, "ttl_heartbeats": TTL, **settings})
        peer = world.join("a")
        self.beats: list[str] = []
        begin = time.monotonic()
        started = world.start(peer.command, "look", peer.me, who, seconds)
        while started.poll() is None:
            beats = [name for name in world.store.names(f"peers/{who}") if name.startswith("beat~")]
            self.beats += [name for name in beats if name not in self.beats]
            with suppress(FileNotFoundError):  # it was evicted, or challenged, at this moment
                each(beats)
            time.sleep(0.02)
        self.seconds = time.monotonic() - begin
        self.answer: Answer = world.end(started)
        self.peer, self.who, self.store = peer, who, world.store

    @property
    def challenged(self) -> bool:
        """Whether a challenge of that peer was seen."""
        return any(name.endswith(f"~{self.peer.me}") for name in self.beats)

    def spared(self) -> None:
        """Demand that the other one is a peer still."""
        expect(self.answer.code == 0 and self.answer.line != "dead", f"{self.answer}; expected that it lives")
        expect(self.store.has(f"peers/{self.who}"), f"{self.answer}, and it is no peer any more")


def nothing(_: list[str]) -> None:
    """Leave the heartbeat alone."""


@check("LIV-3", "LIV-4", "LIV-5", "LIV-7", "LIM-3", "ORD-10", "EVI-1")
def evicts_who_is_silent_and_answers_no_challenge(world: World) -> None:
    world.store.add("1")
    world.store.hold("1", world.store.peer("b~1.x1"), "1~1")
    watch = Watch(world, "b~1.x1", "20", nothing)
    watch.answer.must("dead")
    expect(watch.seconds >= TTL * INTERVAL, f"it was dead after {watch.seconds:.1f} s")
    expect(watch.challenged, f"it was not challenged: {watch.beats}")
    aside = f"departed/b~1.x1~{watch.peer.me}"
    expect("beat~0" in world.store.names(aside), f"the challenge was not settled: {world.store.names(aside)}")
    expect(not world.store.has(f"{aside}/claims"), "it was not swept")
    world.lies("1", "queue/ready/2/000000/1~1")
    world.recorded("1", "1.evicted")
    world.sound()


@check("LIV-4", "LIV-5")
def spares_who_beats(world: World) -> None:
    home = world.store.root / world.store.peer("b~1.x1")
    last = [time.monotonic()]

    def beat(beats: list[str]) -> None:
        if time.monotonic() - last[0] >= INTERVAL and beats:
            last[0] = time.monotonic()
            (home / beats[0]).rename(home / f"beat~{int(beats[0].split('~')[1]) + 1}")

    watch = Watch(world, "b~1.x1", LONG, beat)
    watch.spared()
    expect(not watch.challenged, f"it was challenged though it beats: {watch.beats}")


@check("LIV-5", "LIV-7", "MBR-7")
def spares_who_answers_a_challenge(world: World) -> None:
    home = world.store.root / world.store.peer("b~1.x1")

    def answer(beats: list[str]) -> None:
        if beats and beats[0].count("~") > 1:
            (home / beats[0]).rename(home / f"beat~{int(beats[0].split('~')[1]) + 1}")

    watch = Watch(world, "b~1.x1", LONG, answer)
    watch.spared()
    expect(watch.challenged, f"in {LONG} s of silence it was not challenged: {watch.beats}")


@check("LIV-5", "LIV-7")
def settles_the_challenge_of_another_before_it_evicts(world: World) -> None:
    home = world.store.root / world.store.peer("b~1.x1")
    later = [time.monotonic() + PATIENT * INTERVAL * 3 / 4]  # soon before the silence counts

    def challenge(_: list[str]) -> None:
        if later and time.monotonic() > later[0]:
            (home / "beat~0").rename(home / "beat~0~c~1.y1")
            later.clear()

    watch = Watch(world, "b~1.x1", "20", challenge, heartbeat_seconds=PATIENT * INTERVAL, ttl_heartbeats=1)
    watch.answer.must("dead")
    expect(not watch.challenged, f"it made a challenge while another stood: {watch.beats}")
    left = world.store.names(f"departed/b~1.x1~{watch.peer.me}")
    expect("beat~0" in left, f"the challenge was not settled: {left}")
    world.sound()


@check("LIV-4")
def counts_no_silence_while_it_was_stopped(world: World) -> None:
    home = world.store.peer("b~1.x1")
    world.store.settings(heartbeat_seconds=INTERVAL, ttl_heartbeats=TTL)
    peer = world.join("a")
    started = world.start(peer.command, "look", peer.me, "b~1.x1", "20", apart=True)
    time.sleep(TTL * INTERVAL * 3 / 4)  # it has looked, and the silence does not count yet
    os.killpg(started.pid, signal.SIGSTOP)
    time.sleep(TTL * INTERVAL)
    os.killpg(started.pid, signal.SIGCONT)
    time.sleep(TTL * INTERVAL / 2)
    beats = [name for name in world.store.names(home) if name.startswith("beat~")]
    world.end(started).must("dead")
    expect(beats == ["beat~0"], f"it was away itself, and took that for silence: {beats}")


@check("LIV-1", "LIV-4", "FMT-5")
def believes_no_clock_but_its_own(world: World) -> None:
    for name, seconds in (("b", LONG_AGO), ("c", LATER)):
        home = world.store.root / world.store.peer(f"{name}~1.x1")
        record = world.store.record(f"peers/{name}~1.x1/peer.json")
        year = time.gmtime(seconds).tm_year
        world.store.write(f"peers/{name}~1.x1/peer.json", {**record, "joined_at": f"{year}-01-01T00:00:00Z"})
        for path in (home / "beat~0", home / "peer.json", home):
            os.utime(path, (seconds, seconds))
        Watch(world, f"{name}~1.x1", SOON, nothing).spared()
        (home).rename(world.store.root.parent / name)
        world.store.write("protocol.json", world.store.record("protocol.json"))
        for me in world.store.names("peers"):
            Member(world, world.commands[0], me).run("leave").must("left")
    world.sound()


# -- processes ---------------------------------------------------------------------------------------------------


def joined_by_a_process_that_ended(world: World, name: str) -> tuple[str, dict[str, Any]]:
    """Join as a peer whose process is gone: the one that called.

    Returns:
        The incarnation, and its record.

    Raises:
        NotTriedError: The implementation records no process.
    """
    words = [sys.executable, "-c", ONCE, *world.commands[-1], "join", str(world.store.root), name]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"'join {name}' answered {done.stdout!r}, exit code {done.returncode}")
    me = done.stdout.partition("\n")[0].rstrip()
    record = world.store.record(f"peers/{me}/peer.json")
    if not (record.get("session") or record.get("sessions") or record.get("agent")):
        raise NotTriedError("peer.json names no process")
    return me, record


@check("LIV-2", "LIV-3", "LIV-6")
def evicts_at_once_whose_process_is_gone(world: World) -> None:
    me, _ = joined_by_a_process_that_ended(world, "b")
    watch = Watch(world, me, SOON, nothing)
    watch.answer.must("dead")
    expect(not watch.challenged, "it was challenged, though its process is proven gone")
    world.sound()


@check("LIV-2", "LIV-3")
def judges_no_process_of_another_machine(world: World) -> None:
    me, record = joined_by_a_process_that_ended(world, "b")
    elsewhere = {"host": "elsewhere", "machine": "0badc0de", "boot_id": "00000000-0000-4000-8000-000000000000"}
    world.store.write(f"peers/{me}/peer.json", {**record, **elsewhere})
    Watch(world, me, SOON, nothing).spared()
    world.store.write(f"peers/{me}/peer.json", {**record, "pid_ns": "pid:[1]"})
    peer = world.join("c")
    answer = peer.run("look", me, SOON)
    expect(answer.code == 0 and answer.line != "dead", f"{answer}; it may run in another container")


@check("LIV-2")
def takes_no_later_process_for_the_recorded_one(world: World) -> None:
    me, record = joined_by_a_process_that_ended(world, "b")
    for key in ("session", "agent"):
        if isinstance(record.get(key), dict):
            record[key]["pid"] = os.getpid()  # it runs, and started at another time
    for one in record.get("sessions") or []:
        one["pid"] = os.getpid()
    world.store.write(f"peers/{me}/peer.json", record)
    Watch(world, me, SOON, nothing).answer.must("dead")


@check("LIV-6", "LIV-8")
def never_evicts_for_silence_who_is_seen_running(world: World) -> None:
    me, record = joined_by_a_process_that_ended(world, "b")
    Member(world, world.commands[0], me).run("leave").must("left")
    other = world.join("c")  # called by this very process, which runs
    if not world.store.record(f"{other.home}/peer.json").get("session") and record.get("session"):
        raise NotTriedError("peer.json names no session")
    watch = Watch(world, other.me, LONG, nothing)
    watch.spared()
    expect(not watch.challenged, f"it was challenged though its session runs: {watch.beats}")
