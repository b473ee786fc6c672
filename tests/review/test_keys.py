"""Keys over a slow line."""

from __future__ import annotations

import os
import pty
import sys
import termios
import threading
from collections.abc import Iterator

import pytest

from peercoord.review import terminal

PACE = threading.Event()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The far end of a terminal that is this process's standard input."""
    far, near = pty.openpty()
    with os.fdopen(near) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield far
    os.close(far)


def waits_for_a_key(line: int) -> bool:
    """Whether the terminal is in raw mode."""
    return not termios.tcgetattr(line)[3] & termios.ICANON


@pytest.mark.parametrize(
    "pieces",
    [[b"\x1b", b"[", b"2", b"~"], [b"\x1b", b"O", b"P"], [b"\x1b[1;5A"], [b"\xc3\xa9"], [b"8"]],
)
def test_an_arrow_key_that_comes_in_pieces_is_no_key(pieces: list[bytes], line: int) -> None:
    """Else the ``2`` in it would take a side."""

    def feed() -> None:
        while not waits_for_a_key(line):
            PACE.wait(0.001)
        os.write(line, pieces[0])
        for piece in pieces[1:]:  # while the rest of the sequence is waited for
            while waits_for_a_key(line):
                PACE.wait(0.001)
            os.write(line, piece)
        PACE.wait(2 * terminal._ESCAPE_SECONDS)
        os.write(line, b"q")

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert terminal.key({"1", "2", "q", "o", "p"}, lambda: None) == "q"
    feeder.join()
    assert not waits_for_a_key(line)


def test_what_was_typed_before_it_was_shown_is_dropped(line: int) -> None:
    def show() -> None:
        os.write(line, b"2\n")
        feeder.start()

    def feed() -> None:
        while not waits_for_a_key(line):
            PACE.wait(0.001)
        os.write(line, b"1")

    feeder = threading.Thread(target=feed)
    assert terminal.key({"1", "2"}, show) == "1"
    feeder.join()
