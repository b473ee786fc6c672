"""Verdicts are pure: what was seen goes in, a state and its reason come out."""

from __future__ import annotations

from typing import Any

import pytest

from peercoord.membership import liveness
from peercoord.membership.liveness import ALIVE, DEAD, GAP, MIN_LISTINGS, SUSPECT, UNKNOWN, Silence, Verdict
from peercoord.store import paths

HERE = {"host": "h", "machine": "m", "boot_id": "b", "pid_ns": "p", "time_ns": "t"}
AGENT, SESSION = {"pid": 10, "start": 100}, {"pid": 20, "start": 200}
ME = paths.Incarnation("me", 1, "a")
INTERVAL, TTL, PATIENCE = 10, 30, 2.5


def record(**changes: Any) -> dict[str, Any]:
    return {**HERE, "agent": AGENT, "session": SESSION, **changes}


def by_process(known: dict[str, Any] | None, *up: dict[str, int], stopped: tuple[dict[str, int], ...] = ()) -> Verdict:
    return liveness.by_process(known, HERE, lambda p: p in up, lambda p: p in stopped)


class TestProcess:
    def test_either_process_keeps_it_alive(self) -> None:
        assert by_process(record(), AGENT).state == ALIVE
        assert by_process(record(), SESSION).state == ALIVE

    def test_both_gone_is_death_and_names_them(self) -> None:
        verdict = by_process(record())
        assert verdict.state == DEAD
        assert "20" in verdict.because
        assert "10" in verdict.because

    def test_any_of_several_sessions_keeps_it_alive(self) -> None:
        other = {"pid": 21, "start": 210}
        assert by_process(record(sessions=[other]), other).state == ALIVE
        assert by_process(record(sessions=[other])).state == DEAD

    def test_an_agent_noted_as_session_is_no_session(self) -> None:
        assert liveness.sessions(record(session=AGENT)) == []

    def test_no_known_session_leaves_the_agent_to_count(self) -> None:
        assert by_process(record(session=None), AGENT).state == ALIVE
        assert by_process(record(session=None)).state == DEAD

    def test_a_clean_stop_without_session_is_not_death(self) -> None:
        assert by_process(record(session=None, agent=None)).state == UNKNOWN

    def test_what_is_stopped_is_suspect_and_says_how_to_go_on(self) -> None:
        verdict = by_process(record(agent=None), SESSION, stopped=(SESSION,))
        assert verdict.state == SUSPECT
        assert "kill -CONT 20" in verdict.because

    def test_one_of_two_stopped_is_alive(self) -> None:
        assert by_process(record(), AGENT, SESSION, stopped=(AGENT,)).state == ALIVE

    @pytest.mark.parametrize("key", ["pid_ns", "time_ns"])
    def test_another_namespace_cannot_be_judged_by_pid(self, key: str) -> None:
        assert by_process(record(**{key: "other"})).state == UNKNOWN

    @pytest.mark.parametrize("boot_id", ["other", HERE["boot_id"]])
    def test_another_machine_cannot_be_judged_by_pid(self, boot_id: str) -> None:
        assert by_process(record(machine="other", boot_id=boot_id), AGENT).state == UNKNOWN

    def test_a_host_renamed_while_it_runs_is_the_same_host(self) -> None:
        assert by_process(record(host="renamed"), AGENT).state == ALIVE
        assert by_process(record(host="renamed")).state == DEAD

    def test_a_restarted_host_is_death(self) -> None:
        assert by_process(record(boot_id="before")).state == DEAD

    def test_a_name_used_twice_is_no_restart_where_other_machines_come(self) -> None:
        shared = {**HERE, "shared": True}
        assert liveness.by_process(record(boot_id="other"), shared, lambda _: False).state == UNKNOWN

    def test_an_unreadable_record_proves_nothing(self) -> None:
        assert by_process(None).state == UNKNOWN

    @pytest.mark.parametrize("junk", ["agent", 7, None, [], {"pid": "x"}])
    def test_junk_in_a_record_never_raises(self, junk: Any) -> None:
        found = liveness.by_process(record(agent=junk, session=junk, sessions=junk), HERE, lambda _: False)
        assert found.state in (UNKNOWN, DEAD)


