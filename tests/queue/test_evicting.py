"""Eviction and the sweep: claims go back, completed work forward, and the evicted peer (a zombie) is told of it."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable

import pytest
from support.faults import Call, Failing, Fault, Following, Meanwhile, Pausing, full
from support.memory import MemoryDisk
from support.tree import check_at_rest, situation
from support.worlds import World

from peercoord.errors import EvictedError
from peercoord.membership import membership as members
from peercoord.queue.claims import Worker
from peercoord.store import paths
from peercoord.store.paths import Ticket


def disk(world: World) -> MemoryDisk:
    assert isinstance(world.disk, MemoryDisk)
    return world.disk


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
        assert record["reason"] == f"{zombie.me} was evicted by {boss.me}"

    def test_completed_work_goes_forward(self, world: World) -> None:
        """CMP-4, INV-6: and its result is of its own epoch; that of an earlier completion is not enough."""
        zombie, boss, _ = pair(world)
        world.add("2", needs=("1",))
        zombie.complete("1")
        world.queue.reopen("1")
        world.taken(zombie, "1")
        mine = Ticket("1", 2)
        world.files.move(paths.claim(zombie.home, mine), paths.claim(zombie.home, mine.completed()))
        world.evict(zombie.me, boss.me)
        assert world.at("1") == paths.done("1")
        assert world.state("2") == ("ready", "2")
        assert world.outcomes("1") == [(1, "done"), (2, "done")]
        result = world.queue.result("1")
        assert result is not None
        assert (result[2]["peer"], "lost" in result[2]["reason"]) == ("zombie", True)

    @pytest.mark.parametrize("by_itself", [False, True])
    def test_anyone_finishes_a_sweep_that_a_crash_cut_short(self, world: World, by_itself: bool) -> None:
        zombie, boss, _ = pair(world)
        by = zombie.me if by_itself else boss.me
        world.files.move(zombie.home, paths.departed_dir(zombie.me, by))
        assert world.state("1") == ("departed", f"{zombie.me}~{by}")
        world.janitor("third").tidy()
        assert world.state("1") == ("ready", "2")
        assert world.outcomes("1") == [(1, "released" if by_itself else "evicted")]  # leaving is not a failed attempt

    def test_the_leaders_ticket_goes_back_before_the_seal(self, world: World) -> None:
        zombie, boss, home = pair(world)
        world.files.move(paths.leader(paths.LEADER, 0), paths.leader(zombie.home, 4))
        world.files.remove_dir(paths.LEADER)
        world.evict(zombie.me, boss.me)
        assert world.files.scan(paths.LEADER) == ["leader~4"]
        # a network client may follow a peer's directory for seconds after it was moved, and even sealed
        world.files.move(paths.leader(paths.LEADER, 4), paths.leader(home, 5))
        world.janitor().tidy()
        assert world.files.scan(paths.LEADER) == ["leader~5"]

    def test_foreign_files_among_the_claims_are_set_aside(self, world: World) -> None:
        zombie, boss, home = pair(world)
        odd = ["notes.txt", "1~01", ".DS_Store", "ü" * 120, "1~1~failed", "x" * 250]
        for name in odd:
            world.disk.create(f"{zombie.home}/claims/{name}", b"foreign", False)
        world.disk.mkdir(f"{zombie.home}/claims/folder")
        world.evict(zombie.me, boss.me)
        assert world.state("1") == ("ready", "2")
        assert "claims" not in world.files.scan(home)
        assert len([n for n in world.files.scan(paths.QUARANTINE) if not n.endswith(".why")]) == len(odd) + 1

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


class TestBadDisks:
    def test_on_a_full_disk_only_the_hand_over_is_lost(self, world: World) -> None:
        zombie, boss, _ = pair(world)
        world.on(Failing(world.disk, full)).evict(zombie.me, boss.me)
        assert world.state("1") == ("ready", "2")
        assert world.outcomes("1") == []

    def test_a_claim_that_a_look_does_not_show_yet_goes_back(self, world: World) -> None:
        """ASM-5: a listing shows it, and a look may be half a minute old."""
        zombie, boss, home = pair(world)
        claim = f"{home}/claims/1~1"
        stale = Failing(world.disk, lambda c: Fault(errno.ENOENT) if (c.name, c.path) == ("stat", claim) else None)
        world.on(stale).evict(zombie.me, boss.me)
        assert stale.met
        assert world.state("1") == ("ready", "2")
        assert "claims" not in world.files.scan(home)

    def test_a_ticket_that_cannot_be_moved_stops_no_other(self, world: World) -> None:
        zombie, boss, _ = pair(world)
        for task in ("2", "3"):
            world.add(task)
            world.files.move(world.at(task), paths.claim(zombie.home, Ticket(task, 1)))

        def denied(call: Call) -> Fault | None:
            return Fault(errno.EIO) if call.name == "rename" and call.args[0].endswith("claims/2~1") else None

        world.on(Failing(world.disk, denied)).evict(zombie.me, boss.me)
        assert world.state("1") == world.state("3") == ("ready", "2")
        assert world.state("2") == ("departed", f"{zombie.me}~{boss.me}")
        world.janitor().tidy()
        assert world.state("2") == ("ready", "2")
        check_at_rest(disk(world))


class TestRaces:
    def test_a_claim_that_a_zombie_takes_during_the_sweep_goes_back(self) -> None:
        """At every call of the sweep: a ticket appears in the departed directory as long as that is not sealed."""
        landed = 0
        for at in range(1, 200):
            world = World.new()
            zombie, boss, home = pair(world)
            world.add("2")
            world.disk.rename(zombie.home, home)

            def late(world: World = world, home: str = home) -> None:
                nonlocal landed
                if f"{home}/claims" in disk(world).folders():
                    world.disk.rename(world.at("2"), f"{home}/claims/2~1")
                    landed += 1

            pausing = Pausing(world.disk, at, late)
            world.on(pausing).janitor("boss").sweep(zombie.me, boss.me)
            if pausing.last is None:
                break
            check_at_rest(disk(world))
            assert world.state("1") == world.state("2") == ("ready", "2")
        assert landed > 10

    def test_leadership_that_a_zombie_takes_during_the_sweep_goes_back_before_the_seal(self, world: World) -> None:
        """ORD-8: the claim that comes with it keeps the first round from sealing the directory."""
        zombie, boss, home = pair(world)
        world.add("2")

        def late() -> None:
            world.disk.rename(paths.leader(paths.LEADER, 0), paths.leader(home, 1))
            world.disk.rename(world.at("2"), f"{home}/claims/2~1")

        meanwhile = Meanwhile(world.disk, (lambda call: (call.name, call.path) == ("rmdir", f"{home}/claims"), late))
        world.on(meanwhile).evict(zombie.me, boss.me)
        assert meanwhile.steps == []
        assert world.files.scan(paths.LEADER) == ["leader~1"]
        assert "claims" not in world.files.scan(home)
        assert world.state("2") == ("ready", "2")


ENDS = ["complete", "release", "fail", "park"]
STEPS: dict[str, Callable[[Worker], object]] = {
    "complete": lambda worker: worker.complete("1"),
    "release": lambda worker: worker.release("1"),
    "fail": lambda worker: worker.fail("1", "x"),
    "park": lambda worker: worker.park("1", "review", "x"),
    "report": lambda worker: worker.report("1", {}),
    "request": lambda worker: worker.request(),
    "beat": lambda worker: worker.membership.beat(),
    "update": lambda worker: worker.membership.update(x=1),
}


class TestZombies:
    @pytest.mark.parametrize("step", [*ENDS, "report"])
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

    @pytest.mark.parametrize("follows", [False, True])
    @pytest.mark.parametrize("step", STEPS)
    def test_a_zombie_changes_nothing(self, world: World, step: str, follows: bool) -> None:
        """Not even if its network client goes on to follow the directory that was moved."""
        zombie, _, home = pair(world)
        world.add("2")
        world.disk.rename(zombie.home, home)
        before = situation(disk(world))
        if follows:
            zombie = world.on(Following(world.disk, zombie.home, home)).resume(zombie.me)
            assert [ticket.task for ticket in zombie.held()] == ["1"]
        with pytest.raises(EvictedError):
            STEPS[step](zombie)
        assert situation(disk(world)) == before

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
