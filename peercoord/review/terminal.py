"""The review in a terminal: one item after the other, a key for each, until none is left or the person leaves.

What waits is read again before each item: another person, or a merge, may have settled it meanwhile.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections import Counter
from functools import partial
from io import TextIOWrapper
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from peercoord.errors import LostError, PeercoordError
from peercoord.foreign import plain
from peercoord.review import actions, screen
from peercoord.review.actions import PENDING, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import FrameType

    from rich.console import RenderableType

    from peercoord.memory.bank import Decider
    from peercoord.review.items import Item, ReviewQueue

QUIT = "q"
_TAKES = {"1": "left", "2": "right", "b": "both"}
_SUSPEND = "\x1a"  # Ctrl-Z
_ESCAPE_SECONDS = 0.2  # in which the rest of an arrow key arrives over a slow line


class Review:
    """A person going through what waits."""

    def __init__(self, read: Callable[[], ReviewQueue], by: Decider) -> None:
        self.read, self.by = read, by
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal that knows few characters shows others as ?
        self.console = console()
        self.done: list[Result] = []

    def run(self) -> None:
        """Go through every item once; ``done`` says what became of each."""
        seen: list[str] = []
        self._say(f"You decide as {self.by.name}; as someone else: peercoord review --as NAME", "dim")
        while True:
            queue = self.read()
            todo = [item for item in queue.items if item.ident not in seen]
            if not todo:
                return
            seen.append(todo[0].ident)
            done = self._one(queue, todo[0], f"{len(seen)} of {len(seen) - 1 + len(todo)}")
            if done is None:
                return
            self.done.append(done)
            if done.action != PENDING:
                self._say(done.told, "green")
                if done.undo:
                    self._say(f"  undo: {done.undo}", "dim")

    def summary(self, left: int) -> str:
        """Show in one line what was done, and how many items still wait."""
        counted = Counter(done.action for done in self.done if done.action != PENDING)
        parts = [f"{count} {action}" for action, count in counted.items()]
        return ", ".join([*parts, f"{left} left pending" if left else "nothing waits any more"])

    def _one(self, queue: ReviewQueue, item: Item, place: str) -> Result | None:
        """Show an item and act on keys until it is settled or left; ``None`` if the person leaves altogether."""
        known = {key for key, _ in screen.keys(item)}
        whole = True
        while True:
            pressed = key(known, partial(self._draw, item, place, whole))
            self.console.print(pressed)
            if pressed == QUIT:
                return None
            try:
                done = self._act(queue, item, pressed)
            except PeercoordError as error:
                self._say(error.message, "red")
                if error.hint:
                    self._say(f"hint: {error.hint}", "dim")
                if isinstance(error, LostError) or item.ident not in self.read().waiting:
                    return Result(item, PENDING, "settled or changed meanwhile")
                done = None
            if done:
                return done
            whole = pressed == "d"  # else only the keys: what was just said must stay in sight

    def _act(self, queue: ReviewQueue, item: Item, pressed: str) -> Result | None:
        """Do what a key says; ``None`` if the same item is to be shown again."""
        if pressed == "n":
            return Result(item, PENDING)
        if pressed == "d":
            with self.console.capture() as captured:
                for line in screen.full(item):
                    self.console.print(line, soft_wrap=True)
            click.echo_via_pager(captured.get())
            return None
        if pressed == "x":
            reason = ask_line("Why? (the authors are told; nothing: go back) ")
            return actions.reject(queue.bank, item, reason, self.by) if reason else None
        if pressed == "e":
            done = actions.edit(queue.bank, item, self.by, yes)
            if done.action == PENDING:
                self._say(f"{done.detail}: nothing is decided", "yellow")
                return None
            return done
        return actions.take(queue.bank, item, _TAKES[pressed], self.by)

    def _draw(self, item: Item, place: str, whole: bool) -> None:
        columns, lines = size()
        self.console.width = columns
        drawn = screen.draw(item, columns, lines, place, is_plain()) if whole else screen.below(item)
        self.console.print()
        self.console.print(drawn)
        self.console.print(" › ", end="")
        self.console.file.flush()

    def _say(self, text: str, style: str) -> None:
        self.console.print(Text(plain(text), style=style), soft_wrap=True)


def drawn_lines(drawn: RenderableType) -> list[str]:
    """Return what is drawn as lines for the standard output, with the colours its terminal has."""
    to = console()
    with to.capture() as captured:
        to.print(drawn)
    return captured.get().removesuffix("\n").split("\n")


def console() -> Console:
    """Return a console that takes no text for markup, as wide as the window."""
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, width=size()[0])


def is_interactive() -> bool:
    """Check whether a person can be asked: both ends are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def is_plain() -> bool:
    """Check whether the terminal cannot draw lines."""
    return os.environ.get("TERM", "") in ("", "dumb", "unknown") or "utf" not in sys.stdout.encoding.lower()


def size() -> tuple[int, int]:
    """Return the window's columns and lines, as they are now."""
    try:
        found = os.get_terminal_size(1)
    except OSError:
        found = shutil.get_terminal_size()
    return found.columns or 80, found.lines or 24


# -- keys --------------------------------------------------------------------------------------------------------


def key(known: Collection[str] | None, show: Callable[[], object]) -> str:
    """Show something and wait for one of the known keys (``None``: any); ``QUIT`` at the end of the input.

    What was typed before it was shown is dropped: a key pressed twice must not decide on an item not yet seen. It is
    shown again when the window changes its size or the program goes on.
    """
    show()
    while True:
        try:
            typed = _typed()
        except _ResizedError:
            show()
            continue
        if typed == _SUSPEND:
            os.kill(os.getpid(), signal.SIGTSTP)
            show()
        elif typed.startswith("\x1b"):
            time.sleep(_ESCAPE_SECONDS)  # the rest of an arrow key comes in pieces, and the next wait drops it
        elif not typed:
            return QUIT
        elif known is None or typed[0].lower() in known:
            return typed[0].lower()


def yes(question: str) -> bool:
    """Ask a question of yes or no; any other key, and the end of the input, is no."""

    def show() -> None:
        click.echo(f"\r{question} [y/N] ", nl=False)

    pressed = key(None, show)
    click.echo(pressed if pressed.isprintable() else "")
    return pressed == "y"


def ask_line(question: str) -> str:
    """Ask for a line; empty at the end of the input."""
    try:
        return str(click.prompt(question, default="", show_default=False, prompt_suffix="")).strip()
    except click.Abort:
        click.echo()
        return ""


class _ResizedError(Exception):
    """The window changed its size while a key was waited for."""


def _typed() -> str:
    """What was typed in one go; empty at the end of the input."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def resized(_number: int, _: FrameType | None) -> None:
        raise _ResizedError

    handlers = {signal.SIGTERM: leave, signal.SIGHUP: leave, signal.SIGWINCH: resized}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        return click.getchar()
    except (EOFError, OSError):
        return ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
