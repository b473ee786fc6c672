"""Where a ticket belongs, which one is tried next, what several sightings of one task mean."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.queue import placement
from peercoord.queue.placement import Location
from peercoord.store import paths, records
from peercoord.store.paths import Incarnation, Ticket

CANCELLED = {"by": "person", "at": "2026-01-31T15:30:00Z", "reason": "no longer wanted"}


class TestLocation:
    @given(st.lists(st.sampled_from(["done", "open", "cancelled", "unknown"]), max_size=6))
    def test_the_first_dependency_that_is_not_done_decides(self, standings: list[str]) -> None:
        definition = records.define("t", "T", dependencies=[f"d{n}" for n in range(len(standings))])
        asked: list[str] = []

        def standing(dependency: str) -> str:
            asked.append(dependency)
            return standings[int(dependency[1:])]

        spot = placement.location_of(definition, standing)
        unmet = next((n for n, now in enumerate(standings) if now != "done"), None)
        if unmet is None:
            assert spot == Location("t", "ready")
            assert len(asked) == len(standings)
        else:
            open_one = standings[unmet] == "open"
            assert spot[:3] == (("t", "waiting", f"d{unmet}") if open_one else ("t", "parked", "blocked"))
            assert asked == [f"d{n}" for n in range(unmet + 1)]
            assert open_one or f"task d{unmet}, which" in spot.reason

    def test_a_cancelled_task_is_parked_whatever_it_waits_for(self) -> None:
        definition = records.define("t", "T", dependencies=["d"], cancelled=CANCELLED, parked={"why": "held"})
        found = placement.location_of(definition, lambda _: "open")
        assert found == Location("t", "parked", "cancelled", reason="no longer wanted")

    @pytest.mark.parametrize("why", paths.PARKED_WHY)
    def test_a_task_set_aside_is_parked_for_its_reason(self, why: str) -> None:
        definition = records.define("t", "T", dependencies=["d"], parked={"why": why, "reason": "because"})
        found = placement.location_of(definition, lambda _: "done")
        assert found == Location("t", "parked", why, reason="because")

    @pytest.mark.parametrize(
        "note", [None, {}, {"why": "no such reason"}, {"why": 5}, "held", {"reason": "x"}, {"why": None}]
    )
    def test_a_note_nobody_understands_sets_nothing_aside(self, note: object) -> None:
        assert placement.location_of(records.define("t", "T", parked=note), lambda _: "done").state == "ready"


class TestResults:
    def test_attempts_are_epochs_that_ended_badly_once_each(self) -> None:
        shard = ["5~1.failed.json", "5~2.evicted.json", "5~2.failed.json", "5~3.released.json", "5~4.done.json"]
        noise = ["55~1.failed.json", "5~9.failed", "5~07.failed.json", "5.failed.json", ".5~8.failed.json", "x"]
        assert placement.attempts("5", shard + noise) == 2
        assert placement.attempts("6", shard + noise) == 0
        assert placement.highest_epoch("5", shard + noise) == 4
        assert placement.highest_epoch("6", shard + noise) == 0


class TestOrder:
    def test_people_count_so(self) -> None:
        listed = ["10~0", "2~0", "1~3", "a10~0", "a2~0", "2.10~0", "2.9~0", "x", "7~0~done", ".~1", "7~01"]
        assert [t.task for t in placement.in_order(listed)] == ["1", "2", "2.9", "2.10", "10", "a2", "a10"]

    @given(st.integers(0, 40), st.integers(0, 1 << 32))
    def test_each_is_tried_once_and_the_first_first(self, count: int, seed: int) -> None:
        crowd = [Ticket(str(number), 0) for number in range(count)]
        tried = list(placement.attempt_order(crowd, seed))
        assert sorted(tried, key=lambda t: int(t.task)) == crowd
        assert tried[:1] == crowd[:1]

    def test_those_who_lose_the_first_spread_over_the_rest(self) -> None:
        crowd = [Ticket(str(number), 0) for number in range(33)]
        second = {list(placement.attempt_order(crowd, seed))[1].task for seed in range(32)}
        assert len(second) == 32


class TestSurplus:
    PEERS = st.builds(
        Incarnation,
        st.sampled_from(["a", "a-b", "a.b", "a1", "B", "b"]),
        st.integers(0, 12),
        st.sampled_from(["x", "y", "Y", "9"]),
    )

    @given(PEERS, PEERS, st.booleans())
    def test_of_two_hands_one_keeps_a_tasks_ticket_and_the_leaders(
        self, one: Incarnation, other: Incarnation, gone: bool
    ) -> None:
        """ASM-10: by name, then number, then suffix, living or departed."""
        homes = [paths.peer_dir(one), paths.departed_dir(other, one) if gone else paths.peer_dir(other)]
        states = [("claimed", homes[0][6:]), ("departed", homes[1][9:]) if gone else ("claimed", homes[1][6:])]
        seen = [Location("5", *state, 4, f"{home}/claims/5~4") for state, home in zip(states, homes, strict=True)]
        key = [(who.peer, who.number, who.suffix) for who in (one, other)]
        goes = [] if key[0] == key[1] else [homes[key.index(min(key))]]
        assert [low.path for low in placement.lower_names(seen)] == [f"{home}/claims/5~4" for home in goes]
        assert placement.lower_leader_names([f"{home}/leader~3" for home in homes]) == [
            f"{home}/leader~3" for home in goes
        ]


class TestFold:
    SIGHTINGS = (
        Location("5", "ready", "2", 1, "queue/ready/2/000000/5~1"),
        Location("5", "claimed", "a~1.x", 2, "peers/a~1.x/claims/5~2"),
        Location("5", "departed", "a~1.x~b~1.y", 2, "departed/a~1.x~b~1.y/claims/5~2"),
        Location("5", "waiting", "4", 2, "queue/waiting/4/5~2"),
        Location("5", "done", "", 0, "queue/done/aa/5"),
        Location("6", "new", "", 0, "queue/new/6~n"),
    )

    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
    def test_the_later_state_wins_in_whatever_order_it_is_seen(self, order: tuple[int, ...]) -> None:
        seen = [self.SIGHTINGS[n] for n in order]
        assert placement.fold(seen)["5"].state in ("claimed", "departed")
        assert placement.fold([*seen, self.SIGHTINGS[4]])["5"].state == "done"
        assert placement.fold([self.SIGHTINGS[4], *seen])["5"].state == "done"

    def test_tasks_do_not_mix(self) -> None:
        states = placement.fold(self.SIGHTINGS)
        assert {task: seen.state for task, seen in states.items()} == {"5": "done", "6": "new"}

    def test_a_higher_epoch_beats_a_holder(self) -> None:
        back = Location("5", "ready", "2", 3, "queue/ready/2/000000/5~3")
        assert placement.fold([back, *self.SIGHTINGS[:4]])["5"] is back
