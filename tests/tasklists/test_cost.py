"""A sync that finds nothing to do reads no definition, writes nothing, and asks the database four things."""

from __future__ import annotations

import pytest
from bench import sync as bench
from support.faults import CHANGES, Counting
from support.lists import Lists, statements

from peercoord.store import paths
from peercoord.system.disk import Disk
from peercoord.tasklists import imported


@pytest.fixture
def settled(lists: Lists) -> Lists:
    rows = [(n, f"T{n}", "", "done" if n % 4 == 0 else "pending", "medium", f"[{n - 1}]" if n % 3 == 0 else "[]")
            for n in range(1, 201)]  # fmt: skip
    lists.plain(*rows)
    lists.settled()
    worker = lists.join()
    worker.request()
    worker.report("1", {"progress": 0.3})
    lists.join("w2").request()
    lists.settled()
    return lists


def test_nothing_to_do_costs_looks_alone(settled: Lists) -> None:
    disk = Counting(Disk(str(settled.home / paths.ROOT)))
    again = Lists(settled.home, disk)
    disk.calls.clear()
    asked: list[str] = []
    with statements(asked.append):
        assert again.sync().comparisons == []
    assert not [call for call in disk.calls if call.name in CHANGES]
    read = [call.path for call in disk.calls if call.name == "read"]
    assert {path.partition("/")[0] for path in read} <= {paths.REPORTS}, "what holders report, and nothing else"
    assert len([call for call in disk.calls if call.name == "stat" and call.path.startswith(paths.TASKS)]) == 200
    reading = [
        statement for statement in asked if "pragma" not in statement.lower() and "sqlite_master" not in statement
    ]
    assert len(reading) <= 5, reading
    assert not [s for s in asked if s.split()[0] not in ("BEGIN", "SELECT", "PRAGMA")]
    assert sum('"peercoord_store"' in statement for statement in asked) == 1, "are our tables there?"


def test_one_change_reads_one_definition(settled: Lists) -> None:
    settled.queue.edit("7", title="changed")
    disk = Counting(Disk(str(settled.home / paths.ROOT)))
    again = Lists(settled.home, disk)
    disk.calls.clear()
    assert [comparison.task for comparison in again.sync().comparisons] == ["7"]
    read = {call.path for call in disk.calls if call.name == "read" and call.path.startswith(paths.TASKS)}
    assert read == {paths.definition("7")}
    settled.sql("UPDATE tasks SET title = 'there' WHERE id = 8")
    assert [comparison.task for comparison in settled.sync().comparisons] == ["8"]


def test_a_first_sync_reads_each_row_of_the_table_once(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    lists.plain(*[(n, f"T{n}", "", "pending", "medium", "[]") for n in (1, 2, 3)])
    built: list[int] = []
    build = imported.build
    monkeypatch.setattr(imported, "build", lambda rows, *more: built.append(len(rows)) or build(rows, *more))
    lists.sync()
    assert built == [3], "not once more in the transaction"


def test_a_directory_that_is_half_deleted_is_read_once_not_once_for_each_row(settled: Lists) -> None:
    state = settled.home / paths.ROOT
    for task in map(str, range(1, 101)):
        (state / settled.queue.find(task).path).unlink()
        (state / paths.birth(task)).unlink()
    disk = Counting(Disk(str(state)))
    again = Lists(settled.home, disk)
    disk.calls.clear()
    assert [c.task for c in again.plan().comparisons if int(c.task) <= 100] == []
    assert len([call for call in disk.calls if call.name == "read" and call.path.startswith(paths.BIRTHS)]) <= 100


def test_a_list_is_taken_in_by_one_look_not_by_one_for_each_task(lists: Lists) -> None:
    """What a thousand tasks cost is not the square of what ten cost."""

    def listings(count: int) -> float:
        lists.sql("DELETE FROM tasks")
        start = len(lists.queue.all_tasks()) + 1
        for number in range(start, start + count):
            lists.sql("INSERT INTO tasks (id, title) VALUES (?, ?)", number, f"T{number}")
        disk = Counting(Disk(str(lists.home / paths.ROOT)))
        Lists(lists.home, disk).sync(restore=True)
        return sum(call.name == "listdir" for call in disk.calls) / count

    lists.plain()
    few, many = listings(10), listings(200)
    assert many < few + 20


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_tasks(place: object) -> None:
    """Check what does not depend on the machine; ``tests/bench`` measures the time."""
    data = bench.measure(10_000, 3, str(place))
    counted = {name: held for name, held in data["bars"].items() if "at most" not in name}
    assert len(counted) == 1
    assert all(counted.values()), data
