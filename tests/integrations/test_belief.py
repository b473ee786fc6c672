"""Which project a hook believes: it runs outside the sandbox of a coding agent, which may have written its worktree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from integrations.coder import Coder

from peercoord.doctor import hooks
from peercoord.integrations import script
from peercoord.integrations.agents import CLAUDE
from peercoord.integrations.setup import PersonalSetup
from peercoord.store import instance_records, paths
from peercoord.system import child

Make = Callable[..., Coder]


@pytest.fixture
def one(coder: Make) -> Coder:
    """A session whose worktree does not lie beside its project: there, only ``info.json`` leads to it."""
    made = coder()
    away = made.crew.base / "away" / "repository"
    away.parent.mkdir()
    made.tree.rename(away)
    made.tree = away
    instance_records.write(made.crew.root, "one", worktree=str(away))
    return made


@pytest.fixture
def person(tmp_path: Path) -> PersonalSetup:
    made = PersonalSetup({"HOME": str(tmp_path / "home")})
    made.set_up(CLAUDE)
    return made


def hook(one: Coder, place: str | Path, *words: str, **env: str) -> str:
    """Run a hook script where the session is; what it answers."""
    environ = {**os.environ, **one.environ, **env}
    said = json.dumps({"session_id": one.ident, "cwd": str(one.tree)}).encode()
    done = subprocess.run(
        [place, "start", "claude", *words], input=said, env=environ, cwd=one.tree, capture_output=True, check=True
    )
    return done.stdout.decode()


def test_a_persons_hook_does_not_believe_the_project_that_a_worktree_names(one: Coder, person: PersonalSetup) -> None:
    theirs = one.crew.state / paths.HOOK_SCRIPT
    theirs.parent.mkdir()
    theirs.write_text(f"#!/bin/sh\ntouch {one.crew.base}/ran\n")
    theirs.chmod(0o755)
    home = str(person.home.parents[2])
    assert [hook(one, person.script, HOME=home) for _ in range(2)] == ["", ""]
    assert not (one.crew.base / "ran").exists()
    assert one.record() == {}
    theirs.unlink()
    script.install(one.crew.root)
    words = [*child.command(), "-C", str(one.crew.project), "setup", "claude"]
    subprocess.run(words, env={**os.environ, "HOME": home}, check=True, capture_output=True)
    assert "This worktree is one" in hook(one, person.script, HOME=home)


def test_the_teams_hook_speaks_for_its_own_project(one: Coder) -> None:
    forged = one.crew.base / "forged"
    shutil.copytree(one.crew.project, forged)
    info = one.tree / paths.INSTANCE / "info.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "project": str(forged), "instance_id": "two"}))
    assert "This worktree is one" in hook(one, script.install(one.crew.root), str(one.tree))
    assert one.record()["session_id"] == one.ident
    assert not (forged / paths.ROOT / "sessions").exists()


def test_the_doctor_names_the_worktree_in_which_a_persons_hook_is_silent(
    one: Coder, person: PersonalSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(person.home.parents[2]))

    def silent() -> list[tuple[str, str]]:
        found = hooks.examine(str(one.crew.project), one.crew.root)
        return [(finding.text, finding.fix) for finding in found if "say nothing" in finding.text]

    text = f"your own sessions' hooks say nothing in {one.tree}, which does not lie beside the project"
    assert silent() == [(text, f"peercoord -C {one.crew.project} setup claude")]
    person.note_team(str(one.tree), str(one.crew.state / paths.HOOK_SCRIPT))
    assert silent() == []
