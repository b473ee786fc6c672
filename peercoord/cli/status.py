"""Commands that show the team, one instance, and events. They read the tickets, never a view."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peercoord.cli import completion
from peercoord.cli.main import Call
from peercoord.errors import NotFoundError, PeercoordError, UsageError
from peercoord.foreign import plain
from peercoord.mailbox.verbs import json_option
from peercoord.membership.membership import judge
from peercoord.queue.progress import Reports
from peercoord.queue.queue import Queue
from peercoord.status import dashboard, views
from peercoord.status.board import Reader
from peercoord.status.dashboard import bar, percent
from peercoord.status.needs import THEN, doing, needs
from peercoord.status.views import Board, PeerView
from peercoord.store import down, ids, paths, records
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.landing.forecast import Forecast
    from peercoord.status.needs import Need


def reader_of(call: Call) -> Reader:
    """Return a reader of the board of a call's project."""
    root = call.root
    return Reader(Queue(root), lambda who: judge(root, who))


def board_of(call: Call) -> Board:
    """Read the board of a call's project."""
    return reader_of(call).board()


@click.command(short_help="Show the team: who needs you, progress, instances.")
@click.argument("project", default="")
@click.option("--check", is_flag=True, help="Exit 5 if someone is needed.")
@json_option
@click.pass_obj
def status(call: Call, project: str, check: bool, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show the team of PROJECT: progress, instances, pipeline, memory."""
    call.directory = project or call.directory
    reader = reader_of(call)
    board, mark, at = reader.board(), down.read(reader.files), _elsewhere(call)
    found = _needs(call, board)
    data = {**views.state(board), "tasks": views.task_queue(board)["tasks"], "needs_you": dashboard.data(found, at)}
    above = []
    if mark is not None:
        data["down"] = {key: mark[key] for key in ("at", "by") if key in mark}
        above.append(f"The team is down, taken down {down.since(mark)}; start it: {down.command(reader.files)}")
    if board.finished:
        data["not_landed"] = _not_landed(call, board)
        above += _finished_line(board, data["not_landed"]).split("\n")
    above += _landing_lines(call)
    found_branches = _forecasts(call, board)
    data["branches"] = [one.as_json() for one in found_branches]
    told = {one.branch: one.told for one in found_branches}
    return Reply(
        data, dashboard.lines(board, above=above, at=at, branches=told, wanted=found), code=5 if check and found else 0
    )


def _needs(call: Call, board: Board) -> list[Need]:
    """List what needs a person; a session in a tmux window is looked at there, and started again there."""
    from peercoord.team import tmux

    found = needs(board)
    for index, need in enumerate(found):
        first, *others = need.commands
        if need.kind in ("permission", "asks", "turn", "limit") and (shown := tmux.looked_at(first[1])):
            found[index] = replace(need, commands=[shown])
        if need.kind == "gone" and THEN in first and (again := tmux.started_again(Path(call.place.project), first[1])):
            found[index] = replace(need, commands=[again, *others])
    return found


def _forecasts(call: Call, board: Board) -> list[Forecast]:
    """Look how the instances' branches stand to the project's; empty if git cannot tell."""
    from peercoord.landing.forecast import forecasts

    names = [peer.branch for peer in [*board.peers, *board.lost] if peer.branch]
    try:
        return forecasts(call.root, names) if names else []
    except PeercoordError:
        return []


def _landing_lines(call: Call) -> list[str]:
    """Return what a landing left that waits for a person."""
    from peercoord.store import landings

    landing = landings.newest(call.root)
    if landing is None or landing.state in (landings.LANDED, landings.UNDONE):
        return []
    if landing.state == landings.BESIDE:
        return [f"Merged work waits to come onto {plain(landing.branch)}: peercoord land"]
    return [f"A landing on {plain(landing.branch)} is under way or was cut short: peercoord land finishes it"]


def _elsewhere(call: Call) -> str:
    """Return the project's path if commands typed here have to name it; else empty."""
    place = call.place
    try:
        here = os.getcwd()
    except OSError:  # it was removed
        return str(place.project)
    homes = [os.path.realpath(home) for home in (place.project, place.worktree) if home]
    return "" if any(os.path.commonpath([here, home]) == home for home in homes) else str(place.project)


def _not_landed(call: Call, board: Board) -> list[str] | None:
    """List the instances' branches with work that is not merged; ``None`` if git cannot tell."""
    from peercoord.store import manifest
    from peercoord.team import repository
    from peercoord.worktree import landed

    try:
        project = repository.discover(call.place.project)
        made = manifest.branches(project.common, project.sub)
        return landed.not_landed(project, [*made, *(peer.branch for peer in [*board.peers, *board.lost])])
    except PeercoordError:
        return None


def _finished_line(board: Board, branches: list[str] | None) -> str:
    """Return the line which says that all tasks are done, and which branches are not merged."""
    said = dashboard.all_done(board)
    if branches is None:
        return f"{said} Git cannot tell which branches are merged."
    if not branches:
        return f"{said} Every branch is landed."
    one = len(branches) == 1
    return (
        f"{said} {len(branches)} {'branch is' if one else 'branches are'} not landed: {', '.join(map(plain, branches))}"
        f"\nLand {'it' if one else 'them'}: peercoord land"
    )


@click.command()
@click.argument("instance_id", metavar="[ID]", default="", shell_complete=completion.instances)
@json_option
@click.pass_obj
def instance(call: Call, instance_id: str, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Show one instance: its tasks and their progress. In a worktree, ID may be left out.

    Outside of every project it is looked for in the teams of yours that run.
    """
    found: list[str] = []
    if instance_id:
        found = call.stand(["instance", instance_id], instance_id)
    reader = reader_of(call)
    board = reader.board()
    reported = [name.removesuffix(".json") for name in reader.queue.files.scan(paths.REPORTS)]
    wanted = ids.meant(instance_id, [*(p.name for p in board.peers), *reported]) or call.place.instance
    if not wanted:
        raise UsageError(
            "name an instance", hint=f"those there are: {', '.join(p.name for p in board.peers) or 'none'}"
        )
    peer = next((p for p in [*board.peers, *board.lost] if p.name == wanted), None)
    report = Reports(reader.queue).read(wanted)
    if peer is None and not report["assigned_tasks"]:
        known = ", ".join(p.name for p in board.peers) or "none"
        raise NotFoundError(f"there is no instance {plain(wanted)}", hint=f"those there are: {known}", code="no-peer")
    _mark_returned(report, board, peer)
    needed, at = [need for need in _needs(call, board) if need.who == wanted], _elsewhere(call)
    data: Json = {
        **report,
        "instance_id": wanted,
        **(_peer(board, peer) if peer else {"status": "departed"}),
        "needs_you": dashboard.data(needed, at),
    }
    lines = [*dashboard.needed(needed, board.now, at), *_instance_lines(wanted, board, peer, data)]
    return Reply(data, lines, found)


def _mark_returned(report: Json, board: Board, peer: PeerView | None) -> None:
    """Mark entries of a report as released if they say in progress, but the peer no longer holds the task."""
    held = {(r.task, r.location.epoch) for r in board.held_by(peer.incarnation) if r.location} if peer else set()
    for entry in report["assigned_tasks"]:
        if entry.get("status") == "in-progress" and (ids.read(entry.get("task_id")), entry.get("epoch")) not in held:
            entry["status"] = "released"


def _peer(board: Board, peer: PeerView) -> Json:
    now = doing(board, peer)
    return {
        "status": views.PEER_STATUS[peer.verdict.state],
        "because": peer.verdict.because,
        "doing": now.state,
        "since": now.since or None,
        "incarnation": peer.incarnation,
        "worktree_path": str(peer.record.get("worktree", "")),
        "branch": peer.branch,
        "last_heartbeat": peer.heartbeat,
        "leads": peer.leads,
        **({"session": views.session(peer)} if peer.said else {}),
    }


def _instance_lines(wanted: str, board: Board, peer: PeerView | None, data: Json) -> list[str]:
    lines = [f"{wanted}: {data['status']}" + (f" ({plain(data['because'])})" if peer else "")]
    if peer:
        lead = ", leads" if peer.leads else ""
        lines += [f"  {dashboard.state(doing(board, peer), board.now)}"]
        lines += [f"  {plain(data['worktree_path'])} on {plain(data['branch'])}, {peer.incarnation}{lead}"]
        lines += [f"  last heartbeat {peer.heartbeat or 'never'}"]
    for entry in data["assigned_tasks"]:
        share = entry.get("progress") if isinstance(entry.get("progress"), (int, float)) else 0.0
        steps = f" ({len(entry.get('steps_done', []))}/{plain(entry['steps'])} steps)" if entry.get("steps") else ""
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
    for name in reader.files.scan(paths.EVENTS):
        found += [*reader.files.lines(f"{paths.EVENTS}/{name}")][-last:]
    found = sorted(found, key=lambda e: str(e.get("at")))[-last:]
    return Reply({"events": found}, [_event_line(event) for event in found])


def _event_line(event: Json) -> str:
    facts = " ".join(f"{k}={plain(v)}" for k, v in event.items() if k not in ("at", "event", "peer"))
    return f"{plain(event.get('at'))}  {plain(event.get('peer'))}  {plain(event.get('event'))}  {facts}"
