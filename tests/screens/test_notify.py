"""A person is told once of each thing that begins, and no text in it is read as a command, an option or markup."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from status.boards import HOSTILE, at, at_work, done, foreign, row

from peercoord.errors import UsageError
from peercoord.foreign import plain
from peercoord.screens import notify
from peercoord.screens.notify import Notifier
from peercoord.screens.overview import Overview
from peercoord.status import needs, notices
from peercoord.status.views import Board


def seen(board: Board, **more: object) -> Overview:
    made = Overview(board, needs.needs(board), None, {}, [], "", "peercoord up")
    return replace(made, **more)  # type: ignore[arg-type]


def test_what_begins_is_told_once_and_again_when_it_comes_back() -> None:
    notifier, work = Notifier([]), at_work()
    blocked = row("20", "Fonts", "parked", "blocked", reason="which licence?")
    more = replace(work, rows=[*work.rows, blocked])
    assert notifier.look(seen(work)) == [], "what was there at the start is on the screen"
    assert [one.text for one in notifier.look(seen(more))] == ['#20 "Fonts" blocked: which licence?']
    assert notifier.look(seen(work)) == []
    assert len(notifier.look(seen(more))) == 1


def test_an_age_that_grows_is_no_news() -> None:
    notifier, work = Notifier([]), replace(at_work(), peers=at_work().peers[:3])
    notifier.look(seen(work))
    assert notifier.look(seen(replace(work, now=at(-600)))) == []


def test_the_end_of_the_list_and_of_an_instance_are_told() -> None:
    finished, notifier = done(), Notifier([])
    notifier.look(seen(replace(finished, rows=[*finished.rows, row("3", "Three", "ready")])))
    assert [(one.kind, one.text) for one in notifier.look(seen(finished))] == [("finished", "All 2 tasks are done.")]
    gone = replace(finished, peers=[], lost=[replace(finished.peers[0], gone=at(1))])
    assert [(one.kind, one.text) for one in notifier.look(seen(gone))] == [("gone", "instance-1 is gone")]
    work = at_work()
    notifier = Notifier([])
    notifier.look(seen(replace(work, lost=[])))
    (told,) = notifier.look(seen(work))
    assert (told.kind, told.text) == ("need", "instance-4 gone: #9 is back in the queue"), "once, with what to do"


def test_many_things_at_once_are_one_notice() -> None:
    notifier = Notifier([])
    notifier.look(seen(done()))
    assert [one.text for one in notifier.look(seen(foreign()))] == ["10 things need you"]


def test_nothing_is_told_of_a_team_that_was_taken_down() -> None:
    notifier = Notifier([])
    notifier.look(seen(done()))
    assert notifier.look(seen(at_work(), down={"at": at(1)})) == []


def test_a_command_of_the_persons_gets_the_text_as_data(tmp_path: Path) -> None:
    told = tmp_path / "told"
    hostile = replace(foreign(), rows=foreign().rows[6:7], peers=[], deciding=[], synced={})
    notifier = Notifier(
        [], f'printf "%s\\n" "$PEERCOORD_KIND" "$PEERCOORD_NOTICE" "$PEERCOORD_TEAM" > {told}; cat >> {told}'
    )
    notifier.look(seen(replace(hostile, rows=[])))
    (notice,) = notifier.look(seen(hostile))
    assert [one.wait() for one in notifier._running] == [0]
    kind, text, team, data = told.read_text().split("\n")
    assert (kind, text, team) == ("need", notice.text, plain(HOSTILE))
    assert json.loads(data) == {"kind": "need", "text": text, "project": team}
    assert text == plain(text)


@pytest.mark.parametrize("inside", ["", "/tmp/tmux-0/default,1,0"])
def test_the_bell_ends_its_sequence_itself(inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", inside)
    bell = notify._rung(plain(f"a {HOSTILE}")).decode()
    assert bell[0] == "\a"
    escapes = bell[1:].replace("\x1b\x1b", "\x1b")
    start, end = ("\x1bPtmux;\x1b]9;a ", "\x1b\\\x1b\\") if inside else ("\x1b]9;a ", "\x1b\\")
    assert escapes.startswith(start)
    assert escapes.endswith(end)
    assert "\x1b" not in escapes[len(start) : -len(end)]
    assert "\a" not in escapes


@pytest.mark.parametrize(("platform", "program"), [("linux", "notify-send"), ("darwin", "osascript")])
def test_the_desktop_gets_texts_as_arguments(platform: str, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify.sys, "platform", platform)
    monkeypatch.setattr(notify.shutil, "which", lambda name: f"/bin/{name}" if name == program else None)
    words = notify._desktop("peercoord: x", '-u <b>"&')
    assert words[0] == program
    assert words[-2:] == ["peercoord: x", '-u <b>"&' if platform == "darwin" else '-u &lt;b&gt;"&amp;']
    assert platform == "darwin" or words[-3] == "--"
    monkeypatch.setattr(notify.shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="desktop cannot be reached"):
        Notifier(["desktop"])


def test_no_notice_is_longer_than_a_line() -> None:
    for one in notices.standing(foreign(), needs.needs(foreign())):
        assert one.text == plain(one.text)
        assert len(one.text) <= notices.TEXT_CHARS + 1
