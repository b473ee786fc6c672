"""The command that tells what happened, in sentences."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import click

from peercoord.cli import completion
from peercoord.errors import UsageError
from peercoord.foreign import shown
from peercoord.mailbox.verbs import json_option
from peercoord.status import sentences
from peercoord.status.dashboard import local_time
from peercoord.status.needs import moment
from peercoord.store import ids, records
from peercoord.system import clock, streams, terminal
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.text import Text

    from peercoord.cli.main import Call
    from peercoord.foreign import Json
    from peercoord.store.root import Root

LAST = 20
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")
STYLES = {
    **dict.fromkeys(("accepted", "done", "landed"), "green"),
    **dict.fromkeys(("evicted", "poison", "stuck", "unreadable", "quarantined"), "red"),
    **dict.fromkeys(("parked", "challenged", "overruled", "reassigned"), "yellow"),
    **dict.fromkeys(("progress", "edited", "synced", "agent-ended", "leads", "resigned"), "dim"),
}
"""The colour of an event."""


@click.command(short_help="Show what happened, in sentences.")
@click.option(
    "--last", type=click.IntRange(min=1), metavar="N", help=f"How many, the newest; {LAST} if nothing is said."
)
@click.option("--since", metavar="TIME", default="", help="Since 90s, 30m, 1h, 2d ago, or since a time.")
@click.option("--peer", metavar="ID", default="", shell_complete=completion.instances, help="Of this instance.")
@click.option("--task", metavar="TASK", default="", shell_complete=completion.tasks, help="About this task.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens next, until Ctrl-C.")
@json_option
@click.pass_obj
def events(call: Call, last: int | None, since: str, peer: str, task: str, follow: bool, as_json: bool) -> Reply | int:
    """Show what happened, of all peers together, the newest last."""
    root = call.root
    after, about = _since(since) if since else "", ids.typed(task) if task else ""
    tail = sentences.Tail(root.files)
    found = [*sentences.chosen(tail.new(), after, peer, about)]
    if last or not since:
        found = found[-(last or LAST) :]
    if not follow:
        return Reply({"events": found}, _lines(found, root.clock.now()))
    return _follow(root, tail, found, peer, about, as_json)


def _follow(root: Root, tail: sentences.Tail, found: list[Json], peer: str, task: str, as_json: bool) -> int:
    """Write events as they happen; as JSON, one in each line."""
    from peercoord.screens.watching import Watching
    from peercoord.store.root import open_root

    watching = Watching(root)
    try:
        watching.renew()
        while True:
            said = (
                [records.encode_line(one).decode().rstrip("\n") for one in found]
                if as_json
                else _lines(found, root.clock.now())
            )
            error = streams.deliver("".join(f"{line}\n" for line in said).encode())
            if error is not None:
                raise BrokenPipeError from error
            watching.wait(watching.pause(0))
            watching.renew()
            open_root(root.files.place, root.store_id)  # a directory that is gone never changes again
            found = [*sentences.chosen(tail.new(), "", peer, task)]
    finally:
        watching.close()


def _lines(found: Iterable[Json], now: str) -> list[str]:
    from rich.text import Text

    from peercoord.status.screen import written

    today, colour = local_time(now, day=True)[:10], terminal.has_colours()
    lines: list[Text] = []
    for event in found:
        at = local_time(moment(event.get("at")), day=True)
        when = at.removeprefix(f"{today} ") or "no time"
        lines.append(
            Text(f"{when}  ", "dim") + Text(sentences.sentence(event), STYLES.get(str(event.get("event")), ""))
        )
    return written(lines, colour)


def _since(word: str) -> str:
    """Read a time that is typed: how long ago, or a time of this place."""
    ago = re.fullmatch(r"(\d{1,9})\s*([smhd])", word.strip().lower())
    if ago:
        return clock.moment(max(0.0, time.time() - int(ago[1]) * UNITS[ago[2]]))
    if moment(word):
        return word
    for form in FORMS:
        try:
            return clock.moment(time.mktime(time.strptime(word.strip(), form)))
        except (ValueError, OverflowError):
            continue
    raise UsageError(f"{shown(word)} is no time", hint="write 90s, 30m, 1h, 2d, or 2026-01-31 15:30")
