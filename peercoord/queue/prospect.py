"""When a caller that waits for a task asks again, from listings alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.queue.counts import count_tasks
from peercoord.store import paths

if TYPE_CHECKING:
    from peercoord.queue.queue import Queue

LEAST_SECONDS = 1.0  # between two useful calls: a listed ticket may be out of reach
POLL_SECONDS = 5.0  # between two looks if the bell is noticed
DEAF_SECONDS = 2.0  # if it is not


class Prospect:
    """Whether a caller that got no task may get one now."""

    def __init__(self, queue: Queue, home: str) -> None:
        self.queue, self.home = queue, home
        self._now = queue.root.clock.monotonic
        self._rests = float("-inf")  # until then it is not worth asking again
        self._counts: dict[str, int] = {}

    def is_there(self) -> bool:
        """Check whether asking again may help now.

        It may if a task is ready, this peer was given one, the last task is finished, or the team was taken down. True
        at most once a second, because a listed ticket may be one that no peer can claim.
        """
        now = self._now()
        if now < self._rests:
            return False
        found = self._look()
        if found:
            self._rests = now + LEAST_SECONDS
        return found

    def pause(self, hears: bool) -> float:
        """Return the seconds until the next look is due, for a caller that notices the bell or does not."""
        rest = self._rests - self._now()
        return rest if rest > 0 else POLL_SECONDS if hears else DEAF_SECONDS

    def _look(self) -> bool:
        files = self.queue.files
        homes = [*self.queue.ready_shards(), *([paths.claims_dir(self.home)] if self.home else [])]
        if files.stat(paths.DOWN) is not None or any(map(self._has_ticket, homes)):
            return True
        counts = count_tasks(files)
        changed, self._counts = counts != self._counts, counts
        return changed and not (counts["in_progress"] or counts["ready"] or counts["waiting"])

    def _has_ticket(self, home: str) -> bool:
        """Check whether a directory lists a task that is not done; other names may lie in it too."""
        return any(ticket and not ticket.done for ticket in map(paths.parse_ticket, self.queue.files.scan(home)))
