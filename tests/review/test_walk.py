"""The screen in a real terminal: what is shown, what each key does, and that the terminal is as it was after it."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import psutil
import pytest
from review.conftest import Scene
from review.terminal import ANSI, Terminal

from peercoord.store import paths
from peercoord.store.lock import held

Open = Callable[..., Terminal]


def opened(terminal: Terminal, *words: str) -> str:
    """Open the review; what stands on the screen when it waits for a key."""
    terminal.type(" ".join(["peercoord review", *words]) + "\n")
    return terminal.asked()


def program(terminal: Terminal) -> psutil.Process:
    """The review's own process, below the shell."""
    return next(p for p in psutil.process_iter(["cmdline", "terminal"]) if "review" in (p.info["cmdline"] or [])[-1:])


def test_two_sides_stand_beside_each_other_with_who_for_what_and_when(scene: Scene, terminal: Open) -> None:
    scene.clash()
    shown = opened(terminal())
    assert "#1  techContext.md › Tech context › Limits" in shown
    assert "1 of 1" in shown
    assert "two updates of this section differ" in shown
    assert re.search(r"base [0-9a-f]{7}, waits since \d\d:\d\d", shown)
    assert re.search(r"instance-1  task 7, 2026-01-01 \d\d:\d\d, 3 lines", shown)
    assert re.search(r"│ \+ Sessions expire after 30 minutes\. +│ \+ Sessions expire after 60 minutes\.", shown)
    assert "<<<<<<< instance-1" in shown
    assert re.search(r"You decide as \w+; as someone else: peercoord review --as NAME", shown)
    for offered in ("1 take instance-1", "2 take instance-2", "b both", "e edit", "x reject", "n next", "d full diff"):
        assert offered in shown


def test_the_changed_word_alone_is_marked_in_colour_and_without_colours_nothing_is(
    scene: Scene, terminal: Open
) -> None:
    scene.clash()
    coloured, bare = terminal(), terminal(env={"NO_COLOR": "1"})
    opened(coloured)
    assert re.search(r"\x1b\[1;4;32m30\x1b\[0m", coloured.raw)
    assert re.search(r"\x1b\[1;9;31m20\x1b\[0m", coloured.raw)
    opened(bare)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", bare.raw)


@pytest.mark.parametrize(
    ("key", "line"),
    [("1", "Sessions expire after 30 minutes."), ("2", "Sessions expire after 60 minutes.")],
)
def test_a_key_takes_a_side(scene: Scene, terminal: Open, key: str, line: str) -> None:
    scene.clash()
    person = terminal()
    opened(person)
    person.type(key)
    code, said = person.prompt()
    assert (code, "1 approved, nothing waits any more" in said) == (0, True)
    assert re.findall(r"Sessions .*", scene.text) == [line]
    assert scene.bank.waiting() == []


def test_both_takes_both(scene: Scene, terminal: Open) -> None:
    scene.clash()
    person = terminal()
    opened(person)
    person.type("b")
    person.prompt()
    assert re.findall(r"after (\d+)", scene.text) == ["30", "60"]


