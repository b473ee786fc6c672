"""Eviction and the sweep: what a departed peer held goes back, completed work forward, and the zombie learns of it."""

from __future__ import annotations

import errno
import json

import pytest
from support.faults import Failing, Fault, Following, Meanwhile, Pausing, full
from support.memory import MemoryDisk
from support.tree import check, check_at_rest, situation
from support.worlds import World

from peercoord.errors import EvictedError
from peercoord.membership import membership as members
from peercoord.queue.claims import Worker
from peercoord.store import paths, records
from peercoord.store.paths import Ticket


def evicted(world: World, task: str = "1") -> tuple[Worker, Worker]:
    """A peer that held a task and was evicted by another."""
    world.add(task)
    zombie, boss = world.join("zombie"), world.join("boss")
    world.taken(zombie, task)
    world.evict(zombie.me, boss.me)
    return zombie, boss


class TestEviction:
    def test_claims_go_back_with_a_result_and_the_directory_is_sealed(self, world: World) -> None:
        zombie, boss = evicted(world)
        assert world.at("1") == "queue/ready/2/000000/1~1"
        assert world.outcomes("1") == [(1, "evicted")]
        home = paths.departed_dir(zombie.me, boss.me)
        assert "claims" not in world.files.scan(home)
        assert members.departed(world.root) == [(zombie.me, boss.me)]
        record = world.queue.read_record(paths.result("1", 1, "evicted"))
        assert record is not None
        assert (record["peer"], record["incarnation"], record["by"]) == ("zombie", str(zombie.me), "boss")
        assert record["reason"] == f"{zombie.me} was evicted by {boss.me}"

    def test_the_next_holder_is_told_how_far_it_came(self, world: World) -> None:
        world.add("1")
        zombie, boss = world.join("zombie"), world.join("boss")
        world.taken(zombie, "1")
        zombie.report("1", {"progress": 0.6, "achievements": ["most of it"]})
        world.evict(zombie.me, boss.me)
        claim = boss.request()
        assert claim is not None
        assert claim.ticket == Ticket("1", 2)
        assert (claim.hand_over["outcome"], claim.hand_over["peer"]) == ("evicted", "zombie")
        assert (claim.hand_over["progress"], claim.hand_over["achievements"]) == (0.6, ["most of it"])

    def test_what_a_zombie_wrote_before_it_was_stopped_does_not_pass_for_the_truth(self, world: World) -> None:
        world.add("1")
        zombie, boss = world.join("zombie"), world.join("boss")
        world.taken(zombie, "1")
        world.files.put(paths.result("1", 1, "done"), records.encode({"incarnation": str(zombie.me), "peer": "zombie"}))
        world.evict(zombie.me, boss.me)
        claim = boss.request()
        assert claim is not None
        assert claim.hand_over["outcome"] == "evicted"

    def test_completed_work_gets_a_result_of_its_own_epoch(self, world: World) -> None:
        """CMP-4, INV-6: the result of an earlier completion, before the task was reopened, is not enough."""
        world.add("1")
        zombie, boss = world.join("zombie"), world.join("boss")
        world.taken(zombie, "1")
        zombie.complete("1")
        world.queue.reopen("1")
        world.taken(zombie, "1")
        world.files.move(paths.claim(zombie.home, Ticket("1", 2)), paths.claim(zombie.home, Ticket("1", 2, done=True)))
        world.evict(zombie.me, boss.me)
        assert world.at("1") == paths.done("1")
        assert world.outcomes("1") == [(1, "done"), (2, "done")]

    def test_a_second_evictor_is_told_that_it_is_gone(self, world: World) -> None:
        zombie, boss = evicted(world)
        assert not world.evict(zombie.me, world.join("third").me)
        assert members.departed(world.root) == [(zombie.me, boss.me)]

    def test_completed_work_goes_forward(self, world: World) -> None:
        world.add("1")
        world.add("2", needs=("1",))
        zombie, boss = world.join("zombie"), world.join("boss")
        world.taken(zombie, "1")
        world.files.move(paths.claim(zombie.home, Ticket("1", 1)), paths.claim(zombie.home, Ticket("1", 1, done=True)))
        world.evict(zombie.me, boss.me)
        assert world.at("1") == paths.done("1")
        assert world.state("2") == ("ready", "2")
        assert world.outcomes("1") == [(1, "done")]
        result = world.queue.result("1")
        assert result is not None
        assert result[2]["peer"] == "zombie"

    def test_leadership_goes_back_before_the_seal(self, world: World) -> None:
        zombie, boss = world.join("zombie"), world.join("boss")
        world.files.move(paths.leader(paths.LEADER, 0), paths.leader(zombie.home, 4))
        world.files.remove_dir(paths.LEADER)
        world.evict(zombie.me, boss.me)
        assert world.files.scan(paths.LEADER) == ["leader~4"]

    def test_leadership_that_a_zombie_took_into_a_sealed_directory_goes_back(self, world: World) -> None:
        """A network client may follow a peer's directory for seconds after it was moved."""
        zombie, boss = world.join("zombie"), world.join("boss")
        world.evict(zombie.me, boss.me)
        world.files.move(paths.leader(paths.LEADER, 0), paths.leader(paths.departed_dir(zombie.me, boss.me), 1))
        world.janitor().tidy()
        assert world.files.scan(paths.LEADER) == ["leader~1"]

    def test_a_claim_that_a_zombie_took_while_it_was_swept_goes_back(self) -> None:
        """At every call of the sweep: a ticket appears in the departed directory as long as that is not sealed."""
        landed = 0
        for at in range(1, 200):
            world = World.new(MemoryDisk())
            world.add("1")
            world.add("2")
            zombie, boss = world.join("zombie"), world.join("boss")
            world.taken(zombie, "1")
            world.disk.rename(zombie.home, paths.departed_dir(zombie.me, boss.me))

            def late(world: World = world, home: str = paths.departed_dir(zombie.me, boss.me)) -> None:
                nonlocal landed
                if f"{home}/claims" in world.disk.folders():  # type: ignore[attr-defined]
                    world.disk.rename(world.at("2"), f"{home}/claims/2~1")
                    landed += 1

            pausing = Pausing(world.disk, at, late)
            world.on(pausing).janitor("boss").sweep(zombie.me, boss.me)
            if pausing.last is None:
                break
            check_at_rest(world.disk)  # type: ignore[arg-type]
            assert world.state("1") == world.state("2") == ("ready", "2")
        assert landed > 10

    def test_leadership_that_a_zombie_took_after_the_first_look_goes_back_before_the_seal(self) -> None:
        """ORD-8: the zombie's claim, which comes with it, keeps the first round from sealing the directory."""
        world = World.new(MemoryDisk())
        world.add("1")
        zombie, boss = world.join("zombie"), world.join("boss")
        home = paths.departed_dir(zombie.me, boss.me)

        def late() -> None:
            world.disk.rename(paths.leader(paths.LEADER, 0), paths.leader(home, 1))
            world.disk.rename(world.at("1"), f"{home}/claims/1~1")

        disk = Meanwhile(world.disk, (lambda call: call.name == "rmdir" and call.path == f"{home}/claims", late))
        world.on(disk).evict(zombie.me, boss.me)
        assert disk.steps == []
        assert world.files.scan(paths.LEADER) == ["leader~1"]
        assert "claims" not in world.files.scan(home)
        assert world.state("1") == ("ready", "2")

    def test_a_claim_that_a_look_does_not_show_yet_goes_back(self) -> None:
        """ASM-5: a listing shows it, and a look may be half a minute old."""
        world = World.new(MemoryDisk())
        world.add("1")
        zombie, boss = world.join("zombie"), world.join("boss")
        world.taken(zombie, "1")
        claim = f"{paths.departed_dir(zombie.me, boss.me)}/claims/1~1"
        stale = Failing(
            world.disk, lambda call: Fault(errno.ENOENT) if call.name == "stat" and call.path == claim else None
        )
        world.on(stale).evict(zombie.me, boss.me)
        assert stale.met
        assert world.state("1") == ("ready", "2")
        assert "claims" not in world.files.scan(paths.departed_dir(zombie.me, boss.me))

    def test_foreign_files_among_the_claims_are_set_aside(self, world: World) -> None:
        world.add("1")
        zombie, boss = world.join("zombie"), world.join("boss")
        world.taken(zombie, "1")
        odd = ["notes.txt", "1~01", ".DS_Store", "ü" * 120, "1~1~failed", "x" * 250]
        for name in odd:
            world.disk.create(f"{zombie.home}/claims/{name}", b"foreign", False)
        world.disk.mkdir(f"{zombie.home}/claims/folder")
        world.evict(zombie.me, boss.me)
        assert world.state("1") == ("ready", "2")
        assert "claims" not in world.files.scan(paths.departed_dir(zombie.me, boss.me))
        assert len([n for n in world.files.scan(paths.QUARANTINE) if not n.endswith(".why")]) == len(odd) + 1

    def test_one_ticket_that_will_not_move_holds_up_no_other(self) -> None:
        world = World.new(MemoryDisk())
        for task in ("1", "2", "3"):
            world.add(task)
        zombie, boss = world.join("zombie"), world.join("boss")
        for task in ("1", "2", "3"):
            world.files.move(world.at(task), paths.claim(zombie.home, Ticket(task, 1)))
        stuck = Failing(
            world.disk,
            lambda call: Fault(errno.EIO) if call.name == "rename" and call.args[0].endswith("claims/2~1") else None,
        )
        world.on(stuck).evict(zombie.me, boss.me)
        assert world.state("1") == world.state("3") == ("ready", "2")
        assert world.state("2") == ("departed", f"{zombie.me}~{boss.me}")
        world.janitor().tidy()
        assert world.state("2") == ("ready", "2")
        check_at_rest(world.disk)  # type: ignore[arg-type]

    def test_two_sweeps_at_once_leave_what_one_would(self) -> None:
        for at in range(1, 300):
            world = World.new(MemoryDisk())
            world.add("1")
            world.add("2")
            world.add("3", needs=("2",))
            zombie, boss = world.join("zombie"), world.join("boss")
            world.taken(zombie, "1")
            world.files.move(world.at("2"), paths.claim(zombie.home, Ticket("2", 1, done=True)))
            world.files.move(paths.leader(paths.LEADER, 0), paths.leader(zombie.home, 1))
            world.disk.rename(zombie.home, paths.departed_dir(zombie.me, boss.me))
            pausing = Pausing(world.disk, at, lambda w=world: w.janitor("other").tidy())
            world.on(pausing).janitor("boss").sweep(zombie.me, boss.me)
            if pausing.last is None:
                break
            check_at_rest(world.disk)  # type: ignore[arg-type]
            assert world.at("1") == "queue/ready/2/000000/1~1"
            assert world.at("2") == paths.done("2")
            assert world.state("3") == ("ready", "2")
            assert world.outcomes("1") == [(1, "evicted")]
            assert world.outcomes("2") == [(1, "done")]
        assert at > 20


