"""Where the team's worktrees are, as the coordination directory has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from peercoord.store import instance_records, paths
from peercoord.store import root as roots
from peercoord.store.root import Root

FACTS = {"worktree": "/w/one", "git_dir": "/p/.git/worktrees/one"}


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return roots.create(str(tmp_path / paths.ROOT), "p")


def test_a_record_is_found_by_name_and_by_worktree(root: Root) -> None:
    instance_records.write(root, "one", **FACTS)
    instance_records.write(root, "two", worktree="/w/two", git_dir="/p/.git/worktrees/two")
    assert instance_records.read(root, "one") == {"schema_version": 1, "instance_id": "one", **FACTS}
    assert instance_records.of_worktree(root, "/w/two")["instance_id"] == "two"
    assert instance_records.of_worktree(root, "/w/three") == instance_records.read(root, "three") == {}
    assert list(instance_records.all(root)) == ["one", "two"]


def test_facts_are_replaced_and_the_others_kept(root: Root) -> None:
    instance_records.write(root, "one", **FACTS, note="kept")
    instance_records.write(root, "one", worktree="/w/moved")
    assert instance_records.read(root, "one") == {
        "schema_version": 1,
        "instance_id": "one",
        "worktree": "/w/moved",
        "git_dir": FACTS["git_dir"],
        "note": "kept",
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"instance_id": "two", "worktree": "/w", "git_dir": "/g"}',
        b'{"instance_id": "one", "worktree": "w", "git_dir": "/g"}',
        b'{"instance_id": "one", "worktree": "/w"}',
        b'{"instance_id": "one", "worktree": "/w", "git_dir": "/g", "checkout": "/other"}',
    ],
)
def test_a_record_that_is_torn_or_foreign_counts_as_missing(root: Root, content: bytes) -> None:
    instance_records.write(root, "one", **FACTS)
    (Path(root.files.disk.root) / "instances" / "one.json").write_bytes(content)  # type: ignore[attr-defined]
    assert instance_records.read(root, "one") == {}
    assert instance_records.all(root) == {}
    instance_records.write(root, "one", **FACTS)
    assert instance_records.read(root, "one")["worktree"] == "/w/one"


def test_removal_takes_one_record(root: Root) -> None:
    instance_records.write(root, "one", **FACTS)
    instance_records.write(root, "two", **FACTS)
    assert instance_records.remove(root, "one")
    assert not instance_records.remove(root, "one")
    assert list(instance_records.all(root)) == ["two"]


def test_names_that_are_no_instance_are_passed_over(root: Root) -> None:
    instance_records.write(root, "one", **FACTS)
    for name in ("one.json~", ".two.json", "three"):
        (Path(root.files.disk.root) / "instances" / name).write_bytes(b"{}")  # type: ignore[attr-defined]
    assert list(instance_records.all(root)) == ["one"]
