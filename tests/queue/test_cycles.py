"""Cycles, found and shown: against brute force on every small graph that chance makes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from peercoord.queue import placement

NODES = "abcdefg"
GRAPHS = st.dictionaries(st.sampled_from(NODES), st.lists(st.sampled_from(NODES + "xy"), max_size=4, unique=True))


def reach(needs: dict[str, list[str]], start: str) -> set[str]:
    """Everything that ``start`` depends on, by closing the relation until nothing is new."""
    found = set(needs.get(start, []))
    while True:
        more = found | {far for near in found for far in needs.get(near, [])}
        if more == found:
            return found
        found = more


def is_path(needs: dict[str, list[str]], path: list[str]) -> bool:
    return all(after in needs.get(before, []) for before, after in itertools.pairwise(path))


@given(GRAPHS, st.sampled_from(NODES))
def test_a_cycle_is_found_exactly_where_there_is_one(needs: dict[str, list[str]], start: str) -> None:
    path = placement.cycle_through(start, lambda task: needs.get(task, []))
    assert (path is not None) == (start in reach(needs, start))
    if path is not None:
        assert path[0] == path[-1] == start
        assert len(path) >= 2
        assert is_path(needs, path)
        assert len(set(path[:-1])) == len(path) - 1


@given(GRAPHS, st.sampled_from(NODES))
def test_every_task_is_asked_about_once(needs: dict[str, list[str]], start: str) -> None:
    asked: list[str] = []

    def dependencies(task: str) -> list[str]:
        asked.append(task)
        return needs.get(task, [])

    placement.cycle_through(start, dependencies)
    assert len(asked) == len(set(asked))


@given(GRAPHS)
def test_what_remains_has_no_cycle_and_what_is_set_aside_had_one(needs: dict[str, list[str]]) -> None:
    aside = placement.cycles(needs)
    rest = {task: [d for d in deps if d not in aside] for task, deps in needs.items() if task not in aside}
    assert not [task for task in rest if task in reach(rest, task)]
    for task, path in aside.items():
        assert path[0] == path[-1] == task
        assert is_path(needs, path)
        assert task in reach(needs, task)
    if not any(task in reach(needs, task) for task in needs):
        assert aside == {}


def test_a_task_that_waits_for_itself() -> None:
    assert placement.cycle_through("a", lambda _: ["a"]) == ["a", "a"]
    assert placement.cycles({"a": ["a"], "b": ["a"]}) == {"a": ["a", "a"]}


def test_the_path_reads_in_the_order_of_waiting() -> None:
    needs = {"1": ["2"], "2": ["3"], "3": ["1"]}
    assert placement.cycle_through("1", needs.__getitem__) == ["1", "2", "3", "1"]
    assert placement.cycles(needs)["2"] == ["2", "3", "1", "2"]


def test_a_long_chain_needs_no_stack() -> None:
    chain = {str(number): [str(number + 1)] for number in range(50_000)}
    assert placement.cycle_through("0", lambda task: chain.get(task, [])) is None
    chain["50000"] = ["0"]
    path = placement.cycle_through("0", lambda task: chain.get(task, []))
    assert path is not None
    assert len(path) == 50_002
