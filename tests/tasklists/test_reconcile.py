"""Who wins, field by field; and that once what was decided is carried out, nothing is left to decide."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.tasklists import reconcile
from peercoord.tasklists.normalize import TaskStatus

Json = dict[str, Any]


def ours(**fields: Any) -> Json:
    lists: Json = {key: [] for key in ("dependencies", "steps", "steps_done")}
    texts, outward = dict.fromkeys(reconcile.TEXTS, ""), dict.fromkeys(reconcile.OUTWARD)
    return {**texts, "priority": "medium", **lists, "state": "open", "holder": "", **outward, **fields}


def theirs(**fields: Any) -> Json:
    values = {**ours(), **fields}
    del values["holder"]
    return values


def base(mine: Json, other: Json) -> Json:
    return reconcile.agreed(None, mine, other)


AGREED = base(ours(title="old"), theirs(title="old"))


@pytest.mark.parametrize(
    ("here", "there", "incoming", "outgoing"),
    [
        ("old", "old", {}, {}),
        ("new", "old", {}, {"title": "new"}),
        ("old", "new", {"title": "new"}, {}),
        ("same", "same", {}, {}),
        ("mine", "theirs", {"title": "theirs"}, {}),
    ],
)
def test_a_shared_field(here: str, there: str, incoming: Json, outgoing: Json) -> None:
    found = reconcile.resolve(AGREED, ours(title=here), theirs(title=there))
    assert (found.incoming, found.outgoing) == (incoming, outgoing)
    assert found.lost == ({"title": ("ours", "mine")} if here == "mine" else {})


def test_a_difference_that_nobody_made_is_left() -> None:
    lossy = base(ours(priority="critical", state="review"), theirs(priority="high", state="held"))
    assert not reconcile.resolve(
        lossy, ours(priority="critical", state="review"), theirs(priority="high", state="held")
    )
    found = reconcile.resolve(lossy, ours(priority="low", state="review"), theirs(priority="high", state="held"))
    assert found.outgoing == {"priority": "low"}


def test_a_field_that_the_list_cannot_hold_is_not_compared() -> None:
    other = theirs()
    del other["description"], other["state"], other["steps"], other["steps_done"]
    assert not reconcile.resolve(None, ours(description="here", state="done", steps=[["1.1", "a"]]), other)


STATE = [
    # base here, base there, here, holder, there → way, value; the other states are in the table of ``database.md``
    ("open", "open", "open", "", "open", "", ""),
    ("open", "open", "held", "w", "open", "out", "held"),
    ("open", "open", "done", "", "open", "out", "done"),
    ("cancelled", "cancelled", "open", "", "done", "in", "done"),
    ("blocked", "open", "blocked", "", "open", "", ""),
]


@pytest.mark.parametrize(("was", "was_there", "here", "holder", "there", "way", "value"), STATE)
def test_a_state(was: str, was_there: str, here: str, holder: str, there: str, way: str, value: str) -> None:
    agreed = base(ours(state=was), theirs(state=was_there))
    found = reconcile.resolve(agreed, ours(state=here, holder=holder), theirs(state=there))
    assert found.incoming == ({"state": value} if way == "in" else {})
    assert found.outgoing == ({"state": value} if way == "out" else {})


@pytest.mark.parametrize(
    ("here", "there", "way"),
    [
        ("open", "done", "in"), ("done", "open", "out"), ("done", "cancelled", "out"), ("open", "held", "in"),
        ("blocked", "open", "out"), ("held", "review", "out"),
    ],
)  # fmt: skip
def test_a_state_at_the_first_meeting(here: str, there: str, way: str) -> None:
    found = reconcile.resolve(None, ours(state=here, holder="w" if here == "held" else ""), theirs(state=there))
    assert (bool(found.incoming), bool(found.outgoing)) == (way == "in", way == "out")
    assert not found.lost


def test_a_step_done_on_either_side_is_done() -> None:
    agreed = base(ours(steps_done=["1.1"]), theirs(steps_done=["1.1"]))
    both = reconcile.resolve(agreed, ours(steps_done=["1.1", "1.2"]), theirs(steps_done=["1.1", "1.3"]))
    assert both.incoming["steps_done"] == both.outgoing["steps_done"] == ["1.1", "1.2", "1.3"]
    undone = reconcile.resolve(agreed, ours(steps_done=["1.1", "1.2"]), theirs(steps_done=[]))
    assert undone.incoming["steps_done"] == ["1.2"]
    assert undone.outgoing["steps_done"] == ["1.2"]


def test_what_another_program_wrote_is_not_erased() -> None:
    assert not reconcile.resolve(None, ours(), theirs(assigned_instance="alice"))
    found = reconcile.resolve(None, ours(assigned_instance="w1"), theirs(assigned_instance="alice"))
    assert found.outgoing == {"assigned_instance": "w1"}
    agreed = base(ours(assigned_instance="w1"), theirs(assigned_instance="w1"))
    assert reconcile.resolve(agreed, ours(), theirs(assigned_instance="w1")).outgoing == {"assigned_instance": None}


def test_a_field_that_was_left_keeps_its_base() -> None:
    agreed = reconcile.agreed(AGREED, ours(title="mine"), theirs(title="theirs"), left=["title"])
    assert agreed["ours"]["title"] == agreed["theirs"]["title"] == "old"
    assert agreed["ours"]["state"] == "open"


# -- after the directory was lost --------------------------------------------------------------------------------

FULL = {"description": "about it", "priority": "high", "dependencies": ["2"], "steps": [["1.1", "s"]]}


def former(was: Json, born: Json, here: Json) -> reconcile.Resolution:
    """Compare what was rebuilt with a list that still is as it was agreed on with the directory that was lost."""
    there = {key: value for key, value in was.items() if key != "holder"}
    return reconcile.resolve(reconcile.of_former(reconcile.agreed(None, was, there), born, here), here, there)


def test_a_rebuilt_directory_takes_the_rest_from_the_list() -> None:
    found = former(ours(**FULL, steps_done=["1.1"]), ours(), ours())
    assert found.incoming == {**FULL, "steps_done": ["1.1"]}
    assert (found.outgoing, found.lost) == ({}, {})


def test_what_was_written_since_the_rebuild_is_an_edit() -> None:
    found = former(ours(description="old"), ours(), ours(description="new"))
    assert (found.incoming, found.outgoing) == ({}, {"description": "new"})


@pytest.mark.parametrize(
    ("was", "here", "way", "value"),
    [
        ({"state": "done"}, {"state": "open"}, "incoming", "done"),
        ({"state": "cancelled"}, {"state": "open"}, "incoming", "cancelled"),
        ({"state": "held"}, {"state": "open"}, "incoming", "held"),
        ({"state": "held", "assigned_instance": "w1"}, {"state": "open"}, "outgoing", "open"),
        ({"state": "open"}, {"state": "done"}, "outgoing", "done"),
        ({"state": "open"}, {"state": "held", "holder": "w1"}, "outgoing", "held"),
        ({"state": "done"}, {"state": "held", "holder": "w1"}, "incoming", "done"),
    ],
)
def test_a_state_after_a_rebuild(was: Json, here: Json, way: str, value: str) -> None:
    found = former(ours(**was), ours(), ours(**here))
    other = found.outgoing if way == "incoming" else found.incoming
    assert (getattr(found, way).get("state"), "state" in other) == (value, False)


def test_after_a_rebuild_a_missing_word_is_still_left() -> None:
    was = ours(priority="critical", state="review")
    agreed = reconcile.agreed(None, was, theirs(priority="high", state="held"))
    found = reconcile.resolve(reconcile.of_former(agreed, was, was), was, theirs(priority="high", state="held"))
    assert not found


@pytest.mark.parametrize(
    ("one", "two", "alike"),
    [
        ("One", "One, edited", True),
        ("Fix  LOGIN", "fix login", True),
        ("Set up the project", "Set up the whole project structure", True),
        ("Authentication", "Authentification", True),
        ("", "", True),
        ("Login page", "Payment API", False),
        ("Implement user login", "Implement payments", False),
        ("", "something", False),
    ],
)
def test_which_texts_are_alike(one: str, two: str, alike: bool) -> None:
    assert reconcile.is_alike(one, two) is reconcile.is_alike(two, one) is alike


def test_too_many_missing_rows_are_a_wrong_list() -> None:
    assert not reconcile.too_many_gone(3, 3)
    assert not reconcile.too_many_gone(25, 100)
    assert reconcile.too_many_gone(26, 100)


# -- whatever happened -------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.sampled_from(["1.1", "1.2", "1.3"]), unique=True).map(sorted)


@st.composite
def sides(draw: st.DrawFn) -> Json:
    return {
        "title": draw(WORDS),
        "dependencies": draw(st.lists(st.sampled_from(["1", "2"]), unique=True).map(sorted)),
        "steps_done": draw(STEPS),
        "state": draw(st.sampled_from(TaskStatus)),
        "assigned_instance": draw(st.sampled_from([None, "w1", "w2"])),
    }


def carried_out(base: Json | None, here: Json, there: Json) -> tuple[Json, Json, Json]:
    found = reconcile.resolve(base, here, there)
    here, there = {**here, **found.incoming}, {**there, **found.outgoing}
    return reconcile.agreed(base, here, there), here, there


@given(sides(), sides(), sides(), sides(), st.booleans(), st.booleans())
def test_carried_out_nothing_is_left(
    was: Json, was_there: Json, here: Json, there: Json, met: bool, held: bool
) -> None:
    mine = ours(**here)
    mine["holder"] = "w1" if held and here["state"] == "held" else ""
    agreed = base(ours(**was), theirs(**was_there)) if met else None
    then, mine, other = carried_out(agreed, mine, theirs(**there))
    assert not reconcile.resolve(then, mine, other)


@given(sides(), sides(), sides(), st.booleans())
def test_an_interrupted_sync_ends_where_it_would_have(was: Json, here: Json, there: Json, held: bool) -> None:
    """What came in is written, the crash comes before anything is agreed on, and all is compared again."""
    mine = ours(**here)
    mine["holder"] = "w1" if held and here["state"] == "held" else ""
    agreed = base(ours(**was), theirs(**was))
    _, whole_here, whole_there = carried_out(agreed, mine, theirs(**there))
    half = {**mine, **reconcile.resolve(agreed, mine, theirs(**there)).incoming}
    _, again_here, again_there = carried_out(agreed, half, theirs(**there))
    assert (again_here, again_there) == (whole_here, whole_there)
