"""The dashboard's lines on the memory bank: the mission's own words while all is well, and else the next command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from review.conftest import Scene

from peercoord.core import names, views
from peercoord.edges import dashboard

NOW = "2026-05-26T15:35:00Z"
MISSION = Path(__file__).parents[3] / "shared" / "mission.txt"


def lines(**memory: object) -> list[str]:
    return dashboard.lines(views.Board("p", NOW, NOW, [], [], memory))


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


def test_while_all_is_well_it_is_the_text_of_the_mission() -> None:
    told = lines(pending=3, conflicts=0, last_merge="2026-05-26T15:30:00Z")
    at = told.index("🧠 Memory Updates:")
    own = [
        "🧠 Memory Updates:",
        "   📝 Pending merges: 3 contributions",
        "   🔄 Last sync: 5 minutes ago",
        "   ✅ Conflicts: 0",
    ]
    assert told[at:] == own
    if not MISSION.exists():
        pytest.skip("the document these lines come from is not here; they were compared with a copy of it")
    assert "\n".join(own) in MISSION.read_text(encoding="utf-8")


def test_what_waits_for_a_person_comes_with_the_command() -> None:
    told = lines(pending=1, conflicts=2, candidates=2, approvals=1, last_merge=None)
    assert "   📝 Pending merges: 1 contribution" in told
    assert "   🔄 Last sync: never" in told
    assert "   ⚠️ Conflicts: 2 → peercoord review" in told
    assert told[-2:] == ["Needs you:", "   ! 3 changes of the memory bank need you → peercoord review"]


def test_status_tells_it_from_the_files_and_check_exits_with_5(scene: Scene) -> None:
    assert scene.project("status", "--check", at=scene.main)[0] == 0
    scene.clash()
    code, out, _ = scene.project("status", "--check", at=scene.main)
    assert code == 5
    assert "   ⚠️ Conflicts: 1 → peercoord review" in out
    assert "   ! 1 change of the memory bank needs you → peercoord review" in out
    note = {"schema_version": 1, "at": scene.bank.root.clock.now(), "ok": True}
    note["last_ok"] = note["at"]
    (scene.project.state / names.MERGED).write_text(json.dumps(note))
    assert "   🔄 Last sync: just now" in scene.project("status", at=scene.main)[1]
