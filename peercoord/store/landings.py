"""What was landed on the project's branch, one record for each landing; the newest says what is being done now.

A landing moves a branch and then the files of the checkouts that stand on it. Its record is written before, so that a
landing that was cut short is finished or dropped by the next one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from peercoord.store import paths, records

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.store.root import Root

MOVING = "moving"  # the branch and the checkouts on it are being moved
LANDED = "landed"
BESIDE = "beside"  # the result is kept, and a person has to move the branch
UNDOING = "undoing"
UNDONE = "undone"
PINNED = "refs/peercoord/landing"
"""What leads to the result of a landing while a person has to move the branch: nothing else would keep it."""
STATES = (MOVING, LANDED, BESIDE, UNDOING, UNDONE)


@dataclass(slots=True)
class Landing:
    """One landing."""

    number: int  # its number, from 1
    branch: str  # the branch that it moves
    before: str  # the branch's commit before it
    after: str  # the branch's commit after it
    state: str = MOVING  # one of ``STATES``
    by: str = ""  # the person who started it
    at: str = ""  # when
    tasks: list[Json] = field(default_factory=list)  # ``task_id``, ``instance_id`` and ``commit`` of what it brings


def write(root: Root, landing: Landing) -> None:
    """Write a landing's record; it survives a power cut."""
    record = {"schema_version": records.SCHEMA_VERSION, **asdict(landing)}
    root.files.put(paths.landing(landing.number), records.encode_stored(record), durable=True)


def drop(root: Root, landing: Landing) -> None:
    """Remove the record of a landing that did not happen."""
    root.files.remove(paths.landing(landing.number))


def numbers(root: Root) -> list[int]:
    """Return the numbers of all landings, also of those whose record cannot be read, the newest first."""
    found = (paths.number(paths.parse_record(name) or "") for name in root.files.scan(paths.LANDINGS))
    return sorted((number for number in found if number is not None), reverse=True)


def listed(root: Root) -> list[Landing]:
    """Return the landings that can be read, the newest first."""
    return [landing for number in numbers(root) if (landing := _read(root, number))]


def newest(root: Root) -> Landing | None:
    """Return the newest landing; ``None`` if there was none, or its record cannot be read."""
    return next((_read(root, number) for number in numbers(root)), None)


def _read(root: Root, number: int) -> Landing | None:
    record = root.files.record(paths.landing(number)) or {}
    keys = ("branch", "before", "after", "state", "by", "at")
    branch, before, after, state, by, at = (v if isinstance(v := record.get(key), str) else "" for key in keys)
    tasks = record.get("tasks")
    if not (branch and before and after) or state not in STATES:
        return None
    return Landing(number, branch, before, after, state, by, at, tasks if isinstance(tasks, list) else [])
