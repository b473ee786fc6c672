"""Which peers are retired because their worktree is gone: only those whose paths mean here what they mean there."""

from __future__ import annotations

import pytest

from peercoord.membership import membership as members
from peercoord.store import paths
from peercoord.store import root as roots
from peercoord.system import process
from peercoord.team import rebuild
from peercoord.team.evidence import Evidence


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ({}, True),
        ({"host": "as-it-was-called"}, True),
        ({"boot_id": "before"}, True),
        ({"host": "as-it-was-called", "boot_id": "before"}, True),
        ({"pid_ns": "pid:[1]"}, False),
        ({"machine": "another", "boot_id": "another"}, False),
        ({"worktree": None}, False),
    ],
    ids=["of here", "renamed", "restarted", "renamed and restarted", "a container", "another machine", "no worktree"],
)
def test_a_peer_whose_worktree_is_gone_is_a_ghost_only_where_that_can_be_seen(repo, record, found):
    root = roots.create(str(repo.path / paths.ROOT), "app")
    facts = {**process.here(), "worktree": str(repo.path.parent / "gone"), **record}
    if record.keys() >= {"host", "boot_id"} and not facts["machine"]:
        pytest.skip("this machine has no identity to be known by after a restart")
    members.join(root, "one", facts, lambda _: pytest.fail("nobody else is here"), lambda *_: None)
    assert bool(rebuild.stale_peers(repo.project(), root, Evidence())) is found
