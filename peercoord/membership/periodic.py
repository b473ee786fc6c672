"""A job of the leader: a command of this installation, run when something that it depends on has changed.

The command is a process of its own: an agent needs no database driver and no Markdown parser in its memory, an idle
team costs a few looks at directories, and a server that does not answer holds up no claim and no report.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from peercoord.system import child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.foreign import Json
    from peercoord.store.files import Files
    from peercoord.store.root import Root

BURST = 10  # runs in a row that urgent changes may call for …
PACE_S = 3.0  # … then one run in this many seconds: a process each second would be too much


class PeriodicChild:
    """Runs a command every so often if anything changed, and early if something urgent did.

    Subclasses say what is urgent, what is watched, and which command it is.
    """

    FULL_RESCAN_S = float("inf")
    """Seconds after which it runs although nothing seems to have changed."""

    def __init__(self, root: Root, worktree: str, command: Sequence[str], every: float) -> None:
        self.root, self.worktree, self.command, self.every = root, worktree, list(command), every
        self.files = root.files
        self.rest()

    def rest(self) -> None:
        """Forget what was seen: another peer leads."""
        self._looked = self._finished = float("-inf")
        self._urgent: object = None
        self._watched: object = None
        self._credit, self._counted = float(BURST), float("-inf")

    def urgent(self) -> object:
        """Return a fingerprint of what calls for a run at once. It must be cheap: every change asks for it."""
        raise NotImplementedError

    def watched(self) -> object:
        """Return a fingerprint of everything that a run depends on; ``None`` if there is nothing to do."""
        raise NotImplementedError

    def call(self, term: int) -> bool:
        """Run the command; return whether to run it again at the next look, even if nothing has changed."""
        raise NotImplementedError

    def run(self, term: int) -> float:
        """Run the command, if there may be something to do; return the seconds after which to run in any case."""
        now, urgent = self.root.clock.monotonic(), self.urgent()
        is_new = urgent != self._urgent
        if now - self._looked < self.every and not (is_new and self._may_run_early(now)):
            return min(PACE_S if is_new else self.every, self._looked + self.every - now)
        watched = self.watched()  # before the run: what changes meanwhile is another change
        if watched is not None and (watched != self._watched or now - self._finished > self.FULL_RESCAN_S):
            again = self.call(term)
            self._watched = None if again else watched
            self._finished = self._finished if again else now
        self._looked, self._urgent = now, urgent
        return max(0.0, now + self.every - self.root.clock.monotonic())

    def _may_run_early(self, now: float) -> bool:
        credit = min(float(BURST), self._credit + (now - self._counted) / PACE_S)
        self._credit, self._counted = credit - (credit >= 1), now
        return credit >= 1

    def ask(self, words: Sequence[str], what: str, hint: str) -> Json:
        """Run a command as a process of its own and return what it answers."""
        return child.ask(self.command, str(self.root.project), self.worktree, words, what, hint)


def changed_at(files: Files, path: str) -> int:
    """Return when a file or directory last changed; 0 if it is missing."""
    seen = files.stat(path)
    return seen.modified_ns if seen else 0


def changed_below(files: Files, base: str) -> tuple[tuple[str, int], ...]:
    """Return the entries of a directory and when each last changed."""
    return tuple((name, changed_at(files, f"{base}/{name}")) for name in sorted(files.scan(base)))


def state_of_file(path: str) -> tuple[int, int]:
    """Return when a file outside of the coordination directory last changed, and its size; zeros if missing."""
    try:
        seen = os.stat(path)
    except OSError:
        return 0, 0
    return seen.st_mtime_ns, seen.st_size
