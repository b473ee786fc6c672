"""Find the running team that a call outside of every project means, by an instance that it names.

Agents are found by their command lines, as with ``ps``. What they serve is read from the projects, never from the
process: a worktree counts only if its project has recorded it, belongs to this user, and has a peer that names that
process as its agent.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, PeercoordError
from peercoord.foreign import shown
from peercoord.membership import liveness, signals
from peercoord.membership import membership as members
from peercoord.queue.queue import Queue
from peercoord.store import ids, instance_records, paths
from peercoord.store.root import open_root
from peercoord.worktree import context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.store.root import Root


def project_of(error: NotFoundError, command: Sequence[str], peer: str, task: str = "") -> str:
    """Return the project of the one running team of this user that has this peer and task, if they are named.

    If no running team fits, or several do, the error lists them for the call's words.
    """
    teams = _teams()
    fitting = [project for project, root in teams.items() if _fits(root, peer, task)]
    if len(fitting) == 1:
        return fitting[0]
    listed = fitting or list(teams)
    if not listed:
        raise NotFoundError(f"{error.message}, and no team of yours runs", error.hint, error.code) from None
    what = f"an instance {shown(peer)}" + (f" and a task {shown(task)}" if task else "")
    which = f"{len(listed)} running teams have {what}" if fitting else f"no running team has {what}"
    places = ", ".join(shown(project, 200) for project in listed)
    words = shlex.join(command) if fitting else "status"
    hint = "; ".join(f"peercoord -C {shlex.quote(project)} {words}" for project in listed)
    text = f"{error.message}, and {which}: {places}"
    raise NotFoundError(
        text, f"{'name the project' if fitting else 'look at one of them'}: {hint}", "several-teams"
    ) from None


def _teams() -> dict[str, Root]:
    """Return the projects whose agents run as this user, with their coordination directories."""
    found: dict[str, Root] = {}
    for record in sorted(signals.visible(), key=lambda record: str(record["worktree"])):
        try:
            place = context.find(given=str(record["worktree"]))
            if place.worktree and place.project not in found:
                root = open_root(place.coordination, place.store_id)
                seen = os.lstat(place.coordination)  # this user's own, and no stranger may write it
                if seen.st_uid != os.geteuid() or seen.st_mode & 0o002:
                    continue
                # a command line can be forged: a peer of the team must name this very process as its agent
                peers = (members.record_of(root, who) for who in members.living(root))
                if any(liveness.agent_of(peer) == record["agent"] for peer in peers):
                    found[place.project] = root
        except PeercoordError:
            continue  # no project knows it
    return dict(sorted(found.items()))


def _fits(root: Root, peer: str, task: str) -> bool:
    known = {*instance_records.all(root), *(who.peer for who in members.living(root))}
    known |= {name.removesuffix(".json") for name in root.files.scan(paths.REPORTS)}
    return ids.meant(peer, known) in known and (not task or Queue(root).birth(task) is not None)
