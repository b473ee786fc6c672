"""Being a peer: one living incarnation of a name, a heartbeat only it can move, no way back once evicted."""

from __future__ import annotations

import errno
from contextlib import suppress

import pytest
from support.faults import Counting, Crash, Crashing, Failing, Fault, Pausing, full
from support.memory import MemoryDisk
from support.tree import check
from support.worlds import World, dead, unknown

from peercoord.errors import EvictedError, StorageError, UsageError
from peercoord.membership import membership as members
from peercoord.membership.membership import Membership
from peercoord.store import paths, records
from peercoord.store.paths import Incarnation


def join(world: World, peer: str, least: int = 1) -> Membership:
    """Join where everybody else is dead."""
    return members.join(world.root, peer, {"agent": None}, dead, world.janitor(peer).evict, least)


class TestJoining:
    def test_a_peer_appears_whole(self, world: World) -> None:
        me = world.join("w")
        assert str(me.me).startswith("w~1.")
        assert members.living(world.root) == [me.me]
        assert sorted(world.files.scan(me.home)) == ["assignments", "beat~0", "claims", "peer.json"]
        record = me.membership.record()
        assert (record["peer"], record["incarnation"]) == ("w", str(me.me))
        assert world.files.scan(paths.TMP) == []

    def test_a_living_name_is_taken(self, world: World) -> None:
        me = world.join("w")
        with pytest.raises(UsageError, match=f"there is a peer w already.*{me.me}: nothing is known of it") as caught:
            world.join("w")
        assert caught.value.code == "name-taken"
        assert members.living(world.root) == [me.me]

    def test_a_dead_incarnation_is_evicted_and_its_claims_go_back(self, world: World) -> None:
        world.add("1")
        old = world.join("w")
        world.taken(old, "1")
        new = join(world, "w")
        assert new.me.number == 2
        assert members.living(world.root) == [new.me]
        assert members.departed(world.root) == [(old.me, new.me)]
        assert world.state("1") == ("ready", "2")

    def test_numbers_rise_over_the_living_the_departed_and_what_the_worktree_remembers(self, world: World) -> None:
        for number in (1, 2, 3):
            assert join(world, "w").me.number == number
        assert join(world, "w", least=9).me.number == 9
        assert join(world, "w", least=2).me.number == 10
        assert world.join("other").me.number == 1

    @pytest.mark.parametrize("name", ["", "a/b", "..", "a~b", "x" * 65, "a b", "\x1b[31m"])
    def test_a_name_is_an_id(self, world: World, name: str) -> None:
        with pytest.raises(UsageError, match=r"^peer name "):
            world.join(name)
        assert world.files.scan(paths.PEERS) == []

    def test_a_full_disk_lets_nobody_in_and_says_so(self, world: World) -> None:
        with pytest.raises(StorageError, match="the disk is full"):
            world.on(Failing(world.disk, full)).join("w")
        assert world.files.scan(paths.PEERS) == []

    def test_a_new_name_that_differs_only_in_case_is_refused(self, world: World) -> None:
        """NAM-4: from one that is living, and from one that was here."""
        worker = world.join("Amber")
        for _ in range(2):
            with pytest.raises(UsageError, match="peer name amber differs from Amber only in case") as caught:
                world.join("amber")
            assert (caught.value.code, caught.value.exit_code) == ("case-twin", 2)
            assert {who.peer for who in members.living(world.root)} <= {"Amber"}
            world.files.move(worker.home, paths.departed_dir(worker.me, worker.me), make_home=True)
        assert world.join("Amber").me.number == 2

    def test_two_such_names_that_a_team_has_already_go_on(self, world: World) -> None:
        """NAM-4: both may join again, whether living or departed."""
        upper = world.join("Amber")
        other = Incarnation("amber", 1, "0ld")
        members._build(world.root, other, {})
        world.evict(other, upper.me)
        assert world.join("amber").me.number == 2
        world.evict(upper.me, other)
        assert world.join("Amber").me.number == 2

    def test_who_is_evicted_on_joining_names_an_incarnation_that_may_never_come_to_be(self, world: World) -> None:
        """MBR-3, NAM-5: ``<by>`` is what the joiner is about to be, and is not counted afterwards."""
        old = world.join("w")
        world.files.remove_dir(paths.TMP)
        broken = world.on(Failing(world.disk, lambda call: Fault(errno.ENOSPC) if call.name == "create" else None))
        with pytest.raises(StorageError):
            members.join(broken.root, "w", {}, dead, broken.janitor("w").evict)
        ((who, by),) = members.departed(world.root)
        assert (who, by.peer, by.number) == (old.me, "w", 2)
        assert world.join("w").me.number == 2

    def test_it_works_where_the_directory_of_peers_was_cleaned_away(self, world: World) -> None:
        for home in (paths.PEERS, paths.DEPARTED, paths.TMP):
            world.files.remove_dir(home)
        old = world.join("w")
        new = join(world, "w")
        assert members.departed(world.root) == [(old.me, new.me)]
        new.require()

    def test_of_two_that_join_at_once_at_most_one_stays(self) -> None:
        """Whatever the moment at which the second comes, and whatever their numbers."""
        outcomes = set()
        for at in range(1, 60):
            world = World.new(MemoryDisk())
            other: list[Incarnation] = []

            def meanwhile(world: World = world, other: list[Incarnation] = other) -> None:
                with suppress(UsageError):
                    other.append(world.join("w").me)

            pausing = Pausing(world.disk, at, meanwhile)
            try:
                mine = [world.on(pausing).join("w").me]
            except UsageError:
                mine = []
            if pausing.last is None:
                break
            world.janitor().tidy()
            living = members.living(world.root)
            assert len(living) == 1
            assert living == (mine or other), pausing.last
            everyone = [*living, *(who for who, _ in members.departed(world.root))]
            assert len(everyone) == len(set(everyone))
            outcomes.add(bool(mine))
        assert outcomes == {True, False}
        assert at > 10

    def test_a_number_is_not_given_twice_though_its_owner_departs_meanwhile(self) -> None:
        for at in range(1, 60):
            world = World.new(MemoryDisk())
            first = world.join("w")
            boss = world.join("boss")
            pausing = Pausing(world.disk, at, lambda w=world, f=first, b=boss: w.evict(f.me, b.me))
            second = members.join(world.on(pausing).root, "w", {}, dead, world.janitor("w").evict)
            if pausing.last is None:
                break
            assert second.me.number == 2, pausing.last
        assert at > 5

    @pytest.mark.parametrize("mode", ["before", "after", "torn"])
    def test_a_crash_leaves_a_whole_peer_or_none(self, mode: str) -> None:
        at = 0
        seen = set()
        while True:
            at += 1
            world = World.new(MemoryDisk())
            try:
                world.on(Crashing(world.disk, at, mode)).join("w")
            except Crash:
                check(world.disk)  # type: ignore[arg-type]
                seen.add(len(members.living(world.root)))
            else:
                break
        assert seen == {0, 1}


