"""What all screens say in the same words: ages, bars, needs and the commands that settle them."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from peercoord.foreign import plain
from peercoord.status.needs import TEXT, THEN
from peercoord.store import ids
from peercoord.store.records import percent
from peercoord.system import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.foreign import Json
    from peercoord.status.needs import Doing, Need
    from peercoord.status.views import Board

WIDTH = 80
WHY_CHARS = 160  # of a reason; all of it is in `task show`
NEEDS_MOST = 30  # needs that a screen shows; `--json` has all


def needed(found: Sequence[Need], now: str, at: str = "", title: str = "NEEDS YOU") -> list[str]:
    """Draw the needs, each with the command that settles it; no line if there is no need."""
    if not found:
        return []
    shown = [line for need in found[:NEEDS_MOST] for line in _need(need, now, at)]
    more = len(found) - NEEDS_MOST
    return [f"{title} ({len(found)})", *shown, *([f" … and {more} more: see them with --json"] if more > 0 else [])]


def data(found: Sequence[Need], at: str = "") -> list[Json]:
    """Needs as JSON data, for programs."""
    return [
        {
            "kind": need.kind,
            "about": need.about,
            "what": need.what,
            "who": need.who or None,
            "task_id": ids.public(need.task) if need.task else None,
            "why": need.why,
            "since": need.since or None,
            "commands": [typed(words, at) for words in need.commands],
        }
        for need in found
    ]


def typed(words: Sequence[str], at: str = "", home: str = "") -> str:
    """Write a command as it is typed in a shell: elsewhere than ``at`` with that directory, in ``home`` from there."""
    if at and words[0] == "peercoord" and words[1] != "-C":
        words = ("peercoord", "-C", at, *words[1:])

    def quoted(word: str) -> str:
        inside = len(home) > 1 and word.startswith(f"{home}/")
        return f"~/{shlex.quote(word[len(home) + 1 :])}" if inside else shlex.quote(word)

    return " ".join({TEXT: '"…"', THEN: THEN}.get(word) or quoted(word) for word in words)


def state(doing: Doing, now: str, why: bool = True) -> str:
    """Write what an instance does: ``● working, 12s ago``; with the reason, if there is one."""
    return f"{doing.sign} {words(doing, now)}{f': {plain(doing.why)}' if doing.why and why else ''}"


def words(doing: Doing, now: str) -> str:
    """Write what an instance does without its sign and reason: ``working, 12s ago``."""
    said = age(doing.since, now)
    ended = f" {said} ago" if said and doing.state == "working" else f" {said}" if said else ""
    word = doing.word if said else doing.word.removesuffix(",")
    until = f" until {local_time(doing.until)[:5]}" if doing.until else ""
    return f"{word}{ended}{until}"


def age(then: str, now: str) -> str:
    """Write how long ago a moment was: ``12s``, ``4m``, ``2h``, ``3d``; empty for other text."""
    seconds = seconds_between(then, now)
    return "" if seconds is None else lasting(seconds)


def lasting(seconds: int) -> str:
    """Write a time that something takes: ``12s``, ``4m``, ``2h``, ``3d``."""
    size, letter = next(((s, c) for s, c in ((86400, "d"), (3600, "h"), (60, "m")) if seconds >= s), (1, "s"))
    return f"{seconds // size}{letter}"


def ago(then: str, now: str) -> str:
    """Write how long ago a moment was, as people say it: ``5 minutes ago``; other text as it is, made safe."""
    if not clock.seconds(then):
        return plain(then)
    seconds = int(clock.seconds(now) - clock.seconds(then))
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    return "just now"  # or in the future, by a clock that is wrong


def local_time(at: str, day: bool = False) -> str:
    """Write a moment as the time of day here, if wanted after its date; empty for other text."""
    return clock.local(at)[0 if day else 11 :]


def all_done(board: Board) -> str:
    """The sentence for a team whose tasks are all done."""
    return "The task is done." if board.wanted == 1 else f"All {board.wanted} tasks are done."


def tasks(count: int) -> str:
    """Write a number of tasks: ``1 task``."""
    return f"{count} task" if count == 1 else f"{count} tasks"


def seconds_between(then: str, now: str) -> int | None:
    """The seconds from one moment to another, at least 0; ``None`` if one is no moment."""
    began, ended = clock.seconds(then), clock.seconds(now)
    return max(0, int(ended - began)) if began and ended else None


def _need(need: Need, now: str, at: str) -> list[str]:
    since = age(need.since, now)
    who = f" ({plain(need.who)})" if need.who and need.who != need.about else ""
    why = f": {_cut(need.why)}" if need.why else ""
    said = f" {need.sign} {plain(need.about)} {need.what}{f' {since}' if since else ''}{why}{who}"
    found = commands(need, at)
    if len(found) == 1 and len(said) + 2 + len(found[0]) <= WIDTH:
        return [f"{said}{found[0]:>{WIDTH - len(said)}}"]
    return [said, *(f"{line:>{WIDTH}}" if len(line) < WIDTH - 4 else f"    {line}" for line in found)]


def commands(need: Need, at: str) -> list[str]:
    """A need's commands: in one line if they are short and all ``peercoord``, else in a line each."""
    found = [plain(typed(words, at, os.path.expanduser("~"))) for words in need.commands]
    short = " | ".join([*found[:1], *(line.removeprefix("peercoord ") for line in found[1:])])
    ours = not at and all(words[0] == "peercoord" for words in need.commands)
    return [short] if ours and len(short) < WIDTH - 4 else found


def _cut(text: str) -> str:
    return plain(text if len(text) <= WHY_CHARS else f"{text[:WHY_CHARS]}…")


def bar(share: float, cells: int = 10) -> str:
    """Draw progress as the mission's dashboard does: ``███████░░░``; full only when all is done."""
    full = min(cells if share >= 1 else cells - 1, max(0, int(share * cells + 0.5)))
    return "█" * full + "░" * (cells - full)


def overall(board: Board) -> str:
    """Write how far a team is: ``30% (2/9 tasks + work in progress)``; the sum is named where it makes a difference."""
    done, wanted = board.count("done"), board.wanted
    begun = " + work in progress" if wanted and percent(board.progress) != percent(done / wanted) else ""
    return f"{percent(board.progress)} ({done}/{wanted} tasks{begun})"
