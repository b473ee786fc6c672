"""Every file name and its inverse: what is ours is read back, what is almost ours belongs to nobody."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercoord.core import names
from peercoord.core.limits import READY_BLOCK
from peercoord.core.names import Incarnation, Ticket

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
NUMBERS = st.integers(0, 10**15 - 1)
PEERS = st.builds(Incarnation, IDS, NUMBERS, st.from_regex(r"[A-Za-z0-9]{1,12}", fullmatch=True))
LONG = "9" * 16

GOOD: list[tuple[Callable[[str], object], str]] = [
    (names.parse_ticket, "5~0"),
    (names.parse_ticket, "5~10"),
    (names.parse_ticket, "A.b_c-d~3~done"),
    (names.parse_ticket, f"{'x' * 64}~{'9' * 15}"),
    (names.parse_new, "5~k3f9"),
    (names.parse_record, "5.json"),
    (names.parse_record, "a.json.json"),
    (names.parse_result, "5~1.done.json"),
    (names.parse_result, "a.b~0.released.json"),
    (names.parse_incarnation, "instance-1~7.k3f9"),
    (names.parse_departed, "a~1.x~b~2.y"),
    (names.parse_beat, "beat~0"),
    (names.parse_beat, "beat~7~a~1.x"),
    (names.parse_leader, "leader~0"),
    (names.number, "0"),
    (names.number, "9" * 15),
]

BAD: list[tuple[Callable[[str], object], str]] = [
    *(
        (names.parse_ticket, name)
        for name in ("", "~", "5", "5~", "~1", "5~~1", "5~01", "5~00", "5~-1", "5~+1", "5~ 1")
    ),
    *((names.parse_ticket, name) for name in ("5~1 ", "5~1\n", "5~1_0", "5~1.0", "5~1e3", "5~0x1", "5~one", "5~1~")),
    *(
        (names.parse_ticket, name)
        for name in ("5~1~Done", "5~1~done~", "5~1~done~done", "5~done", "5~1~failed", "5~1.json")
    ),
    *(
        (names.parse_ticket, name)
        for name in (f"5~{LONG}", f"{'x' * 65}~1", ".hidden~1", "-x~1", "_x~1", "..~1", "a/b~1")
    ),
    *(
        (names.parse_ticket, name)
        for name in ("a b~1", "é~1", "٣~1", "5~٣", "5~²", "5~1\udcff", "5~1~done\udcff", "\n5~1")
    ),
    *((names.parse_new, name) for name in ("", "5", "5~", "~x", "5~a~b", "5~-", "5~.x", "../5~x", "5~a/b", "5~é")),
    *(
        (names.parse_record, name)
        for name in ("", "5", ".json", "5.JSON", "5.json~", "5.json ", "a~1.json", "-.json", "5.jso")
    ),
    *(
        (names.parse_result, name)
        for name in ("", "5~1.json", "5.done.json", "5~1.done", "5~1.Done.json", "5~1.won.json")
    ),
    *(
        (names.parse_result, name)
        for name in ("5~01.done.json", "5~1~done.done.json", "5~1..json", ".done.json", "~1.done.json")
    ),
    *(
        (names.parse_result, name)
        for name in ("5~1.done.json.json", "5~1.done.json~", "5~1.done.JSON", f"5~{LONG}.done.json")
    ),
    *(
        (names.parse_incarnation, name)
        for name in ("", "a", "a~1", "a~1.", "a~.x", "~1.x", "a~01.x", "a~-1.x", "a~1.x.y")
    ),
    *(
        (names.parse_incarnation, name)
        for name in ("a~1.x~b", "a~1.x-y", "a~1.é", "a~x.1", "a~1.x ", f"a~{LONG}.x", "a/b~1.x")
    ),
    *(
        (names.parse_departed, name)
        for name in ("", "a~1.x", "a~1.x~b", "a~1.x~b~2", "a~1.x~b~2.y~c", "a~1.x~b~2.y~c~3.z")
    ),
    *((names.parse_departed, name) for name in ("a~1.x~~b~2.y", "a~1.x~b~02.y", "a~1.x~b~2.y ", "~a~1.x~b~2.y")),
    *(
        (names.parse_beat, name)
        for name in ("", "beat", "beat~", "beat~01", "beat~-1", "Beat~1", "beats~1", "beat~1~", "beat~1~a")
    ),
    *(
        (names.parse_beat, name)
        for name in ("beat~1~a~1", "beat~1~a~1.x~b", f"beat~{LONG}", "beat~x", "beat1", "xbeat~1")
    ),
    *(
        (names.parse_leader, name)
        for name in ("", "leader", "leader~", "leader~01", "leader~-1", "leader~1~", "leader~x")
    ),
    *(
        (names.parse_leader, name)
        for name in ("Leader~1", "leader~1 ", f"leader~{LONG}", "leaders~1", "~1", "xleader~1")
    ),
    *(
        (names.number, text)
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
        assert names.parse_ticket(str(ticket)) == ticket
        for path in (names.waiting("7", ticket), names.ready(2, 5, ticket), names.parked("held", ticket)):
            assert names.parse_ticket(last(path)) == ticket

    @given(IDS, IDS)
    def test_new_tickets(self, task: str, nonce: str) -> None:
        assert names.parse_new(last(names.new_ticket(task, nonce))) == (task, nonce)

    @given(IDS)
    def test_records(self, task: str) -> None:
        assert names.parse_record(last(names.birth(task))) == task
        assert names.parse_record(last(names.definition(task))) == task

    @given(IDS, NUMBERS, st.sampled_from(names.OUTCOMES))
    def test_results(self, task: str, epoch: int, outcome: str) -> None:
        assert names.parse_result(last(names.result(task, epoch, outcome))) == (task, epoch, outcome)

    @given(PEERS, PEERS)
    def test_peers(self, who: Incarnation, by: Incarnation) -> None:
        assert names.parse_incarnation(last(names.peer_dir(who))) == who
        assert names.parse_departed(last(names.departed_dir(who, by))) == (who, by)

    @given(NUMBERS, st.none() | PEERS)
    def test_beats(self, seq: int, by: Incarnation | None) -> None:
        assert names.parse_beat(last(names.beat("peers/a~1.x", seq, by))) == (seq, by)

    @given(NUMBERS)
    def test_leaders(self, term: int) -> None:
        assert names.parse_leader(last(names.leader(names.LEADER, term))) == term

    @given(st.text(max_size=30) | st.from_regex(r"[a-z0-9.~-]{0,20}(done|json)?", fullmatch=True))
    def test_what_is_read_is_exactly_what_would_be_written(self, name: str) -> None:
        ticket = names.parse_ticket(name)
        assert ticket is None or str(ticket) == name
        who = names.parse_incarnation(name)
        assert who is None or str(who) == name
        both = names.parse_departed(name)
        assert both is None or last(names.departed_dir(*both)) == name
        result = names.parse_result(name)
        assert result is None or last(names.result(*result)) == name
        beat = names.parse_beat(name)
        assert beat is None or last(names.beat("", *beat)) == name
        term = names.parse_leader(name)
        assert term is None or last(names.leader("", term)) == name
        new = names.parse_new(name)
        assert new is None or last(names.new_ticket(*new)) == name
        task = names.parse_record(name)
        assert task is None or last(names.birth(task)) == name

    @given(PEERS, PEERS, NUMBERS)
    def test_every_name_fits_into_a_directory(self, who: Incarnation, by: Incarnation, seq: int) -> None:
        assert len(last(names.departed_dir(who, by))) <= 255
        assert len(last(names.beat("", seq, by))) <= 255


class TestShards:
    @pytest.mark.skipif(shutil.which("cksum") is None, reason="no cksum program here")
    @pytest.mark.parametrize("text", ["", "5", "a", "task-17", "x" * 64, "A.b_c-D", "0" * 255])
    def test_the_sum_is_that_of_the_posix_program(self, text: str) -> None:
        said = subprocess.run(["cksum"], input=text.encode(), capture_output=True, check=True).stdout
        assert names.cksum(text.encode()) == int(said.split()[0])

    @pytest.mark.skipif(shutil.which("cksum") is None, reason="no cksum program here")
    def test_the_sum_is_right_for_any_bytes(self) -> None:
        for data in (bytes(range(256)), b"\0" * 7, b"\xff" * 300, bytes(range(256)) * 300):
            said = subprocess.run(["cksum"], input=data, capture_output=True, check=True).stdout
            assert names.cksum(data) == int(said.split()[0])

    @given(IDS)
    def test_ids_that_differ_only_in_case_meet(self, task: str) -> None:
        assert names.shard(task) == names.shard(task.upper()) == names.shard(task.lower())
        assert len(names.shard(task)) == 2
        assert int(names.shard(task), 16) < 256

    def test_tasks_spread_over_the_shards(self) -> None:
        sizes: dict[str, int] = {}
        for number in range(10_000):
            sizes[names.shard(str(number))] = sizes.get(names.shard(str(number)), 0) + 1
        assert len(sizes) == 256
        assert max(sizes.values()) < 80

    def test_ready_shards_are_blocks_in_the_order_of_adding(self) -> None:
        assert names.ready_shard(0) == names.ready_shard(READY_BLOCK - 1) == "000000"
        assert names.ready_shard(READY_BLOCK) == "000001"
        blocks = [names.ready_shard(order) for order in range(0, 10 * READY_BLOCK * 17, 977)]
        assert blocks == sorted(blocks)

    @given(st.integers(0, 10**12))
    def test_a_block_is_read_back(self, order: int) -> None:
        assert names.parse_block(names.ready_shard(order)) == order // READY_BLOCK

    @given(st.text(alphabet="0123456789af~ ٣", max_size=17))
    def test_what_is_no_block_no_level_no_shard_is_none(self, name: str) -> None:
        block, level = names.parse_block(name), names.parse_level(name)
        assert block is None or names.ready_shard(block * READY_BLOCK) == name
        assert level is None or str(level) == name
        assert names.is_shard(name) == (name in {f"{shard:02x}" for shard in range(256)})

    def test_every_record_of_a_task_lies_in_one_shard(self) -> None:
        shard = names.shard("task-7")
        for path in (names.birth("task-7"), names.definition("task-7"), names.done("task-7")):
            assert f"/{shard}/task-7" in path
        assert names.result("task-7", 3, "done") == f"{names.results_dir('task-7')}/task-7~3.done.json"
        assert names.done("task-7") == f"{names.done_dir('task-7')}/task-7"


class TestTickets:
    def test_a_claim_is_one_epoch_on_and_a_completion_keeps_it(self) -> None:
        ticket = Ticket("5", 3)
        assert str(ticket.claimed()) == "5~4"
        assert str(ticket.claimed().completed()) == "5~4~done"
        assert ticket == Ticket("5", 3)

    def test_equal_names_are_equal_tickets(self) -> None:
        assert len({Ticket("5", 1), Ticket("5", 1), Ticket("5", 2), Ticket("5", 1, done=True)}) == 3
        assert Ticket("5", 1) != "5~1"
        assert repr(Ticket("5", 1)) == "Ticket('5~1')"

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
        assert repr(lives[0]) == "Incarnation('a~2.x')"


def test_the_skeleton_has_parents_before_children_and_no_repeats() -> None:
    seen: set[str] = set()
    for directory in names.SKELETON:
        home = directory.rpartition("/")[0]
        assert not home or home in seen
        assert directory not in seen
        seen.add(directory)
    assert {names.TMP, names.NEW, names.LEADER, names.PEERS, names.DEPARTED, names.QUARANTINE} <= seen