class TestBeating:
    def test_each_beat_is_the_next_number(self, world: World) -> None:
        me = world.join("w").membership
        assert [me.beat() for _ in range(3)] == [1, 2, 3]
        assert [n for n in world.files.scan(me.home) if n.startswith("beat")] == ["beat~3"]

    def test_a_challenge_is_answered_by_the_next_number(self, world: World) -> None:
        me, other = world.join("w").membership, world.join("x")
        world.files.move(paths.beat(me.home, 0), paths.beat(me.home, 0, other.me))
        assert me.beat() == 1
        assert [n for n in world.files.scan(me.home) if n.startswith("beat")] == ["beat~1"]

    def test_a_lost_heartbeat_begins_anew(self, world: World) -> None:
        me = world.join("w").membership
        world.files.remove(paths.beat(me.home, 0))
        world.files.put(f"{me.home}/beat~x", b"foreign")
        assert me.beat() == 1

    def test_no_write_is_needed_for_it(self, world: World) -> None:
        me = world.join("w")
        counting = Counting(Failing(world.disk, full))
        again = world.on(counting).resume(me.me).membership
        assert [again.beat() for _ in range(3)] == [1, 2, 3]
        assert {call.name for call in counting.changes} == {"rename"}

    def test_two_processes_of_one_peer_beat_together(self) -> None:
        for at in range(1, 10):
            world = World.new(MemoryDisk())
            me = world.join("w")
            pausing = Pausing(world.disk, at, me.membership.beat)
            assert world.on(pausing).resume(me.me).membership.beat() in (1, 2)

    def test_a_heartbeat_that_never_moves_is_an_error_and_no_endless_loop(self, world: World) -> None:
        me = world.join("w")
        stuck = Failing(world.disk, lambda call: Fault(errno.ENOENT) if call.name in ("rename", "stat") else None)
        with pytest.raises(StorageError, match="beat"):
            world.on(stuck).resume(me.me).membership.beat()


