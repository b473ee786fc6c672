"""Publishing the views: at once when something changed, cheaply when nothing did.

A reader sees from ``updated_at`` in ``state.json`` that someone leads, so that file is written every time. All else is
read and written only when a directory in which tickets, peers or reports lie has changed since, or when a while has
passed: a definition edited in place changes no directory.
"""

from __future__ import annotations

from peercoord.core import names, records, views

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peercoord.core.records import Json
    from peercoord.core.views import Board
    from peercoord.roles.views import Reader

EVERYTHING_SECONDS = 300.0  # between two readings of everything, whatever the directories say


class Publisher:
    """Keeps the two views fresh.

    Args:
        reader: Reads the board.
        leads: Tells whether this peer still leads; asked before anything is written.
    """

    def __init__(self, reader: Reader, leads: Callable[[], bool]) -> None:
        self.reader, self.leads = reader, leads
        self.root = reader.root
        self.files = reader.files
        self._mark: tuple[object, ...] = ()
        self._board: Board | None = None
        self._queue: Json = {}
        self._read_at = float("-inf")

    def run(self, _term: int) -> None:
        """Publish what is to be published."""
        mark, now = tuple(self._marks()), self.root.clock.monotonic()
        board = self._board
        if board is None or mark != self._mark or now - self._read_at >= EVERYTHING_SECONDS:
            board = self.reader.board()
            self._read_at = now
        board.now = self.root.clock.now()
        queue = views.task_queue(board)
        changed = {**queue, "updated_at": ""} != {**self._queue, "updated_at": ""}
        if not self.leads():
            return
        if changed or self.files.stat(names.TASK_QUEUE) is None:
            self.files.put(names.TASK_QUEUE, records.encode(queue))
        self.files.put(names.STATE, records.encode(views.state(board)))
        self._mark, self._board, self._queue = mark, board, queue

    def _marks(self) -> Iterator[object]:
        """When each directory that tells of a change last changed. Those of waiting tickets are too many to ask."""
        for path in (names.NEW, names.WAITING, names.DEPARTED, names.PEERS, names.REPORTS, names.QUARANTINE):
            yield self._changed(path)
        for base in (names.READY, names.PARKED, names.DONE, names.MEMORY, names.TASKS):
            for name in sorted(self.files.scan(base)):
                path = f"{base}/{name}"
                yield name, self._changed(path)
                if base == names.READY:
                    yield from ((block, self._changed(f"{path}/{block}")) for block in sorted(self.files.scan(path)))
        for name in sorted(self.files.scan(names.PEERS)):
            home = f"{names.PEERS}/{name}"
            yield name, self._changed(home), self._changed(names.claims_dir(home))

    def _changed(self, path: str) -> int:
        seen = self.files.stat(path)
        return seen.modified_ns if seen else 0
