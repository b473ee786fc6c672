"""Verdicts: what a person reads of their reasons, and that no record stops them.

Which state follows from which observation is in protocol/vectors/v1/verdicts.json, for peers in every language.
"""

from __future__ import annotations

from typing import Any

import pytest

from peercoord.membership import liveness
from peercoord.membership.liveness import ALIVE, DEAD, UNKNOWN, Verdict
from peercoord.store import paths

HERE = {"host": "h", "machine": "m", "boot_id": "b", "pid_ns": "p", "time_ns": "t"}
AGENT, SESSION, OTHER = {"pid": 10, "start": 100}, {"pid": 20, "start": 200}, {"pid": 21, "start": 210}


def record(**changes: Any) -> dict[str, Any]:
    return {**HERE, "agent": AGENT, "session": SESSION, **changes}


def by_process(known: dict[str, Any] | None, *up: dict[str, int], stopped: tuple[dict[str, int], ...] = ()) -> Verdict:
    return liveness.by_process(known, HERE, lambda p: p in up, lambda p: p in stopped)


def test_any_of_several_sessions_keeps_a_peer_alive() -> None:
    assert by_process(record(sessions=[OTHER]), OTHER).state == ALIVE
    assert by_process(record(sessions=[OTHER])).state == DEAD
    assert liveness.sessions(record(session=AGENT)) == [], "an agent is not a session"


@pytest.mark.parametrize("junk", ["agent", 7, None, [], {"pid": "x"}])
def test_junk_in_a_record_raises_nothing(junk: Any) -> None:
    found = by_process(record(agent=junk, session=junk, sessions=junk))
    assert found.state in (UNKNOWN, DEAD)


def test_every_peer_is_watched_by_two_and_the_leader_by_all() -> None:
    ring = [paths.Incarnation(f"p{number:02d}", 1, "x") for number in range(9)]
    watchers = {who: [p for p in ring if who in liveness.watched(p, ring, ring[4])] for who in ring}
    assert {who: len(by) for who, by in watchers.items()} == {who: 8 if who == ring[4] else 2 for who in ring}
    assert liveness.watched(paths.Incarnation("me", 1, "a"), ring[:3], None) == ring[:2], "not in the listing itself"
