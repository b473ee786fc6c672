"""A TaskMaster database as one side of a sync: looked at in one moment, changed in one transaction.

What a transaction does, in this order: adopt the database if it is not yet (a backup first), check and store the
term, read, let the comparison decide, write rows, write who had what, remember what was agreed on. Killed anywhere in
it, the database is as it was.
"""

from __future__ import annotations

from functools import partial
from pathlib import PurePath
from typing import Any

from peercoord.core import sync
from peercoord.core.errors import LostError
from peercoord.edges.adapters import assignments, migration, taskmaster, words
from peercoord.edges.adapters import layout as layouts
from peercoord.edges.adapters.engine import Address, Database
from peercoord.edges.adapters.imported import Origin
from peercoord.edges.adapters.ledger import Ledger
from peercoord.edges.adapters.sharing import part_of
from peercoord.edges.adapters.sight import RowSight
from peercoord.edges.adapters.vocabulary import Vocabulary, state_of
from peercoord.edges.adapters.writing import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from peercoord.edges.adapters.layout import Layout
    from peercoord.edges.adapters.sharing import Part
    from peercoord.edges.adapters.sqlite_tables import Table
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
        self.ledger = Ledger(team.store_id, team.project, database.address.shown, database.address.word)
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
        part = self._part(connection, layout)
        agreed = self.ledger.agreed(connection, PLACE)
        if not agreed and part.project is None and not self.take_over:
            self.ledger.refuse_others(connection)
        tables, term = part.read(connection), self.ledger.term(connection)
        return RowSight(part, tables, term, agreed, lambda tasks: bases(tasks, agreed), self.origin, self._memo)

    def _part(self, connection: Connection, layout: Layout) -> Part:
        return part_of(connection, layout, self.team, self.database.address)

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
        writer = Writer(connection, found, self.now())
        held = writer.write(entries)
        self._assign(connection, writer, [e for e in entries if e.task in held])
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
        part = self._part(connection, layout)
        if not self._is_adopted(connection, layout):
            self.backup = migration.adopt(self.database, connection, layout, self.tasks())
            self.ledger.make(connection)
        if part.project is None and self.ledger.term(connection) < 0:
            if self.take_over:
                self.ledger.forget(connection, [store for store, _ in self.ledger.others(connection)])
            self.ledger.refuse_others(connection)
        self.ledger.fence(connection, term, self.now())

    def _is_adopted(self, connection: Connection, layout: Layout) -> bool:
        return self.ledger.exists(connection) and not migration.missing(layout) and not migration.lacking(layout)

    def _assign(self, connection: Connection, writer: Writer, entries: Sequence[Entry]) -> None:
        part = writer.part
        shape = part.layout.shapes[migration.ASSIGNMENTS]
        claims = [(writer.key(entry.task), claim) for entry in entries for claim in entry.ours.get("claims", ())]
        whose = None if part.project is None else part.value(shape.columns["project"])
        assignments.write(connection, shape, claims, whose)

    # -- explaining ------------------------------------------------------------------------------------------

    def adoption(self) -> Json | None:
        """Say what comes before the first change: the backup, and what is added; ``None`` if that is done."""
        with self.database.reading() as connection:
            layout = layouts.inspect(connection, self.name)
            if self._is_adopted(connection, layout):
                return None
            return {
                "backup": migration.backup_to(self.database, connection, layout) or None,
                "tables": [*migration.missing(layout), *self.ledger.missing(connection)],
                "columns": [
                    {"table": shape.name, "column": name}
                    for shape, columns in migration.lacking(layout)
                    for name in columns
                ],
            }

    def explain(self) -> Json:
        """Say which column means what, and which words are taken for which state and written for it."""
        with self.database.reading() as connection:
            layout = layouts.inspect(connection, self.name)
            part = self._part(connection, layout)
            tables = part.read(connection)
        columns = {key: column.name for key in layout.keys if (column := layout.column(key))}
        table = tables.found[taskmaster.TASKS]
        status, priority = (_words(table, layout.keys[key]) for key in ("status", "priority"))
        allowed = layout.tasks.allowed.get(layout.keys["status"] or "", None)
        writes = Vocabulary(status, allowed)
        project = None if part.project is None else {"column": layout.project, "value": str(part.project)}
        return {
            "database": self.name,
            "columns": columns,
            "dependencies": layout.edges[0].name if layout.edges else columns.get("needs"),
            "tables": _beside(part),
            "project": project,
            "status_words": {word: state_of(word) for word in _distinct(status)},
            "written_words": {state: writes.status(state) for state in sync.STATES},
            "priority_words": {
                str(word): words.priority(word) or "medium" for word in sorted(set(map(str, filter(None, priority))))
            },
        }


def _beside(part: Part) -> list[Json]:
    """Say what the tables beside ``tasks`` hold, and by which columns."""
    told = []
    for name, shape, of in part.layout.beside():
        edge = name in taskmaster.EDGE_TABLES
        on = shape.first(taskmaster.EDGE_TO) if edge else None
        whose = part.column(shape)
        told.append(
            {
                "table": shape.name,
                "holds": "dependencies" if edge else "steps",
                "task": shape.columns[of].name if of else None,
                **({"on": shape.columns[on].name if on else None} if edge else {}),
                "project": whose.name if whose else None,
            }
        )
    return told


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
