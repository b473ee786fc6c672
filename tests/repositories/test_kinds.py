"""Odd repositories, the whole way by the installed commands: up, a task to its end, down, and no trace left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from repositories import folding

from .conftest import Shell, instances, snapshot


def whole_way(sh: Shell, project: Path) -> None:
    """Go the whole way on a project; check that the repository is then as it was before, but for the merged work."""
    root = Path(sh.git(project, "rev-parse", "--show-toplevel").strip())
    common = Path(sh.git(project, "rev-parse", "--path-format=absolute", "--git-common-dir").strip())
    refs, status = sh.git(project, "for-each-ref"), sh.git(root, "status", "--porcelain", "-uall")
    before, store = snapshot(root), snapshot(common)
    planned = sh.data(project, "claude-team-coordinated", project, 1, "--dry-run")
    assert (snapshot(root), snapshot(common)) == (before, store), "a dry run changes nothing"
    made = sh.up(project, 1)
    assert made["actions"] == planned["actions"]
    assert not made["warnings"]
    assert sh.git(root, "status", "--porcelain", "-uall") == status
    assert sh.up(project)["actions"] == []
    trees = instances(made)
    sh.task(project)
    for tree in trees:
        assert sh.git(tree, "status", "--porcelain", "-uall") == "", f"{tree} shows files of ours"
    asked = sh.verb(trees[0], "request-task")
    assert asked["task_id"] == 1, asked
    tip = sh.commit(trees[0], "done.txt")
    done = sh.verb(trees[0], "report-progress", "1", "--status", "done")
    assert (done["status"], done["commit"], done["branch"]) == ("done", tip, made["instances"][0]["branch"])
    assert sh.tasks(project) == {"1": "done"}
    kept = sh.peercoord(project, "down", "--remove")
    assert [one["id"] for one in kept["kept"]] == ["instance-1"], kept
    assert "neither merged nor pushed" in " ".join(kept["notes"])
    sh.git(root, "merge", "-q", "--no-edit", made["instances"][0]["branch"])
    gone = sh.peercoord(project, "down", "--remove")
    assert gone["kept"] == [], gone
    assert not any(tree.exists() for tree in trees)
    assert sh.tasks(project) == {"1": "done"}, "what was done stays on record until --purge"
    purged = sh.peercoord(project, "down", "--purge", "--discard", "tasks")
    assert purged["notes"] == [], purged
    assert not sh.agents()
    sh.git(root, "reset", "-q", "--hard", "HEAD~1")
    assert sh.git(root, "status", "--porcelain", "-uall") == status
    assert sh.git(project, "for-each-ref") == refs
    assert snapshot(root) == before
    assert snapshot(common) == store


def many_things_at_once(sh: Shell) -> Path:
    """A project in a subdirectory of a repository with an odd path, a tracked bank, hooks, a submodule, large files."""
    inner, repo = sh.repository("inner"), sh.repository("mein Projekt — テスト 'n' $HOME;x")
    sh.git(repo, "submodule", "add", "-q", str(inner), "vendor/inner")
    sh.commit(repo, "big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n")
    sh.commit(repo, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    sh.commit(repo, "packages/app/memory-bank/techContext.md", "# Tech\n")
    for name in ("post-checkout", "pre-commit"):
        hook = repo / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >>{sh.base}/hooks.log\n")
        hook.chmod(0o755)
    return repo / "packages" / "app"


def shallow_with_its_store_elsewhere(sh: Shell) -> Path:
    origin = sh.repository("origin")
    sh.commit(origin, "1.txt")
    sh.git(origin.parent, "clone", "-q", "--depth", "1", f"file://{origin}", "app")
    repo = origin.parent / "app"
    sh.git(repo, "init", "-q", "--separate-git-dir", str(sh.base / "store"))
    (repo / "memory-bank").mkdir()
    (repo / "memory-bank" / "techContext.md").write_text("# Tech\n")
    return repo


def bare_with_worktrees(sh: Shell) -> Path:
    origin = sh.repository("origin")
    store = origin.parent / "store.git"
    sh.git(origin.parent, "clone", "-q", "--bare", str(origin), str(store))
    assert sh.data(origin.parent, "claude-team-coordinated", store)["code"] == "no-checkout"
    sh.git(store, "worktree", "add", "-q", str(origin.parent / "app"), "main")
    sh.commit(origin.parent / "app", "more.txt")
    return origin.parent / "app"


KINDS = [many_things_at_once, shallow_with_its_store_elsewhere, bare_with_worktrees]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_whole_way(sh: Shell, kind: Callable[[Shell], Path]) -> None:
    """Each kind alone: tests/team/test_kinds.py."""
    whole_way(sh, kind(sh))
    if kind is many_things_at_once:
        said = (sh.base / "hooks.log").read_text().splitlines()
        assert {"post-checkout", "pre-commit"} <= set(said)


@pytest.mark.slow
def test_a_case_folding_filesystem(sh: Shell) -> None:
    with folding.mounted(sh.base) as place:
        sh.base = place
        repo = sh.repository()
        sh.commit(repo, "memory-bank/techContext.md", "# Tech\n")
        assert sh.git(repo, "config", "core.ignorecase") == "true\n"
        whole_way(sh, repo)
        sh.up(repo, 1)
        sh.task(repo, "a task", "--id", "parser")
        assert sh.task(repo, "another", "--id", "Parser")["code"] == "case-twin"
        checks = sh.peercoord(repo, "doctor")["checks"]
        assert any("upper and lower case are the same here" in check["text"] for check in checks)
        sh.peercoord(repo, "down", "--purge")
