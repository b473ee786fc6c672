"""How a command answers: text for people, or one JSON envelope; messages on stderr; published exit codes.

    {"schema_version": 1, "data": …}      {"schema_version": 1, "error": {"code", "message", "hint"}}

Text that came from tasks, agents or people is made harmless before it reaches a terminal: a title may not move the
cursor, set a colour or forge a line.
"""

from __future__ import annotations

import os
import sys

from peercoord.core import records
from peercoord.core.errors import PeercoordError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from peercoord.core.records import Json

SCHEMA_VERSION = 1


def plain(text: object) -> str:
    """Make text from outside harmless for a terminal: control characters become ``·``, lines become one."""
    return "".join(c if c.isprintable() else ("·" if c not in "\n\t\r" else " ") for c in str(text))


def answer(data: Json, lines: Iterable[str], as_json: bool) -> None:
    """Print what a command found.

    Args:
        data: For programs.
        lines: For people; only asked for when they are wanted.
        as_json: Which of the two.
    """
    if as_json:
        sys.stdout.buffer.write(records.encode({"schema_version": SCHEMA_VERSION, "data": data}))
        sys.stdout.flush()
        return
    for line in lines:
        sys.stdout.write(f"{line}\n")


def warn(message: str) -> None:
    """Say something on stderr, where it disturbs no program, unless the caller wants quiet."""
    if not os.environ.get("PEERCOORD_QUIET"):
        sys.stderr.write(f"peercoord: {message}\n")


def fail(error: PeercoordError, as_json: bool) -> NoReturn:
    """Print an error, with the next step, and end with its exit code."""
    if as_json:
        body = {"code": error.code, "message": error.message, "hint": error.hint}
        sys.stdout.buffer.write(records.encode({"schema_version": SCHEMA_VERSION, "error": body}))
    else:
        sys.stderr.write(f"peercoord: {plain(error.message)}\n")
        if error.hint:
            sys.stderr.write(f"hint: {plain(error.hint)}\n")
    sys.stdout.flush()
    raise SystemExit(error.exit_code)
