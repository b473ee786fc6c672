"""Clauses on files, the order of writing, verdicts over time and the sandbox door, each on the thing itself."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import faults
from support.worlds import Ticking, World

from peercoord.agent.monitor import Observer
from peercoord.errors import LostError
from peercoord.mailbox import protocol
from peercoord.mailbox.protocol import Answer, Request
from peercoord.mailbox.server import Outbox
from peercoord.membership.leadership import Leadership
from peercoord.queue.claims import Worker
from peercoord.store import paths, records, settings
from peercoord.store.beneath import Beneath, InstanceFiles
from peercoord.store.lock import held
from peercoord.store.paths import Ticket
from peercoord.system import process
from peercoord.system.disk import Disk
from protocol import sequences

# -- the order of writing ----------------------------------------------------------------------------------------


def calls(sequence: str) -> list[str]:
    return sequences.steps(next(each for each in sequences.SEQUENCES if each.name == sequence))


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
    for each in sequences.SEQUENCES:
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


def test_the_bell_rings_for_a_ready_task_and_nothing_depends_on_it(world: World) -> None:
    """OPS-11, INV-10."""

    def deaf(call: faults.Call) -> faults.Fault | None:
        return faults.Fault(errno.EROFS) if call.name == "touch" else None

    quiet = world.on(faults.Failing(world.disk, deaf))
    quiet.add("1")
    assert paths.BELL_FILE not in world.memory.files()
    world.add("2")
    assert paths.BELL_FILE in world.memory.files()
    assert list(world.drained(world.join("amber"))) == ["1", "2"]


def test_an_events_file_is_rotated_and_a_lost_event_stops_nothing(world: World) -> None:
    """FMT-8."""
    world.memory.append(paths.events("amber"), b"x" * settings.EVENTS_BYTES)
    world.root.event("amber", "one-more")
    assert sorted(world.memory.listdir(paths.EVENTS)) == ["amber.jsonl.1"]
    world.on(faults.Failing(world.disk, faults.full)).root.event("amber", "lost")
    assert world.memory.listdir(paths.EVENTS) == ["amber.jsonl.1"]


def test_a_newer_record_is_taken_if_what_is_needed_is_there() -> None:
    """VER-2, VER-3."""
    raw = {"schema_version": 9, "task_id": 1, "title": "T", "of_the_future": {"a": 1}}
    assert records.Definition.read(raw, "here", "1").raw == raw


def test_two_names_of_one_ticket_are_one_task_at_the_later_place(world: World) -> None:
    """ASM-7, ASM-10: a crash in the middle of a rename left both names, two links of one file."""
    world.add("1")
    amber = world.join("amber")
    old = world.at("1")
    world.memory.link(old, paths.claim(amber.home, Ticket("1", 1)))
    sighting = world.queue.survey()["1"]
    assert (sighting.state, sighting.epoch) == ("claimed", 1)
    seen = world.files.stat(old)
    assert seen is not None
    assert seen.links == 2


def test_a_stale_look_does_not_mislead(world: World) -> None:
    """ASM-5, ASM-9: every stat says "absent" for things that are there, as a network client's may for half a minute."""

    def stale(call: faults.Call) -> faults.Fault | None:
        return faults.Fault(errno.ENOENT) if call.name == "stat" and call.path.startswith("queue/done/") else None

    world.add("1")
    amber = world.join("amber")
    world.taken(amber, "1")
    amber.complete("1")
    late = world.on(faults.Failing(world.disk, stale))
    assert late.queue.is_done("1")
    assert late.state("1") == ("done", "")
    late.add("2", ("1",))
    assert world.state("2") == ("ready", "2")


# -- verdicts over time ------------------------------------------------------------------------------------------


class Hands(Ticking):
    """A monotonic clock that is set by hand."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clocked(world: World) -> World:
    world.clock = world.root.clock = Hands()
    world.root.protocol = {**world.protocol, "settings": {"heartbeat_seconds": 10, "ttl_heartbeats": 3}}
    return world


def observer(world: World, me: Worker, revived: list[str] | None = None) -> Observer:
    revive: Callable[[str], object] = (revived if revived is not None else []).append
    leadership = Leadership(me.membership)
    return Observer(me.membership, world.janitor(me.me.peer), leadership, lambda _: None, revive)


def turn(world: World, seconds: float) -> None:
    assert isinstance(world.clock, Hands)
    world.clock.at += seconds


def test_only_an_unanswered_challenge_evicts_a_silent_peer(clocked: World) -> None:
    """LIV-4, LIV-5, LIV-7, ORD-10: a peer of another host, whose heartbeat stands still."""
    amber, birch = clocked.join("amber"), clocked.join("birch")
    amber.membership.update(host="elsewhere", boot_id="other")
    eyes = observer(clocked, birch)
    for _ in range(4):
        eyes.check_peers()
        assert [one.peer for one in _peers(clocked)] == ["amber", "birch"]
        turn(clocked, 10)
    assert paths.parse_beat(_beat(clocked, amber)) == (0, birch.me)
    eyes.check_peers()
    assert [one.peer for one in _peers(clocked)] == ["birch"]


def test_a_peer_that_answers_a_challenge_stays(clocked: World) -> None:
    """LIV-7, MBR-7."""
    amber, birch = clocked.join("amber"), clocked.join("birch")
    amber.membership.update(host="elsewhere", boot_id="other")
    eyes = observer(clocked, birch)
    for _ in range(4):
        eyes.check_peers()
        turn(clocked, 10)
    amber.membership.beat()
    for _ in range(3):
        eyes.check_peers()
        turn(clocked, 10)
    assert [one.peer for one in _peers(clocked)] == ["amber", "birch"]


def test_an_observer_whose_own_beat_failed_starts_to_look_again(clocked: World) -> None:
    """LIV-4: a file server that stalled would look like everybody's death."""
    amber, birch = clocked.join("amber"), clocked.join("birch")
    amber.membership.update(host="elsewhere", boot_id="other")
    eyes = observer(clocked, birch)
    for _ in range(8):
        eyes.check_peers()
        turn(clocked, 10)
        eyes.reset_observations()
    assert paths.parse_beat(_beat(clocked, amber)) == (0, None)


