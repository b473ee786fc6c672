"""Every error a user can meet, sorted by what the one who catches it should do.

Each carries a stable ``code`` for programs, a message that says what, where and who, and a ``hint``: the next
command. Losing a race is not an error; it is a return value. The exit codes are published in the README.
"""

from __future__ import annotations


class PeercoordError(Exception):
    """Something was refused or could not be done; nothing was lost.

    Args:
        message: What happened, where, and who is concerned, in one line.
        hint: The next command or step, without a full stop.
        code: A stable word for programs; defaults to the class's own.
    """

    code = "failed"
    exit_code = 1

    def __init__(self, message: str, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code:
            self.code = code


class UsageError(PeercoordError):
    """The words of the call are off: call again, corrected."""

    code = "usage"
    exit_code = 2


class NotFoundError(PeercoordError):
    """What was named is not there, or is not running."""

    code = "not-found"
    exit_code = 3


class LostError(PeercoordError):
    """The task is in other hands now, or nobody's; asking again is safe."""

    code = "lost"
    exit_code = 4


class EvictedError(LostError):
    """This incarnation was evicted: its claims are revoked and it must rejoin.

    Attributes:
        holders: For each task it held, who holds it now (``None``: nobody).
    """

    code = "evicted"

    def __init__(self, message: str, hint: str = "", holders: dict[str, str | None] | None = None) -> None:
        super().__init__(message, hint)
        self.holders = holders or {}


class BrokenFileError(PeercoordError):
    """A file could not be understood; it was set aside or left as it was, never replaced by an empty one."""

    code = "broken-file"


class StorageError(PeercoordError):
    """The filesystem refused: full, read-only, forbidden, unmounted. Nothing was changed; try again later."""

    code = "storage"