class TestSilence:
    """A heartbeat that stands still is believed only from enough looks, close together, on one clock."""

    def still(self, *looks: float, number: int = 5) -> Silence:
        silence = Silence()
        for at in looks:
            silence.look(at, [f"beat~{number}", "claims", "peer.json"], INTERVAL)
        return silence

    def verdict(self, silence: Silence) -> str:
        return liveness.by_activity(silence, TTL, PATIENCE).state

    def test_silence_is_suspected_after_the_ttl(self) -> None:
        assert self.verdict(self.still(0, 10, 20, 29)) == ALIVE
        assert self.verdict(self.still(0, 10, 20, 30)) == SUSPECT

    def test_too_few_looks_prove_nothing(self) -> None:
        silence = Silence()
        for at in (0, 30):
            silence.still.look(at, 5, gap=100)
        assert silence.still.looks < MIN_LISTINGS
        assert self.verdict(silence) == ALIVE

    def test_a_gap_between_looks_begins_anew(self) -> None:
        gap = GAP * INTERVAL
        assert self.verdict(self.still(0, 10, 20, 20 + gap)) == SUSPECT
        assert self.verdict(self.still(0, 10, 20, 20 + gap + 0.1)) == ALIVE

    def test_any_change_of_the_number_is_life_also_backwards(self) -> None:
        silence = self.still(0, 10, 20)
        silence.look(30, ["beat~4"], INTERVAL)
        assert self.verdict(silence) == ALIVE

    def test_no_heartbeat_in_a_listing_means_unchanged(self) -> None:
        silence = self.still(0, 10)
        silence.look(20, ["claims"], INTERVAL)
        silence.look(30, [], INTERVAL)
        assert self.verdict(silence) == SUSPECT

    def test_a_peer_that_never_had_a_heartbeat_is_silent_as_well(self) -> None:
        silence = Silence()
        for at in (0, 10, 20, 30):
            silence.look(at, [], INTERVAL)
        assert self.verdict(silence) == SUSPECT

    def test_what_was_seen_before_one_was_blind_counts_for_nothing(self) -> None:
        silence = self.still(0, 10, 20)
        silence.forget()
        for at in (30, 40, 50):
            silence.look(at, ["beat~5"], INTERVAL)
        assert self.verdict(silence) == ALIVE

    def test_ones_own_challenge_left_standing_is_death(self) -> None:
        silence = self.still(0, 10, 20, 30)
        silence.challenged_at, silence.challenger = 30, ME
        silence.look(32, [f"beat~5~{ME}"], INTERVAL)
        assert self.verdict(silence) == SUSPECT
        silence.look(32.5, [f"beat~5~{ME}"], INTERVAL)
        assert self.verdict(silence) == DEAD

    def test_a_challenge_by_someone_else_counts_from_when_it_was_seen(self) -> None:
        silence = self.still(0, 10, 20, 30)
        silence.look(40, ["beat~5~other~1.x"], INTERVAL)
        assert self.verdict(silence) == SUSPECT
        silence.look(42.5, ["beat~5~other~1.x"], INTERVAL)
        assert self.verdict(silence) == DEAD
        silence.look(43, ["beat~5"], INTERVAL)
        assert self.verdict(silence) == SUSPECT, "settled: whoever settles it evicts, the others look anew"

    def test_an_answered_challenge_begins_anew(self) -> None:
        silence = self.still(0, 10, 20, 30)
        silence.challenged_at, silence.challenger = 30, ME
        silence.look(40, ["beat~6"], INTERVAL)
        assert self.verdict(silence) == ALIVE
        assert silence.challenged_at is None


class TestBoth:
    QUIET, MOVES = Verdict(DEAD, "silent"), Verdict(ALIVE, "moves")

    def both(self, process: Verdict, activity: Verdict, session_runs: bool = False) -> Verdict:
        return liveness.combined(record(), process, activity, session_runs)

    def test_a_dead_process_needs_no_silence(self) -> None:
        assert self.both(Verdict(DEAD, "gone"), self.MOVES).state == DEAD

    def test_a_running_session_is_never_dead_for_silence(self) -> None:
        verdict = self.both(Verdict(ALIVE, "its session runs"), self.QUIET, session_runs=True)
        assert verdict == Verdict(SUSPECT, "its session runs, but silent")

    def test_an_agent_alone_that_hangs_dies_of_silence(self) -> None:
        assert self.both(Verdict(ALIVE, "its agent runs"), self.QUIET).state == DEAD
        assert self.both(Verdict(SUSPECT, "its agent is stopped"), self.QUIET).state == DEAD

    def test_elsewhere_only_the_heartbeat_counts(self) -> None:
        assert self.both(Verdict(UNKNOWN, "another host"), self.QUIET).state == DEAD
        assert self.both(Verdict(UNKNOWN, "another host"), self.MOVES).state == UNKNOWN


class TestRing:
    def ring(self, size: int) -> list[paths.Incarnation]:
        return [paths.Incarnation(f"p{number:02d}", 1, "x") for number in range(size)]

    def test_everyone_is_watched_by_two_and_the_leader_by_all(self) -> None:
        ring = self.ring(9)
        watchers = {who: [p for p in ring if who in liveness.watched(p, ring, ring[4])] for who in ring}
        assert len(watchers[ring[4]]) == 8
        assert all(len(watching) == 2 for who, watching in watchers.items() if who != ring[4])

    def test_watching_costs_the_peers_not_their_square(self) -> None:
        ring = self.ring(50)
        assert sum(len(liveness.watched(p, ring, ring[0])) for p in ring) <= 3 * len(ring)

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_a_small_ring_watches_everyone_else(self, size: int) -> None:
        ring = self.ring(size)
        assert sorted(liveness.watched(ring[0], ring, None)) == ring[1:]

    def test_the_watcher_need_not_be_in_the_listing(self) -> None:
        ring = self.ring(3)
        assert liveness.watched(ME, ring, None) == ring[:2]
