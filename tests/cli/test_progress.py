"""Long work is shown while it goes on: a bar on a terminal, lines elsewhere, nothing when it is to be quiet."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
from support.project import Project, project

from peercoord.cli import progress as shown
from peercoord.system import progress
from peercoord.system.progress import track

__all__ = ["project"]


class Stream(io.TextIOWrapper):
    """Standard error, as a terminal or a file."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    @property
    def text(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(shown, "BAR_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(shown, "LINE_EVERY_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    yield
    assert progress._looks == [], "nobody looks any more"


def work(monkeypatch: pytest.MonkeyPatch, is_terminal: bool, quiet: bool = False) -> str:
    stream = Stream(is_terminal)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        with shown.shown(quiet):
            for at in track(range(3), "[b]counting[/b]", 3):
                shown.say(f"line {at}", error=True)
    return stream.text


def test_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [f"peercoord: [b]counting[/b]: {at} of 3" for at in range(4)]
    said = work(monkeypatch, is_terminal=False).splitlines()
    assert said == [told[0], "line 0", told[1], "line 1", told[2], "line 2", told[3]]


def test_a_bar_on_a_terminal_that_leaves_only_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    said = work(monkeypatch, is_terminal=True)
    assert "[b]counting[/b]" in said, "it is no markup"
    assert [f"line {at}" in said for at in range(3)] == [True] * 3
    assert "\x1b[2K" in said[said.rindex("counting") :], "the bar is gone"
    assert "\x1b[?25h" in said, "the cursor is there again"


def test_nothing_when_it_is_to_be_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (False, True):
        assert work(monkeypatch, is_terminal, quiet=True).splitlines() == ["line 0", "line 1", "line 2"]


def test_an_error_takes_the_bar_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(True)
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(ValueError, match="broken"), shown.shown(False):
        next(map(int, track(["broken"], "work", 1)))
    assert "\x1b[2K" in stream.text[stream.text.rindex("work") :]


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_an_import_and_a_sync_tell_how_far_they_are(
    project: Project, quiet: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": number, "title": f"Task {number}", "status": "pending"} for number in range(1, 4)]
    path = project.main / "tasks.json"
    path.write_text(json.dumps({"master": {"tasks": rows}}))
    assert project(*quiet, "task", "import", str(path))[0] == 0
    assert ("peercoord: taking tasks in: 3 of 3\n" in capfd.readouterr().err) is (not quiet)
    code, _, err = project(*quiet, "sync", "--database", str(project.main / "tm.db"), at=project.main)
    assert code == 0, err
    assert ("peercoord: comparing: 3 of 3\n" in capfd.readouterr().err) is (not quiet)
