"""This machine, and the worktree that the doctor was called in."""

from __future__ import annotations

import os
import shutil

from peercoord.core import door, names
from peercoord.core.errors import PeercoordError
from peercoord.edges import agentctl
from peercoord.edges.context import FIX
from peercoord.edges.doctor.findings import bad, good, warning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.edges.context import Place
    from peercoord.edges.doctor.findings import Finding

LEAST_INSTANCES, LEAST_WATCHES = 64, 4096
INOTIFY = "/proc/sys/fs/inotify"


def examine(place: Place) -> list[Finding]:
    """Look at this machine and, where the call stands in one, at a worktree."""
    found = [*_inotify(), *_git(place)]
    return [*found, *_worktree(place)] if place.worktree else found


def _inotify() -> Iterator[Finding]:
    limits = {}
    for name in ("max_user_instances", "max_user_watches"):
        try:
            with open(f"{INOTIFY}/{name}", encoding="ascii") as handle:
                limits[name] = int(handle.read())
        except (OSError, ValueError):
            return
    instances, watches = limits["max_user_instances"], limits["max_user_watches"]
    text = f"{instances} instances and {watches} watches a user; an agent takes 1 and about 7"
    if instances < LEAST_INSTANCES or watches < LEAST_WATCHES:
        yield warning("inotify", text, "sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536")
    else:
        yield good("inotify", text)


def _git(place: Place) -> Iterator[Finding]:
    from peercoord.edges.team import git

    if shutil.which("git") is None:
        yield bad("git", "there is no git on PATH", "install git")
        return
    try:
        version = git.text(place.project, "version")
        listed = git.text(place.project, "worktree", "list", "--porcelain").splitlines()
    except PeercoordError as error:
        yield warning("git", f"{place.project} is no git repository: {error.message}")
        return
    gone = [line for line in listed if line.startswith("prunable")]
    if gone:
        mended = FIX if _team_lost(place) else f"git -C {place.project} worktree prune"
        yield warning("git", f"{len(gone)} worktree(s) are registered and gone", mended)
    else:
        yield good("git", version)


def _team_lost(place: Place) -> bool:
    """Tell whether a worktree of the team is gone: to prune that would forget whose it was."""
    from peercoord.edges.team import repository
    from peercoord.edges.team.seats import seats

    return any(not seat.worktree.exists() for seat in seats(repository.discover(place.project)))


def _worktree(place: Place) -> Iterator[Finding]:
    from peercoord.edges.team.up import coordinate_sh

    start = f"peercoord -C {place.worktree} agent start"
    status = agentctl.status(place.worktree)
    if not status["running"]:
        yield warning("agent", "no agent runs for this worktree", start)
    elif status["stopped"]:
        yield warning("agent", f"the agent, process {status['pid']}, is stopped", f"kill -CONT {status['pid']}")
    else:
        yield good("agent", f"process {status['pid']} runs as {status['incarnation']}")
    home = f"{place.worktree}/{names.INSTANCE}"
    try:
        with open(f"{home}/coordinate.sh", "rb") as handle:
            same = handle.read() == coordinate_sh()
    except OSError:
        same = False
    if not same:
        yield warning(
            "coordinate.sh", "it is missing or not this version's", f"peercoord -C {place.worktree} doctor --fix"
        )
    waiting = [n for n in os.listdir(f"{home}/{door.OUTBOX}") if door.parse_name(n)] if _is_dir(home) else []
    unanswered = [n for n in waiting if not os.path.exists(f"{home}/{door.answer(n)}")]
    if unanswered and not status["running"]:
        yield warning("outbox", f"{len(unanswered)} request(s) wait for an agent", start)
    if os.access(place.coordination, os.W_OK):
        yield good("sandbox", "calls may write the coordination directory themselves")
    else:
        yield warning("sandbox", f"{place.coordination} cannot be written from here: calls go through the agent", start)


def _is_dir(home: str) -> bool:
    return os.path.isdir(f"{home}/{door.OUTBOX}")


def mend(place: Place) -> list[str]:
    """Put this version's ``coordinate.sh`` into the worktree."""
    from peercoord.edges.team.up import coordinate_sh

    script = f"{place.worktree}/{names.INSTANCE}/coordinate.sh"
    try:
        with open(script, "rb") as handle:
            if handle.read() == coordinate_sh():
                return []
    except OSError:
        pass
    staged = f"{script}.new"
    with open(staged, "wb") as handle:
        handle.write(coordinate_sh())
    os.chmod(staged, 0o755)  # noqa: S103 - a script is for running
    os.replace(staged, script)
    return [f"wrote {script}"]
