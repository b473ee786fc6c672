"""How a command answers: text for people, or one JSON envelope; messages on stderr; published exit codes.

    {"schema_version": 1, "data": …}      {"schema_version": 1, "error": {"code", "message", "hint"}}

A command returns a ``Reply``; the command line prints it, the background agent sends it through the inbox. Text that
came from tasks, agents or people is made harmless before it reaches a terminal: a title may not move the cursor, set
a colour or forge a line.
"""

from __future__ import annotations

from peercoord.core import records
from peercoord.core.errors import PeercoordError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.core.records import Json

SCHEMA_VERSION = 1


class Reply:
    """What a command has to say.

    Args:
        data: For programs.
        lines: For people.
        notes: Messages beside the answer, for stderr.
        code: Exit code.
    """

    def __init__(self, data: Json, lines: Iterable[str] = (), notes: Iterable[str] = (), code: int = 0) -> None:
        self.data = data
        self.lines = list(lines)
        self.notes = list(notes)
        self.code = code
        self.error: PeercoordError | None = None

    @classmethod
    def of(cls, error: PeercoordError, notes: Iterable[str] = ()) -> Reply:
        """Make the reply that tells an error."""
        reply = cls({}, notes=notes, code=error.exit_code)
        reply.error = error
        return reply

    def render(self, as_json: bool, quiet: bool = False) -> tuple[int, bytes, bytes]:
        """Give exit code, standard output and standard error."""
        out: list[str] = []
        err = [] if quiet else [f"peercoord: {plain(note)}" for note in self.notes]
        if self.error:
            err += [] if as_json else _told(self.error)
        elif not as_json:
            out = self.lines
        body = self._envelope() if as_json else "".join(f"{line}\n" for line in out).encode()
        return self.code, body, "".join(f"{line}\n" for line in err).encode()

    def _envelope(self) -> bytes:
        if self.error is None:
            return records.encode({"schema_version": SCHEMA_VERSION, "data": self.data})
        error = {"code": self.error.code, "message": self.error.message, "hint": self.error.hint}
        return records.encode({"schema_version": SCHEMA_VERSION, "error": error})


def _told(error: PeercoordError) -> list[str]:
    return [f"peercoord: {plain(error.message)}", *([f"hint: {plain(error.hint)}"] if error.hint else [])]


def plain(text: object) -> str:
    """Make text from outside harmless for a terminal: control characters become ``·``, lines become one."""
    return "".join(c if c.isprintable() else (" " if c in "\n\t\r" else "·") for c in str(text))


def block(text: object, indent: str = "  ") -> list[str]:
    """Make a text of several lines harmless for a terminal, keeping its lines."""
    return [f"{indent}{plain(line)}".rstrip() for line in str(text).splitlines()]


def bar(share: float, cells: int = 10) -> str:
    """Draw progress as the mission's dashboard does: ``███████░░░``."""
    full = min(cells, max(0, int(share * cells + 0.5)))
    return "█" * full + "░" * (cells - full)


def percent(share: float) -> str:
    """Write progress in whole percent; never 100 % before all is done."""
    return f"{min(99, int(share * 100 + 0.5)) if share < 1 else 100}%"
