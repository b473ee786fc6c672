"""Which directory the memory bank is, how a merge of all of it is run, and when the leader runs one.

A merge is a process of its own, as a sync is: an agent needs no Markdown parser in its memory for it, and an idle team
costs a few looks at directories. How the last one went stands in ``memory-updates/last-merge.json``.
"""

from __future__ import annotations

import os
from contextlib import suppress

from peercoord.core import names, records
from peercoord.core.errors import NotFoundError, PeercoordError, StorageError
from peercoord.edges import child
from peercoord.roles.queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from peercoord.core.records import Json
    from peercoord.roles.bank import Bank, Summary
    from peercoord.roles.root import Root

LEAST_SECONDS = 3.0  # between two merges that decisions call for
PROGRESS = "progress.md"
_AGAIN = "peercoord memory merge"


def directory(home: Path) -> str:
    """Give the memory bank's directory in the main checkout; empty if the project has none.

    Args:
        home: The project.
    """
    from peercoord.edges.team import record, repository

    try:
        project = repository.discover(home, exact=True)
        name = record.read_project(project.common, project.sub).get("bank")
    except PeercoordError:
        name = None  # no repository, or one that knows no team: a project made by hand
    name = name if isinstance(name, str) else names.BANK
    return str(home / name) if name else ""


def bank_of(root: Root) -> Bank:
    """Open the memory bank of the project that a coordination directory belongs to.

    Raises:
        NotFoundError: The project has none.
    """
    from peercoord.edges.syncing import home_of
    from peercoord.roles.bank import Bank

    place = directory(home_of(root))
    if not place:
        raise NotFoundError(
            "this project was set up without a memory bank",
            hint="claude-team-coordinated PROJECT --bank memory-bank",
            code="no-bank",
        )
    return Bank(root, place)


class Merged:
    """How a merge of everything went.

    Attributes:
        summaries: By document.
        commit: The commit that holds it, where the leader commits; empty if there is none.
        notes: What people should know.
    """

    __slots__ = ("commit", "notes", "summaries")

    def __init__(self, summaries: list[Summary], commit: str, notes: list[str]) -> None:
        self.summaries, self.commit, self.notes = summaries, commit, notes


def run(root: Root, by: str, term: int | None = None) -> Merged:
    """Merge what is queued and refresh ``progress.md``, under the term of whoever leads now.

    Args:
        root: The coordination directory.
        by: Who merges: a peer's name, or a person's word.
        term: The leader's term, if its own process calls: nothing is done once that is over.

    Raises:
        LostError: The term is over; nothing was changed from then on.
        NotFoundError: The memory bank is not there.
        StorageError: The filesystem refused.
    """
    from peercoord.roles.database import term_now

    mine = term_now(root) if term is None else term

    def leads() -> bool:
        return term_now(root) == mine

    try:
        bank = bank_of(root)
        found = bank.merge(by, leads)
        notes = [one.note for one in found if one.note]
        changed = [one.document for one in found if one.changed]
        try:
            if _progress(bank, by, leads):
                changed.append(PROGRESS)
        except PeercoordError as error:
            notes.append(f"{PROGRESS} was not refreshed: {error.message}")
        commit = ""
        if changed and root.setting("memory.commit") == "on":
            from peercoord.edges import bank_commit

            commit, note = bank_commit.commit(bank, sorted(set(changed)), by)
            notes += [note] if note else []
    except PeercoordError as error:
        _note(root, by, mine, error, [])
        raise
    _note(root, by, mine, None, notes)
    if found or changed:
        root.files.ring()  # the views tell of it
    return Merged(found, commit, notes)


def _progress(bank: Bank, by: str, leads: Callable[[], bool]) -> bool:
    from peercoord.roles.bank_facts import facts
    from peercoord.roles.peer import judge
    from peercoord.roles.views import Reader

    root = bank.root
    board = Reader(Queue(root, by), lambda who: judge(root, who)).board()
    if not board.rows or not _wanted(bank):
        return False  # nothing to tell of, or not there: a bank is not touched for that
    return bank.progress(facts(board), by, leads, PROGRESS) is not None


def _wanted(bank: Bank) -> bool:
    """Tell whether there is to be a ``progress.md``: it is not made where git would show it as something new."""
    from peercoord.edges.team import git

    if bank.read(PROGRESS) is not None or bank.root.setting("memory.commit") == "on":
        return True
    place = str(getattr(bank.files.disk, "root", ""))
    try:
        return bool(git.ignored(place, [PROGRESS]))
    except PeercoordError:
        return True  # no repository


