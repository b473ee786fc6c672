"""Read what the dash shows: the team as every screen shows it, and what happened last."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from peercoord.membership.membership import judge
from peercoord.queue.queue import Queue
from peercoord.screens.changes import Changes
from peercoord.screens.overview import overview
from peercoord.status.board import Reader
from peercoord.status.needs import moment
from peercoord.status.sentences import Tail
from peercoord.store import ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peercoord.foreign import Json
    from peercoord.screens.overview import Overview
    from peercoord.status.attempts import Attempt
    from peercoord.status.needs import Need
    from peercoord.status.views import Board, PeerView, Row
    from peercoord.store.root import Root

EVENTS_MOST = 300  # of one instance, and of all together


@dataclass(frozen=True)
class View:
    """Everything that is shown, at one moment.

    Attributes:
        team: The team: its board, what needs a person, how branches stand.
        rows: Every task that is known, in order. In a large team they are older than the board, but for those it names.
        events: What happened last, the newest first.
        reviews: By the place of a need in its list, the id of the change of the memory bank that it is about.
    """

    team: Overview
    rows: Sequence[Row]
    events: Sequence[Json] = ()
    reviews: Mapping[int, str] = field(default_factory=dict)

    @property
    def board(self) -> Board:
        """The board."""
        return self.team.board

    @property
    def needs(self) -> Sequence[Need]:
        """What needs a person."""
        return self.team.needs

    @property
    def standing(self) -> list[str]:
        """Lines on the whole team."""
        none = [] if self.board.total else ['No tasks yet: peercoord task add "…"']
        return [*none, *self.team.standing]

    @cached_property
    def peers(self) -> list[PeerView]:
        """Every instance, also a lost one, in order."""
        return sorted([*self.board.peers, *self.board.lost], key=lambda peer: ids.natural(peer.name))

    def peer(self, name: str) -> PeerView | None:
        """The instance of a name; ``None`` if there is none."""
        return next((peer for peer in self.peers if peer.name == name), None)

    def row(self, task: str) -> Row | None:
        """The task of an id; ``None`` if there is none."""
        return self._by_task.get(task)

    @cached_property
    def _by_task(self) -> dict[str, Row]:
        return {row.task: row for row in self.rows}


class Source:
    """Reads one project for one screen.

    Args:
        project: The project in the main checkout.
        root: Its coordination directory.
        actor: Who acts, as events name it.

    Attributes:
        lags: Whether tasks of a large team may have changed that the last look only counted.
    """

    def __init__(self, project: str, root: Root, actor: str = "person") -> None:
        self.project, self.root, self.actor = project, root, actor
        self.reader = Reader(Queue(root), lambda who: judge(root, who))
        self.changes = Changes(project)
        self.lags = False
        self._rows: Sequence[Row] = ()  # of a large team, as they were read last
        self._rows_mark: object = None
        self._mark: object = None
        self._tail = Tail(root.files, EVENTS_MOST)
        self._events: list[Json] = []
        self._count = 0  # of the events that were read

    @property
    def queue(self) -> Queue:
        """The tasks; changes are recorded as the actor's."""
        return Queue(self.root, self.actor)

    def now(self) -> str:
        """The time now, RFC 3339."""
        return self.root.clock.now()

    def view(self) -> View:
        """Look once. Of a large team, tasks that no list but that of all tasks names are counted, not read.

        Raises:
            PeercoordError: The coordination directory is gone, is another one, or cannot be read.
        """
        team, events = overview(self.reader, self.project, brief=True), self._newest()
        waiting = [index for index, need in enumerate(team.needs) if need.kind in ("conflict", "approval")]
        decisions = [str(one.get("id")) for one in team.board.deciding]
        rows = team.board.rows
        if team.board.counted:
            self._mark = team.board.counted, [(row.task, row.status) for row in rows], self._count
            rows = merged(self._rows, rows)
        self.lags = bool(team.board.counted) and self._mark != self._rows_mark
        return View(team, rows, events, dict(zip(waiting, decisions, strict=False)))

    def catch_up(self, view: View) -> View:
        """Read every task of a large team after a look, and return what that look shows with them."""
        mark = self._mark
        self._rows = self.reader.board().rows
        self._rows_mark, self.lags = mark, False
        return replace(view, rows=self._rows)

    def attempts(self, view: View, row: Row) -> list[Attempt]:
        """Return every attempt at a task."""
        return self.reader.attempts(replace(view.board, rows=[row]), row.task)

    def _newest(self) -> list[Json]:
        """What happened last, the newest first."""
        added = self._tail.new()
        self._count += len(added)
        if added:
            found = [*reversed(added), *self._events]
            self._events = sorted(found, key=lambda event: moment(event.get("at")), reverse=True)[:EVENTS_MOST]
        return self._events


def merged(known: Sequence[Row], named: Sequence[Row]) -> list[Row]:
    """The tasks as they were, with those that a later look names; what was in hand then and is not now is left out."""
    later = {row.task: row for row in named}
    rows = [later.pop(row.task, row) for row in known if row.task in later or row.status != "in-progress"]
    return sorted([*rows, *later.values()], key=lambda row: ids.natural(row.task)) if later else rows
