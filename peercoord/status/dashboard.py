"""The dashboard as plain text: what needs a person first, then the mission's blocks."""

from __future__ import annotations

import calendar
import shlex
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from peercoord.foreign import plain
from peercoord.status import needs, views
from peercoord.status.needs import TEXT, THEN
from peercoord.store import ids, paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peercoord.foreign import Json
    from peercoord.status.needs import Need
    from peercoord.status.views import Board, PeerView

WIDTH = 80
RIGHT = 56  # the column at which a line says what an instance does, where there is room
WHY_CHARS = 160  # of a reason; all of it is in `task show`
NEEDS_MOST = 30  # needs that a screen shows; `--json` has all


def lines(
    board: Board,
    *,
    above: Sequence[str] = (),
    at: str = "",
    branches: Mapping[str, str] | None = None,
    wanted: Sequence[Need] | None = None,
) -> list[str]:
    """Draw the board; text from tasks is made safe.

    Right below the needs stands the state of the team, or what is given as ``above``. Commands are for a shell in the
    project, or elsewhere if ``at`` names it. ``branches`` says of a branch how it stands to the project's own.
    ``wanted`` are the needs, if the caller has listed them.
    """
    figures = views.summary(board.rows)
    share = figures["overall_progress"]
    peers = sorted([*board.peers, *board.lost], key=lambda peer: ids.natural(peer.name))
    found, standing = needed(needs.needs(board) if wanted is None else wanted, board.now, at), above or _standing(board)
    return [
        _header(board),
        "",
        *([*found, *standing] or ["Nothing needs you."]),
        "",
        "🤖 Multi-Agent Progress Dashboard",
        "=====================================",
        "",
        f"📊 Overall Progress: {bar(share)} {percent(share)} ({figures['completed']}/{board.wanted} tasks)",
        "",
        "🎯 Active Instances:",
        *([line for peer in peers for line in _peer(board, peer, branches or {})] or ["   none"]),
        "",
        "📋 Task Pipeline:",
        f"   ✅ Completed: {tasks(board.count('done'))}",
        f"   🔄 In Progress: {tasks(board.count('in-progress'))}",
        f"   📋 Ready: {tasks(board.count('ready'))}",
        f"   ⏳ Blocked: {tasks(board.count('waiting'))} (waiting for dependencies)",
        *_parked(board),
        "",
        "🧠 Memory Updates:",
        *_memory(board),
    ]


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


def typed(words: Sequence[str], at: str = "") -> str:
    """Write a command as it is typed in a shell, elsewhere than ``at`` with that directory."""
    if at and words[0] == "peercoord" and words[1] != "-C":
        words = ("peercoord", "-C", at, *words[1:])
    return " ".join({TEXT: '"…"', THEN: THEN}.get(word) or shlex.quote(word) for word in words)


def state(doing: needs.Doing, now: str) -> str:
    """Write what an instance does: ``● working, 12s ago``."""
    said = age(doing.since, now)
    ended = f" {said} ago" if said and doing.state == "working" else f" {said}" if said else ""
    word = doing.word if said else doing.word.removesuffix(",")
    return f"{doing.sign} {word}{ended}{f': {plain(doing.why)}' if doing.why else ''}"


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
    try:
        seconds = _seconds(now) - _seconds(then)
    except ValueError:
        return plain(then)
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    return "just now"  # or in the future, by a clock that is wrong


def all_done(board: Board) -> str:
    """The sentence for a team whose tasks are all done."""
    return "The task is done." if board.wanted == 1 else f"All {board.wanted} tasks are done."


def tasks(count: int) -> str:
    """Write a number of tasks: ``1 task``."""
    return f"{count} task" if count == 1 else f"{count} tasks"


def seconds_between(then: str, now: str) -> int | None:
    """The seconds from one moment to another, at least 0; ``None`` if one is no moment."""
    try:
        return max(0, _seconds(now) - _seconds(then))
    except ValueError:
        return None


def _seconds(at: str) -> int:
    return calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S"))


def _header(board: Board) -> str:
    hosts = {str(peer.record.get("machine") or peer.record.get("host") or "") for peer in board.peers}
    where = f" on {len(hosts)} host{'' if len(hosts) == 1 else 's'}" if hosts else ""
    there = f"{len(board.peers)} instance{'' if len(board.peers) == 1 else 's'}{where}"
    leads = f"led by {board.leader}" if board.leader else "nobody leads"
    return " · ".join([plain(board.project) or "project", there, *([leads] if board.peers else [])])


def _standing(board: Board) -> list[str]:
    """The line for a list that is empty or done."""
    if not board.rows:
        return ['No tasks yet: peercoord task add "…"']
    return [all_done(board)] if board.finished else []