def test_reject_asks_why_and_nothing_said_goes_back(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    before = scene.text
    person = terminal()
    opened(person)
    person.type("x")
    person.wait("go back) ")
    person.type("\n")
    assert "┌" not in person.asked(), "the keys alone: what was said before stays in sight"
    assert [one.candidate.id for one in scene.bank.waiting()] == [ident]
    person.type("x")
    person.wait("go back) ")
    person.type("neither is measured\n")
    assert "1 rejected" in person.prompt()[1]
    assert (scene.text, scene.bank.waiting()) == (before, [])
    assert scene.bank.store.decision(ident)["reason"] == "neither is measured"


def test_next_leaves_it_and_quit_leaves_the_rest(scene: Scene, terminal: Open) -> None:
    scene.clash()
    scene.critical()
    before = scene.text
    person = terminal()
    assert "1 of 2" in opened(person)
    person.type("n")
    assert "2 of 2" in person.asked()
    person.type("q")
    assert "2 left pending" in person.prompt()[1]
    assert (scene.text, len(scene.bank.waiting())) == (before, 2)


def test_what_was_typed_before_the_next_one_was_shown_decides_nothing(scene: Scene, terminal: Open) -> None:
    scene.clash()
    scene.critical()
    person = terminal()
    opened(person)
    with held(str(scene.project.state / paths.BANK_LOCK)):
        person.type("2")
        person.wait("2\n")
        person.type("2")  # impatient: the first one is still being written
    person.wait("2 of 2")
    person.asked()
    assert len(scene.bank.waiting()) == 1
    person.type("q")
    assert "1 approved, 1 left pending" in person.prompt()[1]


def test_of_several_keys_at_once_the_first_counts_and_arrow_keys_are_none(scene: Scene, terminal: Open) -> None:
    scene.clash()
    scene.critical()
    person = terminal()
    opened(person)
    person.type("\x1b[A\x1b[1;2B\x1bOP")
    person.until(False)
    person.until(True)
    person.type("n2")
    assert "2 of 2" in person.asked()
    person.type("q")
    assert "2 left pending" in person.prompt()[1]
    assert len(scene.bank.waiting()) == 2


def test_one_that_merges_cleanly_can_be_taken_or_left_as_it_stands(scene: Scene, terminal: Open) -> None:
    scene.critical()
    person = terminal()
    shown = opened(person)
    assert "│ + - mypy --strict" in shown
    assert "b both" not in shown
    person.type("2")
    person.prompt()
    assert scene.text.endswith("Use ruff.\n\n- mypy --strict\n")
    scene.critical("- pylint")
    before = scene.text
    opened(person)
    person.type("1")
    assert "approved (as it stands)" in person.prompt()[1]
    assert (scene.text, scene.bank.waiting()) == (before, [])


def test_the_full_diff_goes_through_the_pager_and_comes_back(scene: Scene, terminal: Open) -> None:
    scene.clash()
    person = terminal(env={"PAGER": "sed s/^/paged:/"})
    opened(person)
    person.type("d")
    said = person.asked()
    assert "paged: + Sessions expire after 60 minutes." in ANSI.sub("", said)
    assert "1 take instance-1" in said


def test_a_change_that_was_settled_meanwhile_is_said_to_be_and_nothing_is_written(scene: Scene, terminal: Open) -> None:
    scene.clash()
    first, other = terminal(), terminal()
    opened(first)
    opened(other)
    other.type("1")
    other.prompt()
    first.type("2")
    said = first.prompt()[1]
    assert "waits" in said
    assert "approved" not in said
    assert "nothing waits any more" in said
    assert "30" in scene.text
    assert "60" not in scene.text


def test_a_window_of_another_size_is_drawn_anew(scene: Scene, terminal: Open) -> None:
    scene.clash()
    person = terminal(columns=120)
    assert re.search(r"│ instance-1 +│ instance-2 +│", opened(person))
    person.resize(50, 40)
    shown = person.asked()
    assert re.search(r"\n│ instance-2 +│", shown)
    assert [line for line in shown.splitlines() if len(line) > 50] == []


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"PYTHONIOENCODING": "latin-1"}])
def test_a_dumb_terminal_gets_plain_characters(scene: Scene, terminal: Open, env: dict[str, str]) -> None:
    scene.clash()
    person = terminal(env=env)
    person.type("peercoord review\n")
    shown = person.wait("leave pending")
    assert "| instance-1 " in shown
    assert not set(shown) & set("┌│├└")
    assert ("\x1b" in person.raw) == ("TERM" not in env)


@pytest.mark.parametrize("end", ["\x03", "TERM", "HUP"])
def test_the_terminal_is_as_it_was_however_it_ends(scene: Scene, terminal: Open, end: str) -> None:
    scene.clash()
    person = terminal()
    opened(person)
    assert not person.restored()
    if end == "\x03":
        person.type(end)
    else:
        program(person).send_signal(getattr(signal, f"SIG{end}"))
    code, _ = person.prompt()
    assert (code, person.restored()) == ({"\x03": 130, "TERM": 143, "HUP": 129}[end], True)
    assert len(scene.bank.waiting()) == 1


def test_stopped_and_continued_it_gives_the_terminal_back_and_draws_again(scene: Scene, terminal: Open) -> None:
    scene.clash()
    person = terminal()
    opened(person)
    person.type("\x1a")
    person.prompt()
    assert person.restored()
    person.type("fg\n")
    assert "1 take instance-1" in person.asked()
    person.type("1")
    assert person.prompt()[0] == 0
    assert person.restored()
    assert "30" in scene.text


def test_without_a_terminal_the_list_is_printed_with_the_command(scene: Scene, terminal: Open) -> None:
    ident = scene.clash()
    code, said = terminal()("peercoord review </dev/null 2>&1 | cat")
    assert code == 0
    assert ident in said
    assert "decide in a terminal of your own: peercoord -C" in said.replace("\n", " ")
    assert len(scene.bank.waiting()) == 1
