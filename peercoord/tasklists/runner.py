"""Sync all lists of a project, note how it went, and decide when the leader syncs.

How the last sync went is in ``sync.json``, for ``doctor``. No claim and no report ever waits for a database.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from peercoord.errors import LostError, PeercoordError, StorageError, UsageError
from peercoord.foreign import shown
from peercoord.membership.periodic import PeriodicChild, changed_at, changed_below, state_of_file
from peercoord.queue.queue import Queue
from peercoord.store import paths, records
from peercoord.tasklists.selection import Choice, tags_of

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.store.root import Root
    from peercoord.tasklists.reconcile import Outcome
    from peercoord.tasklists.sql_store import SqlTaskList
    from peercoord.tasklists.sync import Sync
    from peercoord.tasklists.tasks_json_list import TasksJson

LEAST_SECONDS = 0.1  # between two syncs caused by claims and completions
REFUSED_MOST = 50  # refusals in the note about a sync
_ROUNDS = 2  # so that changes from one list reach the others in the same run


# -- running -----------------------------------------------------------------------------------------------------


class Lists:
    """The lists of one project."""

    def __init__(
        self,
        root: Root,
        actor: str,  # who syncs, for events
        choice: Choice,
        *,
        url: str = "",  # the database's URL with its password, if the user gave one just now
        wait: float | None = None,  # seconds to wait for a program that has a list locked; the usual ones if left out
        take_over: bool = False,  # forget another team's claim on the database
        restore: bool = False,  # write vanished rows again instead of cancelling their tasks
        take_edits: bool = False,  # take rows that look like other tasks as edits
    ) -> None:
        from peercoord.tasklists import sql_engine
        from peercoord.tasklists.sql_projects import Team
        from peercoord.tasklists.sql_store import SqlTaskList
        from peercoord.tasklists.tasks_json_list import TasksJson

        self.root, self.queue, self.restore, self.take_edits = root, Queue(root, actor), restore, take_edits
        home = root.project
        team = Team(root.store_id, str(root.protocol.get("project") or home.name), home, choice.key)
        address = sql_engine.Address.read(url or choice.database, home)
        wait = sql_engine.LOCK_SECONDS if wait is None else wait
        door = sql_engine.Database(address, wait)
        self.database = SqlTaskList(door, team, root.clock.now, self.queue.all_tasks, take_over, self._summary)
        self.all: list[SqlTaskList | TasksJson] = [self.database]
        self.file: TasksJson | None = None
        if choice.tasks_file:
            path = Path(os.path.abspath(home / os.path.expanduser(choice.tasks_file)))
            pinned = choice.tag is None and self._pin(choice, path)
            self.file = TasksJson(path, choice.tag, self.database, wait, key="" if choice.late or pinned else None)
            self.all.insert(0, self.file)

    def _pin(self, choice: Choice, path: Path) -> bool:
        """Pin the tag of a ``tasks.json`` for a choice of package 0.1.0, which used the current tag at every sync.

        It is the tag that the tasks here came from, or the current one if none came from that file.
        """
        from peercoord.tasklists import files, tasks_json

        tags = tags_of(self.queue, choice.tasks_file)
        if len(tags) > 1:
            raise UsageError(
                f"tasks of several tags of {shown(choice.tasks_file, 300)} are here: "
                f"{', '.join(map(shown, sorted(tags)))}",
                hint=f"say which is kept in step: peercoord sync --tasks-file {shlex.quote(str(path))} --tag TAG",
                code="no-tag",
            )
        try:
            found = tasks_json.tagged(files.json_object(path), path)
            choice.tag = next(iter(tags)) if tags else tasks_json.choose(found, path, None)
        except PeercoordError:
            return False
        choice.late = True
        return True

    def _summary(self) -> Json:
        from peercoord.membership.membership import judge
        from peercoord.status import views
        from peercoord.status.board import Reader

        board = Reader(self.queue, lambda who: judge(self.root, who)).board()
        return views.summary(board.rows)

    @staticmethod
    def shown(choice: Choice) -> str:
        """Return the names of the lists of a choice, for people."""
        files = [shown(choice.tasks_file, 300)] if choice.tasks_file else []
        return " and ".join([shown(choice.database, 300), *files])

    def create(self) -> bool:
        """Create the database if there is none: only when it was just named, or is the project's own."""
        return self.database.database.create()

    def plan(self, every: bool = False) -> list[tuple[str, Outcome]]:
        """Return what a sync would do, changing nothing: for each list its name and the outcome."""
        return [(store.name, self._of(store).plan(every)) for store in self.all]

    def sync(self, term: int, leads: Callable[[], bool]) -> list[tuple[str, Outcome]]:
        """Bring all lists into step, as ``Sync.sync`` does with one. If one fails, the others may be in step."""
        found: list[tuple[str, Outcome]] = []
        failed: PeercoordError | None = None
        for _ in range(_ROUNDS):
            came = False
            for store in self.all:
                try:
                    outcome = self._of(store).sync(term, leads)
                except LostError:
                    raise
                except PeercoordError as error:
                    failed = failed or error
                    continue
                found.append((store.name, outcome))
                came = came or bool(outcome.added) or any(m.resolution.incoming for m in outcome.comparisons)
            if not came or len(self.all) == 1:
                break
        if failed is not None:
            raise failed
        return found

    def _of(self, store: SqlTaskList | TasksJson) -> Sync:
        from peercoord.tasklists.sync import Sync

        return Sync(self.queue, store, self.restore, self.take_edits)


