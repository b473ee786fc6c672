"""A peer that is stopped between two of its steps, while others go on.

A race of whole commands meets such a moment once in a thousand runs. Here a command is stopped as soon as the directory
shows that it has reached the step, and the suite does meanwhile what any other peer may do. A sound peer passes whether
or not the moment was met; a faulty one fails only if it was.
"""
# ruff: noqa: D103 -- the name of a check is its sentence

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from peersuite.checks import check
from peersuite.command import SECONDS, Member, NotTriedError, expect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from peersuite.command import Answer, World

ROUNDS, MEETINGS = 20, 3  # rounds at most, to meet a moment so often
EDGES = 8  # tasks that one completion places: it is stopped as often
IN_CREATE = 0x100


class Made:
    """Notices files that are made in a directory; the commands run on one processor with the suite.

    So a command that makes a file there does not go on before the suite has noticed.

    Raises:
        NotTriedError: This system does not tell.
    """

    def __init__(self, folder: Path) -> None:
        system = ctypes.CDLL(None)
        if not hasattr(system, "inotify_init1") or not hasattr(os, "sched_setaffinity"):
            raise NotTriedError("needs inotify")
        self.handle = int(system.inotify_init1(os.O_CLOEXEC))
        if system.inotify_add_watch(self.handle, os.fsencode(folder), IN_CREATE) < 0:
            raise NotTriedError("inotify refuses to watch")
        self.processors = os.sched_getaffinity(0)

    def stopped(self, started: subprocess.Popen[str]) -> bool:
        """Wait until something is made, then stop the command and all that it has started; ``False`` if it ends."""
        latest = time.monotonic() + SECONDS
        while started.poll() is None and time.monotonic() < latest:
            if select.select([self.handle], [], [], 0.05)[0]:
                os.killpg(started.pid, signal.SIGSTOP)
                os.read(self.handle, 1 << 16)
                return True
            go_on(started)  # what it started just when it was stopped may have missed that it may go on
        return False

    def __enter__(self) -> Made:
        os.sched_setaffinity(0, {max(self.processors)})
        return self

    def __exit__(self, *_: object) -> None:
        os.sched_setaffinity(0, self.processors)
        os.close(self.handle)


def go_on(started: subprocess.Popen[str]) -> None:
    """Continue a command that was stopped."""
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGCONT)


def end(world: World, started: subprocess.Popen[str]) -> Answer:
    """Continue a command to its end."""
    for _ in range(SECONDS * 10):
        go_on(started)
        with suppress(subprocess.TimeoutExpired):
            started.wait(0.1)
            break
    return world.end(started)


def met_often_enough(of_round: Callable[[int], int]) -> None:
    """Run rounds until a moment was met often enough.

    Raises:
        NotTriedError: It never was.
    """
    met = 0
    for number in range(1, ROUNDS + 1):
        met += of_round(number)
        if met >= MEETINGS:
            return
    if not met:
        raise NotTriedError(f"in {ROUNDS} rounds no peer was met between its look and its move")


# -- between the look at a dependency and the move to wait for it ------------------------------------------------


@check("PLC-4", "ORD-6")
def looks_again_after_it_made_a_task_wait(world: World) -> None:
    peer, other = world.join("a"), world.store.peer("b~1.x1")
    met_often_enough(lambda number: dependencies_done_before_the_moves(world, peer, other, str(number)))
    world.sound()


def dependencies_done_before_the_moves(world: World, peer: Member, other: str, number: str) -> int:
    """Complete one task, and each that its dependants need as well just before they are made to wait for that.

    Returns:
        How often the peer was met between its look and its move.
    """
    store, met = world.store, 0
    store.add(number)
    needs = {f"y{number}.{edge}": f"x{number}.{edge}" for edge in range(EDGES)}
    for need, task in needs.items():
        store.add(need)
        store.hold(need, other, f"{need}~1")
        store.add(task, needs=(number, need))
        store.result(need, 1, "done", "b", "b~1.x1")
        (store.root / store.done(need)).parent.mkdir(exist_ok=True)
    peer.claimed(number, 1)
    with Made(store.root / "queue/waiting") as made:  # a directory for a dependency, which it has just seen to be open
        started = world.start(peer.command, "complete", peer.me, number, apart=True)
        while made.stopped(started):
            for need in needs.keys() & set(store.names("queue/waiting")):
                met += completed(world, other, need) == 0
            go_on(started)
    end(world, started).must(f"done {number}")
    for need, task in needs.items():
        if store.has(f"{other}/claims/{need}~1"):
            completed(world, other, need)
        world.lies(task, f"queue/ready/2/000000/{task}~0")
        store.move(f"queue/ready/2/000000/{task}~0", f"queue/parked/held/{task}~0")
        store.edit(task, parked={"why": "held", "reason": "this round is over"})
    return met


def completed(world: World, home: str, task: str) -> int:
    """Complete a task as another peer does: its ticket goes to ``done/``, then what waits for it is placed.

    Returns:
        How many tasks waited for it; -1 if it was completed before.
    """
    root = world.store.root
    if not world.store.has(f"{home}/claims/{task}~1"):
        return -1
    (root / home / "claims" / f"{task}~1").rename(root / world.store.done(task))
    waiting = world.store.names(f"queue/waiting/{task}")
    for ticket in waiting:
        (root / f"queue/waiting/{task}/{ticket}").rename(root / f"queue/ready/2/000000/{ticket}")
    return len(waiting)


# -- between the look for others of the name and the move into peers/ --------------------------------------------


@check("MBR-3")
def sees_who_joined_after_its_look(world: World) -> None:
    met_often_enough(lambda _: two_of_one_name(world))
    world.sound()


def two_of_one_name(world: World) -> bool:
    """Run a whole second join after the first has looked, before it is in ``peers/``.

    Returns:
        Whether the first was met at that moment.
    """
    with Made(world.store.root / "tmp") as made:
        late = world.start(world.commands[0], "join", "a", apart=True)
        met = made.stopped(late) and not world.store.names("peers")
        quick = world.run(world.commands[-1], "join", "a")
        answer = end(world, late)
    joined = [one.line for one in (quick, answer) if one.code == 0]
    expect(len(joined) <= 1, f"{joined} joined under one name")
    expect(world.store.names("peers") == joined, f"peers/ holds {world.store.names('peers')}, joined: {joined}")
    for me in joined:
        Member(world, world.commands[0], me).run("leave").must("left")
    return met and bool(joined)
