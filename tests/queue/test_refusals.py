"""What is refused: the error says why, and nothing has changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from support import tree
from support.worlds import World

from peercoord.errors import LostError, NotFoundError, PeercoordError, UsageError
from peercoord.membership import membership as members
from peercoord.queue.reassign import reassign
from peercoord.queue.renaming import rename
from peercoord.queue.worker import Worker
from peercoord.store import paths, records
from peercoord.store.paths import Ticket
from peercoord.store.settings import RECORD_BYTES

Step = Callable[[World], object]


@pytest.fixture
def world() -> World:
    """Task 1 is ready, 2 waits for it and 3 for 2; amber holds 4 and has done 5, cedar has marked 11; 6 to 9 wait."""
    made = World.new()
    amber = made.working("amber", "5")
    made.join("birch")
    amber.complete("5")
    made.add("4")
    made.taken(amber, "4")
    needs = {"1": (), "2": ("1",), "3": ("2",), "6": (), "8": (), "9": ("5",), "10": (), "Login": ()}
    for task in needs:
        made.add(task, needs[task])
    made.queue.cancel("6", "no")
    made.add("11")
    made.files.move(made.at("11"), paths.claim(made.join("cedar").home, Ticket("11", 1, done=True)))
    made.queue.create(records.define("7", "imported", dependencies=["98"]), 7)
    made.files.put(paths.definition("8"), b"{,")
    reopened = {**made.queue.definition("9").raw, "dependencies": [5, 10]}
    made.files.put(paths.definition("9"), records.encode(reopened))  # edited by hand, and not placed since
    return made


def peer(world: World, name: str) -> Worker:
    return world.resume(next(who for who in members.living(world.root) if who.peer == name))


def add(task: str, **more: Any) -> Step:
    return lambda world: world.queue.add(records.define(task, "Another", **more))


def edit(**changes: Any) -> Step:
    return lambda world: world.queue.edit("1", **changes)


def report(by: str, task: str, **said: Any) -> Step:
    return lambda world: peer(world, by).report(task, said)


def give(task: str, target: str = "birch") -> Step:
    return lambda world: reassign(world.queue, task, target)


REFUSED: list[tuple[Step, type[PeercoordError], str]] = [
    (add("20", dependencies=["19"]), UsageError, "unknown-dependency: task 20 depends on task 19, which is not known"),
    (add("20", dependencies=["20"]), UsageError, "cycle: task 20 would wait for itself: 20 → 20"),
    (add("1"), UsageError, "exists: there is a task 1 already"),
    (add("login"), UsageError, "case-twin: task id login differs from Login only in case"),
    (add("20", blob="x" * RECORD_BYTES), UsageError, f"too-large: .*at most {RECORD_BYTES}"),
    (add("20", blob="\udcff"), UsageError, "bad-text: .*cannot be written as JSON"),
    (edit(dependencies=["3"]), UsageError, "task 1 would wait for itself: 1 → 3 → 2 → 1"),
    (edit(dependencies=["98"]), UsageError, "task 1 depends on task 98, which is not known"),
    (edit(task_id=2), UsageError, "task 1 keeps its id"),
    (edit(dependencies="2"), UsageError, "dependencies"),
    *((edit(title=title), UsageError, "title") for title in ("", None)),
    (edit(priority="soon"), UsageError, "priority"),
    *((report("amber", "4", progress=much), UsageError, "") for much in (70, "much", -1, float("nan"))),
    *((report("amber", "4", time_spent=much), UsageError, "") for much in ("long", float("inf"), [], 1 << 80)),
    (report("amber", "4", steps=["../x"]), UsageError, ""),
    (report("amber", "1"), LostError, "amber does not hold task 1: task 1 is ready now"),
    (report("birch", "4"), LostError, r"task 4 is held by amber now \(epoch 1\)"),
    (report("birch", "5"), LostError, "task 5 is done, by amber"),
    (report("birch", "99"), NotFoundError, "there is no task 99"),
    (lambda world: world.queue.cancel("5"), UsageError, "task 5 is done"),
    (lambda world: world.queue.reopen("4"), LostError, "task 4 is held by amber~"),
    (lambda world: world.queue.park(world.at("1"), Ticket("1", 0), "../x", ""), PeercoordError, "are not parked as"),
    (lambda world: rename(world.queue, "4", "44"), LostError, "task 4 is held by amber"),
    (give("5"), LostError, "task 5 is done"),
    (give("11"), LostError, "task 11 is completed, by cedar"),
    (give("4", "amber"), LostError, "holds task 4 already"),
    (give("2"), LostError, "task 2 waits for task 1"),
    (give("9"), LostError, "task 9 waits for task 10"),
    (give("6"), LostError, "task 6 is parked: cancelled"),
    (give("7"), LostError, "task 7 is parked: blocked"),
    (give("99"), NotFoundError, "there is no task 99"),
    (give("1", "dogwood"), NotFoundError, "there is no peer 'dogwood'"),
    (give("1", "\x1b[31m"), NotFoundError, r"there is no peer '\\x1b"),
    *(
        (lambda world, verb=verb: getattr(world.queue, verb)("99"), NotFoundError, "there is no task 99")
        for verb in ("find", "definition", "cancel", "reopen", "edit")
    ),
]


@pytest.mark.parametrize(("step", "error", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_refused_changes_nothing(world: World, step: Step, error: type[PeercoordError], words: str) -> None:
    before = tree.situation(world.memory)
    with pytest.raises(error) as caught:
        step(world)
    assert re.search(words, f"{caught.value.code}: {caught.value.message}")
    assert tree.situation(world.memory) == before


def test_a_cancelled_task_is_not_given_from_peer_to_peer(world: World) -> None:
    """PLC-2."""
    world.queue.edit("4", cancelled=True)
    with pytest.raises(LostError, match="task 4 is parked: cancelled"):
        reassign(world.queue, "4", "birch")
    assert world.state("4")[0] == "claimed"


def test_an_unreadable_task_is_not_given_to_a_peer(world: World) -> None:
    with pytest.raises(PeercoordError, match="could not be read"):
        reassign(world.queue, "8", "birch")
    assert world.state("8")[0] != "claimed"


@pytest.mark.parametrize("task", ["", "..", "../x", "a/b", "a~1", "x" * 65, ".x", "é", "\x1b[0m"])
def test_a_bad_id_never_becomes_a_path(world: World, task: str) -> None:
    queue, amber = world.queue, peer(world, "amber")
    looks = (queue.birth, queue.definition, queue.find, queue.locate, queue.is_done)
    changes = (queue.cancel, queue.reopen, queue.edit, lambda task: queue.add(records.define(task, "x")))
    ends = (amber.complete, amber.release, lambda task: amber.report(task, {}), lambda task: amber.fail(task, "x"))
    for step in (*looks, *changes, *ends, lambda task: reassign(queue, task, "amber")):
        with pytest.raises(UsageError, match="is not allowed"):
            step(task)
