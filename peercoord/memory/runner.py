"""Run a merge of the whole memory bank, commit it, and decide when the leader runs one.

A merge is a process of its own, as a sync is: an agent needs no Markdown parser in its memory, and an idle team costs a
few looks at directories. ``memory-updates/last-merge.json`` says how the last one went.

With ``memory.commit`` on, the merged documents are committed, and nothing else. Nothing is committed in the middle of a
person's merge, rebase or bisection, or if one of the documents is staged. The agent runs outside the sandbox of the
coding agents, which may be able to write the repository's configuration. So the commit is made with plumbing commands
in an isolated git directory: no hook, filter or signing program runs; where one must run, a person has to commit.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.errors import NotFoundError, PeercoordError, StorageError
from peercoord.membership.periodic import PeriodicChild, changed_at, changed_below, state_of_file
from peercoord.memory.bank import Bank
from peercoord.memory.merging import MergeSummary
from peercoord.queue.queue import Queue
from peercoord.store import inspection, paths, records
from peercoord.system import git, gitdirs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from peercoord.foreign import Json
    from peercoord.store.isolated_git import Inspection
    from peercoord.store.root import Root

LEAST_SECONDS = 3.0  # between two merges that decisions call for
PROGRESS, FOCUS = "progress.md", "activeContext.md"
_AGAIN = "peercoord memory merge"


def directory(home: Path) -> str:
    """Return the directory of a project's memory bank in the main checkout; empty if it has none."""
    from pathlib import Path

    from peercoord.store import manifest as record

    main, _, common = gitdirs.repository(str(home))
    try:
        sub = "" if str(home) == main else os.path.relpath(home, main)
        name = record.read_project(Path(common), sub).get("bank") if common else None
    except PeercoordError:
        name = None  # a repository that knows no team: a project made by hand
    if name == "":
        return ""
    # a coding agent that may commit may write that record, so the bank has to lie in the project
    return str(home / (name if isinstance(name, str) and paths.may_be_bank(name) else paths.BANK))


def bank_of(root: Root) -> Bank:
    """Open the memory bank of the project that a coordination directory belongs to."""
    home = root.project
    place = directory(home)
    if not place:
        import shlex

        raise NotFoundError(
            "this project was set up without a memory bank",
            hint=f"give it one: claude-team-coordinated {shlex.quote(str(home))} --bank {paths.BANK}",
            code="no-bank",
        )
    return Bank(root, place)


@dataclass(frozen=True, slots=True)
class MergeReport:
    """How a merge of everything went."""

    summaries: list[MergeSummary]  # by document
    commit: str  # the commit that holds it, where the leader commits; empty if there is none
    notes: list[str]  # what people should know


def run(root: Root, by: str, term: int | None = None) -> MergeReport:
    """Merge what is queued and refresh the sections that the leader keeps, under a term, by default the current one.

    A ``LostError`` says that the term is over; nothing was changed from then on.
    """
    from peercoord.membership.leadership import current_term

    mine = current_term(root) if term is None else term

    def leads() -> bool:
        return current_term(root) == mine

    try:
        bank = bank_of(root)
        found = bank.merge(by, leads)
        notes = [one.note for one in found if one.note]
        changed = [one.document for one in found if one.changed]
        changed += _refresh(bank, by, leads, notes)
        if changed:
            from peercoord.memory import copy

            coordination = root.files.place
            copy.publish_merged(bank.files.place, coordination, changed)
        commit = ""
        if changed and root.setting("memory.commit") == "on":
            commit, note = commit_documents(bank, sorted(set(changed)), by)
            notes += [note] if note else []
    except PeercoordError as error:
        _note(root, by, mine, error, [])
        raise
    _note(root, by, mine, None, notes)
    if found or changed:
        root.files.ring()  # the views tell of it
    return MergeReport(found, commit, notes)


