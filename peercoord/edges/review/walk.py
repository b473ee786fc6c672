"""The review in a terminal: one change after another, each with its keys, until none is left or the person leaves.

What waits is read anew before each one: another person, or a merge, may have settled it meanwhile. What is drawn
stays above in the window, so that one can see afterwards what was decided.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from functools import partial
from io import TextIOWrapper

from rich.console import Console
from rich.text import Text

from peercoord.core.errors import LostError, PeercoordError
from peercoord.edges.reply import plain
from peercoord.edges.review import deciding, keys, screen
from peercoord.edges.review.deciding import PENDING, Done

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.edges.review.model import View
    from peercoord.edges.review.pile import Pile
    from peercoord.roles.bank import Decider

_TAKES = {"1": "left", "2": "right", "b": "both"}


class Walk:
    """A person going through what waits.

    Args:
        fresh: Reads what waits.
        by: Who decides.
    """

    def __init__(self, fresh: Callable[[], Pile], by: Decider) -> None:
        self.fresh, self.by = fresh, by
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal that knows few characters shows others as ?
        self.console = Console(highlight=False, markup=False, emoji=False)
        self.frame = screen.ASCII if dumb() else screen.ROUND
        self.done: list[Done] = []

    def run(self) -> list[Done]:
        """Go through everything once; gives what was done, what was left pending too."""
        seen: list[str] = []
        self._say(f"You decide as {self.by.name}; as someone else: peercoord review --as NAME", "dim")
        while True:
            pile = self.fresh()
            todo = [view for view in pile.views if view.ident not in seen]
            if not todo:
                break
            seen.append(todo[0].ident)
            place = f"{len(seen)} of {len(seen) - 1 + len(todo)}"
            done = self._one(pile, todo[0], place)
            if done is None:
                break
            self.done.append(done)
            if done.action != PENDING:
                self._say(done.told, "green")
        return self.done

    def summary(self, left: int) -> str:
        """Say in one line what was done.

        Args:
            left: How much waits on.
        """
        counted = Counter(done.action for done in self.done if done.action != PENDING)
        parts = [f"{count} {action}" for action, count in counted.items()]
        return ", ".join([*parts, f"{left} left pending" if left else "nothing waits any more"])

    def _one(self, pile: Pile, view: View, place: str) -> Done | None:
        """Show one and act on keys until it is settled or left; ``None`` if the person leaves altogether."""
        known = {key for key, _ in screen.keys(view)}
        show = partial(self._draw, view, place)
        while True:
            pressed = keys.key(show, known)
            self.console.print(pressed)
            if pressed == keys.QUIT:
                return None
            try:
                done = self._act(pile, view, pressed)
            except PeercoordError as error:
                self._trouble(error)
                if isinstance(error, LostError) or not self.fresh().holds(view.ident):
                    return Done(view, PENDING, "settled or changed meanwhile")
                done = None
            if done:
                return done
            # what was just said must stay in sight
            show = partial(self._draw if pressed == "d" else self._ask, view, place)

    def _act(self, pile: Pile, view: View, pressed: str) -> Done | None:
        """Do what a key says; ``None`` if the same one is to be shown again."""
        if pressed == "n":
            return Done(view, PENDING)
        if pressed == "d":
            self._page(screen.full(view))
            return None
        if pressed == "x":
            reason = self._line("Why? (the authors are told; nothing: go back) ")
            return deciding.reject(pile, view, reason, self.by) if reason else None
        if pressed == "e":
            done = deciding.edit(pile.bank, view, self.by, keys.yes, os.environ)
            if done.action == PENDING:
                self._say(f"{done.detail}: nothing is decided", "yellow")
                return None
            return done
        return deciding.take(pile.bank, view, _TAKES.get(pressed, ""), self.by)

    # -- talking -------------------------------------------------------------------------------------------------

    def _draw(self, view: View, place: str) -> None:
        columns, lines = size()
        self.console.print()
        for line in screen.draw(view, columns, lines, place, self.frame):
            self.console.print(line, soft_wrap=True)
        self._prompt()

    def _ask(self, view: View, _place: str) -> None:
        """Show the keys alone."""
        for line in screen.below(view, size()[0]):
            self.console.print(line, soft_wrap=True)
        self._prompt()

    def _prompt(self) -> None:
        self.console.print(" › ", end="")
        self.console.file.flush()

    def _page(self, lines: list[Text]) -> None:
        import click

        click.echo_via_pager(rendered(lines, self.console))

    def _line(self, question: str) -> str:
        self.console.print(question, end="")
        self.console.file.flush()
        try:
            return input().strip()
        except EOFError:
            self.console.print()
            return ""

    def _say(self, text: str, style: str) -> None:
        self.console.print(Text(plain(text), style=style), soft_wrap=True)

    def _trouble(self, error: PeercoordError) -> None:
        self._say(error.message, "red")
        if error.hint:
            self._say(f"hint: {error.hint}", "dim")


def rendered(lines: list[Text], console: Console) -> str:
    """Give lines as they are written to the console's terminal, with the colours it has."""
    with console.capture() as captured:
        for line in lines:
            console.print(line, soft_wrap=True)
    return captured.get()


def dumb() -> bool:
    """Tell whether the terminal knows neither colours nor drawing, or not the characters for it."""
    return os.environ.get("TERM", "") in ("", "dumb", "unknown") or "utf" not in sys.stdout.encoding.lower()


def size() -> tuple[int, int]:
    """Give the window's columns and lines, as they are now."""
    try:
        found = os.get_terminal_size(1)
    except OSError:
        found = shutil.get_terminal_size()
    return found.columns or 80, found.lines or 24
