"""What is shown of a change that waits, gathered once: who said what, for which task, when, and since when it waits."""

from __future__ import annotations

import calendar
import time
from dataclasses import dataclass

from peercoord.core.memory import conflicts, outcome, sections
from peercoord.edges.reply import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.core.memory.contributions import Contribution
    from peercoord.core.memory.outcome import Side
    from peercoord.roles.bank import Missing, Waiting

SHORT_HASH = 7


@dataclass(frozen=True, slots=True)
class Said:
    """One side, as it is shown.

    Attributes:
        label: Whose it is.
        about: For which task, when, how long; for people.
        text: The section's text on this side.
    """

    label: str
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class View:
    """A change that waits, or merged text that is gone, ready to be drawn. Text in it is as it came.

    Attributes:
        ident: Id.
        number: The number under which it is listed; 0 if none could be given.
        place: Document and section.
        why: Why it waits.
        base: The text both sides started from.
        base_about: Which text that is, for people.
        sides: The sides: two that differ; one if it merges cleanly, or is gone.
        proposed: The text with conflict markers; empty if there is nothing to settle.
        marker: Length of these markers.
        takes: The section's text for each choice; empty for text that is gone.
        days: For how long what is decided can be undone.
    """

    ident: str
    number: int
    place: str
    why: str
    base: str
    base_about: str
    sides: tuple[Said, ...]
    proposed: str
    marker: int
    takes: dict[str, str]
    days: int

    @property
    def gone(self) -> bool:
        """It is merged text that vanished."""
        return not self.takes

    @property
    def conflict(self) -> bool:
        """Two sides differ."""
        return len(self.sides) > 1

    @property
    def called(self) -> str:
        """What to call it on the command line: its number, else its id."""
        return f"#{self.number}" if self.number else self.ident


def waiting(one: Waiting, number: int, contribution: Callable[[str], Contribution | None], now: str, days: int) -> View:
    """Gather what is shown of a candidate.

    Args:
        one: What waits.
        number: Its number in the list.
        contribution: Gives a contribution by its id.
        now: The moment, RFC 3339.
        days: For how long decisions can be undone.
    """
    candidate = one.candidate
    members = [found for found in map(contribution, candidate.members) if found]
    sides = [candidate.left, candidate.right] if candidate.conflict else [candidate.right]
    kind = "critical: " if candidate.critical and "critical" not in candidate.why else ""
    return View(
        candidate.id,
        number,
        place(candidate.document, candidate.section, candidate.occurrence),
        f"{kind}{candidate.why}",
        candidate.base,
        _base_about(members, one.made_at, now),
        tuple(_said(side, members, now) for side in sides),
        candidate.proposed if candidate.conflict else "",
        conflicts.marker_size(candidate.base, candidate.takes["both"]),
        candidate.takes,
        days,
    )


def missing(one: Missing, number: int, now: str, days: int) -> View:
    """Gather what is shown of merged text that is gone."""
    made = one.contribution
    text = "\n".join(one.vanished.lines)
    about = ", ".join(part for part in (_task(made.task), f"merged by {one.vanished.entry}") if part)
    return View(
        one.id,
        number,
        place(one.document, one.vanished.section, one.vanished.occurrence),
        "merged text is no longer there: someone took it out, or git brought an older state back",
        text,
        f"written {when(made.time, now)}",
        (Said(made.peer, about, ""),),
        "",
        0,
        {},
        days,
    )


def place(document: str, section: tuple[str, ...], occurrence: int = 1) -> str:
    """Name a place in the bank."""
    return f"{document} › {sections.shown(section, occurrence)}" if section else document


def when(at: str, now: str) -> str:
    """Write a time for people: the reader's own clock, the day only if it is another one."""
    try:
        moment, today = (time.localtime(_seconds(text)) for text in (at, now))
    except ValueError:
        return plain(at)
    same = moment[:3] == today[:3]
    return time.strftime("%H:%M" if same else "%Y-%m-%d %H:%M", moment)


def _seconds(at: str) -> int:
    return calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S"))


def _base_about(members: list[Contribution], made_at: str, now: str) -> str:
    known = next((one.base for one in reversed(members) if one.kind == "update" and one.base), "")
    named = f"base {known[:SHORT_HASH]}" if known else "base"
    return f"{named}, waits since {when(made_at, now)}"


def _said(side: Side, members: list[Contribution], now: str) -> Said:
    own = [one for one in members if (one.peer, one.task) in side.authors]
    tasks = list(dict.fromkeys(task for _, task in side.authors if task))
    latest = max((one.time for one in own), default="")
    lines = side.text.count("\n") + 1 if side.text else 0
    parts = [
        ", ".join(map(_task, tasks)),
        when(latest, now) if latest else "",
        f"{lines} line{'' if lines == 1 else 's'}",
    ]
    label = side.label if side.label != outcome.BANK else "memory bank, as it stands"
    return Said(label, ", ".join(part for part in parts if part), side.text)


def _task(task: str) -> str:
    return f"task {task}" if task else ""
