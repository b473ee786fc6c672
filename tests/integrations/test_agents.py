"""What each coding agent tells, and the shape of what it is answered."""

from __future__ import annotations

import pytest

from peercoord.integrations import agents
from peercoord.integrations.agents import AGENTS

LONG = "x" * 20_000


@pytest.mark.parametrize("agent", AGENTS.values(), ids=lambda one: one.key)
def test_every_agent_tells_the_events_that_the_team_needs(agent: agents.CodingAgent) -> None:
    assert set(agent.events) <= set(agents.EVENTS)
    assert {agents.START, agents.TOOLS, agents.STOP, agents.END} <= set(agent.events)
    assert agent.context(agents.START, "fact")
    assert agent.context(agents.TOOLS, "fact")


def test_claude_is_given_a_context_with_its_own_name_of_the_event() -> None:
    assert agents.CLAUDE.context(agents.TOOLS, "a fact") == {
        "hookSpecificOutput": {"hookEventName": "PostToolBatch", "additionalContext": "a fact"}
    }
    assert agents.CLAUDE.context(agents.START, "a fact", sessionTitle="t")["hookSpecificOutput"]["sessionTitle"] == "t"
    assert agents.CLAUDE.context(agents.PERMISSION, "a fact") == {}


def test_copilot_is_given_a_context_at_the_top() -> None:
    assert agents.COPILOT.context(agents.START, "a fact") == {"additionalContext": "a fact"}


@pytest.mark.parametrize(("key", "word"), [("claude", "block"), ("codex", "block"), ("gemini", "deny")])
def test_a_stop_is_answered_in_the_word_of_the_agent(key: str, word: str) -> None:
    assert AGENTS[key].go_on("the next task") == {"decision": word, "reason": "the next task\n"}


def test_only_claude_is_asked_without_an_error_and_woken() -> None:
    assert agents.CLAUDE.ask("?")["hookSpecificOutput"]["hookEventName"] == "Stop"
    assert agents.CODEX.ask("?") == agents.CODEX.go_on("?")
    assert [key for key, one in AGENTS.items() if one.wakes] == ["claude"]


def test_gemini_counts_in_milliseconds() -> None:
    assert (agents.GEMINI.timeout(agents.STOP), agents.CODEX.timeout(agents.END)) == (30_000, 3)


def test_a_text_is_cut_at_the_limit_of_the_agent() -> None:
    said = agents.CLAUDE.context(agents.START, LONG)["hookSpecificOutput"]["additionalContext"]
    assert len(said) == agents.CLAUDE.context_chars
    assert said.endswith("…")
    assert len(agents.CODEX.go_on(LONG)["reason"]) == agents.CODEX.context_chars
