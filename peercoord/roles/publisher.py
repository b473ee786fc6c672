"""Publishing the views: at once when something changed, cheaply when nothing did.

A reader sees from ``updated_at`` in ``state.json`` that someone leads, so that file is written every time. All else is
read and written only when a directory in which tickets, peers or reports lie has changed since, or when a while has
passed: a definition edited in place changes no directory.
"""

from __future__ import annotations

import zlib

from peercoord.core import names, records, views

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.roles.views import Reader

EVERYTHING_SECONDS = 300.0  # between two readings of everything, whatever the directories say


class Publisher:
    """Keeps the two views fresh. Between two readings it holds on to the text of one of them, and to nothing else.

    Args:
        reader: Reads the board.
        leads: Tells whether this peer still leads; asked before anything is written.
    """

    def __init__(self, reader: Reader, leads: Callable[[], bool]) -> None:
        self.reader, self.leads = reader, leads
        self.root = reader.root
        self.files = reader.files
        self.rest()

    def rest(self) -> None:
        """Let go of everything: someone else leads."""
        self.reader.forget()
        self._marks = 0
        self._state = b""
        self._stamp = ""
        self._queue = 0
        self._read_at = float("-inf")

    def run(self, _term: int) -> None:
        """Publish what is to be published."""
        marks, now = hash(tuple(self._looks())), self.root.clock.monotonic()
        lost = self.files.stat(names.TASK_QUEUE) is None
        if not self._state or lost or marks != self._marks or now - self._read_at >= EVERYTHING_SECONDS:
            self._read(lost)
            self._marks, self._read_at = marks, now
        stamp = self.root.clock.now()
        self._state = self._state.replace(_line(self._stamp), _line(stamp), 1)
        self._stamp = stamp
        if self.leads():
            self.files.put(names.STATE, self._state)

    def _read(self, lost: bool) -> None:
        board = self.reader.board()
        self._stamp = board.now
        self._state = records.encode(views.state(board))
        queue = records.encode(views.task_queue(board))
        mark = zlib.crc32(queue.replace(_line(board.now), b"", 1))
        if (mark != self._queue or lost) and self.leads():
            self.files.put(names.TASK_QUEUE, queue)
            self._queue = mark

    def _looks(self) -> Iterator[object]:
        """When each directory that tells of a change last changed, and what each peer is judged to be.

        The directories of waiting tickets are too many to ask.
        """
        for path in (names.NEW, names.WAITING, names.DEPARTED, names.PEERS, names.REPORTS, names.QUARANTINE):
            yield self._changed(path)
        for base in (names.READY, names.PARKED, names.DONE, names.MEMORY, names.TASKS):
            for name in sorted(self.files.scan(base)):
                path = f"{base}/{name}"
                yield name, self._changed(path)
                if base == names.READY:
                    yield from ((block, self._changed(f"{path}/{block}")) for block in sorted(self.files.scan(path)))
        for name in sorted(self.files.scan(names.PEERS)):
            home, who = f"{names.PEERS}/{name}", names.parse_incarnation(name)
            verdict = self.reader.judge(who).state if who else ""
            yield name, verdict, self._changed(home), self._changed(names.claims_dir(home))

    def _changed(self, path: str) -> int:
        seen = self.files.stat(path)
        return seen.modified_ns if seen else 0


def _line(stamp: str) -> bytes:
    """The line of a view that says when it was published."""
    return f'  "updated_at": "{stamp}"'.encode()
