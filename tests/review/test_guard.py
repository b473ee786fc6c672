"""Decisions are a person's: a coding session is refused, and told what to do instead."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from review.conftest import Scene
from review.terminal import Terminal

from peercoord.agent import control, host
from peercoord.errors import UsageError
from peercoord.mailbox.protocol import Request
from peercoord.review import actions
from peercoord.system import process, sessions

DECISIONS = ["approve {} --take left", "reject {} --reason no", "edit {} --as Ada", "undo {entry} --as me"]


def test_a_call_below_a_coding_session_is_refused(scene: Scene, terminal: Callable[..., Terminal]) -> None:
    """Also from a shell in a terminal session of its own; the review shows the list, and no screen."""
    ident = scene.clash()
    session = terminal("claude", columns=2000)
    code, said = session(f"peercoord review approve {ident} --take left")
    assert (code, "the call comes from within a coding session (claude" in said) == (1, True)
    assert f"peercoord -C '{scene.main}' review approve" in said
    code, said = session("peercoord review")
    assert (code, ident in said, "q leave pending" in said) == (0, True, False)
    assert "decide in a terminal of your own: peercoord -C" in said
    session = terminal("codex", columns=2000)
    code, said = session(f'sh -c "setsid -w {sys.executable} -m peercoord review approve {ident} --take left"')
    assert (code, "coding session (codex" in said) == (1, True), said
    assert len(scene.bank.waiting()) == 1


@pytest.mark.parametrize("mark", ["CLAUDECODE=1", "GEMINI_CLI=1", "CURSOR_AGENT=1", "AGENT=goose", "AI_AGENT=x"])
def test_the_mark_of_a_coding_agent_counts_too(scene: Scene, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    entry = scene.merged()
    ident, before = scene.clash(), scene.text
    monkeypatch.setattr(process, "caller_of", lambda _: sessions.Caller(None, ""))
    for known in (*sessions.MARKS, sessions.GENERIC_MARK):
        monkeypatch.delenv(known, raising=False)
    assert actions.coding_session({"AGENT": "ssh-agent"}) == "", "an ordinary variable of that name"
    name, value = mark.split("=")
    monkeypatch.setenv(name, value)
    for words in DECISIONS:
        code, _, err = scene.project("review", *words.format(ident, entry=entry).split(), at=scene.main)
        assert (code, f"{name} is set in the environment" in err) == (1, True), words
    assert (scene.text, len(scene.bank.waiting())) == (before, 1)


def test_without_a_terminal_a_decision_needs_a_name(
    scene: Scene, person: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ident = scene.clash()
    monkeypatch.setattr(process, "terminal", lambda: "")
    code, error = person("approve", ident, "--take", "left")
    assert (code, "there is no terminal here" in error["message"], "--as NAME" in error["hint"]) == (1, True, True)
    assert person("approve", ident, "--take", "left", "--as", "Ada")[0] == 0
    assert scene.bank.store.decision(scene.bank.entries()[-1].id)["source"]["tty"] == ""


def test_the_background_agent_decides_nothing_for_a_caller(scene: Scene) -> None:
    ident = scene.clash()
    agent = host.Worktree(control.place_of(str(scene.project.worktree)), print, print)
    answer = agent.serve(Request("r1", ["review", "approve", ident, "--take", "left", "--as", "me"]))
    assert (answer.code, len(scene.bank.waiting())) == (2, 1)


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 81, "\x1b[31mred", "\u202eadA"])
def test_a_name_is_one_printable_line(name: str) -> None:
    with pytest.raises(UsageError):
        actions._checked(name)


@pytest.mark.parametrize(
    ("words", "name"), [(["-zsh"], "zsh"), (["/usr/bin/tmux\x1b", "new"], "tmux"), ([], "")], ids=str
)
def test_the_calling_program_is_named_by_its_file(words: list[str], name: str) -> None:
    assert actions.program_of(words) == name
