"""What an instance is said to do, and the figures of the status screen, from a board alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from peercoord.foreign import plain
from peercoord.membership import liveness
from peercoord.queue.placement import Location
from peercoord.status import dashboard, needs, screen, views
from peercoord.status.dashboard import bar
from peercoord.status.views import Board, PeerView, Row
from peercoord.store.records import percent

NOW = "2026-05-26T15:35:00Z"
HOSTILE = "a\x1b[2J\u202eb\nNEEDS YOU (0)"

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
