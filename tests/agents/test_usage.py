"""What real coding agents used for a task is known: in the answers of commands, and on the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent.crew import until
from agents import programs
from agents.offline import offline
from agents.test_team import all_reported, install

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
READ, WROTE = 10, 20  # tokens of each answer of the scripted model
STEPS = 5  # of each task, the report among them


@pytest.mark.parametrize(("agent", "says_cost"), [("claude", True), ("codex", False)])
def test_what_a_session_used_for_each_task_is_known(tmp_path: Path, agent: str, says_cost: bool) -> None:
    programs.find(agent)
    with offline(tmp_path) as world:
        world.make(1, 2)
        launch = ("--launch", "tmux", "--agent", agent)
        world.run("peercoord", "up", str(world.project), "1", *launch, at=tmp_path, **install(world))
        all_reported(world, 2)
        until(lambda: all(one["input_tokens"] for one in world.data("status")["efforts"]["tasks"].values()))
        efforts = world.data("status")["efforts"]
        for task in ("1", "2"):
            took = efforts["tasks"][task]
            answers = took["input_tokens"] // READ
            assert (took["input_tokens"], took["output_tokens"]) == (answers * READ, answers * WROTE)
            assert 1 <= answers <= STEPS + 1, "neither none of the session's answers nor those for the other task"
            assert (took["cost_usd"] is not None) is says_cost
        whole = efforts["instances"]["instance-1"]
        assert whole["input_tokens"] == sum(efforts["tasks"][task]["input_tokens"] for task in "12")
        cost = "under 0.01 USD" if says_cost else "cost unknown"
        report = tmp_path / "report.html"
        world.run("peercoord", "html", "-o", str(report))
        assert f"{efforts['tasks']['1']['output_tokens']} out, {cost}" in world.run("peercoord", "task", "show", "1")
        tokens = f"{whole['input_tokens']} tokens in, {whole['output_tokens']} out"
        assert f"{tokens}, {cost}" in report.read_text()