def _note(root: Root, by: str, term: int, error: PeercoordError | None, notes: Sequence[str]) -> None:
    """Note how a merge went. A note: on a full disk it is lost."""
    old, now = health(root), root.clock.now()
    record: Json = {"schema_version": records.SCHEMA_VERSION, "at": now, "by": by, "term": term, "ok": error is None}
    record["last_ok"] = now if error is None else old.get("last_ok")
    if error is not None:
        record |= {"code": error.code, "message": error.message, "hint": error.hint}
    record["notes"] = list(notes)
    with suppress(StorageError):
        root.files.put(names.MERGED, records.encode(record))


def health(root: Root) -> Json:
    """Read how the last merge went; empty if there was none, or that cannot be read."""
    return Queue(root).read_record(names.MERGED) or {}


def troubles(root: Root) -> list[tuple[str, str]]:
    """Say what is wrong with the memory bank, for ``doctor``: what, and the next command."""
    record = health(root)
    found = [(str(note), "peercoord memory list") for note in record.get("notes") or ()]
    if record.get("ok") is False:
        last = record.get("last_ok") or "never"
        what = f"the last merge of the memory bank failed (last one that went well: {last}): {record.get('message')}"
        found.append((what, str(record.get("hint") or _AGAIN)))
    return found


# -- the leader's duty -------------------------------------------------------------------------------------------


class Keeper:
    """Sees to it that contributions are merged: every so often, and at once when a person has decided something.

    Args:
        root: The coordination directory, as the agent opened it.
        worktree: The agent's worktree.
        command: The words that call this installation.
    """

    def __init__(self, root: Root, worktree: str, command: Sequence[str]) -> None:
        self.root, self.worktree, self.command = root, worktree, list(command)
        self.files = root.files
        self.every = float(root.number("merge_seconds"))
        self.rest()

    def rest(self) -> None:
        """Let go of what was seen: someone else leads."""
        self._merged = float("-inf")
        self._still: object = None
        self._decided: object = None
        self._place: str | None = None

    def run(self, term: int) -> None:
        """Merge, if there may be something to do.

        Raises:
            PeercoordError: The merge failed; it is tried again.
        """
        now, decided = self.root.clock.monotonic(), self._times(names.DECISIONS)
        if decided == self._decided and now - self._merged < self.every:
            return
        if not self._there():
            self._merged = now
            return
        mark = list(self._marks())
        left = False
        if mark != self._still:
            left = self._merge(term)  # what is queued meanwhile changes the mark: so the one from before it is kept
        self._merged, self._decided, self._still = now, decided, None if left else mark

    def _there(self) -> bool:
        """Tell whether there is a memory bank, or something that should go into one."""
        from peercoord.edges.syncing import home_of

        if self._place is None:
            self._place = directory(home_of(self.root))
        queued = any(name.endswith(".json") for name in self.files.scan(f"{names.MEMORY}/queued"))
        return bool(self._place) and (queued or os.path.isdir(self._place))

    def _marks(self) -> Iterator[object]:
        """When everything last changed that a merge depends on."""
        for state in ("queued", "candidates", "approvals"):
            yield self._times(f"{names.MEMORY}/{state}")
        for path in (names.DECISIONS, names.REPORTS, names.PEERS, names.WAITING):
            yield self._times(path)
        for base in (names.DONE, names.TASKS, names.PARKED):
            yield [(name, self._times(f"{base}/{name}")) for name in sorted(self.files.scan(base))]
        for who in sorted(self.files.scan(names.PEERS)):
            yield who, self._times(names.claims_dir(f"{names.PEERS}/{who}"))
        try:
            with os.scandir(self._place or "") as found:
                yield sorted((one.name, _state(one)) for one in found if one.name.endswith(".md"))
        except OSError:
            yield None

    def _times(self, path: str) -> int:
        seen = self.files.stat(path)
        return seen.modified_ns if seen else 0

    def _merge(self, term: int) -> bool:
        """Merge in a process of its own; ``True`` if something was left alone, which need not change to be merged."""
        said = child.ask(self.command, self.worktree, ["memory", "merge", "--term", str(term)], "a merge", _AGAIN)
        return bool(said.get("notes"))


def _state(entry: os.DirEntry[str]) -> tuple[int, int]:
    seen = entry.stat(follow_symlinks=False)
    return seen.st_mtime_ns, seen.st_size
