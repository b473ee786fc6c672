from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peercoord.errors import BrokenFileError

Reader = Callable[..., Any]


def test_states_and_priorities(read: Reader, data: Path) -> None:
    found = read(data / "issues.jsonl")
    assert found.states == {
        "nt-1": "open",
        "nt-1.1": "held",
        "nt-1.2": "open",
        "nt-3": "deferred",
        "nt-4": "deferred",
        "nt-5": "open",
        "nt-6": "deferred",
        "nt-7": "done",
        "nt-8": "blocked",
    }
    priorities = {task: found.raw(task)["priority"] for task in ("nt-1.1", "nt-1", "nt-1.2", "nt-5", "nt-4")}
    assert list(priorities.values()) == ["critical", "high", "medium", "low", "lowest"]


def test_why_an_issue_is_put_aside(read: Reader, data: Path) -> None:
    found = read(data / "issues.jsonl")
    assert found["nt-1.1"].reason == "it is 'in_progress' in 'issues.jsonl', assigned to 'ann'"
    assert found["nt-3"].reason == "it is a 'message' there, not work to be claimed"
    assert found["nt-4"].reason == "it is to be done only if task 'nt-1.1' fails"
    assert found["nt-8"].reason == "it depends on 'external:other:thing', which is no task id"


def test_only_what_blocks_becomes_an_edge(read: Reader, data: Path) -> None:
    found = read(data / "issues.jsonl")
    assert found.needs("nt-5") == ["nt-1"]
    assert found.needs("nt-4") == ["nt-1.1"]
    assert "nt-8" not in found.needs("nt-1.2"), "related is no edge"
    assert "nt-9" not in found.needs("nt-1.2"), "nothing waits for what was deleted"


def test_children_wait_for_blockers_of_their_parent(read: Reader, data: Path) -> None:
    found = read(data / "issues.jsonl")
    assert found.needs("nt-1") == ["nt-7", "nt-1.1", "nt-1.2"]
    assert found.needs("nt-1.1") == ["nt-7"]
    assert found.needs("nt-1.2") == ["nt-1.1", "nt-7"]


def test_what_the_worker_needs_is_kept(read: Reader, data: Path) -> None:
    found = read(data / "issues.jsonl")
    raw = found.raw("nt-1.1")
    assert raw["design"] == "Temporary name, then rename"
    assert raw["acceptanceCriteria"] == "A crash leaves no half note"
    assert raw["tags"] == ["store"]
    assert raw["estimatedMinutes"] == 90
    assert raw["notes"] == ["Begin here", "bob: See the old one first"]
    assert found.notes("nt-1.2") == ["put off there until 2027-01-01"]
    assert found.raw("nt-1")["source"]["extra"] == {"created_at": "2026-02-28T03:42:10Z", "dependency_count": 1}
    assert found.raw("nt-1")["source"]["kind"] == "beads"


def test_bad_lines_are_refused_and_the_rest_goes_on(read: Reader, data: Path) -> None:
    refused = read(data / "issues.jsonl").refused
    assert [what for what, _ in refused] == ["line 11", "task 'nt-9'"]
    assert "is not JSON" in refused[0][1]
    assert refused[1][1] == "it was deleted there"


BLOCKS, PARENT = {"type": "blocks"}, {"type": "parent-child"}


@pytest.mark.parametrize(
    ("edges", "needs"),
    [
        # a parent that its own child blocks
        ({"e": [("a", BLOCKS)], "a": [("e", PARENT)], "b": [("e", PARENT)]}, {"e": ["a", "b"], "a": [], "b": []}),
        # a ring of parents
        ({"a": [("b", PARENT), ("x", {})], "b": [("a", PARENT), ("x", {})]}, {"a": ["x", "b"], "b": ["x", "a"]}),
        # a ring below an issue
        ({"top": [("x", BLOCKS)], "a": [("b", PARENT), ("top", PARENT)], "b": [("a", PARENT)]},
         {"a": ["b", "x"], "b": ["a", "x"]}),
    ],
)  # fmt: skip
def test_rings_of_parents_end(read: Reader, tmp_path: Path, edges: Any, needs: dict[str, list[str]]) -> None:
    path = tmp_path / "issues.jsonl"
    issues = [
        {"id": own, "title": "T", "dependencies": [5, *({"depends_on_id": up} | kind for up, kind in above)]}
        for own, above in edges.items()
    ]
    path.write_text("\n\n".join(json.dumps(issue) for issue in issues) + "\n")
    found = read(path)
    assert {task: found.needs(task) for task in needs} == needs


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "holds no issues"),
        (b"{\n", "holds no issues (line 1: it is not JSON"),
        (b"5\n", "holds no issues (line 1: it is no issue)"),
        (b"\xff\n", "not text in UTF-8"),
        (b"[" * 100_000, "holds no issues (line 1: it is not JSON"),
    ],
)
def test_what_is_no_export_is_named(read: Reader, tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "issues.jsonl"
    path.write_bytes(content)
    with pytest.raises(BrokenFileError) as caught:
        read(path)
    assert says in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_title_that_breaks_lines_by_other_marks_stays_one_issue(read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "issues.jsonl"
    path.write_text('{"id":"a","title":"one\u2028two\u0085three","status":"closed","issue_type":"message"}\r\n')
    found = read(path)
    assert found.raw("a")["title"] == "one two three"
    assert found.states == {"a": "done"}, "a message that was dealt with"
