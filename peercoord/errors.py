"""The errors a user can meet, sorted by what the caller should do.

Each has a stable ``code`` for programs, a message that says what failed and why, and a ``hint``: the next command.
Losing a race is a return value, not an error. The README lists the exit codes.
"""

from __future__ import annotations


class PeercoordError(Exception):
    """An operation was refused or failed; nothing was lost.

    Args:
        message: What failed and why, in one line.
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
    """The call is wrong: correct it and call again.

    Attributes:
        usage: How the command is used, to be shown before the message; empty if that would not help.
    """

    code = "usage"
    exit_code = 2
    usage = ""


class NotFoundError(PeercoordError):
    """What was named does not exist, or is not running."""

    code = "not-found"
    exit_code = 3


class DownError(NotFoundError):
    """A person took the team down: no peer joins, claims or reports until it is up again."""

    code = "down"


class LostError(PeercoordError):
    """Another peer holds the task now, or none does; asking again is safe."""

    code = "lost"
    exit_code = 4


class EvictedError(LostError):
    """This incarnation was evicted: its claims are revoked and it must rejoin.

    Attributes:
        holders: For each task it held, the peer that holds it now; ``None`` if none does.
    """

    code = "evicted"

    def __init__(self, message: str, hint: str = "", holders: dict[str, str | None] | None = None) -> None:
        super().__init__(message, hint)
        self.holders = holders or {}


class StoppedError(PeercoordError):
    """A person interrupted the command; the message says how far it came."""

    code = "interrupted"
    exit_code = 130


class BrokenFileError(PeercoordError):
    """A file could not be understood; it was set aside or left in place, never replaced by an empty one."""

    code = "broken-file"


class StorageError(PeercoordError):
    """The filesystem refused: full, read-only, forbidden or unmounted. Nothing was changed; try again later."""

    code = "storage"
