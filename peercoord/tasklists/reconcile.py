"""Compare a task here with its row in another list, field by field: a three-way merge.

*Ours* is what tickets and definitions say, *theirs* what the row says, *base* both as they last agreed. A value that
differs from its base was changed since. Values that differ only from each other are left alone: one may be old, or all
that the other side can express (a list without a word for "review").

Once a result is carried out, a second comparison finds nothing to do. So a sync may stop anywhere and start again.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from peercoord.store import ids, paths
from peercoord.tasklists.normalize import TaskStatus

if TYPE_CHECKING:
    from peercoord.foreign import Json
    from peercoord.store.records import Definition


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
    """A cheap fingerprint of a task on our side: equal versions mean that nothing changed."""

    path: str  # path of its ticket; the directory is its state
    changed: str  # when its definition last changed, and its size; empty if there is no such file
    results: str  # names of its results: an epoch may pass between two syncs and leave the ticket in place
    report: str | None = None  # digest of the holder's last report; ``None`` if no peer holds the task

    @property
    def stored(self) -> str:
        """The form in which it is remembered."""
        return " ".join(self[:3] if self.report is None else (*self[:3], self.report))


@dataclass(slots=True)
class Resolution:
    """What follows from comparing one task."""

    incoming: Json = field(default_factory=dict)  # fields to apply to the tickets, with their values
    outgoing: Json = field(default_factory=dict)  # fields to write to the other list, with their values
    lost: dict[str, tuple[str, object]] = field(default_factory=dict)
    """For each field that both sides changed, whose value was not taken (``ours`` or ``theirs``), and that value."""

    def __bool__(self) -> bool:
        return bool(self.incoming or self.outgoing)


@dataclass(slots=True)
class Comparison:
    """One task that a sync looks at."""

    task: str  # task id
    kind: str  # ``NEW_HERE``, ``NEW_THERE``, ``BOTH``, ``GONE``, ``GONE_HERE`` or ``CLASH``
    version: TaskVersion | None  # our version; ``None`` if there is no such task here
    ours: Json  # our values, empty if there are none
    theirs: Json  # their values, empty if there are none
    base: Json | None = None  # what both last agreed on
    resolution: Resolution = field(default_factory=Resolution)  # what follows
    why: str = ""  # why nothing is done; empty if something is

    @property
    def changes(self) -> bool:
        """Something has to be done about it."""
        return bool(self.resolution) or (self.kind in (NEW_HERE, NEW_THERE) and not self.why)


@dataclass(slots=True)
class Outcome:
    """What a sync did, or would do."""

    comparisons: list[Comparison] = field(default_factory=list)  # the tasks it looked at
    refused: list[tuple[str, str]] = field(default_factory=list)  # what could not be done, and why
    added: list[str] = field(default_factory=list)  # ids of tasks that came in


def resolve(base: Json | None, ours: Json, theirs: Json) -> Resolution:
    """Compare one task that both sides have.

    Args:
        base: ``{"ours": …, "theirs": …}`` as they last agreed; ``None`` at the first comparison.
        ours: The fields of ``SHARED`` and ``OUTWARD``, ``steps_done``, ``state``, and ``holder``: the peer that holds
            the task, empty if none does.
        theirs: The same of the other list. A field that it cannot hold is missing and not compared.
    """
    found = Resolution()
    for key in SHARED:
        if key not in theirs or ours[key] == theirs[key]:
            continue
        mine, other = _changed(base, "ours", key, ours[key]), _changed(base, "theirs", key, theirs[key])
        if other:
            found.incoming[key] = theirs[key]
        elif mine:
            found.outgoing[key] = ours[key]
        if mine and other:
            found.lost[key] = ("ours", ours[key])
    if "steps_done" in theirs:
        _steps(found, base, ours["steps_done"], theirs["steps_done"])
    if "state" in theirs and ours["state"] != theirs["state"]:
        _state(found, base, ours, theirs)
    for key in OUTWARD:
        was_ours = base is not None and base["ours"].get(key) is not None  # what another program wrote is not erased
        if key in theirs and theirs[key] != ours[key] and (ours[key] is not None or was_ours):
            found.outgoing[key] = ours[key]
    return found


def _changed(base: Json | None, side: str, field: str, value: object) -> bool:
    return base is None or field not in base[side] or bool(base[side][field] != value)


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
    """Return the base for the next comparison; ``theirs`` are the values after the outgoing ones were written.

    Fields in ``left`` were not brought into agreement this time and keep their base.
    """
    left = set(left)
    old = base or {"ours": {}, "theirs": {}}
    kept = (*SHARED, "steps_done", "state", *OUTWARD)
    return {
        side: {
            **{key: now[key] for key in kept if key in theirs and key not in left},
            **{key: old[side][key] for key in left if key in old[side]},
        }
        for side, now in (("ours", ours), ("theirs", theirs))
    }


def of_former(base: Json, born: Json, ours: Json) -> Json:
    """Return the base for a rebuilt directory, from what was agreed on with the lost one.

    The list wins for every change that the rebuilt directory does not know, because no person undid it. What was
    written here since the rebuild is a change as usual.
    """
    mine, other = dict(base["ours"]), dict(base["theirs"])
    for key in SHARED:
        if ours[key] == born[key] != mine.get(key):
            mine[key] = ours[key]
            other.pop(key, None)
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
    """Return the task of a row by the note of this team in it; ``None`` without such a note."""
    for key in ("summary", "coordination_data"):
        noted = theirs.get(key)
        if isinstance(noted, dict) and noted.get("store") == store:
            return noted.get("task")
    return None


def is_replaced(base: Json, ours: Json, theirs: Json) -> bool:
    """Check whether the other list now has another task under the id: both title and contents differ."""
    was = base["theirs"]
    if "title" not in was or is_alike(was["title"], theirs["title"]) or is_alike(ours["title"], theirs["title"]):
        return False
    again = was.get("state") == TaskStatus.DONE and theirs.get("state") != TaskStatus.DONE
    return again or _lost(base, theirs) or not is_alike(was.get("description", ""), theirs.get("description", ""))


def is_reset(base: Json, theirs: Json) -> bool:
    """Check whether a done task is open again in a row without the team's notes: an older row, or a new one."""
    was, now = base["theirs"].get("state"), theirs.get("state")
    return was == TaskStatus.DONE and now == TaskStatus.OPEN and _lost(base, theirs)


def _lost(base: Json, theirs: Json) -> bool:
    """Check whether a row has lost all notes of the team."""
    noted = [key for key in OUTWARD if base["ours"].get(key) is not None and key in theirs]
    return bool(noted) and all(theirs[key] is None for key in noted)


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
    """Check whether so many rows are other tasks that a new list is more likely than that many edits."""
    return (replaced + reset > 3 and (replaced + reset) * 4 > known) or (replaced > 1 and replaced * 2 >= known)


def shared(definition: Definition) -> Json:
    """Return the fields of a definition that lists share, as they are compared.

    A description that only repeats the title counts as empty: we write it so for programs that need one.
    """
    texts = {key: str(definition.raw.get(key) or "") for key in TEXTS}
    return {
        **texts,
        "description": "" if texts["description"] == definition.title else texts["description"],
        "priority": paths.PRIORITIES[definition.level],
        "dependencies": sorted(definition.dependencies, key=ids.natural),
        "steps": [[step.step, step.title] for step in definition.steps],
    }


def too_many_gone(gone: int, known: int) -> bool:
    """Check whether so many rows vanished that a wrong or emptied list is more likely than that many deletions."""
    return gone > 3 and gone * 4 > known
