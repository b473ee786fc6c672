"""When the script answers a call of a tool by itself, because there is nothing to say.

``hooks/quiet/<worktree>/`` holds three files for it. ``heard`` names the worktree, then every directory in which
something may change that the session is told of; the script asks the shell whether one is newer. ``due`` has a time in
the future, after which the program looks again, whatever those say. ``beat`` is touched by each call: it is the sign
that the session works.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import StorageError
from peercoord.store import paths
from peercoord.store.paths import QUIET_BEAT as BEAT
from peercoord.store.paths import QUIET_DUE as DUE
from peercoord.store.paths import QUIET_HEARD as HEARD
from peercoord.system import clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.queue.peer import Peer
    from peercoord.store.files import Files
    from peercoord.worktree.context import Place

DUE_SECONDS = 60
COSTS_MOST = 1 << 20  # bytes, about 20,000 answers of a model
SLACK_SECONDS = 2  # some shells compare whole seconds only


def note(files: Files, place: Place, peer: Peer, held: Iterable[str]) -> None:
    """Let the script answer until something changes; if that fails, it answers nothing by itself."""
    home = paths.quiet(place.worktree)
    watched = [
        paths.claims_dir(peer.membership.home),
        *dict.fromkeys(paths.definition(task).rpartition("/")[0] for task in held),
        paths.BANK_COPY,
        f"{paths.MEMORY}/rejected",
    ]
    there = [path for path in watched if files.stat(path) is not None]
    lines = [place.worktree, *(f"{place.coordination}/{path}" for path in there)]
    if any("\n" in line for line in lines):
        return
    with suppress(StorageError, OSError):
        files.put(f"{home}/{HEARD}", "".join(f"{line}\n" for line in lines).encode())
        files.put(f"{home}/{DUE}", b"")
        files.put(f"{home}/{BEAT}", b"")
        made = os.lstat(f"{place.coordination}/{home}/{HEARD}").st_mtime
        for name, by in ((HEARD, -SLACK_SECONDS), (DUE, DUE_SECONDS)):
            os.utime(f"{place.coordination}/{home}/{name}", (made + by, made + by), follow_symlinks=False)


def trim_costs(files: Files, place: Place, now: str) -> None:
    """Remove what status lines noted of the sessions before, if it became long; a line of no session says when."""
    path = f"{paths.quiet(place.worktree)}/{paths.COSTS}"
    with suppress(StorageError):
        seen = files.stat(path)
        if seen is not None and seen.size > COSTS_MOST:
            files.put(path, f"{clock.seconds(now):.0f} - 0\n".encode())


def forget(files: Files, place: Place) -> None:
    """Let the next call of a tool be answered by the program."""
    with suppress(StorageError):
        files.remove(f"{paths.quiet(place.worktree)}/{HEARD}")
