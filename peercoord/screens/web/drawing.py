"""Draw the pages from templates. Every text is data: escaped, and without characters that steer or hide.

The same templates make the pages and the report; only where their links lead differs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from peercoord.foreign import plain
from peercoord.status import dashboard
from peercoord.status.attempts import HELD
from peercoord.status.sentences import sentence
from peercoord.store import paths
from peercoord.store.records import percent
from peercoord.system import clock as system_clock

if TYPE_CHECKING:
    from collections.abc import Sequence


PAGES = {
    "board": ("/", "Board"),
    "tasks": ("/tasks", "Tasks"),
    "instances": ("/instances", "Instances"),
    "timeline": ("/timeline", "Timeline"),
    "progress": ("/progress", "Progress"),
    "graph": ("/graph", "Graph"),
    "memory": ("/memory", "Memory"),
}
"""Each page's address and its name."""
STATE_CLASS = {
    "working": "good",
    "waiting": "calm",
    "idle": "dim",
    "no-session": "dim",
    "limited": "held",
    "gone": "bad",
    "turn-failed": "bad",
    **dict.fromkeys(("permission", "asks", "silent", "stuck"), "ask"),
}
"""The colour of each state of an instance."""


@dataclass
class Site:
    """Where links lead, and what may be done.

    Attributes:
        report: Everything is in one file.
        actions: The page may change things; ``csrf`` is then the token of its forms.
        home: The path that all pages lie below.
    """

    report: bool = False
    actions: bool = False
    csrf: str = ""
    home: str = ""
    here: str = "/"
    now: str = ""

    @property
    def pages(self) -> dict[str, tuple[str, str]]:
        """The pages in the menu."""
        return {
            name: (f"#{name}" if self.report else f"{self.home}{path}", word) for name, (path, word) in PAGES.items()
        }

    def page(self, name: str, /, **query: str) -> str:
        """The address of a page."""
        if self.report:
            return f"#{name}"
        asked = "&".join(f"{key}={quote(value)}" for key, value in query.items())
        return self.home + PAGES[name][0] + (f"?{asked}" if asked else "")

    def task(self, task: str) -> str:
        """The address of a task."""
        return f"#task-{quote(task)}" if self.report else f"{self.home}/task/{quote(task, safe='')}"

    def instance(self, name: str) -> str:
        """The address of an instance."""
        return f"#instance-{quote(name)}" if self.report else f"{self.home}/instance/{quote(name, safe='')}"

    def age(self, then: str) -> Markup:
        """The age of a moment, which a page keeps up to date."""
        said = dashboard.age(then, self.now)
        if not said:
            return Markup("")
        return Markup('<time datetime="{}" title="{}" data-age>{}</time>').format(plain(then), local(then), said)

    def until(self, then: str) -> Markup:
        """When something ends, by the clock of this machine."""
        return Markup('<time datetime="{}">{}</time>').format(plain(then), local(then)[11:16])

    def at(self, then: str) -> Markup:
        """A moment by the clock of this machine."""
        return Markup('<time datetime="{}">{}</time>').format(plain(then), local(then)) if then else Markup("")


def local(then: str) -> str:
    """Write a moment by the clock of this machine."""
    return system_clock.local(then) or plain(then)


def lasted(start: str, end: str) -> str:
    """How long something took: ``41m``; empty if that is not known."""
    return dashboard.age(start, end) if start and end else ""


def span(began: str, ended: str) -> str:
    """When something began and ended, by the clock of this machine: ``2026-11-29 22:10–23:05``."""
    start, end = local(began)[:16], local(ended)[:16] if ended else ""
    if not end:
        return f"since {start}"
    return start if end == start else f"{start}–{end.removeprefix(start[:11])}"


def duration(count: int) -> str:
    """Write how long something took: ``2h 5m``."""
    hours, minutes = divmod(count // 60, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m" if minutes else f"{count}s"


def clock(when: int) -> str:
    """Write a moment, in seconds since the epoch, by the clock of this machine."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def safe(value: object) -> object:
    """Make a text that a template puts out safe: what escaping leaves is characters that steer, reorder or hide."""
    if isinstance(value, str) and not hasattr(value, "__html__") and not value.isprintable():
        return "\n".join(map(plain, value.split("\n")))
    return value


def share(value: object) -> float:
    """Read a share, 0 … 1."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if known else 0.0  # type: ignore[arg-type]


def texts(value: object) -> list[str]:
    """Read a list of texts from a record."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


@cache
def environment() -> Environment:
    """The templates, and what they call."""
    made = Environment(
        loader=PackageLoader("peercoord.screens.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "overall": dashboard.overall, "share": share, "texts": texts}
    made.filters |= {"outcome": lambda outcome: "in hand" if outcome == HELD else outcome}
    made.globals |= {"state_class": STATE_CLASS.get, "typed": dashboard.typed, "lasted": lasted, "span": span}
    made.globals |= {"sentence": sentence, "duration": duration, "clock": clock, "counted": dashboard.tasks}
    made.globals |= {"parked": paths.PARKED_WHY}
    return made


def draw(template: str, site: Site, **facts: object) -> str:
    """Draw a template."""
    return environment().get_template(template).render(site=site, **facts)


def slices(text: str, runs: Sequence[tuple[int, int]]) -> list[tuple[str, bool]]:
    """Cut a line into its changed and unchanged parts."""
    found, at = list[tuple[str, bool]](), 0
    for start, end in runs:
        found += [(text[at:start], False), (text[start:end], True)]
        at = end
    return [one for one in [*found, (text[at:], False)] if one[0]]
