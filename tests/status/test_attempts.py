"""Who worked on what from when to when, and what it took: known, or said to be unknown."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.project import Project, project, second

from peercoord.membership import membership as members
from peercoord.queue.recovery import Janitor
from peercoord.status.attempts import HELD, UNKNOWN, Attempt, Effort, Usage, effort, usage
from peercoord.status.board import Reader
from peercoord.store import paths, records

__all__ = ["project", "second"]

NOW = "2026-01-31T16:00:00Z"


def attempts(project: Project) -> list[tuple[str, int, str, str]]:
    reader = Reader(project.queue, lambda who: members.judge(project.queue.root, who))
    found = reader.attempts(reader.board())
    assert all(one.began for one in found), found
    assert [one for one in found if one.outcome != HELD and not one.ended] == []
    return [(one.task, one.epoch, one.peer, one.outcome) for one in found]


def test_attempts_of_every_outcome_have_a_beginning(project: Project, second: Path) -> None:
    for title in ("One", "Two"):
        project("task", "add", title)
    project("request-task")
    project("report-progress", "1", "--status", "done")
    project("request-task")
    project("release", "2")
    project("request-task", at=second)
    project("reassign", "2", "one")
    assert attempts(project) == [
        ("1", 1, "one", "done"),
        ("2", 1, "one", "released"),
        ("2", 2, "two", "released"),
        ("2", 3, "one", HELD),
    ]


def test_an_evicted_attempt_begins_with_its_claim(project: Project) -> None:
    project("task", "add", "One")
    project("request-task")
    queue = project.queue
    (me,) = members.living(queue.root)
    queue.files.remove(paths.report("one"))  # the report is lost: the assignment tells
    Janitor(queue, "two").write_result(paths.Ticket("1", 1), me, "evicted", "its session ended")
    assert (queue.read_record(paths.result("1", 1, "evicted")) or {})["assigned_at"]


def test_an_accepted_attempt_counts_once_until_it_was_parked(project: Project) -> None:
    """Its second result repeats what the first says of its usage, and tells when a person accepted it."""
    project("task", "add", "One")
    project("request-task")
    project("report-progress", "1", "--status", "review", "--reason", "look")
    path = paths.result("1", 1, "released")
    record = {**(project.queue.read_record(path) or {}), "at": "2026-01-31T15:00:00Z", "usage": {"input_tokens": 7}}
    project.queue.files.put(path, records.encode({**record, "assigned_at": "2026-01-31T14:00:00Z"}))
    project("task", "accept", "1")
    took = project.data("task", "show", "1")["effort"]
    assert (took["attempts"], took["seconds_in_hand"], took["input_tokens"]) == (1, 3600, 7)
    reader = Reader(project.queue, lambda who: members.judge(project.queue.root, who))
    (one,) = reader.attempts(reader.board())
    assert (one.outcome, one.ended, one.accepted > one.ended) == ("done", "2026-01-31T15:00:00Z", True)


def test_a_result_is_read_again_when_a_late_report_changed_it(project: Project) -> None:
    project("task", "add", "One")
    project("request-task")
    project("release", "1")
    reader = Reader(project.queue, lambda who: members.judge(project.queue.root, who))
    board = reader.board()
    path = paths.result("1", 1, "released")
    assert reader.attempts(board, "1")[0].usage == UNKNOWN
    record = project.queue.read_record(path) or {}
    project.queue.files.put(path, records.encode({**record, "usage": {"cost_usd": 0.5}}))
    assert reader.attempts(board, "1")[0].usage == Usage(cost_usd=0.5)


def attempt(began: str, ended: str, said: Usage = UNKNOWN) -> Attempt:
    return Attempt("1", 1, "one", began, ended, "done" if ended else HELD, usage=said)


def test_effort_is_a_sum_or_unknown() -> None:
    first = attempt("2026-01-31T15:00:00Z", "2026-01-31T15:10:00Z", Usage(100, 20, 0.25))
    going = attempt("2026-01-31T15:59:00Z", "", Usage(10, 2, 0.5))
    assert effort([first, going], NOW) == Effort(2, 660, Usage(110, 22, 0.75))
    silent, unknown = attempt("2026-01-31T15:59:00Z", ""), attempt("", NOW, Usage(1, 1, 0.1))
    assert effort([first, silent], NOW) == Effort(2, 660, UNKNOWN), "a sum of what is known would be a guess"
    assert effort([first, unknown], NOW).seconds is None
    assert effort([], NOW) == Effort(0, 0, Usage(0, 0, 0))
    data = effort([first, silent], NOW).as_json()
    assert data == {
        "attempts": 2,
        "seconds_in_hand": 660,
        "input_tokens": None,
        "output_tokens": None,
        "cost_usd": None,
    }


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (UNKNOWN, "tokens and cost unknown"),
        (Usage(1200, 30), "1,200 tokens in, 30 out, cost unknown"),
        (Usage(1200, 30, 1234.5), "1,200 tokens in, 30 out, 1,234.50 USD"),
        (Usage(5, None, 0.0), "5 tokens in, unknown out, 0.00 USD"),
        (Usage(cost_usd=0.0004), "tokens unknown, under 0.01 USD"),
    ],
)
def test_what_is_not_known_is_said_beside_what_is(known: Usage, words: str) -> None:
    assert known.words == words


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"input_tokens": 5, "output_tokens": 6.0, "cost_usd": 1}, Usage(5, 6, 1.0)),
        ({"input_tokens": -5, "output_tokens": "6", "cost_usd": True}, UNKNOWN),
        ({"input_tokens": 10**15, "cost_usd": float("inf")}, UNKNOWN),
        ({"cost_usd": float("nan")}, UNKNOWN),
        ("a lot", UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_what_makes_no_sense_counts_as_not_said(said: object, read: Usage) -> None:
    assert usage(said) == read


def test_what_work_took_is_said_or_said_to_be_unknown(project: Project) -> None:
    project("task", "add", "One")
    project("task", "add", "Two")
    project("request-task")
    project("report-progress", "1", "--status", "done")
    project("request-task")
    unknown = {"input_tokens": None, "output_tokens": None, "cost_usd": None}
    efforts = project.data("status")["efforts"]
    assert {task: one["attempts"] for task, one in efforts["tasks"].items()} == {"1": 1, "2": 1}
    assert efforts["instances"]["one"].items() > {"attempts": 2, **unknown}.items()
    assert project.data("instance", "one")["effort"]["attempts"] == 2
    assert project("task", "show", "2")[1].count("1 attempt, tokens and cost unknown\n") == 1
    path = paths.result("1", 1, "done")
    told = {"usage": {"input_tokens": 1200, "cost_usd": 0.5}}
    project.queue.files.put(path, records.encode({**(project.queue.read_record(path) or {}), **told}))
    assert project.data("task", "show", "1")["effort"]["input_tokens"] == 1200
    assert "1 attempt, 1,200 tokens in, unknown out, 0.50 USD\n" in project("task", "show", "1")[1]
    assert project.data("status")["efforts"]["instances"]["one"]["cost_usd"] is None, "that of task 2 is not known"
