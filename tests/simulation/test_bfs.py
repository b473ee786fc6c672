"""Breadth first over two peers and two tasks: the production code's own requests, completions, eviction and repair.

Covered, in every interleaving of the operations on shared paths: two peers that claim and complete until the list is
empty, where the second task depends on the first, or not; one of them evicting the other for no reason, at any instant
of its work, and going on alone; a crash of either at any instant, followed by a repair. At each situation the
invariants are checked, at each end also what the peers were told. The counts are asserted to be of the right order, so
that an exploration that became trivial is noticed; they are printed.
"""

from __future__ import annotations

import pytest

from simulation import scenes
from simulation.explore import Report
from simulation.scenes import Scene, program


def told(capsys: pytest.CaptureFixture[str], report: Report) -> None:
    """Print what was covered, also where what tests print is kept back."""
    with capsys.disabled():
        print(f"\n{report}")


def test_two_peers_two_free_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    s = Scene(t1=(), t2=())
    report = s.explore(program(s.a, scenes.finish, scenes.finish), program(s.b, scenes.finish, scenes.finish))
    told(capsys, report)
    assert report.situations > 5_000


@pytest.mark.slow
def test_two_peers_one_task_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    s = Scene(t1=(), t2=("t1",))
    report = s.explore(program(s.a, scenes.finish, scenes.finish), program(s.b, scenes.finish, scenes.finish))
    told(capsys, report)
    assert report.situations > 5_000


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_peers_two_tasks_and_an_eviction(capsys: pytest.CaptureFixture[str]) -> None:
    s = Scene(t1=(), t2=("t1",))
    judge = program(s.b, scenes.evict(s.a), scenes.finish)
    report = s.explore(program(s.a, scenes.finish, scenes.finish), judge)
    told(capsys, report)
    assert report.situations > 200_000


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_peers_two_tasks_and_a_tidying(capsys: pytest.CaptureFixture[str]) -> None:
    s = Scene(t1=(), t2=("t1",))
    other = program(s.b, scenes.finish, scenes.tidy)
    report = s.explore(program(s.a, scenes.finish, scenes.finish), other)
    told(capsys, report)
    assert report.situations > 20_000
