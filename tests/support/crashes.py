"""What a crash leaves and who repairs it: every scene, stopped at every one of its calls.

``plays`` is what the tests run; ``crash_table`` is the same as data: one row for each change that a sequence makes,
with what lies on the disk if its process dies right there and whose step repairs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from peercoord.errors import PeercoordError
from peercoord.membership import membership as members
from peercoord.store import paths as names
from support import tree
from support.faults import Call, Counting, Crash, Crashing
from support.memory import MemoryDisk
from support.scenes import Scene, scenes
from support.worlds import World

MODES = ("before", "after", "torn")
NOBODY = "nobody"
REPAIRS = ("evict", "sweep_departed", "finish_new", "place_again")
"""The steps by which others repair, in the order in which they are tried; the first is any peer's, on a dead one."""

_ID, _E, _SHARD = r"[A-Za-z0-9][A-Za-z0-9._-]*", r"~\d+", r"[0-9a-f]{2}"
_WHO = rf"{_ID}~\d+\.\w+"
PATTERNS = [
    (rf"queue/new/{_ID}~\w+", "queue/new/<id>~<nonce>"),
    (rf"queue/ready/\d/\d{{6}}/{_ID}{_E}", "queue/ready/<level>/<shard>/<id>~<epoch>"),
    (r"queue/ready/\d/\d{6}", "queue/ready/<level>/<shard>"),
    (rf"queue/waiting/{_ID}/{_ID}{_E}", "queue/waiting/<dependency>/<id>~<epoch>"),
    (rf"queue/waiting/{_ID}", "queue/waiting/<dependency>"),
    (rf"queue/parked/(\w+)/{_ID}{_E}", r"queue/parked/\1/<id>~<epoch>"),
    (rf"queue/done/{_SHARD}/{_ID}", "queue/done/<shard>/<id>"),
    (rf"(births|tasks)/{_SHARD}/{_ID}\.json", r"\1/<shard>/<id>.json"),
    (rf"results/{_SHARD}/{_ID}{_E}\.(\w+)\.json", r"results/<shard>/<id>~<epoch>.\1.json"),
    (rf"(births|tasks|results|queue/done)/{_SHARD}", r"\1/<shard>"),
    (rf"departed/{_WHO}~{_WHO}", "departed/<peer>~<by>"),
    (rf"peers/{_WHO}", "peers/<peer>"),
    (rf"/claims/{_ID}{_E}(~done)?", r"/claims/<id>~<epoch>\1"),
    (rf"/assignments/{_ID}{_E}\.json", "/assignments/<id>~<epoch>.json"),
    (rf"beat~\d+(~{_WHO})?", "beat~<seq>"),
    (r"leader~\d+", "leader~<term>"),
    (r"tmp/\w+", "tmp/<token>"),
    (rf"progress-reports/{_ID}\.json", "progress-reports/<peer>.json"),
    (rf"events/{_ID}\.jsonl", "events/<peer>.jsonl"),
]


class Row(NamedTuple):
    """One moment at which a process may die.

    Attributes:
        sequence: The sequence it was in.
        step: Number of the change, from 1, among all that the sequence makes.
        call: The system call.
        path: What it works on, with placeholders; for a link or a rename, from where to where.
        mode: ``after`` the call, or in the midst of it (``torn``).
        found: Where the tickets lie that the sequence is about.
        repaired_by: Whose steps change anything then, of ``REPAIRS``; ``nobody`` if nothing needs repair.
    """

    sequence: str
    step: int
    call: str
    path: str
    mode: str
    found: str
    repaired_by: str


class Play:
    """A scene that was stopped at a call.

    Attributes:
        scene: Which.
        at: Number of the call, from 1, among all, looking included.
        mode: See ``MODES``.
        call: The call.
        world: What is left, through a disk that works.
    """

    def __init__(self, scene: Scene, at: int, mode: str, call: Call, world: World) -> None:
        self.scene, self.at, self.mode, self.call, self.world = scene, at, mode, call, world

    @property
    def disk(self) -> MemoryDisk:
        assert isinstance(self.world.disk, MemoryDisk)
        return self.world.disk

    def __repr__(self) -> str:
        return f"{self.scene.name}: {self.mode} call {self.at}, {self.call}"


def plays(scene: Scene, mode: str) -> Iterator[Play]:
    """Stop a scene at its first call, its second, and so on, until it runs to its end."""
    at = 0
    while True:
        at += 1
        world = scene.world.twin()
        disk = Crashing(world.disk, at, mode)
        try:
            scene.act(world.on(disk), scene.actor)
        except Crash:
            assert disk.last is not None
            yield Play(scene, at, mode, disk.last, world)
        else:
            return


def repair(world: World, scene: Scene) -> list[str]:
    """Let the survivor repair what is left, step by step; give the steps that changed anything that matters."""
    janitor = world.janitor("survivor")
    steps: dict[str, Callable[[], object]] = {
        "evict": lambda: [
            janitor.evict(who, scene.survivor, "it is dead")
            for who in members.living(world.root)
            if who != scene.survivor
        ],
        "sweep_departed": janitor.sweep_departed,
        "finish_new": janitor.finish_new,
        "place_again": janitor.place_again,
    }
    changed = []
    for name in REPAIRS:
        before = matter(world)
        steps[name]()
        if matter(world) != before:
            changed.append(name)
    return changed


