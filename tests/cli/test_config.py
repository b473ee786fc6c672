"""Shared settings: what does not fit together is said at once, and what was set outlives its file."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from support.project import Project

from peercoord.store import manifest
from peercoord.store.settings import DEFAULT_SETTINGS


@pytest.fixture
def known(project: Project) -> Project:
    """A project that its repository remembers, as after set-up."""
    manifest.note_project(project.main / ".git", "", store_id=project.queue.root.store_id)
    return project


def lose(project: Project) -> None:
    (project.state / "protocol.json").unlink()


def protocol(project: Project) -> dict[str, object]:
    found: dict[str, object] = json.loads((project.state / "protocol.json").read_text())
    return found


def test_a_value_that_does_not_fit_the_others_is_told_with_one_that_does(project: Project) -> None:
    code, out, err = project("config", "heartbeat_seconds", "4")
    assert (code, out) == (0, "heartbeat_seconds = 4\n")
    assert "state_seconds is 30, and a peer may be silent for 12 s" in err
    assert "one that fits: peercoord config state_seconds 4\n" in err
    told = project.data("config")["problems"]
    assert [problem["key"] for problem in told] == ["state_seconds"]
    for problem in told:
        assert project(*problem["fix"].split()[1:])[0] == 0
    assert (project.data("config")["problems"], project("config")[2]) == ([], "")


def test_a_setting_set_meanwhile_stays(project: Project) -> None:
    path = project.state / "protocol.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "settings": {**whole["settings"], "max_attempts": 9}, "of_mine": 1}))
    project("config", "merge_seconds", "700")
    assert protocol(project)["of_mine"] == 1
    assert protocol(project)["settings"] == {**DEFAULT_SETTINGS, "max_attempts": 9, "merge_seconds": 700}


def test_what_was_set_and_chosen_is_back_when_protocol_json_is_lost(known: Project, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "theirs.db").close()
    assert known("sync", "--database", str(tmp_path / "theirs.db"), "--project", "ours")[0] == 0
    assert known("config", "max_attempts", "9") == (0, "max_attempts = 9\n", "")
    assert manifest.read_project(known.main / ".git", "")["settings"] == {**DEFAULT_SETTINGS, "max_attempts": 9}
    before = protocol(known)
    lose(known)
    answer = known.data("doctor", at=known.worktree)
    (bad,) = [check for check in answer["checks"] if check["check"] == "set-up"]
    assert ".claude-coordination/protocol.json" in bad["text"], "it alone is gone"
    mended = known.data("doctor", "--fix", at=known.worktree)["mended"]
    assert any("theirs.db" in line and "max_attempts = 9" in line and "hand edits" in line for line in mended), mended
    assert {**protocol(known), **{key: before[key] for key in ("created", "project")}} == before


def test_what_was_never_noted_is_named_as_lost(known: Project) -> None:
    lose(known)
    mended = known.data("doctor", "--fix", at=known.worktree)["mended"]
    assert any("no setting but the defaults" in line and "could not be recovered" in line for line in mended), mended


def test_a_record_that_cannot_be_written_is_a_word_and_no_failure(known: Project) -> None:
    (known.main / ".git" / "peercoord" / "team.json").write_text("{]}\n")
    code, _, err = known("config", "max_attempts", "9")
    assert (code, "it holds, and would be lost with protocol.json: " in err) == (0, True)
    assert known.data("config", "max_attempts")["settings"] == {"max_attempts": 9}
