"""The mark that a person took the team down: while it exists no peer joins and no task is claimed.

A join and a ``down`` at the same moment never leave a peer in the team: ``down`` writes the mark before it lists the
peers, and a join builds its directory before it checks the mark again. One of the two sees the other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, DownError
from peercoord.foreign import visible
from peercoord.store import paths, records
from peercoord.system import clock

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.store.files import Files
    from peercoord.store.root import Root


def read(files: Files) -> Json | None:
    """Return who took the team down and when; ``None`` while the team is up.

    A mark that a power cut left empty or torn still says that the team is down.
    """
    try:
        data = files.read(paths.DOWN)
        return None if data is None else records.decode(data, paths.DOWN)
    except BrokenFileError:
        return {}


def write(root: Root, by: str, **facts: object) -> None:
    """Mark the team as down, surviving a power cut. The time and name of the first mark stay."""
    known = read(root.files)
    first: Json = {"schema_version": records.SCHEMA_VERSION, "at": root.clock.now(), "by": by}
    record = {**first, **(known or {}), **facts}
    if record != known:
        root.files.put(paths.DOWN, records.encode(record), durable=True)


def remove(root: Root) -> None:
    """Remove the mark."""
    if root.files.remove(paths.DOWN):
        root.files.sync("")


def require_up(files: Files) -> None:
    """Raise a ``DownError`` if a person took the team down."""
    if files.stat(paths.DOWN) is None:
        return
    mark = read(files)
    if mark is not None:
        raise error(files, mark)


def error(files: Files, mark: Json) -> DownError:
    """The error for a caller while the team is down, with how to start it again."""
    return DownError(f"the team was taken down {since(mark)}", hint=f"start it: {command(files)}")


def since(mark: Json) -> str:
    """When the team was taken down, by the clock of this machine, and by whom."""
    at, by = mark.get("at"), mark.get("by")
    who = f" by {visible(by)[:60]}" if isinstance(by, str) and by else ""
    return (f"at {clock.local(at) or visible(at)[:40]}" if isinstance(at, str) and at else "at an unknown time") + who


def command(files: Files) -> str:
    """The command that starts the team again."""
    import shlex

    root = files.place
    return f"claude-team-coordinated {shlex.quote(os.path.dirname(root)) if root else 'PROJECT'}"
