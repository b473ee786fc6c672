"""Properties of the pure decisions of the queue, for inputs made up by chance.

Single cases are in protocol/vectors/v1 (placement, order, folds), for peers in every language.
"""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from peercoord.queue import placement
from peercoord.queue.placement import Location
from peercoord.store import paths
from peercoord.store.paths import Incarnation, Ticket

NODES = "abcdefg"
GRAPHS = st.dictionaries(st.sampled_from(NODES), st.lists(st.sampled_from(NODES + "xy"), max_size=4, unique=True))
PEERS = st.builds(
    Incarnation,
    st.sampled_from(["a", "a-b", "a.b", "a1", "B", "b"]),
    st.integers(0, 12),
    st.sampled_from(["x", "y", "Y", "9"]),
)


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
