"""A board in brief draws the same screen as a whole one, and reads a definition again only when it changed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.project import Project, project, second

from peercoord.membership import membership as members
from peercoord.queue.recovery import Janitor
from peercoord.screens.overview import overview
from peercoord.status import brief
from peercoord.status.board import Reader
from peercoord.status.brief import Steps
from peercoord.status.screen import draw, written
from peercoord.store import paths, records
from peercoord.store.files import Files

__all__ = ["project", "second"]


@pytest.fixture
def reader(project: Project, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """A team with tasks in all states: done, held, blocked, given back, lost, cancelled, waiting, with steps done."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for title in ("Done", "Held", "Blocked", "Given back", "Lost", "Cancelled", "Waiting", "Steps", "Put off"):
        project("task", "add", title, *(("--depends-on", "2") if title == "Waiting" else ()))
    for words in (
        ("request-task",),
        ("report-progress", "1", "--status", "done"),
        ("request-task",),
        ("report-progress", "2", "--progress", "0.3"),
    ):
        project(*words)
    project("request-task", at=second)
    project("report-progress", "3", "--status", "blocked", "--blocker", "which?", at=second)
    project("request-task", at=second)
    project("release", "4", at=second)
    project("task", "cancel", "6")
    queue = project.queue
    steps = [{"id": f"8.{n}", "title": "s", "status": "done" if n < 3 else "pending"} for n in range(1, 5)]
    path = paths.definition("8")
    queue.files.put(path, records.encode({**(queue.read_record(path) or {}), "subtasks": steps}))
    seen = queue.find("9")
    queue.park(seen.path, paths.Ticket("9", 0), "deferred", "after the release")
    seen = queue.find("5")
    two = next(one for one in members.living(queue.root) if one.peer == "two")
    Janitor(queue, "one").write_result(paths.Ticket("5", 1), two, "evicted", "two was evicted by one")
    return Reader(queue, lambda who: members.judge(queue.root, who))


def test_it_draws_what_the_whole_board_draws(reader: Reader) -> None:
    whole, born = reader.board(), set(reader.queue.all_tasks())
    short = replace(brief.brief(reader, born), now=whole.now)  # it may be another second by then
    assert written(draw(short)) == written(draw(whole))
    assert (short.progress, short.total, short.wanted) == (whole.progress, whole.total, whole.wanted)
    assert whole.progress == pytest.approx((1 + 0.3 + 0.5) / 8, abs=1e-3)
    assert len(short.rows) < len(whole.rows), "some are counted only"
    assert {row.task for row in short.lost_rows} == {row.task for row in whole.lost_rows} == {"5"}


def test_a_task_that_is_seen_twice_counts_once(reader: Reader) -> None:
    ready = reader.queue.find("8").path
    os.link(f"{reader.files.place}/{ready}", f"{reader.files.place}/{paths.PARKED}/held/{os.path.basename(ready)}")
    short, whole = brief.brief(reader, set(reader.queue.all_tasks())), reader.board()
    assert (short.total, short.count("ready", "held")) == (whole.total, whole.count("ready", "held")) == (9, 3)


def test_a_small_team_is_read_as_a_whole(reader: Reader, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not overview(reader, str(project.main), brief=True).board.counted
    monkeypatch.setattr(brief, "LARGE", 5)
    counted = overview(reader, str(project.main), brief=True).board.counted
    assert counted == {"ready": 1, "waiting": 1, "done": 1, "cancelled": 1, "deferred": 1}


def test_what_was_kept_of_steps_is_read_again_when_a_file_changed(
    reader: Reader, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Steps(reader).shares() == {"8": 0.5}
    read: list[str] = []
    real = Files.contents
    monkeypatch.setattr(Files, "contents", lambda self, path: (read.append(path), real(self, path))[1])
    assert Steps(reader).shares() == {"8": 0.5}
    assert read == []
    path = project.state / paths.definition("8")
    path.write_text(path.read_text().replace("pending", "done"), newline="")  # in place, as some editors write
    assert Steps(reader).shares() == {"8": 1.0}
    assert read == [os.path.dirname(paths.definition("8"))]
    project("task", "add", "Another")
    assert Steps(reader).shares() == {"8": 1.0}


@pytest.mark.parametrize("left", ["", "[]", "null", '{"00": 5}', '{"00": ["x", {"8": "much"}]}', "\x00"])
def test_what_is_kept_may_be_lost_or_broken(reader: Reader, left: str) -> None:
    kept = Path(Steps(reader).path)
    kept.parent.mkdir(exist_ok=True, parents=True)
    kept.write_text(left)
    assert Steps(reader).shares() == {"8": 0.5}
    assert json.loads(kept.read_text())


def test_a_home_that_cannot_be_written_costs_nothing_but_time(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    assert Steps(reader).shares() == {"8": 0.5}


def test_a_definition_that_cannot_be_read_has_no_share(reader: Reader, project: Project) -> None:
    (project.state / paths.definition("8")).write_text("{")
    assert Steps(reader).shares() == {}