def run(lists: Lists, term: int | None = None) -> list[tuple[str, Outcome]]:
    """Sync under the current leader's term, and note how it went.

    A database that has seen a higher term than this directory's remembers an earlier life of it; the leader's ticket is
    raised above that, by the leader's own process or where no peer has it.

    Args:
        lists: The project's lists.
        term: The leader's term, if its own process calls: nothing is done once that is over.

    Raises:
        LostError: The term is over; nothing was changed from then on.
        PeercoordError: A list cannot be read or written now.
    """
    from peercoord.membership.leadership import current_term, leader_home, raise_term

    root, by, where = lists.root, lists.queue.actor, lists.database.name
    began = root.clock.now()
    mine = current_term(root) if term is None else term
    try:
        try:
            found = lists.sync(mine, lambda: current_term(root) == mine)
        except LostError as error:
            home = leader_home(root, mine)
            if error.code != "stale-term" or not home or (term is None and home != paths.LEADER):
                raise
            mine = raise_term(root, home, mine, lists.database.remembered("")[0])
            found = lists.sync(mine, lambda: current_term(root) == mine)
    except PeercoordError as error:
        note(root, by, mine, where, error)
        raise
    refused = dict.fromkeys(one for _, outcome in found for one in outcome.refused)
    note(root, by, mine, where, None, began, list(refused))
    return found


def note(
    root: Root,
    by: str,
    term: int,
    where: str,
    error: PeercoordError | None,
    began: str = "",
    refused: Sequence[tuple[str, str]] = (),
) -> None:
    """Note how a sync went, when it began, and what it could not settle. On a full disk the note is lost."""
    old = health(root)
    now = root.clock.now()
    record: Json = {"schema_version": records.SCHEMA_VERSION, "at": now, "by": by, "term": term, "database": where}
    if error is None:
        record |= {"ok": True, "last_ok": now, "last_ok_began": began or None}
        first = {str(one.get("what")): one.get("since") for one in _refused(old)}
        listed = [{"what": what, "why": why, "since": first.get(what) or now} for what, why in refused[:REFUSED_MOST]]
        record |= {"refused": listed} if listed else {}
    else:
        since = old.get("since") if old.get("ok") is False else now
        record |= {"ok": False, "code": error.code, "message": error.message, "hint": error.hint, "since": since}
        record |= {"last_ok": old.get("last_ok"), "last_ok_began": old.get("last_ok_began")}
        record |= {"refused": old["refused"]} if old.get("refused") else {}
    with suppress(StorageError):
        root.files.put(paths.SYNC, records.encode(record))


def _refused(record: Json) -> list[Json]:
    listed = record.get("refused")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def health(root: Root) -> Json:
    """Read how the last sync went; empty if there was none, or that cannot be read."""
    return Queue(root).read_record(paths.SYNC) or {}


def troubles(root: Root) -> list[tuple[str, str]]:
    """Return what is wrong with keeping in step, for ``doctor``: what, and the next command."""
    record, choice = health(root), Choice.of(root.protocol)
    if not choice:
        return []
    if record.get("ok") is not False:
        command = "peercoord sync --dry-run"
        return [(f"not in step: {one.get('what')}: {one.get('why')}", command) for one in _refused(record)]
    since, last = record.get("since"), record.get("last_ok") or "never"
    what = f"no sync with {record.get('database')} since {since} (last one that went well: {last})"
    return [(f"{what}: {record.get('message')}", str(record.get("hint") or "peercoord sync"))]


# -- the leader's job --------------------------------------------------------------------------------------------


class SyncJob(PeriodicChild):
    """Keeps the lists in step: every so often, and at once when a task was claimed or completed."""

    FULL_RESCAN_S = 600.0

    def __init__(self, root: Root, worktree: str, command: Sequence[str]) -> None:
        super().__init__(root, worktree, command, float(root.number("database_seconds")))
        self.choice = Choice.of(root.protocol)

    def urgent(self) -> object:
        """Return when what each peer holds last changed, and what is done."""
        peers = sorted(self.files.scan(paths.PEERS))
        held = [(who, changed_at(self.files, paths.claims_dir(f"{paths.PEERS}/{who}"))) for who in peers]
        return changed_at(self.files, paths.DEPARTED), changed_below(self.files, paths.DONE), held

    def watched(self) -> object:
        """Return when anything last changed here or in the lists; ``None`` if nothing is kept in step."""
        if not self.choice:
            return None
        alone = [changed_at(self.files, path) for path in (paths.WAITING, paths.REPORTS, paths.PEERS)]
        bases = [paths.TASKS, paths.PARKED, paths.RESULTS]
        bases += [f"{paths.READY}/{level}" for level in sorted(self.files.scan(paths.READY))]
        return self.urgent(), alone, [changed_below(self.files, base) for base in bases], self._lists()

    def _lists(self) -> object:
        """Return when the lists last changed; something new each time where that cannot be known."""
        if "://" in self.choice.database:
            return object()
        home = self.root.project
        names = [self.choice.database, f"{self.choice.database}-wal", self.choice.tasks_file]
        return [state_of_file(os.path.join(home, os.path.expanduser(name))) for name in names if name]

    def call(self, term: int) -> bool:
        """Sync; return whether anything changed: what came in may have to go out to another list."""
        return bool(self.ask(["sync", "--term", str(term)], "a sync", "peercoord sync").get("changed"))
