"""A team on a real repository, by the commands: set up, run again, grow, repair, take down, leave no trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from cli.teams import Team
from support import answers
from support.project import git

from peercoord.agent import control
from peercoord.cli import main as cli
from peercoord.store import instance_records, paths
from peercoord.store import root as roots

Teams = Callable[[int], Team]


def recorded(repo: Path) -> dict[str, tuple[str, str]]:
    """Where the coordination directory has each worktree and its git directory."""
    root = roots.open_root(str(repo / paths.ROOT))
    return {peer: (known["worktree"], known["git_dir"]) for peer, known in instance_records.all(root).items()}


def files(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if ".git" not in path.parts)


def database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT, description TEXT, status TEXT, priority TEXT,"
            " dependencies TEXT)"
        )
        rows = [(1, "one", "done", "[]"), (2, "two", "pending", "[1]"), (3, "three", "in-progress", "[]")]
        connection.executemany(
            "INSERT INTO tasks (id, title, status, priority, dependencies) VALUES (?, ?, ?, 'high', ?)", rows
        )
    return path


def test_the_whole_way_from_nothing_to_a_team_and_back(repo: Path, tmp_path: Path, teams: Teams) -> None:
    before = git(repo, "for-each-ref"), (repo / ".git" / "config").read_text(), sorted(p.name for p in repo.iterdir())
    source = str(database(tmp_path / "t.db"))
    code, out, err = cli.serve(["up", str(repo), "2", "--tasks", source, "--dry-run", "--json"])
    planned = answers.read(out.decode(), "up")["data"]
    assert (code, sorted(p.name for p in repo.iterdir())) == (0, before[2]), err
    code, out, _ = cli.serve(["up", str(repo), "2", "--tasks", source, "--json"])
    made = answers.read(out.decode(), "up")["data"]
    assert (code, made["actions"]) == (0, planned["actions"]), "a dry run says what is done, and does nothing"
    team = teams(2)
    trees = [Path(i["worktree_path"]) for i in made["instances"]]
    assert trees == [team.tree(1), team.tree(2)]
    for tree in trees:
        assert git(tree, "status", "--porcelain") == ""
        assert (tree / "memory-bank" / "techContext.md").read_text() == "# Tech\n"
        wanted = {"info.json", "progress.json", "memory-contributions", "coordinate.sh"}
        assert wanted <= {path.name for path in (tree / ".claude-instance").iterdir()}
    assert team.running() == ["instance-1", "instance-2"]
    assert git(repo, "status", "--porcelain") == ""
    assert recorded(repo) == {
        f"instance-{n}": (str(team.tree(n)), str(repo / f".git/worktrees/app-instance-{n}")) for n in (1, 2)
    }
    listed = {t["task_id"]: t["status"] for t in team.data("task", "list")["tasks"]}
    assert listed == {1: "done", 2: "ready", 3: "held"}
    asked = team.script("request-task", "--json")
    assert answers.read(asked.stdout, "request")["data"]["task_id"] == 2
    team.data("down", "--remove")
    assert {t["task_id"]: t["status"] for t in team.data("task", "list")["tasks"]}[2] == "ready"
    assert ([tree.exists() for tree in trees], recorded(repo)) == ([False, False], {})
    team.data("down", "--purge")
    after = git(repo, "for-each-ref"), (repo / ".git" / "config").read_text(), sorted(p.name for p in repo.iterdir())
    assert after == before


@pytest.mark.slow
def test_set_up_again_repairs_and_takes_in_and_taking_down_keeps_work(repo: Path, teams: Teams) -> None:
    team = teams(1)
    tree, whole = team.tree(1), recorded(repo)
    assert whole["instance-1"][0] == str(tree)
    assert team.data("up", repo, 1)["actions"] == []
    root = roots.open_root(str(repo / paths.ROOT))
    control.stop(str(tree))
    team.own(1, "coordinate.sh").unlink()
    (tree / "memory-bank").unlink()
    instance_records.remove(root, "instance-1")
    assert len(team.data("up", repo, 1)["actions"]) >= 4
    assert (team.script("check-status").returncode, team.running(), recorded(repo)) == (0, ["instance-1"], whole)
    assert (tree / "memory-bank" / "techContext.md").exists()
    instance_records.write(root, "instance-1", git_dir="/elsewhere")
    assert team.data("up", repo, 1)["actions"] != []
    assert (recorded(repo), team.data("up", repo, 1)["actions"]) == (whole, [])

    by_hand = repo.parent / "by hand"
    git(repo, "worktree", "add", "-q", str(by_hand), "-b", "feature")
    before = files(by_hand)
    assert team.data("join", by_hand, "--name", "helper")["instance"]["id"] == "helper"
    assert recorded(repo)["helper"] == (str(by_hand), str(repo / ".git/worktrees/by-hand"))
    team.data("task", "add", "t")
    assert answers.read(team.script("request-task", "--json", at=by_hand).stdout, "request")["data"]["task_id"] == 1
    team.data("leave", by_hand)
    assert (list(recorded(repo)), team.data("task", "list")["tasks"][0]["status"]) == (["instance-1"], "ready")
    assert (files(by_hand), git(by_hand, "status", "--porcelain")) == (before, ""), "it is as it was"
    assert "no instance" in team.person("leave", by_hand)[1]["message"]
    assert team.person("join", repo)[0] == 1, "the main checkout is no worktree"

    (tree / "work.txt").write_text("hours of it")
    kept = team.data("down", "--remove")
    assert ([one["id"] for one in kept["kept"]], "instance-1" in " ".join(kept["notes"])) == (["instance-1"], True)
    assert (tree / "work.txt").read_text() == "hours of it"
    assert team.data("down", "--remove", "--discard", "instance-1")["kept"] == []
    assert not tree.exists()
