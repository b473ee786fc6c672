"""Being a peer: one living incarnation of a name, a heartbeat that only it moves, no way back after an eviction."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress

import pytest
from support.faults import Counting, Failing, Fault, Meanwhile, Pausing, full, renames_to
from support.tree import check
from support.worlds import World, dead, unknown

from peercoord.errors import DownError, EvictedError, StorageError, UsageError
from peercoord.membership import membership as members
from peercoord.membership.membership import Membership
from peercoord.queue.worker import Worker
from peercoord.store import down, paths
from peercoord.store.paths import Incarnation


def join(world: World, peer: str, least: int = 1) -> Membership:
    """Join where every other peer is dead."""
    return members.join(world.root, peer, {"agent": None}, dead, world.janitor(peer).evict, least)


class TestJoining:
    def test_numbers_rise_over_the_living_the_departed_and_the_worktrees_memory(self, world: World) -> None:
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

    def test_a_peer_that_cannot_be_recorded_does_not_join(self, world: World) -> None:
        with pytest.raises(StorageError, match="the disk is full"):
            world.on(Failing(world.disk, full)).join("w")
        with pytest.raises(UsageError, match="JSON"):
            members.join(world.root, "w", {"x": "\udcff"}, unknown, lambda *_: True)
        assert world.files.scan(paths.PEERS) == []

    def test_a_name_that_differs_only_in_case_is_refused(self, world: World) -> None:
        """NAM-4: from a living peer, and from one that was here."""
        worker = world.join("Amber")
        for _ in range(2):
            with pytest.raises(UsageError, match="peer name amber differs from Amber only in case") as caught:
                world.join("amber")
            assert (caught.value.code, caught.value.exit_code) == ("case-twin", 2)
            world.files.move(worker.home, paths.departed_dir(worker.me, worker.me), make_home=True)
        assert world.join("Amber").me.number == 2

    def test_two_such_names_that_a_team_already_has_go_on(self, world: World) -> None:
        """NAM-4: both may join again, whether living or departed."""
        upper = world.join("Amber")
        other = Incarnation("amber", 1, "0ld")
        members._build(world.root, other, {})
        world.evict(other, upper.me)
        assert world.join("amber").me.number == 2
        world.evict(upper.me, other)
        assert world.join("Amber").me.number == 2

    def test_a_failed_joiner_may_have_evicted_its_dead_predecessor(self, world: World) -> None:
        """MBR-3, NAM-5: ``<by>`` is the incarnation it was about to be, which is not counted afterwards."""
        old = world.join("w")
        world.files.remove_dir(paths.TMP)
        broken = world.on(Failing(world.disk, lambda call: Fault(errno.ENOSPC) if call.name == "create" else None))
        with pytest.raises(StorageError):
            join(broken, "w")
        ((who, by),) = members.departed(world.root)
        assert (who, by.peer, by.number) == (old.me, "w", 2)
        assert world.join("w").me.number == 2

    def test_missing_directories_are_made(self, world: World) -> None:
        for home in (paths.PEERS, paths.DEPARTED, paths.TMP):
            world.files.remove_dir(home)
        old = world.join("w")
        new = join(world, "w")
        assert members.departed(world.root) == [(old.me, new.me)]
        new.require()

    def test_a_number_is_not_given_twice_though_its_owner_departs_meanwhile(self) -> None:
        at = 0
        while True:
            at += 1
            world = World.new()
            first, boss = world.join("w"), world.join("boss")
            pausing = Pausing(world.disk, at, lambda w=world, f=first, b=boss: w.evict(f.me, b.me))
            second = members.join(world.on(pausing).root, "w", {}, dead, world.janitor("w").evict)
            if pausing.last is None:
                break
            assert second.me.number == 2, pausing.last
        assert at > 5


class TestWhileTheTeamIsDown:
    """MBR-10."""

    @pytest.mark.parametrize("content", [b"", b"{", b"[]"])
    def test_a_mark_that_cannot_be_read_says_that_the_team_is_down(self, world: World, content: bytes) -> None:
        world.memory.create(paths.DOWN, content, False)
        with pytest.raises(DownError, match="at an unknown time"):
            world.join("amber")

    def test_a_peer_that_joins_while_the_team_is_taken_down_leaves_again(self, world: World) -> None:
        mark = (renames_to("peers/"), lambda: down.write(world.root, "anna"))
        with pytest.raises(DownError):
            world.on(Meanwhile(world.disk, mark)).join("amber")
        assert world.files.scan(paths.PEERS) == []


class TestHeartbeat:
    def beats(self, world: World, me: Membership) -> list[str]:
        return [name for name in world.files.scan(me.home) if name.startswith("beat")]

    def test_a_beat_moves_the_heartbeat_to_its_next_number(self, world: World) -> None:
        """By a rename alone: it goes on when the disk is full."""
        worker = world.join("w")
        counting = Counting(Failing(world.disk, full))
        me = world.on(counting).resume(worker.me).membership
        assert [me.beat() for _ in range(3)] == [1, 2, 3]
        assert self.beats(world, me) == ["beat~3"]
        assert {call.name for call in counting.changes} == {"rename"}

    def test_a_lost_heartbeat_is_made_again_and_of_two_the_higher_moves(self, world: World) -> None:
        me = world.join("w").membership
        world.files.remove(paths.beat(me.home, 0))
        assert me.beat() == 1
        world.files.ticket(paths.beat(me.home, 7))
        assert me.beat() == 8

    def test_a_heartbeat_that_cannot_be_moved_is_an_error(self, world: World) -> None:
        me = world.join("w")
        stuck = Failing(world.disk, lambda call: Fault(errno.ENOENT) if call.name in ("rename", "stat") else None)
        with pytest.raises(StorageError, match="beat"):
            world.on(stuck).resume(me.me).membership.beat()


STEPS: dict[str, Callable[[Worker], object]] = {  # the others are in tests/crash
    "update": lambda worker: worker.membership.update(session={"pid": 1}),
    "record": lambda worker: worker.assignments.write(paths.Ticket("1", 1), worker.queue.definition("1")),
}


class TestBeingEvicted:
    def test_an_evicted_peer_is_told_who_did_it_and_may_join_again(self, world: World) -> None:
        me, boss = world.join("w"), world.join("boss")
        world.evict(me.me, boss.me)
        for step in (me.membership.require, me.membership.beat, lambda: me.membership.update(session=1)):
            with pytest.raises(EvictedError, match=f"{me.me} was evicted by boss$"):
                step()
        again = world.join("w")
        assert again.me.number == 2
        assert again.membership.beat() == 1

    def test_a_peer_that_left_is_told_so(self, world: World) -> None:
        me = world.join("w")
        world.evict(me.me, me.me)
        with pytest.raises(EvictedError, match=f"{me.me} has left$"):
            me.membership.require()
        world.disk.rename(paths.departed_dir(me.me, me.me), "tmp/gone")
        with pytest.raises(EvictedError, match=f"{me.me} is gone$"):
            me.membership.require()

    @pytest.mark.parametrize("step", STEPS)
    def test_no_late_step_brings_it_back(self, step: str) -> None:
        """It stands still before any one of its calls, is evicted, and goes on: its directory stays gone."""
        at = 0
        while True:
            at += 1
            world = World.new()
            me, boss = world.working("w"), world.join("boss")
            pausing = Pausing(world.disk, at, lambda w=world, m=me, b=boss: w.evict(m.me, b.me))
            with suppress(EvictedError, StorageError):
                STEPS[step](world.on(pausing).resume(me.me))
            if pausing.last is None:
                break
            assert members.living(world.root) == [boss.me], pausing.last
            check(world.disk)
        assert at > 2


class TestRecords:
    def test_new_facts_are_added_and_known_ones_are_not_written_again(self, world: World) -> None:
        me = world.join("w")
        me.membership.update(session={"pid": 7})
        me.membership.update(agent={"pid": 8})
        record = me.membership.record()
        assert (record["session"], record["agent"], record["peer"]) == ({"pid": 7}, {"pid": 8}, "w")
        counting = Counting(world.disk)
        world.on(counting).resume(me.me).membership.update(session={"pid": 7})
        assert counting.changes == []

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"])
    def test_a_broken_record_is_mended_by_its_own_peer_alone(self, world: World, data: bytes) -> None:
        me = world.join("w")
        world.files.put(paths.peer_record(me.home), data)
        assert members.read_record(world.root.files, me.home) is None
        assert world.files.read(paths.peer_record(me.home)) == data
        assert world.files.scan(paths.QUARANTINE) == []
        me.membership.update(session=7)
        assert me.membership.record()["session"] == 7
