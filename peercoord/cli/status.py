"""Commands that show the team, one instance, and events. They read the tickets, never a view."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from peercoord.cli import completion
from peercoord.cli.main import Call
from peercoord.errors import NotFoundError, UsageError
from peercoord.foreign import plain
from peercoord.mailbox.verbs import json_option
from peercoord.membership.membership import judge
from peercoord.queue.progress import Reports
from peercoord.queue.queue import Queue
from peercoord.screens.notify import Notifier
from peercoord.screens.overview import Overview, overview
from peercoord.status import attempts, dashboard, screen, views
from peercoord.status.board import Reader
from peercoord.status.dashboard import bar
from peercoord.status.needs import doing
from peercoord.status.views import Board, PeerView
from peercoord.store import ids, paths, records
from peercoord.store.records import percent
from peercoord.system import terminal
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from peercoord.foreign import Json


TASKS_MOST = 10  # that an instance had before, in the line for people


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
@click.option("--watch", "-w", is_flag=True, help="Show it again at every change; q ends it.")
@click.option(
    "--notify", "ways", multiple=True, type=click.Choice(["bell", "desktop"]), help="With --watch: tell of news."
)
@click.option("--notify-command", "command", metavar="CMD", default="", help="With --watch: run this at news.")
@json_option
@click.pass_obj
def status(
    call: Call, project: str, check: bool, watch: bool, ways: tuple[str, ...], command: str, as_json: bool
) -> Reply | int:
    """Show the team of PROJECT: who needs you, progress, instances, pipeline, memory.

    News are: something needs you, an instance is gone, all tasks are done. CMD is run by the shell; it finds the text
    in $PEERCOORD_NOTICE, the team in $PEERCOORD_TEAM, and all as JSON on standard input.
    """
    call.directory = project or call.directory
    reader = reader_of(call)
    if watch:
        if check or as_json:
            raise UsageError("--watch goes with neither --check nor --json")
        return _watched(call, reader, Notifier(ways, command))
    if ways or command:
        raise UsageError("--notify and --notify-command go with --watch")
    seen, at = overview(reader, call.place.project, brief=not as_json), _elsewhere(call)
    board = seen.board
    code = 5 if check and seen.needs else 0
    if not as_json:
        return Reply({}, screen.written(_drawn(seen, at), terminal.has_colours()), code=code)
    data = {
        **views.state(board),
        "tasks": views.task_queue(board)["tasks"],
        "needs_you": dashboard.data(seen.needs, at),
        "branches": [one.as_json() for one in seen.forecasts.values()],
        "efforts": attempts.efforts(reader.attempts(board), board.now),
    }
    if seen.down is not None:
        data["down"] = {key: seen.down[key] for key in ("at", "by") if key in seen.down}
    if board.finished:
        data["not_landed"] = seen.unlanded
    return Reply(data, code=code)


def _drawn(seen: Overview, at: str, changed: str = "") -> list[Text]:
    """Draw the status screen in the width of the terminal."""
    return screen.draw(
        seen.board,
        width=terminal.width(),
        above=seen.standing,
        at=at,
        branches=seen.branches,
        wanted=seen.needs,
        changed=changed,
    )


def _watched(call: Call, reader: Reader, notifier: Notifier) -> int:
    """Show the status screen until a person has seen enough."""
    from peercoord.screens import live

    changed_at, at = "", _elsewhere(call)

    def look() -> live.Look[Overview]:
        seen = overview(reader, call.place.project, brief=True)
        notifier.look(seen)
        known = [*seen.board.peers, *seen.board.lost]
        mark = (
            tuple((need.kind, need.about) for need in seen.needs),
            tuple(doing(seen.board, peer).state for peer in known),
        )
        return live.Look(seen, mark, [peer.record for peer in known])

    def draw(seen: Overview, changed: bool) -> list[Text]:
        nonlocal changed_at
        now = reader.root.clock.now()
        changed_at = now if changed else changed_at
        return _drawn(replace(seen, board=replace(seen.board, now=now)), at, changed_at)

    live.watch(reader.root, look, draw)
    return 0


def _elsewhere(call: Call) -> str:
    """Return the project's path if commands typed here have to name it; else empty."""
    place = call.place
    try:
        here = os.getcwd()
    except OSError:  # it was removed
        return str(place.project)
    homes = [os.path.realpath(home) for home in (place.project, place.worktree) if home]
    return "" if any(os.path.commonpath([here, home]) == home for home in homes) else str(place.project)


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
    seen = overview(reader, call.place.project)
    board = seen.board
    reported = [name.removesuffix(".json") for name in reader.queue.files.scan(paths.REPORTS)]
    wanted = ids.meant(instance_id, [*(p.name for p in board.peers), *reported]) or call.place.instance
    if not wanted:
        raise UsageError("name an instance", hint=f"known: {', '.join(p.name for p in board.peers) or 'none'}")
    peer = next((p for p in [*board.peers, *board.lost] if p.name == wanted), None)
    report = Reports(reader.queue).read(wanted)
    if peer is None and not report["assigned_tasks"]:
        known = ", ".join(p.name for p in board.peers) or "none"
        raise NotFoundError(f"there is no instance {plain(wanted)}", hint=f"known: {known}", code="no-peer")
    _mark_returned(report, board, peer)
    needed, at = [need for need in seen.needs if need.who == wanted], _elsewhere(call)
    took = attempts.effort((one for one in reader.attempts(board) if one.peer == wanted), board.now)
    data: Json = {
        **report,
        "instance_id": wanted,
        **(_peer(board, peer) if peer else {"status": "departed"}),
        "needs_you": dashboard.data(needed, at),
        "effort": took.as_json(),
    }
    asked = screen.written(screen.needed(needed, board.now, at, terminal.width()), terminal.has_colours())
    lines = [*asked, *_instance_lines(seen, wanted, peer, data)]
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