def _refresh(bank: Bank, by: str, leads: Callable[[], bool], notes: list[str]) -> list[str]:
    """Refresh the sections that the leader keeps; return the documents that changed."""
    from peercoord.membership.membership import judge
    from peercoord.memory import progress_section
    from peercoord.status.board import Reader

    kept = {
        PROGRESS: (progress_section.progress, progress_section.PROGRESS),
        FOCUS: (progress_section.focus, progress_section.FOCUS),
    }
    root, wanted = bank.root, _wanted(bank, list(kept), notes)
    if not wanted:
        return []
    board = Reader(Queue(root, by), lambda who: judge(root, who)).board()
    changed = []
    for document in wanted if board.rows else ():  # with nothing to tell of, a bank is not touched
        written, section = kept[document]
        try:
            if bank.progress(written(board), by, leads, document, section) is not None:
                changed.append(document)
        except PeercoordError as error:
            notes.append(f"{document} was not refreshed: {error.message}")
    return changed


def _wanted(bank: Bank, documents: Sequence[str], notes: list[str]) -> list[str]:
    """Return the documents to refresh; none is created where git would show it as new."""
    there: list[str] = []
    missing: list[str] = []
    for document in documents:
        try:
            (missing if bank.read(document) is None else there).append(document)
        except PeercoordError as error:
            notes.append(f"{document} was not refreshed: {error.message}")
    if not missing or bank.root.setting("memory.commit") == "on":
        return [*there, *missing]
    try:
        return [*there, *git.ignored(bank.files.place, missing)]
    except PeercoordError:
        return [*there, *missing]  # no repository


def _note(root: Root, by: str, term: int, error: PeercoordError | None, notes: Sequence[str]) -> None:
    """Note how a merge went; on a full disk the note is lost."""
    old, now = health(root), root.clock.now()
    record: Json = {"schema_version": records.SCHEMA_VERSION, "at": now, "by": by, "term": term, "ok": error is None}
    record["last_ok"] = now if error is None else old.get("last_ok")
    if error is not None:
        record |= {"code": error.code, "message": error.message, "hint": error.hint}
    record["notes"] = list(notes)
    with suppress(StorageError):
        root.files.put(paths.MERGED, records.encode(record))


def health(root: Root) -> Json:
    """Read how the last merge went; empty if there was none, or that cannot be read."""
    return Queue(root).read_record(paths.MERGED) or {}


def troubles(root: Root) -> list[tuple[str, str]]:
    """Return what is wrong with the memory bank, for ``doctor``: what, and the next command."""
    record = health(root)
    found = [(str(note), "peercoord memory list") for note in record.get("notes") or ()]
    if record.get("ok") is False:
        last = record.get("last_ok") or "never"
        what = f"the last merge of the memory bank failed (last one that went well: {last}): {record.get('message')}"
        found.append((what, str(record.get("hint") or _AGAIN)))
    return found


# -- the leader's job --------------------------------------------------------------------------------------------


class MergeJob(PeriodicChild):
    """Merges contributions: every so often, and at once when a person has decided something."""

    def __init__(self, root: Root, worktree: str, command: Sequence[str]) -> None:
        super().__init__(root, worktree, command, float(root.number("merge_seconds")))

    def rest(self) -> None:
        """Forget what was seen: another peer leads."""
        super().rest()
        self._bank: str | None = None

    def urgent(self) -> object:
        """Return when a person last decided."""
        return changed_at(self.files, paths.DECISIONS)

    def watched(self) -> object:
        """Return when anything last changed that a merge depends on; ``None`` if there is nothing to merge into."""
        if self._bank is None:
            self._bank = directory(self.root.project)
        queued = any(name.endswith(".json") for name in self.files.scan(f"{paths.MEMORY}/queued"))
        if not self._bank or not (queued or os.path.isdir(self._bank)):
            return None
        alone = [*(f"{paths.MEMORY}/{state}" for state in ("queued", "candidates", "approvals"))]
        alone += [paths.REPORTS, paths.PEERS, paths.WAITING]
        peers = [paths.claims_dir(f"{paths.PEERS}/{who}") for who in sorted(self.files.scan(paths.PEERS))]
        times = [(path, changed_at(self.files, path)) for path in (*alone, *peers)]
        below = [changed_below(self.files, base) for base in (paths.DONE, paths.TASKS, paths.PARKED)]
        return self.urgent(), times, below, self._documents()

    def _documents(self) -> object:
        try:
            names = sorted(name for name in os.listdir(self._bank or "") if name.endswith(".md"))
        except OSError:
            return None
        return [(name, state_of_file(f"{self._bank}/{name}")) for name in names]

    def call(self, term: int) -> bool:
        """Merge; return whether something was skipped that can be merged later although nothing changes."""
        return bool(self.ask(["memory", "merge", "--term", str(term)], "a merge", _AGAIN).get("notes"))


