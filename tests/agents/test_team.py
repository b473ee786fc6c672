"""A person types one line; real coding agents work the list to its end, through a kill, a compaction and a limit."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import psutil
import pytest
from agent.crew import until
from agents import programs, sessions
from agents.history import idle_while_ready
from agents.offline import PARTS, Offline, Told, offline
from support.project import git

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed"),
]
CODEX = '#!/bin/sh\nexec {} "$@"\n'
DONE = re.compile(r"\btask (\d+) is done\b")
KILLED, COMPACTED, LIMITED = {"4": "hang"}, {"5": "compact"}, {"12": "limit", "13": "limit"}  # it asks again once
BUILDS = "for part in parts/p*.py; do python3 -m parts.$(basename $part .py) || exit 1; done"


def value(part: int) -> int:
    """Return what a part has to come to: its number, and what it imports."""
    return part + sum(map(value, PARTS[part]))


def install(world: Offline, *codex: str) -> dict[str, str]:
    """Put the programs on PATH, Codex with some first words; return the variables that they need."""
    place = world.home / "bin"
    place.mkdir()
    (place / "claude").symlink_to(programs.find("claude"))
    (place / "codex").write_text(CODEX.format(" ".join([programs.find("codex"), *codex, sessions.TRUSTED])))
    (place / "codex").chmod(0o755)
    found = sessions.variables(world, "claude") | sessions.variables(world, "codex")
    world.run("peercoord", "setup", "codex", "--allow-commits", at=world.home, **found)
    return {**found, "PATH": f"{place}:{world.environment()['PATH']}"}


def all_reported(world: Offline, tasks: int) -> Told:
    """Wait until sessions have seen the end of every task."""
    reported: set[str] = set()

    def holds(told: Told) -> bool:
        reported.update(task for kind, text in told.get("entries", []) if kind == "came" for task in DONE.findall(text))
        return len(reported) == tasks

    return world.until(holds)


def kill_session(world: Offline, number: int) -> None:
    """Kill the Claude Code of a worktree as an out-of-memory killer would."""
    for process in psutil.process_iter(["exe", "cwd"]):
        if process.info["cwd"] == str(world.worktree(number)) and "claude" in str(process.info["exe"]):
            process.kill()
            return
    raise AssertionError("there is no such session")


def test_the_list_is_worked_to_its_end(tmp_path: Path) -> None:
    programs.find("claude"), programs.find("codex")
    accidents = {"instance-1": KILLED, "instance-2": {**COMPACTED, **LIMITED}}
    with offline(tmp_path, accidents) as world:
        world.make(3, len(PARTS))
        launch, variables = ("--launch", "tmux", "--agent", "claude,claude,codex"), install(world, "exec")
        world.run("peercoord", "up", str(world.project), "3", *launch, at=tmp_path, **variables)
        world.until(lambda told: told.get("accident") == "hang")
        kill_session(world, 1)
        all_reported(world, len(PARTS))

        history = world.data("events", "--last", "1000")["events"]
        done = world.done()
        assert {task: len(peers) for task, peers in done.items()} == {str(task): 1 for task in PARTS}
        assert {peer for [peer] in done.values()} >= {"instance-2", "instance-3"}
        given_back = {(event["peer"], event["task"]) for event in history if event["event"] == "released"}
        assert {peer for peer, _ in given_back} == {"instance-1"}  # a limit takes no task away
        limits = [(event["peer"], event["event"]) for event in history if "limit" in event["event"]]
        assert limits == [("instance-2", "limited"), ("instance-2", "limit-over")]
        own = [task for task, [peer] in done.items() if peer == "instance-2"]  # through a compaction and a limit
        until(lambda: any(world.data("task", "show", task)["effort"]["input_tokens"] for task in own))
        for peer in ("instance-2", "instance-3"):
            assert len(idle_while_ready(history, peer, PARTS)) < 2  # the last report and the next claim are two steps
        assert {told["accident"] for told in world.told if told.get("accident")} == {"hang", "compact", "limit"}

        world.run("peercoord", "land", "--as", "A Person", "--check", BUILDS)
        assert ast.literal_eval(world.run("python3", "-c", "from parts import p12; print(p12.VALUE)")) == value(12)
        for commit in git(world.project, "rev-list", "--first-parent", "main").split():
            there = git(world.project, "ls-tree", "--name-only", commit, "parts/").split()
            parts = {int(number) for number in re.findall(r"p(\d+)\.py", " ".join(there))}
            assert all(set(PARTS[part]) <= parts for part in parts)


def test_a_question_of_a_session_is_seen_and_its_answer_goes_on(tmp_path: Path) -> None:
    programs.find("claude")
    with offline(tmp_path) as world:
        world.make(1)
        world.run("peercoord", "task", "add", "Part 1", "--description", "Write parts/p1.py. Run `mkfifo pipe`.")
        variables = install(world)
        world.run("peercoord", "up", str(world.project), "1", "--launch", "tmux", at=tmp_path, **variables)
        record = world.project / ".claude-coordination" / "sessions" / "instance-1.json"
        until(lambda: record.exists() and "needs permission" in record.read_text())
        assert re.search(r"instance-1.*\bpermission\b.*mkfifo pipe", world.run("peercoord", "status"), re.IGNORECASE)
        until(lambda: "1. Yes" in world.run("tmux", "capture-pane", "-p", "-t", "instance-1"))
        world.run("tmux", "send-keys", "-t", "instance-1", "1")
        all_reported(world, 1)
        assert (world.worktree(1) / "pipe").is_fifo()
        until(lambda: "waiting for work" in record.read_text() or "idle" in record.read_text())


def test_a_codex_that_used_up_its_limit_goes_on_when_it_resets(tmp_path: Path) -> None:
    programs.find("codex")
    with offline(tmp_path, {"instance-1": {"7": "use up"}}) as world:  # with the words that end its first turn
        world.make(1, 2)
        launch = ("--launch", "tmux", "--agent", "codex")
        world.run(
            "peercoord",
            "up",
            str(world.project),
            "1",
            *launch,
            at=tmp_path,
            **install(world, "-c", "notice.hide_rate_limit_model_nudge=true"),
        )
        all_reported(world, 2)
        assert world.done() == {"1": ["instance-1"], "2": ["instance-1"]}


@pytest.mark.parametrize("agent", ["copilot", "opencode"])
def test_others_do_a_task_too_when_up_starts_them(tmp_path: Path, agent: str) -> None:
    """A person trusts the folder, and the project allows what its tasks need."""
    program = programs.find(agent)
    with offline(tmp_path) as world:
        world.make(1, 1)
        variables = sessions.variables(world, agent)
        sessions.write(tmp_path / "user" / ".copilot" / "config.json", {"trusted_folders": [str(tmp_path)]})
        allowed = {"bash": dict.fromkeys(("printf *", "python3 *", "git *"), "allow")}
        sessions.write(world.worktree(1) / "opencode.json", {"permission": allowed})
        place = tmp_path / "bin"
        place.mkdir()
        allow = "--allow-all-tools" if agent == "copilot" else ""
        (place / agent).write_text(f'#!/bin/sh\nexec {program} {allow} "$@"\n')
        (place / agent).chmod(0o755)
        variables["PATH"] = f"{place}:{world.environment()['PATH']}"
        launch = ("--launch", "tmux", "--agent", agent)
        world.run("peercoord", "up", str(world.project), "1", *launch, at=tmp_path, **variables)
        all_reported(world, 1)
        assert world.done() == {"1": ["instance-1"]}
        assert world.commands("instance-1")[0].endswith("request-task"), "its hook named the command"