class TestBeingEvicted:
    def test_it_is_told_who_did_it(self, world: World) -> None:
        me, boss = world.join("w"), world.join("boss")
        world.evict(me.me, boss.me)
        for step in (me.membership.require, me.membership.beat, lambda: me.membership.update(session=1)):
            with pytest.raises(EvictedError, match=f"{me.me} was evicted by boss$"):
                step()

    def test_who_left_is_told_that(self, world: World) -> None:
        me = world.join("w")
        world.evict(me.me, me.me)
        with pytest.raises(EvictedError, match=f"{me.me} has left$"):
            me.membership.require()
        world.disk.rename(paths.departed_dir(me.me, me.me), "tmp/gone")
        with pytest.raises(EvictedError, match=f"{me.me} is gone$"):
            me.membership.require()

    @pytest.mark.parametrize("step", ["beat", "update", "request", "report", "record"])
    def test_no_step_however_late_brings_it_back(self, step: str) -> None:
        """It stands still before any one of its calls, is evicted, and goes on: its directory stays gone."""
        at = 0
        while True:
            at += 1
            world = World.new(MemoryDisk())
            world.add("1")
            me, boss = world.join("w"), world.join("boss")
            if step in ("report", "record"):
                world.taken(me, "1")
            pausing = Pausing(world.disk, at, lambda w=world, m=me, b=boss: w.evict(m.me, b.me))
            zombie = world.on(pausing).resume(me.me)
            steps = {
                "beat": zombie.membership.beat,
                "update": lambda z=zombie: z.membership.update(session={"pid": 1}),
                "request": zombie.request,
                "report": lambda z=zombie: z.report("1", {"progress": 0.5}),
                "record": lambda z=zombie, w=world: z.record(paths.Ticket("1", 1), w.queue.definition("1")),
            }
            with suppress(EvictedError, StorageError):
                steps[step]()
            if pausing.last is None:
                break
            assert members.living(world.root) == [boss.me], pausing.last
            check(world.disk)  # type: ignore[arg-type]
            with pytest.raises(EvictedError):
                zombie.membership.require()
        assert at > 2

    def test_it_rejoins_as_the_next_incarnation(self, world: World) -> None:
        me, boss = world.join("w"), world.join("boss")
        world.evict(me.me, boss.me)
        again = world.join("w")
        assert again.me.number == 2
        assert again.membership.beat() == 1


class TestRecords:
    def test_facts_are_added_and_the_others_stay(self, world: World) -> None:
        me = world.join("w").membership
        me.update(session={"pid": 7})
        me.update(agent={"pid": 8})
        record = me.record()
        assert (record["session"], record["agent"], record["peer"]) == ({"pid": 7}, {"pid": 8}, "w")

    def test_nothing_new_is_not_written(self, world: World) -> None:
        me = world.join("w")
        me.membership.update(session=7)
        counting = Counting(world.disk)
        world.on(counting).resume(me.me).membership.update(session=7)
        assert counting.changes == []

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"])
    def test_a_broken_record_of_another_is_left_alone(self, world: World, data: bytes) -> None:
        me = world.join("w")
        world.files.put(paths.peer_record(me.home), data)
        assert members.read_record(world.root, me.home) is None
        assert world.files.read(paths.peer_record(me.home)) == data
        assert world.files.scan(paths.QUARANTINE) == []
        me.membership.update(session=7)
        assert me.membership.record()["session"] == 7

    def test_foreign_names_among_the_peers_are_nobody(self, world: World) -> None:
        me = world.join("w")
        for name in ("README", ".DS_Store", "w", "w~", "w~01.x", "w~1", "w~1.x~y~2.z"):
            world.files.put(f"foreign-{name}", b"")
            world.disk.rename(f"foreign-{name}", f"peers/{name}")
            world.disk.mkdir(f"departed/{name}") if name != "w~1.x~y~2.z" else None
        assert members.living(world.root) == [me.me]
        assert members.departed(world.root) == []
        world.janitor().tidy()

    def test_unknown_verdicts_evict_nobody(self, world: World) -> None:
        me = world.join("w")
        evicted: list[object] = []
        with pytest.raises(UsageError):
            members.join(world.root, "w", {}, unknown, lambda *who: evicted.append(who))
        assert evicted == []
        me.membership.require()

    def test_a_record_that_cannot_be_written_keeps_the_peer_out(self, world: World) -> None:
        with pytest.raises(UsageError, match="JSON"):
            members.join(world.root, "w", {"x": "\udcff"}, unknown, lambda *_: True)
        assert world.files.scan(paths.PEERS) == []
        assert records.encode(world.join("w").membership.record())
