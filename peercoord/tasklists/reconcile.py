"""Compare a task here with its row in another list, field by field: a three-way merge.

*Ours* is what tickets and definitions say, *theirs* what the row says, *base* both as they last agreed. A value that
differs from its base was changed since. Values that differ only from each other are left alone: one may be old, or all
that the other side can express (a list without a word for "review").

Once a result is carried out, a second comparison finds nothing to do. So a sync may stop anywhere and start again.
Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from peercoord.tasklists.normalize import TaskStatus

if TYPE_CHECKING:
    from peercoord.foreign import Json


TEXTS = ("title", "description", "details", "testStrategy", "acceptanceCriteria")
SHARED = (*TEXTS, "priority", "dependencies", "steps")
"""What either side may change. ``steps`` is a list of ``[id, title]``; ``dependencies`` is sorted."""

OUTWARD = ("assigned_instance", "instance_progress", "coordination_data", "summary")
"""What only the tickets say; corrected in the list whenever it differs. A list has the first three, as the mission's
columns, or the last, which holds all three."""

NEW_HERE, NEW_THERE, BOTH, GONE, CLASH = "new here", "new there", "both", "gone there", "clash"
GONE_HERE = "gone here"
"""The task has another id here now."""

TWICE = "twice"
"""The digest of an id that two rows of a list have: such rows are left alone."""

ALIKE = 0.75  # similarity from which two texts may be one, edited
ALIKE_CHARS = 200

WINS = {
    **dict.fromkeys(SHARED, "theirs"),
    "state": "theirs, unless the task is done here, or a peer holds it and theirs is neither done nor cancelled",
    "steps_done": "both: a step done on either side is done",
    **dict.fromkeys(OUTWARD, "ours"),
}
"""For each field, who wins when both sides changed it since they last agreed."""


class TaskVersion(NamedTuple):
    """All of a task on our side that can change, cheap to read: equal versions mean that nothing changed.

    Attributes:
        path: Path of its ticket; the directory is its state.
        changed: When its definition last changed, and its size; empty if there is no such file.
        results: The names of its results: an epoch may pass between two syncs and leave the ticket in place.
        report: Digest of the holder's last report; ``None`` if no peer holds the task.
    """

    path: str
    changed: str
    results: str
    report: str | None = None

    @property
    def stored(self) -> str:
        """The form in which it is remembered."""
        return " ".join(self[:3] if self.report is None else (*self[:3], self.report))


@dataclass(slots=True)
class Resolution:
    """What follows from comparing one task.

    Attributes:
        incoming: Fields to apply to the tickets, with their values.
        outgoing: Fields to write to the other list, with their values.
        lost: For each field that both sides changed: whose value was not taken (``ours`` or ``theirs``), and the value.
    """

    incoming: Json = dataclasses.field(default_factory=dict)
    outgoing: Json = dataclasses.field(default_factory=dict)
    lost: dict[str, tuple[str, object]] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.incoming or self.outgoing)


@dataclass(slots=True)
class Comparison:
    """One task that a sync looks at.

    Attributes:
        task: Task id.
        kind: ``NEW_HERE``, ``NEW_THERE``, ``BOTH``, ``GONE``, ``GONE_HERE`` or ``CLASH``.
        version: Our version; ``None`` if there is no such task here.
        ours: Our values, empty if there are none.
        theirs: Their values, empty if there are none.
        base: What both last agreed on.
        resolution: What follows.
        why: Why nothing is done; empty if something is.
    """

    task: str
    kind: str
    version: TaskVersion | None
    ours: Json
    theirs: Json
    base: Json | None = None
    resolution: Resolution = dataclasses.field(default_factory=Resolution)
    why: str = ""

    @property
    def changes(self) -> bool:
        """Something has to be done about it."""
        return bool(self.resolution) or (self.kind in (NEW_HERE, NEW_THERE) and not self.why)


@dataclass(slots=True)
class Outcome:
    """What a sync did, or would do.

    Attributes:
        comparisons: The tasks it looked at.
        refused: What could not be done, and why.
        added: Ids of tasks that came in.
    """

    comparisons: list[Comparison] = dataclasses.field(default_factory=list)
    refused: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    added: list[str] = dataclasses.field(default_factory=list)


def resolve(base: Json | None, ours: Json, theirs: Json) -> Resolution:
    """Compare one task that both sides have.

    Args:
        base: ``{"ours": …, "theirs": …}`` as they last agreed; ``None`` if they meet for the first time.
        ours: Fields as the tickets say: those of ``SHARED``, ``steps_done``, ``state``, those of ``OUTWARD``, and
            ``holder``, the name of the peer that holds the task, empty if none does.
        theirs: Fields as the other list says. One that it cannot hold is missing and not compared.
    """
    found = Resolution()
    for field in SHARED:
        if field in theirs and ours[field] != theirs[field]:
            _shared(found, base, field, ours[field], theirs[field])
    if "steps_done" in theirs:
        _steps(found, base, ours["steps_done"], theirs["steps_done"])
    if "state" in theirs:
        _state(found, base, ours, theirs)
    for field in OUTWARD:
        if field in theirs and theirs[field] != ours[field] and (ours[field] is not None or _was_ours(base, field)):
            found.outgoing[field] = ours[field]
    return found


def _changed(base: Json | None, side: str, field: str, value: object) -> bool:
    return base is None or field not in base[side] or bool(base[side][field] != value)


def _was_ours(base: Json | None, field: str) -> bool:
    """Check whether we wrote a value that we no longer have: what another program wrote is not erased."""
    return base is not None and base["ours"].get(field) is not None


def _shared(found: Resolution, base: Json | None, field: str, ours: object, theirs: object) -> None:
    """Decide on a field in which both sides differ."""
    mine, other = _changed(base, "ours", field, ours), _changed(base, "theirs", field, theirs)
    if other:
        found.incoming[field] = theirs
        if mine:
            found.lost[field] = ("ours", ours)
    elif mine:
        found.outgoing[field] = ours


def _steps(found: Resolution, base: Json | None, ours: list[str], theirs: list[str]) -> None:
    here, there = set(ours), set(theirs)
    was_here = set(base["ours"].get("steps_done", ())) if base else here & there
    was_there = set(base["theirs"].get("steps_done", ())) if base else here & there
    new_here, new_there = here - was_here, there - was_there
    gone_here, gone_there = was_here - here - new_there, was_there - there - new_here
    come_in = (here | new_there) - gone_there
    go_out = (there | new_here) - gone_here
    if come_in != here:
        found.incoming["steps_done"] = sorted(come_in)
    if go_out != there:
        found.outgoing["steps_done"] = sorted(go_out)


def _state(found: Resolution, base: Json | None, ours: Json, theirs: Json) -> None:
    here, there = ours["state"], theirs["state"]
    if here == there:
        return
    mine, other = _changed(base, "ours", "state", here), _changed(base, "theirs", "state", there)
    decided = there in (TaskStatus.DONE, TaskStatus.CANCELLED)
    if base is None and here != TaskStatus.OPEN and not decided:
        other = False  # at the first comparison "open" there says nothing
    if not other:
        if mine:
            found.outgoing["state"] = here
        return
    if (ours["holder"] and not decided) or (mine and here == TaskStatus.DONE):
        found.outgoing["state"] = here
        if base is not None:
            found.lost["state"] = ("theirs", there)
        return
    found.incoming["state"] = there
    if mine and base is not None:
        found.lost["state"] = ("ours", here)


def agreed(base: Json | None, ours: Json, theirs: Json, left: Iterable[str] = ()) -> Json:
    """Return the base for the next comparison.

    Args:
        base: As it was.
        ours: Fields as they were compared.
        theirs: Fields as they are after what went out was written.
        left: Fields that were not brought into agreement this time; their base stays as it was.
    """
    left = set(left)
    old: Mapping[str, Json] = base or {"ours": {}, "theirs": {}}
    kept = (*SHARED, "steps_done", "state", *OUTWARD)
    return {
        side: {
            **{field: now[field] for field in kept if field in theirs and field not in left},
            **{field: old[side][field] for field in left if field in old[side]},
        }
        for side, now in (("ours", ours), ("theirs", theirs))
    }


def of_former(base: Json, born: Json, ours: Json) -> Json:
    """Return the base to use with a rebuilt directory, from what was agreed on with the lost one.

    The list wins for every change that the rebuilt directory does not know, because no person undid it. What was
    written here since the rebuild is a change as usual.
    """
    mine, other = dict(base["ours"]), dict(base["theirs"])
    for field in SHARED:
        if ours[field] == born[field] != mine.get(field):
            mine[field] = ours[field]
            other.pop(field, None)
    for side in (mine, other):
        side["steps_done"] = [step for step in side.get("steps_done", ()) if step in ours["steps_done"]]
    was = mine.get("state")
    # by a peer, whose claim was lost with the directory
    held = was == TaskStatus.HELD and mine.get("assigned_instance")
    if ours["state"] not in (TaskStatus.DONE, was) and was != TaskStatus.OPEN and not held:
        other.pop("state", None)
    if was == TaskStatus.DONE:
        mine.update(dict.fromkeys(OUTWARD))
    return {"ours": mine, "theirs": other}


def noted_task(theirs: Json, store: str) -> object:
    """Return the task that an entry of another list belongs to, by what a team noted in it; ``None`` if none did."""
    for field in ("summary", "coordination_data"):
        noted = theirs.get(field)
        if isinstance(noted, dict) and noted.get("store") == store:
            return noted.get("task")
    return None


def is_replaced(base: Json, ours: Json, theirs: Json) -> bool:
    """Check whether the other list now has another task under the id: title and all else are another one's."""
    was = base["theirs"]
    if "title" not in was or is_alike(was["title"], theirs["title"]) or is_alike(ours["title"], theirs["title"]):
        return False
    again = was.get("state") == TaskStatus.DONE and theirs.get("state") != TaskStatus.DONE
    return again or _lost(base, theirs) or not is_alike(was.get("description", ""), theirs.get("description", ""))


