from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.faults import Counting

from peercoord.errors import StorageError
from peercoord.memory.collector import FOLDER, FORGET_SECONDS, ORIGINS, SETTLE_SECONDS, Folder, FolderScan
from peercoord.memory.contribution import FILE_BYTES
from peercoord.store import paths
from peercoord.system.disk import Disk


class Worktree:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / FOLDER
        self.home.mkdir(parents=True)
        self.tokens = 0
        self.now = 0.0
        self.open()

    def open(self) -> None:
        self.folder = Folder(Disk(str(self.root)), self.token)

    def token(self) -> str:
        self.tokens += 1
        return f"t{self.tokens}"

    def look(self, later: float = 0.0) -> FolderScan:
        self.now += later
        return self.folder.look(self.now)

    def settled(self) -> FolderScan:
        self.look()
        return self.look(SETTLE_SECONDS)


@pytest.fixture
def tree(tmp_path: Path) -> Worktree:
    return Worktree(tmp_path)


def test_a_file_is_taken_when_it_kept_still(tree: Worktree) -> None:
    (tree.home / "learnings.md").write_text("- a\n")
    first = tree.look()
    assert first.ready == {}
    assert "still be being written" in first.deferred["learnings.md"]
    assert tree.look(SETTLE_SECONDS / 2).ready == {}
    (tree.home / "learnings.md").write_text("- a\n- more\n")
    assert tree.look(SETTLE_SECONDS / 2).ready == {}
    assert tree.look(SETTLE_SECONDS).ready == {"learnings.md": b"- a\n- more\n"}


def test_a_file_is_ready_until_published_and_when_it_changes(tree: Worktree) -> None:
    path = tree.home / "learnings.md"
    path.write_text("- a\n")
    assert tree.settled().ready
    assert tree.look().ready
    tree.folder.taken("learnings.md")
    assert not tree.look(SETTLE_SECONDS).ready
    path.write_text("- b\n")
    assert tree.settled().ready == {"learnings.md": b"- b\n"}
    tree.folder.taken("learnings.md")
    tree.open()
    assert tree.settled().ready == {"learnings.md": b"- b\n"}


def test_a_file_that_changes_while_it_is_read_waits(tree: Worktree) -> None:
    path = tree.home / "learnings.md"
    path.write_text("- a\n")

    class Busy(Disk):
        def read(self, name: str, most: int) -> bytes:
            data = super().read(name, most)
            with path.open("a") as handle:
                handle.write("- more\n")
            return data

    tree.folder = Folder(Busy(str(tree.root)), tree.token)
    sight = tree.settled()
    assert sight.ready == {}
    assert sight.deferred == {"learnings.md": "it changed while it was read"}


def test_links_wherever_they_lead_are_refused_once(tree: Worktree, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.md"
    secret.write_text("secret")
    (tree.home / "a.md").symlink_to(secret)
    (tree.home / "b.md").symlink_to(tree.home / "a.md")
    sight = tree.settled()
    assert sight.ready == {}
    assert {name: why.code for name, why in sight.refused.items()} == {"a.md": "link", "b.md": "link"}
    for name in sight.refused:
        tree.folder.taken(name)
    assert tree.look(SETTLE_SECONDS).refused == {}


@pytest.mark.parametrize("part", [".claude-instance", FOLDER])
def test_a_folder_that_is_a_link_is_not_entered(tmp_path: Path, part: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "memory-contributions").mkdir(parents=True)
    (elsewhere / "memory-contributions" / "x.md").write_text("secret")
    root = tmp_path / "tree"
    (root / part).parent.mkdir(parents=True)
    (root / part).symlink_to(elsewhere if part == ".claude-instance" else elsewhere / "memory-contributions")
    sight = Folder(Disk(str(root)), lambda: "t").look(0.0)
    assert {name: why.code for name, why in sight.refused.items()} == {part: "link"}
    assert not sight.ready


def test_a_file_too_large_is_refused_unread(tree: Worktree, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tree.home / "learnings.md").open("wb") as handle:
        handle.truncate(50 << 20)
    monkeypatch.setattr(Disk, "read", None)  # a call would be an error
    why = tree.settled().refused["learnings.md"]
    assert (why.code, str(50 << 20) in why.message, str(FILE_BYTES) in why.message) == ("too-large", True, True)


def test_only_plain_files_with_plain_names_are_taken(tree: Worktree) -> None:
    (tree.home / "folder.md").mkdir()
    os.mkfifo(tree.home / "pipe.md")
    (tree.home / "näme.md").write_text("x")
    (tree.home / "bad\nname.md").write_text("x")
    (tree.home / "good.md").write_text("x")
    sight = tree.settled()
    assert sight.ready == {"good.md": b"x"}
    refused = {"folder.md": "folder", "näme.md": "bad-file", "bad\nname.md": "bad-file", "pipe.md": "link"}
    assert {name: why.code for name, why in sight.refused.items()} == refused


def test_files_of_editors_are_passed_over_and_the_folder_may_be_missing(tree: Worktree) -> None:
    for name in (".x.md.swp", "x.md~", "#x.md#", "x.md.tmp", ".hidden.md"):
        (tree.home / name).write_text("x")
    for sight in (tree.settled(), Folder(Disk(str(tree.home)), tree.token).look(0.0)):
        assert (sight.ready, sight.deferred, sight.refused) == ({}, {}, {})


def test_the_origin_of_a_copy_is_kept_as_long_as_the_copy(tree: Worktree) -> None:
    path = tree.home / "techContext.md"
    path.write_text("edited")
    assert tree.folder.origin("techContext.md") is None
    tree.folder.keep_origin("techContext.md", b"first")
    tree.folder.keep_origin("techContext.md", b"second")
    tree.open()
    assert tree.folder.origin("techContext.md") == b"first"
    assert os.listdir(tree.root / ORIGINS) == ["techContext.md"]
    path.unlink()
    tree.look()
    tree.look(FORGET_SECONDS / 2)
    path.write_text("back in time")
    tree.look()
    path.unlink()
    tree.look()
    assert tree.folder.origin("techContext.md") == b"first"
    tree.look(FORGET_SECONDS)
    assert tree.folder.origin("techContext.md") is None


def test_an_origin_is_flushed_with_the_directory_that_it_is_the_first_in(tree: Worktree) -> None:
    disk = Counting(Disk(str(tree.root)))
    Folder(disk, tree.token).keep_origin("techContext.md", b"x")
    last = max(at for at, call in enumerate(disk.calls) if call.name in ("mkdir", "rename"))
    assert {call.path for call in disk.calls[last:] if call.name == "sync"} == {ORIGINS, paths.INSTANCE}


def test_a_disk_that_refuses_is_an_error_that_names_the_path(tree: Worktree) -> None:
    (tree.root / ORIGINS).write_text("in the way")
    with pytest.raises(StorageError, match="collected/techContext"):
        tree.folder.keep_origin("techContext.md", b"x")
