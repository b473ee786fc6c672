"""Remove what the memory bank no longer needs once its retention has ended.

Some things stay however old: contributions that are not settled; settled contributions of files, which may be read
again (see ``collector``); the newest entry of each journal and its document, which show a foreign change; and the texts
that any of these name. An old entry goes with its backup and its texts, and can then no longer be undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.memory.contribution import is_hash
from peercoord.memory.news import read_record
from peercoord.memory.store import DONE, QUEUED, REJECTED, MemoryStore
from peercoord.store import paths

if TYPE_CHECKING:
    from peercoord.store.root import Root

GRACE_NS = 3600 * 10**9  # a text is kept before what names it
PROGRESS_NS = 86400 * 10**9  # entries of progress.md are many, and nothing can be undone in them


class BankCleanup:
    """Removes expired files in one coordination directory."""

    def __init__(self, root: Root) -> None:
        self.files = root.files
        self.store = MemoryStore(root)

    def run(self, now: int, old: int) -> None:
        """Remove what has expired.

        Args:
            now: The filesystem's time, nanoseconds.
            old: Files that are older than this have expired.
        """
        self._settled(old)
        queued = self.store.idents(QUEUED)
        named: set[str] = set()
        for document in self.store.documents():
            named |= self._entries(document, now, old, queued)
        named |= {one.base for one in self.store.queued()}
        self._drop(paths.TEXTS, min(old, now - GRACE_NS), keep=named)
        self._drop(paths.DECISIONS, old, but=("v-",))

    def _entries(self, document: str, now: int, old: int, queued: set[str]) -> set[str]:
        """Clear a journal; return the hashes of the texts that it names."""
        entries = self.store.entries(document)
        kept, states = set(), {one.after for one in entries[-1:]}
        for one in entries:
            path = paths.entry(document, one.id)
            until = max(old, now - PROGRESS_NS) if one.kind == "progress" else old
            waits = queued & {*one.contributions, *one.superseded}
            if one is not entries[-1] and not waits and self._is_old(path, until):
                self.files.remove(path)
                continue
            states |= {one.before, one.after} if one.kind != "progress" else set()
            kept |= {digest for edit in one.edits for digest in (edit.before, edit.after)}
        for one in self.store.intents(document):
            if not self._is_old(paths.intent(document, one.id), old):
                kept |= {digest for edit in one.edits for digest in (edit.before, edit.after)}
            else:
                self.store.drop(one)
        self._drop(f"{paths.BACKUPS}/{document}", min(old, now - GRACE_NS), keep=states)
        return kept

    def _settled(self, old: int) -> None:
        """Clear contributions of calls, which are never made again, and reasons without a contribution."""
        for state in (DONE, REJECTED):
            for ident in self.store.idents(state):
                path = paths.contribution(state, ident)
                record = (read_record(self.files, path) if self._is_old(path, old) else None) or {}
                if str(record.get("source", "")).startswith("call:"):
                    self.files.remove(path)
                    self.files.remove(paths.rejection(ident))
        there = self.store.idents(REJECTED)
        for name in self.files.scan(f"{paths.MEMORY}/{REJECTED}"):
            ident = name.removesuffix(".why")
            if ident != name and ident not in there and self._is_old(paths.rejection(ident), old):
                self.files.remove(paths.rejection(ident))

    def _drop(
        self, home: str, old: int, keep: frozenset[str] | set[str] = frozenset(), but: tuple[str, ...] = ()
    ) -> None:
        for name in self.files.scan(home):
            ours = is_hash(name) or name.endswith(".json")
            if ours and name not in keep and not name.startswith(but or ("/",)) and self._is_old(f"{home}/{name}", old):
                self.files.remove(f"{home}/{name}")

    def _is_old(self, path: str, old: int) -> bool:
        seen = self.files.stat(path)
        return seen is not None and not seen.is_dir and max(seen.modified_ns, seen.changed_ns) < old


def clear(root: Root, now: int, old: int) -> None:
    """Remove what has expired in a coordination directory that has a memory bank.

    Args:
        root: The directory.
        now: The filesystem's time, nanoseconds.
        old: Files that are older than this have expired.
    """
    if root.files.scan(paths.LEDGER) or root.files.scan(paths.TEXTS):
        BankCleanup(root).run(now, old)
