"""A team on a real repository, by the commands: set up, run again, grow, repair, take down, leave no trace."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import answers
from support.project import git

from peercoord.agent import control
from peercoord.cli import main as cli
from peercoord.store import instance_records, paths
from peercoord.store import root as roots


def call(*words: object) -> tuple[int, str, str]:
    code, out, err = cli.serve([str(word) for word in words])
    return code, out.decode(), err.decode()


def data(*words: object) -> Any:
    code, out, err = call(*words, "--json")
    answer = answers.read(out, *words)
    assert "data" in answer, (code, answer, err)
    return answer["data"]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for key in [key for key in os.environ if key.startswith("GIT_") or key == "PEERCOORD_PROJECT"]:
        monkeypatch.delenv(key)
    home = Path(os.path.realpath(tmp_path)) / "app"
    (home / "memory-bank").mkdir(parents=True)
    (home / "memory-bank" / "techContext.md").write_text("# Tech\n")
    git(home, "init", "-q", "-b", "main")
    git(home, "config", "user.name", "t")
    git(home, "config", "user.email", "t@localhost")
    git(home, "add", "-A")
    git(home, "commit", "-q", "-m", "first")
    yield home
    answers.check_team(home / ".git")
    for tree in home.parent.glob("app-instance-*"):
        if (tree / ".claude-instance" / "info.json").exists():
            control.stop(str(tree))


def shell(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["./.claude-instance/coordinate.sh", *words], cwd=tree, capture_output=True, text=True, check=False
    )


def recorded(repo: Path) -> dict[str, tuple[str, str]]:
    """Where the coordination directory has each worktree and its git directory."""
    root = roots.open_root(str(repo / paths.ROOT))
    return {peer: (known["worktree"], known["git_dir"]) for peer, known in instance_records.all(root).items()}


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


def test_the_whole_way_from_nothing_to_a_team_and_back(repo: Path, tmp_path: Path) -> None:
    before = git(repo, "for-each-ref"), (repo / ".git" / "config").read_text()
    source = database(tmp_path / "t.db")
    planned = data("up", repo, 2, "--tasks", source, "--dry-run")
    assert sorted(p.name for p in repo.iterdir()) == [".git", "memory-bank"], "a dry run does nothing"
    made = data("up", repo, 2, "--tasks", source)
    assert made["actions"] == planned["actions"]
    trees = [Path(i["worktree_path"]) for i in made["instances"]]
    assert [t.name for t in trees] == ["app-instance-1", "app-instance-2"]
    for tree in trees:
        assert git(tree, "status", "--porcelain") == ""
        assert (tree / "memory-bank" / "techContext.md").read_text() == "# Tech\n"
        assert {p.name for p in (tree / ".claude-instance").iterdir()} >= {
            "info.json",
            "progress.json",
            "memory-contributions",
            "coordinate.sh",
        }
        assert control.status(str(tree))["running"]
    assert git(repo, "status", "--porcelain") == ""
    assert recorded(repo) == {
        f"instance-{n}": (str(trees[n - 1]), str(repo / f".git/worktrees/app-instance-{n}")) for n in (1, 2)
    }
    listed = {t["task_id"]: t["status"] for t in data("-C", repo, "task", "list")["tasks"]}
    assert listed == {1: "done", 2: "ready", 3: "held"}

    asked = shell(trees[0], "request-task", "--json")
    assert answers.read(asked.stdout, "request")["data"]["task_id"] == 2
    assert call("-C", repo, "down", "--remove")[0] == 0
    assert {t["task_id"]: t["status"] for t in data("-C", repo, "task", "list")["tasks"]}[2] == "ready"
    assert not any(tree.exists() for tree in trees)
    assert recorded(repo) == {}
    assert call("-C", repo, "down", "--purge")[0] == 0
    assert (git(repo, "for-each-ref"), (repo / ".git" / "config").read_text()) == before
    assert sorted(p.name for p in repo.iterdir()) == [".git", "memory-bank"]


def test_again_changes_nothing_more_adds_and_what_is_missing_is_repaired(repo: Path) -> None:
    first = data("up", repo, 1)
    assert data("up", repo, 1)["actions"] == []
    tree = Path(first["instances"][0]["worktree_path"])
    grown = data("up", repo, 2)
    assert [i["id"] for i in grown["instances"]] == ["instance-1", "instance-2"]
    control.stop(str(tree))
    (tree / ".claude-instance" / "coordinate.sh").unlink()
    (tree / "memory-bank").unlink()
    repaired = data("up", repo, 2)
    assert len(repaired["actions"]) >= 3
    assert shell(tree, "check-status").returncode == 0
    assert (tree / "memory-bank" / "techContext.md").exists()
    assert data("up", repo, 2)["actions"] == []


def test_a_worktree_with_work_in_it_is_named_and_kept(repo: Path) -> None:
    made = data("up", repo, 1)
    tree = Path(made["instances"][0]["worktree_path"])
    (tree / "work.txt").write_text("hours of it")
    kept = data("-C", repo, "down", "--remove")
    assert (tree / "work.txt").read_text() == "hours of it"
    assert "instance-1" in " ".join(kept["notes"])
    assert [k["id"] for k in kept["kept"]] == ["instance-1"]
    gone = data("-C", repo, "down", "--remove", "--discard", "instance-1")
    assert gone["kept"] == []
    assert not tree.exists()


def test_a_worktree_made_by_hand_joins_and_leaves_as_it_was(repo: Path) -> None:
    data("up", repo, 1)
    tree = repo.parent / "by hand"
    git(repo, "worktree", "add", "-q", str(tree), "-b", "feature")
    before = sorted(p.name for p in tree.rglob("*") if ".git" not in p.parts)
    joined = data("join", tree, "--name", "helper")
    assert joined["instance"]["id"] == "helper"
    assert recorded(repo)["helper"] == (str(tree), str(repo / ".git/worktrees/by-hand"))
    assert git(tree, "status", "--porcelain") == ""
    call("-C", repo, "task", "add", "t")
    assert answers.read(shell(tree, "request-task", "--json").stdout, "request")["data"]["task_id"] == 1
    assert control.status(str(tree))["running"]
    data("leave", tree)
    assert list(recorded(repo)) == ["instance-1"]
    assert data("-C", repo, "task", "list")["tasks"][0]["status"] == "ready"
    assert sorted(p.name for p in tree.rglob("*") if ".git" not in p.parts) == before
    assert git(tree, "status", "--porcelain") == ""
    assert "no instance" in call("leave", tree)[2]
    assert call("join", repo)[0] == 1, "the main checkout is no worktree"


def test_a_record_that_is_lost_or_of_another_place_is_written_again(repo: Path) -> None:
    tree = data("up", repo, 1)["instances"][0]["worktree_path"]
    whole = recorded(repo)
    instance_records.remove(roots.open_root(str(repo / paths.ROOT)), "instance-1")
    assert data("up", repo, 1)["actions"] != []
    assert recorded(repo) == whole
    instance_records.write(roots.open_root(str(repo / paths.ROOT)), "instance-1", git_dir="/elsewhere")
    assert data("up", repo, 1)["actions"] != []
    assert recorded(repo) == whole
    assert whole["instance-1"][0] == tree


def test_a_repository_without_a_commit_is_a_clear_error(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    code, out, err = call("up", tmp_path, 2)
    assert (code, out) == (1, "")
    assert "commit" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == [".git"]


def test_no_repository_at_all(tmp_path: Path) -> None:
    code, _, err = call("up", tmp_path)
    assert code == 3
    assert "not inside a git repository" in err


def test_without_a_session_command_it_prints_the_lines_to_run(repo: Path) -> None:
    code, out, _ = call("up", repo, 1)
    assert code == 0
    assert f"cd {repo}-instance-1 && PEERCOORD_INSTANCE_INDEX=1 " in out


@pytest.mark.parametrize("words", [("0",), ("x",), ("1000",)])
def test_a_count_that_makes_no_sense_is_refused(repo: Path, words: tuple[str, ...]) -> None:
    assert call("up", repo, *words)[0] == 2
    assert not (repo / ".claude-coordination").exists()
