"""Collect ``memory-contributions/`` for the agent and for ``update-memory``.

The Markdown parser is loaded when the first file appears.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.foreign import counted
from peercoord.store import paths
from peercoord.system.sessions import Caller

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.memory.collector import Collected, Collector, FolderScan
    from peercoord.queue.peer import Peer
    from peercoord.worktree.call import WorktreeCall
    from peercoord.worktree.context import Place

FOLDER = f"{paths.INSTANCE}/memory-contributions"
TOLD_MOST = 20  # contributions of one look that the peer's own report names


def collector_of(place: Place) -> Collector:
    """Return the collector of a worktree."""
    from peercoord.memory.collector import Collector
    from peercoord.memory.runner import bank_of
    from peercoord.store.root import open_root

    root = open_root(place.coordination, place.store_id)
    return Collector(root, place.tree(), bank_of(root).files, place.instance)


def take(call: WorktreeCall, peer: Peer, collector: Collector, scan: FolderScan) -> Collected:
    """Queue what a look showed, within a call of the worktree's peer, and note it in the peer's report."""
    held = peer.worker.held()
    done = collector.take(scan, held[0].task if held else "", call.told)
    for one in done.contributions[-TOLD_MOST:]:
        peer.worker.reports.contributed(peer.membership.me, one.raw)
    return done


class CollectionJob:
    """Collects from one worktree, for its agent."""

    def __init__(self, worktree: str, place: Callable[[], Place], log: Callable[[str], None]) -> None:
        self.worktree, self.place, self.log = worktree, place, log
        self._collector: Collector | None = None
        self._store = ""

    def run(self) -> float | None:
        """Collect what is there; return the seconds until the next look, ``None`` if nothing is pending."""
        place = self.place()
        if self._collector is None:
            with suppress(PeercoordError):  # what cannot be listed may hold something
                if all(name.startswith(".") for name in place.files().scan("memory-contributions")):
                    return None
        if self._collector is None or self._store != place.store_id:
            self._collector, self._store = collector_of(place), place.store_id
        scan = self._collector.look()
        if scan.ready or scan.refused:
            from peercoord.worktree.call import WorktreeCall

            call = WorktreeCall(self.place(), Caller(), heard=False)
            with call.peer() as peer:
                done = take(call, peer, self._collector, scan)
            if done.contributions:
                documents = ", ".join(sorted({one.document for one in done.contributions}))
                self.log(f"{counted(done.contributions, 'contribution')} queued for {documents}")
            for name, why in done.refused:
                known = name in why.message
                self.log(f"not taken from {FOLDER}: {why.message}" if known else f"{name!a}: {why.message}")
            for note in done.notes:
                self.log(note)
        return self._collector.again(scan)
