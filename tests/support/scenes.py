"""Every sequence of the protocol, each with the smallest world in which it does something worth losing.

A scene is prepared once and played many times, each time on a copy: with a crash, a fault, a power cut or a pause at
one of its calls.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from peercoord.agent.monitor import Observation, Observer
from peercoord.errors import StorageError, UsageError
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.membership.liveness import DEAD, Silence, Verdict
from peercoord.queue.peer import Peer
from peercoord.queue.queue import Queue
from peercoord.queue.reassign import reassign
from peercoord.queue.retention import DAY_SECONDS, Archivist
from peercoord.queue.worker import Worker
from peercoord.status.board import Reader
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.paths import Incarnation
from peercoord.tasklists.apply import Applier
from peercoord.tasklists.normalize import TaskStatus
from peercoord.tasklists.reconcile import Resolution
from peercoord.tasklists.snapshot import Tickets
from support.faults import Call, Failing, Fault, Meanwhile, renames_to
from support.worlds import World, dead, unknown

if TYPE_CHECKING:
    pass

ME, OTHER, PERSON = "amber", "birch", "person"
SURVIVOR = "cedar"  # who comes after it
TASK, AFTER = "7", "8"  # the task of every scene, and one that waits for it
RIVAL = 9  # the number of the incarnation that joins before another of its name


@dataclass(frozen=True, repr=False)
class Scene:
    """One sequence, ready to be played."""

    name: str
    prepare: Callable[[World], object]
    run: Callable[[World], object]
    by: str = ME  # a peer, which is evicted after its crash, or a person
    judged: str = "task"  # what the crash table says of the end: of the task, of the peers, of the views or of the root
    holds: Callable[[World], bool] = lambda _: True  # what a caller was promised once ``run`` has returned
    undoes: tuple[str, ...] = ()  # tasks that are done and that it means to open again

    @cached_property
    def world(self) -> World:
        """The world before it, in which the survivor is a peer too."""
        made = begun()
        self.prepare(made)
        made.join(SURVIVOR)
        return made

    @cached_property
    def survivor(self) -> Incarnation:
        return who(self.world, SURVIVOR)

    @property
    def zombie(self) -> bool:
        """Whether a peer does it, so that evicting that peer revokes it."""
        return any(name.startswith(f"{self.by}~") for name in self.world.files.scan(paths.PEERS))

    def __repr__(self) -> str:
        return self.name


def is_born(world: World) -> bool:
    return world.queue.birth(TASK) is not None


def is_done(world: World) -> bool:
    """It is in ``done/``, or marked so by who held it."""
    return world.queue.is_done(TASK) or any(f"/{TASK}~1~done" in path for path in world.memory.files())


def is_gone(world: World) -> bool:
    return ME not in {one.peer for one in members.living(world.root)}


def lies(state: str) -> Callable[[World], bool]:
    return lambda world: world.state(TASK)[0] == state


def defined(key: str, value: object) -> Callable[[World], bool]:
    return lambda world: world.queue.definition(TASK).raw.get(key) == value


# -- the worlds before -------------------------------------------------------------------------------------------


def begun() -> World:
    """A world with a peer, and the directories of shards that a scene needs."""
    made = World.new()
    for task in (TASK, AFTER):
        shard = paths.shard(task)
        for home in (paths.BIRTHS, paths.TASKS, paths.RESULTS, paths.DONE):
            made.files.make_dir(f"{home}/{shard}")
    made.join(OTHER)
    return made


def who(world: World, peer: str) -> Incarnation:
    """The incarnation of a name, living or departed, whatever is wrong with the disk."""
    names = [name for home in (paths.PEERS, paths.DEPARTED) for name in sorted(world.memory.listdir(home))]
    found = (paths.parse_incarnation("~".join(name.split("~")[:2])) for name in names)
    return next(one for one in found if one and one.peer == peer)


def joined(world: World) -> None:
    world.join(ME)


def added(world: World) -> None:
    joined(world)
    world.add(TASK)
    world.add(AFTER, (TASK,))


def held(world: World) -> None:
    added(world)
    world.taken(world.resume(who(world, ME)), TASK)


def leading(world: World) -> None:
    held(world)
    Leadership(world.resume(who(world, ME)).membership).take()


def marked(world: World) -> None:
    """It crashed right after it had decided that the task is complete."""
    held(world)
    home = paths.peer_dir(who(world, ME))
    ticket = paths.Ticket(TASK, 1)
    path = paths.result(TASK, 1, "done")
    record = {"task_id": int(TASK), "epoch": 1, "outcome": "done", "by": ME, "at": world.clock.now(), "peer": ME}
    world.files.put(path, records.encode(record))
    world.files.move(paths.claim(home, ticket), paths.claim(home, ticket.completed()))


def finished(world: World) -> None:
    held(world)
    mine(lambda me: me.complete(TASK))(world)


def poisonous(world: World) -> None:
    """In its hands for the last attempt there is."""
    world.protocol["settings"] = {"max_attempts": 1}
    held(world)


def cancelled(world: World) -> None:
    """And what waited for it is blocked."""
    added(world)
    world.queue.cancel(TASK)


def waiting(world: World) -> None:
    """It waits for what the other task waited for."""
    joined(world)
    world.add(AFTER)
    world.add(TASK, (AFTER,))


def one_of_two(world: World) -> None:
    """What waits for it waits for another one as well."""
    joined(world)
    world.add(TASK, priority="high")
    world.add("6")
    world.add(AFTER, (TASK, "6"))
    world.taken(world.resume(who(world, ME)), TASK)


def doubted(world: World) -> None:
    """Silent for long, and challenged by the other one."""
    held(world)
    me = who(world, ME)
    _eyes(world)._challenge(me, silence(world))


def edited_by_hand(world: World) -> None:
    """A person set it aside with an editor, and no peer has placed it since."""
    added(world)
    aside = {**world.queue.definition(TASK).raw, "parked": {"why": "deferred"}}
    world.files.put(paths.definition(TASK), records.encode(aside), durable=True)


def broken(world: World) -> None:
    """Its definition cannot be read, and no peer has looked yet."""
    added(world)
    world.files.put(paths.definition(TASK), b"{,")


def long_ago(world: World) -> None:
    """It was done at the second attempt, two months ago, after its first holder had been evicted."""
    held(world)
    world.evict(who(world, ME), who(world, OTHER))
    worker = world.resume(who(world, OTHER))
    world.taken(worker, TASK)
    worker.complete(TASK)
    world.memory.ticks += 60 * DAY_SECONDS * 10**9


def silence(world: World) -> Silence:
    """What was seen of the silent peer's heartbeat."""
    found = Silence()
    found.look(world.clock.monotonic(), world.files.scan(paths.peer_dir(who(world, ME))), 300)
    return found


