"""A renaming or an answer that a crash cut short at any call: no task is claimed twice, and it can be finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from support.faults import Counting, Crash, Crashing
from support.memory import MemoryDisk
from support.worlds import World

from peercoord.doctor import fixes
from peercoord.errors import PeercoordError, UsageError
from peercoord.queue.reassign import reassign
from peercoord.queue.renaming import rename
from peercoord.store import paths, records
from peercoord.tasklists.apply import Applier
from peercoord.tasklists.normalize import TaskStatus
from peercoord.tasklists.reconcile import Resolution
from peercoord.tasklists.snapshot import Tickets


def crashed(make: Callable[[], World], act: Callable[[World], object]) -> Iterator[World]:
    """Let a process die before each call that changes something; yield what each crash leaves, and last the whole."""
    world = make()
    counting = Counting(world.disk)
    act(world.on(counting))
    changes = {id(call) for call in counting.changes}
    for at in [at for at, call in enumerate(counting.calls, 1) if id(call) in changes]:
        left = make()
        with pytest.raises(Crash):
            act(left.on(Crashing(left.disk, at)))
        yield left
    yield world


def states(world: World) -> dict[str, tuple[str, str]]:
    return {task: (seen.state, seen.detail) for task, seen in world.queue.survey().items()}


def one() -> World:
    world = World(MemoryDisk())
    world.add("1")
    return world


def failed() -> World:
    world = one()
    worker = world.join("amber")
    for _ in range(3):
        assert worker.request()
        worker.fail("1", "no")
    assert states(world)["1"] == ("parked", "failed")
    return world


def in_review() -> World:
    world = one()
    worker = world.join("amber")
    worker.request()
    worker.park("1", "review", "is it good?")
    return world


def unasked() -> World:
    """In review, answered once before; a crash came before the second question was in the definition."""
    world = in_review()
    world.queue.reopen("1", "nearly")
    worker = world.join("birch")
    before = worker.request()
    assert before
    worker.park("1", "review", "and now?")
    raw = {key: value for key, value in world.queue.definition("1").raw.items() if key != "parked"}
    world.files.put(paths.definition("1"), records.encode(raw))
    return world


@pytest.mark.parametrize(("make", "why"), [(failed, "failed"), (in_review, "review"), (unasked, "review")])
def test_a_parked_task_stays_parked_when_renamed(make: Callable[[], World], why: str) -> None:
    for world in crashed(make, lambda world: rename(world.queue, "1", "5")):
        if world.queue.birth("1"):
            rename(world.queue, "1", "5")
        world.janitor().tidy()
        assert states(world) == {"5": ("parked", why)}
    world.queue.reopen("5")
    assert states(world)["5"][0] == "ready"


def test_dependents_of_a_done_task_stay_ready_during_its_renaming() -> None:
    def make() -> World:
        world = one()
        world.add("2", ("1",))
        worker = world.join("amber")
        worker.request()
        worker.complete("1")
        return world

    for tidied in (False, True):
        for world in crashed(make, lambda world: rename(world.queue, "1", "5")):
            if tidied:
                world.janitor().tidy()
            elif world.queue.birth("1"):
                rename(world.queue, "1", "5")
            claim = world.join("birch").request()
            assert claim, "2 may be claimed at any moment"
            assert claim.task == "2"
            if tidied and world.queue.birth("1"):
                rename(world.queue, "1", "5")
            assert states(world)["5"] == ("done", "")
            assert "1" not in states(world)


def sync(world: World) -> object:
    found = Resolution()
    found.incoming = {"state": TaskStatus.OPEN}
    ours = Tickets(world.queue)
    return Applier(world.queue, ours, "a list", lambda: None).apply("1", ours.snapshot().versions["1"], found, {})


def give(world: World) -> object:
    world.join("amber")
    return reassign(world.queue, "1", "amber")


MEANWHILE: dict[str, Callable[[World], object]] = {
    "reopen": lambda world: world.queue.reopen("1"),
    "edit": lambda world: (world.queue.edit("1", parked=None), world.queue.reopen("1")),
    "another id": lambda world: rename(world.queue, "1", "6"),
    "the new one": lambda world: (rename(world.queue, "5", "7"), world.queue.reopen("1")),
    "reassign": give,
    "sync": sync,
    "doctor": lambda world: fixes.fix_team(world.queue, None),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_an_interrupted_renaming_never_makes_two_tasks(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixes, "PAUSE", 0)
    for world in crashed(one, lambda world: rename(world.queue, "1", "5")):
        with suppress(PeercoordError, KeyError):
            MEANWHILE[what](world)
        world.janitor().tidy()
        taken = [task for task, (state, _) in states(world).items() if state in ("ready", "claimed")]
        assert len(taken) <= 1, f"{what}: {states(world)}"
        target = world.queue.renamed_to(world.queue.definition("1")) if world.queue.birth("1") else ""
        if target:
            rename(world.queue, "1", target)
            assert list(states(world)) == [target]


def test_the_doctor_finishes_a_renaming_that_left_no_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixes, "PAUSE", 0)
    ended = 0
    for world in crashed(one, lambda world: rename(world.queue, "1", "5")):
        without = world.queue.birth("1") is not None and "1" not in states(world)
        said = fixes.fix_team(world.queue, None)
        if without:
            ended += 1
            assert "task 1: finished its renaming to 5" in said
            assert states(world) == {"5": ("ready", "2")}
    assert ended


def test_an_unfinished_renaming_says_how_to_go_on() -> None:
    world = next(w for w in crashed(one, lambda w: rename(w.queue, "1", "5")) if w.queue.birth("5"))
    for act in (lambda: world.queue.reopen("1"), lambda: rename(world.queue, "1", "6")):
        with pytest.raises(UsageError, match="task 1 is being renamed to 5") as caught:
            act()
        assert caught.value.hint.endswith("peercoord task rename 1 5")
    with pytest.raises(UsageError, match="task 5 is task 1 too") as caught:
        rename(world.queue, "5", "7")
    assert caught.value.hint.endswith("peercoord task rename 1 5")


def test_a_renaming_that_has_not_reached_the_new_id_can_be_changed() -> None:
    """Another task may have the new id by now: then the renaming cannot be finished."""
    world = next(w for w in crashed(one, lambda w: rename(w.queue, "1", "5")) if states(w)["1"] == ("parked", "held"))
    world.add("5")
    rename(world.queue, "1", "6")
    assert states(world) == {"5": ("ready", "2"), "6": ("ready", "2")}


def test_a_forbidden_renaming_changes_nothing() -> None:
    world = one()
    world.add("Foo")
    with pytest.raises(UsageError, match="differs from Foo only in case"):
        rename(world.queue, "1", "foo")
    world.add("3")
    raw = world.queue.definition("3").raw | {"dependencies": [5]}
    world.files.put(paths.definition("3"), records.encode(raw))
    world.queue.place_again("3")
    world.add("4", ("3",))
    for task, path in (("3", "5 → 5"), ("4", "5 → 3 → 5")):
        with pytest.raises(UsageError, match=f"task 5 would wait for itself: {path}"):
            rename(world.queue, task, "5")
    assert states(world) == {
        "1": ("ready", "2"),
        "Foo": ("ready", "2"),
        "3": ("parked", "blocked"),
        "4": ("waiting", "3"),
    }
    assert not any("parked" in world.queue.definition(task).raw for task in states(world))


def blocked() -> World:
    world = one()
    worker = world.join("amber")
    worker.request()
    worker.park("1", "blocked", "which key?")
    return world


@pytest.mark.parametrize("make", [blocked, in_review, failed])
@pytest.mark.parametrize("tidied", [False, True])
def test_an_interrupted_answer_is_given_once(make: Callable[[], World], tidied: bool) -> None:
    for world in crashed(make, lambda world: world.queue.reopen("1", "this one")):
        written = bool(world.queue.definition("1").raw.get("answers"))
        if tidied:
            world.janitor().tidy()
            assert (states(world)["1"][0] == "ready") == written
        elif states(world)["1"][0] == "parked":
            world.queue.reopen("1", "this one")
            assert states(world)["1"][0] == "ready"
        if written or not tidied:
            (answer,) = world.queue.definition("1").raw["answers"]
            assert (answer["answer"], bool(answer["question"])) == ("this one", True)


def test_an_older_answer_does_not_count_for_a_newer_question() -> None:
    world = unasked()
    world.janitor().tidy()
    assert states(world)["1"] == ("parked", "review")