def matter(world: World) -> tuple[object, ...]:
    """What a repair is about: where tickets lie, what is being added, what is not sealed, who leads."""
    disk = world.disk
    assert isinstance(disk, MemoryDisk)
    files = disk.files()
    return (
        tree.tickets(disk),
        [path for path in files if path.startswith(f"{names.NEW}/")],
        [path for path in files if path.startswith(f"{names.TASKS}/")],
        [path for path in disk.folders() if re.fullmatch(r"departed/[^/]+/claims", path)],
        [path for path in files if "/leader~" in path],
    )


def played(scene: Scene) -> tuple[World, Counting]:
    """Play a scene to its end, undisturbed."""
    world = scene.world.twin()
    counting = Counting(world.disk)
    scene.act(world.on(counting), scene.actor)
    return world, counting


# -- the table ---------------------------------------------------------------------------------------------------


def crash_table() -> list[Row]:
    """Every moment at which a process may die, with what is found and who repairs it."""
    return [row for scene in scenes() for row in _rows(scene)]


def _rows(scene: Scene) -> Iterator[Row]:
    steps = {at: step for step, at in enumerate(_changes(scene), 1)}
    for mode in ("after", "torn"):
        for play in plays(scene, mode):
            if play.at not in steps or (mode == "torn" and not _tears(play.call)):
                continue
            found = "; ".join(f"{task} {where(play.disk, task)}" for task in scene.subjects) or "no task"
            repairs = repair(play.world, scene)
            call = play.call
            path = " → ".join(pattern(str(a)) for a in call.args if isinstance(a, str))
            yield Row(scene.name, steps[play.at], call.name, path, mode, found, ", ".join(repairs) or NOBODY)


def _changes(scene: Scene) -> list[int]:
    """Numbers of the calls of a scene that change something."""
    _, counting = played(scene)
    changes = {id(call) for call in counting.changes}
    return [at for at, call in enumerate(counting.calls, 1) if id(call) in changes]


def _tears(call: Call) -> bool:
    return call.name in ("create", "append") and len(call.args[1]) > 1


def where(disk: MemoryDisk, task: str) -> str:
    """Say in a word or two where a task's ticket lies."""
    paths = tree.tickets(disk).get(task)
    if paths is None:
        being = any(path.startswith(f"{names.NEW}/{task}~") for path in disk.files())
        return "in new, without a birth" if being else "not there"
    path = paths[0]
    if path.startswith("departed/"):
        return "in departed, completed" if path.endswith("~done") else "in departed"
    if path.startswith("peers/"):
        holder = path.split("/")[1].partition("~")[0]
        return f"completed by {holder}" if path.endswith("~done") else f"held by {holder}"
    place = path.removeprefix("queue/").split("/")
    return f"{place[0]} as {place[1]}" if place[0] == "parked" else f"in {place[0]}"


def pattern(path: str) -> str:
    """Give a path with placeholders for everything that is another in another run."""
    for known, shown in PATTERNS:
        path = re.sub(known, shown, path)
    return path


def finish(world: World, scene: Scene) -> None:
    """Let the survivor bring every task that exists to its end, reopening what was set aside on the way.

    Raises:
        AssertionError: Some task cannot be reached or completed.
    """
    worker = world.resume(scene.survivor)
    for ticket in worker.held():
        worker.complete(ticket.task)
    for _ in range(10):
        list(world.drained(worker))
        parked = [task for task, seen in world.queue.survey().items() if seen.state == "parked"]
        if not parked:
            break
        for task in parked:
            world.queue.reopen(task)
    states = {task: world.state(task) for task in world.queue.all_tasks()}
    assert all(state == ("done", "") for state in states.values()), f"not to be completed: {states}"


def check_placed(world: World) -> None:
    """Assert that every ticket that lies still lies where its definition says."""
    for task, seen in world.queue.survey().items():
        if seen.state in ("waiting", "ready") or seen.detail == "blocked":
            level = str(world.queue.definition(task).level)
            spot = world.queue.location_of(task)
            stale = seen.state == "ready" and spot.state == "waiting"  # a claim looks again at what was reopened
            assert stale or (seen.state, seen.detail) == (spot.state, spot.detail or level), f"{seen.path}, not {spot}"


def committed(disk: MemoryDisk) -> set[str]:
    """Give the tasks whose completion is decided: in ``done/``, or marked by who held them."""
    return {task for task, paths in tree.tickets(disk).items() if paths and re.search(r"~done$|^queue/done/", paths[0])}


def epochs(disk: MemoryDisk) -> dict[str, int]:
    """Give the epoch of every task whose ticket says one."""
    found = {}
    for task, paths in tree.tickets(disk).items():
        ticket = names.parse_ticket(paths[0].rpartition("/")[2]) if paths else None
        if ticket and not paths[0].startswith(names.NEW):
            found[task] = ticket.epoch
    return found


def attempt(scene: Scene, world: World) -> PeercoordError | None:
    """Play a scene in a world; an error of ours is an answer, too. Any other is none."""
    try:
        scene.act(world, scene.actor)
    except PeercoordError as error:
        return error
    return None
