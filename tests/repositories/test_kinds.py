"""Every kind of repository that people have, the whole way: up, a task to its end, down, and no trace left."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repositories import folding

from .conftest import Shell, instances, snapshot


def whole_way(sh: Shell, project: Path, count: int = 1, merge: bool = True) -> list[Path]:
    """Go the whole way on a project; check that the repository is then as it was before, but for the merged work."""
    root = Path(sh.git(project, "rev-parse", "--show-toplevel").strip())
    common = Path(sh.git(project, "rev-parse", "--path-format=absolute", "--git-common-dir").strip())
    refs, status = sh.git(project, "for-each-ref"), sh.git(root, "status", "--porcelain", "-uall")
    before, store = snapshot(root), snapshot(common)
    planned = sh.data(project, "claude-team-coordinated", project, count, "--dry-run")
    assert (snapshot(root), snapshot(common)) == (before, store), "a dry run changes nothing"
    made = sh.up(project, count)
    assert made["actions"] == planned["actions"]
    assert not made["warnings"]
    assert sh.git(root, "status", "--porcelain", "-uall") == status
    assert sh.up(project, count)["actions"] == []
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
    return trees


def plain(sh: Shell) -> Path:
    return sh.repository()


def tracked_bank(sh: Shell) -> Path:
    repo = sh.repository()
    sh.commit(repo, "memory-bank/techContext.md", "# Tech\n")
    return repo


def untracked_bank(sh: Shell) -> Path:
    repo = sh.repository()
    (repo / "memory-bank").mkdir()
    (repo / "memory-bank" / "techContext.md").write_text("# Tech\n")
    return repo


def odd_path(sh: Shell) -> Path:
    return sh.repository("mein Projekt — テスト 'n' $HOME;x")


def in_subdirectory(sh: Shell) -> Path:
    repo = sh.repository("mono")
    sh.commit(repo, "packages/app/main.py")
    return repo / "packages" / "app"


def submodule(sh: Shell) -> Path:
    inner = sh.repository("inner")
    repo = sh.repository()
    sh.git(repo, "submodule", "add", "-q", str(inner), "vendor/inner")
    sh.git(repo, "commit", "-q", "-m", "submodule")
    return repo


def shallow(sh: Shell) -> Path:
    origin = sh.repository("origin")
    for number in range(3):
        sh.commit(origin, f"{number}.txt")
    sh.git(origin.parent, "clone", "-q", "--depth", "1", f"file://{origin}", "app")
    return origin.parent / "app"


def hooked(sh: Shell) -> Path:
    repo = sh.repository()
    for name in ("post-checkout", "pre-commit", "post-commit"):
        hook = repo / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} in $(pwd) >>{sh.base}/hooks.log\n")
        hook.chmod(0o755)
    return repo


def lfs_pointers(sh: Shell) -> Path:
    """A repository with an LFS filter whose program is missing, as on a machine without git-lfs."""
    repo = sh.repository()
    sh.commit(repo, "big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n")
    sh.commit(repo, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    return repo


def separate_git_dir(sh: Shell) -> Path:
    repo = sh.repository()
    sh.git(repo, "init", "-q", "--separate-git-dir", str(sh.base / "store"))
    return repo


KINDS: list[Callable[[Shell], Path]] = [plain, tracked_bank, untracked_bank, odd_path, in_subdirectory, submodule]
KINDS += [shallow, hooked, lfs_pointers, separate_git_dir]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_whole_way(sh: Shell, kind: Callable[[Shell], Path]) -> None:
    project = kind(sh)
    trees = whole_way(sh, project)
    if kind is hooked:
        said = (sh.base / "hooks.log").read_text().splitlines()
        assert f"post-checkout in {trees[0]}" in said
        assert f"pre-commit in {trees[0]}" in said


@pytest.mark.slow
def test_the_whole_way_in_a_bare_repository_with_worktrees(sh: Shell) -> None:
    origin = sh.repository("origin")
    store = origin.parent / "store.git"
    sh.git(origin.parent, "clone", "-q", "--bare", str(origin), str(store))
    refused = sh.data(origin.parent, "claude-team-coordinated", store)
    assert refused["code"] == "no-checkout"
    sh.git(store, "worktree", "add", "-q", str(origin.parent / "app"), "main")
    sh.commit(origin.parent / "app", "more.txt")
    whole_way(sh, origin.parent / "app")


@pytest.mark.slow
def test_files_of_a_submodule_are_there_in_each_worktree_and_work_in_it_is_kept(sh: Shell) -> None:
    repo = submodule(sh)
    tree = instances(sh.up(repo, 1))[0]
    assert (tree / "vendor" / "inner" / "src.py").read_text() == "print('hello')\n"
    sh.commit(tree / "vendor" / "inner", "mine.txt")
    kept = sh.peercoord(repo, "down", "--remove")
    assert "submodule vendor/inner" in " ".join(kept["notes"])
    assert (tree / "vendor" / "inner" / "mine.txt").exists()


@pytest.mark.slow
def test_a_case_folding_filesystem(sh: Shell) -> None:
    with folding.mounted(sh.base) as place:
        sh.base = place
        repo = tracked_bank(sh)
        assert sh.git(repo, "config", "core.ignorecase") == "true\n"
        whole_way(sh, repo)
        sh.up(repo, 1)
        sh.task(repo, "a task", "--id", "parser")
        assert sh.task(repo, "another", "--id", "Parser")["code"] == "case-twin"
        checks = sh.peercoord(repo, "doctor")["checks"]
        assert any("upper and lower case are the same here" in check["text"] for check in checks)
        sh.peercoord(repo, "down", "--purge")


@pytest.mark.slow
def test_two_projects_of_one_repository_come_and_go_apart(sh: Shell) -> None:
    app = in_subdirectory(sh)
    sh.commit(app.parent, "web/main.py")
    web, root = app.parent / "web", app.parents[1]
    before = snapshot(root), sh.git(root, "for-each-ref")
    trees = {}
    for project in (app, web):
        trees[project] = instances(sh.up(project, 1, "--branch-prefix", f"{project.name}/"))[0]
        sh.task(project, project.name)
        assert sh.verb(trees[project], "request-task")["title"] == project.name
    purged(sh, app)
    assert sh.verb(trees[web], "check-status")["assigned_tasks"][0]["title"] == "web"
    assert sh.git(root, "status", "--porcelain") == ""
    purged(sh, web)
    assert (snapshot(root), sh.git(root, "for-each-ref")) == before


def purged(sh: Shell, project: Path) -> None:
    """Purge a project; check that its only task, which nobody else has, is kept and told, and take that away too."""
    (note,) = sh.peercoord(project, "down", "--purge")["notes"]
    found = re.match(r"1 task that only this team knew: kept in (\S+\.json);", note)
    assert found, note
    kept = Path(found[1])
    assert project.name in kept.read_text()
    kept.unlink()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
def test_large_files_that_cannot_be_had_are_pointers_for_now(sh: Shell) -> None:
    repo = sh.repository()
    sh.git(repo, "lfs", "install", "--local")
    sh.commit(repo, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    sh.commit(repo, "big.bin", "large")
    shutil.rmtree(repo / ".git" / "lfs")
    made: Any = sh.up(repo, 1)
    assert "pointers for now" in " ".join(made["warnings"])
    assert (instances(made)[0] / "big.bin").read_text().startswith("version https://git-lfs")
