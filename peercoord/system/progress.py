"""How far a long piece of work is, for whoever looks. What does the work tells it, and needs not know who looks.

Only a command that a person called looks, and it does one thing at a time; an agent never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Look = Callable[[str, int, int], None]  # called with what is done, and how many of how many items are

T = TypeVar("T")
_looks: list[Look] = []


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Go over items, and tell whoever looks how many are done."""
    for count, item in enumerate(items):
        for look in _looks:
            look(what, count, total)
        yield item
    for look in _looks:
        look(what, total, total)


def begin(look: Look) -> None:
    """Have a function called for each item of all work, from now on."""
    _looks.append(look)


def end(look: Look) -> None:
    """Have it called no longer."""
    _looks.remove(look)
