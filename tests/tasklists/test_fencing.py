"""A leader whose term is over changes nothing and says so; two syncs at once end as one would have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.faults import Call, Meanwhile, Wrapper
from support.lists import Lists, statements

from peercoord.errors import LostError
from peercoord.membership.leadership import Leadership, current_term, leader_home, raise_term
from peercoord.store import paths
from peercoord.system.disk import Disk
from peercoord.tasklists import runner, selection
from peercoord.tasklists.reconcile import Outcome


def everything(lists: Lists) -> Any:
    """All that a sync could change, here and there."""
    where = Path(lists.home) / paths.ROOT
    files = {p.relative_to(where): p.read_bytes() for p in where.rglob("*") if p.is_file() and "events" not in p.parts}
    return files, lists.path.read_bytes()


@pytest.fixture
def busy(lists: Lists) -> Lists:
    """A list with changes on both sides."""
    lists.plain((1, "A"), (2, "B"), (3, "C"))
    lists.sync(term=5)
    worker = lists.join()
    worker.request()
    worker.complete("1")
    lists.sql("UPDATE tasks SET title = 'B there', status = 'cancelled' WHERE id = 2")
    lists.sql("INSERT INTO tasks (id, title) VALUES (4, 'D')")
    return lists


@pytest.mark.parametrize("looks", range(8))
def test_a_leader_deposed_in_the_middle_stops_there(busy: Lists, looks: int) -> None:
    """What was taken in before stays; nothing is taken in or written after. ``test_contract`` has an older term."""
    asked, before = count(1), everything(busy)
    try:
        busy.sync(term=5, leads=lambda: next(asked) <= looks)
        said = ""
    except LostError as error:
        said = error.message
    assert ("another peer leads now" in said) == (next(asked) > looks + 1)
    assert looks or everything(busy) == before
    assert (busy.row(1) == ("done", "w1")) == (not said), "the rows are the last to change"
    busy.settled(5)
    assert busy.row(1) == ("done", "w1")
    assert busy.state("2") == ("parked", "cancelled")


def test_a_leader_that_slept_undoes_no_edit(lists: Lists) -> None:
    """It had compared; meanwhile another one took the same change in, and a person edited the task again."""
    lists.plain((1, "A"))
    lists.sync(term=1)
    lists.sql("UPDATE tasks SET title = 'from there'")
    looks = count(1)

    def second_look(call: Call) -> bool:
        return call.name == "stat" and call.path == paths.definition("1") and next(looks) == 2

    def meanwhile() -> None:
        lists.sync(term=2)
        lists.queue.edit("1", title="edited since")

    sleeper = Lists(lists.home, Meanwhile(Disk(str(lists.home / paths.ROOT)), (second_look, meanwhile)))
    with pytest.raises(LostError, match="term 1 is over"):
        sleeper.sync(term=1)
    assert lists.raw("1")["title"] == "edited since"
    lists.settled(2)
    assert lists.row(1, "title") == "edited since"


def test_a_transaction_keeps_other_leaders_out(lists: Lists) -> None:
    """On SQLite the transaction is the only writer; who comes with a lower term afterwards finds itself fenced."""
    lists.plain((1, "A"))
    lists.sync(term=1)
    lists.queue.edit("1", title="edited")
    refused: list[str] = []

    def around(statement: str) -> None:
        if statement.startswith("UPDATE peercoord_store") and not refused:
            refused.append("tried")
            with pytest.raises(Exception, match="locked by another program"):
                lists.sync(lists.store(wait=0.05), term=1)

    with statements(around):
        lists.sync(term=3)
    assert refused
    with pytest.raises(LostError, match="term 2 is over"):
        lists.sync(term=2)
    assert lists.row(1, "title") == "edited"


def in_threads(*runs: Callable[[], None]) -> list[BaseException]:
    """Start them together; return how they failed."""
    start = threading.Barrier(len(runs))
    failed: list[BaseException] = []

    def run(do: Callable[[], None]) -> None:
        start.wait()
        try:
            do()
        except BaseException as error:  # noqa: BLE001 - the test asserts on it
            failed.append(error)

    threads = [threading.Thread(target=run, args=(do,)) for do in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def race_two_leaders(lists: Lists, opened: Callable[[], Lists], rounds: int) -> None:
    """Two threads sync again and again, each with its own connection: the older term never has the last word."""
    outcomes: dict[int, list[Outcome | LostError]] = {5: [], 6: []}

    def lead(term: int) -> None:
        mine = opened()
        for _ in range(rounds):
            try:
                outcomes[term].append(mine.sync(mine.store(wait=5.0), term=term))
            except LostError as error:
                outcomes[term].append(error)

    assert not in_threads(lambda: lead(5), lambda: lead(6))
    stale = {term: [getattr(one, "code", "") == "stale-term" for one in found] for term, found in outcomes.items()}
    assert any(stale[5]), "the older one was refused"
    assert not any(stale[6]), "the newer one is never refused"
    first = stale[5].index(True)
    assert all(isinstance(one, LostError) for one in outcomes[5][first:]), "once over, always over"
    assert lists.sql("SELECT term FROM peercoord_store") == [(6,)]
    lists.settled(6)
    assert lists.sql("SELECT count(*) FROM instance_assignments") == [(1,)]


def test_two_leaders_at_once(busy: Lists) -> None:
    race_two_leaders(busy, lambda: Lists(busy.home), rounds=15)
    assert [busy.row(n, "status") for n in (1, 2, 3, 4)] == ["done", "cancelled", "pending", "pending"]


def test_syncs_of_one_term_at_once_end_as_one_would(busy: Lists) -> None:
    """The leader's own sync and those by hand."""

    def sync() -> None:
        mine = Lists(busy.home)
        for _ in range(5):
            mine.sync(mine.store(wait=10.0), term=5)

    assert not in_threads(sync, sync, sync)
    busy.settled(5)
    assert [busy.row(n, "status") for n in (1, 2, 3, 4)] == ["done", "cancelled", "pending", "pending"]
    assert busy.sql("SELECT task_id, epoch FROM instance_assignments") == [(1, 1)]
    assert busy.state("4")[0] == "ready"


