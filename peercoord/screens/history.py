"""What happened over time: attempts, what else a timeline marks, and counts of tasks.

Results stay for as long as the project keeps them, events for less: what is older is not shown, and nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peercoord.status import sentences
from peercoord.status.needs import moment
from peercoord.store import ids, landings, paths
from peercoord.system.clock import local, seconds
from peercoord.system.sessions import LIMITED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peercoord.foreign import Json
    from peercoord.status.attempts import Attempt
    from peercoord.status.board import Reader
    from peercoord.status.views import Board

AGAIN = ("reopened", "answered")
"""The events of a task that goes back into the queue by a person's decision."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One moment on the timeline: ``evicted``, ``reassigned``, ``limited`` or ``landed``."""

    kind: str
    at: str
    peer: str
    said: str


@dataclass(frozen=True, slots=True)
class History:
    """Everything that a timeline and the figures over time are made of.

    Attributes:
        attempts: Every attempt that is kept, by its beginning.
        marks: What else happened, by time.
        added: When each task was added, in order, as far as it is known.
        reopened: When a task went back into the queue by a person's decision.
        events: All events, the oldest first.
    """

    attempts: Sequence[Attempt]
    marks: Sequence[Mark]
    added: Sequence[str]
    reopened: Sequence[str]
    events: Sequence[Json]


class Historian:
    """Reads the history of one coordination directory, and each birth record once.

    Args:
        reader: Reads its board, and the attempts.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._births: dict[str, str] = {}

    def history(self, board: Board) -> History:
        """Read everything that is known, up to the moment of a board."""
        attempts = [one for one in self.reader.attempts(board) if one.epoch]  # 0: it was done before it was added
        events = [event for event in sentences.events(self.reader.files) if _at(event)]
        return History(
            sorted(attempts, key=lambda one: (one.began or one.ended, one.task)),
            sorted(self._marks(board, events), key=lambda one: one.at),
            sorted(filter(None, (self._added(row.task) for row in board.rows))),
            sorted(_at(event) for event in events if event.get("event") in AGAIN),
            events,
        )

    def birth(self, task: str) -> Json:
        """Return who added a task, and when, as far as it is known."""
        found = self.reader.queue.read_record(paths.birth(task)) or {}
        return {key: found[key] for key in ("added_by", "added_at") if isinstance(found.get(key), str)}

    def _added(self, task: str) -> str:
        if task not in self._births:
            self._births[task] = moment(self.birth(task).get("added_at"))
        return self._births[task]

    def _marks(self, board: Board, events: Iterable[Json]) -> Iterable[Mark]:
        for event in events:
            gone, was = (paths.parse_incarnation(str(event.get(key))) for key in ("who", "was"))
            if event.get("event") == "evicted" and gone:
                yield Mark("evicted", _at(event), gone.peer, str(event.get("because") or ""))
            elif event.get("event") == "reassigned":
                to = str(event.get("to") or "")
                yield Mark("reassigned", _at(event), was.peer if was else to, f"#{event.get('task')} to {to}")
        yield from _limits(board, events)
        for landing in landings.listed(self.reader.root):
            if landing.state == landings.LANDED and moment(landing.at):
                tasks = [f"#{ids.read(one.get('task_id'))}" for one in landing.tasks if isinstance(one, dict)]
                yield Mark("landed", landing.at, "", f"{', '.join(tasks)} on {landing.branch}")


def _limits(board: Board, events: Iterable[Json]) -> Iterable[Mark]:
    """Mark when a session ran into a rate limit, and say when that ended or will reset."""
    open_limits: dict[str, Json] = {}
    for event in events:
        peer = str(event.get("peer"))
        if event.get("event") == "limited":
            open_limits.setdefault(peer, event)
        elif event.get("event") == "limit-over" and (began := open_limits.pop(peer, None)):
            yield Mark("limited", _at(began), peer, _until(_at(event), _at(began)))
    said = {peer.name: peer.said for peer in board.peers if peer.said.get("state") == LIMITED}
    for name in open_limits.keys() | said.keys():
        at = _at(open_limits[name]) if name in open_limits else moment(said[name].get("since"))
        until = moment({**open_limits.get(name, {}), **said.get(name, {})}.get("until"))
        if at:
            yield Mark("limited", at, name, _until(until, at))


def _until(at: str, began: str) -> str:
    """When a limit was over, or will be, by the clock of this machine; with its day if it began on another one."""
    ends = local(at)[:16]
    return f"until {ends.removeprefix(local(began)[:11])}" if ends else ""


def _at(event: Json) -> str:
    return moment(event.get("at"))


# -- figures over time -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts over time: one value of each for each moment, in seconds since the epoch.

    ``finished`` counts the tasks finished in the hours that begin at ``hours``.
    """

    times: list[int]
    total: list[int]
    done: list[int]
    in_hand: list[int]
    reopened: list[int]
    hours: list[int]
    finished: list[int]


def figures(history: History, now: str) -> Figures:
    """Count tasks over time. A task that was finished more than once counts at its last time."""
    last: dict[str, str] = {}
    for one in history.attempts:
        if one.outcome == "done" and one.ended:
            last[one.task] = max(last.get(one.task, ""), one.accepted or one.ended)
    whole = [one for one in history.attempts if one.began]
    changes = [  # a moment, which figure, by how much
        *((_seconds(at), 0, 1) for at in history.added),
        *((_seconds(at), 1, 1) for at in last.values()),
        *((_seconds(one.began), 2, 1) for one in whole),
        *((_seconds(one.ended), 2, -1) for one in whole if one.ended),
        *((_seconds(at), 3, 1) for at in history.reopened),
        (_seconds(now), 0, 0),
    ]
    counts = [0, 0, 0, 0]
    moments: dict[int, list[int]] = {}
    for when, which, by in sorted(changes):
        counts[which] += by
        moments[when] = [*counts]
    total, done, in_hand, reopened = (list(column) for column in zip(*moments.values(), strict=True))
    ends = [_seconds(at) // 3600 * 3600 for at in last.values()]
    hours = dict.fromkeys(range(min(ends), _seconds(now) + 1, 3600), 0) if ends else {}
    for end in ends:
        hours[end] = hours.get(end, 0) + 1
    return Figures([*moments], total, done, in_hand, reopened, [*hours], [*hours.values()])


def _seconds(at: str) -> int:
    return int(seconds(at))
