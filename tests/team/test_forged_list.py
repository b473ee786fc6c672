"""Who may commit may write the git directory of a worktree: its entry in git's list of worktrees, and its index."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from peercoord.store import instance_records, manifest, paths
from peercoord.store import root as roots
from peercoord.team import plan as plans
from peercoord.team.removal import plan_remove
from peercoord.team.repository import team_instances


def git_dir(team, name="app-instance-1") -> Path:
    return team.path / ".git/worktrees" / name


def recorded(team) -> None:
    """Write the records of the worktrees into the coordination directory."""
    root = roots.create(str(team.path / paths.ROOT), "app")
    for instance in team_instances(team.project()):
        instance_records.write(root, instance.peer, worktree=str(instance.directory), git_dir=str(instance.git_dir))


def precious(tmp_path: Path) -> Path:
    home = tmp_path / "precious"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work\n")
    return home


def lead(team, place: Path, name="app-instance-1") -> None:
    (git_dir(team, name) / "gitdir").write_text(f"{place}/.git\n")


def take_down(team, *named: str) -> None:
    project = team.project()
    plans.run(plan_remove(project, team_instances(project), named).actions)


@pytest.mark.parametrize("with_record", [True, False], ids=["recorded", "no record"])
def test_a_place_that_only_the_list_names_is_never_removed(team, tmp_path, with_record):
    if with_record:
        recorded(team)
    home = precious(tmp_path)
    lead(team, home)
    take_down(team, "instance-1")
    assert (home / "thesis.txt").read_text() == "years of work\n"
    assert team.instance(1).path.exists() is not with_record  # what the record names is what the person named


def test_a_forged_list_does_not_point_to_the_worktree_of_another(team):
    recorded(team)
    other = team.instance(2)
    other.write("thesis.txt")
    lead(team, other.path)
    take_down(team, "instance-1")
    assert other.path.joinpath("thesis.txt").exists()
    assert [instance.peer for instance in team_instances(team.project())] == ["instance-2"]


def test_nothing_is_made_in_a_place_that_only_the_list_names(team, tmp_path):
    recorded(team)
    evil = git_dir(team, "evil")
    evil.mkdir()
    for name in ("HEAD", "commondir", "index"):
        (evil / name).write_bytes((git_dir(team) / name).read_bytes())
    manifest.note_worktree(evil, sub="", index=7, peer="instance-7", made=True)
    lead(team, tmp_path / "autostart", "evil")
    made = team.plan()
    assert list(made.failed) == ["instance-7"]
    plans.run(made.actions)
    assert not (tmp_path / "autostart").exists()


def test_a_forged_list_is_repaired_from_the_record(team, tmp_path):
    recorded(team)
    lead(team, tmp_path / "autostart")
    team.up()
    assert not (tmp_path / "autostart").exists()
    assert (git_dir(team) / "gitdir").read_text() == f"{team.instance(1).path}/.git\n"
    assert team.instance(1).status() == ""


def test_a_worktree_that_git_moved_is_found_where_it_lies(team):
    recorded(team)
    moved = team.beside("moved")
    team.git("worktree", "move", str(team.instance(1).path), str(moved.path))
    assert [instance.worktree for instance in team_instances(team.project())] == [moved.path, team.instance(2).path]


def test_an_index_is_not_written_through_a_link(team, tmp_path):
    recorded(team)
    outside = tmp_path / "outside"
    index = git_dir(team) / "index"
    index.unlink()
    index.symlink_to(outside)
    team.up()
    assert not outside.exists()
    assert index.is_file()
    assert not index.is_symlink()
    assert team.instance(1).status() == ""


def test_no_program_runs_in_a_worktree_of_a_lost_team(team, tmp_path):
    """That no agent had it is not believed because its own files are gone, with the coordination directory."""
    project, ran = team.project(), tmp_path / "ran"
    manifest.note_project(project.common, "", store_id="lost")
    there = team.instance(1)
    there.write(".git-filter", f"#!/bin/sh\ntouch {ran}\ncat\n").chmod(0o755)
    team.git("config", "filter.evil.smudge", str(there.path / ".git-filter"))
    info = team.path / ".git/info/attributes"
    info.parent.mkdir(exist_ok=True)
    info.write_text("* filter=evil\n")
    there.path.joinpath("src/main.py").unlink()
    (git_dir(team) / "index").unlink()
    team.up()
    assert not ran.exists()


@pytest.mark.parametrize("name", ["HEAD", "gitdir", "commondir", "locked"])
def test_a_fifo_in_a_git_directory_holds_up_that_instance_alone(team, name):
    recorded(team)
    place = git_dir(team) / name
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    made = team.plan()
    assert {peer: error.code for peer, error in made.failed.items()} == {"instance-1": "irregular"}
    assert str(git_dir(team)) in made.failed["instance-1"].hint
    assert [instance.peer for instance in made.instances if instance.peer != "instance-1"] == ["instance-2"]
    assert [instance.peer for instance in team_instances(team.project())] == ["instance-2"]
