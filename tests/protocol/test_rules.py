"""Clauses on files, the order of writing, verdicts over time and the sandbox door, each on the thing itself."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import faults
from support.scenes import SCENES
from support.worlds import World

from peercoord.errors import LostError
from peercoord.mailbox import protocol
from peercoord.mailbox.protocol import Answer, Request
from peercoord.mailbox.server import Outbox
from peercoord.store import paths
from peercoord.store.beneath import Beneath, InstanceFiles
from peercoord.store.paths import Ticket
from peercoord.system import process
from peercoord.system.disk import Disk
from protocol import sequences

# -- the order of writing ----------------------------------------------------------------------------------------


def calls(sequence: str) -> list[str]:
    return sequences.steps(next(each for each in SCENES if each.name == sequence))


@pytest.mark.parametrize(
    ("clause", "sequence", "first", "then"),
    [
        ("ORD-1 ADD-2", "add", "create queue/new/", "births/"),
        ("ORD-2", "complete", "results/", "~done"),
        ("ORD-3", "complete", "~done", " queue/done/"),
        ("ORD-4", "complete", "results/", "~done"),
        ("ORD-5", "complete", " queue/done/", "rename queue/waiting/<id>/"),
        ("ORD-7", "evict", "rename peers/<me> departed/", "claims/"),
        ("ORD-8", "evict", " queue/leader/", "rmdir"),
        ("ORD-8", "evict", "queue/ready/", "rmdir"),
        ("ORD-11", "cancel", "tasks/", "queue/parked/cancelled/"),
        ("ORD-12", "park", " queue/parked/review/", "tasks/"),
    ],
)
def test_one_is_written_before_the_other(clause: str, sequence: str, first: str, then: str) -> None:
    """ORD-1, ORD-2, ORD-3, ORD-4, ORD-5, ORD-7, ORD-8, ORD-11, ORD-12, ADD-2: as the steps of each sequence are."""
    made = calls(sequence)
    at = {part: next(i for i, call in enumerate(made) if part in call) for part in (first, then)}
    assert at[first] < at[then], clause


def test_a_ticket_is_only_moved_to_a_name_that_says_which_it_is() -> None:
    """OPS-6, LAY-1: no two tickets, and no two holders, are ever moved toward one name that decides."""
    for each in SCENES:
        for call in sequences.steps(each):
            moved = re.fullmatch(r"rename (\S*/(<id>|<next>)~\S+) (\S+)", call)
            if not moved:
                continue
            target = moved[3]
            assert f"/{moved[2]}~" in target or target == f"queue/done/<shard>/{moved[2]}", call
            if target.startswith("queue/done/"):
                elsewhere = each.name == "take in what is done elsewhere"  # CHG-6: a person's word, out of any hand
                assert moved[1].endswith("~done") or "queue/new/" in moved[1] or elsewhere, call


def test_no_call_leaves_the_root_or_holds_a_directory(tmp_path: Path) -> None:
    """OPS-1, OPS-2: every path lies below the root; no descriptor and no working directory stays there."""
    counting = faults.Counting(Disk(str(tmp_path)))
    world = World.new(counting)
    world.add("1")
    worker = world.join("amber")
    world.taken(worker, "1")
    worker.complete("1")
    for call in counting.calls:
        paths = [arg for arg in call.args if isinstance(arg, str)]
        assert all(not path.startswith("/") and ".." not in path.split("/") for path in paths), call
    assert not os.getcwd().startswith(str(tmp_path))
    assert not [fd for fd in _open_files() if fd.startswith(str(tmp_path))]


def _open_files() -> Iterator[str]:
    place = Path("/proc/self/fd")
    if not place.is_dir():
        pytest.skip("this system does not list open files")
    for fd in place.iterdir():
        try:
            yield os.readlink(fd)
        except OSError:
            continue


# -- verdicts over time ------------------------------------------------------------------------------------------


def test_inside_a_sandbox_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LIV-11."""
    from peercoord.agent.client import sandboxed
    from peercoord.system.sessions import SANDBOX_MARKS
    from peercoord.worktree.context import Place

    for mark in SANDBOX_MARKS:
        monkeypatch.delenv(mark, raising=False)
    instance = tmp_path / paths.INSTANCE
    instance.mkdir()
    place = Place(str(tmp_path), str(tmp_path))
    here = process.here()
    (instance / "agent.json").write_text(json.dumps(here))
    assert not sandboxed(place)
    (instance / "agent.json").write_text(json.dumps({**here, "pid_ns": "pid:[1]"}))
    assert sandboxed(place)
    (instance / "agent.json").write_text(json.dumps(here))
    monkeypatch.setenv(SANDBOX_MARKS[0], "1")
    assert sandboxed(place)


