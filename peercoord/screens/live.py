"""Show lines again and again, whenever what they show changes, until a person has seen enough.

On a terminal they are redrawn in place, on a screen of their own; elsewhere they are written once for each change.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from peercoord.screens.watching import SHARE, Watching
from peercoord.status.screen import written
from peercoord.system import streams, terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from peercoord.foreign import Json
    from peercoord.store.root import Root

    Show = Callable[[Sequence[Text], bool], None]

T = TypeVar("T")

QUIT_KEYS = b"qQ\x03\x04"
AGES_SECONDS = 1.0  # between two drawings of the same, whose ages grow


@dataclass(frozen=True)
class Look(Generic[T]):
    """What was read at one moment.

    Attributes:
        seen: What is drawn.
        mark: Differs from that of the last look if something changed that no directory shows, such as a silence.
        records: The records of peers, whose processes are watched.
    """

    seen: T
    mark: Hashable
    records: Sequence[Json]


def watch(root: Root, look: Callable[[], Look[T]], draw: Callable[[T, bool], Sequence[Text]]) -> None:
    """Look and draw at each change, until a person presses ``q``.

    Args:
        root: The coordination directory.
        look: Reads everything that is shown.
        draw: Draws what was read; told whether something has just changed.
    """
    watching, ended = Watching(root), threading.Event()
    try:
        with _ended_by_signals(), _keys(ended, watching.wake), _shown() as show:
            watching.renew()
            mark, changed = None, True
            while not ended.is_set():
                began = time.monotonic()
                found = look()
                changed, mark = changed or found.mark != mark, found.mark
                watching.renew(found.records)
                show(draw(found.seen, changed), changed)
                due = time.monotonic() + watching.pause(time.monotonic() - began)
                changed = _waited(watching, due, partial(_redraw, show, draw, found.seen), ended)
    finally:
        watching.close()


def _redraw(show: Show, draw: Callable[[T, bool], Sequence[Text]], seen: T) -> None:
    show(draw(seen, False), False)


def _waited(watching: Watching, due: float, redraw: Callable[[], None], ended: threading.Event) -> bool:
    """Wait for a change until a moment, and let the ages on the screen grow meanwhile; return whether one came."""
    pause = AGES_SECONDS
    while not ended.is_set() and (now := time.monotonic()) < due:
        if watching.wait(min(pause, due - now)):
            return True
        began = time.monotonic()
        redraw()
        pause = max(AGES_SECONDS, SHARE * (time.monotonic() - began))
    return False


@contextmanager
def _shown() -> Iterator[Show]:
    """Return what shows lines: in place on a terminal, elsewhere one after the other where they changed."""
    if not terminal.is_shown():
        yield lambda lines, changed: _print(lines) if changed else None
        return
    console = Console(no_color=not terminal.has_colours(), highlight=False)
    drawn: list[object] = []

    def show(lines: Sequence[Text], _: bool) -> None:
        now = [*_fitting(lines, console.height), console.width]
        if now != drawn:
            drawn[:] = now
            live.update(Group(*_fitting(lines, console.height)), refresh=True)

    with Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield show


def _fitting(lines: Sequence[Text], height: int) -> Sequence[Text]:
    if len(lines) <= height:
        return lines
    return [*lines[: height - 1], Text(f"… {len(lines) - height + 1} more lines: make the window higher", "dim")]


def _print(lines: Sequence[Text]) -> None:
    error = streams.deliver("".join(f"{line}\n" for line in [*written(lines), ""]).encode())
    if error is not None:
        raise BrokenPipeError from error


@contextmanager
def _keys(ended: threading.Event, wake: Callable[[], None]) -> Iterator[None]:
    """Read keys from the terminal in a thread, and leave the terminal as it was."""
    try:
        import termios
        import tty

        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
    except (ImportError, OSError, ValueError, termios.error):  # no terminal: a signal ends it
        yield
        return

    def read() -> None:
        with suppress(OSError):
            while key := os.read(handle, 1):
                if key in QUIT_KEYS:
                    break
        ended.set()
        wake()

    tty.setcbreak(handle)
    threading.Thread(target=read, daemon=True).start()
    try:
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End in order, with the terminal as it was, when a signal asks for it."""

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    asked = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
