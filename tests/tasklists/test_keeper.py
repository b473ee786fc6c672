"""When the leader syncs: every so often, at once on a completion, not at all when nothing happened; in nobody's way."""

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
def keeper(lists: Lists, program: Program) -> runner.SyncJob:
    lists.plain((1, "A"), (2, "B"))
    lists.root.protocol["database"] = "memory.db"
    return runner.SyncJob(lists.root, str(lists.home), [str(program.path)])


def later(lists: Lists, seconds: float = 121) -> None:
    lists.clock.seconds += int(seconds)


def test_nothing_chosen_nothing_done(lists: Lists, program: Program) -> None:
    for choice in ("", "none"):
        lists.root.protocol["database"] = choice
        runner.SyncJob(lists.root, str(lists.home), [str(program.path)]).run(3)
    assert program.count == 0


def test_it_is_called_under_the_leaders_term(keeper: runner.SyncJob, lists: Lists, program: Program) -> None:
    keeper.run(7)
    assert program.calls.read_text() == f"-C {lists.home} --project {lists.home} sync --term 7 --json\n"


def test_between_times_only_claims_and_completions_call_for_it(
    keeper: runner.SyncJob, lists: Lists, program: Program
) -> None:
    lists.settled()
    keeper.run(1)
    worker = lists.join()
    worker.request()
    keeper.run(1)
    assert program.count == 2
    worker.report("1", {"progress": 0.5})
    keeper.run(1)
    assert program.count == 2
    worker.complete("1")
    keeper.run(1)
    assert program.count == 3
    lists.queue.edit("2", title="B2")
    keeper.run(1)
    assert program.count == 3
    later(lists)
    keeper.run(1)
    assert program.count == 4


@pytest.fixture
def now(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A monotonic clock that goes on when a test says so."""
    seconds = [0.0]
    monkeypatch.setattr(lists.root.clock, "monotonic", lambda: seconds[0])
    return seconds


def test_woken_early_it_comes_back_when_its_time_is_over(keeper: runner.SyncJob, now: list[float]) -> None:
    for now[0], left in ((0, 120), (50, 70), (119, 1), (120, 120)):
        assert keeper.run(1) == left


def test_a_crowd_that_claims_all_the_time_starts_a_sync_now_and_then(
    keeper: runner.SyncJob, lists: Lists, program: Program, now: list[float]
) -> None:
    lists.settled()
    keeper.run(1)
    worker = lists.join()
    for _ in range(periodic.BURST + 5):
        worker.request()
        keeper.run(1)
        worker.release("1")
    assert program.count == periodic.BURST + 1
    assert keeper.run(1) == periodic.PACE_S
    now[0] += periodic.PACE_S
    keeper.run(1)
    assert program.count == periodic.BURST + 2


def test_when_nothing_happened_nothing_is_started(keeper: runner.SyncJob, lists: Lists, program: Program) -> None:
    lists.settled()
    keeper.run(1)
    for _ in range(3):
        later(lists)
        keeper.run(1)
    assert program.count == 1
    lists.sql("UPDATE tasks SET title = 'there' WHERE id = 2")
    keeper.run(1)
    assert program.count == 1, "a change there is found in time"
    later(lists)
    program.says(changed=True)
    keeper.run(1)
    assert program.count == 2
    later(lists)
    program.says(changed=False)
    keeper.run(1)
    assert program.count == 3, "after a change it looks once more"
    later(lists)
    keeper.run(1)
    assert program.count == 3


def test_now_and_then_it_looks_at_everything(keeper: runner.SyncJob, lists: Lists, program: Program) -> None:
    """A definition that was edited in place changes the time of no directory."""
    lists.settled()
    keeper.run(1)
    later(lists, runner.SyncJob.FULL_RESCAN_S + 1)
    keeper.run(1)
    assert program.count == 2


@pytest.mark.parametrize("what", ["adding", "editing", "parking", "claiming", "releasing", "cancelling"])
def test_what_peers_do_is_noticed(keeper: runner.SyncJob, lists: Lists, program: Program, what: str) -> None:
    lists.settled()
    worker = lists.join()
    if what == "releasing":
        worker.request()
    keeper.run(1)
    deeds: dict[str, Callable[[], object]] = {
        "adding": lambda: lists.add("9"),
        "editing": lambda: lists.queue.edit("2", title="B2"),
        "parking": lambda: worker.request() and worker.park("1", "review", "look"),
        "claiming": worker.request,
        "releasing": lambda: worker.release("1"),
        "cancelling": lambda: lists.queue.cancel("2"),
    }
    deeds[what]()
    later(lists)
    keeper.run(1)
    assert program.count == 2


def test_a_failure_is_told_and_tried_again_at_once(keeper: runner.SyncJob, program: Program) -> None:
    program.fails("locked", "it is locked")
    for _ in range(2):
        with pytest.raises(PeercoordError, match="it is locked") as caught:
            keeper.run(1)
        assert caught.value.code == "locked"
    program.says(changed=False)
    keeper.run(1)
    assert program.count == 3


def test_a_program_that_says_nothing_sensible_is_told(keeper: runner.SyncJob, program: Program) -> None:
    program.answer.write_text("Segmentation fault")
    with pytest.raises(StorageError, match="a sync failed"):
        keeper.run(1)
    program.path.unlink()
    with pytest.raises(StorageError, match="could not be started"):
        keeper.run(1)


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


def work_while_locked(team: Callable[..., Crew], seconds: float) -> None:
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
        end = time.monotonic() + seconds
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


@pytest.mark.slow
def test_a_locked_database_slows_nobody(team: Callable[..., Crew]) -> None:
    work_while_locked(team, 4.0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_database_that_is_locked_for_thirty_seconds_slows_nobody(team: Callable[..., Crew]) -> None:
    work_while_locked(team, 30.0)
