"""Keys over a slow line."""

from __future__ import annotations

import array
import fcntl
import os
import pty
import termios
import threading
import tty

import pytest

from peercoord.edges.review import keys


def pending(terminal: int) -> int:
    """How many bytes wait to be read."""
    count = array.array("i", [0])
    fcntl.ioctl(terminal, termios.FIONREAD, count)
    return count[0]


@pytest.mark.parametrize(
    ("pieces", "typed"),
    [
        ([b"\x1b", b"[", b"2", b"~q"], "q"),
        ([b"\x1b", b"O", b"Pn"], "n"),
        ([b"1"], "1"),
        ([b"\x1b[1;5A"], ""),
        ([b"\xc3\xa9"], "\ufffd\ufffd"),
    ],
)
def test_an_arrow_key_that_comes_in_pieces_is_no_key(
    pieces: list[bytes], typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the ``2`` in it would take a side."""
    monkeypatch.setattr(keys, "_PIECE_SECONDS", 30.0)
    master, slave = pty.openpty()
    tty.setcbreak(slave)
    paced = threading.Event()

    def feed() -> None:
        for piece in pieces:
            while pending(slave):
                paced.wait(0.001)
            os.write(master, piece)

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert keys._typed(slave) == typed
    feeder.join()
    for end in (master, slave):
        os.close(end)
