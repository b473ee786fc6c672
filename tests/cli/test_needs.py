"""What needs a person: every screen names it first, in the same words, with the command that settles it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.project import Project, git, project, second

from peercoord.errors import StorageError
from peercoord.foreign import plain
from peercoord.membership import liveness
from peercoord.membership import membership as members
from peercoord.queue.peer import Peer
from peercoord.queue.placement import Location
from peercoord.queue.recovery import Janitor
from peercoord.status import dashboard, needs, screen, views
from peercoord.status.board import Reader
from peercoord.status.dashboard import bar
from peercoord.status.views import Board, PeerView, Row
from peercoord.store import paths, session_records
from peercoord.store.records import percent
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


# -- what an instance does ---------------------------------------------------------------------------------------


ENDED = {"at": "2026-05-26T15:33:00Z", "gave_back": []}
RECORDED = ("silent_since", "session_ended", "last_call", "session", "joined_at")


def peer(state: str = liveness.ALIVE, session: str = views.RUNS, **more: Any) -> PeerView:
    record = {"worktree": "/w", "branch": "team/a", **{key: more.pop(key) for key in RECORDED if key in more}}
    return PeerView("a", "a~1.x", record, NOW, False, liveness.Verdict(state, "so"), session=session, **more)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (peer(active="2026-05-26T15:34:48Z"), "○ idle 12s"),
        (peer(session=views.UNSEEN), "○ idle"),
        (peer(session=views.NONE), "– no session"),
        (peer(session=views.ENDED, active="2026-05-26T15:33:00Z"), "✕ session gone"),
        (peer(liveness.DEAD, gone="2026-05-26T13:35:00Z"), "✕ gone 2h"),
        (peer(liveness.SUSPECT, active="2026-05-23T15:34:00Z"), "! stuck 3d: so"),
        (peer(stopped=4711), "! stuck: it is stopped"),
        (peer(waits=True, active="2026-05-26T15:34:48Z"), "◌ waits for a task"),
        (peer(silent_since="2026-05-26T15:17:00Z"), "! silent 18m: its session runs"),
        (peer(session=views.NONE, session_ended={**ENDED, "gave_back": [9]}), "✕ session gone 2m"),
        (peer(session=views.NONE, session_ended=ENDED, said={"state": "working"}), "✕ session gone 2m"),
    ],
)
def test_what_an_instance_does_is_said_with_its_age(one: PeerView, said: str) -> None:
    board = Board("p", NOW, NOW, [], [one], {})
    assert dashboard.state(needs.doing(board, one), NOW) == said
    assert drawn(board) == ["A: no task", *said.split(": "), "team/a"]


def drawn(board: Board) -> list[str]:
    """What the screen shows of the only instance, part by part."""
    lines = screen.written(screen.draw(board))
    at = lines.index("🎯 Active Instances:")
    return [
        part for line in lines[at + 1 : lines.index("📋 Task Pipeline:") - 1] for part in re.split("  +", line) if part
    ]


CALL = {"at": "2026-05-26T15:17:00Z", "verb": "report-progress", "program": "orchestrator"}


@pytest.mark.parametrize(
    ("session", "last_call", "why", "command"),
    [
        (views.NONE, CALL, "its last call was report-progress, by orchestrator", "peercoord -C /w release 9"),
        (views.RUNS, None, "its session runs", "peercoord -C /p reassign 9 '…'"),
    ],
)
def test_an_instance_that_is_silent_is_named_with_what_ends_that(
    session: str, last_call: Any, why: str, command: str
) -> None:
    one = peer(session=session, silent_since=CALL["at"], **({"last_call": last_call} if last_call else {}))
    held = Row("9", None, Location("9", "claimed", "a~1.x", 1, ""), holder="a")
    (need,) = needs.needs(Board("p", NOW, NOW, [held], [one], {}))
    assert (need.kind, need.who, need.since, need.why) == ("silent", "a", CALL["at"], f"it has #9; {why}")
    assert [dashboard.typed(words, "/p").replace('"', "'") for words in need.commands] == [command]


LOCAL_15, LOCAL_18 = (dashboard.local_time(f"2026-05-26T{hour}:00:00Z")[:5] for hour in (15, 18))


def said(state: str, **more: str) -> dict[str, str]:
    return {"state": state, "since": "2026-05-26T15:34:00Z", "why": "", **more}


@pytest.mark.parametrize(
    ("said", "shown", "kind", "about"),
    [
        (said("working"), "● working, 1m ago", "", ""),
        (said("needs permission", why="Bash: make"), "? needs permission 1m: Bash: make", "permission", "Bash: make"),
        (said("asks a question", why="Which?"), "? asks a question 1m: Which?", "asks", "Which?"),
        (said("turn failed", why="500"), "✗ turn failed 1m: 500", "turn", "500"),
        (said("rate limited", until="2026-05-26T18:00:00Z"), f"‖ rate limited until {LOCAL_18}", "", ""),
        (said("rate limited", until="2026-05-26T15:00:00Z"), f"‖ rate limited until {LOCAL_15}", "limit", ""),
        (said("waiting for work"), "◌ waits for a task 1m", "", ""),
        (said("idle"), "○ idle 1m", "", ""),
        (said("idle", why=HOSTILE), f"○ idle 1m: {plain(HOSTILE)}", "", ""),
    ],
)
def test_what_a_session_says_of_itself_is_shown_and_a_person_called_if_need_be(
    said: dict[str, str], shown: str, kind: str, about: str
) -> None:
    one = peer(said=said, silent_since="2026-05-26T15:17:00Z" if kind == "permission" else None)
    board = Board("p", NOW, NOW, [], [one], {})
    assert dashboard.state(needs.doing(board, one), NOW) == shown
    assert shown.partition(": ")[0] in drawn(board)
    found = [(need.kind, need.who, need.why, need.commands) for need in needs.needs(board)]
    assert found == ([(kind, "a", about, [("cd", "/w")])] if kind else [])


def test_a_long_reason_stands_at_the_top_alone() -> None:
    one = peer(said=said("needs permission", why="Bash: python3 -m parts.p1"))
    held = Row("9", None, Location("9", "claimed", "a~1.x", 1, ""), holder="a")
    shown = screen.written(screen.draw(Board("p", NOW, NOW, [held], [one], {})))
    assert ["parts.p1" in line for line in shown if "needs permission 1m" in line] == [True, False]


def test_a_session_that_cannot_be_seen_from_here_is_believed_until_its_instance_is_gone() -> None:
    asks = said("needs permission")
    far = peer(session=views.UNSEEN, said=asks)
    assert needs.doing(Board("p", NOW, NOW, [], [far], {}), far).state == "permission"
    for gone in (peer(liveness.DEAD, said=asks), peer(session=views.ENDED, said=asks)):
        assert needs.doing(Board("p", NOW, NOW, [], [gone], {}), gone).state == "gone"


def test_a_session_that_ended_in_the_middle_of_a_turn_is_a_failed_turn() -> None:
    one = peer(session=views.ENDED, said={**said("ended"), "failed": True})
    assert needs.doing(Board("p", NOW, NOW, [], [one], {}), one).word == "turn failed"


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


def test_a_session_that_died_is_named_with_how_to_start_it_until_all_is_done() -> None:
    ended = {"at": "2026-05-26T15:33:00Z", "program": "claude", "gave_back": [9]}
    one = peer(session=views.NONE, session_ended=ended)
    last = {"peer": "a", "at": NOW, "reason": "its coding session ended", "lost": True}
    back = Row("9", None, Location("9", "ready", "2", 1, ""), last=last)
    (need,) = needs.needs(Board("p", NOW, NOW, [back], [one], {}))
    assert (need.kind, need.since, need.why) == ("gone", ended["at"], "#9 is back in the queue")
    assert [dashboard.typed(words) for words in need.commands] == ["cd /w && claude", "peercoord leave /w"]
    done = Row("9", None, Location("9", "done", "", 0, ""))
    assert needs.needs(Board("p", NOW, NOW, [done], [one], {})) == []
    ended["program"] = "rm -rf ~"
    (need,) = needs.needs(Board("p", NOW, NOW, [back], [one], {}))
    assert dashboard.typed(need.commands[0]) == "cd /w", "only a program that is known"


def test_an_instance_that_came_back_is_not_gone() -> None:
    """What it lost before it joined again tells nothing of the session that it has now."""
    last = {"peer": "a", "at": "2026-05-26T15:33:00Z", "reason": "a was evicted by b", "lost": True}
    back = Row("9", None, Location("9", "ready", "2", 1, ""), last=last)
    for joined, state in (("2026-05-26T15:32:00Z", "gone"), ("2026-05-26T15:34:00Z", "no-session")):
        one = peer(session=views.NONE, joined_at=joined)
        board = Board("p", NOW, NOW, [back], [one], {})
        assert needs.doing(board, one).state == state
        assert len(needs.needs(board)) == (state == "gone")


# -- figures -----------------------------------------------------------------------------------------------------


AGO = {
    "2026-05-26T15:34:00Z": "1 minute ago",
    "2026-05-26T15:34:01Z": "just now",
    "2026-05-26T15:36:00Z": "just now",
    "2026-05-26T14:35:00.250Z": "1 hour ago",
    "2026-05-24T15:34:00Z": "2 days ago",
    "\x1b[2J": "·[2J",
}


def test_how_long_ago_is_said_in_words() -> None:
    assert {then: dashboard.ago(then, NOW) for then in AGO} == AGO


@pytest.mark.parametrize("share", [0.9, 0.95, 0.99, 0.99999, 1.0])
def test_no_bar_is_full_before_all_is_done(share: float) -> None:
    assert (bar(share).count("█"), percent(share) == "100%") == ((10, True) if share == 1.0 else (9, False))
    done = [Row(str(at), None, Location(str(at), "done", "", 0, "")) for at in range(30_000)]
    left = [] if share == 1.0 else [Row("x", None, Location("x", "ready", "2", 0, ""), entry={})]
    assert (views.summary([*done, *left])["overall_progress"] == 1.0) == (share == 1.0)


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