def _eyes(world: World) -> Observer:
    membership = world.resume(who(world, OTHER)).membership
    return Observer(membership, world.janitor(OTHER), Leadership(membership), lambda _: None, lambda _: None)


def _challenge(world: World) -> None:
    _eyes(world)._challenge(who(world, ME), silence(world))


def _evict_for_silence(world: World) -> None:
    seen = silence(world)
    verdict = Verdict(DEAD, "no heartbeat")
    _eyes(world)._evict(Observation(who(world, ME), None, [], seen, verdict, gone=False))


def _take_from(world: World) -> None:
    Leadership(world.resume(who(world, OTHER)).membership).take_from(who(world, ME), "its agent is gone")


def _join_too_late(world: World) -> None:
    """Another joins under the same name between this one's look and its rename."""
    rival = (renames_to(f"{paths.PEERS}/{ME}~"), lambda: World(world.memory, like=world).join(ME, least=RIVAL))
    with suppress(UsageError):
        world.on(Meanwhile(world.disk, rival)).join(ME)


def _park_on_a_full_disk(world: World) -> None:
    """The disk is full once the ticket lies aside: no reason can be written."""
    moved: list[str] = []

    def full(call: Call) -> Fault | None:
        if call.name == "rename" and call.path.startswith(paths.PARKED):
            moved.append(call.path)
        return Fault(errno.ENOSPC) if call.name == "create" and moved else None

    with suppress(StorageError):
        world.on(Failing(world.disk, full)).resume(who(world, ME)).park(TASK, "review", "look at it")


