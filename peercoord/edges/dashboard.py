"""The mission's dashboard as plain text: one screen, in a stable order, the same for a terminal and a pipe."""

from __future__ import annotations

import calendar
import time

from peercoord.core import names, views
from peercoord.edges.reply import bar, percent, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.views import Board, Seat

BLOCKED = ("waiting", "blocked")


def lines(board: Board) -> list[str]:
    """Draw the board.

    Args:
        board: As it was read.

    Returns:
        The lines, without newlines; text from tasks in them is harmless.
    """
    figures = views.summary(board.rows)
    counted = figures["total_tasks"] - board.count("cancelled")
    share = figures["overall_progress"]
    return [
        "🤖 Multi-Agent Progress Dashboard",
        "=====================================",
        "",
        f"📊 Overall Progress: {bar(share)} {percent(share)} ({figures['completed']}/{counted} tasks)",
        "",
        "🎯 Active Instances:",
        *([line for seat in board.seats for line in _seat(board, seat)] or ["   none"]),
        "",
        "📋 Task Pipeline:",
        f"   ✅ Completed: {_tasks(board.count('done'))}",
        f"   🔄 In Progress: {_tasks(board.count('in-progress'))}",
        f"   📋 Ready: {_tasks(board.count('ready'))}",
        f"   ⏳ Blocked: {_tasks(board.count(*BLOCKED))} (waiting for dependencies)",
        *_set_aside(board),
        "",
        "🧠 Memory Updates:",
        *_memory(board),
        *_troubles(board),
    ]


def ago(then: str, now: str) -> str:
    """Write how long ago a moment was, as people say it: ``5 minutes ago``.

    Args:
        then: The moment, RFC 3339; what is none is given back as it is, harmless.
        now: The present moment, RFC 3339.
    """
    try:
        seconds = _seconds(now) - _seconds(then)
    except ValueError:
        return plain(then)
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    return "just now"  # or in the future, by a clock that is wrong


def _seconds(at: str) -> int:
    return calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S"))


def _memory(board: Board) -> list[str]:
    pending, conflicts = (int(board.memory.get(key, 0)) for key in ("pending", "conflicts"))
    last = str(board.memory.get("last_merge") or "")
    return [
        f"   📝 Pending merges: {pending} contribution{'' if pending == 1 else 's'}",
        f"   🔄 Last sync: {ago(last, board.now) if last else 'never'}",
        f"   ⚠️ Conflicts: {conflicts} → peercoord review" if conflicts else "   ✅ Conflicts: 0",
    ]


def _tasks(count: int) -> str:
    return f"{count} task" if count == 1 else f"{count} tasks"


def _seat(board: Board, seat: Seat) -> list[str]:
    name = f"   {seat.peer[:1].upper()}{seat.peer[1:]}:"
    verdict = (
        "" if seat.verdict.state in ("alive", "unknown") else f"  ({seat.verdict.state}: {plain(seat.verdict.because)})"
    )
    held = board.held_by(seat.incarnation)
    if not held:
        return [f"{name} idle{verdict}"]
    return [f'{name} Task #{r.task} "{plain(r.title)}" {bar(r.progress)} {percent(r.progress)}{verdict}' for r in held]


def _set_aside(board: Board) -> list[str]:
    found = [(why, board.count(why)) for why in names.PARKED_WHY if why != "blocked" and board.count(why)]
    return [f"   ⏸  Set aside: {', '.join(f'{count} {why}' for why, count in found)}"] if found else []


def _troubles(board: Board) -> list[str]:
    """What needs a person, each with the command that shows more; nothing when all is well."""
    missing = [row.task for row in board.rows if row.status == "missing"]
    found = []
    deciding = sum(int(board.memory.get(state, 0)) for state in ("candidates", "approvals"))
    if deciding:
        verb = "change of the memory bank needs" if deciding == 1 else "changes of the memory bank need"
        found.append(f"   ! {deciding} {verb} you → peercoord review")
    if board.quarantined:
        found.append(f"   ! {board.quarantined} file(s) could not be read and were set aside → peercoord doctor")
    if missing:
        found.append(f"   ! no ticket found for task {', '.join(missing[:5])} → peercoord doctor --fix")
    if board.count("failed"):
        failed = [row.task for row in board.rows if row.status == "failed"]
        found.append(f"   ! task {', '.join(failed[:5])} failed too often → peercoord task show {failed[0]}")
    return ["", "Needs you:", *found] if found else []
