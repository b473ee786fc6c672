"""The leader's duties: done as long as it leads, in time, whatever one of them meets."""

from __future__ import annotations

import queue
import threading

import pytest
from support.worlds import World

from peercoord.agent.duties import Duty, _Line, led
from peercoord.errors import LostError
from peercoord.membership import leadership as leaders
from peercoord.membership.leadership import Leadership


@pytest.fixture
def leadership(world: World) -> Leadership:
    """The leadership as peer ``a`` sees it, which leads."""
    made = Leadership(world.join("a").membership)
    made.take()
    return made


def test_a_duty_asks_for_the_term_each_time_it_begins(world: World, leadership: Leadership) -> None:
    """LDR-5: a leader that was stopped finds out before it writes."""
    second = Leadership(world.join("b").membership)
    done: list[object] = []
    step = led(second, Duty("views", 300, done.append, rest=lambda: done.append("rest")))
    step()
    assert second.take_from(leadership.me, "a test says so") == 2
    step()
    assert leadership.take_from(second.me, "a test says so") == 3
    step()
    second.take_from(leadership.me, "a test says so")
    step()
    assert done == ["rest", 2, "rest", 4]


def test_the_term_and_its_holder_are_found_wherever_the_ticket_lies(world: World, leadership: Leadership) -> None:
    root, home = world.root, leadership.home
    assert (leaders.current_term(root), leaders.leader_name(world.files)) == (1, "a")
    assert leaders.leader_home(root, 1) == home
    assert leaders.raise_term(root, home, 1, above=6) == 7, "a database has seen term 6"
    assert leaders.raise_term(root, home, 1, above=20) == 1, "another peer was faster"
    leadership.resign()
    assert (leaders.current_term(root), leaders.leader_name(world.files)) == (7, "")
    world.files.move("queue/leader/leader~7", "tmp/leader~7")
    with pytest.raises(LostError, match="changing hands"):
        leaders.current_term(root)


def ended(line: _Line) -> _Line:
    """A line whose thread has ended: a test does its steps."""
    line.ending()
    line.end(60)
    return line


def test_a_duty_that_was_called_early_and_did_nothing_keeps_its_time(leadership: Leadership) -> None:
    left = [100.0]
    line = ended(_Line(leadership, [Duty("database", 120, lambda _: left[0], 0.1, apart=True)], lambda _: None))
    (step,) = line.schedule.due(float("inf"))
    for left[0] in (100.0, 40.0):
        line._run(step)
        assert step.at - step.ended == left[0]


class LibraryError(Exception):
    """An error that is derived from none of this program."""


def test_a_duty_that_meets_an_error_of_a_library_is_done_again(leadership: Leadership) -> None:
    errors: list[Exception] = [LibraryError("once"), MemoryError("twice")]
    done: list[int] = []

    def run(term: int) -> None:
        if errors:
            raise errors.pop()
        done.append(term)

    said: list[str] = []
    line = ended(_Line(leadership, [Duty("views", 120, run)], said.append))
    (step,) = line.schedule.due(float("inf"))
    while not done:
        line._run(step)
    assert (step.failures, said[-1]) == (0, "views works again")


class Noticed(threading.Event):
    """An event that shows when a thread waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waiting.set()
        return super().wait()


def test_a_change_wakes_the_waiting_thread(leadership: Leadership) -> None:
    done: queue.Queue[int] = queue.Queue()
    prepared = threading.Event()
    line = _Line(leadership, [Duty("views", 1e6, lambda term: (prepared.wait(), done.put(term)), 0.001)], print)
    line._wake = wake = Noticed()
    prepared.set()
    assert done.get() == 1
    wake.waiting.wait()
    line.changed()
    assert done.get(timeout=100) == 1
    ended(line)
