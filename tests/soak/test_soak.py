"""Ten agents and scripted workers, while agents, sessions and leaders are killed, stopped and continued at random.

Seeded, so that the same disturbances can be repeated. The slow tests run the short form; ``PEERCOORD_SOAK_SECONDS=600``
makes it longer, ``PEERCOORD_SOAK_SEED=7`` makes other choices.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from agent.crew import PACE, Crew, crew, until

from peercoord.demo.demo import completions
from peercoord.store import records

SECONDS = float(os.environ.get("PEERCOORD_SOAK_SECONDS", "60"))
SEED = int(os.environ.get("PEERCOORD_SOAK_SEED", "1"))
LEADER_KIB = 3  # memory of a leader for each task while it renders the views
TREES = [f"w{number}" for number in range(10)]
SETTINGS = {
    "heartbeat_seconds": 2,
    "state_seconds": 2,
    "session_grace_seconds": 2,
    "max_attempts": 1000,  # a killed agent has not failed here
}
WORKER = """
shell=./.claude-instance/coordinate.sh
while :; do
  out=$($shell request-task 2>/dev/null)
  case $?:$out in
    0:task*) task=${out#task } task=${task%%:*} ;;
    *) sleep 0.3; continue ;;
  esac
  $shell report-progress "$task" --progress 0.5 --achievement half >/dev/null 2>&1
  sleep 0.0$(($$ % 10))
  if $shell report-progress "$task" --status done >/dev/null 2>&1; then
    echo "$task" >>"$0.acks"
  fi
done
"""


class Worker:
    """A coding session that works on its own."""

    def __init__(self, tree: Path) -> None:
        self.process = subprocess.Popen(
            ["claude", "-c", WORKER, str(tree / "worker")],
            executable="/bin/sh",
            cwd=tree,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()


class Chaos:
    """Disturbances of the team, one after the other."""

    def __init__(self, made: Crew, dice: random.Random) -> None:
        self.crew, self.dice = made, dice
        self.workers = {name: Worker(made.tree(name)) for name in TREES}
        self.asleep: list[tuple[float, Callable[[], None]]] = []
        self.gone: list[tuple[float, str]] = []
        self.deeds: dict[str, int] = {}

    def step(self) -> None:
        deeds = [
            self.kill_agent,
            self.kill_session,
            self.kill_both,
            self.stop_agent,
            self.stop_session,
            self.kill_leader,
        ]
        deed = self.dice.choice(deeds)
        deed()
        self.deeds[deed.__name__] = self.deeds.get(deed.__name__, 0) + 1

    def settle(self, now: float) -> None:
        """Continue processes that were stopped, and restart sessions that were killed, long enough ago."""
        for due in [due for due in self.asleep if due[0] <= now]:
            self.asleep.remove(due)
            due[1]()
        for due in [due for due in self.gone if due[0] <= now]:
            self.gone.remove(due)
            self.workers[due[1]] = Worker(self.crew.tree(due[1]))

    def kill_agent(self) -> None:
        self.to_agent(self.dice.choice(TREES), signal.SIGKILL)

    def kill_leader(self) -> None:
        name = self.crew.leader()
        if name:
            self.to_agent(name, signal.SIGKILL)

    def kill_session(self) -> None:
        name = self.dice.choice(TREES)
        if self.workers[name].process.poll() is None:
            self.workers[name].signal(signal.SIGKILL)
            self.gone.append((time.monotonic() + self.dice.uniform(0.5, 5), name))

    def kill_both(self) -> None:
        name = self.dice.choice(TREES)
        self.to_agent(name, signal.SIGKILL)
        if self.workers[name].process.poll() is None:
            self.workers[name].signal(signal.SIGKILL)
            self.gone.append((time.monotonic() + self.dice.uniform(0.5, 5), name))

    def stop_agent(self) -> None:
        pid = self.to_agent(self.dice.choice(TREES), signal.SIGSTOP)
        if pid:
            self.asleep.append((time.monotonic() + self.dice.uniform(0.2, 12), lambda: send(pid, signal.SIGCONT)))

    def stop_session(self) -> None:
        worker = self.workers[self.dice.choice(TREES)]
        if worker.process.poll() is None:
            worker.signal(signal.SIGSTOP)
            self.asleep.append((time.monotonic() + self.dice.uniform(0.2, 6), lambda: wake(worker)))

    def to_agent(self, name: str, number: int) -> int:
        pid = self.crew.agent_pid(name)
        if pid:
            send(pid, number)
        return pid

    def end(self) -> None:
        for _, again in self.asleep:
            again()
        for worker in self.workers.values():
            if worker.process.poll() is None:
                worker.signal(signal.SIGKILL)


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def wake(worker: Worker) -> None:
    if worker.process.poll() is None:
        worker.signal(signal.SIGCONT)


class Memory:
    """How much memory each agent took, over its life."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, float], list[float]] = {}

    def look(self, made: Crew) -> None:
        for one in made.running():
            try:
                key, mib = (one.pid, one.create_time()), one.memory_info().rss / (1 << 20)
            except psutil.NoSuchProcess:
                continue
            self.seen.setdefault(key, []).append(mib)

    def most(self) -> float:
        return max(max(values) for values in self.seen.values())

    def growth(self) -> float:
        """The most that any agent grew after it had settled."""
        lived = [values[3:] for values in self.seen.values() if len(values) > 8]
        return max((values[-1] - values[0] for values in lived), default=0.0)


