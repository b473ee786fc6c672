"""``peercoord doctor``: what is wrong, and the command that mends it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from peercoord.cli.main import Call
from peercoord.errors import BrokenFileError, PeercoordError
from peercoord.foreign import plain
from peercoord.store import paths
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.doctor.checks import Finding
    from peercoord.store.root import Root
    from peercoord.worktree.context import Place

MARKS = {"ok": "ok  ", "warning": "WARN", "bad": "BAD "}


@click.command(short_help="Find what is wrong, with the command that mends it.")
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
@click.pass_obj
def doctor(call: Call, fix: bool, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Examine the filesystem, the agents, the views, the tickets, the database and this machine.

    Exit 1 if anything is bad; warnings alone are exit 0.
    """
    from peercoord.doctor import checks, filesystem, fixes, hooks, host, repair
    from peercoord.memory import runner
    from peercoord.queue.queue import Queue

    place = repair.place_of(lambda: call.place, call.directory)
    done = repair.repair_all(place) if fix else []
    found = repair.examine_setup(place)
    if os.path.exists(f"{place.coordination}/{paths.PROTOCOL}"):
        found += filesystem.probe(place.coordination)
        root = _opened(place, found)
    else:
        root = None
    if root is not None:
        queue = Queue(root, "doctor")
        if fix:
            done += fixes.fix_team(queue, place.incarnation)
            done += host.fix_script(place) if place.worktree else []
        found += [*checks.examine_team(queue), *checks.examine_lists(root), *host.examine(place)]
        found += [checks.warning("memory bank", *trouble) for trouble in runner.troubles(root)]
    found += hooks.examine(place.project, root)
    worst = any(one.state == "bad" for one in found)
    lines = [f"mended: {plain(text)}" for text in done]
    for one in found:
        lines.append(f"{MARKS[one.state]}  {one.about}: {plain(one.text)}")
        lines += [f"      fix: {plain(one.fix)}"] if one.fix else []
    counts = {state: sum(one.state == state for one in found) for state in MARKS}
    lines.append(f"{counts['ok']} ok, {counts['warning']} to look at, {counts['bad']} bad")
    data = {"checks": [one.record() for one in found], "mended": done, "counts": counts}
    return Reply(data, lines, code=1 if worst else 0)


def _opened(place: Place, found: list[Finding]) -> Root | None:
    """Open the coordination directory; ``None``, with a finding of its own, if that fails."""
    from peercoord.doctor import checks
    from peercoord.store.root import open_root, rewrite_command

    try:
        return open_root(place.coordination, place.store_id)
    except PeercoordError as error:
        fix = rewrite_command(place.coordination) if isinstance(error, BrokenFileError) else error.hint
        if all(one.text != error.message for one in found):
            found.append(checks.bad("protocol", error.message, fix))
        return None
