"""The power is cut under a real filesystem: one ``up`` makes the team work, and nothing acknowledged is missing.

``PEERCOORD_CUTS`` says how often on each filesystem; 3 by default.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent.crew import until
from power.mounts import LOGFLUSH, NOLOGFLUSH, Mount
from power.test_kinds import BANK, ask, bad, repository, without_git_variables
from power.workload import DOCUMENT, GUARDED

from peercoord.queue.queue import Queue
from peercoord.store import paths, records
from peercoord.store.root import open_root

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts filesystems, which only root may"),
]

KINDS = [("ext4", ""), ("ext4", "noauto_da_alloc"), ("xfs", "")]
COUNT = 2
CUTS = int(os.environ.get("PEERCOORD_CUTS", "3"))
FLAGS = (NOLOGFLUSH, LOGFLUSH)


@pytest.fixture(params=KINDS, ids=["-".join(filter(None, kind)) for kind in KINDS])
def mount(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mount]:
    without_git_variables(monkeypatch)
    made = Mount(tmp_path, *request.param)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def project(mount: Mount) -> Path:
    """A repository with a memory bank, flushed."""
    home = mount.home / "p"
    repository(home)
    mount.flush()
    return home


def command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "peercoord", *words]


def run(*words: str) -> Any:
    """Call the command line as people do; what it answers."""
    done = subprocess.run(command(*words, "--json"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)["data"]


def trees(project: Path) -> list[Path]:
    return sorted(project.parent.glob(f"{project.name}-instance-*"))


def check_team(project: Path) -> None:
    """Assert that one ``up`` brings the team to work: every instance gets a task, the doctor finds nothing bad."""
    run("up", str(project), str(COUNT))
    assert len(trees(project)) == COUNT
    for number in range(COUNT):
        ask(project, "task", "add", f"After the power cut {number}", "-p", "critical")
    for tree in trees(project):
        done = subprocess.run(
            ["./.claude-instance/coordinate.sh", "request-task"], cwd=tree, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{tree.name}: {done.stdout}{done.stderr}"
        status = subprocess.run(["git", "status", "--porcelain"], cwd=tree, capture_output=True, text=True, check=True)
        assert not status.stdout
    assert not bad(project)


def check_tickets(project: Path) -> None:
    """Assert that every task has one ticket, and nothing else in its name."""
    queue = Queue(open_root(str(project / paths.ROOT)))

    def counted() -> bool:  # a listing taken while tickets move may miss one, or show it twice
        found = Counter(seen.task for seen in queue.locations())
        return found == Counter(queue.all_tasks())

    until(counted, what="one ticket for each task")


@pytest.mark.parametrize("seed", range(CUTS))
def test_power_lost_while_work_is_acknowledged(project: Path, mount: Mount, tmp_path: Path, seed: int) -> None:
    chance = random.Random(f"{mount.kind} {mount.options} {seed}")
    run("up", str(project), str(COUNT))
    log = tmp_path / "acts"
    log.touch()
    words = [sys.executable, str(Path(__file__).with_name("workload.py")), str(project), str(seed), str(log)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as worker:
        try:
            enough = chance.randrange(60, 160)
            until(lambda: log.read_text().count('"done"') >= enough or worker.poll() is not None)
            assert worker.poll() is None, worker.communicate()[1].decode()
            mount.cut(FLAGS[seed % 2])
        finally:
            worker.kill()
    mount.again()
    check_team(project)
    check_tickets(project)
    Acts(log).check(project)


@pytest.mark.parametrize("seed", range(CUTS))
def test_power_lost_while_a_team_is_set_up(project: Path, mount: Mount, seed: int) -> None:
    chance = random.Random(f"{mount.kind} {mount.options} {seed}")
    lines = chance.randrange(1, 16)
    with subprocess.Popen(command("up", str(project), str(COUNT)), stderr=subprocess.PIPE, text=True) as up:
        assert up.stderr is not None
        for _ in range(lines):
            up.stderr.readline()
        mount.cut(FLAGS[seed % 2])
        up.kill()
    mount.again()
    check_team(project)
    check_tickets(project)


class Acts:
    """What was begun and acknowledged."""

    def __init__(self, log: Path) -> None:
        self.acts: dict[int, dict[str, Any]] = {}
        for line in log.read_text().splitlines():
            said = json.loads(line)
            self.acts.setdefault(said["act"], {}).update(said)
        self.acts = {number: act for number, act in self.acts.items() if "refused" not in act}

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [act for act in self.acts.values() if act["kind"] in kinds]

    def check(self, project: Path) -> None:
        """Assert that what was acknowledged is there, and what was not is there at most once."""
        titles = {act["task"]: act["title"] for act in self.of("add") if act.get("done")}
        for task in titles:
            self.check_task(project, task)
        self.check_memory(project)

    def check_task(self, project: Path, task: str) -> None:
        shown = ask(project, "task", "show", task)
        told = [act for act in self.acts.values() if act.get("task") == task or task in act.get("tasks", ())]
        sure = [act for act in told if act.get("done")]
        open_ones = [act for act in told if not act.get("done")]
        title = [act["title"] for act in sure if "title" in act][-1]
        assert shown["definition"]["title"] in (title, *(act.get("title") for act in open_ones)), (task, told, shown)
        moves = [act for act in sure if act["kind"] != "edit"]
        last = moves[-1]
        if any(act["kind"] != "edit" for act in open_ones) or last["kind"] == "claim":
            return  # the act that was under way may have been done, and claims may be lost
        state, detail = shown["state"], shown["detail"]
        ends = [act["kind"] for act in moves if act["kind"] in ("add", "complete", "cancel", "reopen")]
        assert (state == "done") == (ends[-1] == "complete"), (task, told, shown)
        assert bool(shown["definition"].get("cancelled")) == (ends[-1] == "cancel"), (task, told, shown)
        if last["kind"] == "reassign":
            # Its new holder has it, or lost it later: an agent may evict the other before that one is started again.
            ended = [one["epoch"] for one in shown["results"]]
            given = (state, detail.partition("~")[0]) == ("claimed", last["to"])
            assert shown["epoch"] >= last["epoch"], (task, told, shown)
            assert given or last["epoch"] in ended, (task, told, shown)
        if last["kind"] == "release" and state == "claimed":
            assert shown["epoch"] > last["epoch"], (task, told, shown)
        if last["kind"] == "complete":
            result = project / paths.ROOT / paths.result(task, shown["results"][-1]["epoch"], "done")
            assert last["achievement"] in records.decode(result.read_bytes(), str(result))["achievements"]

    def check_memory(self, project: Path) -> None:
        ask(project, "memory", "merge")
        texts = {name: (project / "memory-bank" / name).read_text().splitlines() for name in BANK}
        for act in self.of("contribute"):
            count = texts[DOCUMENT].count(act["text"])
            assert count == 1 if act.get("done") else count < 2, act
        decided = {ident: act for act in self.of("approve", "reject") for ident in act["contributions"]}
        state = project / paths.ROOT / paths.MEMORY
        for act in self.of("guarded"):
            for ident in act.get("ids", ()):
                there = {kind for kind in ("queued", "merged", "rejected") if (state / kind / f"{ident}.json").exists()}
                assert there, act
                decision = decided.get(ident, {})
                if decision.get("done"):
                    assert texts[GUARDED].count(act["text"]) == (decision["kind"] == "approve"), (act, decision)
                elif not decision:
                    assert act["text"] not in texts[GUARDED], act


def test_records_are_whole(project: Path, mount: Mount) -> None:
    """Every record that set-up acknowledged is whole after the power was cut right after it."""
    run("up", str(project), str(COUNT))
    mount.cut(NOLOGFLUSH)
    mount.again()
    homes = [project / paths.ROOT, project / ".git" / "peercoord", *(tree / paths.INSTANCE for tree in trees(project))]
    found = [path for home in homes for path in home.rglob("*.json") if "progress-reports" not in str(path)]
    assert found
    made = {path for path in found if path.name in ("protocol.json", "team.json", "info.json", "instance-1.json")}
    assert len(made) == 3 + COUNT
    for path in made:
        assert records.decode(path.read_bytes(), str(path))
