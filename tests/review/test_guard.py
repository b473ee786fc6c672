"""Decisions are a person's: refused from within a coding session, real processes and all, with what to do instead."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from review.conftest import Scene
from review.terminal import Terminal

from peercoord.errors import UsageError
from peercoord.review import actions

Open = Callable[..., Terminal]

DECISIONS = ["approve {} --take left", "reject {} --reason no", "edit {} --as 'A Person'", "undo {entry} --as me"]
MARKS = ["CLAUDECODE=1", "GEMINI_CLI=1", "CURSOR_AGENT=1", "AGENT=goose", "AI_AGENT=x"]


def test_a_coding_session_is_refused_and_told_who_is_to_decide(scene: Scene, terminal: Open) -> None:
    entry = scene.merged()
    before, ident = scene.text, scene.clash()
    session = terminal("claude", columns=2000)
    for words in DECISIONS:
        line = words.format(ident, entry=entry)
        code, said = session(f"peercoord review {line}")
        assert code == 1, line
        assert "this is a person's decision, and the call comes from within a coding session (claude" in said
        assert "It is a guard against accidents" in said
        assert f"peercoord -C '{scene.main}' review {line.split()[0]}" in said
    assert (scene.text, len(scene.bank.waiting())) == (before, 1)


def test_a_shell_below_the_session_in_a_terminal_of_its_own_is_still_within_it(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    session = terminal("codex", columns=2000)
    code, said = session(f'sh -c "setsid -w {sys.executable} -m peercoord review approve {ident} --take left"')
    assert (code, "coding session (codex" in said) == (1, True), said
    assert len(scene.bank.waiting()) == 1


def test_the_marks_that_agents_leave_in_the_environment_count_too(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    person = terminal(columns=2000)
    for mark in MARKS:
        code, said = person(f"{mark} peercoord review approve {ident} --take left")
        assert code == 1
        assert f"{mark.partition('=')[0]} is set in the environment" in said
    assert len(scene.bank.waiting()) == 1


def test_an_ordinary_variable_of_that_name_is_no_mark() -> None:
    assert actions.coding_session({"AGENT": "ssh-agent"}) in ("", actions.coding_session({}))


def test_in_a_coding_session_the_review_shows_the_list_and_no_screen(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    code, said = terminal("claude", columns=300)("peercoord review")
    assert code == 0
    assert ident in said
    assert "decide in a terminal of your own: peercoord -C" in said
    assert "q leave pending" not in said


def test_without_a_terminal_it_must_be_said_who_decides(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    person = terminal(columns=2000)
    quiet = f"peercoord review approve {ident} --take left </dev/null >out 2>&1; echo $? >>out"
    person(f"{quiet}; true")
    said = (scene.main / "out").read_text()
    assert said.endswith("\n1\n")
    assert "nobody is at a terminal here" in said
    assert "--as NAME" in said
    person(quiet.replace("--take left", "--take left --as Ada"))
    assert (scene.main / "out").read_text().endswith("\n0\n")
    assert scene.bank.store.decision(scene.bank.entries()[-1].id)["source"]["tty"] == ""


def test_the_background_agent_decides_nothing_for_a_caller(scene: Scene) -> None:
    """The door of the sandbox takes the verbs of an instance, and no decision."""
    from peercoord.agent import control, host
    from peercoord.mailbox.protocol import Request

    ident = scene.clash()
    agent = host.Worktree(control.place_of(str(scene.project.worktree)), print, print)
    answer = agent.serve(Request("r1", ["review", "approve", ident, "--take", "left", "--as", "me"]))
    assert answer.code == 2
    assert len(scene.bank.waiting()) == 1


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 81, "\x1b[31mred", "\u202eadA"])
def test_a_name_is_one_line_of_print(name: str) -> None:
    with pytest.raises(UsageError):
        actions._checked(name)


def test_the_program_a_call_came_from_is_named_by_its_file() -> None:
    assert actions.program_of(["-zsh"]) == "zsh"
    assert actions.program_of(["/usr/bin/tmux\x1b", "new"]) == "tmux"
    assert actions.program_of([]) == ""