class TestZombies:
    @pytest.mark.parametrize("step", ["complete", "report", "release", "fail", "park"])
    def test_whatever_it_tries_it_is_told_who_holds_its_task(self, world: World, step: str) -> None:
        zombie, boss = evicted(world)
        world.taken(boss, "1")
        arguments = {"report": ("1", {}), "fail": ("1", "x"), "park": ("1", "review", "x")}.get(step, ("1",))
        with pytest.raises(EvictedError) as caught:
            getattr(zombie, step)(*arguments)
        assert caught.value.holders == {"1": "boss"}
        assert str(caught.value) == caught.value.message
        assert caught.value.message == f"{zombie.me} was evicted by boss; task 1 is held by boss now (epoch 2)"
        assert caught.value.exit_code == 4
        assert world.state("1") == ("claimed", str(boss.me))

    @pytest.mark.parametrize("step", ["complete", "report", "release", "fail", "park", "beat", "request", "update"])
    def test_its_client_may_follow_the_moved_directory_and_it_is_told_all_the_same(self, step: str) -> None:
        world = World.new(MemoryDisk())
        world.add("1")
        world.add("2")
        zombie, boss = world.join("zombie"), world.join("boss")
        world.taken(zombie, "1")
        home = paths.departed_dir(zombie.me, boss.me)
        world.disk.rename(zombie.home, home)
        before = situation(world.disk)  # type: ignore[arg-type]
        behind = world.on(Following(world.disk, zombie.home, home)).resume(zombie.me)
        assert [ticket.task for ticket in behind.held()] == ["1"]
        steps = {
            "fail": lambda: behind.fail("1", "x"),
            "park": lambda: behind.park("1", "review", "x"),
            "report": lambda: behind.report("1", {}),
            "complete": lambda: behind.complete("1"),
            "release": lambda: behind.release("1"),
            "beat": behind.membership.beat,
            "request": behind.request,
            "update": lambda: behind.membership.update(x=1),
        }
        with pytest.raises(EvictedError):
            steps[step]()
        assert situation(world.disk) == before  # type: ignore[arg-type]

    def test_it_claims_nothing(self, world: World) -> None:
        zombie, _ = evicted(world)
        with pytest.raises(EvictedError):
            zombie.request()
        assert world.state("1") == ("ready", "2")

    def test_evicted_in_the_middle_of_a_claim_it_is_told(self) -> None:
        """OPS-5: a claim that was lost may have been lost because its own directory is gone."""
        world = World.new(MemoryDisk())
        world.add("1")
        zombie, boss = world.join("zombie"), world.join("boss")
        taken = (
            lambda call: call.name == "rename" and call.path.startswith(f"{zombie.home}/claims/"),
            lambda: world.evict(zombie.me, boss.me),
        )
        late = world.on(Meanwhile(world.disk, taken)).resume(zombie.me)
        with pytest.raises(EvictedError, match="was evicted by boss"):
            late.request()
        assert world.state("1") == ("ready", "2")

    @pytest.mark.parametrize("step", ["complete", "release", "fail", "park"])
    def test_stopped_in_the_middle_it_changes_nothing_of_the_new_holders(self, step: str) -> None:
        """It stands still before any one of its calls; meanwhile it is evicted and another claims its task."""
        at, refused = 0, 0
        while True:
            at += 1
            world = World.new(MemoryDisk())
            world.add("1")
            zombie, boss = world.join("zombie"), world.join("boss")
            world.taken(zombie, "1")

            def meanwhile(world: World = world, zombie: Worker = zombie, boss: Worker = boss) -> None:
                world.evict(zombie.me, boss.me)
                boss.request()

            pausing = Pausing(world.disk, at, meanwhile)
            late = world.on(pausing).resume(zombie.me)
            arguments = {"fail": ("1", "x"), "park": ("1", "review", "x")}.get(step, ("1",))
            try:
                getattr(late, step)(*arguments)
                ended = True
            except EvictedError:
                ended = False
                refused += 1
            if pausing.last is None:
                break
            check(world.disk)  # type: ignore[arg-type]
            state = world.state("1")
            if not ended:
                assert state == ("claimed", str(boss.me)), pausing.last
                boss.release("1")
                assert world.state("1") == ("ready", "2"), pausing.last
            elif step == "complete":
                assert state[0] == "done", pausing.last
        assert refused > 5


