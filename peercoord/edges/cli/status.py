"""Commands that show: the whole team, one instance, what happened. They read the tickets, never a view."""

from __future__ import annotations

import os

import click

from peercoord.core import liveness, names, records, views
from peercoord.core.errors import BrokenFileError, NotFoundError, UsageError
from peercoord.core.views import Board, Seat
from peercoord.edges import dashboard
from peercoord.edges.cli.main import Call
from peercoord.edges.cli.work import json_option
from peercoord.edges.reply import Reply, bar, percent, plain
from peercoord.roles.peer import judge
from peercoord.roles.progress import Reports
from peercoord.roles.queue import Queue
from peercoord.roles.root import open_root
from peercoord.roles.views import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.core.records import Json


def reader_of(call: Call) -> Reader:
    """Give a reader of the board of the project that a call stands in."""
    root = open_root(call.place.coordination, call.place.store_id)
    return Reader(Queue(root), lambda who: judge(root, who))


def board_of(call: Call) -> Board:
    """Read the board of the project that a call stands in."""
    return reader_of(call).board()


@click.command()
@click.argument("project", default="")
@click.option("--check", is_flag=True, help="Exit 5 if a person's decision is waiting.")
@json_option
@click.pass_obj
def status(call: Call, project: str, check: bool, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show the team of PROJECT: progress, instances, pipeline, memory."""
    call.directory = project or call.directory
    board = board_of(call)
    waiting = bool(board.memory.get("candidates") or board.memory.get("approvals"))
    data = {**views.state(board), "tasks": views.task_queue(board)["tasks"]}
    notes = [*gone(board.seats), *stopped(board.seats)]
    return Reply(data, dashboard.lines(board), notes, code=5 if check and waiting else 0)


def gone(seats: Iterable[Seat]) -> list[str]:
    """Say whose worktree is gone: its agent may run on for minutes, and counts as active so long."""
    from peercoord.fs import process

    here = process.here()
    found = []
    for seat in seats:
        path = seat.record.get("worktree")
        ours = all(seat.record.get(key) == here[key] for key in ("host", "machine"))  # of others nothing can be told
        if ours and isinstance(path, str) and path and not os.path.lexists(path):
            found.append(f"the worktree of {seat.peer} is gone, {path}: mend it with peercoord doctor --fix")
    return found


def stopped(seats: Iterable[Seat]) -> list[str]:
    """Say whose agent is stopped by a signal: nothing is answered there, and with a session it counts as active."""
    from peercoord.fs import process

    here, found = process.here(), []
    for seat in seats:
        agent = liveness.agent_of(seat.record)
        if agent and liveness.elsewhere(seat.record, here) is None and process.stopped(agent):
            found.append(f"the agent of {seat.peer} is stopped: kill -CONT {agent['pid']}")
    return found


@click.command()
@click.argument("instance_id", metavar="[ID]", default="")
@json_option
@click.pass_obj
def instance(call: Call, instance_id: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show one instance: its tasks and their progress. In a worktree, ID may be left out."""
    reader = reader_of(call)
    board = reader.board()
    wanted = instance_id or call.place.instance
    if not wanted:
        raise UsageError(
            "name an instance", hint=f"those there are: {', '.join(s.peer for s in board.seats) or 'none'}"
        )
    seat = next((s for s in board.seats if s.peer == wanted), None)
    report = Reports(reader.queue).read(wanted)
    if seat is None and not report["assigned_tasks"]:
        known = ", ".join(s.peer for s in board.seats) or "none"
        raise NotFoundError(f"there is no instance {plain(wanted)}", hint=f"those there are: {known}", code="no-peer")
    _mark_returned(report, board, seat)
    data: Json = {**report, "instance_id": wanted, **(_seat(seat) if seat else {"status": "departed"})}
    notes = [*gone([seat]), *stopped([seat])] if seat else []
    return Reply(data, _instance_lines(wanted, seat, data), notes)


def _mark_returned(report: Json, board: Board, seat: Seat | None) -> None:
    """Say of what the report calls in progress, but is held no more, that it went back."""
    held = {(r.task, r.sighting.epoch) for r in board.held_by(seat.incarnation) if r.sighting} if seat else set()
    for entry in report["assigned_tasks"]:
        if entry.get("status") == "in-progress" and (str(entry.get("task_id")), entry.get("epoch")) not in held:
            entry["status"] = "returned"


def _seat(seat: Seat) -> Json:
    return {
        "status": views.PEER_STATUS[seat.verdict.state],
        "because": seat.verdict.because,
        "incarnation": seat.incarnation,
        "worktree_path": str(seat.record.get("worktree", "")),
        "branch": str(seat.record.get("branch", "")),
        "last_heartbeat": seat.heartbeat,
        "leads": seat.leads,
    }


def _instance_lines(wanted: str, seat: Seat | None, data: Json) -> list[str]:
    lines = [f"{wanted}: {data['status']}" + (f" ({plain(data['because'])})" if seat else "")]
    if seat:
        lead = ", leads" if seat.leads else ""
        lines += [f"  {plain(data['worktree_path'])} on {plain(data['branch'])}, {seat.incarnation}{lead}"]
        lines += [f"  last heartbeat {seat.heartbeat or 'never'}"]
    for entry in data["assigned_tasks"]:
        share = entry.get("progress") if isinstance(entry.get("progress"), (int, float)) else 0.0
        steps = f" ({len(entry.get('steps_done', []))}/{entry['steps']} steps)" if entry.get("steps") else ""
        title = f"#{plain(entry.get('task_id'))} {plain(entry.get('title'))}"
        lines.append(f"  {title}  {bar(share)} {percent(share)}{steps}, {plain(entry.get('status'))}")
        for key in ("achievements", "blockers"):
            lines += [f"      {key[:-1]}: {plain(item)}" for item in records.notes(entry.get(key))]
    return lines


@click.command()
@click.option("--last", default=20, type=click.IntRange(min=1), metavar="N", help="How many, the newest.")
@json_option
@click.pass_obj
def events(call: Call, last: int, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show what happened last, of all peers together."""
    reader = reader_of(call)
    found: list[Json] = []
    for name in reader.files.scan(names.EVENTS):
        data = reader.files.read_tail(f"{names.EVENTS}/{name}")
        for line in data.splitlines()[-last:]:
            try:
                found.append(records.decode(line, name))
            except BrokenFileError:
                continue  # a line being written, or cut by a crash
    found = sorted(found, key=lambda e: str(e.get("at")))[-last:]
    return Reply({"events": found}, [_event_line(event) for event in found])


def _event_line(event: Json) -> str:
    facts = " ".join(f"{k}={plain(v)}" for k, v in event.items() if k not in ("at", "event", "peer"))
    return f"{plain(event.get('at'))}  {plain(event.get('peer'))}  {plain(event.get('event'))}  {facts}"
