"""Commands that show tasks: list, show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from peercoord.cli import completion
from peercoord.errors import UsageError
from peercoord.foreign import block, plain, shown
from peercoord.mailbox import verbs
from peercoord.mailbox.verbs import json_option
from peercoord.membership import membership as members
from peercoord.status.dashboard import lasting
from peercoord.store import ids, paths, records
from peercoord.store.records import percent
from peercoord.system import terminal
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.cli.main import Call
    from peercoord.foreign import Json
    from peercoord.queue.queue import Queue
    from peercoord.status.attempts import Effort
    from peercoord.status.views import Board, Row


LINKS = {"waiting": " for ", "claimed": " by "}
"""What stands between the state of a ticket and its detail."""


@click.command(short_help="List the tasks, and how they stand.", name="list")
@click.option(
    "--state", "--status", "wanted", multiple=True, metavar="S", help="Only tasks that stand like this. Repeatable."
)
@click.option("--search", default="", metavar="TEXT", help="Only tasks with this in their id, title, or holder's name.")
@click.option("--tree", is_flag=True, help="Show each below what it depends on.")
@json_option
@click.pass_obj
def list_(call: Call, wanted: tuple[str, ...], search: str, tree: bool, as_json: bool) -> Reply:
    """List the tasks: how they stand, their priority, who holds them, what they wait for."""
    from peercoord.cli.status import board_of
    from peercoord.status import views

    board = board_of(call)
    wanted = tuple(verbs.state(word) for word in wanted)
    known = {row.status for row in board.rows}
    unknown = set(wanted) - known - {"ready", "waiting", "in-progress", "done", "missing", *paths.PARKED_WHY}
    if unknown:
        raise UsageError(f"no task stands as {shown(min(unknown))}", f"known: {', '.join(sorted(known))}")
    rows = [row for row in board.rows if (not wanted or row.status in wanted) and _has(row, search.casefold())]
    picked = {row.task for row in rows}
    tasks = [entry for entry in views.task_queue(board)["tasks"] if str(entry["task_id"]) in picked] if as_json else []
    return Reply({"tasks": tasks, "summary": views.summary(board.rows)}, _listed(rows, tree, board))


def _has(row: Row, text: str) -> bool:
    return any(text in part.casefold() for part in (row.task, row.title, row.holder or row.finished_by))


def _listed(rows: list[Row], tree: bool, board: Board) -> list[str]:
    from peercoord.status import listing, screen
    from peercoord.worktree.handover import NO_TASKS

    if not rows:
        return ["no task is like this"] if board.rows else ["no tasks yet", NO_TASKS]
    width = terminal.width() if terminal.is_shown() else None
    drawn = listing.tree(rows, width) if tree else listing.table(rows, width, board.waits_for)
    return screen.written(drawn, terminal.has_colours())


@click.command(short_help="Show one task, and what became of earlier attempts.")
@click.argument("task_id", metavar="TASK", shell_complete=completion.tasks)
@json_option
@click.pass_obj
def show(call: Call, task_id: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show one task: what it is, where its ticket lies, what became of earlier attempts."""
    queue = call.queue
    wanted = ids.typed(task_id)
    sighting = queue.find(wanted)
    spot = queue.location_of(wanted) if sighting.state == "parked" else None
    definition = queue.definition(wanted)
    attempts = _attempts(queue, wanted)
    took = _effort(call, wanted)
    data: Json = {
        "task_id": ids.public(wanted),
        "state": sighting.state,
        "detail": sighting.detail,
        "reason": spot.reason if spot else "",
        "epoch": max(sighting.epoch, max((attempt["epoch"] for attempt in attempts), default=0)),
        "ticket": f"{paths.ROOT}/{sighting.path}",
        "file": f"{paths.ROOT}/{paths.definition(wanted)}",
        "results": attempts,
        "effort": took.as_json(),
        "definition": definition.raw,
    }
    word = paths.PARKED_WORDS.get(sighting.detail, sighting.detail) if spot else sighting.detail
    detail = f"{LINKS.get(sighting.state, ' ')}{word}" if word and sighting.state != "ready" else ""
    reason = f": {plain(spot.reason)}" if spot and spot.reason else ""
    needs = ", ".join(definition.dependencies) or "nothing"
    lines = [
        f"task {wanted}: {plain(definition.title)}",
        f"  {sighting.state}{detail}{reason}, epoch {data['epoch']}",
        f"  priority {paths.PRIORITIES[definition.level]}, depends on {needs}",
        *block(definition.raw.get("description", "")),
        *[f"  step {step.step} {plain(step.title)}" for step in definition.steps],
        *[
            f"  {plain(one.get('question') or 'it was parked')} → {plain(one['answer'])} ({plain(one.get('by'))})"
            for one in records.answers(definition.raw.get("answers"))
        ],
        *map(_attempt_line, attempts),
        *([f"  {_took(took)}"] if took.attempts else []),
        f"  edit: {data['file']}",
    ]
    return Reply(data, lines)


def _effort(call: Call, task: str) -> Effort:
    """What all attempts at a task took, the current one included."""
    from peercoord.cli.status import reader_of
    from peercoord.status.attempts import effort

    reader = reader_of(call)
    living = members.living(reader.root)
    reports = {who.peer: reader.report(who.peer) for who in living}
    found = reader.queue.locate(task)
    board = reader.assembled([task], living, reports, {task: found} if found else {})
    return effort(reader.attempts(board, task), board.now)


def _took(took: Effort) -> str:
    """Say what attempts took: the time in hand, and tokens and cost if the coding agent told them."""
    held = "an unknown time" if took.seconds is None else lasting(took.seconds)
    said = f"in hand for {held}, {took.attempts} attempt{'' if took.attempts == 1 else 's'}"
    return f"{said}, {took.usage.words}"


def _attempts(queue: Queue, task: str) -> list[Json]:
    """Return each finished attempt at a task, from its results."""
    attempts = []
    for epoch, outcome in queue.outcomes(task):
        record = queue.read_record(paths.result(task, epoch, outcome)) or {}
        texts = {key: record.get(key) for key in ("peer", "at", "branch", "commit", "reason")}
        told: Json = {key: text for key, text in texts.items() if isinstance(text, str) and text}
        share = record.get("progress")
        if isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 1:
            told["progress"] = share
        attempts.append({"epoch": epoch, "outcome": outcome, **told})
    return attempts


def _attempt_line(attempt: Json) -> str:
    about = [plain(attempt["peer"])] if "peer" in attempt else []
    if "progress" in attempt and attempt["outcome"] != "done":
        about.append(f"at {percent(attempt['progress'])}")
    if "branch" in attempt:
        about.append(f"branch {plain(attempt['branch'])}")
    reason = f": {plain(attempt['reason'])}" if "reason" in attempt else ""
    return f"  attempt {attempt['epoch']}: {', '.join([attempt['outcome'], *about])}{reason}"
