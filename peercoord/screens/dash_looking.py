"""Read the team in a thread of its own, at each change."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.screens.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.screens.dash_source import Source, View

REST_SECONDS = 0.15  # between a change and the look at it: changes come in bursts
WHOLE_SHARE = 9  # reading every task of a large team is followed by a rest from that so many times as long


class Looking:
    """The thread.

    Args:
        source: Reads the team.
        seen: Told in the thread what was read, or why it could not be read.
    """

    def __init__(self, source: Source, seen: Callable[[View | None, str], object]) -> None:
        self._source, self._seen = source, seen
        self._watching = Watching(source.root)
        self._ends = threading.Event()
        self.thread = threading.Thread(target=self._look_on, daemon=True)
        self.wake = self._watching.wake

    def end(self) -> None:
        """End the thread."""
        self._ends.set()
        self.wake()
        self.thread.join(5)
        if not self.thread.is_alive():
            self._watching.close()

    def _look_on(self) -> None:
        self._watching.renew()
        due = 0.0  # when every task of a large team may be read again
        while not self._ends.is_set():
            began, view = time.monotonic(), None
            try:
                view = self._source.view()
                took = time.monotonic() - began
                self._seen(view, "")
                if self._source.lags and time.monotonic() >= due:
                    begin = time.monotonic()
                    self._seen(self._source.catch_up(view), "")
                    due = time.monotonic() + WHOLE_SHARE * (time.monotonic() - begin)
            except (PeercoordError, OSError) as error:
                took = time.monotonic() - began
                self._seen(None, str(error))
            self._watching.renew([peer.record for peer in view.board.peers] if view else [])
            pause = self._watching.pause(took)
            self._watching.wait(max(0.0, min(pause, due - time.monotonic())) if self._source.lags else pause)
            self._ends.wait(max(REST_SECONDS, took))