class TestSweepingUp:
    def test_a_crash_between_eviction_and_sweep_is_made_good_by_anyone(self, world: World) -> None:
        world.add("1")
        zombie, boss = world.join("zombie"), world.join("boss")
        world.taken(zombie, "1")
        world.files.move(zombie.home, paths.departed_dir(zombie.me, boss.me))
        assert world.state("1") == ("departed", f"{zombie.me}~{boss.me}")
        world.janitor("third").tidy()
        assert world.state("1") == ("ready", "2")
        assert world.outcomes("1") == [(1, "evicted")]

    def test_who_left_has_failed_at_nothing(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        world.files.move(worker.home, paths.departed_dir(worker.me, worker.me))
        world.janitor().tidy()
        assert world.outcomes("1") == [(1, "released")]

    def test_an_adding_cut_short_is_finished_and_a_lost_race_is_cleared(self, world: World) -> None:
        world.add("1")
        world.files.move(world.at("1"), "queue/new/1~000001token")
        birth = world.queue.birth("1")
        assert birth is not None
        world.files.move("queue/new/1~000001token", paths.new_ticket("1", birth.nonce))
        world.files.ticket(paths.new_ticket("1", "another"))
        world.files.ticket(paths.new_ticket("2", "slow"))
        world.files.put("queue/new/README", b"foreign")
        world.janitor().tidy()
        assert world.state("1") == ("ready", "2")
        assert sorted(world.files.scan(paths.NEW)) == ["2~slow", "README"]

    def test_a_truncated_birth_holds_up_nobody(self, world: World) -> None:
        for task in ("1", "2"):
            world.queue.create(records.define(task, "x"), 0)
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
        told = [event for event in events if event["event"] == "unreadable"]
        assert told[0]["path"] == paths.birth("1")
        assert "is not JSON" in told[0]["reason"]

    def test_on_a_full_disk_the_claims_go_back_and_only_the_hand_over_is_lost(self, world: World) -> None:
        world.add("1")
        zombie, boss = world.join("zombie"), world.join("boss")
        world.taken(zombie, "1")
        world.on(Failing(world.disk, full)).evict(zombie.me, boss.me)
        assert world.state("1") == ("ready", "2")
        assert world.outcomes("1") == []
