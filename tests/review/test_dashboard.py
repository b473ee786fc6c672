"""The dashboard's lines on the memory bank: the mission's own words while all is well, and else the next command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from review.conftest import Scene

from peercoord.status import dashboard, views
from peercoord.store import paths

NOW = "2026-05-26T15:35:00Z"


def lines(synced: str = "", deciding: Sequence[dict[str, Any]] = (), **memory: object) -> list[str]:
    board = views.Board("p", NOW, NOW, [], [], memory, deciding=deciding, synced={"last_ok": synced})
    return dashboard.lines(board)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("2026-05-26T15:30:00Z", "5 minutes ago"),
        ("2026-05-26T15:34:00Z", "1 minute ago"),
        ("2026-05-26T15:34:01Z", "just now"),
        ("2026-05-26T15:36:00Z", "just now"),
        ("2026-05-26T14:35:00.250Z", "1 hour ago"),
        ("2026-05-24T15:34:00Z", "2 days ago"),
        ("\x1b[2J", "·[2J"),
    ],
)
def test_how_long_ago_is_said_in_words(then: str, said: str) -> None:
    assert dashboard.ago(then, NOW) == said


def test_while_all_is_well_the_dashboard_counts() -> None:
    told = lines("2026-05-26T15:30:00Z", pending=3, conflicts=0, last_merge="2026-05-26T15:33:00Z")
    at = told.index("🧠 Memory Updates:")
    assert told[at:] == [
        "🧠 Memory Updates:",
        "   📝 Pending merges: 3 contributions",
        "   🔄 Last sync: 5 minutes ago",
        "   ✅ Conflicts: 0",
        "   🔄 Last merge: 2 minutes ago",
    ], "a sync and a merge are two things"


def test_what_waits_for_a_person_comes_with_the_command() -> None:
    at = "2026-05-26T15:32:00Z"
    deciding = [
        {"file": "techContext.md", "section": ["Tools"], "conflict": True, "why": "two updates", "made_at": at},
        {"file": "progress.md", "section": [], "conflict": False, "why": "critical", "made_at": at},
    ]
    told = lines(deciding=deciding, pending=1, queued=4, conflicts=1, candidates=1, approvals=1, last_merge=None)
    assert told[2:5] == [
        "NEEDS YOU (2)",
        " ! techContext.md › Tools has two versions 3m: two updates      peercoord review",
        " ! progress.md has a change to approve 3m: critical             peercoord review",
    ]
    assert "   📝 Pending merges: 4 contributions (3 wait for the decision above)" in told
    assert "   🔄 Last sync: never" in told
    assert "   🔄 Last merge: never" in told
    assert "   ⚠️ Conflicts: 1 → peercoord review" in told


def test_status_tells_it_from_the_files_and_check_exits_with_5(scene: Scene) -> None:
    assert scene.project("status", "--check", at=scene.main)[0] == 0
    scene.clash()
    code, out, _ = scene.project("status", "--check", at=scene.main)
    assert code == 5
    assert "   ⚠️ Conflicts: 1 → peercoord review" in out
    assert "NEEDS YOU (1)\n ! techContext.md › Tech context › Limits has two versions" in out
    note = {"schema_version": 1, "at": scene.bank.root.clock.now(), "ok": True}
    note["last_ok"] = note["at"]
    (scene.project.state / paths.MERGED).write_text(json.dumps(note))
    assert "   🔄 Last merge: just now" in scene.project("status", at=scene.main)[1]
