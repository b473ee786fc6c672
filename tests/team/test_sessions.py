"""Which coding agent runs in which worktree, and the lines that start it by hand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from peercoord.cli import up
from peercoord.errors import NotFoundError, UsageError
from peercoord.integrations import check
from peercoord.integrations.agents import CODEX
from peercoord.store import manifest, paths
from peercoord.store import root as roots
from peercoord.store.project import Project
from peercoord.team import plan as plans
from peercoord.team import sessions
from peercoord.team.plan import Instance
from peercoord.team.sessions import Choice


@pytest.fixture
def project(tmp_path: Path) -> Project:
    at = tmp_path / "it's app"
    (at / ".git").mkdir(parents=True)
    return Project(at, "", at / ".git", at, shallow=False)


@pytest.fixture
def instances(tmp_path: Path) -> list[Instance]:
    trees = [tmp_path / f"it's app-instance-{index}" for index in range(1, 6)]
    for tree in trees:
        tree.mkdir()
    return [Instance(k, f"instance-{k}", tree, tree, f"team/instance-{k}", True) for k, tree in enumerate(trees, 1)]


def put_program(directory: Path, name: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f'#!/bin/sh\necho {name} "$#" "$PWD" "$PEERCOORD_WORKTREE"\n')
    (directory / name).chmod(0o755)


def test_coding_agents_take_turns_over_the_worktrees(project, instances):
    choice = Choice.read("claude, claude,codex", "")
    commands = [window.command[0] for window in sessions.windows(project, instances, choice)]
    assert commands == ["claude", "claude", "codex", "claude", "claude"]
    assert choice.notes(instances) == check.note(CODEX)


def test_the_agents_of_a_team_are_remembered_and_no_other_command_is(project):
    assert Choice.of_team(project, "", "") == Choice.read("", "")
    Choice.of_team(project, "claude,codex", "").remember(project)
    Choice.of_team(project, "", "sh -c x").remember(project)
    assert Choice.of_team(project, "", "") == Choice.read("claude,codex", "")
    assert Choice.of_team(project, "gemini", "") == Choice.read("gemini", "")
    manifest.note_project(project.common, project.sub, agents="rm,codex")
    assert Choice.of_team(project, "", "") == Choice.read("codex", "")


@pytest.mark.parametrize(
    ("agents", "command", "why"),
    [
        ("claud", "", "no coding agent 'claud'"),
        ("", "codex 'a", "cannot be split into words"),
        ("claude", "codex", "cannot both be given"),
    ],
)
def test_a_choice_that_cannot_be_is_said(agents, command, why):
    with pytest.raises(UsageError, match=why):
        Choice.read(agents, command)


def test_a_command_of_the_person_is_run_as_it_is(project, instances):
    (window, *_) = sessions.windows(project, instances, Choice.read("", "codex --full-auto 'a b'"))
    assert (list(window.command), window.env) == (["codex", "--full-auto", "a b"], {})


def test_without_the_default_it_says_so(project, instances, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    choice = Choice.read("", "")
    assert not choice.is_installed()
    with pytest.raises(NotFoundError, match="claude is not installed") as refused:
        sessions.windows(project, instances, choice)
    assert "--launch none" in refused.value.hint
    for name in ("claude", "tmux"):
        put_program(tmp_path / "bin", name)
    assert choice.is_installed()


def test_lines_to_run_by_hand_work_in_a_shell(project, instances, tmp_path, monkeypatch):
    put_program(tmp_path / "bin", "claude")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    line = sessions.lines_to_type(project, instances, Choice.read("", ""))[1]
    assert line.startswith("cd ~/")
    assert "PEERCOORD_INSTANCE_INDEX=2 " in line
    shown = up.broken(line)
    assert [len(one) for one in shown if len(one) > 80] == [len(one) for one in shown if str(tmp_path) in one]
    for typed in (line, "\n".join(shown)):
        done = subprocess.run(["/bin/sh", "-c", typed], capture_output=True, text=True, check=True)
        assert done.stdout == f"claude 4 {instances[1].directory} {instances[1].directory}\n"


@pytest.mark.parametrize(
    ("is_new", "said"),
    [(True, "Undo     peercoord -C ~/x down --purge"), (False, "Clear    peercoord -C ~/x down --remove")],
)
def test_what_up_made_is_undone_by_what_it_names(tmp_path, monkeypatch, is_new, said):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = Project(tmp_path / "x", "", tmp_path / "x" / ".git", tmp_path / "x", shallow=False)
    data = {"notes": [], "actions": ["a"], "failed": {}, "to_type": [], "sessions": {}}
    assert up.closing(data, False, found, is_new)[-1] == said


def test_settings_are_written_once_and_again_when_they_were_changed(project):
    roots.create(str(project.directory / paths.ROOT), "app", {})
    hooks = project.directory / paths.ROOT / paths.HOOKS
    plans.run(sessions.plan_settings(project))
    assert sessions.plan_settings(project) == []
    before = {path: path.read_bytes() for path in hooks.rglob("*.*")}
    for name in ("claude.json", "gemini.toml", "opencode.json", "opencode.js", "copilot/hooks.json", "hook.sh"):
        assert hooks / name in before
    (hooks / "claude.json").write_text("{}")
    plans.run(sessions.plan_settings(project))
    assert {path: path.read_bytes() for path in hooks.rglob("*.*")} == before


def test_a_window_reads_settings_that_no_worktree_holds(project, instances):
    for window in sessions.windows(project, instances, Choice.read("claude,codex,gemini,opencode,copilot", "")):
        said = " ".join([*window.command, *window.env.values()])
        assert "app/.claude-coordination/hooks/" in said
        assert f"{window.instance.directory}/." not in said
