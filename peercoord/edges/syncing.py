"""Which lists a project is kept in step with, how a sync is run, and when the leader runs one.

The choice stands in ``protocol.json``, for all peers: ``database`` (a path as it is seen from the project, or a URL
without its password), ``database_project`` (what that database calls the project), ``tasks_file`` (``path`` and
``tag`` of a ``tasks.json``). How the last sync went stands in ``sync.json``, for ``doctor``.

Promise: no claim and no report ever waits for a database. The leader's duty starts a process of its own for each sync
and reads nothing but a few times of change itself; so an agent needs no database driver in its memory, an idle team
costs nothing, and a server that does not answer holds up nobody.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from peercoord.core import ids, names, records
from peercoord.core.errors import LostError, PeercoordError, StorageError
from peercoord.edges import child
from peercoord.roles.queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from peercoord.core.records import Json
    from peercoord.edges.adapters.store import DatabaseStore
    from peercoord.edges.adapters.tasks_file import TasksFile
    from peercoord.roles.database import Database, Outcome
    from peercoord.roles.root import Root

MISSION = "~/Workspace/tools/claude/memory/claude_memory.db"
"""The shared database of the mission: taken where it exists and the user agrees."""
NONE = "none"
EVERYTHING_SECONDS = 600.0  # between two looks at everything, whatever the times of change say
LEAST_SECONDS = 3.0  # between two syncs that completions call for
_ROUNDS = 2  # what comes in from one list goes out to the others in the same run


# -- the choice --------------------------------------------------------------------------------------------------


class Choice:
    """What a project is kept in step with.

    Attributes:
        database: Path or URL; empty if nothing was chosen, ``none`` if none shall be.
        key: What the database calls the project; empty: its name.
        tasks_file: Path of a ``tasks.json``; empty if there is none.
        tag: Its tag; ``None``: the current one.
    """

    def __init__(self, database: str = "", key: str = "", tasks_file: str = "", tag: str | None = None) -> None:
        self.database, self.key, self.tasks_file, self.tag = database, key, tasks_file, tag

    @classmethod
    def of(cls, protocol: Json) -> Choice:
        """Read the choice from ``protocol.json``."""
        file = protocol.get("tasks_file")
        file = file if isinstance(file, dict) else {}
        tag = file.get("tag")
        return cls(
            _text(protocol.get("database")),
            _text(protocol.get("database_project")),
            _text(file.get("path")),
            tag if isinstance(tag, str) else None,
        )

    def __bool__(self) -> bool:
        return bool(self.database) and self.database != NONE

    def choose(self, database: str) -> None:
        """Choose a database; what another one calls the project says nothing of this one."""
        if database != self.database:
            self.database, self.key = database, ""

    def facts(self) -> Json:
        """Give it as ``protocol.json`` holds it; ``None`` for what is not to stand there."""
        file = {"path": self.tasks_file, **({"tag": self.tag} if self.tag else {})} if self.tasks_file else None
        return {"database": self.database or None, "database_project": self.key or None, "tasks_file": file}


def remember(root: Root, choice: Choice) -> None:
    """Write the choice down, for all peers; nothing is written that stands there already."""
    with root.intake():
        data = root.files.read(names.PROTOCOL)
        old = records.decode(data, names.PROTOCOL) if data else root.protocol
        new = {key: value for key, value in {**old, **choice.facts()}.items() if value is not None}
        if new != old:
            root.files.put(names.PROTOCOL, records.encode(new), durable=True)
        root.protocol = new


def noted(where: str, home: Path) -> str:
    """Give a path or URL as it is written down: seen from the project if it lies in it, and never with a password.

    Args:
        where: As the user gave it.
        home: The project.

    Raises:
        UsageError: It is no path or URL of a database.
    """
    from peercoord.edges.adapters.engine import Address

    if "://" not in where and where.startswith("~"):
        return where  # each machine has its own home
    address = Address.read(where)
    if address.path is None:
        return address.shown
    real = Path(os.path.realpath(address.path.parent)) / address.path.name
    return os.path.relpath(real, home) if real.is_relative_to(home) else str(address.path)


def home_of(root: Root) -> Path:
    """Give the project that a coordination directory belongs to."""
    return Path(str(getattr(root.files.disk, "root", "."))).parent


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# -- running -----------------------------------------------------------------------------------------------------


class Lists:
    """The lists of one project.

    Args:
        root: Its coordination directory.
        actor: Who syncs, for events.
        choice: What it is kept in step with.
        url: The database's URL with its password, if the user gave one just now.
        wait: Seconds to wait for another program that has a list locked; the usual ones if left out.
        take_over: Another team's claim on the database is forgotten.
        restore: Rows that vanished are written again instead of cancelling their tasks.
    """

    def __init__(
        self,
        root: Root,
        actor: str,
        choice: Choice,
        *,
        url: str = "",
        wait: float | None = None,
        take_over: bool = False,
        restore: bool = False,
    ) -> None:
        from peercoord.edges.adapters import engine
        from peercoord.edges.adapters.store import DatabaseStore, Team
        from peercoord.edges.adapters.tasks_file import TasksFile

        self.root, self.queue, self.restore = root, Queue(root, actor), restore
        home = home_of(root)
        team = Team(root.store_id, str(root.protocol.get("project") or home.name), home, choice.key)
        address = engine.Address.read(url or choice.database, home)
        wait = engine.LOCK_SECONDS if wait is None else wait
        door = engine.Database(address, wait)
        self.database = DatabaseStore(door, team, root.clock.now, self.queue.all_tasks, take_over)
        self.all: list[DatabaseStore | TasksFile] = [self.database]
        if choice.tasks_file:
            path = Path(os.path.abspath(home / os.path.expanduser(choice.tasks_file)))
            self.all.insert(0, TasksFile(path, choice.tag, self.database, wait))

    @staticmethod
    def shown(choice: Choice) -> str:
        """Name the lists of a choice, for people."""
        files = [ids.shown(choice.tasks_file, 300)] if choice.tasks_file else []
        return " and ".join([ids.shown(choice.database, 300), *files])

    def create(self) -> bool:
        """Make the database if there is none: only when someone has just named it, or it is the project's own."""
        return self.database.database.create()

    def plan(self, every: bool = False) -> list[tuple[str, Outcome]]:
        """Say what a sync would do, changing nothing: for each list its name and the outcome."""
        return [(store.name, self._of(store).plan(every)) for store in self.all]

    def sync(self, term: int, leads: Callable[[], bool]) -> list[tuple[str, Outcome]]:
        """Bring all lists into step.

        Args:
            term: The leader's term under which this is done.
            leads: Tells whether that term still stands.

        Raises:
            LostError: The term is over; nothing was changed from then on.
            PeercoordError: A list cannot be read or written now; the others may be in step.
        """
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
                came = came or bool(outcome.added) or any(m.found.incoming for m in outcome.meetings)
            if not came or len(self.all) == 1:
                break
        if failed is not None:
            raise failed
        return found

    def _of(self, store: DatabaseStore | TasksFile) -> Database:
        from peercoord.edges.importing import take_in
        from peercoord.roles.database import Database

        return Database(self.queue, store, take_in, self.restore)


