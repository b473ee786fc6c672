"""How far long work is. The code that does it goes over its items with ``track``; a command may show the count.

Only a command that a person called shows it, and it does one thing at a time; an agent never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Look = Callable[[str, int, int], None]  # called with the name of the work, the items done, and all items

T = TypeVar("T")
_looks: list[Look] = []


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Go over items, and report before each how many are done."""
    for count, item in enumerate(items):
        for look in _looks:
            look(what, count, total)
        yield item
    for look in _looks:
        look(what, total, total)


def begin(look: Look) -> None:
    """Call a function for each item of all work, from now on."""
    _looks.append(look)


def end(look: Look) -> None:
    """Call it no longer."""
    _looks.remove(look)
