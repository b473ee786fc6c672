"""Eviction and the sweep: claims go back, completed work forward, and the evicted peer (a zombie) is told of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.faults import Meanwhile
from support.worlds import World

from peercoord.errors import EvictedError
from peercoord.membership import membership as members
from peercoord.queue.worker import Worker
from peercoord.store import paths
from peercoord.store.paths import Ticket


def pair(world: World) -> tuple[Worker, Worker, str]:
    """A peer that holds task 1, the peer that evicts it, and where its directory then is."""
    zombie, boss = world.working("zombie", "1"), world.join("boss")
    return zombie, boss, paths.departed_dir(zombie.me, boss.me)


class TestSweep:
    def test_claims_go_back_with_a_result_and_the_directory_is_sealed(self, world: World) -> None:
        zombie, boss, home = pair(world)
        zombie.report("1", {"progress": 0.6, "achievements": ["most of it"]})
        assert world.evict(zombie.me, boss.me)
        assert not world.evict(zombie.me, world.join("third").me), "a second evictor is told that it is gone"
        assert world.at("1") == "queue/ready/2/000000/1~1"
        assert "claims" not in world.files.scan(home)
        assert members.departed(world.root) == [(zombie.me, boss.me)]
        claim = boss.request()
        assert claim is not None
        assert claim.ticket == Ticket("1", 2)
        expected = {"outcome": "evicted", "peer": "zombie", "progress": 0.6, "achievements": ["most of it"]}
        assert claim.hand_over.items() >= expected.items()
        record = world.queue.read_record(paths.result("1", 1, "evicted"))
        assert record is not None
        assert (record["incarnation"], record["by"]) == (str(zombie.me), "boss")
        assert record["reason"] == f"{zombie.me.peer} was evicted by {boss.me.peer}"

    def test_a_torn_birth_record_stops_nothing_and_is_noted(self, world: World) -> None:
        for task in ("1", "2"):
            world.add(task)
            birth = world.queue.birth(task)
            assert birth is not None
            world.files.move(world.at(task), paths.new_ticket(task, birth.nonce))
        whole = world.files.read(paths.birth("1"))
        assert whole is not None
        world.files.put(paths.birth("1"), whole[: len(whole) // 2])
        world.janitor().tidy()
        assert world.state("2") == ("ready", "2")
        assert world.files.read(paths.birth("1")) == whole[: len(whole) // 2]
        events = [json.loads(line) for line in (world.files.read(paths.events("janitor")) or b"").splitlines()]
        (told,) = [event for event in events if event["event"] == "unreadable"]
        assert told["path"] == paths.birth("1")
        assert "is not JSON" in told["reason"]


STEPS: dict[str, Callable[[Worker], object]] = {
    "complete": lambda worker: worker.complete("1"),
    "release": lambda worker: worker.release("1"),
    "fail": lambda worker: worker.fail("1", "x"),
    "park": lambda worker: worker.park("1", "review", "x"),
    "report": lambda worker: worker.report("1", {}),
}


class TestZombies:
    @pytest.mark.parametrize("step", STEPS)
    def test_a_zombie_is_told_who_holds_its_task(self, world: World, step: str) -> None:
        zombie, boss, _ = pair(world)
        world.evict(zombie.me, boss.me)
        world.taken(boss, "1")
        with pytest.raises(EvictedError) as caught:
            STEPS[step](zombie)
        assert caught.value.holders == {"1": "boss"}
        assert str(caught.value) == caught.value.message
        assert caught.value.message == f"{zombie.me} was evicted by boss; task 1 is held by boss now (epoch 2)"
        assert caught.value.exit_code == 4
        assert world.state("1") == ("claimed", str(boss.me))

    def test_a_peer_evicted_in_the_middle_of_a_claim_is_told_so(self, world: World) -> None:
        """OPS-5: a claim that was lost may have been lost because its own directory is gone."""
        world.add("1")
        zombie, boss = world.join("zombie"), world.join("boss")
        taken = (
            lambda call: call.name == "rename" and call.path.startswith(f"{zombie.home}/claims/"),
            lambda: world.evict(zombie.me, boss.me),
        )
        with pytest.raises(EvictedError, match="was evicted by boss"):
            world.on(Meanwhile(world.disk, taken)).resume(zombie.me).request()
        assert world.state("1") == ("ready", "2")
