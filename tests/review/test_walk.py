"""The review in a terminal: what is shown, what each key does, and that the terminal is as it was after it."""

from __future__ import annotations

import os
import pty
import queue
import re
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from review.conftest import Scene
from review.terminal import ANSI, Program, Terminal

from peercoord.review import terminal as keys
from peercoord.store import paths
from peercoord.store.lock import held

Open = Callable[..., Program]
PACE = threading.Event()


def test_two_sides_stand_beside_each_other_with_their_authors(scene: Scene, review: Open) -> None:
    scene.clash()
    person = review()
    shown = person.asked()
    for text in (
        *("#1  techContext.md › Tech context › Limits", "1 of 1", "two updates of this section differ"),
        *("1 take instance-1", "2 take instance-2", "b both", "e edit", "x reject", "n next", "d full diff"),
    ):
        assert text in shown
    for pattern in (
        r"base [0-9a-f]{7}, waits since \d\d:\d\d",
        r"instance-1  task 7, 2026-01-01 \d\d:\d\d, 3 lines",
        r"│ \+ Sessions expire after 30 minutes\. +│ \+ Sessions expire after 60 minutes\.",
        r"You decide as \w+; as someone else: peercoord review --as NAME",
    ):
        assert re.search(pattern, shown), pattern
    for word in (r"\x1b\[1;4;32m30\x1b\[0m", r"\x1b\[1;9;31m20\x1b\[0m"):
        assert re.search(word, person.raw), "the changed word alone is marked"


@pytest.mark.parametrize(
    ("env", "frame", "escapes"),
    [({"NO_COLOR": "1"}, "│", True), ({"TERM": "dumb"}, "|", False), ({"PYTHONIOENCODING": "latin-1"}, "|", True)],
)
def test_a_terminal_without_colours_or_lines_gets_none(
    scene: Scene, review: Open, env: dict[str, str], frame: str, escapes: bool
) -> None:
    scene.clash()
    person = review(env=env)
    shown = person.wait("leave pending")
    assert f"{frame} instance-1 " in shown
    assert bool(set(shown) & set("┌│├└")) == (frame == "│")
    assert ("\x1b" in person.raw) <= escapes
    assert "NO_COLOR" not in env or not re.search(r"\x1b\[[0-9;]*3[0-9]m", person.raw)


@pytest.mark.parametrize(("key", "left"), [("1", ["30"]), ("2", ["60"]), ("b", ["30", "60"])])
def test_a_key_takes_a_side_or_both(scene: Scene, review: Open, key: str, left: list[str]) -> None:
    scene.clash()
    person = review()
    person.asked()
    person.type(key)
    code, said = person.end()
    assert (code, "1 approved, nothing waits any more" in said) == (0, True)
    assert re.search(r"^  undo: peercoord review undo e-[0-9a-f]{16}$", said, re.MULTILINE), "a command on its own line"
    assert re.findall(r"Sessions .*after (\d+)", scene.text) == left
    assert scene.bank.waiting() == []


def test_reject_asks_why_and_an_empty_reason_goes_back(scene: Scene, review: Open) -> None:
    ident, before = scene.clash(), scene.text
    person = review()
    person.asked()
    person.type("x")
    person.wait("go back) ")
    person.type("\n")
    assert "┌" not in person.asked(), "the keys alone: what was said before stays in sight"
    assert [one.candidate.id for one in scene.bank.waiting()] == [ident]
    person.type("x")
    person.wait("go back) ")
    person.type("neither is measured\n")
    assert "1 rejected" in person.end()[1]
    assert (scene.text, scene.bank.waiting()) == (before, [])
    assert scene.bank.store.decision(ident)["reason"] == "neither is measured"


def test_next_leaves_one_and_quit_leaves_the_rest(scene: Scene, review: Open) -> None:
    scene.clash()
    scene.critical()
    before = scene.text
    person = review()
    assert "1 of 2" in person.asked()
    person.type("\x1b[A\x1b[1;2B\x1bOP")  # arrow keys are no keys
    person.until(False)
    person.until(True)
    person.type("n2")  # of several at once the first counts
    assert "2 of 2" in person.asked()
    person.type("q")
    assert "2 left pending" in person.end()[1]
    assert (scene.text, len(scene.bank.waiting())) == (before, 2)


def test_a_key_typed_before_an_item_was_shown_decides_nothing(scene: Scene, review: Open) -> None:
    scene.clash()
    scene.critical()
    person = review()
    person.asked()
    with held(str(scene.project.state / paths.BANK_LOCK)):
        person.type("2")
        person.wait("2\n")
        person.type("2")  # impatient: the first one is still being written
    person.wait("2 of 2")
    person.asked()
    assert len(scene.bank.waiting()) == 1
    person.type("q")
    assert "1 approved, 1 left pending" in person.end()[1]


