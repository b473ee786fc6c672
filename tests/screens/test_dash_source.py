"""What the dash reads, of a large team in two steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from peercoord.cli import main as cli
from peercoord.queue.placement import Location
from peercoord.queue.queue import Queue
from peercoord.screens.dash_source import EVENTS_MOST, Source, merged
from peercoord.status import brief
from peercoord.status.views import Row
from peercoord.store import paths, records
from peercoord.store import root as roots


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = roots.create(str(tmp_path / paths.ROOT), "app")
    for number in range(1, 6):
        Queue(root).add(records.define(str(number), f"Task {number}"))
    return Source(str(tmp_path), root)


def states(rows: object) -> list[tuple[str, str]]:
    return [(row.task, row.status) for row in rows]  # type: ignore[attr-defined]


def test_a_small_team_is_read_as_a_whole(source: Source) -> None:
    view = source.view()
    assert (len(view.rows), source.lags, view.row("3").title) == (5, False, "Task 3")  # type: ignore[union-attr]


def test_of_a_large_team_the_list_of_tasks_follows(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brief, "LARGE", 2)
    first = source.view()
    assert (list(first.rows), first.board.count("ready"), source.lags) == ([], 5, True)
    assert [task for task, _ in states(source.catch_up(first).rows)] == ["1", "2", "3", "4", "5"]
    assert len(source.view().rows) == 5
    assert not source.lags, "nothing has changed since"
    spot = source.queue.find("2")
    source.queue.park(spot.path, paths.Ticket("2", spot.epoch), "blocked", "why?")
    later = source.view()
    assert source.lags
    assert ("2", "blocked") in states(later.rows), "what a need names is not late"
    assert [need.task for need in later.needs] == ["2"]
    source.queue.edit("4", title="Another title")
    source.catch_up(later)
    assert source.view().row("4").title == "Another title"  # type: ignore[union-attr]


def test_a_task_that_is_no_longer_in_hand_is_left_out_until_it_is_read() -> None:
    ready = Row("1", None, Location("1", "ready", "", 0, "", ""))
    held, done = (Row("2", None, Location("2", state, "a~1~x", 1, "", "")) for state in ("claimed", "done"))
    new = Row("10", None, Location("10", "parked", "blocked", 0, "", ""))
    assert states(merged([ready, held], [new])) == [("1", "ready"), ("10", "blocked")]
    assert states(merged([ready, held], [done])) == [("1", "ready"), ("2", "done")]


def test_the_newest_events_come_first_and_broken_lines_are_passed_over(source: Source) -> None:
    for number in range(EVENTS_MOST + 5):
        source.root.event("one", "joined", number=number)
    with open(f"{source.project}/{paths.ROOT}/{paths.events('one')}", "ab") as handle:
        handle.write(b'{"at": "2026-')
    found = source.view().events
    assert len(found) == EVENTS_MOST
    newest = [one["number"] for one in found if one["peer"] == "one"]
    assert newest[:2] == [EVENTS_MOST + 4, EVENTS_MOST + 3]
    source.root.event("two", "joined", number=-1)
    assert source.view().events[0].get("number") == -1, "only what was added is read"
    assert len(source.view().events) == EVENTS_MOST


def test_without_a_terminal_it_says_what_to_call(source: Source) -> None:
    code, out, err = cli.serve(["-C", source.project, "dash"])
    assert (code, out) == (2, b"")
    assert b"the dash needs a terminal" in err
    assert b"claude-coordination-status" in err
