"""Delete what has expired: litter in ``tmp/``, tombstones, results of finished tasks, rotated events.

Ages are measured against a file made now in the same place, so no wrong machine clock makes anything old. Never
deleted: births, definitions, a task's newest result, anything of a task that is not done, memory contributions that are
not settled, and what is in quarantine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.queue import placement
from peercoord.store import paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.store.root import Root

TMP_SECONDS = 30  # a file staged for longer belongs to a process that was killed, or stopped and fails safely
DAY_SECONDS = 86400


class Archivist:
    """Keeps one coordination directory small; ``also`` deletes what other capabilities keep there."""

    def __init__(self, root: Root, also: Callable[[int, int], None] | None = None) -> None:
        self.root = root
        self.files = root.files
        self.also = also

    def run(self, _term: int = 0) -> None:
        """Delete everything whose retention has ended."""
        now = self.files.now()
        old = now - self.root.number("retention_days") * DAY_SECONDS * 10**9
        self.tombstones(old)
        self.results(old)
        for name in self.files.scan(paths.EVENTS):
            if name.endswith(".jsonl.1"):
                self._drop(f"{paths.EVENTS}/{name}", old)
        if self.also:
            self.also(now, old)

    def litter(self, _term: int = 0) -> None:
        """Remove what crashes left in ``tmp/``."""
        old = self.files.now() - TMP_SECONDS * 10**9
        for name in self.files.scan(paths.TMP):
            self._drop_tree(f"{paths.TMP}/{name}", old)

    def assignments(self, home: str) -> None:
        """Remove a peer's assignment records whose claim is gone, while that peer has no call running."""
        noted = self.files.scan(paths.assignments_dir(home))  # first: a record follows its claim
        claims = set(self.files.scan(paths.claims_dir(home)))
        for name in noted:
            if name.endswith(".json") and name.removesuffix(".json") not in claims:
                self.files.remove(f"{paths.assignments_dir(home)}/{name}")

    def tombstones(self, old: int) -> None:
        """Remove directories of departed peers that are sealed and older than ``old``, nanoseconds."""
        for name in self.files.scan(paths.DEPARTED):
            home = f"{paths.DEPARTED}/{name}"
            if paths.parse_departed(name) and "claims" not in self.files.scan(home):
                self._drop_tree(home, old)

    def results(self, old: int) -> None:
        """Remove results older than ``old`` of done tasks, except the newest of each."""
        for shard in self.files.scan(paths.RESULTS):
            entries = self.files.scan(f"{paths.RESULTS}/{shard}")
            for task in self.files.scan(f"{paths.DONE}/{shard}"):
                ended = placement.outcomes(task, entries)
                for epoch, outcome in ended:
                    if epoch < ended[-1][0]:
                        self._drop(paths.result(task, epoch, outcome), old)

    def _drop(self, path: str, old: int) -> None:
        """Remove a file if it is older than ``old``."""
        seen = self.files.stat(path)
        if seen and not seen.is_dir and max(seen.modified_ns, seen.changed_ns) < old:
            self.files.remove(path)

    def _drop_tree(self, path: str, old: int) -> None:
        """Remove a file, or a directory with its content, if it is older than ``old``."""
        seen = self.files.stat(path)
        if seen and max(seen.modified_ns, seen.changed_ns) < old:
            self._remove(path)

    def _remove(self, path: str) -> None:
        """Remove a file, or a directory of any depth with its content. A link is removed, not followed."""
        left = [(path, False)]
        while left:
            one, is_empty = left.pop()
            seen = None if is_empty else self.files.stat(one)
            if is_empty:
                self.files.remove_dir(one)
            elif seen and seen.is_dir:
                left += [(one, True), *((f"{one}/{name}", False) for name in reversed(self.files.scan(one)))]
            else:
                self.files.remove(one)
