"""A TaskMaster database as one side of a sync: looked at in one moment, changed in one transaction.

What a transaction does, in this order: adopt the database if it is not yet (a backup first), check and store the
term, read, let the comparison decide, write rows, write who had what, remember what was agreed on. Killed anywhere in
it, the database is as it was.
"""

from __future__ import annotations

from functools import partial
from pathlib import PurePath
from typing import Any

from peercoord.core import ids, sync
from peercoord.core.errors import LostError, UsageError
from peercoord.edges.adapters import assignments, migration, taskmaster, words
from peercoord.edges.adapters import layout as layouts
from peercoord.edges.adapters.engine import Address, Database
from peercoord.edges.adapters.imported import Origin
from peercoord.edges.adapters.ledger import Ledger
from peercoord.edges.adapters.sight import RowSight
from peercoord.edges.adapters.sqlite_tables import Table, Tables
from peercoord.edges.adapters.vocabulary import Vocabulary, state_of
from peercoord.edges.adapters.writing import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import ColumnElement, Connection

    from peercoord.edges.adapters.layout import Layout
    from peercoord.roles.database import Entry, Sight

    Json = dict[str, Any]
    Agreed = Mapping[str, tuple[str, str]]

PLACE = ""
_TRIES = 3  # times that a transaction is done again which another one crossed


class Team:
    """Whose tasks they are.

    Attributes:
        store_id: Which coordination directory.
        project: The project's name.
        home: Where the project is.
        key: What the database calls the project, if the user said so; empty if not.
    """

    def __init__(self, store_id: str, project: str, home: Path, key: str = "") -> None:
        self.store_id, self.project, self.home, self.key = store_id, project, home, key


