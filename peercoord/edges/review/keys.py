"""One key press, from a terminal that is as it was before and after, however the wait ends.

Only while a key is waited for is the terminal in another mode: an editor, a pager or a crash never finds it so. What
was typed before something is shown is dropped: a key pressed twice must not decide on what was not seen yet. Ctrl-Z,
Ctrl-C, a hang-up and a termination put the terminal back first.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
import tty
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object]

QUIT = "q"
_ENDS = (signal.SIGTERM, signal.SIGHUP)
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[ -NP-Z\\-~])")
_BEGUN = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)?$")
_PIECE_SECONDS = 0.1


def interactive() -> bool:
    """Tell whether a person can be asked: both ends are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def key(show: Callable[[], None], known: Collection[str] = ()) -> str:
    """Show something, and wait for a key.

    Args:
        show: Shows what is asked; called again when the window has another size or the program was continued. What
            was typed before it is dropped.
        known: The keys that mean something; others are passed over. Empty: any key.

    Returns:
        The key, in lower case; ``QUIT`` at the end of the input.
    """
    terminal = sys.stdin.fileno()
    with _waiting(terminal) as woken:
        show()
        while True:
            ready, _, _ = select.select([terminal, woken], [], [])
            if terminal not in ready:
                os.read(woken, 1024)
                show()
                continue
            typed = _typed(terminal)
            if typed is None:
                return QUIT
            pressed = typed[:1].lower()
            if pressed and (not known or pressed in known):
                return pressed


def _typed(terminal: int) -> str | None:
    """Read what was typed, without arrow and function keys: rows of characters, none of them meant.

    Over a slow line such a row comes in pieces.

    Returns:
        The characters, perhaps none; ``None`` at the end of the input.
    """
    typed = b""
    while True:
        try:
            more = os.read(terminal, 1024)
        except OSError:
            return None
        typed += more
        if not more:
            return None
        if not _BEGUN.search(typed) or not select.select([terminal], [], [], _PIECE_SECONDS)[0]:
            return _BEGUN.sub(b"", _SEQUENCE.sub(b"", typed)).decode("ascii", "replace")


def yes(question: str) -> bool:
    """Ask a question of yes or no; any other key, and the end of the input, is no."""

    def show() -> None:
        sys.stdout.write(f"\r{question} [y/N] ")
        sys.stdout.flush()

    pressed = key(show)
    sys.stdout.write(f"{pressed}\n" if pressed.isprintable() else "\n")
    return pressed == "y"


@contextmanager
def _waiting(terminal: int) -> Iterator[int]:
    """Take keys as they come while the block runs; gives what becomes readable at a signal."""
    before = termios.tcgetattr(terminal)
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
    os.set_blocking(write, False)

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def stop(_number: int, _: FrameType | None) -> None:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        os.kill(os.getpid(), signal.SIGSTOP)
        tty.setcbreak(terminal)

    handlers: dict[int, Handler] = {
        signal.SIGWINCH: lambda *_: None,
        signal.SIGCONT: lambda *_: None,
        signal.SIGTSTP: stop,
        **dict.fromkeys(_ENDS, leave),
    }
    restored = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    woken = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        tty.setcbreak(terminal)
        yield read
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        signal.set_wakeup_fd(woken)
        for number, handler in restored.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)
