"""Wait for a task within a call that no agent serves. Nothing is locked meanwhile."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.membership.membership import Membership
from peercoord.queue.prospect import Prospect
from peercoord.queue.queue import Queue
from peercoord.store import paths
from peercoord.store.root import open_root
from peercoord.system import process
from peercoord.system.watch import Changes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from peercoord.worktree.context import Place

    T = TypeVar("T")


def until_ready(place: Place, seconds: float, ask: Callable[[], tuple[T, bool]]) -> T:
    """Ask until a task is ready, or the time is over; return the last answer."""
    end = time.monotonic() + seconds
    answer, unready = ask()
    if not unready or time.monotonic() >= end:
        return answer
    bell = _Bell(place)
    try:
        bell.listen()
        while unready and time.monotonic() < end:
            bell.wait(end)
            answer, unready = ask()
    finally:
        bell.close()
    return answer


class _Bell:
    """Notices when a task may be ready, and records meanwhile that a caller waits."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.queue = Queue(open_root(place.coordination, place.store_id))
        self._rung = threading.Event()
        self._changes = Changes(lambda *_: self._rung.set())

    def listen(self) -> None:
        """Begin to listen, before the first look."""
        self._hears = self._changes.watch("bell", f"{self.place.coordination}/{paths.BELL}")
        me = self.place.incarnation
        self._prospect = Prospect(self.queue, paths.peer_dir(me) if me else "")
        self._show({"since": self.queue.root.clock.now(), **(process.identify(os.getpid()) or {})})

    def close(self) -> None:
        """Stop listening; also after an interrupted ``listen``."""
        self._changes.close()
        self._show(None)

    def _show(self, fact: object) -> None:
        me = self.place.incarnation
        with suppress(PeercoordError):  # the record is for people: a failure stops nothing
            if me is not None:
                with self.place.files().held("call.lock"):
                    Membership(self.queue.root, me).update(waiting=fact)

    def wait(self, end: float) -> None:
        """Wait until asking again makes sense, or until ``end`` of the monotonic clock."""
        while not self._prospect.is_there() and (left := end - time.monotonic()) > 0:
            self._rung.wait(min(self._prospect.pause(self._hears), left))
            self._rung.clear()