# -- the commit --------------------------------------------------------------------------------------------------


_NOT = "the memory bank was not committed"


def commit_documents(bank: Bank, documents: Sequence[str], by: str) -> tuple[str, str]:
    """Commit documents."""
    place = os.path.realpath(bank.files.place)
    try:
        with inspection.of_directory(place) as found:
            below = os.path.relpath(place, found.checkout.tree)
            return _commit(found, [os.path.normpath(os.path.join(below, name)) for name in documents], below, by)
    except PeercoordError as error:
        return "", f"the memory bank was merged but not committed: {error.message}"


def _commit(found: Inspection, documents: Sequence[str], below: str, by: str) -> tuple[str, str]:
    tracked = found.fields("ls-files", "-z", "--", below)
    if not tracked:
        return "", ""  # the repository does not track the bank
    staged = found.fields("diff", "--cached", "--name-only", "--ignore-submodules=none", "-z", "--", *documents)
    why = _obstacle(found, staged)
    if why:
        return "", f"{_NOT}: {why}"
    hidden = found.ignored(documents)
    tree = found.checkout.tree
    new = [name for name in documents if name not in (*tracked, *hidden) and os.path.isfile(f"{tree}/{name}")]
    paths = [name for name in documents if name in tracked] + new
    filtered = found.filtered(paths)
    if filtered:
        return "", f"{_NOT}: {git.shown_path(min(filtered))} has a filter, which only a person's own git runs"
    if not paths or not found.changes("--", *paths).entries:
        return "", ""
    return _record(found, paths, f"memory bank: merged by {by}"), ""


def _obstacle(found: Inspection, staged: Sequence[str]) -> str:
    """Return why no commit can be made now; empty if one can."""
    busy = gitdirs.under_way(found.checkout.git_dir)
    if busy:
        return f"{busy[0]} is under way in the main checkout"
    if staged:
        return f"{git.shown_path(staged[0])} is staged by someone"
    if found.signs_commits:
        return "this repository signs its commits, which only a person's own git does"
    return ""


def _record(found: Inspection, paths: Sequence[str], words: str) -> str:
    """Commit these files alone, and update the index."""
    names = "".join(f"{path}\0" for path in paths)
    env = {**found.identity(), "GIT_INDEX_FILE": f"{found.home}/commit"}
    before = found.text("rev-parse", "HEAD")
    found.ask("read-tree", "HEAD", env=env)
    found.ask("update-index", "--add", "--remove", "-z", "--stdin", data=names, env=env)
    tree = found.ask("write-tree", env=env).out.strip()
    made = found.ask("commit-tree", tree, "-p", before, "-m", words, env=env).out.strip()
    # the index itself, under git's own lock
    found.ask("update-index", "--add", "--remove", "-z", "--stdin", data=names)
    try:
        at = f"--git-dir={found.checkout.git_dir}"
        git.ask("/", at, "update-ref", "-m", f"commit: {words}", "HEAD", made, before, env=found.identity())
    except PeercoordError:
        found.ask("reset", "--quiet", "--", *paths)
        raise
    return made
