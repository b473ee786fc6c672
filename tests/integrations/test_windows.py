"""A session that no hook can wake goes on when its rate limit has reset: its agent types into its window."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent.crew import until
from integrations.coder import Coder

from peercoord.agent import sessions, windows
from peercoord.store import session_records

Make = Callable[..., Coder]
pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")


def tmux(*words: str) -> str:
    return subprocess.run(["tmux", *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture(autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A tmux server of the test's own."""
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path_factory.mktemp("tmux")))
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setattr(windows, "SHOWN_SECONDS", 60.0)  # a busy machine shows a line late
    tmux("new-session", "-d", "-s", "other", "cat")
    yield
    subprocess.run(["tmux", "kill-server"], capture_output=True, check=False)


def window(worktree: str, program: str = "cat") -> str:
    """A window of a worktree's session: what is typed there is printed."""
    found = tmux("new-window", "-d", "-P", "-F", "#{window_id}", program).strip()
    tmux("set-option", "-w", "-t", found, windows.OPTION, windows.mark(worktree))
    return found


def shown(of: str) -> str:
    return tmux("capture-pane", "-p", "-J", "-t", of)


def test_a_line_is_typed_into_the_window_of_that_worktree_alone() -> None:
    one, two = window("/w/one"), window("/w/two")
    assert windows.type_into("/w/one", "-n Enter $HOME; go on")
    until(lambda: shown(one).count("-n Enter $HOME; go on") == 2, what="the line, typed and entered")
    assert "go on" not in shown(two)
    assert not windows.type_into("/w/three", "go on")


