"""A person answers what an instance asked: the answer reaches the one who asked, or who has its task next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import Project
from upgrade.installed import RELEASE

from peercoord.cli import main as cli
from peercoord.store import paths
from peercoord.store.settings import NOTE_CHARS
from peercoord.system import process
from peercoord.worktree import context

NOW = "2026-05-26T15:35:00Z"


@pytest.mark.parametrize("busy", [False, True])
def test_an_answer_reaches_the_one_who_asked_or_another_if_it_is_busy(asked: Project, second: Path, busy: bool) -> None:
    if busy:
        assert asked.data("request")["task_id"] == 2
    asked("task", "add", "Urgent", "--priority", "critical", "--depends-on", "2")
    reply = asked.data("task", "answer", "#1", "it is in .env")
    assert (reply["task_id"], reply["asked_by"], asked.data("status")["needs_you"]) == (1, "one", [])
    at = second if busy else asked.worktree
    claim = asked.data("request", at=at)
    (one,) = claim["hand_over"]["answers"]
    assert (claim["task_id"], claim["hand_over"]["peer"]) == (1, "one")
    assert (one["question"], one["asked_by"], one["answer"]) == ("needs the API key", "one", "it is in .env")
    again = asked("request", at=at)[1]
    assert '  asked (one): "needs the API key"\n  answer:\n    > it is in .env\n' in again


def waits(asked: Project, fact: object) -> None:
    """Record who waits for a task in worktree "one"."""
    (path,) = (asked.state / "peers").glob("one~*/peer.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "waiting": fact}))


def test_one_that_asked_and_waits_has_its_task_again_at_once(asked: Project) -> None:
    waits(asked, {"since": NOW, **(process.identify(os.getpid()) or {})})
    assert "One: no task ◌ waits for a task" in " ".join(asked("status")[1].split())
    assert asked.data("task", "answer", "1", "yes")["assigned_to"] == "one"
    assert {row["task_id"]: row["assigned_to"] for row in asked.data("task", "list")["tasks"]} == {1: "one", 2: None}
    claim = asked.data("request")
    assert (claim["task_id"], claim["held_before"], claim["epoch"]) == (1, True, 2)
    assert claim["hand_over"]["answers"][0]["answer"] == "yes"
    asked("release", "1")
    assert asked.data("task", "show", "1")["state"] == "ready", "its reason to be parked is gone"


def test_a_task_given_by_an_answer_goes_back_if_its_caller_is_not_told(asked: Project) -> None:
    """BOX-4 holds for CHG-4 too: the call that would have told of it is not delivered."""
    waits(asked, process.identify(os.getpid()))
    assert asked.data("task", "answer", "1", "yes")["assigned_to"] == "one"
    call = cli.Call(context.find(str(asked.worktree)))
    assert cli.serve(["request"], call)[0] == 0
    assert call.withdraw is not None
    assert call.withdraw() == "task 1 was given back"
    assert asked.data("request")["held_before"] is False
    assert cli.serve(["request"], call)[0] == 0
    assert call.withdraw() == "", "what was held before stays"


@pytest.mark.parametrize("fact", ["garbage", {"pid": "1", "start": None}, {"pid": os.getpid(), "start": 1}])
def test_one_that_is_not_seen_to_wait_is_given_nothing(asked: Project, fact: object) -> None:
    waits(asked, fact)
    assert asked.data("task", "answer", "1", "yes")["assigned_to"] is None


def test_answers_pile_up_and_outlive_a_release_and_the_next_question(asked: Project) -> None:
    asked("task", "answer", "1", "first")
    asked("request")
    asked("report", "1", "--status", "review", "--reason", "is it good?")
    asked("task", "answer", "1", "nearly")
    asked("request")
    asked("release", "1")
    given = [(one["question"], one["answer"]) for one in asked.data("request")["hand_over"]["answers"]]
    assert given == [("needs the API key", "first"), ("is it good?", "nearly")]
    assert "  needs the API key → first (one)\n" in asked("task", "show", "1")[1]


@pytest.mark.parametrize("text", ["", " \n", "\x1b[2J", "…", "x" * (NOTE_CHARS + 1)])
def test_an_answer_without_words_or_with_too_many_is_refused(asked: Project, text: str) -> None:
    assert asked("task", "answer", "1", text)[0] == 2
    (need,) = asked.data("status")["needs_you"]
    assert (need["kind"], need["task_id"]) == ("blocked", 1)


def test_what_waits_for_no_answer_is_refused_and_stays(asked: Project) -> None:
    for title in ("Three", "Four"):
        asked("task", "add", title, "--depends-on", "2")
    asked("request")
    asked("task", "cancel", "4")
    before = {row["task_id"]: row["status"] for row in asked.data("task", "list")["tasks"]}
    for task, why in (("2", "one holds it"), ("3", "it is waiting 2"), ("4", "parked cancelled"), ("9", "no task 9")):
        code, _, err = asked("task", "answer", task, "yes")
        assert (code in (2, 3), why in err) == (True, True)
    assert {row["task_id"]: row["status"] for row in asked.data("task", "list")["tasks"]} == before


def test_a_definition_with_foreign_answers_is_read(asked: Project) -> None:
    """A person may write anything there; what is no answer is passed over."""
    path = asked.state / paths.definition("1")
    raw = json.loads(path.read_text())
    for foreign in (None, 5, "text", [], [1, {"question": "q"}, {"answer": ""}, {"answer": "a\x1b[2J", "by": 5}]):
        path.write_text(json.dumps({**raw, "answers": foreign}))
        assert asked("task", "show", "1")[0] == 0
    asked("task", "answer", "1", "yes")
    assert [one["answer"] for one in asked.data("request")["hand_over"]["answers"]] == ["a", "yes"]


def test_an_older_program_that_rewrites_the_task_keeps_its_answers(asked: Project) -> None:
    """VER-3: version 0.1.0 knows no answers."""
    asked("task", "answer", "1", "it is in .env")
    old = {**os.environ, "PYTHONPATH": str(RELEASE)}
    words = [sys.executable, "-c", "from peercoord.edges.cli.main import main; main()", "task", "edit", "1"]
    done = subprocess.run([*words, "--priority", "high"], env=old, cwd=asked.main, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    claim = asked.data("request")
    assert (claim["priority"], claim["hand_over"]["answers"][0]["answer"]) == ("high", "it is in .env")


def test_what_is_accepted_in_review_is_done_by_who_did_it(project: Project) -> None:
    project("task", "add", "One")
    project("task", "add", "Two", "--depends-on", "1")
    project("request")
    assert project("task", "accept", "1")[0] == 2, "it is in no review"
    project("report", "1", "--progress", "0.9", "--status", "review")
    assert project.data("task", "accept", "1") == {"task_id": 1, "status": "done"}
    first, second = project.data("task", "list")["tasks"]
    assert (first["status"], first["assigned_to"], first["progress"]) == ("done", "one", 1.0)
    assert second["status"] == "ready"
    assert project("task", "accept", "1")[0] == 2
