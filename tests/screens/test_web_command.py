"""``peercoord web --allow-actions`` is started by a person; ``peercoord html`` writes one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.project import Project, project

from peercoord.cli import main as cli
from peercoord.cli.web import _actions
from peercoord.review.actions import NotAPersonError
from peercoord.screens.web.actions import Actions
from peercoord.system import process, sessions
from peercoord.worktree import context

__all__ = ["project"]


def call(project: Project) -> cli.Call:
    return cli.Call(context.find(str(project.main)))


@pytest.fixture
def by_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "caller_of", lambda _: sessions.Caller(None, ""))
    for known in (*sessions.MARKS, sessions.GENERIC_MARK):
        monkeypatch.delenv(known, raising=False)


@pytest.mark.usefixtures("by_a_person")
def test_a_coding_session_may_not_allow_actions(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    code, _, err = project("web", "--allow-actions", "--as", "Ada", at=project.main)
    assert code == 1
    assert "this is a person's decision" in err
    with pytest.raises(NotAPersonError):
        _actions(call(project), "Ada")


@pytest.mark.usefixtures("by_a_person")
def test_an_action_is_the_command_of_a_person(project: Project) -> None:
    project("task", "add", "One")
    project("request")
    project("report", "1", "--status", "blocked", "--blocker", "which key?")
    acts = Actions(_actions(call(project), "Ada"))
    code, said = acts.run("answer", {"task": "1", "text": "--help <b>"})
    assert (code, "Usage" in said) == (0, False)
    definition = project.queue.definition("1").raw
    assert definition["answers"][0]["answer"] == "--help <b>"
    code, said = acts.run("cancel", {"task": "1"})
    assert code == 0
    assert project.queue.definition("1").cancelled is not None


@pytest.mark.usefixtures("by_a_person")
def test_a_decision_of_the_page_keeps_the_guard(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the page was started: each decision asks again who makes it."""
    acts = Actions(_actions(call(project), "Ada"))
    assert "person's decision" not in acts.run("land", {})[1]
    monkeypatch.setenv("CLAUDECODE", "1")
    for action, fields in (("land", {}), ("approve", {"id": "k-1"}), ("reject", {"id": "k-1", "text": "no"})):
        code, said = acts.run(action, fields)
        assert (code, "this is a person's decision" in said) == (1, True), action


def test_a_report_is_written(project: Project, tmp_path: Path) -> None:
    project("task", "add", "One <b>")
    file = tmp_path / "team.html"
    code, out, _ = project("html", "-o", str(file), at=project.main)
    assert (code, str(file) in out) == (0, True)
    assert "One &lt;b&gt;" in file.read_text(encoding="utf-8")
    code, out, _ = project("html", "-o", "-", at=project.main)
    assert (code, out.startswith("<!doctype html>")) == (0, True)


def test_a_report_that_cannot_be_written_is_told(project: Project, tmp_path: Path) -> None:
    code, _, err = project("html", "-o", str(tmp_path / "none" / "team.html"), at=project.main)
    assert code == 1
    assert "cannot be written" in err