class DatabaseStore:
    """One TaskMaster database.

    Args:
        database: The door to it.
        team: Whose tasks it keeps.
        now: Gives the time, RFC 3339.
        tasks: Gives the ids of all tasks here, for a table that is yet to be made.
        take_over: Another team's claim on this database is forgotten.
    """

    def __init__(
        self,
        database: Database,
        team: Team,
        now: Callable[[], str],
        tasks: Callable[[], Sequence[str]] = list,
        take_over: bool = False,
    ) -> None:
        self.database, self.team, self.now, self.tasks, self.take_over = database, team, now, tasks, take_over
        self.ledger = Ledger(team.store_id, team.project, database.address.shown)
        self.backup = ""
        self._memo: dict[str, tuple[str, Json | None]] = {}

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.database.address.shown

    @property
    def noted(self) -> str:
        """What it is called in records."""
        return self.origin.noted

    @property
    def origin(self) -> Origin:
        """Where tasks come from that are taken in from here."""
        address: Address = self.database.address
        if address.path is None:
            return Origin("postgresql", PurePath(address.shown))
        return Origin(taskmaster.KIND, address.path, None, self.team.home)

    # -- looking ---------------------------------------------------------------------------------------------

    def look(self) -> Sight:
        """Read what it holds, changing nothing.

        Raises:
            PeercoordError: It cannot be read now, or is another team's.
        """
        with self.database.reading() as connection:
            return self._sight(connection, partial(self.bases_later, PLACE))

    def bases_later(self, place: str, tasks: Sequence[str], agreed: Agreed) -> tuple[Mapping[str, Json], set[str]]:
        """Read what was agreed on, after the look: whoever agreed on a task meanwhile knows better.

        Args:
            place: Which list.
            tasks: Which tasks.
            agreed: As the look found it.

        Returns:
            The bases, and the tasks that were overtaken.
        """
        with self.database.reading() as connection:
            now = self.ledger.agreed(connection, place)
            bases = self.ledger.bases(connection, place, tasks)
        overtaken = {task for task in tasks if now.get(task) != agreed.get(task)}
        return bases, overtaken

    def _sight(
        self,
        connection: Connection,
        bases: Callable[[Sequence[str], Agreed], tuple[Mapping[str, Json], set[str]]],
    ) -> RowSight:
        layout = layouts.inspect(connection, self.name)
        agreed = self.ledger.agreed(connection, PLACE)
        if not agreed and not layout.project and not self.take_over:
            self.ledger.refuse_others(connection)
        tables = self._read(connection, layout)
        term = self.ledger.term(connection)
        return RowSight(layout, tables, term, agreed, lambda tasks: bases(tasks, agreed), self.origin, self._memo)

    def _read(self, connection: Connection, layout: Layout) -> Tables:
        if not layout.has_tasks:
            return Tables({taskmaster.TASKS: Table([], [])}, list(layout.shapes))
        return layout.read(connection, *self._where(connection, layout))

    # -- whose rows ------------------------------------------------------------------------------------------

    def _where(self, connection: Connection, layout: Layout) -> list[ColumnElement[bool]]:
        project = self._project(connection, layout)
        if project is None:
            return []
        clause = layout.tasks.clause()
        return [clause.c[layout.tasks.columns[layout.project].name] == project]

    def _project(self, connection: Connection, layout: Layout) -> object:
        """Give what the project column says of our tasks; ``None`` if the database does not tell projects apart."""
        if not layout.project:
            return None
        used = [row[0] for row in layout.tasks.select(connection, [layout.project]).tuples]
        there = {value for value in used if value not in (None, "")}
        ours = [self.team.key] if self.team.key else [self.team.project, str(self.team.home)]
        listed = self._listed(connection, layout)
        for wanted in ours:
            for value in [*there, *listed]:
                if wanted in (str(value), listed.get(value)):
                    return value
        if self.team.key and not listed:
            return self.team.key
        if listed or (there and not self.team.key):
            shown = ", ".join(ids.shown(listed.get(value, value)) for value in sorted(there or listed, key=str)[:9])
            raise UsageError(
                f"{self.name} tells projects apart by its column '{layout.project}', and none is "
                f"{ids.shown(ours[0])}; those there are: {shown}",
                hint="say which one is meant: peercoord sync --project NAME",
                code="no-project-row",
            )
        return None if used else self.team.project

    def _listed(self, connection: Connection, layout: Layout) -> dict[object, str]:
        """Give the projects of a table of their own, where the column holds their numbers: number and name."""
        shape = layout.shapes.get("projects")
        if shape is None or layout.project != "project_id":
            return {}
        key, name = shape.first(("id", "project_id")), shape.first(("name", "title", "slug", "path"))
        if key is None or name is None:
            return {}
        return {row[0]: str(row[1]) for row in shape.select(connection, [key, name]).tuples}

    # -- changing --------------------------------------------------------------------------------------------

    def change(self, term: int, work: Callable[[Sight], Sequence[Entry]]) -> list[tuple[str, str]]:
        """Change it, in one transaction.

        Args:
            term: The leader's term.
            work: Given what it holds, says what is to be written.

        Returns:
            What was refused, and why.

        Raises:
            LostError: The term is over, or another transaction crossed this one again and again.
            PeercoordError: It cannot be written now; nothing was changed.
        """
        return self._again(lambda connection: self._changed(connection, term, work))

    def _again(self, do: Callable[[Connection], list[tuple[str, str]]]) -> list[tuple[str, str]]:
        """Do something in a transaction; again, if another one crossed it."""
        for left in range(_TRIES - 1, -1, -1):
            try:
                with self.database.writing() as connection:
                    return do(connection)
            except LostError as error:
                if error.code == "stale-term" or not left:
                    raise
        return []

    def _changed(
        self, connection: Connection, term: int, work: Callable[[Sight], Sequence[Entry]]
    ) -> list[tuple[str, str]]:
        self.prepare(connection, term)
        found = self._sight(connection, lambda tasks, _: (self.ledger.bases(connection, PLACE, tasks), set()))
        entries = work(found)
        project = self._project(connection, found.layout)
        writer = Writer(connection, found, project, self.now())
        held = writer.write(entries)
        self._assign(connection, found.layout, writer, [e for e in entries if e.task in held], project)
        wrote = any(entry.outgoing for entry in entries)
        digests = found.digests if not wrote else self._sight(connection, lambda *_: ({}, set())).digests
        Agreements(self.ledger, connection, PLACE).remember(entries, held, digests, writer.refused)
        self._memo.clear()
        return [(f"task {task}", why) for task, why in writer.refused.items()]

    # -- for other lists -------------------------------------------------------------------------------------

    def remembered(self, place: str) -> tuple[int, Agreed]:
        """Give the highest term, and what was agreed on of another list."""
        with self.database.reading() as connection:
            return self.ledger.term(connection), self.ledger.agreed(connection, place)

    def remembering(
        self, place: str, term: int, do: Callable[[Agreements], list[tuple[str, str]]]
    ) -> list[tuple[str, str]]:
        """Change another list while this database holds off every other leader, and remember what was agreed on.

        Args:
            place: Which list.
            term: The leader's term.
            do: Changes it.

        Raises:
            LostError: The term is over; nothing was changed.
            PeercoordError: The database cannot be written now.
        """

        def inside(connection: Connection) -> list[tuple[str, str]]:
            self.prepare(connection, term)
            return do(Agreements(self.ledger, connection, place))

        return self._again(inside)

    def prepare(self, connection: Connection, term: int) -> None:
        """Adopt it if it is not yet, and check and store the term.

        Raises:
            LostError: The term is over; nothing was changed.
            UsageError: It is another team's.
        """
        layout = layouts.inspect(connection, self.name)
        known = self.ledger.exists(connection)
        if not (known and layout.has_tasks and layout.adopted):
            self.backup = migration.adopt(self.database, connection, layout, self.tasks())
            self.ledger.make(connection)
        if not layout.project and self.ledger.term(connection) < 0:
            if self.take_over:
                self.ledger.forget(connection, [store for store, _ in self.ledger.others(connection)])
            self.ledger.refuse_others(connection)
        self.ledger.fence(connection, term, self.now())

    def _assign(
        self, connection: Connection, layout: Layout, writer: Writer, entries: Sequence[Entry], project: object
    ) -> None:
        shape = layout.shapes["instance_assignments"]
        claims = [(writer.key(entry.task), claim) for entry in entries for claim in entry.ours.get("claims", ())]
        assignments.write(connection, shape, claims, project if "project" in shape.columns else None)

    # -- explaining ------------------------------------------------------------------------------------------

    def explain(self) -> Json:
        """Say which column means what, and which words are taken for which state and written for it."""
        with self.database.reading() as connection:
            layout = layouts.inspect(connection, self.name)
            tables = self._read(connection, layout)
            project = self._project(connection, layout)
        columns = {key: column.name for key in layout.keys if (column := layout.column(key))}
        table = tables.found[taskmaster.TASKS]
        status, priority = (_words(table, layout.keys[key]) for key in ("status", "priority"))
        allowed = layout.tasks.allowed.get(layout.keys["status"] or "", None)
        writes = Vocabulary(status, allowed)
        return {
            "database": self.name,
            "columns": columns,
            "dependencies": layout.edges[0].name if layout.edges else columns.get("needs"),
            "project": None if project is None else {"column": layout.project, "value": str(project)},
            "status_words": {word: state_of(word) for word in _distinct(status)},
            "written_words": {state: writes.status(state) for state in sync.STATES},
            "priority_words": {
                str(word): words.priority(word) or "medium" for word in sorted(set(map(str, filter(None, priority))))
            },
        }