def supply(made: Crew, count: int, first: int) -> None:
    """Add tasks, every fourth of them after an earlier one."""
    for number in range(first, first + count):
        needs = [str(number - 3)] if number % 4 == 0 and number > 3 else []
        made.queue.add(records.define(str(number), f"task {number}", dependencies=needs))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 400)
def test_no_task_is_lost_stuck_or_done_twice(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with crew(tmp_path, 0, **SETTINGS) as made:
        count = 40
        supply(made, count, 1)
        for name in TREES:
            made.agent(name)
        chaos, memory = Chaos(made, dice), Memory()
        try:
            end = time.monotonic() + SECONDS
            looked = 0.0
            while (now := time.monotonic()) < end:
                chaos.step()
                chaos.settle(now)
                if now - looked > 1:
                    looked = now
                    memory.look(made)
                    if count - done(made) < 20:
                        supply(made, 20, count + 1)
                        count += 20
                PACE.wait(dice.uniform(0.05, 0.6))
            for _, again in chaos.asleep:
                again()
            chaos.asleep.clear()
            chaos.settle(float("inf"))
            until(lambda: done(made) == count, what="every task is done, once undisturbed")
        finally:
            chaos.end()
        check(made, count)
        print(
            f"{count} tasks, {chaos.deeds}, {len(made.events('evicted'))} evictions, "
            f"{len(made.events('leads'))} terms, {memory.most():.1f} MiB at most, grown by {memory.growth():.1f} MiB"
        )
        list_mib = count * LEADER_KIB / 1024  # it grows by thousands here, and the leader reads all of it
        assert memory.most() < 40 + list_mib
        assert memory.growth() < 12 + list_mib, "modules loaded on first use, and the list, need no more"
        until(lambda: not os.listdir(made.state / "tmp"), what="the leader clears tmp/")


def done(made: Crew) -> int:
    return sum(len(made.root.files.scan(f"queue/done/{shard}")) for shard in made.root.files.scan("queue/done"))


def check(made: Crew, count: int) -> None:
    everything = {str(number) for number in range(1, count + 1)}
    states = made.queue.survey()
    assert {task: s.state for task, s in states.items() if s.state != "done"} == {}
    assert set(states) == everything
    finished = [task for task, _ in completions(made.queue)]  # a result written before its commit point does not count
    assert sorted(finished) == sorted(everything), "each task was completed exactly once"
    acks = [task for tree in TREES for task in read(made.tree(tree) / "worker.acks")]
    assert sorted(set(acks)) == sorted(acks), "no two workers were told that they completed one task"
    tickets = [path for home in ("queue", "peers", "departed") for path in (made.state / home).rglob("[0-9]*~*[!n]")]
    assert tickets == [], "no ticket lies anywhere but in done/"
    assert not [
        home for home in made.root.files.scan("departed") if "claims" in made.root.files.scan(f"departed/{home}")
    ]


def read(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
