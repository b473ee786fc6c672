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
    from peercoord.store.files import Files
    from peercoord.store.root import Root

GRACE_NS = 3600 * 10**9  # texts are written before the entries that name them
PROGRESS_NS = 86400 * 10**9  # entries of progress.md are many, and nothing can be undone in them


def clear(root: Root, now: int, old: int) -> None:
    """Remove what is older than ``old``, in nanoseconds of the filesystem's time, which is ``now``."""
    files = root.files
    if not (files.scan(paths.LEDGER) or files.scan(paths.TEXTS)):
        return
    store = MemoryStore(root)
    _clear_settled(store, old)
    queued = store.idents(QUEUED)
    named: set[str] = set()
    for document in store.documents():
        named |= _clear_entries(store, document, now, old, queued)
    named |= {one.base for one in store.queued()}
    _drop(files, paths.TEXTS, min(old, now - GRACE_NS), named)
    decided = {name for name in files.scan(paths.DECISIONS) if name.startswith("v-")}
    _drop(files, paths.DECISIONS, old, decided)


def _clear_entries(store: MemoryStore, document: str, now: int, old: int, queued: set[str]) -> set[str]:
    """Clear a journal; return the hashes of the texts that it names."""
    entries, files = store.entries(document), store.files
    kept, states = set(), {one.after for one in entries[-1:]}
    for one in entries:
        path = paths.entry(document, one.id)
        until = max(old, now - PROGRESS_NS) if one.kind == "progress" else old
        waits = queued & {*one.contributions, *one.superseded}
        if one is not entries[-1] and not waits and _is_old(files, path, until):
            files.remove(path)
            continue
        states |= {one.before, one.after} if one.kind != "progress" else set()
        kept |= {digest for edit in one.edits for digest in (edit.before, edit.after)}
    for one in store.intents(document):
        if _is_old(files, paths.intent(document, one.id), old):
            store.drop(one)
        else:
            kept |= {digest for edit in one.edits for digest in (edit.before, edit.after)}
    _drop(files, f"{paths.BACKUPS}/{document}", min(old, now - GRACE_NS), states)
    return kept


def _clear_settled(store: MemoryStore, old: int) -> None:
    """Clear contributions of calls, which are never made again, and reasons without a contribution."""
    files = store.files
    for state in (DONE, REJECTED):
        for ident in store.idents(state):
            path = paths.contribution(state, ident)
            record = (read_record(files, path) if _is_old(files, path, old) else None) or {}
            if str(record.get("source", "")).startswith("call:"):
                files.remove(path)
                files.remove(paths.rejection(ident))
    there = store.idents(REJECTED)
    for name in files.scan(f"{paths.MEMORY}/{REJECTED}"):
        ident = name.removesuffix(".why")
        if ident != name and ident not in there and _is_old(files, paths.rejection(ident), old):
            files.remove(paths.rejection(ident))


def _drop(files: Files, home: str, old: int, keep: set[str]) -> None:
    for name in files.scan(home):
        ours = is_hash(name) or name.endswith(".json")
        if ours and name not in keep and _is_old(files, f"{home}/{name}", old):
            files.remove(f"{home}/{name}")


def _is_old(files: Files, path: str, old: int) -> bool:
    seen = files.stat(path)
    return seen is not None and not seen.is_dir and max(seen.modified_ns, seen.changed_ns) < old
