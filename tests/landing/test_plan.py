"""The order of what lands and what has to wait, from values alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peercoord.landing.plan import Work, containing, grouped, missing, ordered


def work(task: str, commit: str = "", needs: str = "", inside: str = "", at: str = "") -> Work:
    made = frozenset(needs.split()), frozenset(inside.split())
    return Work((task,), f"title {task}", "instance-1", "b", commit or f"c{task}", *made, at or f"t{task}")


def tasks(works: list[Work]) -> list[str]:
    return [" ".join(one.tasks) for one in works]


def test_what_a_commit_contains_lands_before_it():
    assert tasks(ordered([work("1", inside="c2 c3"), work("2", inside="c3"), work("3")])) == ["3", "2", "1"]


def test_dependencies_land_first_then_what_was_done_first():
    found = ordered([work("1", needs="3"), work("2"), work("3"), work("10", at="t0")])
    assert tasks(found) == ["10", "2", "3", "1"]


def test_history_counts_where_a_dependency_was_done_again_on_top():
    assert tasks(ordered([work("1", needs="2"), work("2", inside="c1")])) == ["1", "2"]
    first, second = work("1", needs="2"), work("2", inside="c1")
    assert missing(first, [first, second], {"1", "2"}, {}) == ""


def test_tasks_with_one_commit_are_one_work_without_needing_each_other():
    found = grouped([work("2", "c", needs="1 7"), work("1", "c"), work("3")])
    assert tasks(found) == ["1 2", "3"]
    assert found[0].dependencies == {"7"}


def test_a_work_waits_for_a_dependency_that_is_not_there():
    one = work("2", needs="1 9")
    assert missing(one, [one], {"9"}, {}) == "9"
    assert missing(one, [one], {"5"}, {}) == ""


def test_a_work_does_not_land_if_it_contains_one_that_was_refused():
    one = work("2", inside="c1")
    assert missing(one, [one], set(), {"c1": "1"}) == "1"
    assert missing(one, [one], set(), {"c3": "3"}) == ""


def test_the_works_that_contain_one_are_found_in_order():
    works = [work("1"), work("2", inside="c1"), work("3"), work("4", inside="c2 c1")]
    assert tasks(containing(works[0], works)) == ["2", "4"]


@st.composite
def histories(draw: st.DrawFn) -> list[Work]:
    """Works in which each contains some earlier ones with all that they contain, and that need any others."""
    count = draw(st.integers(1, 7))
    inside: list[frozenset[str]] = []
    for number in range(count):
        direct = draw(st.sets(st.integers(0, number - 1))) if number else set()
        inside.append(frozenset().union(*(inside[n] | {f"c{n}"} for n in direct)) if direct else frozenset())
    names = st.sets(st.sampled_from([str(n) for n in range(count)]))
    times = draw(st.permutations(range(count)))
    made = [
        Work((str(n),), "", "i", "b", f"c{n}", frozenset(draw(names)) - {str(n)}, inside[n], f"{times[n]}")
        for n in range(count)
    ]
    return draw(st.permutations(made))


@given(histories())
def test_the_order_is_total_and_never_against_history(works: list[Work]):
    found = ordered(works)
    assert sorted(tasks(found)) == sorted(tasks(works))
    for at, one in enumerate(found):
        assert one.inside <= {before.commit for before in found[:at]}


@given(histories())
def test_the_order_is_the_same_however_works_are_listed(works: list[Work]):
    assert ordered(works) == ordered(works[::-1])
