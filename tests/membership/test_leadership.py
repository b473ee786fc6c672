"""What the leader does, it does as long as it leads."""

from __future__ import annotations

from support.worlds import World

from peercoord.agent.duties import Duty, _Line, led
from peercoord.membership.leadership import Leadership


def test_a_duty_asks_for_the_term_each_time_it_begins() -> None:
    """LDR-5: a leader that was stopped finds out before it writes."""
    world = World.new()
    first, second = (Leadership(world.join(name).membership) for name in ("a", "b"))
    done: list[object] = []
    step = led(first, Duty("views", 300, done.append, rest=lambda: done.append("rest")))
    step()
    assert first.take() == 1
    step()
    assert second.take_from(first.me, "a test says so") == 2
    step()
    assert first.take_from(second.me, "a test says so") == 3
    step()
    assert done == ["rest", 1, "rest", 3]


def test_a_duty_woken_early_that_does_nothing_is_not_put_off() -> None:
    world = World.new()
    leadership = Leadership(world.join("a").membership)
    leadership.take()
    left = [100.0]
    line = _Line(leadership, [Duty("database", 120, lambda _: left[0], 0.1, apart=True)], lambda _: None)
    line.ending()
    line.end(60)
    (step,) = line.schedule.due(float("inf"))
    for left[0] in (100.0, 40.0):
        line._run(step)
        assert step.at - step.ended == left[0]


class LibraryError(Exception):
    """What no error of this program or of Python is a parent of."""


def test_a_duty_that_meets_an_error_of_a_library_is_done_again() -> None:
    world = World.new()
    leadership = Leadership(world.join("a").membership)
    leadership.take()
    errors: list[Exception] = [LibraryError("once"), MemoryError("twice")]
    done: list[int] = []

    def run(term: int) -> None:
        if errors:
            raise errors.pop()
        done.append(term)

    said: list[str] = []
    line = _Line(leadership, [Duty("views", 120, run)], said.append)
    line.ending()
    line.end(60)
    (step,) = line.schedule.due(float("inf"))
    while not done:
        line._run(step)
    assert (step.failures, said[-1]) == (0, "views works again")
