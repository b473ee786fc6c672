"""A process that dies at any call of any sequence: nothing is lost, doubled or undone, and others bring it to its end.

Many interruptions leave the very same files behind; each such situation is repaired and checked once.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest
from support import crashes, tree
from support.faults import CHANGES, Call, Failing, Fault, Pausing
from support.scenes import PLAYED, SURVIVOR, Scene
from support.worlds import World

from peercoord.errors import EvictedError
from peercoord.store import paths

CHECKED: set[tuple[object, ...]] = set()
LIES = [*((number, done) for number in (errno.EIO, errno.ENOENT) for done in (True, False))]
LIES += [(errno.EEXIST, True)]
LIES += [pytest.param(errno.ESTALE, done, marks=pytest.mark.slow) for done in (True, False)]  # read like ENOENT


def check_repaired(world: World, scene: Scene, hint: object) -> None:
    """Assert, whatever was interrupted, that the survivor leaves everything in order and can finish every task."""
    disk = world.memory
    tree.check(disk)
    situation = (scene.name, frozenset(tree.situation(disk).items()), frozenset(disk.folders()))
    if situation not in CHECKED:
        check_repair(world, scene, hint)
        CHECKED.add(situation)


def check_repair(world: World, scene: Scene, hint: object) -> None:
    disk = world.memory
    born, decided, before = tree.born(disk), crashes.committed(disk), crashes.epochs(disk)
    assert tree.born(scene.world.memory).items() <= born.items(), hint
    assert crashes.committed(scene.world.memory) - set(scene.undoes) <= decided, hint
    crashes.repair(world, scene)
    tree.check_at_rest(disk)
    crashes.check_placed(world)
    assert tree.born(disk) == born, f"{hint}: a ticket without a birth became a task"
    assert decided <= {task for task in born if world.queue.is_done(task)}, f"{hint}: a completion was undone"
    after = crashes.epochs(disk)
    assert all(after.get(task, epoch) >= epoch for task, epoch in before.items()), f"{hint}: an epoch was lowered"
    crashes.finish(world, scene)
    for task in born:
        assert any(outcome == "done" for _, outcome in world.outcomes(task)), f"{hint}: {task} is done without a result"
    tree.check_at_rest(disk)


@pytest.mark.parametrize("scene", PLAYED, ids=repr)
def test_others_repair_what_a_crash_leaves(scene: Scene) -> None:
    for play in crashes.plays(scene):
        check_repaired(play.world, scene, play)


@pytest.mark.parametrize("scene", PLAYED, ids=repr)
def test_a_call_repeated_after_a_crash_is_done_once_or_refused(scene: Scene) -> None:
    """The same peer, in another process: what it asks again is done or refused, never done twice."""
    for play in crashes.plays(scene):
        crashes.attempt(scene, play.world)
        tree.check(play.world.memory)
        check_repaired(play.world, scene, play)


def faulty(scene: Scene, fault: Fault, *, reads: bool, lasting: bool = False) -> Iterator[tuple[World, Call, bool]]:
    """Play a scene with one call answered wrongly: the first, the second …; or all that write from there on."""
    at, met = 0, True
    while met:
        at += 1
        world = scene.world.twin()
        count = 0

        def rule(call: Call, at: int = at) -> Fault | None:
            nonlocal count
            counts = reads or call.name in CHANGES
            count += counts
            return fault if counts and (count == at or (lasting and count > at and call.writes)) else None

        failing = Failing(world.disk, rule)
        error = crashes.attempt(scene, world.on(failing))
        met = count >= at
        if failing.met:
            yield world, failing.met[0], error is None


@pytest.mark.parametrize(("number", "done"), LIES, ids=lambda value: errno.errorcode.get(value, value))
@pytest.mark.parametrize("scene", PLAYED, ids=repr)
def test_a_wrong_answer_to_a_change_loses_nothing(scene: Scene, number: int, done: bool) -> None:
    for world, call, answered in faulty(scene, Fault(number, done), reads=False):
        assert not answered or scene.holds(world), f"after {call} it was answered, and it does not hold"
        check_repaired(world, scene, call)


@pytest.mark.parametrize("scene", PLAYED, ids=repr)
def test_a_disk_that_is_full_from_any_change_on_loses_nothing(scene: Scene) -> None:
    for world, call, answered in faulty(scene, Fault(errno.ENOSPC), reads=False, lasting=True):
        assert not answered or scene.holds(world), f"from {call} on it was answered, and it does not hold"
        check_repaired(world, scene, call)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT])
@pytest.mark.parametrize("scene", PLAYED, ids=repr)
def test_a_failed_look_loses_nothing(scene: Scene, number: int) -> None:
    for world, call, _ in faulty(scene, Fault(number), reads=True):
        check_repaired(world, scene, call)


@pytest.mark.parametrize("scene", PLAYED, ids=repr)
def test_a_link_in_place_of_any_file_ends_in_no_error_of_the_system(scene: Scene) -> None:
    """What comes out is an answer or an error of this program."""
    for world, _, _ in faulty(scene, Fault(errno.ELOOP), reads=True):
        tree.check(world.memory)


@pytest.mark.parametrize("scene", PLAYED, ids=repr)
def test_a_repair_during_any_call_does_not_disturb_it(scene: Scene) -> None:
    """In the last round no call is left: an undisturbed call keeps its promise, and leaves no litter."""
    at = 0
    while True:
        at += 1
        world = scene.world.twin()
        pausing = Pausing(world.disk, at, world.janitor(SURVIVOR).tidy)
        error = crashes.attempt(scene, world.on(pausing))
        assert error is None, f"{pausing.last}: {error}"
        assert scene.holds(world), pausing.last
        if pausing.last is None:
            assert not [path for path in world.memory.files() if path.startswith("tmp/")]
            break
        check_repaired(world, scene, pausing.last)


@pytest.mark.parametrize("scene", [scene for scene in PLAYED if scene.zombie], ids=repr)
def test_a_peer_evicted_during_any_call_changes_nothing_afterwards(scene: Scene) -> None:
    at = 0
    while True:
        at += 1
        world = scene.world.twin()

        def meanwhile(world: World = world) -> None:
            crashes.repair(world, scene)
            list(world.drained(world.resume(scene.survivor)))

        pausing = Pausing(world.disk, at, meanwhile)
        error = crashes.attempt(scene, world.on(pausing))
        if pausing.last is None:
            break
        assert error is None or isinstance(error, EvictedError) or scene.name in ("evict", "sweep"), f"{at}: {error}"
        assert not [name for name in world.files.scan(paths.PEERS) if name.startswith(f"{scene.by}~")]
        done = crashes.committed(world.memory)
        check_repaired(world, scene, pausing.last)
        assert all(world.outcomes(task).count((1, "done")) <= 1 for task in done)
