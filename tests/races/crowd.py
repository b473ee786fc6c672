"""Crowds of real processes on a real directory: what the race tests let loose.

A crowd runs in a process of its own, the nursery, which loads everything once and forks its children from there; a
barrier lets them start together. It prints what happened as JSON. Chance is seeded, the interleaving is the kernel's.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peercoord.membership import membership as members
from peercoord.membership.membership import judge
from peercoord.queue.intake import ADDED
from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.system.disk import Disk

FORK = multiprocessing.get_context("fork")


class Hasty(Disk):
    """The real disk without waiting for the platter: a race is no other for it, and there are many to run."""

    def create(self, path: str, data: bytes, durable: bool) -> None:
        super().create(path, data, False)

    def sync(self, path: str) -> None:
        return


def run(project: Path, *numbers: int) -> Any:
    """Let a crowd claim in a nursery of its own and give what it says."""
    words = [sys.executable, "-c", "from races.crowd import main; main()", str(project), *map(str, numbers)]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    done = subprocess.run(words, capture_output=True, text=True, env=here, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main() -> None:
    roots.Disk = Hasty  # type: ignore[misc, assignment]
    sys.stdout.write(json.dumps(claim(sys.argv[1], *map(int, sys.argv[2:]))))


# -- what the processes do -----------------------------------------------------------------------------------------


def _fill(project: str, tasks: int, seed: int) -> None:
    """Add tasks of random priority, a third of them waiting for one or two others."""
    chance = random.Random(seed)
    # However often the holders of a task are killed: it is no poison, and has to be done.
    queue = Queue(roots.create(f"{project}/{paths.ROOT}", "race", {"max_attempts": 10**9}))
    coming = []
    for number in range(tasks):
        needs = chance.sample(range(number), min(number, chance.choice((0, 0, 0, 0, 1, 2))))
        priority = chance.choice(paths.PRIORITIES)
        definition = records.define(str(number), f"Task {number}", priority=priority, dependencies=needs)
        coming.append((definition, number, False))
    assert len([made for _, made in queue.create_all(coming) if made == ADDED]) == tasks


def _worker(project: str, name: str, seed: int, told: int, start: Callable[[], object]) -> None:
    """Join, wait for the others, then claim and complete until nothing is ready, telling of each claim and end."""
    root = roots.open_root(f"{project}/{paths.ROOT}")
    chance = random.Random(f"{seed} {name}")
    root.chance = lambda: chance.getrandbits(32)
    peer = Peer.resume(root, Peer.join(project, name).membership.me)
    start()
    while task := peer.request():
        os.write(told, f"claimed {task.id} {task.epoch} {os.getpid()}\n".encode())
        peer.complete(task)
        os.write(told, f"done {task.id} {task.epoch} {os.getpid()}\n".encode())
    peer.leave()


def _child(act: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def claim(project: str, workers: int, tasks: int, seed: int) -> dict[str, Any]:
    """Let a crowd work off a list; kill some at random instants, evict the dead and let others take their names."""
    _fill(project, tasks, seed)
    chance = random.Random(seed)
    reading, writing = os.pipe()
    barrier = FORK.Barrier(workers)
    crowd = {}
    for number in range(workers):
        name = f"w{number}"
        crowd[_child(lambda name=name: _worker(project, name, seed, writing, barrier.wait))] = name
    said, failed = "", []
    due = sorted(chance.sample(range(1, tasks), tasks // 15))
    pending: set[int] = set()
    late: set[int] = set()
    boss = Peer.join(project, "boss")
    while crowd:
        select.select([reading], [], [], 0.05)  # or else someone may have died without a word
        said += _heard(reading)
        # One that is killed at the barrier takes the barrier's own lock along, and the others never start.
        started = {pid for pid in crowd if pid in late or f" {pid}\n" in said} - pending
        if due and said.count("claimed") >= due[0] and started:
            due.pop(0)
            victim = chance.choice(sorted(started))
            os.kill(victim, signal.SIGKILL)
            pending.add(victim)
        pid, status = os.waitpid(-1, 0 if pending else os.WNOHANG)
        if not pid:
            continue
        name = crowd.pop(pid)
        if os.WIFSIGNALED(status):
            pending.discard(pid)
            _bury(boss, name)
            again = _child(lambda name=name: _worker(project, name, seed, writing, lambda: None))
            crowd[again] = name
            late.add(again)
        elif status:
            failed.append(name)
    said += _heard(reading)
    Janitor(boss.queue, "boss").tidy()
    while task := boss.request():
        said += f"claimed {task.id} {task.epoch} 0\n"
        boss.complete(task)
        said += f"done {task.id} {task.epoch} 0\n"
    boss.leave()
    return {"said": said.splitlines(), "failed": failed}


def _heard(reading: int) -> str:
    """Read what has been told so far, without waiting for more."""
    os.set_blocking(reading, False)
    heard = b""
    while True:
        try:
            part = os.read(reading, 1 << 16)
        except BlockingIOError:
            return heard.decode()
        heard += part


def _bury(boss: Peer, name: str) -> None:
    for who in members.living(boss.root):
        verdict = judge(boss.root, who)
        if who.peer == name and verdict.state == "dead":
            Janitor(boss.queue, "boss").evict(who, boss.membership.me, verdict.because)
