"""For tests: a coordination directory beside a TaskMaster database, and the sync between them, without git."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from peercoord.membership import membership as members
from peercoord.membership.leadership import current_term
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.queue.worker import Worker
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.files import Files
from peercoord.store.paths import Incarnation
from peercoord.store.root import Root
from peercoord.system import clock as clocks
from peercoord.system.disk import Disk
from peercoord.tasklists.reconcile import Outcome
from peercoord.tasklists.snapshot import Tickets
from peercoord.tasklists.sql_engine import Address
from peercoord.tasklists.sql_engine import Database as Door
from peercoord.tasklists.sql_projects import Team
from peercoord.tasklists.sql_store import SqlTaskList
from peercoord.tasklists.sync import Sync
from peercoord.tasklists.tasks_json_list import TasksJson
from support.worlds import PROTOCOL, Ticking, unknown

TASKS = """CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT NOT NULL, description TEXT,
    status TEXT DEFAULT 'pending', priority TEXT DEFAULT 'medium', dependencies TEXT DEFAULT '[]');"""
ROWS = "INSERT INTO tasks (id, title, description, status, priority, dependencies) VALUES (?, ?, ?, ?, ?, ?)"


class Frozen(Ticking):
    """A clock that stands still, so that two runs write the same."""

    def now(self) -> str:
        return "2026-01-31T15:30:00Z"


class Lists:
    """A project with a database.

    Args:
        home: The project's directory.
        disk: What the coordination directory stands on; the real one if left out.
        frozen: Time stands still.
    """

    def __init__(self, home: Path, disk: Any = None, frozen: bool = False) -> None:
        self.home = Path(os.path.realpath(home))
        self.path = self.home / "memory.db"
        self.clock = Frozen() if frozen else Ticking()
        where = self.home / paths.ROOT
        if not where.exists():
            where.mkdir()
            files = Files(Disk(str(where)), clocks.token)
            roots.build(files, "", {**PROTOCOL, "project": "proj"})
        self.disk = disk or Disk(str(where))
        files = Files(self.disk, clocks.token)
        data = files.read(paths.PROTOCOL)
        assert data is not None
        self.root = Root(files, records.decode(data, "protocol.json"), self.clock)
        self.queue = Queue(self.root, "leader")
        self._doors: dict[float, Door] = {}

    # -- the list --------------------------------------------------------------------------------------------

    def make(self, script: str, *rows: Sequence[Any]) -> None:
        """Make the database from a script, and rows of the plain table."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executescript(script)
            if rows:
                connection.executemany(ROWS, rows)

    def plain(self, *rows: Sequence[Any]) -> None:
        """Create the plain table: rows of id, title and further columns."""
        full = ("", "", "", "pending", "medium", "[]")
        self.make(TASKS, *((*row, *full[len(row) :]) for row in rows))

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Execute a statement as another program would."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.text_factory = lambda data: data.decode(errors="replace")
            return connection.execute(statement, values).fetchall()

    def row(self, task: object, columns: str = "status, assigned_instance") -> Any:
        """Return columns of a task's row."""
        found = self.sql(f"SELECT {columns} FROM tasks WHERE id = ?", task)
        assert len(found) == 1, f"{len(found)} rows with the id {task}"
        return found[0] if "," in columns else found[0][0]

    def dump(self) -> dict[str, list[Any]]:
        """Return all rows of the mission's tables, and what was agreed on."""
        wanted = {
            "tasks": "*",
            "instance_assignments": "task_id, instance_id, status, epoch, assigned_at, ended_at",
            "peercoord_store": "store_id, project, term",
            "peercoord_sync": "place, task_id, digest",
            "peercoord_base": "place, task_id, base",
        }
        return {table: sorted(self.sql(f"SELECT {what} FROM {table}"), key=repr) for table, what in wanted.items()}

    # -- syncing ---------------------------------------------------------------------------------------------

    def store(self, **more: Any) -> SqlTaskList:
        wait = more.pop("wait", 0.2)
        door = self._doors.setdefault(wait, Door(Address.read(str(self.path)), wait))  # it keeps compiled statements
        team = more.pop("team", None) or Team(self.root.store_id, "proj", self.home)
        return SqlTaskList(door, team, self.clock.now, self.queue.all_tasks, **more)

    def tasks_file(self, path: Path, tag: str | None = None, **more: Any) -> TasksJson:
        return TasksJson(path, tag, self.store(), more.pop("wait", 0.2), **more)

    def sync(self, store: Any = None, term: int | None = None, **more: Any) -> Outcome:
        """Bring a list into step; the database if none is named."""
        mine = current_term(self.root) if term is None else term
        leads = more.pop("leads", lambda: True)
        return Sync(self.queue, store or self.store(), **more).sync(mine, leads)

    def plan(self, store: Any = None, **more: Any) -> Outcome:
        return Sync(self.queue, store or self.store(), **more).plan(every=True)

    def settled(self, term: int | None = None) -> None:
        """Sync until nothing is left to do; that must be soon."""
        for _ in range(3):
            left = self.sync(term=term).comparisons
            if not left:
                return
        raise AssertionError(f"still not in step: {[(m.task, m.kind, m.resolution.outgoing) for m in left]}")

    # -- the team --------------------------------------------------------------------------------------------

    def join(self, peer: str = "w1") -> Worker:
        queue = Queue(self.root, peer)
        return Worker(queue, members.join(self.root, peer, {}, unknown, Janitor(queue, peer).evict))

    def evict(self, worker: Worker) -> None:
        by = Incarnation("judge", 1, "aaa")
        assert Janitor(self.queue, "judge").evict(worker.me, by, "a test says so")

    def add(self, task: str, title: str = "", **more: Any) -> None:
        self.queue.add(records.define(task, title or f"Task {task}", **more))

    def state(self, task: str) -> tuple[str, str]:
        sighting = self.queue.find(task)
        return sighting.state, sighting.detail

    def version(self, task: str) -> str:
        """Return the stored form of a task's version."""
        return Tickets(self.queue).snapshot().stored(task)

    def raw(self, task: str) -> Any:
        return self.queue.definition(task).raw


