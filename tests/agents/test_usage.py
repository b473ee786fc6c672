"""What real coding agents used for a task is known: in the answers of commands, and on the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent.crew import until
from agents import programs, sessions
from agents.offline import PATIENCE, Offline, offline
from agents.test_setup import OPTIONS
from agents.test_team import all_reported, install

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
READ, WROTE = 10, 20  # tokens of each answer of the scripted model
ANSWERS_MOST = 8  # for one task: the request for it, six steps, and a last word in the second of its end


def prepare(world: Offline) -> None:
    """Make a team with two tasks that last longer than a second each: answers are told apart by seconds."""
    world.make(1)
    (world.worktree(1) / "parts" / "slow.py").write_text("import time\ntime.sleep(2)\n")
    for number in (1, 2):
        text = f"Write parts/p{number}.py. Run `python3 -m parts.slow`."
        world.run("peercoord", "task", "add", f"Part {number}", "--description", text)


def check_known(world: Offline, says_cost: bool) -> None:
    """Wait until both tasks have what they used; check that each has its own, everywhere."""
    until(lambda: all(one["input_tokens"] for one in world.data("status")["efforts"]["tasks"].values()))
    efforts = world.data("status")["efforts"]
    for task in ("1", "2"):
        took = efforts["tasks"][task]
        answers = took["input_tokens"] // READ
        assert (took["input_tokens"], took["output_tokens"]) == (answers * READ, answers * WROTE)
        assert 1 <= answers <= ANSWERS_MOST, "the answers for the other task are not among them"
        assert (took["cost_usd"] is not None) is says_cost
    whole = efforts["instances"]["instance-1"]
    assert whole["input_tokens"] == sum(efforts["tasks"][task]["input_tokens"] for task in "12")
    cost = "under 0.01 USD" if says_cost else "cost unknown"
    report = world.home / "report.html"
    world.run("peercoord", "html", "-o", str(report))
    assert f"{efforts['tasks']['1']['output_tokens']} out, {cost}" in world.run("peercoord", "task", "show", "1")
    assert f"{whole['input_tokens']} tokens in, {whole['output_tokens']} out, {cost}" in report.read_text()


@pytest.mark.parametrize(("agent", "says_cost"), [("claude", True), ("codex", False)])
def test_what_a_launched_session_used_for_each_task_is_known(tmp_path: Path, agent: str, says_cost: bool) -> None:
    programs.find(agent)
    with offline(tmp_path) as world:
        prepare(world)
        launch = ("--launch", "tmux", "--agent", agent)
        world.run("peercoord", "up", str(world.project), "1", *launch, at=tmp_path, **install(world))
        all_reported(world, 2)
        check_known(world, says_cost)


@pytest.mark.parametrize(("agent", "is_known"), [("claude", True), ("gemini", True), ("copilot", False)])
def test_what_a_persons_own_session_used_is_known_but_not_its_cost(tmp_path: Path, agent: str, is_known: bool) -> None:
    programs.find(agent)
    with offline(tmp_path) as world:
        prepare(world)
        world.run("peercoord", "setup", agent, **sessions.variables(world, agent))
        assert world.session(agent, 1, "Work on the tasks.", *OPTIONS.get(agent, ())).wait(PATIENCE) == 0
        if is_known:
            check_known(world, False)
        else:
            assert "tokens and cost unknown" in world.run("peercoord", "task", "show", "1")
