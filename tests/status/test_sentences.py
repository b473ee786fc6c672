"""Events as sentences: every kind that is logged has one, and no text in it steers a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.project import project, second

import peercoord
from peercoord.foreign import plain
from peercoord.status import sentences
from peercoord.status.sentences import chosen, sentence

__all__ = ["project", "second"]

ME = "instance-1~1.aaaaaa"
OTHER = "instance-2~4.bbbbbb"


def said(kind: str, peer: str = "instance-1", **facts: object) -> str:
    return sentence({"at": "2026-01-31T15:30:00Z", "event": kind, "peer": peer, **facts})


@pytest.mark.parametrize(
    ("kind", "facts", "words"),
    [
        ("claimed", {"task": "7", "epoch": 1, "incarnation": ME}, "instance-1 claimed #7"),
        ("progress", {"task": "7", "progress": 0.7}, "instance-1 reported 70% on #7"),
        ("done", {"task": "7", "incarnation": ME}, "instance-1 finished #7"),
        ("done", {"task": "7", "incarnation": OTHER}, "instance-1 brought #7 to done, which instance-2 had finished"),
        ("released", {"task": "7", "incarnation": ME, "reason": "later"}, "instance-1 gave #7 back: later"),
        ("evicted", {"who": OTHER, "because": "its session ended"}, "instance-1 evicted instance-2: its session ended"),
        ("evicted", {"task": "7", "incarnation": OTHER}, "instance-1 took #7 back from instance-2"),
        ("reassigned", {"peer": "person", "task": "7", "to": "instance-2"}, "a person gave #7 to instance-2"),
        ("landed", {"branch": "main", "tasks": [1, "a-2"]}, "instance-1 landed #1, #a-2 on main"),
        ("rebuilt", {"tasks": 12, "origins": 2}, "instance-1 rebuilt the coordination directory with 12 tasks"),
        ("parked", {"task": "7", "why": "blocked", "reason": "which?"}, "instance-1 parked #7 as blocked: which?"),
        ("of tomorrow", {"size": 3, "names": ["a", "b"]}, "instance-1: of tomorrow (size 3, names a, b)"),
        ("progress", {}, "instance-1 reported ? on #?"),
    ],
)
def test_what_an_event_says(kind: str, facts: dict[str, object], words: str) -> None:
    assert said(kind, **facts) == words


def test_every_kind_that_is_logged_has_a_sentence() -> None:
    source = "".join(path.read_text() for path in Path(peercoord.__file__).parent.rglob("*.py"))
    logged = set(re.findall(r'\.event\(\s*[\w."]+,\s*"([^"]+)"', source)) | {"answered", "reopened", "released"}
    assert len(logged) > 25, "the search finds the calls"
    assert logged - sentences._SENTENCES.keys() == set()


def test_no_text_of_an_event_steers_a_terminal() -> None:
    bad = "\x1b]0;x\x07\u202e\x9b2J\nNEEDS YOU"
    for kind in [*sentences._SENTENCES, bad]:
        keys = ("task", "who", "reason", "file", "path", "tasks", "keys", "to", "branch", bad)
        words = said(kind, bad, **dict.fromkeys(keys, bad))
        assert words == plain(words), kind
        assert "\n" not in words
    assert len(said("parked", reason="x" * 5000)) < 400


def test_events_are_chosen_by_time_peer_and_task() -> None:
    found = [
        {"at": "2026-01-01T10:00:00Z", "peer": "one", "event": "claimed", "task": "1"},
        {"at": "2026-01-01T11:00:00Z", "peer": "two", "event": "evicted", "who": "one~3.aaaaaa"},
        {"at": "2026-01-01T12:00:00Z", "peer": "two", "event": "claimed", "task": 1},
        {"at": None, "peer": "two"},
    ]
    assert [*chosen(found, since="2026-01-01T11:00:00Z")] == found[1:3]
    assert [*chosen(found, peer="one")] == found[:2], "also what was done to it"
    assert [*chosen(found, task="1")] == [found[0], found[2]]