def _take_in(world: World) -> None:
    """It is done in another list, by a person."""
    ours, found = Tickets(world.queue), Resolution()
    found.incoming["state"] = TaskStatus.DONE
    version = ours.snapshot().versions.get(TASK)
    if version:
        Applier(world.queue, ours, "their list", lambda: None).apply(TASK, version, found, {})


def _set_up(world: World) -> None:
    staged = f"{paths.ROOT}.{world.chance.token()}"
    roots.set_up(world.files, staged, paths.ROOT, world.protocol)


def _place(world: World) -> None:
    sighting = world.queue.locate(TASK)
    assert sighting
    world.queue.place(sighting.path, paths.Ticket(TASK, sighting.epoch))


def _add_done(world: World) -> None:
    world.queue.add(records.define(TASK, "Done elsewhere"), done=True)


def _add_too_late(world: World) -> None:
    """Another adds the same task between this one's look and its decision."""
    rival = (
        lambda call: call.name == "link" and call.path.startswith(paths.BIRTHS),
        lambda: World(world.memory, like=world).add(TASK),
    )
    with suppress(UsageError):
        world.on(Meanwhile(world.disk, rival)).add(TASK)


def _evict(world: World) -> None:
    world.evict(who(world, ME), who(world, OTHER))


# -- the scenes --------------------------------------------------------------------------------------------------


def mine(act: Callable[[Worker], object]) -> Callable[[World], object]:
    return lambda world: act(world.resume(who(world, ME)))


def change(act: Callable[[Queue], object]) -> Callable[[World], object]:
    return lambda world: act(world.queue)


