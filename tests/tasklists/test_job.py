"""When the leader syncs: at intervals, at once on a completion, not at all when nothing happened."""

from __future__ import annotations

import json
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from agent.crew import Crew, crew, until
from support.lists import TASKS, Lists

from peercoord.errors import PeercoordError, StorageError
from peercoord.membership import periodic
from peercoord.tasklists import runner, selection

# -- deciding ----------------------------------------------------------------------------------------------------


class Program:
    """A program in the place of ours: it notes that it was called, and answers what it is told to."""

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
        self.says(changed=False)

    def says(self, **data: Any) -> None:
        self.answer.write_text(json.dumps({"schema_version": 1, "data": data}))

    def fails(self, code: str, message: str) -> None:
        self.answer.write_text(
            json.dumps({"schema_version": 1, "error": {"code": code, "message": message, "hint": ""}})
        )

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
    expected = 1
    job.run(1)
    deeds: list[tuple[Callable[[], object], int]] = [
        (worker.request, 1),
        (lambda: worker.report("1", {"progress": 0.5}), 0),
        (lambda: worker.complete("1"), 1),
        (lambda: lists.queue.edit("2", title="B2"), 0),
        (lambda: later(lists), 1),
    ]
    for deed, more in deeds:
        deed()
        job.run(1)
        expected += more
        assert program.count == expected


@pytest.fixture
def now(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A monotonic clock that goes on when a test says so."""
    seconds = [0.0]
    monkeypatch.setattr(lists.root.clock, "monotonic", lambda: seconds[0])
    return seconds


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
    job.run(1)
    for _ in range(3):
        later(lists)
        job.run(1)
    assert program.count == 1
    lists.sql("UPDATE tasks SET title = 'there' WHERE id = 2")
    job.run(1)
    assert program.count == 1, "a change there is found in time"
    program.says(changed=True)
    later(lists)
    job.run(1)
    assert program.count == 2
    program.says(changed=False)
    for _ in range(2):
        later(lists)
        job.run(1)
    assert program.count == 3, "after a change it looks once more"
    later(lists, runner.SyncJob.FULL_RESCAN_S + 1)
    job.run(1)
    assert program.count == 4, "an edit in place changes the time of no directory"


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
    program.fails("locked", "it is locked")
    for _ in range(2):
        with pytest.raises(PeercoordError, match="it is locked") as caught:
            job.run(1)
        assert caught.value.code == "locked"
    program.says(changed=False)
    job.run(1)
    assert program.count == 4


def test_a_program_that_cannot_be_started_is_reported(job: runner.SyncJob, program: Program) -> None:
    program.path.unlink()
    with pytest.raises(StorageError, match="could not be started"):
        job.run(1)


# -- real agents -------------------------------------------------------------------------------------------------


@pytest.fixture
def team(place: Path) -> Iterator[Callable[..., Crew]]:
    with ExitStack() as stack:
        yield lambda tasks=3, **settings: stack.enter_context(crew(place, tasks, **settings))


def with_database(made: Crew) -> Path:
    path = made.project / "memory.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TASKS)
    selection.remember(made.root, selection.Choice("memory.db"))
    return path


def statuses(path: Path) -> dict[int, tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        try:
            return {row[0]: row[1:] for row in connection.execute("SELECT id, status, assigned_instance FROM tasks")}
        except sqlite3.OperationalError:
            return {}  # not adopted yet


@pytest.mark.slow
def test_a_completion_is_in_the_database_at_once(team: Callable[..., Crew]) -> None:
    made = team(2)
    path = with_database(made)
    made.agent("one")
    until(lambda: statuses(path).keys() == {1, 2}, what="the first sync")
    session = made.session("one")
    assert session.verb("request-task")[0] == 0
    assert session.verb("report-progress", "1", "--status", "done")[0] == 0
    until(lambda: statuses(path)[1] == ("done", "one"), what="long before two minutes are over")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_database_locked_for_thirty_seconds_slows_no_peer(team: Callable[..., Crew]) -> None:
    """Claims and reports, with the background agent up and leading, while another program writes all the time.

    No call waits for its lock: that is freed after all calls are answered.
    """
    made = team(6)
    path = with_database(made)
    made.agent("one")
    until(lambda: statuses(path).keys() == set(range(1, 7)), what="the first sync")
    session = made.session("one")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        end = time.monotonic() + 30
        done = 0
        while done < 4 or time.monotonic() < end:
            verbs = [("request-task",), ("check-status",)]
            if done < 4:
                done += 1
                verbs += [("report-progress", str(done), "--progress", "0.5")]
                verbs += [("report-progress", str(done), "--status", "done")]
            for words in verbs:
                assert session.verb(*words)[0] == 0, words
        note = until(lambda: runner.health(made.root).get("ok") is False and runner.health(made.root))
        assert note["code"] == "locked"
        assert "locked by another program" in runner.troubles(made.root)[0][0]
        other.execute("ROLLBACK")
    until(lambda: [statuses(path)[n][0] for n in (1, 2, 3, 4)] == ["done"] * 4, what="the leader tried again")
    until(lambda: runner.troubles(made.root) == [])
