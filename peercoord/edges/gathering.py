"""What the agent of a worktree does about ``memory-contributions/``: nothing at all until something lies there.

The parser of Markdown, and all that goes with it, is loaded when the first file appears.
"""

from __future__ import annotations

import os

from peercoord.core import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.core.records import Json
    from peercoord.edges.context import Place
    from peercoord.roles.gather import Gathered, Gatherer

FOLDER = f"{names.INSTANCE}/memory-contributions"
TOLD_MOST = 20  # contributions of one look that the peer's own report names


class Collector:
    """Collects from one worktree, for its agent.

    Args:
        worktree: Its absolute path.
        place: Says where it stands now.
        session: Gives the coding session on whose behalf it is done.
        log: Writes a line for people.
    """

    def __init__(
        self, worktree: str, place: Callable[[], Place], session: Callable[[], Json | None], log: Callable[[str], None]
    ) -> None:
        self.worktree, self.place, self.session, self.log = worktree, place, session, log
        self._gatherer: Gatherer | None = None
        self._store = ""

    def run(self) -> float | None:
        """Collect what is there.

        Returns:
            Seconds after which to look again; ``None`` if that does not press.

        Raises:
            PeercoordError: It could not be done; it is tried again.
        """
        if self._gatherer is None and not self._anything():
            return None
        gatherer = self._open()
        sight = gatherer.look()
        if sight.ready or sight.refused:
            from peercoord.edges.desk import Desk

            desk = Desk(self.place(), self.session(), heard=False)
            with desk.peer() as peer:
                held = peer.worker.held()
                done = gatherer.take(sight, held[0].task if held else "", desk.told)
                for one in done.contributions[-TOLD_MOST:]:
                    peer.worker.reports.contributed(peer.membership.me, one.raw)
            self._tell(done)
        return gatherer.again(sight)

    def _anything(self) -> bool:
        try:
            with os.scandir(f"{self.worktree}/{FOLDER}") as found:
                return any(not entry.name.startswith(".") for entry in found)
        except OSError:
            return os.path.lexists(f"{self.worktree}/{FOLDER}")

    def _open(self) -> Gatherer:
        from peercoord.edges.banking import bank_of
        from peercoord.fs.disk import Disk
        from peercoord.roles.gather import Gatherer
        from peercoord.roles.root import open_root

        place = self.place()
        if self._gatherer is None or self._store != place.store_id:
            root = open_root(place.coordination, place.store_id)
            self._gatherer = Gatherer(root, Disk(self.worktree), bank_of(root).files, place.instance)
            self._store = place.store_id
        return self._gatherer

    def _tell(self, done: Gathered) -> None:
        if done.contributions:
            documents = ", ".join(sorted({one.document for one in done.contributions}))
            self.log(f"{len(done.contributions)} contribution(s) queued for {documents}")
        for name, why in done.refused:
            self.log(f"not taken from {FOLDER}: {why.message}" if name in why.message else f"{name!a}: {why.message}")
        for note in done.notes:
            self.log(note)