def _instance_lines(seen: Overview, wanted: str, peer: PeerView | None, data: Json) -> list[str]:
    """Say what an instance has in hand, where it is, and in one line what it had before."""
    board = seen.board
    lines = [f"{wanted}: {data['status']}" + (f" ({plain(data['because'])})" if peer else "")]
    lines += [f"  {dashboard.state(doing(board, peer), board.now)}"] if peer else []
    current = [entry for entry in data["assigned_tasks"] if entry.get("status") == "in-progress"]
    lines += [line for entry in current for line in _entry_lines(entry, board.now)]
    if peer:
        stands = f", {plain(told)}" if (told := seen.branches.get(peer.branch)) else ""
        lead = ", leads" if peer.leads else ""
        lines += [f"  {plain(data['worktree_path'])} on {plain(data['branch'])}{stands}"]
        beat = dashboard.local_time(peer.heartbeat, day=peer.heartbeat[:10] != board.now[:10])
        lines += [f"  {peer.incarnation}{lead}, last heartbeat {beat or 'never'}"]
    before: dict[str, list[str]] = {}
    for entry in data["assigned_tasks"]:
        if entry not in current:
            before.setdefault(_ended(entry, board), []).append(f"#{plain(entry.get('task_id'))}")
    for state, tasks in before.items():
        more = f" and {len(tasks) - TASKS_MOST} more" if len(tasks) > TASKS_MOST else ""
        lines.append(f"  {state}: {', '.join(tasks[-TASKS_MOST:])}{more}")
    return lines


def _ended(entry: Json, board: Board) -> str:
    """How the work on a task ended, and how the task stands since, if it does not stand like that any more."""
    ended, row = plain(entry.get("status")), board.by_task.get(ids.read(entry.get("task_id")) or "")
    moved = row is not None and ended in ("blocked", "review") and row.status != ended
    return f"{ended} then, {row.status} now" if row and moved else ended


def _entry_lines(entry: Json, now: str) -> Iterator[str]:
    share = entry["progress"] if isinstance(entry.get("progress"), (int, float)) else 0.0
    done = entry.get("steps_done")
    count = len(done) if isinstance(done, list) else 0
    steps = f" ({count}/{plain(entry['steps'])} steps)" if entry.get("steps") else ""
    held = dashboard.age(str(entry.get("started_at")), now)
    title = f"#{plain(entry.get('task_id'))} {plain(entry.get('title'))}"
    yield f"  {title}  {bar(share)} {percent(share)}{steps}{f', {held} in hand' if held else ''}"
    for key in ("achievements", "blockers"):
        yield from (f"      {key[:-1]}: {plain(item)}" for item in records.notes(entry.get(key)))
