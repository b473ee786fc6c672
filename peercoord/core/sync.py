"""Who wins when a task was changed here, in another program's list, or in both: a three-way comparison, field by field.

*Ours* is what the tickets and definitions say, *theirs* what a row of the other list says, *base* both as they were
when they last agreed. Whatever differs from its base was changed since; what merely differs from the other side may
be old, or may be all that the other side can express (a list without a word for "review"), and is left alone.

Promise: a pure function of the three; it answers the same however often it is asked, and once what it answered was
carried out, it answers "nothing". So a sync may be broken off anywhere and begun again.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from peercoord.core.records import Json

OPEN, HELD, DONE = "open", "held", "done"
REVIEW, BLOCKED, DEFERRED, CANCELLED = "review", "blocked", "deferred", "cancelled"
STATES = (OPEN, HELD, DONE, REVIEW, BLOCKED, DEFERRED, CANCELLED)
"""How a task stands, as far as both sides have words for it."""

TEXTS = ("title", "description", "details", "testStrategy", "acceptanceCriteria")
SHARED = (*TEXTS, "priority", "dependencies", "steps")
"""What either side may change. ``steps`` is a list of ``[id, title]``; ``dependencies`` is sorted."""

OUTWARD = ("assigned_instance", "instance_progress", "coordination_data", "summary")
"""What only the tickets say; in the other list it is put right whenever it differs. A list has the first three, as the
mission's columns, or the last, which is all of it in one."""

WINS = {
    **dict.fromkeys(SHARED, "theirs"),
    "state": "theirs, unless the task is done here, or a peer holds it and theirs is neither done nor cancelled",
    "steps_done": "both: a step done on either side is done",
    **dict.fromkeys(OUTWARD, "ours"),
}
"""For each field, who wins when both sides changed it since they last agreed."""


class Settlement:
    """What follows from comparing one task.

    Attributes:
        incoming: Fields to take into the tickets, with their values.
        outgoing: Fields to write to the other list, with their values.
        lost: For each field that both sides changed, whose value was not taken (``ours`` or ``theirs``), and the value.
    """

    __slots__ = ("incoming", "lost", "outgoing")

    def __init__(self) -> None:
        self.incoming: Json = {}
        self.outgoing: Json = {}
        self.lost: dict[str, tuple[str, object]] = {}

    def __bool__(self) -> bool:
        return bool(self.incoming or self.outgoing)


def settle(base: Json | None, ours: Json, theirs: Json) -> Settlement:
    """Compare one task that both sides have.

    Args:
        base: ``{"ours": …, "theirs": …}`` as they last agreed; ``None`` if they meet for the first time.
        ours: Fields as the tickets say: those of ``SHARED``, ``steps_done``, ``state``, those of ``OUTWARD``, and
            ``holder``, the name of the peer that holds the task, empty if none does.
        theirs: Fields as the other list says. One that it cannot hold is missing and not compared.
    """
    found = Settlement()
    for field in SHARED:
        if field in theirs:
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
    """Tell whether a value that we have no more was once written by us: what someone else wrote is not erased."""
    return base is not None and base["ours"].get(field) is not None


def _shared(found: Settlement, base: Json | None, field: str, ours: object, theirs: object) -> None:
    if ours == theirs:
        return
    mine, other = _changed(base, "ours", field, ours), _changed(base, "theirs", field, theirs)
    if other:
        found.incoming[field] = theirs
        if mine:
            found.lost[field] = ("ours", ours)
    elif mine:
        found.outgoing[field] = ours


def _steps(found: Settlement, base: Json | None, ours: list[str], theirs: list[str]) -> None:
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


def _state(found: Settlement, base: Json | None, ours: Json, theirs: Json) -> None:
    here, there = ours["state"], theirs["state"]
    if here == there:
        return
    mine, other = _changed(base, "ours", "state", here), _changed(base, "theirs", "state", there)
    decided = there in (DONE, CANCELLED)
    if base is None and here != OPEN and not decided:
        other = False  # at the first meeting, to be open there is no news
    if not other:
        if mine:
            found.outgoing["state"] = here
        return
    if (ours["holder"] and not decided) or (mine and here == DONE):
        found.outgoing["state"] = here
        if base is not None:
            found.lost["state"] = ("theirs", there)
        return
    found.incoming["state"] = there
    if mine and base is not None:
        found.lost["state"] = ("ours", here)


def agreed(base: Json | None, ours: Json, theirs: Json, left: Iterable[str] = ()) -> Json:
    """Give the base for the next comparison.

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
    """Give what was agreed on with a directory that was lost, for comparing with the one that was rebuilt in its place.

    What the rebuilt one does not know, nobody here has taken back: for that the list counts as changed, and so wins.
    What someone has written here since is a change as ever.

    Args:
        base: As it was agreed on then.
        born: The shared fields as the rebuilt directory began with them.
        ours: Fields as the tickets say now.
    """
    mine, other = dict(base["ours"]), dict(base["theirs"])
    for field in SHARED:
        if ours[field] == born[field] != mine.get(field):
            mine[field] = ours[field]
            other.pop(field, None)
    for side in (mine, other):
        side["steps_done"] = [step for step in side.get("steps_done", ()) if step in ours["steps_done"]]
    was = mine.get("state")
    held = was == HELD and mine.get("assigned_instance")  # by a peer, whose claim was lost with the directory
    if ours["state"] not in (DONE, was) and was != OPEN and not held:
        other.pop("state", None)
    if was == DONE:
        mine.update(dict.fromkeys(OUTWARD))
    return {"ours": mine, "theirs": other}


def described(title: str, description: str) -> str:
    """Give a description for comparing: one that repeats the title says nothing.

    A program that demands one is given the title; were that taken for news, a task would come back changed.
    """
    return "" if description == title else description


def too_many_gone(gone: int, known: int) -> bool:
    """Tell whether so many rows vanished at once that a wrong or emptied list is likelier than so many decisions."""
    return gone > 3 and gone * 4 > known