def run(lists: Lists, term: int | None = None) -> list[tuple[str, Outcome]]:
    """Sync under the term of whoever leads now, and note how it went.

    A database that has seen a higher term than this directory's remembers an earlier life of it; the leader's ticket is
    raised above that, by the leader's own process or where nobody has it.

    Args:
        lists: The project's lists.
        term: The leader's term, if its own process calls: nothing is done once that is over.

    Raises:
        LostError: The term is over; nothing was changed from then on.
        PeercoordError: A list cannot be read or written now.
    """
    from peercoord.roles.database import home_of as ticket_home
    from peercoord.roles.database import raise_term, term_now

    root = lists.root
    mine = term_now(root) if term is None else term
    try:
        try:
            found = lists.sync(mine, lambda: term_now(root) == mine)
        except LostError as error:
            home = ticket_home(root, mine)
            if error.code != "stale-term" or not home or (term is None and home != names.LEADER):
                raise
            mine = raise_term(root, home, mine, lists.database.remembered("")[0])
            found = lists.sync(mine, lambda: term_now(root) == mine)
    except PeercoordError as error:
        note(root, lists.queue.actor, mine, lists.database.name, error)
        raise
    note(root, lists.queue.actor, mine, lists.database.name, None)
    return found


def note(root: Root, by: str, term: int, where: str, error: PeercoordError | None) -> None:
    """Note how a sync went. A note: on a full disk it is lost."""
    old = health(root)
    now = root.clock.now()
    record: Json = {"schema_version": records.SCHEMA_VERSION, "at": now, "by": by, "term": term, "database": where}
    if error is None:
        record |= {"ok": True, "last_ok": now}
    else:
        since = old.get("since") if old.get("ok") is False else now
        record |= {"ok": False, "code": error.code, "message": error.message, "hint": error.hint, "since": since}
        record |= {"last_ok": old.get("last_ok")}
    with suppress(StorageError):
        root.files.put(names.SYNC, records.encode(record))


