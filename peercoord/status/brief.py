"""The board of a large team in brief: what a screen names is read, all other tasks are counted by their tickets.

The progress of tasks that nobody holds comes from their steps, which are in the definitions. What was found there is
kept beside the person's other caches, by the names, sizes and times of the files, and read again only where one of
these changed. Losing it loses nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import orjson

from peercoord.errors import BrokenFileError
from peercoord.membership import membership as members
from peercoord.queue import placement
from peercoord.status.board import NEEDS_PERSON
from peercoord.store import ids, paths, records
from peercoord.system import clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.queue.placement import Location
    from peercoord.status.board import Reader
    from peercoord.status.views import Board
    from peercoord.store.files import Files

LARGE = 2000  # tasks; the board of a smaller team is read as a whole
NAMED = ("claimed", "departed", "new")  # the states whose tasks a screen names, or that pass at once
_NO_STEPS = b'"subtasks": []'


def board(reader: Reader) -> Board:
    """Read the board, in brief if the team has many tasks."""
    shards = filter(paths.is_shard, reader.files.scan(paths.BIRTHS))
    born = {
        task
        for shard in shards
        for task in map(paths.parse_record, reader.files.scan(f"{paths.BIRTHS}/{shard}"))
        if task
    }
    return reader.board() if len(born) < LARGE else brief(reader, born)


def brief(reader: Reader, born: set[str]) -> Board:
    """Read the board in brief.

    Args:
        reader: Reads the coordination directory.
        born: The ids of all tasks.
    """
    living = members.living(reader.root)
    reports = {who.peer: reader.report(who.peer) for who in living}
    places = _places(reader, born)
    seen, done = _tasks(places), _tasks(one for one in places if one.state == "done")
    named = _tasks(one for one in places if one.state in NAMED or one.why in NEEDS_PERSON)
    newest = {task for entries in reports.values() for task in [*entries][-1:]}
    chosen = named | ((_ended(reader.files) & seen) - done) | (newest & born) | (born - seen)
    counted = Counter[str]()
    for one in places:
        counted[one.why or one.state] += len(one.tasks - chosen)
    left = seen - done - chosen - _tasks(one for one in places if one.why == "cancelled")
    shares = Steps(reader).shares()
    progress = sum(share for task, share in shares.items() if task in left)
    states = _locations(reader, places, chosen)
    return reader.assembled(sorted(chosen, key=ids.natural), living, reports, states, +counted, progress)


class Place(NamedTuple):
    """A directory of tickets."""

    directory: str
    state: str
    why: str  # its tasks are parked; empty if they are not
    tasks: set[str]


def _places(reader: Reader, born: set[str]) -> list[Place]:
    """List the directories of tickets by the names in them; tasks that are seen twice are left out."""
    queue, found = reader.queue, []
    for directory, state, detail in queue.ticket_directories():
        if state == "new":
            names = {one.task for one in queue.tickets_in(directory, state, detail, reader.files.scan)}
        else:
            names = {name.partition("~")[0] for name in reader.files.scan(directory)}
        if names := names & born:
            found.append(Place(directory, state, detail if state == "parked" else "", names))
    if sum(len(one.tasks) for one in found) > len(_tasks(found)):
        times = Counter(task for one in found for task in one.tasks)
        twice = {task for task, count in times.items() if count > 1}
        return [one._replace(tasks=one.tasks - twice) for one in found]
    return found


def _tasks(places: Iterable[Place]) -> set[str]:
    return set[str]().union(*(one.tasks for one in places))


def _locations(reader: Reader, places: list[Place], chosen: set[str]) -> dict[str, Location]:
    """Read the tickets of some tasks where they were seen; look everywhere for those that are not there any more."""
    queue, homes = reader.queue, {one.directory for one in places if not chosen.isdisjoint(one.tasks)}
    told = [one for one in queue.ticket_directories() if one[0] in homes] if homes else []
    found = placement.fold((one for home in told for one in queue.tickets_in(*home, reader.files.scan)), chosen)
    missing = chosen - found.keys()
    return found | queue.survey(missing) if missing else found


def _ended(files: Files) -> set[str]:
    """The tasks of which an attempt was released or evicted."""
    names = (name for shard in files.scan(paths.RESULTS) for name in files.scan(f"{paths.RESULTS}/{shard}"))
    found = (paths.parse_result(name) for name in names if "evicted" in name or "released" in name)
    return {result[0] for result in found if result and result[2] in ("evicted", "released")}


class Steps:
    """How far tasks are by their steps alone: 0 … 1, of those that are neither at 0 nor without steps."""

    def __init__(self, reader: Reader) -> None:
        self.files, self.queue = reader.files, reader.queue
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.path = f"{home}/peercoord/steps-{reader.root.store_id}.json"

    def shares(self) -> dict[str, float]:
        """Return the shares, by task."""
        known, now = self._kept(), {}
        for shard in filter(paths.is_shard, self.files.scan(paths.TASKS)):
            home, found = f"{paths.TASKS}/{shard}", known.get(shard)
            same = found is not None and found[0] == _digest(self.files.marks(home))
            now[shard] = found if found is not None and same else self._read(home)
        if now != known:
            self._keep(now)
        return {task: share for _, found in now.values() for task, share in found.items()}

    def _read(self, home: str) -> tuple[str, dict[str, float]]:
        files, found = self.files.contents(home), {}
        for mark, data in files:
            task, path = paths.parse_record(mark[0]) if data and _NO_STEPS not in data else None, f"{home}/{mark[0]}"
            with suppress(BrokenFileError):  # a whole reading sets it aside and says so
                definition = records.Definition.read(records.decode(data, path), path, task) if task else None
                if definition and (share := records.steps_progress(definition, ())):
                    found[definition.task] = share
        return _digest(mark for mark, _ in files), found

    def _kept(self) -> dict[str, tuple[str, dict[str, float]]]:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            with open(self.path, "rb") as handle:
                shards = orjson.loads(handle.read())
            return {
                str(shard): (
                    str(digest),
                    {str(task): min(1.0, max(0.0, float(share))) for task, share in found.items()},
                )
                for shard, (digest, found) in shards.items()
            }
        return {}

    def _keep(self, shards: dict[str, tuple[str, dict[str, float]]]) -> None:
        staged = f"{self.path}.{clock.token()}"
        with suppress(OSError):  # the next call reads it all again
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            with open(staged, "xb") as handle:
                handle.write(orjson.dumps(shards))
            os.replace(staged, self.path)


def _digest(marks: Iterable[tuple[str, int, int]]) -> str:
    return hashlib.blake2b(repr(sorted(marks)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
