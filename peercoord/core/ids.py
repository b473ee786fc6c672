"""Identifiers: the only text from outside that ever becomes part of a path.

Promise: what passes ``check`` is safe as a file name on every supported filesystem, cannot climb or hide, and
contains none of the separators that ``names`` uses (``~`` and ``/``). Everything else is refused at the door.
"""

from __future__ import annotations

from peercoord.core.errors import UsageError

ID_MAX = 64
_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_REST = _FIRST | frozenset("._-")


def is_id(text: object) -> bool:
    """Tell whether ``text`` is an id: ``[A-Za-z0-9][A-Za-z0-9._-]{0,63}``."""
    return isinstance(text, str) and 0 < len(text) <= ID_MAX and text[0] in _FIRST and _REST.issuperset(text)


def check(text: object, what: str = "task id") -> str:
    """Return ``text`` as an id, or refuse it. Whole numbers are taken as their decimal digits.

    Args:
        text: A string or a whole number, as people and JSON write ids.
        what: What the id names, for the message.

    Raises:
        UsageError: ``text`` is no id. Only its printable form stands in the message.
    """
    if isinstance(text, int) and not isinstance(text, bool) and 0 <= text < 10**ID_MAX:
        text = str(text)
    if isinstance(text, str) and is_id(text):
        return text
    raise UsageError(
        f"{what} {shown(text)} is not allowed",
        hint="ids are letters, digits, '.', '_' and '-', begin with a letter or digit, 64 characters at most",
        code="bad-id",
    )


def shown(text: object, most: int = 80) -> str:
    """Quote text from outside for a message: no control character survives, long text is cut."""
    try:
        plain = ascii(text) if not isinstance(text, str) else ascii(text)[1:-1]
    except ValueError:  # a number of more digits than Python will write out
        plain = f"{type(text).__name__} too long to show"
    return f"'{plain[:most]}…'" if len(plain) > most else f"'{plain}'"


def public(task: str) -> int | str:
    """Give an id as the mission's JSON shows it: ``5`` for ``"5"``, other ids as they are."""
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