# -- a directory that was set up again ------------------------------------------------------------------------------


@pytest.fixture
def chosen(lists: Lists) -> runner.Lists:
    """A list whose term is above that of the coordination directory."""
    lists.plain((1, "A"))
    lists.store().update(12, lambda _: [])
    lists.root.protocol["database"] = str(lists.path)
    return runner.Lists(lists.root, "w1", selection.Choice(str(lists.path)))


def test_the_leader_raises_a_term_below_the_one_in_the_database(lists: Lists, chosen: runner.Lists) -> None:
    leadership = Leadership(lists.join().membership)
    assert leadership.take() == 1
    with pytest.raises(LostError, match="term 1 is over"):
        runner.run(chosen)  # by hand: the leader's ticket is not ours to touch
    assert leadership.term() == 1
    runner.run(chosen, term=1)
    assert leadership.term() == current_term(lists.root) == 13
    assert lists.sql("SELECT term FROM peercoord_store") == [(13,)]


def test_without_a_leader_anyone_raises_the_term(lists: Lists, chosen: runner.Lists) -> None:
    runner.run(chosen)
    assert current_term(lists.root) == 13
    assert Leadership(lists.join().membership).take() == 14


def test_a_ticket_that_moved_on_is_not_raised(lists: Lists) -> None:
    worker = lists.join()
    Leadership(worker.membership).take()
    assert raise_term(lists.root, paths.LEADER, 0, 12) == 0
    assert leader_home(lists.root, 1) == worker.home
    assert leader_home(lists.root, 0) == ""
    assert current_term(lists.root) == 1


def test_a_term_cannot_be_read_while_the_leader_changes(lists: Lists) -> None:
    lists.root.files.remove(paths.leader(paths.LEADER, 0))
    with pytest.raises(LostError, match="changing hands"):
        current_term(lists.root)


# -- epochs that leave -------------------------------------------------------------------------------------------


class Flushing(Wrapper):
    """A disk that notes which directories were flushed, and refuses to flush one of them."""

    def __init__(self, disk: Any, gone: str = "") -> None:
        super().__init__(disk)
        self.flushed: list[str] = []
        self.gone = gone

    def around(self, call: Call) -> Any:
        if call.name == "sync":
            self.flushed.append(call.path)
            if call.path == self.gone:
                raise FileNotFoundError(2, "gone", call.path)
        return call.run()


@pytest.fixture
def claims(lists: Lists) -> str:
    """The directory of a claim that the list does not know yet."""
    lists.plain((1, "A"), (2, "B"), (3, "C"))
    lists.sync()
    worker = lists.join()
    worker.request()
    return paths.claims_dir(worker.home)


def test_a_claim_is_flushed_before_its_epoch_is_written_there(lists: Lists, claims: str) -> None:
    """Lost with the power, the same epoch would be given out again, and the list would know both."""
    disk = Flushing(lists.disk)
    late = Lists(lists.home, disk)
    seen: list[tuple[str, list[str]]] = []
    with statements(lambda said: seen.append((said, list(disk.flushed)))):
        late.sync()
    writes = [flushed for said, flushed in seen if said.startswith("INSERT INTO instance_assignments")]
    assert writes
    assert all(claims in flushed for flushed in writes)
    assert lists.sql("SELECT epoch FROM instance_assignments WHERE task_id = 1") == [(1,)]
    disk.flushed.clear()
    lists.queue.edit("2", title="B here")
    late.sync()
    assert claims not in disk.flushed, "no peer had task 2"


def test_a_claim_that_moved_on_waits_for_the_next_sync(lists: Lists, claims: str) -> None:
    Lists(lists.home, Flushing(lists.disk, claims)).sync()
    assert lists.sql("SELECT epoch FROM instance_assignments") == []
    lists.sync()
    assert lists.sql("SELECT epoch FROM instance_assignments") == [(1,)]
