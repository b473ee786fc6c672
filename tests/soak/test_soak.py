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
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
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


KILL, STOP, CONTINUE = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT
DEEDS = (("agent", KILL), ("session", KILL), ("both", KILL), ("agent", STOP), ("session", STOP), ("leader", KILL))


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

    def signal(self, number: int) -> bool:
        """Send a signal to the session, if it lives."""
        if self.process.poll() is not None:
            return False
        os.killpg(self.process.pid, number)
        if number == KILL:
            self.process.wait()
        return True


class Chaos:
    """Disturbances of the team, one after the other."""

    def __init__(self, made: Crew, dice: random.Random) -> None:
        self.crew, self.dice = made, dice
        self.workers = {name: Worker(made.tree(name)) for name in TREES}
        self.due: list[tuple[float, Callable[[], object]]] = []
        self.deeds = Counter[str]()

    def step(self) -> None:
        """Kill or stop an agent, its session, or both; what is stopped or killed goes on some time later."""
        who, number = self.dice.choice(DEEDS)
        name = self.crew.leader() if who == "leader" else self.dice.choice(TREES)
        self.deeds[f"{number.name} {who}"] += 1
        if name and who != "session":
            pid = self.crew.agent_pid(name)  # killed, it is started by the next call of its session
            if pid and send(pid, number) and number == STOP:
                self.later(12, lambda: send(pid, CONTINUE))
        worker = self.workers[name] if name else None
        if worker and who in ("session", "both") and worker.signal(number):
            if number == STOP:
                self.later(6, lambda: worker.signal(CONTINUE))
            else:
                self.later(5, lambda: self.workers.update({name: Worker(self.crew.tree(name))}))

    def later(self, most: float, do: Callable[[], object]) -> None:
        self.due.append((time.monotonic() + self.dice.uniform(0.2, most), do))

    def settle(self, now: float) -> None:
        """Continue what was stopped, and restart sessions that were killed, long enough ago."""
        for due in [due for due in self.due if due[0] <= now]:
            self.due.remove(due)
            due[1]()

    def end(self) -> None:
        self.settle(float("inf"))
        for worker in self.workers.values():
            worker.signal(KILL)


def send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


class Memory:
    """How much memory each agent took, over its life."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, float], list[float]] = {}

    def look(self, made: Crew) -> None:
        for one in made.running():
            with suppress(psutil.NoSuchProcess):
                mib = one.memory_info().rss / (1 << 20)
                self.seen.setdefault((one.pid, one.create_time()), []).append(mib)

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
            chaos.settle(float("inf"))
            until(lambda: done(made) == count, what="every task is done, once undisturbed")
        finally:
            chaos.end()
        check(made, count)
        print(
            f"{count} tasks, {dict(chaos.deeds)}, {len(made.events('evicted'))} evictions, "
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
    assert sorted(set(acks)) == sorted(acks), "no two workers had the answer that they completed one task"
    tickets = [path for home in ("queue", "peers", "departed") for path in (made.state / home).rglob("[0-9]*~*[!n]")]
    assert tickets == [], "no ticket lies anywhere but in done/"
    assert not [
        home for home in made.root.files.scan("departed") if "claims" in made.root.files.scan(f"departed/{home}")
    ]


def read(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