class FileLists(Lists):
    """A project with a ``tasks.json`` beside its database."""

    tag: str | None = None

    @property
    def file(self) -> Path:
        return self.home / ".taskmaster" / "tasks" / "tasks.json"

    def write(self, data: Any, **style: Any) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, **({"indent": 2} | style))
        self.file.write_bytes(text.encode())

    def tasks(self, *tasks: Any) -> None:
        plain = {"description": "d", "status": "pending", "dependencies": [], "priority": "medium", "subtasks": []}
        self.write({"master": {"tasks": [{**plain, **task} for task in tasks], "metadata": {"created": "x"}}})

    def task(self, task: object) -> Any:
        data = json.loads(self.file.read_text())
        found = data.get(self.tag or "master", data)["tasks"]
        return next(entry for entry in found if str(entry.get("id")) == str(task))

    def both(self) -> None:
        """Sync the file and the database until nothing is left to do."""
        for _ in range(4):
            left = [*self.sync(self.tasks_file(self.file, self.tag)).comparisons, *self.sync().comparisons]
            if not left:
                return
        raise AssertionError(f"still not in step: {[(m.task, m.kind) for m in left]}")

    def finish(self, task: str) -> None:
        """Claim and complete a task, and park those that are claimed before it."""
        worker = self.join()
        while (claim := worker.request()) is not None:
            if claim.task == task:
                worker.complete(task)
                return
            worker.park(claim.task, "review", "not this one")


def make_database(path: Path, *rows: tuple[Any, ...]) -> Path:
    """Make a database with a plain table of tasks: rows of id, title and status."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TASKS)
        connection.executemany("INSERT INTO tasks (id, title, status) VALUES (?, ?, ?)", rows)
    return path


def make_shared_database(path: Path, script: str = "") -> Path:
    """Make a database with a task of project alpha and a task of project beta."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """CREATE TABLE tasks (id INTEGER, project TEXT, title TEXT, status TEXT, PRIMARY KEY (project, id));
               INSERT INTO tasks VALUES (1, 'alpha', 'First', 'pending'), (1, 'beta', 'Theirs', 'pending');"""
            + script
        )
    return path


def query(path: Path, statement: str = "SELECT id, title, status FROM tasks ORDER BY id") -> list[Any]:
    """Ask a database as another program would."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def files_below(*roots: Path) -> dict[str, bytes]:
    """Read every file below these directories."""
    return {str(path): path.read_bytes() for root in roots for path in sorted(root.rglob("*")) if path.is_file()}


class Crash(BaseException):
    """The process is gone."""


@contextmanager
def statements(around: Callable[[str], None]) -> Iterator[None]:
    """Pass every statement of every database connection, and every commit, through ``around`` before it happens."""

    def execute(_c: Any, _u: Any, statement: str, _p: Any, _x: Any, _m: bool) -> None:
        around(statement)

    def commit(_c: Any) -> None:
        around("COMMIT")

    event.listen(Engine, "before_cursor_execute", execute)
    event.listen(Engine, "commit", commit)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", execute)
        event.remove(Engine, "commit", commit)
