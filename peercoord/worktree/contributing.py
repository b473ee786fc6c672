"""``update-memory``: queue a contribution to the memory bank, or what lies in ``memory-contributions/``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import StorageError, UsageError
from peercoord.foreign import counted, plain
from peercoord.memory import contribution, reader, runner
from peercoord.memory.store import MemoryStore
from peercoord.store.settings import DOCUMENT_BYTES
from peercoord.system.disk import Disk, read_named
from peercoord.worktree import collecting
from peercoord.worktree.reply import Reply

if TYPE_CHECKING:
    from peercoord.mailbox.verbs import UpdateMemory
    from peercoord.worktree.call import WorktreeCall


def contribute(call: WorktreeCall, verb: UpdateMemory) -> Reply:
    """Queue a contribution, durably, before answering."""
    if not verb.document:
        raise UsageError("name the bank's document", hint="with --file DOC, as --file techContext.md")
    if (verb.content is None) == (not verb.path):
        raise UsageError("give the text once", hint="with --content TEXT or --from FILE")
    content = verb.content if verb.content is not None else text_of(verb.path)
    store = MemoryStore(call.root)
    with call.peer("update-memory") as peer:
        held = peer.worker.held()
        found = reader.from_call(
            contribution.Author(peer.name, held[0].task if held else "", call.root.clock.now()),
            verb.document,
            content,
            call.request or call.root.files.token(),  # a request executed again contributes nothing twice
            briefed=store.briefed(verb.document, bank_document(call, verb.document), call.told, peer.name),
            section=verb.section,
            kind=verb.kind,
            critical=verb.critical,
        )
        store.texts.keep(found.texts)  # before what names them
        for one in found.contributions:
            store.publish(one)
            peer.worker.reports.contributed(peer.membership.me, one.raw)
            call.root.event(peer.name, "contributed", id=one.id, file=verb.document)
    call.root.files.ring()
    queued = [{"id": one.id, "file": verb.document, "section": list(one.section)} for one in found.contributions]
    every = f"the next merge, every {call.root.number('merge_seconds')} s"
    waits = "a person's approval" if verb.critical else every
    lines = [f"queued for {plain(verb.document)}: {counted(queued, 'contribution')}, waiting for {waits}"]
    return Reply({"queued": queued, "critical": verb.critical}, lines, [*call.notes, *found.notes])


def text_of(path: str) -> str:
    """Read a text file that a person named."""
    try:
        data = read_named(path, contribution.FILE_BYTES + 1)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}", hint="name a text file: --from FILE") from None
    return contribution.decode(data, path)


def bank_document(call: WorktreeCall, document: str) -> bytes | None:
    """Read a document of the memory bank in the main checkout; only a plain name ever becomes a path."""
    name = contribution.check_document(document)
    try:
        return Disk(runner.directory(Path(call.place.project))).read(name, DOCUMENT_BYTES)
    except OSError:
        return None


def hand_in(call: WorktreeCall) -> Reply:
    """Queue what lies in ``memory-contributions/`` at once; exit code 1 if some of it can never be taken."""
    collector = collecting.collector_of(call.place)
    with call.peer("update-memory") as peer:
        scan = collector.look(finished=True)
        found = collecting.take(call, peer, collector, scan)
    new = {name: [one for one in found.contributions if one.source == name] for name in scan.ready}
    lines = [
        f"{plain(name)}: {counted(ones, 'contribution')} queued for {', '.join(sorted({one.document for one in ones}))}"
        if ones
        else f"{plain(name)}: nothing new"
        for name, ones in new.items()
    ]
    lines += [f"{counted(found.withdrawn, 'earlier contribution')} withdrawn"] if found.withdrawn else []
    lines += [f"{plain(name)} is not taken yet: {plain(why)}" for name, why in scan.deferred.items()]
    refused = [f"{plain(name)} is not taken: {why.message}" for name, why in found.refused]
    queued = [{"id": one.id, "file": one.document, "section": list(one.section)} for one in found.contributions]
    return Reply(
        {"queued": queued, "critical": any(one.critical for one in found.contributions)},
        lines or [f"nothing to queue in {collecting.FOLDER}"],
        [*call.notes, *refused, *found.notes],
        code=1 if refused else 0,
    )
