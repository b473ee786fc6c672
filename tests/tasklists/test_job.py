"""When the leader syncs: at intervals, at once on a completion, not at all when nothing happened."""

from __future__ import annotations

import json
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agent.crew import crew, until
from support.lists import Lists, make_database, query

from peercoord.errors import PeercoordError, StorageError
from peercoord.membership import periodic
from peercoord.tasklists import runner, selection


class Program:
    """A program in the place of ours: it notes that it was called, and gives the answer that a test chose."""

    def __init__(self, home: Path) -> None:
        self.path, self.calls, self.answer = home / "program", home / "calls", home / "answer"
        lines = (
            f"#!{sys.executable}",
            "import sys",
            f"open({str(self.calls)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))",
            f"sys.stdout.write(open({str(self.answer)!r}).read())",
        )
        self.path.write_text("\n".join(lines))
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)
        self.says(data={"changed": False})

    def says(self, **answer: Any) -> None:
        self.answer.write_text(json.dumps({"schema_version": 1, **answer}))

    @property
    def count(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


@pytest.fixture
def program(place: Path) -> Program:
    return Program(place)


@pytest.fixture
def job(lists: Lists, program: Program) -> runner.SyncJob:
    lists.plain((1, "A"), (2, "B"))
    lists.root.protocol["database"] = "memory.db"
    lists.settled()
    return runner.SyncJob(lists.root, str(lists.home), [str(program.path)])


@pytest.fixture
def now(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A monotonic clock that goes on when a test says so."""
    seconds = [0.0]
    monkeypatch.setattr(lists.root.clock, "monotonic", lambda: seconds[0])
    return seconds


def later(lists: Lists, seconds: float = 121) -> None:
    lists.clock.seconds += int(seconds)


def test_the_leader_calls_sync_under_its_term(job: runner.SyncJob, lists: Lists, program: Program) -> None:
    job.run(7)
    assert program.calls.read_text() == f"-C {lists.home} --project {lists.home} sync --term 7 --json\n"
    for choice in ("", "none"):
        lists.root.protocol["database"] = choice
        runner.SyncJob(lists.root, str(lists.home), [str(program.path)]).run(3)
    assert program.count == 1, "without a list there is nothing to do"


def test_between_intervals_only_claims_and_completions_start_it(
    job: runner.SyncJob, lists: Lists, program: Program
) -> None:
    worker = lists.join()
    job.run(1)
    deeds: list[tuple[Callable[[], object], int]] = [
        (worker.request, 2),
        (lambda: worker.report("1", {"progress": 0.5}), 2),
        (lambda: worker.complete("1"), 3),
        (lambda: lists.queue.edit("2", title="B2"), 3),
        (lambda: later(lists), 4),
    ]
    for deed, expected in deeds:
        deed()
        job.run(1)
        assert program.count == expected


def test_woken_early_it_comes_back_when_its_time_is_over(job: runner.SyncJob, now: list[float]) -> None:
    for now[0], left in ((0, 120), (50, 70), (119, 1), (120, 120)):
        assert job.run(1) == left


def test_many_claims_start_a_sync_now_and_then(
    job: runner.SyncJob, lists: Lists, program: Program, now: list[float]
) -> None:
    job.run(1)
    worker = lists.join()
    for _ in range(periodic.BURST + 5):
        worker.request()
        job.run(1)
        worker.release("1")
    assert program.count == periodic.BURST + 1
    assert job.run(1) == periodic.PACE_S
    now[0] += periodic.PACE_S
    job.run(1)
    assert program.count == periodic.BURST + 2


def test_when_nothing_happened_nothing_is_started(job: runner.SyncJob, lists: Lists, program: Program) -> None:
    def runs(seconds: float = 121) -> int:
        later(lists, seconds)
        job.run(1)
        return program.count

    job.run(1)
    assert [runs(), runs()] == [1, 1]
    lists.sql("UPDATE tasks SET title = 'there' WHERE id = 2")
    assert runs(0) == 1, "a change there is found in time"
    program.says(data={"changed": True})
    assert runs() == 2
    program.says(data={"changed": False})
    assert [runs(), runs()] == [3, 3], "after a change it looks once more"
    assert runs(runner.SyncJob.FULL_RESCAN_S + 1) == 4, "an edit in place changes the time of no directory"


def test_what_peers_do_is_noticed(job: runner.SyncJob, lists: Lists, program: Program) -> None:
    worker = lists.join()
    job.run(1)
    deeds: list[Callable[[], object]] = [
        lambda: lists.add("9"),
        lambda: lists.queue.edit("2", title="B2"),
        worker.request,
        lambda: worker.release("1"),
        worker.request,
        lambda: worker.park("1", "review", "look"),
        lambda: lists.queue.cancel("2"),
    ]
    for expected, deed in enumerate(deeds, 2):
        deed()
        later(lists)
        job.run(1)
        assert program.count == expected


def test_a_failure_is_reported_and_tried_again_at_once(job: runner.SyncJob, program: Program) -> None:
    program.answer.write_text("Segmentation fault")
    with pytest.raises(StorageError, match="a sync failed"):
        job.run(1)
    program.says(error={"code": "locked", "message": "it is locked", "hint": ""})
    for _ in range(2):
        with pytest.raises(PeercoordError, match="it is locked") as caught:
            job.run(1)
        assert caught.value.code == "locked"
    program.says(data={"changed": False})
    job.run(1)
    assert program.count == 4


def test_a_program_that_cannot_be_started_is_reported(job: runner.SyncJob, program: Program) -> None:
    program.path.unlink()
    with pytest.raises(StorageError, match="could not be started"):
        job.run(1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_locked_database_slows_no_peer_and_is_caught_up_with(place: Path) -> None:
    """With a real agent that leads, while another program writes all the time: no call waits for its lock."""
    with crew(place, 6) as made:
        path = make_database(made.project / "memory.db")
        selection.remember(made.root, selection.Choice("memory.db"))
        made.agent("one")
        until(lambda: len(query(path)) == 6, what="the first sync")
        session = made.session("one")
        assert session.verb("request-task")[0] == 0
        assert session.verb("report-progress", "1", "--status", "done")[0] == 0
        done = lambda: [row[0] for row in query(path) if row[2] == "done"]  # noqa: E731
        until(lambda: done() == [1], what="long before two minutes are over")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for task in "234":
                for words in (
                    ("request-task",),
                    ("check-status",),
                    ("report-progress", task, "--progress", "0.5"),
                    ("report-progress", task, "--status", "done"),
                ):
                    assert session.verb(*words)[0] == 0, words
            note = until(lambda: runner.health(made.root).get("ok") is False and runner.health(made.root))
            assert note["code"] == "locked"
            assert "locked by another program" in runner.troubles(made.root)[0][0]
            assert session.verb("check-status")[0] == 0
            other.execute("ROLLBACK")
        until(lambda: done() == [1, 2, 3, 4], what="the leader tried again")
        until(lambda: runner.troubles(made.root) == [])
