"""Clearing away what has served its time: litter in ``tmp/``, tombstones, attempts of finished tasks, rotated events.

Ages are told by the filesystem's own clock alone, that of a file made now beside what is judged, so no machine's clock
being wrong makes anything old. Never removed: births, definitions, the newest result of any task, anything of a task
that is not done, memory contributions that are not settled, what lies in quarantine.
"""

from __future__ import annotations

from peercoord.core import names, tickets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.roles.root import Root

TMP_SECONDS = 30  # nothing is staged for so long, unless whoever staged it was killed, or stopped: then it fails safely
DAY_SECONDS = 86400


class Archivist:
    """Keeps one coordination directory small.

    Args:
        root: The directory.
    """

    def __init__(self, root: Root) -> None:
        self.root = root
        self.files = root.files

    def run(self, _term: int = 0) -> None:
        """Clear away everything whose retention has ended."""
        now = self.now()
        old = now - self.root.number("retention_days") * DAY_SECONDS * 10**9
        self.tombstones(old)
        self.results(old)
        for name in self.files.scan(names.EVENTS):
            if name.endswith(".jsonl.1"):
                self._drop(f"{names.EVENTS}/{name}", old)
        if self.files.scan(names.LEDGER) or self.files.scan(names.TEXTS):
            from peercoord.roles.bank_archive import BankArchive  # an agent without a memory bank never needs it

            BankArchive(self.root).run(now, old)

    def litter(self, _term: int = 0) -> None:
        """Remove what crashes left in ``tmp/``."""
        old = self.now() - TMP_SECONDS * 10**9
        for name in self.files.scan(names.TMP):
            self._drop_tree(f"{names.TMP}/{name}", old)

    def assignments(self, home: str) -> None:
        """Remove a peer's assignment records whose claim is gone; to be called while that peer makes no call."""
        claims = set(self.files.scan(names.claims_dir(home)))
        for name in self.files.scan(names.assignments_dir(home)):
            if name.endswith(".json") and name.removesuffix(".json") not in claims:
                self.files.remove(f"{names.assignments_dir(home)}/{name}")

    def tombstones(self, old: int) -> None:
        """Remove directories of departed peers that are sealed and older than ``old``, nanoseconds."""
        for name in self.files.scan(names.DEPARTED):
            home = f"{names.DEPARTED}/{name}"
            if names.parse_departed(name) and "claims" not in self.files.scan(home):
                self._drop_tree(home, old)

    def results(self, old: int) -> None:
        """Remove results older than ``old`` of tasks that are done, the newest of each excepted."""
        for shard in self.files.scan(names.RESULTS):
            entries = self.files.scan(f"{names.RESULTS}/{shard}")
            done = set(self.files.scan(f"{names.DONE}/{shard}"))
            for name in entries:
                result = names.parse_result(name)
                if result and result[0] in done and result[1] < tickets.highest_epoch(result[0], entries):
                    self._drop(f"{names.RESULTS}/{shard}/{name}", old)

    def now(self) -> int:
        """Give the filesystem's own time, nanoseconds."""
        probe = f"{names.TMP}/{self.files.token()}"
        self.files.ticket(probe)
        seen = self.files.stat(probe)
        self.files.remove(probe)
        return seen.modified_ns if seen else 0

    def _drop(self, path: str, old: int) -> None:
        seen = self.files.stat(path)
        if seen and not seen.is_dir and max(seen.modified_ns, seen.changed_ns) < old:
            self.files.remove(path)

    def _drop_tree(self, path: str, old: int) -> None:
        """Remove a file, or a directory with what lies in it, if all of it is old."""
        seen = self.files.stat(path)
        if seen is None or max(seen.modified_ns, seen.changed_ns) >= old:
            return
        if not seen.is_dir:
            self.files.remove(path)
            return
        for name in self.files.scan(path):
            inner = self.files.stat(f"{path}/{name}")
            if inner and inner.is_dir:
                for leaf in self.files.scan(f"{path}/{name}"):
                    self.files.remove(f"{path}/{name}/{leaf}")
                self.files.remove_dir(f"{path}/{name}")
            else:
                self.files.remove(f"{path}/{name}")
        self.files.remove_dir(path)
