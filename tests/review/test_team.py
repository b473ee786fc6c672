"""The whole way: agents run, two coding sessions contribute what clashes, a person decides, both worktrees are told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent.crew import Crew, crew, until
from memory.helpers import TECH
from review.terminal import Terminal

from peercoord.store import paths


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Crew]:
    with crew(tmp_path, 2) as made:
        bank = made.project / paths.BANK
        bank.mkdir()
        (bank / "techContext.md").write_bytes(TECH)
        for name in ("one", "two"):
            (made.tree(name) / paths.BANK).symlink_to(bank)
            made.agent(name)
        yield made


@pytest.mark.slow
def test_two_sessions_clash_a_person_decides_and_both_are_told(team: Crew) -> None:
    sessions = {name: team.session(name) for name in ("one", "two")}
    for name, session in sessions.items():
        assert session.verb("request-task")[0] == 0
        text = f"Sessions expire after {30 if name == 'one' else 60} minutes."
        words = ["--file", "techContext.md", "--section", "Limits", "--type", "update", "--content", text]
        assert session.verb("update-memory", *words)[0] == 0
    person = Terminal(team.project)
    try:
        assert "1 candidates" in person("peercoord memory merge")[1]
        later = ["--file", "techContext.md", "--section", "Limits", "--content", "- and one more thing"]
        assert sessions["two"].verb("update-memory", *later)[0] == 0
        code, said = sessions["one"](f"{sys.executable} -m peercoord review approve 1 --take left")
        assert (code, "a coding session (claude" in said) == (1, True)
        assert "Conflicts: 1" in person("peercoord status")[1]
        person.type("peercoord review\n")
        shown = person.asked()
        assert "│ two " in shown
        assert "one  task 1" in shown
        person.type("1")
        assert "1 approved" in person.prompt()[1]
        tech = team.project / paths.BANK / "techContext.md"
        until(lambda: "and one more thing" in tech.read_text(), what="what waited behind it is merged at once")
        assert "after 30 minutes" in tech.read_text()
        assert "Conflicts: 0" in person("peercoord status")[1]
        for name, session in sessions.items():
            told = session.verb("check-status")[1]
            assert "memory bank: techContext.md › Tech context › Limits changed" in told, name
            assert "decided by" in told
            assert "memory bank:" not in session.verb("check-status")[1]
    finally:
        person.close()
