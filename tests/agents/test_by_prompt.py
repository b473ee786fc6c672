"""Without any hook: sessions that were told one command in their first prompt work a list to its end."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from agents.offline import PATIENCE, offline
from agents.sessions import BYPASS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROMPT = "Work on the tasks of this project until all are done. Ask for one with: ./.claude-instance/coordinate.sh {}"
VERBS = {"permissions": {"allow": ["Bash(./.claude-instance/coordinate.sh *)"]}}


def test_two_claudes_and_a_codex_share_one_list(tmp_path: Path) -> None:
    with offline(tmp_path, mode="goes-on") as world:
        world.make(3, 6)
        prompt = PROMPT.format("request-task --wait")
        sessions = [world.session("claude", number, prompt, *world.settings(VERBS)) for number in (1, 2)]
        sessions.append(world.session("codex", 3, prompt, *BYPASS))
        assert [session.wait(PATIENCE) for session in sessions] == [0, 0, 0]
        done = world.done()
        assert {task: len(peers) for task, peers in done.items()} == {str(task): 1 for task in range(1, 7)}
        for task, [peer] in done.items():
            part = world.home / f"proj-{peer}" / "parts" / f"p{task}.py"
            assert ast.parse(part.read_text())
