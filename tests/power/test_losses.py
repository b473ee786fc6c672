"""The power fails at any step of any sequence: what was not flushed is blank, names may be those of the last flush.

Others still bring every task to its end, and what was acknowledged holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import crashes, tree
from support.faults import CHANGES, Call, Counting, Wrapper
from support.memory import MemoryDisk
from support.scenes import PLAYED, SCENES, SURVIVOR, Scene
from support.worlds import World

from peercoord.queue.tasks import WRITING_NS
from peercoord.store import paths, records
from protocol import sequences

LEFT: dict[str, Callable[[bytes], bytes]] = {
    "blank": lambda _: b"",
    "torn": lambda lost: lost[: len(lost) // 3] + bytes(len(lost) // 3),
}
PROMISED = ("add", "complete", "release", "fail", "park", "reassign", "reopen", "cancel", "edit")
"""What a caller was told stays true. A claim, a heartbeat, a place may be lost."""


class Journal(Wrapper):
    """A disk whose changes of names survive in their order: all up to the last flush of a directory, and some since."""

    def __init__(self, disk: MemoryDisk) -> None:
        super().__init__(disk)
        self.memory = disk
        self.states = [disk.copy()]

    def around(self, call: Call) -> Any:
        answer = call.run()
        if call.name in ("sync", "flush"):
            self.states = []
        if call.name in ("sync", "flush", *CHANGES):
            self.states.append(self.memory.copy())
        return answer


def check_repaired(world: World, scene: Scene, born: set[str], hint: object) -> None:
    """Assert that nothing is lost or doubled, and that every task comes to its end."""
    disk = world.memory
    disk.ticks += 2 * WRITING_NS
    decided = crashes.committed(disk)
    crashes.repair(world, scene)
    check(disk)
    assert born <= tree.born(disk).keys(), hint
    assert decided <= {task for task in born if world.queue.is_done(task)}, f"{hint}: a completion was undone"
    assert not [path for path in disk.files() if path.startswith(f"{paths.QUARANTINE}/{paths.TASKS}+")], hint
    crashes.finish(world, scene)
    check(disk)


def check(disk: MemoryDisk) -> None:
    """Assert what holds at rest; of what a birth or nobody needs, nothing but the name may be there."""
    bare = disk.copy()
    for path, data in disk.files().items():
        if path.endswith(".json") and unread(data):
            assert path.startswith((paths.TASKS, paths.RESULTS, paths.REPORTS, paths.PEERS, paths.DEPARTED)), path
            bare.unlink(path)
    tree.check_at_rest(bare)


def unread(data: bytes) -> bool:
    try:
        records.decode(data, "")
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return True
    return False


@pytest.mark.parametrize("how", LEFT)
@pytest.mark.parametrize("scene", PLAYED, ids=repr)
def test_others_go_on_from_what_was_flushed(scene: Scene, how: str) -> None:
    met: set[tuple[object, ...]] = set()
    for play in crashes.plays(scene):
        situation = (frozenset(tree.situation(play.world.memory).items()), frozenset(play.world.memory.folders()))
        if situation not in met:
            met.add(situation)
            born = set(tree.born(play.world.memory))
            check_repaired(World(play.world.memory.after_power_cut(LEFT[how]), like=play.world), scene, born, play)


@pytest.mark.parametrize("scene", [scene for scene in PLAYED if scene.name.startswith(PROMISED)], ids=repr)
def test_an_acknowledged_change_survives_the_loss_of_later_names(scene: Scene) -> None:
    world = scene.world.twin()
    journal = Journal(world.memory)
    scene.run(world.on(journal))
    assert scene.holds(world)
    before = scene.world.memory.files()
    told = [path for path in journal.memory.files() if path.startswith(f"{paths.RESULTS}/") and path not in before]
    if scene.name.startswith(("add", "reassign")):
        told = []  # of work that nobody reported here
    for number, state in enumerate(journal.states):
        left = World(state.after_power_cut(), like=world)
        left.memory.ticks += 2 * WRITING_NS
        left.janitor(SURVIVOR).tidy()
        assert scene.holds(left), f"{number} of {len(journal.states)}"
        assert not [path for path in told if unread(left.files.read(path) or b"")]
        check_repaired(left, scene, set(tree.born(state)), number)


def test_with_a_new_directory_the_one_above_it_is_flushed() -> None:
    """OPS-2: else what was flushed in the new one could be gone with it."""
    world = World.new()
    counting = Counting(world.disk)
    world.on(counting).working("w").complete("1")
    made, flushed = ({call.path for call in counting.calls if call.name == name} for name in ("mkdir", "sync"))
    above = {path.rpartition("/")[0] for path in made & flushed}
    assert {paths.BIRTHS, paths.RESULTS, paths.DONE} <= above <= flushed


READ = [scene for scene in SCENES if scene.name != "place what cannot be read"]


@pytest.mark.parametrize("scene", READ, ids=repr)
def test_a_power_cut_before_a_step_ends_as_the_crash_table_says(scene: Scene) -> None:
    for number in range(1, len(sequences.steps(scene)) + 1):
        assert sequences.end(scene, number, power=True) == sequences.end(scene, number), number