def _need(need: Need, now: str, at: str) -> list[str]:
    since = age(need.since, now)
    who = f" ({plain(need.who)})" if need.who and need.who != need.about else ""
    why = f": {_cut(need.why)}" if need.why else ""
    said = f" {need.sign} {plain(need.about)} {need.what}{f' {since}' if since else ''}{why}{who}"
    commands = _commands(need, at)
    if len(commands) == 1 and len(said) + 2 + len(commands[0]) <= WIDTH:
        return [f"{said}{commands[0]:>{WIDTH - len(said)}}"]
    return [said, *(f"{line:>{WIDTH}}" if len(line) < WIDTH - 4 else f"    {line}" for line in commands)]


def _commands(need: Need, at: str) -> list[str]:
    """A need's commands: in one line if they are short and all ``peercoord``, else in a line each."""
    found = [plain(typed(words, at)) for words in need.commands]
    short = " | ".join([*found[:1], *(line.removeprefix("peercoord ") for line in found[1:])])
    ours = not at and all(words[0] == "peercoord" for words in need.commands)
    return [short] if ours and len(short) < WIDTH - 4 else found


def _cut(text: str) -> str:
    return plain(text if len(text) <= WHY_CHARS else f"{text[:WHY_CHARS]}…")


def _peer(board: Board, peer: PeerView, branches: Mapping[str, str]) -> list[str]:
    """Draw an instance: a line for each task it holds, with what it does to the right and its branch below."""
    rows = board.held_by(peer.incarnation) or ([peer.last] if peer.last else [])
    name, doing = f"   {peer.name[:1].upper()}{peer.name[1:]}:", needs.doing(board, peer)
    now = state(doing, board.now)
    drawn = [
        f'{name} Task #{row.task} "{plain(row.title)}" {bar(row.progress)} {percent(row.progress)}'
        f"{' ✅' if row.status == 'done' else ''}"
        for row in rows
    ]
    if drawn and doing.state in needs.ATTENTION and RIGHT + len(now) > WIDTH - 2:
        now = state(replace(doing, why=""), board.now)  # the reason stands at the top
    first = f"{drawn[0]:<{RIGHT}}  {now}" if drawn else f"{name} {now}"
    stands = f" · {plain(branches[peer.branch])}" if branches.get(peer.branch) else ""
    branch = [f"{'':>{len(name) + 1}}{plain(peer.branch)}{stands}"] if peer.branch else []
    return [first, *drawn[1:], *branch]


def _parked(board: Board) -> list[str]:
    """The parked tasks; cancelled ones on a line of their own, because they count nowhere else."""
    found = [(why, board.count(why)) for why in paths.PARKED_WHY if why != "cancelled" and board.count(why)]
    words = [(paths.PARKED_WORDS.get(why, why), count) for why, count in found]
    kinds = ", ".join(f"{count} {word}" if len(found) > 1 else word for word, count in words)
    above = ", see above" if any(why in ("blocked", "review", "failed", "unreadable") for why, _ in found) else ""
    parked = [f"   ⏸ Parked: {tasks(sum(count for _, count in found))} ({kinds}{above})"] if found else []
    cancelled = board.count("cancelled")
    return [*parked, *([f"   🚫 Cancelled: {tasks(cancelled)}"] if cancelled else [])]


def _memory(board: Board) -> list[str]:
    pending, conflicts, queued = (int(board.memory.get(key, 0)) for key in ("pending", "conflicts", "queued"))
    merged, synced = str(board.memory.get("last_merge") or ""), str(board.synced.get("last_ok") or "")
    held = max(0, queued - pending)
    wait = f" ({held} {'waits' if held == 1 else 'wait'} for the decision above)" if held else ""
    return [
        f"   📝 Pending merges: {pending + held} contribution{'' if pending + held == 1 else 's'}{wait}",
        f"   🔄 Last sync: {ago(synced, board.now) if synced else 'never'}",
        f"   ⚠️ Conflicts: {conflicts} → peercoord review" if conflicts else "   ✅ Conflicts: 0",
        f"   🔄 Last merge: {ago(merged, board.now) if merged else 'never'}",
    ]


def bar(share: float, cells: int = 10) -> str:
    """Draw progress as the mission's dashboard does: ``███████░░░``; full only when all is done."""
    full = min(cells if share >= 1 else cells - 1, max(0, int(share * cells + 0.5)))
    return "█" * full + "░" * (cells - full)


def percent(share: float) -> str:
    """Write progress in whole percent; never 100 % before all is done."""
    return f"{min(99, int(share * 100 + 0.5)) if share < 1 else 100}%"