def test_a_running_session_is_not_evicted_and_gets_a_new_agent(clocked: World) -> None:
    """LIV-8, LIV-9: the agent is gone, the session runs, the heartbeat stands still for ever."""
    amber, birch = clocked.join("amber"), clocked.join("birch")
    gone = {"pid": os.getpid(), "start": -1}
    session = process.identify(os.getpid())
    amber.membership.update(**process.here(), session=session, agent=gone, worktree="/where/it/works")
    revived: list[str] = []
    eyes = observer(clocked, birch, revived)
    for _ in range(20):
        eyes.check_peers()
        turn(clocked, 10)
    assert [one.peer for one in _peers(clocked)] == ["amber", "birch"]
    assert set(revived) == {"/where/it/works"}


def test_a_process_proven_dead_needs_no_challenge(clocked: World) -> None:
    """LIV-7, LIV-3, EVI-1."""
    amber, birch = clocked.join("amber"), clocked.join("birch")
    amber.membership.update(**process.here(), agent={"pid": os.getpid(), "start": -1})
    observer(clocked, birch).check_peers()
    assert [one.peer for one in _peers(clocked)] == ["birch"]


def _peers(world: World) -> list[paths.Incarnation]:
    return sorted(filter(None, map(paths.parse_incarnation, world.memory.listdir(paths.PEERS))))


def _beat(world: World, peer: Worker) -> str:
    (found,) = (name for name in world.memory.listdir(peer.home) if paths.parse_beat(name))
    return found


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


def test_calls_of_one_peer_come_one_at_a_time(tmp_path: Path) -> None:
    """MBR-9, OPS-12."""
    lock = str(tmp_path / "call.lock")
    with held(lock), pytest.raises(LostError, match="at work"), held(lock, wait=0, busy="another call is at work"):
        raise AssertionError("both were inside")


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
        request = Request(number, words, incarnation="amber~1.k3", tickets=["5~2"])
        (self.place / "outbox" / number).write_bytes(data or request.encode())


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.outbox.close()


def test_a_statement_is_served_once_however_often_it_is_found(box: Box) -> None:
    """BOX-3, BOX-5."""
    box.drop("1-a", "report-progress", "5")
    box.outbox.rescan()
    kept = json.loads((box.place / "inbox" / "1-a.answer").read_text())
    again = Box(box.place)
    again.outbox.rescan()
    assert (box.served, again.served) == (["1-a"], [])
    assert (kept["code"], kept["out"]) == (0, "served report-progress")


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


def test_a_replay_completes_no_later_claim(box: Box) -> None:
    """BOX-3, CLM-3."""
    box.drop("1-a", "report-progress", "5", "--status", "done")
    box.now = ("amber~1.k3", [Ticket("5", 4)])
    box.outbox.rescan()
    assert box.served == []
    kept = json.loads((box.place / "inbox" / "1-a.answer").read_text())
    assert (kept["code"], "5~2, this worktree holds 5~4" in kept["err"]) == (4, True)


def test_a_question_that_nobody_waits_for_is_dropped(box: Box) -> None:
    """BOX-4."""
    box.outbox.open()
    box.drop("1-a", "request-task")
    box.outbox.rescan()
    assert box.served == []
    assert list((box.place / "outbox").iterdir()) == []


def test_what_is_still_being_written_waits(box: Box) -> None:
    """BOX-1."""
    whole = Request("1-a", ["report-progress", "5"], incarnation="amber~1.k3", tickets=["5~2"]).encode()
    box.drop("1-a", data=whole[:-3])
    box.outbox.rescan()
    assert box.served == []
    box.drop("1-a", data=whole)
    box.outbox.rescan()
    assert box.served == ["1-a"]


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
    answer = box.outbox.serve_directly(Request("3-c", ["check-status"], incarnation="amber~1.k3", tickets=["5~2"]))
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
