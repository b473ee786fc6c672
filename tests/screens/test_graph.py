"""The graph of tasks: its critical path, and that it stays small enough to look at."""

from __future__ import annotations

import pytest
from support.worlds import World, unknown

from peercoord.screens.graph import critical_path, graph
from peercoord.status.board import Reader


@pytest.mark.parametrize(
    ("needs", "done", "path"),
    [
        ({"1": [], "2": ["1"], "3": ["2"], "4": ["1"]}, set(), ["1", "2", "3"]),
        ({"1": [], "2": ["1"], "3": ["2"], "4": ["1"]}, {"1"}, ["2", "3"]),
        ({"1": [], "2": ["1"]}, {"1"}, []),
        ({"1": [], "2": []}, set(), []),
        ({}, set(), []),
        ({"1": ["2"], "2": ["1"], "3": [], "4": ["3"]}, set(), ["3", "4"]),
        ({"1": ["1"], "2": ["1", "3"], "3": []}, set(), ["3", "2"]),
    ],
)
def test_the_critical_path(needs: dict[str, list[str]], done: set[str], path: list[str]) -> None:
    assert critical_path(needs, done) == path


def chain(length: int, finished: int) -> World:
    """Tasks of which each waits for the one before, the first ones done; and one that waits for none."""
    world = World.new()
    for number in range(1, length + 1):
        world.add(str(number), (str(number - 1),) if number > 1 else ())
    worker = world.join("amber")
    for _ in range(finished):
        claim = worker.request()
        assert claim
        worker.complete(claim.task)
    world.add("loose")
    return world


def test_finished_tasks_are_drawn_together_where_there_are_many() -> None:
    board = Reader(chain(6, 3).queue, unknown).board()
    whole = graph(board)
    assert [node.task for node in whole.nodes if node.critical] == ["4", "5", "6"]
    assert (len(whole.nodes), whole.loose, whole.folded) == (6, 1, 0)
    small = graph(board, most=5)
    assert (len(small.nodes), small.folded, small.hidden) == (4, 3, 0)
    assert len(small.edges) == 3
    assert next(node for node in small.nodes if node.status == "done").title == "3 finished tasks"


def test_the_critical_path_is_drawn_before_what_is_left_out() -> None:
    found = graph(Reader(chain(6, 3).queue, unknown).board(), most=3, kept=3)
    assert [node.task for node in found.nodes] == ["4", "5", "6"]
    assert found.hidden == 1
    assert found.edges == [("4", "5"), ("5", "6")]