def _distinct(found: Sequence[object]) -> list[str]:
    return sorted({words.one_line(word) for word in found if word is not None})


def _words(table: Table, column: str | None) -> list[object]:
    if column is None:
        return []
    at = table.columns.index(column)
    return [row[at] for row in table.tuples]


class Agreements:
    """What is remembered of one list, inside a transaction.

    Args:
        ledger: The memory.
        connection: The transaction.
        place: Which list.
    """

    def __init__(self, ledger: Ledger, connection: Connection, place: str) -> None:
        self.ledger, self.connection, self.place = ledger, connection, place

    @property
    def term(self) -> int:
        """The highest term so far."""
        return self.ledger.term(self.connection)

    @property
    def agreed(self) -> Agreed:
        """For each task our mark and their digest."""
        return self.ledger.agreed(self.connection, self.place)

    def bases(self, tasks: Sequence[str]) -> tuple[Mapping[str, Json], set[str]]:
        """Give what was agreed on for these tasks; nobody can have overtaken it."""
        return self.ledger.bases(self.connection, self.place, tasks), set()

    def remember(
        self,
        entries: Sequence[Entry],
        held: Mapping[str, Json],
        digests: Mapping[str, str],
        refused: Mapping[str, str],
    ) -> None:
        """Keep what was agreed on: of each task our mark, the digest of its row as it is now, and the base.

        A new row that was refused is remembered as that, so that it is tried again when the task changes, and not
        before.
        """
        agreed = {}
        for entry in entries:
            if entry.task in held:
                agreed[entry.task] = (entry.mark, digests.get(entry.task, ""), entry.base(held[entry.task]))
            elif entry.new:
                why: Json = {"ours": {}, "theirs": {}, "refused": refused[entry.task]}
                agreed[entry.task] = (entry.mark, "", why)
        self.ledger.remember(self.connection, self.place, agreed)
