"""What a check found."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.records import Json

GOOD, WARNING, BAD = "ok", "warning", "bad"


class Finding:
    """One line of the doctor's report.

    Attributes:
        about: What was checked.
        state: ``ok``, ``warning`` (works, but look) or ``bad`` (does not work, or must not be trusted).
        text: What was found.
        fix: The command that mends it; empty if nothing needs mending.
    """

    __slots__ = ("about", "fix", "state", "text")

    def __init__(self, about: str, state: str, text: str, fix: str = "") -> None:
        self.about, self.state, self.text, self.fix = about, state, text, fix

    def record(self) -> Json:
        """Give it for programs."""
        return {"check": self.about, "state": self.state, "text": self.text, "fix": self.fix}


def good(about: str, text: str) -> Finding:
    """All is well."""
    return Finding(about, GOOD, text)


def warning(about: str, text: str, fix: str = "") -> Finding:
    """It works, but someone should look."""
    return Finding(about, WARNING, text, fix)


def bad(about: str, text: str, fix: str = "") -> Finding:
    """It does not work, or must not be trusted."""
    return Finding(about, BAD, text, fix)
