"""Tell open pages that something changed. One thread waits for changes, while a page is open; nothing is polled."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.screens.watching import Watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from peercoord.screens.web.model import Source

LEAST_SECONDS = 0.4  # between two looks, however much happens
SHARE = 4  # after a look that took long, the next one begins so many times its own duration later
MORE_SECONDS = 0.1  # after a change, for others that belong to it
STREAMS_MOST = 32  # open pages; a browser holds the stream of a page only while that is looked at
PING_SECONDS = 20.0  # between two signs of life to a page, so that a lost connection is noticed


class Live:
    """The open pages, and the thread that looks for them.

    Args:
        source: What is looked at.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: set[asyncio.Event] = set()
        self._watching: Watching | None = None
        self._ends = False

    @property
    def full(self) -> bool:
        """Whether as many pages are open as may be."""
        return len(self._open) >= STREAMS_MOST

    async def changes(self) -> AsyncIterator[bool]:
        """Yield at once, then after each look that follows a change; ``False`` if only time went by."""
        self._loop = asyncio.get_running_loop()
        mine = asyncio.Event()
        self._open.add(mine)
        if self._watching is None and not self._ends:
            self._watching = Watching(self.source.root)
            threading.Thread(target=self._look, args=[self._watching], daemon=True).start()
        try:
            yield True
            while not self._ends:
                try:
                    await asyncio.wait_for(mine.wait(), PING_SECONDS)
                    mine.clear()
                    if not self._ends:
                        yield True
                except TimeoutError:
                    yield False
        finally:
            self._open.discard(mine)
            if not self._open and self._watching is not None:
                watching, self._watching = self._watching, None
                watching.wake()

    def stop(self) -> None:
        """End all open connections."""
        self._ends = True
        self._tell()

    def _look(self, watching: Watching) -> None:
        """Look whenever something changed, until no page is open."""
        try:
            watching.renew()
            while self._watching is watching:
                began = time.monotonic()
                try:
                    board = self.source.scene(fresh=True).board
                    watching.renew([peer.record for peer in board.peers])
                except (PeercoordError, OSError):  # the page says why when it is drawn
                    watching.renew()
                took = time.monotonic() - began
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._tell)
                ended = time.monotonic()
                watching.wait(watching.pause(took))
                rest = max(LEAST_SECONDS, SHARE * took) - (time.monotonic() - ended)
                time.sleep(max(MORE_SECONDS, rest))
        except RuntimeError:  # the loop is closed: the program ends
            return
        finally:
            watching.close()

    def _tell(self) -> None:
        for one in self._open:
            one.set()
