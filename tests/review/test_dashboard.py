"""The dashboard's lines on the memory bank: the mission's own words while all is well, and else the next command."""

from __future__ import annotations

import json

import pytest
from review.conftest import Scene

from peercoord.status import dashboard
from peercoord.store import paths

NOW = "2026-05-26T15:35:00Z"


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
