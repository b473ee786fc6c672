"""Properties of the pure decisions of the queue, for inputs made up by chance.

Single cases are in protocol/vectors/v1 (placement, order, folds), for peers in every language.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.queue import placement
from peercoord.queue.placement import Location
from peercoord.store import paths, records
from peercoord.store.paths import Incarnation, Ticket

NODES = "abcdefg"
GRAPHS = st.dictionaries(st.sampled_from(NODES), st.lists(st.sampled_from(NODES + "xy"), max_size=4, unique=True))
PEERS = st.builds(
    Incarnation,
    st.sampled_from(["a", "a-b", "a.b", "a1", "B", "b"]),
    st.integers(0, 12),
    st.sampled_from(["x", "y", "Y", "9"]),
)


@given(st.lists(st.sampled_from(["done", "open", "cancelled", "unknown"]), max_size=6))
def test_the_first_dependency_that_is_not_done_decides_the_place(states: list[str]) -> None:
    definition = records.define("t", "T", dependencies=[f"d{n}" for n in range(len(states))])
    asked: list[str] = []

    def state(dependency: str) -> str:
        asked.append(dependency)
        return states[int(dependency[1:])]

    location = placement.location_of(definition, state)
    unmet = next((n for n, now in enumerate(states) if now != "done"), None)
    if unmet is None:
        assert location == Location("t", "ready")
        assert len(asked) == len(states)
    else:
        is_open = states[unmet] == "open"
        assert location[:3] == (("t", "waiting", f"d{unmet}") if is_open else ("t", "parked", "blocked"))
        assert asked == [f"d{n}" for n in range(unmet + 1)]
        assert is_open or f"task d{unmet}, which" in location.reason


@pytest.mark.parametrize("note", [{}, {"why": 5}, "held", {"reason": "x"}, {"why": None}])
def test_an_unreadable_note_parks_nothing(note: object) -> None:
    assert placement.location_of(records.define("t", "T", parked=note), lambda _: "done").state == "ready"


def reach(needs: dict[str, list[str]], start: str) -> set[str]:
    """Everything that ``start`` depends on, by brute force."""
    found = set(needs.get(start, []))
    while more := {far for near in found for far in needs.get(near, [])} - found:
        found |= more
    return found


@given(GRAPHS, st.sampled_from(NODES))
def test_a_cycle_is_found_exactly_where_there_is_one(needs: dict[str, list[str]], start: str) -> None:
    asked: list[str] = []
    path = placement.cycle_through(start, lambda task: asked.append(task) or needs.get(task, []))
    assert len(asked) == len(set(asked)), "each task is looked up once"
    assert (path is not None) == (start in reach(needs, start))
    if path is not None:
        assert path[0] == path[-1] == start
        assert all(after in needs.get(before, []) for before, after in itertools.pairwise(path))
        assert len(set(path)) == len(path) - 1


@given(GRAPHS)
def test_an_import_parks_what_is_in_a_cycle_and_the_rest_has_none(needs: dict[str, list[str]]) -> None:
    aside = placement.cycles(needs)
    rest = {task: [d for d in deps if d not in aside] for task, deps in needs.items() if task not in aside}
    assert not [task for task in rest if task in reach(rest, task)]
    for task, path in aside.items():
        assert path[0] == path[-1] == task
        assert all(after in needs[before] for before, after in itertools.pairwise(path))


def test_a_long_chain_needs_no_stack() -> None:
    chain = {str(number): [str(number + 1)] for number in range(5_000)} | {"5000": ["0"]}
    assert len(placement.cycle_through("0", lambda task: chain.get(task, [])) or ()) == 5_002


@given(st.integers(0, 40), st.integers(0, 1 << 32))
def test_each_ticket_is_tried_once_and_the_first_first(count: int, seed: int) -> None:
    crowd = [Ticket(str(number), 0) for number in range(count)]
    tried = list(placement.attempt_order(crowd, seed))
    assert sorted(tried, key=lambda t: int(t.task)) == crowd
    assert tried[:1] == crowd[:1]


def test_peers_that_lose_the_first_ticket_spread_over_the_rest() -> None:
    crowd = [Ticket(str(number), 0) for number in range(33)]
    assert len({list(placement.attempt_order(crowd, seed))[1].task for seed in range(32)}) == 32


@given(PEERS, PEERS, st.booleans())
def test_of_two_holders_the_later_incarnation_keeps_the_ticket(
    one: Incarnation, other: Incarnation, gone: bool
) -> None:
    """ASM-10: by name, then number, then suffix, living or departed; the leader's ticket too."""
    homes = [paths.peer_dir(one), paths.departed_dir(other, one) if gone else paths.peer_dir(other)]
    states = [("claimed", homes[0][6:]), ("departed", homes[1][9:]) if gone else ("claimed", homes[1][6:])]
    seen = [Location("5", *state, 4, f"{home}/claims/5~4") for state, home in zip(states, homes, strict=True)]
    goes = [] if one == other else [homes[[one, other].index(min(one, other))]]
    assert [low.path for low in placement.lower_names(seen)] == [f"{home}/claims/5~4" for home in goes]
    leaders = [f"{home}/leader~3" for home in homes]
    assert placement.lower_leader_names(leaders) == [f"{home}/leader~3" for home in goes]


SEEN = (
    Location("5", "ready", "2", 1, "queue/ready/2/000000/5~1"),
    Location("5", "claimed", "a~1.x", 2, "peers/a~1.x/claims/5~2"),
    Location("5", "waiting", "4", 2, "queue/waiting/4/5~2"),
    Location("5", "done", "", 0, "queue/done/aa/5"),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_survey_shows_the_latest_state_in_whatever_order_it_is_seen(order: tuple[int, ...]) -> None:
    seen = [SEEN[n] for n in order]
    assert placement.fold(seen) == {"5": SEEN[1]}
    assert placement.fold([*seen, SEEN[3]]) == placement.fold([SEEN[3], *seen]) == {"5": SEEN[3]}
