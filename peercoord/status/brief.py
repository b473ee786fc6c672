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
from typing import TYPE_CHECKING

import orjson

from peercoord.errors import BrokenFileError
from peercoord.membership import membership as members
from peercoord.queue import placement
from peercoord.status.board import NEEDS_PERSON
from peercoord.store import ids, paths, records
from peercoord.system import clock

if TYPE_CHECKING:
    from peercoord.queue.placement import Location
    from peercoord.status.board import Reader
    from peercoord.status.views import Board
    from peercoord.store.files import Files

    Place = tuple[str, str, str]  # of a ticket: its directory, its state, and why it is parked

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
    where = _directories(reader, born)
    newest = {task for entries in reports.values() for task in [*entries][-1:]}
    named = {task for task, (_, state, why) in where.items() if state in NAMED or why in NEEDS_PERSON}
    lost = {task for task in _ended(reader.files) & born if task in where and where[task][1] != "done"}
    chosen = (named | lost | newest | (born - where.keys())) & born
    counted = Counter[str](where[task][2] or where[task][1] for task in born - chosen)
    shares = Steps(reader).shares()
    left = sum(share for task, share in shares.items() if task not in chosen and _is_left(where.get(task)))
    return reader.assembled(
        sorted(chosen, key=ids.natural), living, reports, _locations(reader, where, chosen), counted, left
    )


def _is_left(place: Place | None) -> bool:
    return place is not None and place[1] != "done" and place[2] != "cancelled"


def _directories(reader: Reader, born: set[str]) -> dict[str, Place]:
    """Find the directory of each task's ticket by the names in it; without those that are seen twice or not at all."""
    found: dict[str, Place] = {}
    twice: set[str] = set()
    for directory, state, detail in reader.queue.ticket_directories():
        if state == "new":
            names = {one.task for one in reader.queue.tickets_in(directory, state, detail, reader.files.scan)}
        else:
            names = {name.partition("~")[0] for name in reader.files.scan(directory)}
        names &= born
        twice |= names & found.keys()
        found.update(dict.fromkeys(names, (directory, state, detail if state == "parked" else "")))
    return {task: place for task, place in found.items() if task not in twice} if twice else found


def _locations(reader: Reader, where: dict[str, Place], chosen: set[str]) -> dict[str, Location]:
    """Read the tickets of some tasks where they were seen; look everywhere for those that are not there any more."""
    queue, homes = reader.queue, {where[task][0] for task in chosen if task in where}
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
            names = sorted(self.files.marks(f"{paths.TASKS}/{shard}"))
            digest = hashlib.blake2b(repr(names).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
            found = known.get(shard, ("", {}))
            now[shard] = found if found[0] == digest else (digest, self._read(shard, [name for name, *_ in names]))
        if now != known:
            self._keep(now)
        return {task: share for _, found in now.values() for task, share in found.items()}

    def _read(self, shard: str, names: list[str]) -> dict[str, float]:
        found = {}
        for name in names:
            task, path = paths.parse_record(name), f"{paths.TASKS}/{shard}/{name}"
            with suppress(BrokenFileError):  # a whole reading sets it aside and says so
                data = (self.files.read(path) if task else None) or b""
                if task and data and _NO_STEPS not in data:
                    definition = records.Definition.read(records.decode(data, path), path, task)
                    if share := records.steps_progress(definition, ()):
                        found[task] = share
        return found

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
