"""Bad files and bad disks: a clear error that names the file, nothing lost, the other tasks go on."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable

import pytest
from support.faults import Call, Failing, Fault, full, no_inodes, read_only, unreadable
from support.memory import MemoryDisk
from support.tree import check_at_rest, situation
from support.worlds import World

from peercoord.errors import BrokenFileError, PeercoordError, StorageError
from peercoord.membership import membership as members
from peercoord.store import paths, records
from peercoord.store.paths import Ticket

BROKEN = [b"{,", b'{"task_id": 1, "title"', b"[]", b"null", b"\xff\xfe\x00", b'{"task_id": 2, "title": "x"}']
BROKEN += [b'{"task_id": 1}', b'{"task_id": 1, "title": "x", "dependencies": "2"}', b"x" * ((1 << 20) + 1)]


@pytest.fixture
def memory() -> World:
    return World.new(MemoryDisk())


class TestBrokenDefinitions:
    @pytest.mark.parametrize("data", BROKEN, ids=lambda data: repr(data[:20]))
    def test_it_is_set_aside_and_parked_and_the_others_go_on(self, world: World, data: bytes) -> None:
        world.add("1", priority="critical")
        world.add("2")
        world.add("3", needs=("1",))
        world.files.put(paths.definition("1"), data)
        worker = world.join("w")
        assert list(world.drained(worker)) == ["2"]
        assert world.state("1") == ("parked", "unreadable")
        assert world.state("3") == ("waiting", "1")
        aside = world.files.set_aside(paths.definition("1"))
        assert world.disk.read(aside, len(data) + 1) == data
        why = world.files.read(f"{aside}.why")
        assert why is not None
        assert why.startswith(paths.definition("1").encode())
        assert not world.files.listed(paths.definition("1"))
        with pytest.raises(BrokenFileError, match=re.escape(aside)) as caught:
            world.queue.definition("1")
        assert "peercoord task reopen 1" in caught.value.hint
        world.janitor().tidy()
        assert world.state("1") == ("parked", "unreadable")

    def test_reopened_it_is_taken_as_it_was_added(self, world: World) -> None:
        world.add("1")
        world.files.put(paths.definition("1"), b"{,")
        worker = world.join("w")
        assert worker.request() is None
        world.queue.reopen("1")
        assert world.queue.definition("1").title == "Task 1"
        assert list(world.drained(worker)) == ["1"]

    def test_a_mended_copy_is_taken_up_by_the_next_tidying(self, world: World) -> None:
        world.add("1")
        mended = records.encode({**world.queue.definition("1").raw, "title": "Mended"})
        world.files.put(paths.definition("1"), b"{,")
        worker = world.join("w")
        assert worker.request() is None
        world.files.put(paths.definition("1"), mended)
        world.janitor().tidy()
        claim = worker.request()
        assert claim is not None
        assert claim.definition.title == "Mended"

    def test_a_lost_file_is_made_anew_from_the_birth(self, world: World) -> None:
        world.add("1")
        world.files.remove(paths.definition("1"))
        assert world.queue.definition("1").title == "Task 1"
        assert world.files.listed(paths.definition("1"))

    def test_broken_in_someones_hands_it_is_parked_and_the_holder_goes_on(self, world: World) -> None:
        world.add("1")
        world.add("2")
        worker = world.join("w")
        world.taken(worker, "1")
        world.files.put(paths.definition("1"), b"{,")
        world.taken(worker, "2")
        assert world.state("1") == ("parked", "unreadable")

    @pytest.mark.parametrize("fault", ["broken", "unreadable"])
    @pytest.mark.parametrize("end", ["complete", "release", "fail"])
    def test_work_on_it_can_still_be_ended(self, memory: World, end: str, fault: str) -> None:
        memory.add("1", steps=[{"id": 1, "title": "a"}])
        worker = memory.join("w")
        memory.taken(worker, "1")
        worker.report("1", {"achievements": ["half"], "steps": [1]})
        rule = unreadable(paths.definition("1"))
        if fault == "broken":
            memory.files.put(paths.definition("1"), b"{,")
            rule = unreadable()
        late = memory.on(Failing(memory.disk, rule)).resume(worker.me)
        said = {"achievements": ["all"], "steps": [1]}
        late.complete("1", said) if end == "complete" else getattr(late, end)("1", "x")
        assert memory.state("1") == (("done", "") if end == "complete" else ("parked", "unreadable"))
        result = memory.queue.result("1")
        assert result is not None
        assert result[2]["achievements"] == (["half", "all"] if end == "complete" else ["half"])

    def test_who_holds_it_and_may_not_read_it_is_given_another(self, memory: World) -> None:
        memory.add("1")
        memory.add("2")
        worker = memory.join("w")
        memory.taken(worker, "1")
        blind = memory.on(Failing(memory.disk, unreadable(paths.definition("1"))))
        memory.taken(blind.resume(worker.me), "2")
        assert memory.state("1") == ("parked", "unreadable")

    def test_one_ticket_that_will_not_move_holds_up_no_other(self, memory: World) -> None:
        memory.add("1")
        for task in ("2", "3", "4"):
            memory.add(task, needs=("1",))
        worker = memory.join("w")
        memory.taken(worker, "1")
        stuck = Failing(memory.disk, lambda c: Fault(errno.EIO) if c.name == "rename" and "/3~" in c.args[0] else None)
        memory.on(stuck).resume(worker.me).complete("1")
        assert [memory.state(task) for task in "234"] == [("ready", "2"), ("waiting", "1"), ("ready", "2")]
        memory.janitor().tidy()
        assert memory.state("3") == ("ready", "2")

    def test_it_can_still_be_given_back(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        world.files.put(paths.definition("1"), b"{,")
        assert worker.release("1") == "queue/parked/unreadable/1~1"

    def test_a_directory_in_its_place_is_set_aside_too(self, world: World) -> None:
        world.add("1")
        world.add("2")
        world.files.remove(paths.definition("1"))
        world.files.ticket(f"{paths.definition('1')}/inside")
        assert list(world.drained(world.join("w"))) == ["2"]
        assert world.state("1") == ("parked", "unreadable")
        aside = world.files.set_aside(paths.definition("1"))
        assert world.files.scan(aside) == ["inside"]

    def test_nothing_is_written_over_a_file_that_could_not_be_set_aside(self, memory: World) -> None:
        memory.add("1")
        memory.files.put(paths.definition("1"), b"{ a person's work")
        stuck = Failing(memory.disk, lambda c: Fault(errno.EACCES) if c.path.startswith("quarantine/") else None)
        with pytest.raises(BrokenFileError, match=paths.definition("1")):
            memory.on(stuck).queue.definition("1")
        assert memory.files.read(paths.definition("1")) == b"{ a person's work"

    @pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
    def test_nor_over_one_that_the_filesystem_denies(self, memory: World, number: int) -> None:
        memory.add("1")
        memory.queue.edit("1", title="Edited")
        lie = Failing(memory.disk, _once("read", paths.definition("1"), Fault(number)))
        memory.on(lie).queue.definition("1")
        assert memory.queue.definition("1").title == "Edited"

    def test_who_may_not_read_it_is_told_and_goes_on_with_the_others(self, memory: World) -> None:
        memory.add("1", priority="critical")
        memory.add("2")
        memory.add("3", needs=("1",))
        worker = memory.join("w")
        blind = memory.on(Failing(memory.disk, unreadable(paths.definition("1"))))
        assert list(memory.drained(blind.resume(worker.me))) == ["2"]
        assert memory.state("1") == ("parked", "unreadable")
        assert blind.queue.location_of("1").reason.startswith(f"{paths.definition('1')}: permission denied")
        blind.janitor().tidy()
        assert memory.state("1") == ("parked", "unreadable")
        assert memory.files.listed(paths.definition("1"))
        memory.janitor().tidy()
        assert list(memory.drained(worker)) == ["1", "3"]


def _once(name: str, path: str, fault: Fault) -> Callable[[Call], Fault | None]:
    left = [fault]
    return lambda call: left.pop() if left and call.name == name and call.path == path else None


class TestBrokenOthers:
    def test_a_broken_birth_is_left_where_it_is_and_the_task_goes_on(self, world: World) -> None:
        world.add("1")
        world.add("2")
        world.files.put(paths.birth("1"), b"{")
        with pytest.raises(BrokenFileError, match=f"^{paths.birth('1')}"):
            world.queue.birth("1")
        assert sorted(world.drained(world.join("w"))) == ["1", "2"]
        assert world.files.read(paths.birth("1")) == b"{"

    @pytest.mark.parametrize("data", [b"", b"\0" * 90, b"{", b"[]", b"\xff"])
    def test_a_broken_result_says_nothing_and_its_name_still_counts(self, world: World, data: bytes) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        worker.release("1")
        world.files.put(paths.result("1", 1, "released"), data)
        claim = worker.request()
        assert claim is not None
        assert claim.hand_over == {"epoch": 1, "outcome": "released"}
        assert world.outcomes("1") == [(1, "released")]

    def test_a_broken_assignment_record_changes_no_order(self, world: World) -> None:
        world.add("1")
        worker = world.join("w")
        world.taken(worker, "1")
        world.files.put(paths.assignment(worker.home, Ticket("1", 1)), b"{")
        assert [ticket.task for ticket in worker.held()] == ["1"]
        worker.complete("1")

    def test_a_lost_result_of_completed_work_is_noted_as_lost(self, world: World) -> None:
        world.add("1")
        worker, boss = world.join("w"), world.join("boss")
        world.taken(worker, "1")
        world.files.move(paths.claim(worker.home, Ticket("1", 1)), paths.claim(worker.home, Ticket("1", 1, done=True)))
        world.evict(worker.me, boss.me)
        result = world.queue.result("1")
        assert result is not None
        assert result[:2] == (1, "done")
        assert "lost" in result[2]["reason"]


class TestFullDisk:
    @pytest.mark.parametrize("rule", [full, no_inodes])
    def test_adding_is_refused_and_changes_nothing(self, memory: World, rule: Callable[[Call], Fault | None]) -> None:
        memory.add("1")
        before = memory.disk.files()  # type: ignore[attr-defined]
        with pytest.raises(StorageError, match="the disk is full") as caught:
            memory.on(Failing(memory.disk, rule)).add("2", needs=("1",))
        assert "claims, releases and heartbeats go on" in caught.value.hint
        assert memory.disk.files() == before  # type: ignore[attr-defined]

    @pytest.mark.parametrize("end", ["complete", "fail", "park"])
    def test_what_needs_a_record_is_refused_and_changes_nothing(self, memory: World, end: str) -> None:
        memory.add("1")
        worker = memory.join("w")
        memory.taken(worker, "1")
        before = situation(memory.disk)  # type: ignore[arg-type]
        tight = memory.on(Failing(memory.disk, full)).resume(worker.me)
        arguments = {"fail": ("1", "x"), "park": ("1", "review", "x")}.get(end, ("1",))
        with pytest.raises(StorageError, match="the disk is full"):
            getattr(tight, end)(*arguments)
        assert situation(memory.disk) == before  # type: ignore[arg-type]
        getattr(worker, end)(*arguments)

    @pytest.mark.parametrize("rule", [full, no_inodes])
    def test_claims_releases_beats_and_evictions_go_on(
        self, memory: World, rule: Callable[[Call], Fault | None]
    ) -> None:
        for task in ("1", "2"):
            memory.add(task)
        one, two = memory.join("one"), memory.join("two")
        tight = memory.on(Failing(memory.disk, rule))
        first, second = tight.resume(one.me), tight.resume(two.me)
        for _ in range(2):
            memory.taken(first, "1")
            assert first.membership.beat() > 0
            assert first.release("1")
            assert memory.state("1") == ("ready", "2")
        memory.taken(first, "1")
        memory.taken(second, "2")
        assert tight.evict(one.me, two.me)
        assert memory.state("1") == ("ready", "2")
        check_at_rest(memory.disk)  # type: ignore[arg-type]

    def test_a_ticket_is_given_back_though_there_is_no_room_for_its_shard(self, memory: World) -> None:
        memory.queue.create(records.define("1", "x"), 700)
        worker = memory.join("w")
        memory.taken(worker, "1")
        assert "000002" in memory.files.scan("queue/ready/2")
        memory.files.remove_dir("queue/ready/2/000002")
        tight = memory.on(Failing(memory.disk, full)).resume(worker.me)
        assert tight.release("1") == "queue/ready/2/000000/1~1"
        assert list(memory.drained(worker)) == ["1"]

    @pytest.mark.parametrize("end", ["release", "evict"])
    def test_what_was_edited_to_wait_is_given_back_once_there_is_room(self, memory: World, end: str) -> None:
        """END-1: for a directory of its own there is none."""
        memory.add("1")
        memory.add("2", priority="critical")
        worker, boss = memory.join("w"), memory.join("boss")
        mine = memory.taken(worker, "2")
        memory.queue.edit("2", dependencies=["1"])
        tight = memory.on(Failing(memory.disk, full))
        if end == "release":
            with pytest.raises(StorageError, match="the disk is full"):
                tight.resume(worker.me).release("2")
            assert worker.held() == [mine]
            worker.release("2")
        else:
            assert tight.evict(worker.me, boss.me)
            assert memory.state("2") == ("departed", f"{worker.me}~{boss.me}")
            memory.janitor().tidy()
        assert memory.at("2") == "queue/waiting/1/2~1"
        check_at_rest(memory.disk)  # type: ignore[arg-type]

    def test_a_ticket_is_placed_though_a_crowd_removes_its_shard_as_often_as_it_is_made(self, memory: World) -> None:
        memory.add("1")
        memory.queue.create(records.define("2", "waits", dependencies=["1"]), 700)
        shard = "queue/ready/2/000002"

        def crowd(call: Call) -> Fault | None:
            if call.name == "rename" and call.path.startswith(shard) and shard in memory.disk.folders():  # type: ignore[attr-defined]
                memory.disk.rmdir(shard)
            return None

        worker = memory.on(Failing(memory.disk, crowd)).join("w")
        assert worker.request()
        worker.complete("1")
        assert memory.queue.find("2").path == "queue/ready/2/000000/2~0"
        assert list(memory.drained(worker)) == ["2"]

    def test_what_was_completed_before_is_filed_once_there_is_room(self, memory: World) -> None:
        for task in ("1", "2"):
            memory.add(task)
        worker = memory.join("w")
        memory.taken(worker, "1")
        memory.files.move(paths.claim(worker.home, Ticket("1", 1)), paths.claim(worker.home, Ticket("1", 1, done=True)))
        tight = memory.on(Failing(memory.disk, full)).resume(worker.me)
        memory.taken(tight, "2")
        assert memory.state("1") == ("claimed", str(worker.me))
        worker.held()
        assert memory.state("1")[0] == "done"

    def test_a_disk_that_fills_up_in_the_middle_loses_no_task(self, memory: World) -> None:
        """At whatever call of adding or completing it is full from then on: the call says so, or it holds."""
        for sequence in ("add", "complete"):
            at = 0
            while True:
                at += 1
                world = World.new(MemoryDisk())
                world.add("1")
                world.add("3", needs=("1",))
                worker = world.join("w")
                world.taken(worker, "1")
                count = [0]

                def filling(call: Call, count: list[int] = count, at: int = at) -> Fault | None:
                    count[0] += 1
                    return full(call) if count[0] >= at else None

                late = world.on(Failing(world.disk, filling))
                held = True
                try:
                    late.add("2") if sequence == "add" else late.resume(worker.me).complete("1")
                except StorageError:
                    held = False
                born = world.queue.birth("2") is not None
                done = world.queue.is_done("1") or world.files.listed(paths.claim(worker.home, Ticket("1", 1, True)))
                assert held == (born if sequence == "add" else done), at
                world.janitor().tidy()
                worker.held()
                check_at_rest(world.disk)  # type: ignore[arg-type]
                if count[0] < at:
                    break
            assert at > 10


class TestReadOnly:
    def test_everything_can_be_looked_at_and_nothing_changed(self, memory: World) -> None:
        for task in ("1", "2", "4"):
            memory.add(task)
        memory.add("3", needs=("1",))
        worker = memory.join("w")
        memory.taken(worker, "1")
        memory.files.put(paths.definition("2"), b"{,")
        memory.files.remove(paths.definition("4"))
        before = memory.disk.files()  # type: ignore[attr-defined]
        frozen = memory.on(Failing(memory.disk, read_only))
        assert {task: seen.state for task, seen in frozen.queue.survey().items()} == {
            "1": "claimed",
            "2": "ready",
            "3": "waiting",
            "4": "ready",
        }
        assert frozen.queue.definition("1").title == "Task 1"
        assert frozen.queue.definition("4").title == "Task 4"
        with pytest.raises(BrokenFileError, match=paths.definition("2")):
            frozen.queue.definition("2")
        assert members.living(frozen.root) == [worker.me]
        stuck = frozen.resume(worker.me)
        for step in (
            stuck.membership.beat,
            lambda: stuck.complete("1"),
            lambda: stuck.release("1"),
            lambda: stuck.fail("1", "x"),
            lambda: stuck.report("1", {"progress": 0.5}),
            lambda: frozen.add("5"),
            lambda: frozen.queue.edit("1", title="x"),
            lambda: frozen.queue.cancel("1"),
            lambda: frozen.queue.reopen("2"),
            lambda: frozen.join("x"),
            lambda: frozen.evict(worker.me, worker.me),
        ):
            with pytest.raises(PeercoordError, match=r"read-only|could not be read|is not JSON|is held by"):
                step()
        assert memory.disk.files() == before  # type: ignore[attr-defined]


class TestNoRawErrors:
    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES, errno.ENOENT, errno.ESTALE, errno.ELOOP])
    def test_no_step_answers_with_an_error_of_the_system(self, number: int) -> None:
        """Every call of every step refused once: what comes out is an answer or an error of ours."""
        steps: dict[str, Callable[[World, World], object]] = {
            "add": lambda here, _: here.add("9", needs=("1",)),
            "born done": lambda here, _: here.queue.add(records.define("9", "x"), done=True),
            "join": lambda here, _: here.join("x"),
            "request": lambda here, there: here.resume(members.living(there.root)[0]).request(),
            "report": lambda here, there: here.resume(members.living(there.root)[1]).report("1", {"progress": 0.5}),
            "complete": lambda here, there: here.resume(members.living(there.root)[1]).complete("1"),
            "fail": lambda here, there: here.resume(members.living(there.root)[1]).fail("1", "x"),
            "release": lambda here, there: here.resume(members.living(there.root)[1]).release("1"),
            "park": lambda here, there: here.resume(members.living(there.root)[1]).park("1", "review", "x"),
            "beat": lambda here, there: here.resume(members.living(there.root)[0]).membership.beat(),
            "update": lambda here, there: here.resume(members.living(there.root)[0]).membership.update(x=1),
            "edit": lambda here, _: here.queue.edit("2", priority="low"),
            "cancel": lambda here, _: here.queue.cancel("2"),
            "reopen": lambda here, _: here.queue.reopen("2"),
            "survey": lambda here, _: here.queue.survey(),
            "evict": lambda here, there: here.evict(*reversed(members.living(there.root))),
            "tidy": lambda here, _: here.janitor().tidy(),
        }
        for name, step in steps.items():
            base = World.new(MemoryDisk())
            base.add("1")
            base.add("2", needs=("1",))
            base.join("boss")
            base.taken(base.join("w"), "1")
            at, met, refused = 0, True, 0
            while met:
                at += 1
                disk = base.disk.copy()  # type: ignore[attr-defined]
                count = [0]

                def once(call: Call, count: list[int] = count, at: int = at) -> Fault | None:
                    count[0] += 1
                    return Fault(number) if count[0] == at else None

                try:
                    step(base.on(Failing(disk, once)), base.on(disk))
                except PeercoordError:
                    refused += 1
                except OSError as error:
                    pytest.fail(f"{name}, call {at}: {error!r}")
                met = count[0] >= at
            assert refused > 0 or name in ("tidy", "survey", "evict") or number in (errno.ENOENT, errno.ESTALE), name