@pytest.mark.parametrize(
    ("key", "said", "added"), [("2", "approved", "\n- mypy --strict\n"), ("1", "as it stands", "")]
)
def test_a_change_that_merges_cleanly_is_taken_or_left(
    scene: Scene, review: Open, key: str, said: str, added: str
) -> None:
    before, _ = scene.text, scene.critical()
    person = review()
    shown = person.asked()
    assert ("│ + - mypy --strict" in shown, "b both" in shown) == (True, False)
    person.type(key)
    assert said in person.end()[1]
    assert (scene.text, scene.bank.waiting()) == (before + added, [])


def test_the_full_diff_goes_through_the_pager_and_comes_back(scene: Scene, review: Open) -> None:
    scene.clash()
    person = review(env={"PAGER": "sed s/^/paged:/"})
    person.asked()
    person.type("d")
    said = person.asked()
    assert "paged: + Sessions expire after 60 minutes." in ANSI.sub("", said)
    assert "1 take instance-1" in said


def test_a_change_that_was_settled_meanwhile_is_not_written(scene: Scene, review: Open) -> None:
    scene.clash()
    first, other = review(), review()
    first.asked()
    other.asked()
    other.type("1")
    other.end()
    first.type("2")
    said = first.end()[1]
    assert ("nothing waits any more" in said, "approved" in said) == (True, False)
    assert ("30" in scene.text, "60" in scene.text) == (True, False)


def test_a_window_of_another_size_is_drawn_again(scene: Scene, review: Open) -> None:
    scene.clash()
    person = review(columns=120)
    assert re.search(r"│ instance-1 +│ instance-2 +│", person.asked())
    person.resize(50, 40)
    shown = person.asked()
    assert re.search(r"\n│ instance-2 +│", shown)
    assert [line for line in shown.splitlines() if len(line) > 50] == []


@pytest.mark.parametrize(
    ("end", "code"), [(None, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["Ctrl-C", "TERM", "HUP"]
)
def test_the_terminal_is_as_it_was_however_it_ends(scene: Scene, review: Open, end: int | None, code: int) -> None:
    scene.clash()
    person = review()
    person.asked()
    assert not person.restored()
    if end is None:
        person.type("\x03")
    else:
        os.kill(person.pid, end)
    assert (person.end()[0], person.restored()) == (code, True)
    assert len(scene.bank.waiting()) == 1


def test_stopped_it_gives_the_terminal_back_and_draws_again(scene: Scene, terminal: Callable[..., Terminal]) -> None:
    scene.clash()
    person = terminal()
    person.type("peercoord review\n")
    person.asked()
    person.type("\x1a")
    person.prompt()
    assert person.restored()
    person.type("fg\n")
    assert "1 take instance-1" in person.asked()
    person.type("1")
    assert person.prompt()[0] == 0
    assert person.restored()
    assert "30" in scene.text


# -- keys over a slow line ---------------------------------------------------------------------------------------


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The far end of a terminal that is this process's standard input."""
    far, near = pty.openpty()
    with os.fdopen(near) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield far
    os.close(far)


def waits_for_a_key(line: int) -> bool:
    return not termios.tcgetattr(line)[3] & termios.ICANON


@pytest.mark.parametrize(
    "pieces", [[b"\x1b", b"[", b"2", b"~"], [b"\x1b", b"O", b"P"], [b"\x1b[1;5A"], [b"\xc3\xa9"], [b"8"]]
)
def test_an_arrow_key_that_comes_in_pieces_is_no_key(
    pieces: list[bytes], line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the ``2`` in it would take a side."""
    looks, look, left = queue.SimpleQueue[None](), keys._typed, [*pieces]

    def looked() -> str:
        looks.put(None)
        return look()

    def pause(_: float) -> None:  # the rest of the key comes meanwhile
        while left:
            os.write(line, left.pop(0))
            os.read(line, 64)  # its echo: the system has passed it on

    def feed() -> None:
        piece = b""
        while piece != b"q":
            looks.get()
            while not waits_for_a_key(line):
                PACE.wait(0.001)
            piece = left.pop(0) if left else b"q"
            os.write(line, piece)

    monkeypatch.setattr(keys, "_typed", looked)
    monkeypatch.setattr(keys, "time", SimpleNamespace(sleep=pause))
    threading.Thread(target=feed, daemon=True).start()
    assert keys.key({"1", "2", "q", "o", "p"}, lambda: None) == "q"
    assert not waits_for_a_key(line)
