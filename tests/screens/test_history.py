"""What happened over time: attempts, marks, and counts of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.worlds import World, unknown

from peercoord.queue.reassign import reassign
from peercoord.screens.history import Historian, figures
from peercoord.screens.web import lanes
from peercoord.status.attempts import HELD
from peercoord.status.board import Reader
from peercoord.store import landings
from peercoord.system.clock import seconds

if TYPE_CHECKING:
    from peercoord.screens.history import History
    from peercoord.status.views import Board


def told(world: World) -> tuple[Board, History]:
    reader = Reader(world.queue, unknown)
    board = reader.board()
    return board, Historian(reader).history(board)


def busy() -> World:
    """One task is done, one was taken from an evicted peer and is held again, one was reassigned."""
    world = World.new()
    for task in ("1", "2", "3"):
        world.add(task)
    amber, birch = world.join("amber"), world.join("birch")
    amber.request()
    amber.complete("1")
    amber.request()
    world.evict(amber.me, birch.me)
    cedar = world.join("cedar")
    birch.request()
    reassign(world.queue, "2", cedar.me.peer)
    return world


def test_every_attempt_is_told_by_its_beginning() -> None:
    _, history = told(busy())
    seen = [(one.task, one.peer, one.outcome) for one in history.attempts]
    assert seen == [
        ("1", "amber", "done"),
        ("2", "amber", "evicted"),
        ("2", "birch", "released"),
        ("2", "cedar", "held"),
    ]


def test_evictions_reassignments_and_landings_are_marked() -> None:
    world = busy()
    landing = landings.Landing(1, "main", "a", "b", landings.LANDED, "Ada", world.clock.now(), [{"task_id": "1"}])
    landings.write(world.root, landing)
    _, history = told(world)
    assert [(mark.kind, mark.peer, mark.said) for mark in history.marks] == [
        ("evicted", "amber", "a test says so"),
        ("reassigned", "birch", "#2 to cedar"),
        ("landed", "", "#1 on main"),
    ]


def test_limits_are_marked_after_they_are_over() -> None:
    world = busy()
    world.root.event("birch", "limited", until="2099-01-01T00:00:00Z")
    world.root.event("birch", "limited", until="2099-01-02T00:00:00Z")  # two hooks spoke at once
    world.root.event("birch", "limit-over")
    world.root.event("cedar", "limited", until="2099-01-03T00:00:00Z", reason="429")
    board, history = told(world)
    marks = [(mark.peer, mark.said) for mark in history.marks if mark.kind == "limited"]
    over = next(str(event["at"]) for event in history.events if event["event"] == "limit-over")
    assert marks == [("birch", f"until {over[11:16]}"), ("cedar", "until 2099-01-03 00:00")]
    drawn = lanes.timeline(history, ["birch", "cedar"], board.now)
    assert [point.sign for point in drawn.points if point.mark.kind == "limited"] == ["‖", "‖"]


def test_tasks_are_counted_over_time() -> None:
    world = busy()
    world.queue.reopen("1")
    board, history = told(world)
    found = figures(history, board.now)
    assert (found.total[-1], found.done[-1], found.in_hand[-1], found.reopened[-1]) == (3, 1, 1, 1)
    assert sum(found.finished) == 1
    assert max(found.in_hand) == 1
    assert found.times == sorted(set(found.times))
    assert found.times[-1] == int(seconds(board.now))


def test_no_task_gives_figures_too() -> None:
    board, history = told(World.new())
    found = figures(history, board.now)
    assert (found.total, found.hours) == ([0], [])


def test_bars_and_marks_lie_within_the_timeline() -> None:
    board, history = told(busy())
    drawn = lanes.timeline(history, ["amber", "birch", "cedar", "dogwood"], board.now)
    assert list(drawn.lanes) == ["amber", "birch", "cedar", "dogwood"]
    assert [bar.lane for bar in drawn.bars] == [0, 0, 1, 2]
    assert all(0 <= bar.left <= bar.left + bar.width <= 100 for bar in drawn.bars)
    assert [bar.attempt.outcome == HELD for bar in drawn.bars] == [False, False, False, True]
    assert drawn.bars[-1].left + drawn.bars[-1].width == 100
    assert [(point.sign, point.lane) for point in drawn.points] == [("✕", 0), ("⇄", 1)]
