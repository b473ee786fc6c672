"""The aggregated progress that the leader keeps in ``progress.md``, from the board."""

from __future__ import annotations

from peercoord.core import liveness, names, records, views
from peercoord.core.memory.progress import Facts, Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.views import Board, Row, Seat

_DOUBTED = {liveness.SUSPECT: "not heard of lately", liveness.DEAD: "gone"}


def facts(board: Board) -> Facts:
    """Give what there is to say of all peers and their tasks."""
    figures = views.summary(board.rows)
    return Facts(
        total=figures["total_tasks"] - board.count("cancelled"),
        done=figures["completed"],
        in_progress=figures["in_progress"],
        blocked=board.count("waiting", *(why for why in names.PARKED_WHY if why != "cancelled")),
        overall=figures["overall_progress"],
        lines=[line for seat in board.seats for line in _lines(board, seat)],
    )


def _lines(board: Board, seat: Seat) -> list[Line]:
    doubt = _DOUBTED.get(seat.verdict.state)
    held = board.held_by(seat.incarnation)
    if not held:
        return [Line(seat.peer, doubt or "idle")]
    return [
        Line(
            seat.peer,
            doubt or "working",
            row.task,
            row.title,
            row.progress,
            estimated=row.definition is not None and not row.definition.steps,
            note=_newest(row),
        )
        for row in held
    ]


def _newest(row: Row) -> str:
    """Give the newest blocker, since that may need somebody; else the newest achievement."""
    blockers = records.notes(row.entry.get("blockers"))
    return f"blocked: {blockers[-1]}" if blockers else next(iter(records.notes(row.entry.get("achievements"))[-1:]), "")