def health(root: Root) -> Json:
    """Read how the last sync went; empty if there was none, or that cannot be read."""
    return Queue(root).read_record(names.SYNC) or {}


def troubles(root: Root) -> list[tuple[str, str]]:
    """Say what is wrong with keeping in step, for ``doctor``: what, and the next command."""
    record = health(root)
    if not Choice.of(root.protocol) or record.get("ok") is not False:
        return []
    since, last = record.get("since"), record.get("last_ok") or "never"
    what = f"no sync with {record.get('database')} since {since} (last one that went well: {last})"
    return [(f"{what}: {record.get('message')}", str(record.get("hint") or "peercoord sync"))]


# -- the leader's duty -------------------------------------------------------------------------------------------


class Keeper:
    """Sees to it that the lists are kept in step: every so often, and at once when a task was completed.

    Args:
        root: The coordination directory, as the agent opened it.
        worktree: The agent's worktree.
        command: The words that call this installation.
    """

    def __init__(self, root: Root, worktree: str, command: Sequence[str]) -> None:
        self.root, self.worktree, self.command = root, worktree, list(command)
        self.files = root.files
        self.choice = Choice.of(root.protocol)
        self.every = float(root.number("database_seconds"))
        self._synced = self._everything = float("-inf")
        self._still: object = None
        self._done: object = None

    def run(self, term: int) -> None:
        """Sync, if there may be something to do.

        Raises:
            PeercoordError: The sync failed; it is tried again.
        """
        if not self.choice:
            return
        now, done = self.root.clock.monotonic(), tuple(self._times(names.DONE))
        if done == self._done and now - self._synced < self.every:
            return
        mark = (tuple(self._marks()), self._theirs())
        if mark == self._still and now - self._everything < EVERYTHING_SECONDS:
            self._synced = now
            return
        changed = self._sync(term)
        self._synced, self._done = now, done
        self._still = None if changed else mark
        if not changed:
            self._everything = now

    def _marks(self) -> Iterator[object]:
        """When each directory that tells of a change last changed."""
        for path in (names.WAITING, names.DEPARTED, names.REPORTS, names.PEERS):
            yield self._time(path)
        for base in (names.TASKS, names.PARKED, names.RESULTS, names.DONE):
            yield from self._times(base)
        for level in sorted(self.files.scan(names.READY)):
            yield from self._times(f"{names.READY}/{level}")
        for who in sorted(self.files.scan(names.PEERS)):
            yield who, self._time(names.claims_dir(f"{names.PEERS}/{who}"))

    def _times(self, base: str) -> Iterator[object]:
        for name in sorted(self.files.scan(base)):
            yield name, self._time(f"{base}/{name}")

    def _time(self, path: str) -> int:
        seen = self.files.stat(path)
        return seen.modified_ns if seen else 0

    def _theirs(self) -> object:
        """When the lists last changed; something new each time where that cannot be told."""
        if "://" in self.choice.database:
            return object()
        home = home_of(self.root)
        paths = [os.path.join(home, os.path.expanduser(self.choice.database))]
        paths += [f"{paths[0]}-wal"]
        if self.choice.tasks_file:
            paths.append(os.path.join(home, os.path.expanduser(self.choice.tasks_file)))
        return tuple(_changed(path) for path in paths)

    def _sync(self, term: int) -> bool:
        """Run a sync in a process of its own.

        Returns:
            Whether it changed anything.
        """
        done = child.ask(self.command, self.worktree, ["sync", "--term", str(term)], "a sync", "peercoord sync")
        return bool(done.get("changed"))


def _changed(path: str) -> tuple[int, int]:
    try:
        seen = os.stat(path)
    except OSError:
        return 0, 0
    return seen.st_mtime_ns, seen.st_size


def default_database(project: Path, common: Path) -> str:
    """Give the database of a project that named none: in the repository's git directory, as seen from the project."""
    from peercoord.edges.team import record, repository

    return os.path.relpath(record.database(common, repository.discover(project, exact=True).sub), project)
