"""What an id is. Ids are the only text from outside that becomes part of a path.

What passes ``check`` is safe as a file name on every supported filesystem, cannot climb or hide, and contains none of
the separators that ``paths`` uses (``~`` and ``/``). Everything else is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.errors import UsageError
from peercoord.foreign import EXACT_MOST, shown, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

ID_MAX = 64
_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_REST = _FIRST | frozenset("._-")


def is_id(text: object) -> bool:
    """Check whether ``text`` is an id: ``[A-Za-z0-9][A-Za-z0-9._-]{0,63}``."""
    return isinstance(text, str) and 0 < len(text) <= ID_MAX and text[0] in _FIRST and _REST.issuperset(text)


def check(text: object, what: str = "task id") -> str:
    """Return ``text`` as an id, or refuse it. A whole number stands for its decimal digits.

    Args:
        text: A string or a whole number, as people and JSON write ids.
        what: What the id names, for the message.

    Raises:
        UsageError: ``text`` is not an id.
    """
    found = read(text)
    if found:
        return found
    raise UsageError(
        f"{what} {shown(text)} is not allowed",
        hint="ids are letters, digits, '.', '_' and '-', begin with a letter or digit, 64 characters at most",
        code="bad-id",
    )


def typed(text: str, what: str = "task id") -> str:
    """Return an id as people type it: ``#8`` stands for ``8``, as the dashboard shows it."""
    return check(text.removeprefix("#") if is_id(text.removeprefix("#")) else text, what)


def number(task: str) -> int:
    """Return the number that an id spells; 0 if it is not a number, or too large to count on from."""
    is_number = task.isascii() and task.isdigit() and len(task) <= len(str(EXACT_MOST))
    return int(task) if is_number else 0


def meant(name: str, known: Iterable[str]) -> str:
    """Return the known name that is meant: this one, else the only one that differs in case."""
    there = set(known)
    alike = [one for one in there if one.casefold() == name.casefold()]
    return alike[0] if name not in there and len(alike) == 1 else name


def read(value: object) -> str:
    """Read an id from a string or a whole number; empty for anything else."""
    if isinstance(value, str):
        return value if is_id(value) else ""
    number = whole(value)
    return str(number) if number is not None and 0 <= number < 10**ID_MAX else ""


def public(task: str) -> int | str:
    """Return an id as the mission's JSON shows it: ``5`` for ``"5"``, other ids unchanged."""
    return int(task) if task.isdigit() and len(task) <= 15 and (task == "0" or task[0] != "0") else task


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts ``2`` before ``10`` and ``a2`` before ``a10``; total over all ids."""
    parts: list[tuple[int, int, str]] = []
    run = ""
    for at, char in enumerate(text, 1):
        run += char
        if at == len(text) or text[at].isdigit() != char.isdigit():
            parts.append((0, int(run), run) if char.isdigit() else (1, 0, run))
            run = ""
    return tuple(parts)