SCENES = (
    Scene("set up", lambda w: None, _set_up, PERSON, "root"),
    Scene("add", joined, lambda w: w.add(TASK), PERSON, holds=is_born),
    Scene("add what waits", lambda w: w.add(AFTER), lambda w: w.add(TASK, (AFTER,)), PERSON, holds=is_born),
    Scene("add what is done", joined, _add_done, PERSON, holds=is_born),
    Scene("add too late", joined, _add_too_late, PERSON, holds=is_born),
    Scene("claim", added, mine(lambda me: me.request()), holds=lies("claimed")),
    Scene("claim what was set aside", edited_by_hand, mine(lambda me: me.request())),
    Scene("report", held, mine(lambda me: me.report(TASK, {"progress": 0.5}))),
    Scene("complete", held, mine(lambda me: me.complete(TASK)), holds=is_done),
    Scene("complete one of two", one_of_two, mine(lambda me: me.complete(TASK)), holds=is_done),
    Scene("release", held, mine(lambda me: me.release(TASK)), holds=lies("ready")),
    Scene("fail", held, mine(lambda me: me.fail(TASK, "it does not work")), holds=lies("ready")),
    Scene("fail for the last time", poisonous, mine(lambda me: me.fail(TASK, "again")), holds=lies("parked")),
    Scene("park", held, mine(lambda me: me.park(TASK, "review", "look at it")), holds=lies("parked")),
    Scene("park on a full disk", held, _park_on_a_full_disk),
    Scene("reassign", held, lambda w: reassign(w.queue, TASK, OTHER), PERSON, holds=lies("claimed")),
    Scene("edit", added, change(lambda q: q.edit(TASK, priority="high")), PERSON, holds=defined("priority", "high")),
    Scene(
        "edit what it waits for", waiting, change(lambda q: q.edit(TASK, dependencies=[])), PERSON, holds=lies("ready")
    ),
    Scene("cancel", added, change(lambda q: q.cancel(TASK)), PERSON, holds=lies("parked")),
    Scene("reopen", finished, change(lambda q: q.reopen(TASK)), PERSON, holds=lies("ready"), undoes=(TASK,)),
    Scene("reopen what was cancelled", cancelled, change(lambda q: q.reopen(TASK)), PERSON, holds=lies("ready")),
    Scene("take in what is done elsewhere", held, _take_in, PERSON, holds=is_done),
    Scene("place what cannot be read", broken, _place, PERSON, holds=lies("parked")),
    Scene("join", lambda w: None, lambda w: w.join(ME), judged="peers"),
    Scene("join too late", lambda w: None, _join_too_late, judged="peers"),
    Scene("beat", joined, mine(lambda me: me.membership.beat()), judged="peers"),
    Scene("challenge", joined, _challenge, OTHER, "peers"),
    Scene("beat under a challenge", doubted, mine(lambda me: me.membership.beat()), judged="peers"),
    Scene("leave", held, mine(lambda me: Peer(me.root, me.membership).leave()), holds=is_gone),
    Scene("evict", leading, _evict, OTHER, holds=is_gone),
    Scene("evict one that completed", marked, _evict, OTHER, holds=is_gone),
    Scene("evict for silence", doubted, _evict_for_silence, OTHER, holds=is_gone),
    Scene("lead", joined, mine(lambda me: Leadership(me.membership).take()), judged="peers"),
    Scene("take from", leading, _take_from, OTHER, "peers"),
    Scene("resign", leading, mine(lambda me: Leadership(me.membership).resign()), judged="peers"),
    Scene("views", held, lambda w: Reader(w.queue, unknown).publish(), judged="views"),
    Scene("clear away", long_ago, lambda w: Archivist(w.root).run(), PERSON),
)
"""What the crash table of the specification shows, in its order."""


def departed(world: World) -> None:
    """A peer that leads and holds a task, evicted and not swept yet."""
    leading(world)
    me = who(world, ME)
    world.files.move(paths.peer_dir(me), paths.departed_dir(me, who(world, OTHER)))


def leftovers(world: World) -> None:
    """All that a janitor may find: an unswept peer, a task half added, a lost race, a stale wait, a block to lift."""
    departed(world)
    world.queue.create(records.define("5", "x", dependencies=["6"]), 5)
    world.add("6")
    birth = world.queue.birth("6")
    assert birth is not None
    world.files.move(world.at("6"), paths.new_ticket("6", birth.nonce))
    world.files.ticket(paths.new_ticket("6", "loser"))
    world.files.ticket(paths.new_ticket("7", "birthless"))
    world.files.put(paths.result(AFTER, 1, "done"), records.encode({"outcome": "done"}))
    world.add("4", (AFTER,))
    world.files.move(world.at(AFTER), paths.done(AFTER), make_home=True)


def _rejoin(world: World) -> members.Membership:
    return members.join(world.root, ME, {}, dead, world.janitor(ME).evict)


PLAYED = (
    *(scene for scene in SCENES if scene.judged not in ("root", "views") and scene.prepare is not broken),
    Scene("sweep", departed, lambda w: w.janitor(OTHER).sweep_departed(), OTHER),
    Scene("join over a dead one", leading, _rejoin, PERSON, holds=lambda w: who(w, ME).number == 2),
    Scene("reassign what is ready", added, lambda w: reassign(w.queue, TASK, OTHER), PERSON, holds=lies("claimed")),
    Scene("edit the dependencies", added, lambda w: w.queue.edit(AFTER, dependencies=[]), PERSON),
    Scene("tidy", leftovers, lambda w: w.janitor(OTHER).tidy(), PERSON),
)
"""What the crash tests play: each ends in a state of tasks and peers that others can repair."""
