"""What needs a person: every screen names it first, in the same words, with the command that settles it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.project import Project, git, project, second

from peercoord.errors import StorageError
from peercoord.membership import membership as members
from peercoord.queue.peer import Peer
from peercoord.queue.recovery import Janitor
from peercoord.status import dashboard, needs
from peercoord.status.board import Reader
from peercoord.store import paths, session_records
from peercoord.system import process
from peercoord.tasklists import runner

__all__ = ["project", "second"]

NOW = "2026-05-26T15:35:00Z"
HOSTILE = "a\x1b[2J\u202eb\nNEEDS YOU (0)"


def told(project: Project, *words: str) -> list[Any]:
    return list(project.data(*words)["needs_you"])


def kinds(project: Project) -> list[tuple[str, Any, str]]:
    return [(need["kind"], need["task_id"], need["who"]) for need in told(project, "status")]


# -- who needs whom ----------------------------------------------------------------------------------------------


def test_all_screens_name_the_same_needs(asked: Project) -> None:
    own = told(asked, "status")
    commands = [need.pop("commands")[0].split("task")[1] for need in own]
    for words in (("instance", "one"), ("check",)):
        other = told(asked, *words)
        assert [need.pop("commands")[0].split("task")[1] for need in other] == commands
        assert other == own, words
    assert asked("instance", "one")[1].startswith("NEEDS YOU (1)\n")
    assert asked("check")[1].startswith("NEEDS A PERSON (1)\n")


def test_a_command_to_type_names_a_place_from_home(asked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(asked.main.parent))
    said = dashboard.commands(first_need(asked), str(asked.main))
    assert said[0] == f'peercoord -C ~/{shlex.quote(asked.main.name)} task answer 1 "…"'
    assert shlex.quote(str(asked.main)) in dashboard.data([first_need(asked)], str(asked.main))[0]["commands"][0]


def first_need(asked: Project) -> needs.Need:
    board = Reader(asked.queue, lambda who: members.judge(asked.queue.root, who)).board()
    return needs.needs(board)[0]


def test_an_answered_task_is_not_called_blocked_any_more(asked: Project) -> None:
    assert "  blocked: #1\n" in asked("instance", "one")[1]
    asked("task", "answer", str(told(asked, "status")[0]["task_id"]), "this one")
    assert "  blocked then, ready now: #1\n" in asked("instance", "one")[1]


def test_what_a_person_has_decided_is_no_need(project: Project) -> None:
    for title in ("One", "Two", "Three"):
        project("task", "add", title)
    project("task", "cancel", "1")
    for task, why, reason in (("2", "deferred", "after the release"), ("3", "held", "I do it")):
        seen = project.queue.find(task)
        assert project.queue.park(seen.path, paths.Ticket(task, seen.epoch), why, reason)
    code, out, _ = project("status", "--check")
    assert (code, told(project, "status"), out.splitlines()[2]) == (0, [], "Nothing needs you.")
    for word in ("elsewhere", "held"):
        assert project("task", "list", "--status", word)[1].splitlines()[1:] == [" 3  elsewhere  medium    Three"]
    assert "  parked elsewhere: I do it, epoch 0\n" in project("task", "show", "3")[1]
    assert project.data("task", "list")["tasks"][2]["status"] == "held", "the word of the protocol"


def test_what_waits_behind_a_cancelled_task_names_the_ways_out(project: Project) -> None:
    project("task", "add", "One")
    project("task", "add", "Two")
    project("task", "add", "Three", "--depends-on", "1", "--depends-on", "2")
    project("task", "cancel", "1")
    (need,) = told(project, "status")
    assert (need["kind"], need["why"]) == ("dependency", "it depends on #1, which was cancelled")
    reopen, edit = (shlex.split(command)[-4:] for command in need["commands"])
    assert (reopen[-3:], edit) == (["task", "reopen", "1"], ["edit", "3", "--depends-on", "2"])
    project("task", *edit)
    assert told(project, "status") == []


def test_a_failed_task_and_one_in_review_say_why(project: Project, second: Path) -> None:
    project("config", "max_attempts", "1")
    for title in ("One", "Two"):
        project("task", "add", title)
    project("request")
    project("request", at=second)
    project("report", "1", "--status", "failed", "--reason", "no luck")
    project("report", "2", "--status", "review", "--reason", "look at it", at=second)
    assert kinds(project) == [("failed", 1, "one"), ("review", 2, "two")]
    assert [need["why"] for need in told(project, "status")] == ["no luck", "look at it"]
    assert project("status", "--check")[0] == 5


def test_what_a_list_refused_is_named_since_when_until_it_is_settled(project: Project) -> None:
    root, refused, path = project.queue.root, [("tasks.json #4", "twice")], project.state / paths.SYNC
    runner.note(root, "one", 1, "tasks.json", None, refused=refused)
    path.write_text(path.read_text().replace(json.loads(path.read_text())["at"], NOW))
    (need,) = told(project, "status")
    assert (need["kind"], need["about"], need["why"], need["since"]) == ("refused", "tasks.json #4", "twice", NOW)
    assert project("status", "--check")[0] == 5
    for _ in range(2):
        runner.note(root, "one", 1, "tasks.json", StorageError("it is locked"))
    assert [need["kind"] for need in told(project, "status")] == ["sync", "refused"]
    runner.note(root, "one", 1, "tasks.json", None, refused=[*refused, ("tasks.json #5", "new")])
    four, five = told(project, "status")
    assert (four["since"], five["since"] > NOW) == (NOW, True)
    runner.note(root, "one", 1, "tasks.json", None)
    assert project("status", "--check")[0] == 0


def test_hostile_words_reach_no_terminal(project: Project) -> None:
    project("task", "add", "One")
    project("request")
    project("report", "1", "--status", "blocked", "--blocker", HOSTILE)
    for words in (("status",), ("instance", "one"), ("check",)):
        out = project(*words)[1]
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert out.count("\nNEEDS YOU (") + out.startswith("NEEDS YOU (") <= 1
    project("task", "answer", "1", HOSTILE)
    shown = project("request")[1]
    assert "\x1b" not in shown
    assert "\n  answer:\n    > ab\n    > NEEDS YOU (0)\n" in shown


def test_a_dead_instance_stays_until_its_tombstone_goes(project: Project, second: Path) -> None:
    project("task", "add", "One")
    project("request", at=second)
    project("check")
    found = {i.peer: i for i in map(paths.parse_incarnation, os.listdir(project.state / "peers")) if i}
    gone, one = (Peer.resume(project.queue.root, found[name]) for name in ("two", "one"))
    Janitor(project.queue, "one").evict(gone.membership.me, one.membership.me, "its session is gone")
    (need,) = told(project, "status")
    assert (need["kind"], need["who"], need["why"]) == ("gone", "two", "#1 is back in the queue")
    cd, leave = map(shlex.split, need["commands"])
    assert (cd, leave[-2:]) == (["cd", str(second)], ["leave", str(second)])
    assert project("instance", "two")[1].startswith("NEEDS YOU (1)\n ✕ two gone ")
    assert project.data("instance", "two")["doing"] == "gone"
    shutil.rmtree(next((project.state / "departed").glob("two~*")))
    assert told(project, "status") == []


def test_a_worktree_that_is_gone_is_named_only_where_that_can_be_seen(project: Project) -> None:
    here = {key: process.here()[key] for key in ("host", "machine", "boot_id", "pid_ns", "time_ns")}
    lost = str(project.main / "lost")
    records = {
        "there": {**here, "worktree": str(project.main)},
        "lost": {**here, "worktree": lost},
        "apart": {**here, "machine": "another", "worktree": lost},
        "unknown": {},
    }
    for peer, record in records.items():
        home = project.state / "peers" / f"{peer}~1.a"
        (home / "claims").mkdir(parents=True)
        (home / "peer.json").write_text(json.dumps({"peer": peer, "incarnation": f"{peer}~1.a", **record}))
    needs_ = [need for need in project.data("status", at=project.main)["needs_you"] if need["kind"] == "worktree"]
    assert [(need["who"], need["why"]) for need in needs_] == [("lost", lost)]


def test_what_another_session_said_is_not_shown(project: Project) -> None:
    project("request")
    me = {**(process.identify(os.getpid()) or {}), "program": "claude"}
    peer_ = Peer.resume(project.queue.root, next(iter(members.living(project.queue.root))))
    for named, shown in ((me, True), ({**me, "start": 1}, False)):
        peer_.membership.update(session=me, sessions=[me])
        record = {"agent": "claude", "process": named, "state": "asks a question", "since": NOW, "why": "Which?"}
        session_records.write(project.queue.files, "one", record)
        assert [need["kind"] for need in told(project, "status")] == (["asks"] if shown else [])
        assert ("session" in project.data("status")["active_instances"][0]) == shown
        assert ("session" in project.data("instance", "one")) == shown
    assert project.data("check")["session"]["state"] == "asks a question"


# -- figures -----------------------------------------------------------------------------------------------------


def test_cancelled_tasks_count_alike_everywhere(project: Project) -> None:
    for title in ("One", "Two", "Three"):
        project("task", "add", title)
    project("request")
    project("report", "1", "--status", "done")
    project("task", "cancel", "2")
    project("request")
    project("report", "3", "--status", "blocked")
    assert "(1/2 tasks)" in project("status")[1]
    assert "1 of 2 done, 0 in progress, 0 ready, 0 waiting, 1 parked" in project("check")[1]
    assert "1 of 2 tasks are not done" in project("request")[1]
    for found in (project.data("status")["progress_summary"], project.data("check")):
        assert (found["total_tasks"], found["parked"], found["cancelled"]) == (3, 2, 1)


def test_at_the_end_the_branches_that_are_not_merged_are_named(project: Project, second: Path) -> None:
    project("task", "add", "One")
    project("request")
    project("request", at=second)
    git(project.worktree, "commit", "-q", "--allow-empty", "-m", "work")
    (project.worktree / "new.txt").write_text("new\n")
    git(project.worktree, "add", "new.txt")
    git(project.worktree, "commit", "-q", "-m", "more work")
    assert "not landed" not in project("status")[1]
    project("report", "1", "--status", "done")
    assert "The task is done. 1 branch is not landed: one\n" in project("status")[1]
    assert project.data("status")["not_landed"] == ["one"]
    assert project("status", "--check")[0] == 0
    git(project.main, "merge", "-q", "--squash", "one")
    git(project.main, "commit", "-q", "-m", "squashed")
    assert "The task is done. Every branch is landed.\n" in project("status")[1]
    assert project.data("status")["not_landed"] == []
