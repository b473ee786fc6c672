"""What was written by hand into a worktree's ``progress.json``: the words of the calls that say the same.

The file is a mirror as well: every call writes what is published back into it. So what it says is compared with what
is published, and only a difference is said; saying it makes the two alike.
"""

from __future__ import annotations

from peercoord.core import ids, names, records
from peercoord.core.errors import BrokenFileError
from peercoord.fs import clock as clocks
from peercoord.fs.disk import Disk
from peercoord.fs.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.names import Incarnation
    from peercoord.core.records import Json
    from peercoord.edges.context import Place

NAME = "progress.json"
ENDED = {"done": "done", "completed": "done", "blocked": "blocked", "review": "review", "failed": "failed"}


def statements(place: Place, data: bytes, base: bytes | None) -> list[list[str]]:
    """Give the calls that ``progress.json`` amounts to, none if it says nothing new.

    Args:
        place: A joined worktree.
        data: What the file holds.
        base: What it held before it was edited, as written by a call; ``None`` if that is not known: then what is
            published stands for it.

    Raises:
        BrokenFileError: It cannot be understood; perhaps it is being written.
        StorageError: What is published cannot be read.
    """
    me = place.incarnation
    if me is None:
        return []
    files = Files(Disk(place.coordination), clocks.token)
    published = files.read(names.report(me.peer))
    if published is None or published == data:
        return []
    said = records.decode(data, f"{place.worktree}/{names.INSTANCE}/{NAME}")
    before = records.decode(base if base is not None else published, NAME)
    if base is None and said.get("updated_at", before.get("updated_at")) != before.get("updated_at"):
        return []  # a copy that a crash left behind, not somebody's words: the next call brings it up to date
    held = _held(files, me)
    known = {_key(entry): entry for entry in _entries(before)}
    entries = _by_task(_entries(said))
    calls = [_call(entry, known.get((task, held[task]), {})) for task, entry in entries.items() if task in held]
    return [call for call in calls if call]


def _entries(report: Json) -> list[Json]:
    found = report.get("assigned_tasks")
    if not isinstance(found, list):
        raise BrokenFileError(f"{NAME}: assigned_tasks must be a list")
    return [entry for entry in found if isinstance(entry, dict)]


def _by_task(entries: list[Json]) -> dict[str, Json]:
    return {str(e["task_id"]): e for e in entries if isinstance(e.get("task_id"), (int, str))}


def _key(entry: Json) -> tuple[str, object]:
    return str(entry.get("task_id")), entry.get("epoch")


def _held(files: Files, me: Incarnation) -> dict[str, int]:
    claims = files.scan(names.claims_dir(names.peer_dir(me)))
    return {t.task: t.epoch for t in map(names.parse_ticket, claims) if t and not t.done}


def _call(entry: Json, known: Json) -> list[str]:
    """Give the words that report how an entry differs from what is published."""
    if entry.get("epoch", known.get("epoch")) != known.get("epoch"):
        return []  # it speaks of an earlier claim
    words: list[str] = []
    for key, option in (("achievements", "achievement"), ("blockers", "blocker")):
        before = set(records.notes(known.get(key)))
        words += [f"--{option}={note}" for note in records.notes(entry.get(key)) if note not in before]
    steps = set(_texts(known.get("steps_done")))
    words += [f"--step={step}" for step in _texts(entry.get("steps_done")) if step not in steps]
    for key, option in (("time_spent", "time-spent"), ("completion_estimate", "estimate")):
        if key in entry and entry[key] != known.get(key):
            words.append(f"--{option}={entry[key]}")
    if "progress" in entry and entry["progress"] != known.get("progress") and not known.get("steps"):
        words.append(f"--progress={entry['progress']}")
    status = ENDED.get(str(entry.get("status")))
    if status:
        words.append(f"--status={status}")
    return ["report-progress", ids.check(str(entry["task_id"])), *words] if words else []


def _texts(found: object) -> list[str]:
    return [str(item) for item in found if isinstance(item, (str, int))] if isinstance(found, list) else []
