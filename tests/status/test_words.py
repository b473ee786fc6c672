"""Words that every screen shares: how far a team is, and moments by the clock of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from peercoord.status import dashboard
from peercoord.store import down
from status.boards import BOARDS


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty", "0% (0/0 tasks)"),
        ("at-work", "38% (1/8 tasks + work in progress)"),
        ("done", "100% (2/2 tasks)"),
    ],
)
def test_a_share_says_what_it_counts(name: str, said: str) -> None:
    assert dashboard.overall(BOARDS[name]()) == said


def test_a_share_of_done_tasks_alone_names_nothing_else() -> None:
    board = BOARDS["at-work"]()
    rows = [row for row in board.rows if row.progress in (0.0, 1.0)]
    assert dashboard.overall(replace(board, rows=rows)) == "20% (1/5 tasks)"


@pytest.mark.usefixtures("_in_tokyo")
def test_a_moment_is_told_by_the_clock_here() -> None:
    at = "2026-01-31T15:30:00Z"
    assert down.since({"at": at, "by": "ann"}) == "at 2026-02-01 00:30:00 by ann"
    assert (dashboard.local_time(at), dashboard.local_time(at, day=True)) == ("00:30:00", "2026-02-01 00:30:00")
    assert down.since({"at": "\x1b[2J"}) == r"at \x1b[2J"
    assert down.since({}) == "at an unknown time"
