"""Show how far a long command is: a bar on a terminal, plain lines elsewhere, nothing if it is to be quiet.

All of it goes to standard error. Short work shows nothing.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from peercoord.system import progress, streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

BAR_AFTER_SECONDS = 0.5
LINE_EVERY_SECONDS = 5.0

_views: list[Bar | Lines] = []


class Bar:
    """A bar at the bottom of a terminal; it leaves nothing behind."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.drawn: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def look(self, what: str, done: int, total: int) -> None:
        """Draw how far the work is."""
        if self.drawn is None:
            if time.monotonic() - self.began < BAR_AFTER_SECONDS:
                return
            self.drawn = _drawn()
            self.drawn.start()
        if what not in self._tasks:
            self._tasks[what] = self.drawn.add_task(what, total=total)
        self.drawn.update(self._tasks[what], completed=done, total=total, visible=done < total)

    def close(self) -> None:
        """Take the bar away."""
        if self.drawn is not None:
            self.drawn.stop()


class Lines:
    """A line on standard error every few seconds."""

    drawn = None

    def __init__(self) -> None:
        self.last = time.monotonic()

    def look(self, what: str, done: int, total: int) -> None:
        """Write how far the work is, if it was not written just now."""
        if time.monotonic() - self.last >= LINE_EVERY_SECONDS:
            self.last = time.monotonic()
            streams.say(f"peercoord: {what}: {done} of {total}\n".encode())

    def close(self) -> None:
        """Leave the lines."""


@contextmanager
def shown(quiet: bool) -> Iterator[None]:
    """Show how far the work of a block is, unless it is to be quiet."""
    if quiet:
        yield
        return
    view = Bar() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else Lines()
    _views.append(view)
    progress.begin(view.look)
    try:
        yield
    finally:
        progress.end(view.look)
        _views.remove(view)
        view.close()


def say(text: str, error: bool = False) -> None:
    """Show a line above the bar, if there is one: on standard output, or on standard error."""
    drawn = _views[-1].drawn if _views else None
    if drawn is not None and (error or sys.stdout.isatty()):
        from rich.text import Text

        drawn.console.print(Text(text))
    elif error:
        streams.say(f"{text}\n".encode())
    else:
        streams.show(text)


def _drawn() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True, highlight=False)
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
