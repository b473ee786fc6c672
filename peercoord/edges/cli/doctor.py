"""``peercoord doctor``: what is wrong, and the command that mends it."""

from __future__ import annotations

import os

import click

from peercoord.core import names
from peercoord.core.errors import BrokenFileError, PeercoordError
from peercoord.edges.cli.main import Call
from peercoord.edges.reply import Reply, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.edges.context import Place
    from peercoord.edges.doctor.findings import Finding
    from peercoord.roles.root import Root

MARKS = {"ok": "ok  ", "warning": "WARN", "bad": "BAD "}


@click.command()
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
@click.pass_obj
def doctor(call: Call, fix: bool, as_json: bool) -> Reply:  # noqa: ARG001 - read by the frame
    """Examine the filesystem, the agents, the views, the tickets, the database and this machine.

    Exit 1 if anything is bad; warnings alone are exit 0.
    """
    from peercoord.edges import banking, recovery
    from peercoord.edges.doctor import disk, findings, host, lists, mending, team
    from peercoord.roles.queue import Queue

    place = recovery.place_of(lambda: call.place, call.directory)
    done = recovery.mend(place) if fix else []
    found = recovery.checks(place)
    if os.path.exists(f"{place.coordination}/{names.PROTOCOL}"):
        found += disk.probe(place.coordination)
        root = _opened(place, found)
    else:
        root = None
    if root is not None:
        queue = Queue(root, "doctor")
        if fix:
            done += mending.mend(queue, place.incarnation)
            done += host.mend(place) if place.worktree else []
        found += [*team.examine(queue), *lists.examine(root), *host.examine(place)]
        found += [findings.warning("memory bank", *trouble) for trouble in banking.troubles(root)]
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
    """Open the coordination directory; if that cannot be, note why, unless that is noted already, and give nothing."""
    from peercoord.edges.doctor import findings
    from peercoord.roles.root import anew, open_root

    try:
        return open_root(place.coordination, place.store_id)
    except PeercoordError as error:
        fix = anew(place.coordination) if isinstance(error, BrokenFileError) else error.hint
        if all(one.text != error.message for one in found):
            found.append(findings.bad("protocol", error.message, fix))
        return None