# -- the sandbox door --------------------------------------------------------------------------------------------


class Box:
    """An outbox on a real directory, and what it was asked to do."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.served: list[str] = []
        self.now = ("amber~1.k3", [Ticket("5", 2)])
        files = InstanceFiles(Beneath(str(place)), lambda: f"t{len(list(place.rglob('*')))}x")
        self.outbox = Outbox(files, self._serve, lambda: self.now, lambda: 0.0)

    def _serve(self, request: Request) -> Answer:
        self.served.append(request.number)
        return Answer(0, b"served " + request.verb.encode(), b"")

    def drop(self, number: str, *words: str, data: bytes = b"") -> None:
        (self.place / "outbox").mkdir(exist_ok=True)
        request = Request(number, list(words), incarnation="amber~1.k3", tickets=[Ticket("5", 2)])
        (self.place / "outbox" / number).write_bytes(data or request.encode())


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.outbox.close()


def test_an_answer_is_kept_before_its_caller_is_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """BOX-5: a crash while the caller is told executes nothing again."""

    def crash(*_: object) -> bool:
        raise SystemExit

    box.outbox.open()
    number = next((box.place / "inbox").glob("*.door")).stem
    box.drop(number, "report-progress", "5")
    monkeypatch.setattr("peercoord.mailbox.fifo.Door.send", crash)
    with pytest.raises(SystemExit):
        box.outbox.answer(number)
    again = Box(box.place)
    again.outbox.rescan()
    assert (box.served, again.served) == ([number], [])


def test_a_reused_request_number_does_not_get_the_old_answer(box: Box) -> None:
    """BOX-5: the answer names what it answers."""
    box.drop("1-a", "report-progress", "5")
    box.outbox.rescan()
    box.drop("1-a", "update-memory", "--content", "x")
    box.outbox.rescan()
    assert box.served == ["1-a", "1-a"]


def test_new_doors_have_numbers_above_all_that_are_there(box: Box) -> None:
    """BOX-5: a number stands for one request and its answer."""
    for number in ("00000003-b", "00000007-a"):
        box.drop(number, "report-progress", "5")
    box.outbox.open()
    assert min(int(path.name[:8]) for path in (box.place / "inbox").glob("*.door")) == 8


def test_a_question_that_nobody_waits_for_is_dropped(box: Box) -> None:
    """BOX-4."""
    box.outbox.open()
    box.drop("1-a", "request-task")
    box.outbox.rescan()
    assert box.served == []
    assert list((box.place / "outbox").iterdir()) == []


def test_a_door_serves_one_caller_and_closes_with_its_agent(box: Box) -> None:
    """BOX-2, BOX-6: the agent holds the only write end; who reads sees it go."""
    box.outbox.open()
    fifo = min((box.place / "inbox").glob("*.door"))
    number = fifo.name.removesuffix(".door")
    caller = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with (box.place / "outbox" / number).open("xb"), pytest.raises(FileExistsError):
        (box.place / "outbox" / number).open("xb")
    with pytest.raises(BlockingIOError):
        os.read(caller, 1)
    box.outbox.close()
    assert os.read(caller, 1) == b""
    os.close(caller)


def test_a_call_without_an_agent_serves_what_was_said_before(box: Box) -> None:
    """BOX-7, BOX-4: statements, in order; another's question is its own caller's affair."""
    box.drop("2-b", "report-progress", "5")
    box.drop("1-a", "update-memory", "--content", "x")
    box.drop("0-q", "request-task")
    request = Request("3-c", ["check-status"], incarnation="amber~1.k3", tickets=[Ticket("5", 2)])
    answer = box.outbox.serve_directly(request)
    assert box.served == ["1-a", "2-b", "3-c"]
    assert answer.out == b"served check-status"


def test_a_request_that_cannot_be_served_stays(box: Box) -> None:
    """BOX-8: of a caller that may write nothing but the outbox."""
    box.drop("1-a", "report-progress", "5")
    (box.place / "inbox").mkdir()

    class Readonly(Box):
        def _serve(self, request: Request) -> Answer:
            raise LostError("nobody is there")

    with pytest.raises(LostError):
        Readonly(box.place).outbox.serve_directly(Request("2-b", ["report-progress", "5"], incarnation="amber~1.k3"))
    assert {path.name for path in (box.place / "outbox").iterdir()} == {"1-a", "2-b"}
    assert protocol.VERSION == "1"
