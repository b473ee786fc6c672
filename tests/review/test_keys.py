"""Keys over a slow line."""

from __future__ import annotations

import array
import fcntl
import os
import termios
import threading

import pytest

from peercoord.edges.review import keys


def pending(line: int) -> int:
    """How many bytes wait to be read."""
    count = array.array("i", [0])
    fcntl.ioctl(line, termios.FIONREAD, count)
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
    line, far = os.pipe()
    paced = threading.Event()

    def feed() -> None:
        for piece in pieces:
            while pending(line):
                paced.wait(0.001)
            os.write(far, piece)

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert keys._typed(line) == typed
    feeder.join()
    for end in (line, far):
        os.close(end)
