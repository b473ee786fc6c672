"""Where a ticket belongs, which one is tried next, what several sightings of one task mean."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.core import names, records, tickets
from peercoord.core.names import Incarnation, Ticket
from peercoord.core.tickets import Sighting, Spot

CANCELLED = {"by": "person", "at": "2026-01-31T15:30:00Z", "reason": "no longer wanted"}


class TestSpot:
    @given(st.lists(st.sampled_from(["done", "open", "cancelled", "unknown"]), max_size=6))
    def test_the_first_dependency_that_is_not_done_decides(self, standings: list[str]) -> None:
        definition = records.define("t", "T", dependencies=[f"d{n}" for n in range(len(standings))])
        asked: list[str] = []

        def standing(dependency: str) -> str:
            asked.append(dependency)
            return standings[int(dependency[1:])]

        spot = tickets.spot(definition, standing)
        unmet = next((n for n, now in enumerate(standings) if now != "done"), None)
        if unmet is None:
            assert spot == tickets.READY
            assert len(asked) == len(standings)
        else:
            open_one = standings[unmet] == "open"
            assert spot == (Spot("waiting", f"d{unmet}") if open_one else Spot("parked", "blocked"))
            assert asked == [f"d{n}" for n in range(unmet + 1)]
            assert open_one or f"task d{unmet}, which" in spot.reason

    def test_a_cancelled_task_is_parked_whatever_it_waits_for(self) -> None:
        definition = records.define("t", "T", dependencies=["d"], cancelled=CANCELLED, parked={"why": "held"})
        assert tickets.spot(definition, lambda _: "open") == Spot("parked", "cancelled")
        assert tickets.spot(definition, lambda _: "open").reason == "no longer wanted"

    @pytest.mark.parametrize("why", names.PARKED_WHY)
    def test_a_task_set_aside_is_parked_for_its_reason(self, why: str) -> None:
        definition = records.define("t", "T", dependencies=["d"], parked={"why": why, "reason": "because"})
        assert repr(tickets.spot(definition, lambda _: "done")) == f"Spot('parked', '{why}', 'because')"

    @pytest.mark.parametrize(
        "note", [None, {}, {"why": "no such reason"}, {"why": 5}, "held", {"reason": "x"}, {"why": None}]
    )
    def test_a_note_nobody_understands_sets_nothing_aside(self, note: object) -> None:
        assert tickets.spot(records.define("t", "T", parked=note), lambda _: "done") == tickets.READY

    def test_spots_are_equal_whatever_the_words(self) -> None:
        assert len({Spot("parked", "blocked", "a"), Spot("parked", "blocked", "b"), Spot("ready")}) == 2
        assert Spot("ready") != "ready"


class TestResults:
    def test_attempts_are_epochs_that_ended_badly_once_each(self) -> None:
        shard = ["5~1.failed.json", "5~2.evicted.json", "5~2.failed.json", "5~3.released.json", "5~4.done.json"]
        noise = ["55~1.failed.json", "5~9.failed", "5~07.failed.json", "5.failed.json", ".5~8.failed.json", "x"]
        assert tickets.attempts("5", shard + noise) == 2
        assert tickets.attempts("6", shard + noise) == 0
        assert tickets.highest_epoch("5", shard + noise) == 4
        assert tickets.highest_epoch("6", shard + noise) == 0


class TestOrder:
    def test_people_count_so(self) -> None:
        listed = ["10~0", "2~0", "1~3", "a10~0", "a2~0", "2.10~0", "2.9~0", "x", "7~0~done", ".~1", "7~01"]
        assert [t.task for t in tickets.in_order(listed)] == ["1", "2", "2.9", "2.10", "10", "a2", "a10"]

    @given(st.integers(0, 40), st.integers(0, 1 << 32))
    def test_each_is_tried_once_and_the_first_first(self, count: int, seed: int) -> None:
        crowd = [Ticket(str(number), 0) for number in range(count)]
        tried = list(tickets.attempt_order(crowd, seed))
        assert sorted(tried, key=lambda t: int(t.task)) == crowd
        assert tried[:1] == crowd[:1]

    def test_those_who_lose_the_first_spread_over_the_rest(self) -> None:
        crowd = [Ticket(str(number), 0) for number in range(33)]
        second = {list(tickets.attempt_order(crowd, seed))[1].task for seed in range(32)}
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
        homes = [names.peer_dir(one), names.departed_dir(other, one) if gone else names.peer_dir(other)]
        states = [("claimed", homes[0][6:]), ("departed", homes[1][9:]) if gone else ("claimed", homes[1][6:])]
        seen = [Sighting("5", *state, 4, f"{home}/claims/5~4") for state, home in zip(states, homes, strict=True)]
        key = [(who.peer, who.number, who.suffix) for who in (one, other)]
        goes = [] if key[0] == key[1] else [homes[key.index(min(key))]]
        assert [low.path for low in tickets.surplus(seen)] == [f"{home}/claims/5~4" for home in goes]
        assert tickets.leader_surplus([f"{home}/leader~3" for home in homes]) == [f"{home}/leader~3" for home in goes]


class TestFold:
    SIGHTINGS = (
        Sighting("5", "ready", "2", 1, "queue/ready/2/000000/5~1"),
        Sighting("5", "claimed", "a~1.x", 2, "peers/a~1.x/claims/5~2"),
        Sighting("5", "departed", "a~1.x~b~1.y", 2, "departed/a~1.x~b~1.y/claims/5~2"),
        Sighting("5", "waiting", "4", 2, "queue/waiting/4/5~2"),
        Sighting("5", "done", "", 0, "queue/done/aa/5"),
        Sighting("6", "new", "", 0, "queue/new/6~n"),
    )

    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
    def test_the_later_state_wins_in_whatever_order_it_is_seen(self, order: tuple[int, ...]) -> None:
        seen = [self.SIGHTINGS[n] for n in order]
        assert tickets.fold(seen)["5"].state in ("claimed", "departed")
        assert tickets.fold([*seen, self.SIGHTINGS[4]])["5"].state == "done"
        assert tickets.fold([self.SIGHTINGS[4], *seen])["5"].state == "done"

    def test_tasks_do_not_mix(self) -> None:
        states = tickets.fold(self.SIGHTINGS)
        assert {task: seen.state for task, seen in states.items()} == {"5": "done", "6": "new"}

    def test_a_higher_epoch_beats_a_holder(self) -> None:
        back = Sighting("5", "ready", "2", 3, "queue/ready/2/000000/5~3")
        assert tickets.fold([back, *self.SIGHTINGS[:4]])["5"] is back
