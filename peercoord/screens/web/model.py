"""What the pages show: a team at one moment, read once for all pages that are open."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.membership.membership import judge
from peercoord.queue.queue import Queue
from peercoord.screens import graph
from peercoord.screens.changes import Changes
from peercoord.screens.history import Historian, History
from peercoord.screens.overview import Overview, overview
from peercoord.status import needs
from peercoord.status.board import Reader
from peercoord.store import ids, paths
from peercoord.store.root import open_root

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.review.items import Item
    from peercoord.screens.changes import Diff
    from peercoord.status.attempts import Attempt
    from peercoord.status.needs import Doing
    from peercoord.status.views import Board, PeerView, Row

FRESH_SECONDS = 0.5  # how long what was read serves other pages too


@dataclass
class Scene:
    """A team at one moment; what few pages need is read when it is first asked for."""

    source: Source
    overview: Overview

    @property
    def board(self) -> Board:
        """The tasks and instances."""
        return self.overview.board

    @cached_property
    def peers(self) -> list[tuple[PeerView, Doing]]:
        """Every instance, also the lost ones, and what it does."""
        known = sorted([*self.board.peers, *self.board.lost], key=lambda peer: ids.natural(peer.name))
        return [(peer, needs.doing(self.board, peer)) for peer in known]

    @cached_property
    def history(self) -> History:
        """What happened."""
        return self.source.historian.history(self.board)

    @cached_property
    def attempts(self) -> dict[str, list[Attempt]]:
        """The attempts at each task, in order."""
        found: dict[str, list[Attempt]] = {}
        for one in sorted(self.history.attempts, key=lambda one: one.epoch):
            found.setdefault(one.task, []).append(one)
        return found

    @cached_property
    def events(self) -> dict[str, list[Json]]:
        """The events about each task, by time."""
        found: dict[str, list[Json]] = {}
        for event in self.history.events:
            found.setdefault(ids.read(event.get("task")), []).append(event)
        return found

    @cached_property
    def after(self) -> dict[str, list[str]]:
        """The tasks that depend on each task."""
        found: dict[str, list[str]] = {}
        for row in self.board.rows:
            for one in dict.fromkeys(row.definition.dependencies) if row.definition else ():
                found.setdefault(one, []).append(row.task)
        return found

    @cached_property
    def graph(self) -> graph.Graph:
        """What tasks wait for."""
        return graph.graph(self.board)

    @cached_property
    def reviews(self) -> list[Item]:
        """The changes of the memory bank that wait for a decision."""
        from peercoord.memory import runner
        from peercoord.review.items import ReviewQueue

        root = self.source.root
        try:
            return ReviewQueue(runner.bank_of(root), root, self.source.path).items
        except PeercoordError:  # no memory bank
            return []


class Source:
    """Reads the team of one project, for several threads.

    Args:
        project: The project's main checkout.
        path: Its coordination directory.
        store_id: The id of that; empty if the caller knows none.
    """

    def __init__(self, project: str, path: str, store_id: str = "") -> None:
        self.project, self.path = project, path
        self.root = open_root(path, store_id)
        self.queue = Queue(self.root)
        self.reader = Reader(self.queue, lambda who: judge(self.root, who))
        self.historian = Historian(self.reader)
        self.changes = Changes(project)
        self.lock = threading.RLock()
        """Held by a thread that reads: what was read is kept, and the readers are not made for two at a time."""
        self._scene: tuple[float, Scene] | None = None

    def scene(self, fresh: bool = False) -> Scene:
        """Read the team, or return what was read a moment ago."""
        with self.lock:
            if fresh or self._scene is None or time.monotonic() - self._scene[0] > FRESH_SECONDS:
                self._scene = time.monotonic(), Scene(self, overview(self.reader, self.project))
            return self._scene[1]

    def diff(self, scene: Scene, row: Row) -> tuple[Diff | None, str]:
        """Return what the branch of a task changes, and why that cannot be told."""
        holder = next((peer for peer, _ in scene.peers if row.holder and peer.name == row.holder), None)
        try:
            return self.changes.of_task(holder, (self.queue.result(row.task) or (0, "", {}))[2]), ""
        except PeercoordError as error:
            return None, error.message

    def result(self, attempt: Attempt) -> Json:
        """Read the whole record of an attempt that has ended; empty if it cannot be read."""
        path = paths.result(attempt.task, attempt.epoch, attempt.outcome)
        return self.queue.read_record(path) or {}
