"""The record of each worktree of the team, in the coordination directory."""

from __future__ import annotations

import pytest
from support.worlds import World

from peercoord.store import instance_records, paths
from peercoord.store.root import Root

FACTS = {"worktree": "/w/one", "git_dir": "/p/.git/worktrees/one"}
KNOWN = {"schema_version": 1, "instance_id": "one", **FACTS}


@pytest.fixture
def root() -> Root:
    root = World.new().root
    instance_records.write(root, "one", **FACTS)
    return root


def test_a_record_is_found_by_name_and_by_worktree_until_it_is_removed(root: Root) -> None:
    instance_records.write(root, "two", worktree="/w/two", git_dir="/p/.git/worktrees/two")
    assert instance_records.read(root, "one") == KNOWN
    assert instance_records.of_worktree(root, "/w/two")["instance_id"] == "two"
    assert instance_records.of_worktree(root, "/w/three") == instance_records.read(root, "three") == {}
    assert list(instance_records.all(root)) == ["one", "two"]
    assert [instance_records.remove(root, "one") for _ in range(2)] == [True, False]
    assert list(instance_records.all(root)) == ["two"]


def test_new_facts_replace_the_old_ones_and_the_others_are_kept(root: Root) -> None:
    instance_records.write(root, "one", note="kept")
    instance_records.write(root, "one", worktree="/w/moved")
    assert instance_records.read(root, "one") == {**KNOWN, "worktree": "/w/moved", "note": "kept"}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b'{"instance_id": "one", "worktree": "/w"}'),
        b'{"instance_id": "two", "worktree": "/w", "git_dir": "/g"}',
        b'{"instance_id": "one", "worktree": "w", "git_dir": "/g"}',
        b'{"instance_id": "one", "worktree": "/w", "git_dir": "/g", "checkout": "/other"}',
    ],
)
def test_a_torn_or_foreign_record_counts_as_missing(root: Root, content: bytes) -> None:
    root.files.put(paths.instance("one"), content)
    for name in ("one.json~", ".two.json", "three"):
        root.files.put(f"{paths.INSTANCES}/{name}", b"{}")
    assert instance_records.read(root, "one") == {}
    assert instance_records.all(root) == {}
    instance_records.write(root, "one", **FACTS)
    assert instance_records.all(root).keys() == {"one"}
