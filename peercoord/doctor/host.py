"""Check this machine, and the worktree that the doctor was called in."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.agent import control
from peercoord.doctor.checks import bad, command, good, warning
from peercoord.errors import PeercoordError
from peercoord.foreign import counted
from peercoord.mailbox import protocol
from peercoord.store import paths
from peercoord.store.refusals import refused
from peercoord.system import git, gitdirs
from peercoord.team import repository
from peercoord.team.up import SCRIPT, coordinate_sh, write_script
from peercoord.worktree.context import FIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.doctor.checks import Finding
    from peercoord.worktree.context import Place

LEAST_INSTANCES, LEAST_WATCHES = 64, 4096
INOTIFY = "/proc/sys/fs/inotify"


def examine(place: Place) -> list[Finding]:
    """Check this machine and the caller's worktree."""
    found: list[Finding] = [*_inotify()]
    for about, part in (
        ("rights", _rights),
        ("git", _git),
        ("worktree", _worktree if place.worktree else lambda _: iter(())),
    ):
        try:
            found += part(place)
        except PeercoordError as error:
            found.append(bad(about, error.message, error.hint))
        except OSError as error:
            found.append(bad(about, refused(error, str(error.filename)).message))
    return found


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
    if shutil.which("git") is None:
        yield bad("git", "there is no git on PATH", "install git")
        return
    try:
        version = git.text(place.project, "version")
        repository.refuse_irregular(Path(gitdirs.repository(place.project)[2]))
        listed = git.text(place.project, "worktree", "list", "--porcelain")
    except PeercoordError as error:
        if error.code == "irregular":
            yield bad("git", error.message, error.hint)
        else:
            yield warning("git", f"{place.project} is no git repository: {error.message}")
        return
    blocks = [git.lines(block) for block in listed.split("\n\n")]
    gone = [block[0].partition(" ")[2] for block in blocks if any(line.startswith("prunable") for line in block)]
    if gone:
        team = repository.team_instances(repository.discover(place.project))
        lost = any(not instance.worktree.exists() for instance in team)  # pruning would forget the instance
        fix = FIX if lost else command("git", "-C", place.project, "worktree", "prune")
        yield warning(
            "git", f"{counted(gone, 'worktree', 'is', 'are')} registered and gone: {', '.join(gone[:5])}", fix
        )
    else:
        yield good("git", version)


def _worktree(place: Place) -> Iterator[Finding]:
    start = command("peercoord", "-C", place.worktree, "agent", "start")
    status = control.status(place.worktree)
    if not status["running"]:
        yield warning("agent", "no agent runs for this worktree", start)
    elif status["stopped"]:
        yield warning("agent", f"the agent, process {status['pid']}, is stopped", f"kill -CONT {status['pid']}")
    else:
        yield good("agent", f"process {status['pid']} runs as {status['incarnation']}")
    files = place.files()
    if files.peek(SCRIPT) != coordinate_sh():
        fix = command("peercoord", "-C", place.worktree, "doctor", "--fix")
        yield warning("coordinate.sh", "it is missing or not this version's", fix)
    waiting = [name for name in files.scan(protocol.OUTBOX) if protocol.parse_name(name)]
    unanswered = [name for name in waiting if files.stat(protocol.answer(name)) is None]
    if unanswered and not status["running"]:
        yield warning("outbox", f"{counted(unanswered, 'request', 'waits', 'wait')} for an agent", start)
    if os.access(place.coordination, os.W_OK):
        yield good("sandbox", "calls may write the coordination directory themselves")
    else:
        yield warning("sandbox", f"{place.coordination} cannot be written from here: calls go through the agent", start)


def fix_script(place: Place) -> list[str]:
    """Write this version's ``coordinate.sh`` into the worktree."""
    return [f"wrote {place.worktree}/{paths.INSTANCE}/{SCRIPT}"] if write_script(place.files()) else []


# -- who may write the team's state --------------------------------------------------------------------------------


_LEVELS = 2  # of directories below the coordination directory that are looked at
_REPLACEABLE = stat.S_IWOTH | stat.S_ISVTX  # open to all, unless the sticky bit is set


def _rights(place: Place) -> Iterator[Finding]:
    """Find directories that everyone may write, from the filesystem's root to the team's state."""
    open_to_all = [path for path in _directories(place.coordination, _LEVELS) if os.lstat(path).st_mode & stat.S_IWOTH]
    if open_to_all:
        more = f" and {len(open_to_all) - 1} more below it" if len(open_to_all) > 1 else ""
        text = f"every user of this machine may write {open_to_all[0]}{more}"
        yield bad("rights", text, f"chmod -R o-w {shlex.quote(place.coordination)}")
    project = Path(place.project)
    above = [path for path in (project, *project.parents) if path.stat().st_mode & _REPLACEABLE == stat.S_IWOTH]
    for path in above:
        text = f"every user of this machine may replace what lies in {path}, the team's state with it"
        yield bad("rights", text, f"chmod o-w {shlex.quote(str(path))}")
    if not open_to_all and not above:
        yield good("rights", "only this user and the group may write the team's state")


def _directories(top: str, levels: int) -> Iterator[str]:
    yield top
    if levels:
        with os.scandir(top) as entries:
            inner = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
        for path in inner:
            yield from _directories(path, levels - 1)
