"""Races of real processes on the real disk: every task is claimed once and none is lost, whoever is killed."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from peercoord import Peer
from peercoord.demo import demo
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.store import paths
from peercoord.store import root as roots
from peercoord.store.paths import parse_incarnation
from peercoord.store.records import define

RACER = Path(__file__).with_name("racer.py")


class Race:
    """Some processes at the start, on a project with some tasks."""

    def __init__(self, home: Path, peers: int, tasks: int) -> None:
        self.home, self.tasks = home, tasks
        self.queue = Queue(roots.create(str(home / ".claude-coordination"), "race"), "judge")
        for number in range(tasks):
            self.queue.create(define(str(number), "t", priority=number % 3), number, durable=False)
        self.racers: dict[str, subprocess.Popen[str]] = {}
        self.said: dict[str, str] = {}
        self.count = 0
        for _ in range(peers):
            self.enter()

    def enter(self) -> str:
        name = f"racer-{self.count}"
        self.count += 1
        self.racers[name] = subprocess.Popen(
            [sys.executable, str(RACER), str(self.home), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return name

    def start(self, *entered: str) -> None:
        """Let them go together, once all of them stand at the line."""
        waiting = [self.racers[name] for name in entered or self.racers]
        for racer in waiting:
            assert racer.stdout is not None
            assert racer.stdout.readline().startswith("joined ")
        for racer in waiting:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()

    def end(self, name: str) -> int:
        racer = self.racers[name]
        self.said[name], _ = racer.communicate(timeout=300)
        return racer.returncode

    def lines(self, word: str) -> list[tuple[str, int]]:
        found = [line.split() for said in self.said.values() for line in said.splitlines()]
        return [(words[1], int(words[2])) for words in found if len(words) == 3 and words[0] == word]

    def done_results(self) -> Counter[str]:
        """Count the results that say done and are not taken back: their holder came to the commit point."""
        return Counter(task for task, _ in demo.completions(self.queue))

    def assert_all_done_once(self) -> None:
        sightings = list(self.queue.locations())
        assert Counter(s.state for s in sightings) == {"done": self.tasks}
        assert {s.task for s in sightings} == {str(n) for n in range(self.tasks)}
        assert self.done_results() == dict.fromkeys((str(n) for n in range(self.tasks)), 1)


def race(home: Path, peers: int, tasks: int) -> None:
    run = Race(home, peers, tasks)
    run.start()
    assert [run.end(name) for name in run.racers] == [0] * peers
    claimed = Counter(task for task, _ in run.lines("claimed"))
    assert claimed == dict.fromkeys((str(n) for n in range(tasks)), 1), "every task claimed once, none lost"
    assert {epoch for _, epoch in run.lines("claimed")} == {1}
    run.assert_all_done_once()


@pytest.mark.slow
def test_eight_peers_claim_three_hundred_tasks_once_each(tmp_path: Path) -> None:
    race(tmp_path, 8, 300)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(20))
def test_thirty_two_peers_claim_two_thousand_tasks_once_each(tmp_path: Path, seed: int) -> None:
    race(tmp_path, 32, 2000)


def massacre(home: Path, peers: int, tasks: int, seed: int) -> None:
    """Kill racers at random instants, evict them, send new ones in; the tasks are done once each all the same."""
    chance = random.Random(seed)
    run = Race(home, peers, tasks)
    run.start()
    judge = Peer.join(home, "judge")
    killed = 0
    while killed < peers:
        name = chance.choice([n for n, racer in run.racers.items() if n not in run.said])
        racer = run.racers[name]
        # wait for something to happen and for a moment that nothing chose: any step of any sequence may be the last
        assert racer.stdout is not None
        select.select([racer.stdout], [], [], 5)
        end = time.monotonic() + chance.random() * 0.02
        while time.monotonic() < end:
            os.sched_yield()
        racer.send_signal(signal.SIGKILL)
        run.end(name)
        killed += 1
        bury(run.queue, judge, name)
        run.start(run.enter())
    while living := [n for n in run.racers if n not in run.said]:
        assert run.end(living[0]) == 0
    finish(run, judge)
    told = Counter(run.lines("done"))
    assert max(told.values(), default=0) == 1, "no completion was acknowledged twice"
    run.assert_all_done_once()


def bury(queue: Queue, judge: Peer, name: str) -> None:
    for entry in queue.files.scan(paths.PEERS):
        who = parse_incarnation(entry)
        if who and who.peer == name:
            assert Janitor(queue, "judge").evict(who, judge.membership.me, "it was killed")


def finish(run: Race, judge: Peer) -> None:
    """Take over what the killed left when no racer was there to take it any more."""
    Janitor(run.queue, "judge").tidy()
    while task := judge.request():
        judge.complete(task)


def test_killed_peers_lose_nothing_and_nothing_is_done_twice(tmp_path: Path) -> None:
    massacre(tmp_path, 4, 150, seed=7)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(20))
def test_killed_among_thirty_two_lose_nothing(tmp_path: Path, seed: int) -> None:
    massacre(tmp_path, 32, 2000, seed)


def test_a_peer_stopped_and_evicted_meanwhile_is_told_so_and_joins_again(tmp_path: Path) -> None:
    run = Race(tmp_path, 1, 1)
    racer = run.racers["racer-0"]
    assert racer.stdout is not None
    assert racer.stdin is not None
    joined = racer.stdout.readline().split()[1]
    racer.send_signal(signal.SIGSTOP)
    racer.stdin.write("go\n")
    racer.stdin.flush()
    with closing(racer.stdout):
        judge = Peer.join(tmp_path, "judge")
        bury(run.queue, judge, "racer-0")
        task = judge.request()
        assert task is not None
        racer.send_signal(signal.SIGCONT)
        assert racer.wait(timeout=240) != 0, "its request fails: it is no peer any more"
    racer.stdin.close()
    again = Peer.join(tmp_path, "racer-0")
    assert str(again.membership.me).startswith("racer-0~2."), joined
    judge.complete(task)
    assert again.request() is None
