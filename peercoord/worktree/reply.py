"""What a command answers: text for people, or one JSON envelope; messages on stderr; an exit code.

    {"schema_version": 1, "data": …}      {"schema_version": 1, "error": {"code", "message", "hint"}}

A command returns a ``Reply``. The command line prints it; the agent sends it through the mailbox. Text from tasks,
agents and people is made safe before it reaches a terminal: a title must not move the cursor, set a colour or forge a
line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError, UsageError
from peercoord.foreign import plain
from peercoord.store import records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.foreign import Json

SCHEMA_VERSION = 1


@dataclass(slots=True)
class Reply:
    """The answer of a command."""

    data: Json  # for programs
    lines: list[str] = field(default_factory=list)  # for people
    notes: list[str] = field(default_factory=list)  # messages for stderr
    code: int = 0  # the exit code
    error: PeercoordError | None = None  # the error that the command failed with

    @classmethod
    def of(cls, error: PeercoordError, notes: Iterable[str] = ()) -> Reply:
        """Return the reply that tells an error."""
        return cls({}, notes=list(notes), code=error.exit_code, error=error)

    def render(self, as_json: bool, quiet: bool = False) -> tuple[int, bytes, bytes]:
        """Return the exit code, standard output and standard error."""
        out: list[str] = []
        err = [] if quiet else [f"peercoord: {plain(note)}" for note in self.notes]
        error, body = self.error, {"data": self.data}
        if error is not None:
            body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        if as_json:
            return self.code, records.encode({"schema_version": SCHEMA_VERSION, **body}), "\n".join([*err, ""]).encode()
        if error is None:
            out = self.lines
        else:
            err += error.usage.split("\n") if isinstance(error, UsageError) and error.usage else []
            err += [f"peercoord: {plain(error.message)}", *([f"hint: {plain(error.hint)}"] if error.hint else [])]
        return self.code, "\n".join([*out, ""]).encode(), "\n".join([*err, ""]).encode()
