"""Broken files and bad disks: a clear error that names the file, nothing lost, and the other tasks go on."""

from __future__ import annotations

import errno
import re

import pytest
from support.faults import Call, Failing, Fault, full, unreadable
from support.worlds import World

from peercoord.errors import BrokenFileError, LostError
from peercoord.store import paths, records
from peercoord.store.paths import Ticket

BROKEN = [b"{,", b'{"task_id": 1, "title"', b"[]", b"null", b"\xff\xfe\x00", b'{"task_id": 2, "title": "x"}']
BROKEN += [b'{"task_id": 1}', b'{"task_id": 1, "title": "x", "dependencies": "2"}', b"x" * ((1 << 20) + 1)]


class TestBrokenDefinitions:
    @pytest.mark.parametrize("data", BROKEN, ids=lambda data: repr(data[:20]))
    def test_a_broken_definition_is_set_aside_and_the_others_go_on(self, world: World, data: bytes) -> None:
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
        assert (world.files.read(f"{aside}.why") or b"").startswith(paths.definition("1").encode())
        assert not world.files.listed(paths.definition("1"))
        with pytest.raises(BrokenFileError, match=re.escape(aside)) as caught:
            world.queue.definition("1")
        assert "peercoord task reopen 1" in caught.value.hint
        world.janitor().tidy()
        assert world.state("1") == ("parked", "unreadable")
        world.queue.reopen("1")
        assert world.queue.definition("1").title == "Task 1", "as it was added"
        assert list(world.drained(worker)) == ["1", "3"]

    def test_a_mended_definition_is_used_after_the_next_tidying(self, world: World) -> None:
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

    @pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
    def test_a_definition_that_the_filesystem_denies_once_is_not_overwritten(self, world: World, number: int) -> None:
        world.add("1")
        world.queue.edit("1", title="Edited")
        left = [Fault(number)]
        lie = Failing(
            world.disk,
            lambda c: left.pop() if left and (c.name, c.path) == ("read", paths.definition("1")) else None,
        )
        world.on(lie).queue.definition("1")
        assert lie.met
        assert world.queue.definition("1").title == "Edited"

    def test_a_broken_definition_that_cannot_be_set_aside_is_not_overwritten(self, world: World) -> None:
        world.add("1")
        world.files.put(paths.definition("1"), b"{ a person's work")
        stuck = Failing(world.disk, lambda c: Fault(errno.EACCES) if c.path.startswith("quarantine/") else None)
        with pytest.raises(BrokenFileError, match=paths.definition("1")):
            world.on(stuck).queue.definition("1")
        assert world.files.read(paths.definition("1")) == b"{ a person's work"

    @pytest.mark.parametrize("fault", ["broken", "denied"])
    @pytest.mark.parametrize("end", ["request", "complete", "release", "fail"])
    def test_a_claim_on_an_unreadable_task_can_still_be_ended(self, world: World, end: str, fault: str) -> None:
        worker = world.working("w", steps=[{"id": 1, "title": "a"}])
        world.add("2")
        worker.report("1", {"achievements": ["half"], "steps": [1]})
        rule = unreadable(paths.definition("1"))
        if fault == "broken":
            world.files.put(paths.definition("1"), b"{,")
            rule = unreadable()
        late = world.on(Failing(world.disk, rule)).resume(worker.me)
        said = {"achievements": ["all"], "steps": [1]}
        if end == "request":
            world.taken(late, "2")
        else:
            late.complete("1", said) if end == "complete" else getattr(late, end)("1", "x")
            result = world.queue.result("1")
            assert result is not None
            assert result[2]["achievements"] == (["half", "all"] if end == "complete" else ["half"])
        assert world.state("1") == (("done", "") if end == "complete" else ("parked", "unreadable"))

    def test_a_task_that_one_peer_may_not_read_is_parked_until_another_may(self, world: World) -> None:
        world.add("1", priority="critical")
        world.add("2")
        worker = world.join("w")
        blind = world.on(Failing(world.disk, unreadable(paths.definition("1"))))
        assert list(world.drained(blind.resume(worker.me))) == ["2"]
        assert world.state("1") == ("parked", "unreadable")
        assert blind.queue.location_of("1").reason.startswith(f"{paths.definition('1')}: permission denied")
        blind.janitor().tidy()
        assert world.state("1") == ("parked", "unreadable")
        world.janitor().tidy()
        assert list(world.drained(worker)) == ["1"]


class TestOtherFiles:
    def test_a_broken_birth_record_stays_and_its_task_goes_on(self, world: World) -> None:
        world.add("1")
        world.files.put(paths.birth("1"), b"{")
        with pytest.raises(BrokenFileError, match=f"^{paths.birth('1')}"):
            world.queue.birth("1")
        assert list(world.drained(world.join("w"))) == ["1"]
        assert world.files.read(paths.birth("1")) == b"{"

    @pytest.mark.parametrize("data", [b"", b"\0" * 90, b"{", b"[]", b"\xff"])
    def test_a_broken_result_still_counts_by_its_name(self, world: World, data: bytes) -> None:
        worker = world.working("w")
        worker.release("1")
        world.files.put(paths.result("1", 1, "released"), data)
        claim = worker.request()
        assert claim is not None
        assert claim.hand_over == {"epoch": 1, "outcome": "released"}


class TestFullDisk:
    """A step that needs a record is refused (protocol/conformance shows it); a step that moves a ticket goes on."""

    def test_a_ticket_is_placed_though_its_shard_is_removed_again_and_again(self, world: World) -> None:
        worker = world.working("w")
        world.queue.create(records.define("2", "waits", dependencies=["1"]), 700)
        shard = "queue/ready/2/000002"

        def crowd(call: Call) -> Fault | None:
            if call.name == "rename" and call.path.startswith(shard) and shard in world.memory.folders():
                world.disk.rmdir(shard)
            return None

        world.on(Failing(world.disk, crowd)).resume(worker.me).complete("1")
        assert world.at("2") == "queue/ready/2/000000/2~0"

    def test_a_completed_task_that_has_no_room_in_done_is_filed_later(self, world: World) -> None:
        worker = world.working("w")
        worker.complete("1")
        world.queue.reopen("1")
        world.add("2", priority="critical")
        world.add("3", priority="high")
        world.files.move(world.at("2"), paths.claim(worker.home, Ticket("2", 1, done=True)))
        tight = world.on(Failing(world.disk, full)).resume(worker.me)
        with pytest.raises(LostError, match="task 1 is ready now"):
            tight.complete("1")  # the mark of another task says nothing about this one
        assert tight.request()
        assert world.state("2") == ("claimed", str(worker.me))
        worker.held()
        assert world.state("2")[0] == "done"
