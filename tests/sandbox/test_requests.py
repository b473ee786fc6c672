"""The server of a mailbox: requests that are repeated, replayed, torn or hostile."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from agent.crew import Crew

from peercoord.agent import control, host
from peercoord.errors import StorageError
from peercoord.mailbox import protocol
from peercoord.mailbox.server import Outbox
from peercoord.store.refusals import refused
from peercoord.worktree import actions, reply

Team = Callable[..., Crew]


class Box:
    """The mailbox of a worktree, served in this process, with its clock."""

    def __init__(self, crew: Crew) -> None:
        self.crew, self.home = crew, crew.tree("one") / ".claude-instance"
        self.clock = 0.0
        self.mine = host.Worktree(control.place_of(str(crew.tree("one"))), print, print)
        self.mine.connect([])
        self.outbox = self.open(self.mine.serve)
        self.outbox._folders()

    def open(self, serve: Callable[[protocol.Request], protocol.Answer]) -> Outbox:
        return Outbox(self.mine.place().files(), serve, self.mine.standing, lambda: self.clock)

    def drop(self, number: str, *words: str) -> Path:
        incarnation, held = self.mine.standing()
        path = self.home / protocol.request(number)
        path.write_bytes(protocol.Request(number, words, incarnation=incarnation, tickets=held).encode())
        return path

    def told(self, number: str) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.home / protocol.answer(number)).read_text())
        return found

    def queued(self) -> int:
        return len(list((self.crew.state / "memory-updates" / "queued").iterdir()))


@pytest.fixture
def box(team: Team) -> Box:
    return Box(team())


MEMORY = ("update-memory", "--file", "techContext.md", "--content", "once")


class TestOnce:
    """Requests that are repeated, replayed or interrupted: what the tests of the protocol do not show."""

    @pytest.mark.parametrize("words", [MEMORY, ("report-progress", "1", "--status", "done")], ids=["memory", "done"])
    def test_a_crash_between_the_deed_and_the_answer_does_nothing_twice(self, box: Box, words: tuple[str, ...]) -> None:
        class Killed(BaseException):
            pass

        def die(request: protocol.Request) -> protocol.Answer:
            box.mine.serve(request)
            raise Killed

        box.mine.serve(protocol.Request("q", ["request-task"]))
        box.drop("r1", *words)
        with pytest.raises(Killed):
            box.open(die).answer("r1")
        box.open(box.mine.serve).answer("r1")
        assert box.told("r1")["code"] == 0
        done = len(list((box.crew.state / "results").rglob("1~*")))
        assert (box.queued(), done) == ((1, 0) if words is MEMORY else (0, 1))

    def test_a_replay_for_an_earlier_incarnation_is_refused(self, box: Box) -> None:
        box.drop("r1", "release")
        home = box.crew.home("one")
        assert home is not None
        home.rename(box.crew.state / "departed" / f"{home.name}~person~1.x")
        Box(box.crew).outbox.answer("r1")
        assert f"made for {home.name}" in str(box.told("r1")["err"])

    def test_a_copy_under_another_id_is_no_request(self, box: Box) -> None:
        path = box.drop("r1", *MEMORY)
        (path.parent / "r2").write_bytes(path.read_bytes())
        assert [request.number for request in box.outbox.rescan()] == ["r1"]

    def test_a_claim_whose_caller_goes_before_the_answer_is_released(self, box: Box) -> None:
        readers: list[int] = []

        def serve(request: protocol.Request) -> protocol.Answer:
            answer = box.mine.serve(request)
            assert box.crew.holder("1") == "one"
            os.close(readers.pop())
            return answer

        outbox = box.open(serve)
        outbox.open()
        number = min(outbox._doors._open)
        readers.append(os.open(box.home / protocol.fifo(number), os.O_RDONLY | os.O_NONBLOCK))
        box.drop(number, "request-task")
        outbox.answer(number)
        outbox.close()
        assert box.crew.where("1") == "ready", "nobody was told of it"
        assert box.mine.standing()[1] == []
        assert (box.home / protocol.CURRENT).read_text().split()[1:] == [], "and no request names it"

    @pytest.mark.parametrize("words", [["request-task"], ["request-task", "--json"]])
    def test_a_fault_while_an_answer_is_made_leaves_no_claim(
        self, box: Box, monkeypatch: pytest.MonkeyPatch, words: list[str]
    ) -> None:
        def fault(*_: object) -> None:
            raise TypeError("a fault of the program")

        for place, name in ((actions, "_hand_over"), (actions, "claim_lines"), (reply.Reply, "render")):
            with monkeypatch.context() as patch:
                patch.setattr(place, name, fault)
                answer = box.mine.serve(protocol.Request("q", words))
            assert (answer.code, b"a fault of the program" in answer.err + answer.out) == (1, True)
            assert box.crew.where("1") == "ready", f"claimed behind its caller's back: {name}"
        assert box.mine.serve(protocol.Request("q", words)).code == 0
        with monkeypatch.context() as patch:
            patch.setattr(actions, "claim_lines", fault)
            assert box.mine.serve(protocol.Request("q", words)).code == 1
        assert box.crew.holder("1") == "one", "held before: it stays"

    def test_what_is_incomplete_waits_and_what_was_served_goes_in_time(self, box: Box) -> None:
        assert box.outbox.open() is not None
        whole = box.drop("r1", *MEMORY)
        torn = whole.with_name("r2")
        torn.write_bytes(whole.read_bytes().replace(b"r1", b"r2")[:-4])
        for number, verb in enumerate(("check-status", "release", "nonsense") * 5, 3):
            box.drop(f"r{number}", verb)
        answer = box.home / protocol.answer("r1")
        found = []
        for box.clock in (0.0, 61.0, 700.0, 761.0):
            box.outbox.rescan()
            found.append((whole.exists(), answer.exists(), torn.exists()))
        assert found == [(True, True, True), (False, True, True), *[(False, False, False)] * 2]
        assert (box.outbox._seen, box.outbox._served, box.outbox._told) == ({}, {}, set())
        box.outbox.close()
        assert box.crew.outbox("one") == []
        assert {path.name for path in (box.home / "inbox").iterdir()} == {"current"}


class TestHostile:
    """What comes through the door comes out of a sandbox."""

    def test_a_file_that_only_looks_like_a_door_goes(self, box: Box) -> None:
        box.outbox.open()
        doors = {path.name for path in (box.home / "inbox").glob("*.door")}
        (box.home / "inbox" / "00000099-aaaaaa.door").write_text("made by a caller that came too late\n")
        min((box.home / "inbox").glob("*.door")).unlink()
        box.outbox.rescan()
        left = {path.name for path in (box.home / "inbox").glob("*.door")}
        box.outbox.close()
        assert ("00000099-aaaaaa.door" in left, len(left)) == (False, len(doors))

    def test_what_requests_should_name_is_written_over_on_a_full_disk(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(path: str, *_: object) -> None:
            raise refused(OSError(errno.ENOSPC, "no space"), path)

        with monkeypatch.context() as full:
            full.setattr(box.outbox.files, "replace", fail)
            with pytest.raises(StorageError, match="the disk is full"):
                box.outbox.write_current()
        box.outbox.write_current()
        box.mine.serve(protocol.Request("q", ["request-task"]))
        monkeypatch.setattr(box.outbox.files, "replace", fail)
        box.outbox.write_current()
        assert (box.home / protocol.CURRENT).read_text().endswith(" 1~1\n")

    def test_a_request_that_cannot_be_written_whole_is_not_queued(
        self, box: Box, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = box.outbox.files.disk
        create = disk.create

        def half(path: str, data: bytes, *more: bool) -> None:
            create(path, data[:5], *more)
            raise OSError(errno.ENOSPC, "no space")

        monkeypatch.setattr(disk, "create", half)
        with pytest.raises(StorageError, match="the disk is full"):
            box.outbox.queue(protocol.Request("", ["release", "1"]))
        assert box.crew.outbox("one") == []

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (["update-memory", "--file", "techContext.md", "--from", "/etc/passwd"], 2, b"reads no file"),
            (["update-memory", "--file", "techContext.md", "--from=/etc/passwd"], 2, b"reads no file"),
            (["report-progress", "--file", "/etc/passwd"], 2, b"reads no file"),
            (["report-progress", "1", "--file=/etc/passwd"], 2, b"reads no file"),
            (["update-memory", "--file", "techContext.md", "--content", "--from"], 0, b""),
            (["agent", "stop"], 2, b"is not for the agent to do"),
            (["-C", "/", "task", "list"], 2, b"is not for the agent to do"),
            (["up"], 2, b"is not for the agent to do"),
            (["reassign", "1", "x"], 2, b"is not for the agent to do"),
            ([], 2, b"is not for the agent to do"),
        ],
    )
    def test_the_agent_serves_the_verbs_alone_and_reads_no_file_for_a_caller(
        self, box: Box, words: list[str], code: int, said: bytes
    ) -> None:
        answer = box.mine.serve(protocol.Request("r", words))
        assert (answer.code, said in answer.err, b"root:" in answer.out + answer.err) == (code, True, False)

    def test_what_is_no_request_holds_nobody_up(self, team: Team, tmp_path: Path) -> None:
        crew = team()
        home = crew.tree("one") / ".claude-instance" / "outbox"

        def hinder(round_: str) -> None:
            (tmp_path / "secret").write_text("secret")
            (home / f"{round_}1").symlink_to(tmp_path / "secret")
            os.mkfifo(home / f"{round_}2")
            (home / f"{round_}3").mkdir()
            (home / f"{round_}4").write_bytes(b"1\0" * (2 << 20))

        home.mkdir()
        hinder("r")
        crew.agent("one")
        hinder("s")
        assert crew.call("one", "check-status")[0] == 0