def is_reset(base: Json, theirs: Json) -> bool:
    """Check whether a done task was opened by an entry without the team's notes: an older entry, or a new one."""
    return (
        base["theirs"].get("state") == TaskStatus.DONE
        and theirs.get("state") == TaskStatus.OPEN
        and _lost(base, theirs)
    )


def _lost(base: Json, theirs: Json) -> bool:
    """Check whether an entry has lost everything that the team noted in it."""
    noted = [field for field in OUTWARD if base["ours"].get(field) is not None and field in theirs]
    return bool(noted) and all(theirs[field] is None for field in noted)


def is_alike(one: str, two: str) -> bool:
    """Check whether two texts may be one, edited: one holds the other, or they share most of their words or letters."""
    if one == two:
        return True
    from difflib import SequenceMatcher

    first, second = sorted(" ".join(text.casefold().split()) for text in (one, two))
    if first == second or (first and second and (first in second or second in first)):
        return True
    words = set(first.split()), set(second.split())
    if 2 * len(words[0] & words[1]) > max(map(len, words)):
        return True
    matcher = SequenceMatcher(None, first[:ALIKE_CHARS], second[:ALIKE_CHARS], autojunk=False)
    return matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE


def is_remade(replaced: int, reset: int, known: int) -> bool:
    """Check whether so many entries are other tasks that a new list is likelier than so many edits."""
    return (replaced + reset > 3 and (replaced + reset) * 4 > known) or (replaced > 1 and replaced * 2 >= known)


def described(title: str, description: str) -> str:
    """Return a description for comparing: empty if it repeats the title, which programs that need one are given."""
    return "" if description == title else description


def too_many_gone(gone: int, known: int) -> bool:
    """Check whether so many rows vanished that a wrong or emptied list is likelier than so many decisions."""
    return gone > 3 and gone * 4 > known
