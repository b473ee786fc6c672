"""Every file name and its inverse: what is ours is read back, what is almost ours belongs to nobody."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.store import paths
from peercoord.store.paths import Incarnation, Ticket
from peercoord.store.settings import READY_BLOCK
from peercoord.system import cksum

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
NUMBERS = st.integers(0, 10**15 - 1)
PEERS = st.builds(Incarnation, IDS, NUMBERS, st.from_regex(r"[A-Za-z0-9]{1,12}", fullmatch=True))
LONG = "9" * 16

GOOD: list[tuple[Callable[[str], object], str]] = [
    (paths.parse_ticket, "5~0"),
    (paths.parse_ticket, "5~10"),
    (paths.parse_ticket, "A.b_c-d~3~done"),
    (paths.parse_ticket, f"{'x' * 64}~{'9' * 15}"),
    (paths.parse_new, "5~k3f9"),
    (paths.parse_record, "5.json"),
    (paths.parse_record, "a.json.json"),
    (paths.parse_instance, "instance-1.json"),
    (paths.parse_instance, "a.json.json"),
    (paths.parse_result, "5~1.done.json"),
    (paths.parse_result, "a.b~0.released.json"),
    (paths.parse_incarnation, "instance-1~7.k3f9"),
    (paths.parse_departed, "a~1.x~b~2.y"),
    (paths.parse_beat, "beat~0"),
    (paths.parse_beat, "beat~7~a~1.x"),
    (paths.parse_leader, "leader~0"),
    (paths.number, "0"),
    (paths.number, "9" * 15),
]

BAD: list[tuple[Callable[[str], object], str]] = [
    *(
        (paths.parse_ticket, name)
        for name in ("", "~", "5", "5~", "~1", "5~~1", "5~01", "5~00", "5~-1", "5~+1", "5~ 1")
    ),
    *((paths.parse_ticket, name) for name in ("5~1 ", "5~1\n", "5~1_0", "5~1.0", "5~1e3", "5~0x1", "5~one", "5~1~")),
    *(
        (paths.parse_ticket, name)
        for name in ("5~1~Done", "5~1~done~", "5~1~done~done", "5~done", "5~1~failed", "5~1.json")
    ),
    *(
        (paths.parse_ticket, name)
        for name in (f"5~{LONG}", f"{'x' * 65}~1", ".hidden~1", "-x~1", "_x~1", "..~1", "a/b~1")
    ),
    *(
        (paths.parse_ticket, name)
        for name in ("a b~1", "é~1", "٣~1", "5~٣", "5~²", "5~1\udcff", "5~1~done\udcff", "\n5~1")
    ),
    *((paths.parse_instance, name) for name in ("", ".json", "a", "a.jso", "a b.json", "./a.json", "é.json")),
    *((paths.parse_new, name) for name in ("", "5", "5~", "~x", "5~a~b", "5~-", "5~.x", "../5~x", "5~a/b", "5~é")),
    *(
        (paths.parse_record, name)
        for name in ("", "5", ".json", "5.JSON", "5.json~", "5.json ", "a~1.json", "-.json", "5.jso")
    ),
    *(
        (paths.parse_result, name)
        for name in ("", "5~1.json", "5.done.json", "5~1.done", "5~1.Done.json", "5~1.won.json")
    ),
    *(
        (paths.parse_result, name)
        for name in ("5~01.done.json", "5~1~done.done.json", "5~1..json", ".done.json", "~1.done.json")
    ),
    *(
        (paths.parse_result, name)
        for name in ("5~1.done.json.json", "5~1.done.json~", "5~1.done.JSON", f"5~{LONG}.done.json")
    ),
    *(
        (paths.parse_incarnation, name)
        for name in ("", "a", "a~1", "a~1.", "a~.x", "~1.x", "a~01.x", "a~-1.x", "a~1.x.y")
    ),
    *(
        (paths.parse_incarnation, name)
        for name in ("a~1.x~b", "a~1.x-y", "a~1.é", "a~x.1", "a~1.x ", f"a~{LONG}.x", "a/b~1.x")
    ),
    *(
        (paths.parse_departed, name)
        for name in ("", "a~1.x", "a~1.x~b", "a~1.x~b~2", "a~1.x~b~2.y~c", "a~1.x~b~2.y~c~3.z")
    ),
    *((paths.parse_departed, name) for name in ("a~1.x~~b~2.y", "a~1.x~b~02.y", "a~1.x~b~2.y ", "~a~1.x~b~2.y")),
    *(
        (paths.parse_beat, name)
        for name in ("", "beat", "beat~", "beat~01", "beat~-1", "Beat~1", "beats~1", "beat~1~", "beat~1~a")
    ),
    *(
        (paths.parse_beat, name)
        for name in ("beat~1~a~1", "beat~1~a~1.x~b", f"beat~{LONG}", "beat~x", "beat1", "xbeat~1")
    ),
    *(
        (paths.parse_leader, name)
        for name in ("", "leader", "leader~", "leader~01", "leader~-1", "leader~1~", "leader~x")
    ),
    *(
        (paths.parse_leader, name)
        for name in ("Leader~1", "leader~1 ", f"leader~{LONG}", "leaders~1", "~1", "xleader~1")
    ),
    *(
        (paths.number, text)
        for text in ("", "00", "01", "-1", "+1", " 1", "1 ", "1_0", "1.0", "٣", "²", "①", "0x1", LONG)
    ),
]


@pytest.mark.parametrize(("parse", "name"), GOOD, ids=lambda value: getattr(value, "__name__", repr(value)))
def test_a_name_of_ours_is_read(parse: Callable[[str], object], name: str) -> None:
    assert parse(name) is not None


@pytest.mark.parametrize(("parse", "name"), BAD, ids=lambda value: getattr(value, "__name__", ascii(value)))
def test_a_name_that_is_almost_ours_is_not(parse: Callable[[str], object], name: str) -> None:
    assert parse(name) is None


def last(path: str) -> str:
    return path.rpartition("/")[2]


class TestRoundTrips:
    @given(IDS, NUMBERS, st.booleans())
    def test_tickets(self, task: str, epoch: int, done: bool) -> None:
        ticket = Ticket(task, epoch, done)
        assert paths.parse_ticket(str(ticket)) == ticket
        for path in (paths.waiting("7", ticket), paths.ready(2, 5, ticket), paths.parked("held", ticket)):
            assert paths.parse_ticket(last(path)) == ticket

    @given(IDS, IDS)
    def test_new_tickets(self, task: str, nonce: str) -> None:
        assert paths.parse_new(last(paths.new_ticket(task, nonce))) == (task, nonce)

    @given(IDS)
    def test_records(self, task: str) -> None:
        assert paths.parse_record(last(paths.birth(task))) == task
        assert paths.parse_record(last(paths.definition(task))) == task

    @given(IDS, NUMBERS, st.sampled_from(paths.OUTCOMES))
    def test_results(self, task: str, epoch: int, outcome: str) -> None:
        assert paths.parse_result(last(paths.result(task, epoch, outcome))) == (task, epoch, outcome)

    @given(PEERS, PEERS)
    def test_peers(self, who: Incarnation, by: Incarnation) -> None:
        assert paths.parse_incarnation(last(paths.peer_dir(who))) == who
        assert paths.parse_departed(last(paths.departed_dir(who, by))) == (who, by)

    @given(NUMBERS, st.none() | PEERS)
    def test_beats(self, seq: int, by: Incarnation | None) -> None:
        assert paths.parse_beat(last(paths.beat("peers/a~1.x", seq, by))) == (seq, by)

    @given(NUMBERS)
    def test_leaders(self, term: int) -> None:
        assert paths.parse_leader(last(paths.leader(paths.LEADER, term))) == term

    @given(st.text(max_size=30) | st.from_regex(r"[a-z0-9.~-]{0,20}(done|json)?", fullmatch=True))
    def test_what_is_read_is_exactly_what_would_be_written(self, name: str) -> None:
        ticket = paths.parse_ticket(name)
        assert ticket is None or str(ticket) == name
        who = paths.parse_incarnation(name)
        assert who is None or str(who) == name
        both = paths.parse_departed(name)
        assert both is None or last(paths.departed_dir(*both)) == name
        result = paths.parse_result(name)
        assert result is None or last(paths.result(*result)) == name
        beat = paths.parse_beat(name)
        assert beat is None or last(paths.beat("", *beat)) == name
        term = paths.parse_leader(name)
        assert term is None or last(paths.leader("", term)) == name
        new = paths.parse_new(name)
        assert new is None or last(paths.new_ticket(*new)) == name
        task = paths.parse_record(name)
        assert task is None or last(paths.birth(task)) == name

    @given(PEERS, PEERS, NUMBERS)
    def test_every_name_fits_into_a_directory(self, who: Incarnation, by: Incarnation, seq: int) -> None:
        assert len(last(paths.departed_dir(who, by))) <= 255
        assert len(last(paths.beat("", seq, by))) <= 255


class TestShards:
    @pytest.mark.skipif(shutil.which("cksum") is None, reason="no cksum program here")
    @pytest.mark.parametrize("text", ["", "5", "a", "task-17", "x" * 64, "A.b_c-D", "0" * 255])
    def test_the_sum_is_that_of_the_posix_program(self, text: str) -> None:
        said = subprocess.run(["cksum"], input=text.encode(), capture_output=True, check=True).stdout
        assert cksum.cksum(text.encode()) == int(said.split()[0])

    @pytest.mark.skipif(shutil.which("cksum") is None, reason="no cksum program here")
    def test_the_sum_is_right_for_any_bytes(self) -> None:
        for data in (bytes(range(256)), b"\0" * 7, b"\xff" * 300, bytes(range(256)) * 300):
            said = subprocess.run(["cksum"], input=data, capture_output=True, check=True).stdout
            assert cksum.cksum(data) == int(said.split()[0])

    @given(IDS)
    def test_ids_that_differ_only_in_case_meet(self, task: str) -> None:
        assert paths.shard(task) == paths.shard(task.upper()) == paths.shard(task.lower())
        assert len(paths.shard(task)) == 2
        assert int(paths.shard(task), 16) < 256

    def test_tasks_spread_over_the_shards(self) -> None:
        sizes: dict[str, int] = {}
        for number in range(10_000):
            sizes[paths.shard(str(number))] = sizes.get(paths.shard(str(number)), 0) + 1
        assert len(sizes) == 256
        assert max(sizes.values()) < 80

    def test_ready_shards_are_blocks_in_the_order_of_adding(self) -> None:
        assert paths.ready_shard(0) == paths.ready_shard(READY_BLOCK - 1) == "000000"
        assert paths.ready_shard(READY_BLOCK) == "000001"
        blocks = [paths.ready_shard(order) for order in range(0, 10 * READY_BLOCK * 17, 977)]
        assert blocks == sorted(blocks)

    @given(st.integers(0, 10**12))
    def test_a_block_is_read_back(self, order: int) -> None:
        assert paths.parse_block(paths.ready_shard(order)) == order // READY_BLOCK

    @given(st.text(alphabet="0123456789af~ ٣", max_size=17))
    def test_what_is_no_block_no_level_no_shard_is_none(self, name: str) -> None:
        block, level = paths.parse_block(name), paths.parse_level(name)
        assert block is None or paths.ready_shard(block * READY_BLOCK) == name
        assert level is None or str(level) == name
        assert paths.is_shard(name) == (name in {f"{shard:02x}" for shard in range(256)})

    def test_every_record_of_a_task_lies_in_one_shard(self) -> None:
        shard = paths.shard("task-7")
        for path in (paths.birth("task-7"), paths.definition("task-7"), paths.done("task-7")):
            assert f"/{shard}/task-7" in path
        assert paths.result("task-7", 3, "done") == f"{paths.results_dir('task-7')}/task-7~3.done.json"
        assert paths.done("task-7") == f"{paths.done_dir('task-7')}/task-7"


class TestTickets:
    def test_a_claim_is_one_epoch_on_and_a_completion_keeps_it(self) -> None:
        ticket = Ticket("5", 3)
        assert str(ticket.claimed()) == "5~4"
        assert str(ticket.claimed().completed()) == "5~4~done"
        assert ticket == Ticket("5", 3)

    def test_equal_names_are_equal_tickets(self) -> None:
        assert len({Ticket("5", 1), Ticket("5", 1), Ticket("5", 2), Ticket("5", 1, done=True)}) == 3
        assert Ticket("5", 1) != "5~1"
        assert str(Ticket("5", 1)) == "5~1"

    def test_incarnations_are_ordered_by_name_number_and_suffix(self) -> None:
        lives = [
            Incarnation("a", 2, "x"),
            Incarnation("a", 10, "a"),
            Incarnation("a", 10, "b"),
            Incarnation("b", 1, "a"),
        ]
        assert sorted(lives) == lives
        assert len({*lives, Incarnation("b", 1, "a")}) == 4
        assert lives[0] != "a~2.x"
        assert str(lives[0]) == "a~2.x"


def test_the_skeleton_has_parents_before_children_and_no_repeats() -> None:
    seen: set[str] = set()
    for directory in paths.SKELETON:
        home = directory.rpartition("/")[0]
        assert not home or home in seen
        assert directory not in seen
        seen.add(directory)
    assert {paths.TMP, paths.NEW, paths.LEADER, paths.PEERS, paths.DEPARTED, paths.QUARANTINE} <= seen