def test_what_a_window_does_not_show_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dialog takes no paste, and the Enter after it would choose what is marked there."""
    monkeypatch.setattr(windows, "SHOWN_SECONDS", 0.2)
    window("/w/one", f"stty -echo; exec head -n 1 > {tmp_path}/entered")
    until((tmp_path / "entered").exists)
    assert not windows.type_into("/w/one", "go on")
    assert (tmp_path / "entered").read_text() == ""
    tmux("send-keys", "-t", f"{tmux('list-windows', '-a', '-F', '#{window_id}').split()[-1]}", "Enter")
    until(lambda: (tmp_path / "entered").read_text() == "go on\n")


def test_the_line_is_for_the_first_pane_and_not_while_a_person_scrolls_back_in_it() -> None:
    one = window("/w/one")
    tmux("split-window", "-t", one, "cat")
    assert windows.type_into("/w/one", "go on")
    assert "go on" not in shown(one), "the pane that a person split off is the active one"
    until(lambda: shown(f"{one}.0").count("go on") == 2, what="the line, typed and entered")
    tmux("copy-mode", "-t", f"{one}.0")
    assert not windows.type_into("/w/one", "go further")


CODEX, GEMINI = "\\033[1m›\\033[0m ", " \\033[38;5;183m> "


@pytest.mark.parametrize(
    ("screen", "column", "is_free"),
    [
        (CODEX + "\\033[2mAsk Codex to do anything", 3, True),
        (CODEX + "half a draft", 15, False),
        (CODEX + "half a draft", 3, False),  # the cursor stands at its begin
        (CODEX + "two lines\\n  ", 3, False),
        ("\\033[1;2m› \\033[0mwhat was sent\\n\\n" + CODEX + "\\033[2mAsk Codex to do anything", 3, True),
        (GEMINI + "\\033[7m\\033[39m \\033[0m\\033[38;5;248m Type your message or @path/to/file", 4, True),
        (GEMINI + "\\033[38;5;231mhalf a draft\\033[7m\\033[39m \\033[0m", 16, False),
        ("│ ❯ \\033[2mWrite here              \\033[0m│", 5, True),
        ("me@host:~$ ", 12, False),  # the session is gone, and a shell is there
    ],
)
def test_a_draft_that_a_person_left_is_not_sent_with_our_line(screen: str, column: int, is_free: bool) -> None:
    one = window("/w/one", f"printf '{screen}\\033[0m\\033[{column}G'; exec cat")
    until(lambda: shown(one).strip())
    assert windows.type_into("/w/one", "go on") is is_free
    if is_free:
        until(lambda: shown(one).count("go on") == 2, what="the line, typed and entered")
    else:
        assert "go on" not in shown(one)


def test_what_a_person_types_at_the_same_moment_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    one = window("/w/one", f"printf '{CODEX}'; exec cat")
    until(lambda: shown(one).strip())
    asked = windows._tmux

    def busy(*words: str) -> str | None:
        if words[0] == "paste-buffer":
            tmux("send-keys", "-t", one, "-l", "mine ")
        return asked(*words)

    monkeypatch.setattr(windows, "_tmux", busy)
    assert not windows.type_into("/w/one", "go on")
    until(lambda: "mine go on" in shown(one))
    assert shown(one).count("go on") == 1, "it is not entered"


def test_without_a_server_nothing_is_typed() -> None:
    tmux("kill-server")
    assert not windows.type_into("/w/one", "go on")


def limited(one: Coder) -> dict[str, Any]:
    """Bring a session to where its rate limit has reset; its process is on record."""
    one.tell("start")
    assert one.verb("check-status").code == 0
    said = {**one.record(), "process": one.identity, "state": "rate limited", "until": "2026-01-01T00:00:00Z"}
    session_records.write(one.crew.root.files, "one", said)
    return said


@pytest.mark.parametrize(("agent", "times"), [("codex", 1), ("claude", 0)])
def test_a_limit_that_has_reset_is_told_once(coder: Make, agent: str, times: int) -> None:
    one = coder(agent=agent)
    place = window(str(one.tree))
    limited(one)
    one.crew.agent("one")
    shell = one.crew.session("one", "zsh")
    for _ in range(3):
        assert shell.verb("check-status")[0] == 0  # each has the agent look at its sessions
    if times:
        until(lambda: shown(place).count(sessions.GO_ON[:30]) == 2, what="the line, typed and entered")
    assert one.crew.log("one").count("typed into its window") == times


@pytest.mark.parametrize("state", ["needs permission", "working", "asks a question", "idle", "turn failed"])
def test_nothing_is_typed_into_a_session_that_does_anything_else(coder: Make, state: str) -> None:
    one = coder(agent="codex")
    said = {**limited(one), "state": state}
    session_records.write(one.crew.root.files, "one", said)
    typed: list[str] = []
    watch = sessions.SessionWatch(one.place.files(), str, object, lambda _: {}, lambda text: not typed.append(text))
    with _peer(one) as peer:
        watch.joined(peer)
        assert watch._check_limit([one.identity]) is None
        assert typed == []
        session_records.write(one.crew.root.files, "one", {**said, "state": "rate limited"})
        assert watch._check_limit([one.identity]) is None
        assert len(typed) == 1
        assert watch._check_limit([]) is None
        assert len(typed) == 1
        session_records.write(
            one.crew.root.files, "one", {**said, "state": "rate limited", "until": "2099-01-01T00:00:00Z"}
        )
        assert watch._check_limit([one.identity]) is None
        assert len(typed) == 2, "the clock was wrong when that was noted"


def test_a_window_that_did_not_take_the_line_is_tried_again(coder: Make) -> None:
    one = coder(agent="codex")
    limited(one)
    taken = iter([False, True])
    watch = sessions.SessionWatch(one.place.files(), str, object, lambda _: {}, lambda _: next(taken))
    with _peer(one) as peer:
        watch.joined(peer)
        assert watch._check_limit([one.identity]) == sessions.RETYPE_SECONDS
        assert watch._check_limit([one.identity]) is None
        assert watch._check_limit([one.identity]) is None


def _peer(one: Coder):
    from peercoord.worktree.call import WorktreeCall

    return WorktreeCall(one.place).peer()
