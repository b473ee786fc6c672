"""What is not committed is kept as it lies, and nothing of the repository runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from peercoord.store import kept_work
from peercoord.store.inspection import of_directory

REF = kept_work.reference("3", 2)
AS = ("-c", "user.name=a", "-c", "user.email=a@b")


def git(tree: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", tree, *words], capture_output=True, check=True, text=True).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    git(tree, "init", "-q")
    (tree / "kept.txt").write_text("one\n")
    (tree / "gone.txt").write_text("two\n")
    (tree / ".gitignore").write_text("build/\n")
    git(tree, "add", "-A")
    git(tree, *AS, "commit", "-qm", "first")
    return tree


def keep(tree: Path) -> bool:
    with of_directory(str(tree)) as found:
        return kept_work.keep(found, REF, "task 3")


def test_edited_new_and_deleted_files_are_kept_and_stay_as_they_are(tree: Path) -> None:
    (tree / "kept.txt").write_text("edited\n")
    (tree / "gone.txt").unlink()
    (tree / "sub").mkdir()
    (tree / "sub" / "new é\n.sh").write_bytes(b"\x00\xff")
    (tree / "sub" / "new é\n.sh").chmod(0o755)
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "build").mkdir()
    (tree / "build" / "out").write_text("ignored")
    before = git(tree, "status", "--porcelain", "-z"), git(tree, "rev-parse", "HEAD")
    assert keep(tree)
    assert (git(tree, "status", "--porcelain", "-z"), git(tree, "rev-parse", "HEAD")) == before
    listed = git(tree, "ls-tree", "-rz", REF).split("\0")[:-1]
    assert {(line.split()[0], line.partition("\t")[2]) for line in listed} == {
        ("100644", ".gitignore"),
        ("100644", "kept.txt"),
        ("100755", "sub/new é\n.sh"),
        ("120000", "link"),
    }
    assert git(tree, "show", f"{REF}:kept.txt") == "edited\n"
    assert git(tree, "show", f"{REF}:link") == "/etc/passwd"
    assert git(tree, "rev-parse", f"{REF}^") == before[1]


def test_nothing_to_keep_is_no_reference(tree: Path) -> None:
    assert not keep(tree)
    assert git(tree, "for-each-ref", "refs/peercoord") == ""


def test_work_before_the_first_commit_is_kept(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("a")
    assert keep(tmp_path)
    assert git(tmp_path, "ls-tree", "--name-only", REF) == "a\n"


def test_no_filter_hook_or_monitor_of_the_repository_runs(tree: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tree / ".gitattributes").write_text("* filter=bad\n")
    for key in ("filter.bad.clean", "filter.bad.smudge", "core.fsmonitor", "core.hooksPath", "gpg.program"):
        git(tree, "config", key, f"touch {ran}; cat")
    git(tree, "config", "commit.gpgSign", "true")
    (tree / "kept.txt").write_text("edited\n")
    assert keep(tree)
    assert git(tree, "cat-file", "blob", f"{REF}:kept.txt") == "edited\n"
    assert not ran.exists()


@pytest.mark.parametrize("how", ["link to a directory", "second name", "fifo", "nested"])
def test_nothing_from_elsewhere_is_kept(tree: Path, tmp_path: Path, how: str) -> None:
    secret = tmp_path / "outside" / "secret"
    secret.parent.mkdir()
    secret.write_text("secret")
    if how == "link to a directory":
        (tree / "sub").mkdir()
        (tree / "sub" / "secret").write_text("mine")
        git(tree, "add", "-A")
        git(tree, *AS, "commit", "-qm", "second")
        (tree / "sub" / "secret").unlink()
        (tree / "sub").rmdir()
        (tree / "sub").symlink_to(secret.parent)
    elif how == "second name":
        os.link(secret, tree / "sub")
    elif how == "fifo":
        os.mkfifo(tree / "sub")
    else:
        (tree / "sub").mkdir()
        git(tree / "sub", "init", "-q")
        (tree / "sub" / "secret").write_text("secret")
    (tree / "kept.txt").write_text("edited\n")
    assert keep(tree)
    assert git(tree, "show", f"{REF}:kept.txt") == "edited\n"
    kept = git(tree, "rev-list", "--objects", REF).split()
    assert not any(git(tree, "cat-file", "-p", name) == "secret" for name in kept if len(name) == 40)
