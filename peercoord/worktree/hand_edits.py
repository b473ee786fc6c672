"""Edits by hand of ``progress.json``: reported for the worktree's peer before a call writes the file again.

Each edit is taken in by itself. A refusal is reported with the reason, and does not stop the others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from peercoord.errors import BrokenFileError, EvictedError, PeercoordError, StorageError, UsageError
from peercoord.foreign import counted, shown, whole
from peercoord.store import ids, paths
from peercoord.store.paths import Ticket
from peercoord.worktree import progress_file, reporting
from peercoord.worktree.progress_file import MEMORY, NAME, TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.foreign import Json
    from peercoord.memory.contribution import Contribution
    from peercoord.memory.store import MemoryStore
    from peercoord.queue.peer import Peer
    from peercoord.worktree.call import WorktreeCall
    from peercoord.worktree.progress_file import ProgressFile

_ENTRY_KEYS = ("file", "type", "content", "timestamp", "id", "section", "criticality", "critical")
_LIST = "see that it is a list of objects like those there"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def take(call: WorktreeCall, peer: Peer, file: ProgressFile) -> list[str]:
    """Take in what a person typed; return notes for the next answer: what was taken in besides reports, or refused."""
    try:
        said = file.content()
    except BrokenFileError as error:
        aside = file.set_aside()
        return [f"{error.message}: it is kept as {paths.INSTANCE}/{aside}, and written again"]
    published = peer.queue.read_record(paths.report(peer.name)) or {}
    base = file.base(published)
    entries = [entry for entry in said.get(TASKS, []) if isinstance(entry, dict)]
    known = file.kept
    file.kept = [entry for entry in entries if entry in known]
    new = [entry for entry in entries if entry not in known]
    notes = [note for entry in new for note in _take_entry(call, peer, file, entry, base, published)]
    before, file.refused = file.refused, []
    for word, entry in progress_file.typed_contributions(said, base, published):
        typed = entry.get("") if not word else entry
        if typed in before:
            file.refused.append(typed)  # the reason was reported before
        else:
            notes += _take_contribution(call, peer, file, word, entry)
    return notes


# -- tasks -------------------------------------------------------------------------------------------------------


def _take_entry(
    call: WorktreeCall, peer: Peer, file: ProgressFile, typed: Json, base: Json | None, published: Json
) -> Iterator[str]:
    before = progress_file.entry_of(typed, base)
    if typed == before:
        return
    now = progress_file.entry_of(typed, published) or {}
    was = before if before is not None or base is None else {}
    said, ended = progress_file.difference(typed, was, now)
    task = ids.read(typed.get("task_id"))
    untaken = progress_file.untaken(typed, was, now) if was is not None else []
    if untaken:
        aside = f"{paths.INSTANCE}/{file.set_aside()}"
        yield f"{NAME}: {', '.join(untaken)} of task {task} cannot be changed there; what you typed is kept in {aside}"
    if not said and not ended:
        if not now and before is None:
            file.kept.append(typed)  # it is about no known claim, and stays in the file
        return
    try:
        yield from _report(call, peer, task, _epoch(typed, now), said, ended)
    except EvictedError:
        raise
    except StorageError as error:
        file.held_back = True
        yield f"{NAME}: what it says of task {task} is not taken in yet: {error.message}"
    except PeercoordError as error:
        if not now:
            file.kept.append(typed)
            yield f"{NAME}: what it says of task {shown(typed.get('task_id'))} stays there: {error.message}"
            return
        aside = file.set_aside()
        yield f"{NAME}: {error.message}; what was typed of task {task} is kept in {paths.INSTANCE}/{aside}"
        yield from _piece_by_piece(call, peer, task, _epoch(typed, now), said)


def _piece_by_piece(call: WorktreeCall, peer: Peer, task: str, epoch: int | None, said: Json) -> Iterator[str]:
    """Report the parts of an entry that are valid, if the whole is not."""
    for key, value in said.items():
        try:
            yield from _report(call, peer, task, epoch, {key: value}, "")
        except EvictedError:
            raise
        except PeercoordError:
            continue  # the reason was reported for the whole entry


def _report(call: WorktreeCall, peer: Peer, task: str, epoch: int | None, said: Json, ended: str) -> Iterator[str]:
    held = next((t for t in peer.worker.held() if t.task == ids.check(task)), None)
    if held is not None and epoch in (None, held.epoch):
        if ended:
            reply = reporting.end_task(call, peer, task, said, ended)
            yield f"{NAME}: {reply}"
        else:
            peer.worker.report(task, said)
        return
    ticket = Ticket(task, epoch) if epoch is not None else None
    if ticket is not None and peer.worker.has_released(ticket):
        yield f"{NAME}: {reporting.report_late(call, peer, ticket, said, ended)}"
        return
    peer.worker.require(task)
    raise UsageError(f"it is about task {task} at epoch {epoch}, which has ended")


def _epoch(typed: Json, now: Json) -> int | None:
    return whole(typed.get("epoch", now.get("epoch")))


# -- the memory bank ---------------------------------------------------------------------------------------------


def _take_contribution(call: WorktreeCall, peer: Peer, file: ProgressFile, word: str, entry: Json) -> list[str]:
    from peercoord.memory.store import MemoryStore

    typed = entry.get("") if not word else entry
    store = MemoryStore(call.root)
    try:
        queued = _queue(call, peer, store, word, entry)
    except UsageError as error:
        file.refused.append(typed)
        return [f"{NAME}: a memory contribution was not taken, and stays as you typed it: {error.message}"]
    except StorageError as error:
        file.held_back = True
        return [f"{NAME}: a memory contribution is not taken in yet: {error.message}"]
    return [f"{NAME}: {counted(queued, 'contribution')} queued for {queued[0].document}"] if queued else []


def _queue(call: WorktreeCall, peer: Peer, store: MemoryStore, word: str, entry: Json) -> list[Contribution]:
    """Queue a typed contribution, unless it was queued before; return the new ones."""
    from peercoord.memory import contribution, reader
    from peercoord.worktree.contributing import bank_document

    document, content = entry.get("file"), entry.get("content")
    if not word or not isinstance(document, str) or not isinstance(content, str):
        raise UsageError(f"an entry of {MEMORY} needs 'file' and 'content', both texts", hint=_LIST)
    contribution.check_document(document)
    source = f"progress-{word}"
    mine = list(_mine(store, peer.name))
    earlier = [one for one in mine if one.source == f"call:{source}" or one.id == entry.get("id")]
    replaced = {old for one in earlier for old in one.supersedes}
    tips = [one for one in earlier if one.id not in replaced]
    held = peer.worker.held()
    author = contribution.Author(peer.name, held[0].task if held else "", peer.root.clock.now())
    found = reader.from_call(
        author,
        document,
        content,
        source,
        briefed=store.briefed(document, bank_document(call, document), call.told, peer.name),
        section=str(entry.get("section") or ""),
        kind=str(entry.get("type") or "addition"),
        critical=entry.get("critical") is True or entry.get("criticality") == "critical",
        supersedes=tips,
    )
    new = not {one.content for one in found.contributions} <= {one.content for one in tips}
    if new:
        store.texts.keep(found.texts)
        for one in found.contributions:
            store.publish(one)
            peer.root.event(peer.name, "contributed", id=one.id, file=document)
        peer.root.files.ring()
    more = {key: value for key, value in entry.items() if key not in _ENTRY_KEYS}
    time = entry.get("timestamp")  # what the author wrote, if it is valid
    at = {"timestamp": time} if isinstance(time, str) and _TIME.fullmatch(time) else {}
    for one in found.contributions if new else tips:
        noted = {**one.raw, **at}
        peer.worker.reports.contributed(peer.membership.me, noted, more, [old.id for old in earlier if old != one])
    return found.contributions if new else []


def _mine(store: MemoryStore, peer: str) -> Iterator[Contribution]:
    from peercoord.memory import store as bank_store

    for state in (bank_store.QUEUED, bank_store.DONE, bank_store.REJECTED):
        for ident in sorted(store.idents(state)):
            one = store.contribution(ident)
            if one is not None and one.peer == peer:
                yield one
