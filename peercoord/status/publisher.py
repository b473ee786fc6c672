"""Publish the views: at once when something changed, cheaply when nothing did.

``updated_at`` in ``state.json`` shows that a peer leads, so that file is written every time. Everything else is read
and written only when a directory of tickets, peers or reports has changed since, or after ``FULL_RESCAN_S``: a
definition edited in place changes no directory.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from peercoord.status import views
from peercoord.store import paths, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.status.board import Reader

FULL_RESCAN_S = 300.0  # seconds between two full readings, even if no directory has changed


class Publisher:
    """Keeps the two views fresh, while this peer leads. Between readings it keeps only the text of ``state.json``."""

    def __init__(self, reader: Reader, leads: Callable[[], bool]) -> None:
        self.reader, self.leads = reader, leads
        self.root = reader.root
        self.files = reader.files
        self.rest()

    def rest(self) -> None:
        """Forget everything, because another peer leads."""
        self.reader.forget()
        self._marks = 0
        self._state = b""
        self._stamp = ""
        self._queue = 0
        self._read_at = float("-inf")

    def run(self, _term: int) -> None:
        """Write ``state.json``, and ``task_queue.json`` if a task changed."""
        marks, now = hash(tuple(self._fingerprint())), self.root.clock.monotonic()
        lost = self.files.stat(paths.TASK_QUEUE) is None
        if not self._state or lost or marks != self._marks or now - self._read_at >= FULL_RESCAN_S:
            self._read(lost)
            self._marks, self._read_at = marks, now
        stamp = self.root.clock.now()
        self._state = self._state.replace(_line(self._stamp), _line(stamp), 1)
        self._stamp = stamp
        if self.leads():
            self.files.put(paths.STATE, self._state)

    def _read(self, lost: bool) -> None:
        board = self.reader.board()
        self._stamp = board.now
        self._state = records.encode(views.state(board))
        queue = records.encode(views.task_queue(board))
        mark = zlib.crc32(queue.replace(_line(board.now), b"", 1))
        if (mark != self._queue or lost) and self.leads():
            self.files.put(paths.TASK_QUEUE, queue)
            self._queue = mark

    def _fingerprint(self) -> Iterator[object]:
        """Modification times of the directories that show a change, and the verdict on each peer.

        There are too many directories of waiting tickets to look at.
        """
        for path in (paths.NEW, paths.WAITING, paths.DEPARTED, paths.PEERS, paths.REPORTS, paths.QUARANTINE):
            yield self._changed(path)
        for base in (paths.READY, paths.PARKED, paths.DONE, paths.MEMORY, paths.TASKS):
            for name in sorted(self.files.scan(base)):
                path = f"{base}/{name}"
                yield name, self._changed(path)
                if base == paths.READY:
                    yield from ((block, self._changed(f"{path}/{block}")) for block in sorted(self.files.scan(path)))
        for name in sorted(self.files.scan(paths.PEERS)):
            home, who = f"{paths.PEERS}/{name}", paths.parse_incarnation(name)
            verdict = self.reader.judge(who).state if who else ""
            yield name, verdict, self._changed(home), self._changed(paths.claims_dir(home))

    def _changed(self, path: str) -> int:
        seen = self.files.stat(path)
        return seen.modified_ns if seen else 0


def _line(stamp: str) -> bytes:
    """The line of a view that says when it was published."""
    return f'  "updated_at": "{stamp}"'.encode()
