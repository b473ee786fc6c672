"""Clearing away what the memory bank no longer needs, once its retention has ended.

What must stay, however old: contributions that are not settled; those of files that are (see ``gather``: the file may
be read again); the newest entry of each ledger and its document, which tell a foreign change; texts that any of these
name. An entry that is older than the retention goes with its backup and its texts: then it can be undone no more.
"""

from __future__ import annotations

from peercoord.core import names, records
from peercoord.core.errors import PeercoordError
from peercoord.core.memory.contributions import is_hash
from peercoord.roles.bank_store import DONE, QUEUED, REJECTED, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.records import Json
    from peercoord.roles.root import Root

GRACE_NS = 3600 * 10**9  # a text is kept before what names it
PROGRESS_NS = 86400 * 10**9  # entries of progress.md are many, and nothing can be undone in them


class BankArchive:
    """Clears away in one coordination directory.

    Args:
        root: The directory.
    """

    def __init__(self, root: Root) -> None:
        self.files = root.files
        self.store = Store(root)

    def run(self, now: int, old: int) -> None:
        """Clear away.

        Args:
            now: The filesystem's time, nanoseconds.
            old: What is older than this has served its time.
        """
        self._settled(old)
        queued = self.store.idents(QUEUED)
        named: set[str] = set()
        for document in self.store.documents():
            named |= self._entries(document, now, old, queued)
        named |= {one.base for one in self.store.queued()}
        self._drop(names.TEXTS, min(old, now - GRACE_NS), keep=named)
        self._drop(names.DECISIONS, old, but=("v-",))

    def _entries(self, document: str, now: int, old: int, queued: set[str]) -> set[str]:
        """Clear a ledger; give the hashes of the texts that it names."""
        entries = self.store.entries(document)
        kept, states = set(), {one.after for one in entries[-1:]}
        for one in entries:
            path = names.entry(document, one.id)
            until = max(old, now - PROGRESS_NS) if one.kind == "progress" else old
            waits = queued & {*one.contributions, *one.superseded}
            if one is not entries[-1] and not waits and self._is_old(path, until):
                self.files.remove(path)
                continue
            states |= {one.before, one.after} if one.kind != "progress" else set()
            kept |= {digest for edit in one.edits for digest in (edit.before, edit.after)}
        for one in self.store.intents(document):
            if not self._is_old(names.intent(document, one.id), old):
                kept |= {digest for edit in one.edits for digest in (edit.before, edit.after)}
            else:
                self.store.drop(one)
        self._drop(f"{names.BACKUPS}/{document}", min(old, now - GRACE_NS), keep=states)
        return kept

    def _settled(self, old: int) -> None:
        """Clear contributions of calls, which are never made again, and reasons without a contribution."""
        for state in (DONE, REJECTED):
            for ident in self.store.idents(state):
                path = names.contribution(state, ident)
                if self._is_old(path, old) and str(self._raw(path).get("source", "")).startswith("call:"):
                    self.files.remove(path)
                    self.files.remove(names.rejection(ident))
        there = self.store.idents(REJECTED)
        for name in self.files.scan(f"{names.MEMORY}/{REJECTED}"):
            ident = name.removesuffix(".why")
            if ident != name and ident not in there and self._is_old(names.rejection(ident), old):
                self.files.remove(names.rejection(ident))

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

    def _raw(self, path: str) -> Json:
        try:
            data = self.files.read(path)
            return {} if data is None else records.decode(data, path)
        except PeercoordError:
            return {}
