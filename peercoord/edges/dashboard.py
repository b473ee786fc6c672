"""The mission's dashboard as plain text: one screen, in a stable order, the same for a terminal and a pipe."""

from __future__ import annotations

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
        f"   📝 Pending merges: {board.memory.get('pending', 0)} contributions",
        f"   🔄 Last sync: {plain(board.memory.get('last_merge') or 'never')}",
        f"   ✅ Conflicts: {board.memory.get('conflicts', 0)}",
        *_troubles(board),
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
    if board.quarantined:
        found.append(f"   ! {board.quarantined} file(s) could not be read and were set aside → peercoord doctor")
    if missing:
        found.append(f"   ! no ticket found for task {', '.join(missing[:5])} → peercoord doctor --fix")
    if board.count("failed"):
        failed = [row.task for row in board.rows if row.status == "failed"]
        found.append(f"   ! task {', '.join(failed[:5])} failed too often → peercoord task show {failed[0]}")
    return ["", "Needs you:", *found] if found else []
