"""The results of attempts: what is recorded of each, and what a task's next holder learns of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.store import ids, paths, records

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.queue.tasks import Tasks
    from peercoord.store.paths import Incarnation, Ticket
    from peercoord.store.records import Definition

WORK = ("progress", "steps_done", "achievements", "blockers", "completion_estimate", "time_spent")
"""What a holder reports of its work."""
HAND_OVER = (*WORK, "worktree", "branch", "commit", "dirty_files", "kept")
"""What a task's next holder learns of its last one, where known."""
_SHOWS_WORK = ("progress", "steps_done", "achievements", "blockers", "dirty_files")
_LOOK_BACK = 8  # newest results that are searched for work to hand over


def result_record(tasks: Tasks, ticket: Ticket, who: Incarnation, outcome: str, by: str, **more: object) -> Json:
    """The record of an attempt that ended now."""
    return {
        "schema_version": records.SCHEMA_VERSION,
        "task_id": ids.public(ticket.task),
        "epoch": ticket.epoch,
        "outcome": outcome,
        "peer": who.peer,
        "incarnation": str(who),
        "by": by,
        "at": tasks.root.clock.now(),
        **more,
    }


def hand_over(tasks: Tasks, ticket: Ticket, definition: Definition) -> Json:
    """What the last holder of a task left, and what people answered; empty if there is neither."""
    left, answers = _left(tasks, ticket), records.answers(definition.raw.get("answers"))
    return {**left, "answers": answers} if answers else left


def _left(tasks: Tasks, ticket: Ticket) -> Json:
    """What the last holder that reported any work left; else what the last holder left."""
    if ticket.epoch < 2:
        return {}  # no peer held it before
    results = filter(None, map(paths.parse_result, tasks.results(ticket.task)))
    ended = [(r[1], r[2] == "evicted", r[2]) for r in results if r[0] == ticket.task and 0 < r[1] < ticket.epoch]
    newest: Json = {}
    for epoch, _, outcome in sorted(ended, reverse=True)[:_LOOK_BACK]:
        record = tasks.read_record(paths.result(ticket.task, epoch, outcome)) or {}
        kept = {key: record[key] for key in ("peer", "reason", "at", *HAND_OVER) if key in record}
        left = {"epoch": epoch, "outcome": outcome, **kept}
        if any(record.get(key) for key in _SHOWS_WORK):
            return left
        newest = newest or left
    return newest
