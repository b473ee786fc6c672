"""Every sequence of the protocol, each with the smallest world in which it does something worth losing.

A ``Scene`` is prepared once and played many times, each time on a copy: with a crash, a fault or a pause at one of
its calls. In every scene there is ``actor``, who plays the sequence, and ``survivor``, who comes after it.
"""

from __future__ import annotations

from collections.abc import Callable

from peercoord.errors import NotFoundError
from peercoord.membership import membership as members
from peercoord.membership.membership import Membership
from peercoord.queue.peer import Peer
from peercoord.queue.reassign import reassign
from peercoord.queue.recovery import Janitor
from peercoord.store import paths, records
from peercoord.store.paths import Incarnation, Ticket
from support.memory import MemoryDisk
from support.worlds import World, dead


class Scene:
    """One sequence, ready to be played.

    Attributes:
        name: Which.
        act: Plays it in a world, as the actor.
        holds: Whether what a caller was promised holds once ``act`` has returned.
        undoes: Tasks that are done and that it means to open again.
        world: The world before it.
        actor: Who plays it.
        survivor: Who comes after it.
        zombie: Whether the actor plays as a peer, so that evicting it revokes what it does.
    """

    def __init__(
        self,
        name: str,
        prepare: Callable[[World, Incarnation, Incarnation], object],
        act: Callable[[World, Incarnation], object],
        holds: Callable[[World], bool],
        *,
        undoes: tuple[str, ...] = (),
        zombie: bool = True,
    ) -> None:
        self.name, self.act, self.holds = name, act, holds
        self.undoes, self.zombie = undoes, zombie
        self.world = World.new(MemoryDisk())
        self.world.add("0")  # something done long ago
        self.survivor = self.world.join("survivor").me
        done = self.world.resume(self.survivor)
        self.world.taken(done, "0")
        done.complete("0")
        self.actor = self.world.join("actor").me
        prepare(self.world, self.actor, self.survivor)

    def __repr__(self) -> str:
        return self.name


# -- preparing ---------------------------------------------------------------------------------------------------


def nothing(_world: World, _actor: Incarnation, _survivor: Incarnation) -> None:
    """The world as it is."""


def one_task(world: World, _actor: Incarnation, _survivor: Incarnation) -> None:
    world.add("1")


def chain(world: World, actor: Incarnation, survivor: Incarnation) -> None:
    """Task 1, and 2 and 3 that wait for it."""
    one_task(world, actor, survivor)
    world.add("2", needs=("1",))
    world.add("3", needs=("1",), priority="critical")


def held(world: World, actor: Incarnation, survivor: Incarnation) -> None:
    """The chain, with 1 in the actor's hands."""
    chain(world, actor, survivor)
    world.taken(world.resume(actor), "1")


def poisonous(world: World, actor: Incarnation, survivor: Incarnation) -> None:
    """The chain, with 1 in the actor's hands for its last attempt."""
    world.protocol["settings"] = {"max_attempts": 1}
    held(world, actor, survivor)


def finished(world: World, actor: Incarnation, survivor: Incarnation) -> None:
    """The chain, with 1 done."""
    held(world, actor, survivor)
    world.resume(actor).complete("1")


def just_done(world: World, actor: Incarnation, survivor: Incarnation) -> None:
    """The chain, with 1 in ``done/`` and nobody having looked after what waits for it."""
    chain(world, actor, survivor)
    world.files.put(paths.result("1", 1, "done"), records.encode({"outcome": "done"}))
    world.files.move(world.at("1"), paths.done("1"), make_home=True)


def hindered(world: World, actor: Incarnation, survivor: Incarnation) -> None:
    """The chain, with 1 set aside by a person."""
    chain(world, actor, survivor)
    world.queue.park(world.at("1"), Ticket("1", 0), "held", "a person does it")


def cancelled(world: World, actor: Incarnation, survivor: Incarnation) -> None:
    chain(world, actor, survivor)
    world.queue.cancel("1", "not now")


def victim(world: World, actor: Incarnation, survivor: Incarnation) -> None:
    """A third peer that leads, holds 1, has completed 2 without filing it, and beats."""
    chain(world, actor, survivor)
    world.add("4")
    third = world.join("victim")
    world.taken(third, "1")
    result = {"outcome": "done", "peer": "victim", "incarnation": str(third.me)}
    world.files.put(paths.result("4", 1, "done"), records.encode(result))
    world.files.move(world.at("4"), paths.claim(third.home, Ticket("4", 1, done=True)))
    world.files.move(paths.leader(paths.LEADER, 0), paths.leader(third.home, 1))


def departed(world: World, actor: Incarnation, survivor: Incarnation) -> None:
    """That third peer, evicted and not yet swept."""
    victim(world, actor, survivor)
    who = named(world, "victim")
    world.files.move(paths.peer_dir(who), paths.departed_dir(who, survivor))


def leftovers(world: World, actor: Incarnation, survivor: Incarnation) -> None:
    """All that a janitor may find: an unswept peer, a task half added, a lost race, a stale wait, a block to lift."""
    departed(world, actor, survivor)
    world.queue.create(records.define("5", "x", dependencies=["6"]), 5)
    world.add("6")
    birth = world.queue.birth("6")
    assert birth is not None
    world.files.move(world.at("6"), paths.new_ticket("6", birth.nonce))
    world.files.ticket(paths.new_ticket("6", "loser"))
    world.files.ticket(paths.new_ticket("7", "birthless"))
    world.files.put(paths.result("1", 1, "done"), records.encode({"outcome": "done"}))
    world.files.move(world.at("1"), paths.done("1"), make_home=True)


# -- playing -----------------------------------------------------------------------------------------------------


def named(world: World, peer: str) -> Incarnation:
    found = [who for who in members.living(world.root) if who.peer == peer]
    if not found:
        raise NotFoundError(f"there is no peer {peer}")
    return found[0]


def worker(world: World, actor: Incarnation) -> Peer:
    return Peer(world.root, Membership(world.root, actor))


def rejoin(world: World, _actor: Incarnation) -> Membership:
    return members.join(world.root, "victim", {}, dead, world.janitor("victim").evict)


def settle_departed(world: World, _actor: Incarnation) -> None:
    world.janitor("actor").sweep_departed()


def add(task: str, *needs: str, done: bool = False) -> Callable[[World, Incarnation], object]:
    return lambda world, _: world.queue.add(records.define(task, f"Task {task}", dependencies=needs), done=done)


def edit(task: str, **changes: object) -> Callable[[World, Incarnation], object]:
    return lambda world, _: world.queue.edit(task, **changes)


def evict(world: World, actor: Incarnation) -> object:
    return Janitor(world.queue, "actor").evict(named(world, "victim"), actor, "a test says so")


def reassign_1(world: World, _actor: Incarnation) -> object:
    return reassign(world.queue, "1", "survivor")


def reopen_1(world: World, _actor: Incarnation) -> object:
    return world.queue.reopen("1")


def is_born(task: str) -> Callable[[World], bool]:
    return lambda world: world.queue.birth(task) is not None


def is_done(task: str) -> Callable[[World], bool]:
    """It is in ``done/`` or marked so by who held it."""
    return lambda world: (
        world.queue.is_done(task)
        or any(
            path.endswith(f"/{task}~1~done")
            for path in world.disk.files()  # type: ignore[attr-defined]
        )
    )


def lies(task: str, *states: str) -> Callable[[World], bool]:
    return lambda world: world.state(task)[0] in states


def defined(task: str, key: str, value: object) -> Callable[[World], bool]:
    return lambda world: world.queue.definition(task).raw.get(key) == value


def depends(task: str, need: str) -> Callable[[World], bool]:
    return defined(task, "dependencies", [need])


def gone(peer: str) -> Callable[[World], bool]:
    return lambda world: peer not in {who.peer for who in members.living(world.root)}


def scenes() -> list[Scene]:
    """Every scene, newly prepared."""
    return [
        Scene("add", one_task, add("9"), is_born("9"), zombie=False),
        Scene("add, with a dependency", one_task, add("9", "1"), is_born("9"), zombie=False),
        Scene("add, done before", one_task, add("9", done=True), is_born("9"), zombie=False),
        Scene("claim", one_task, lambda w, a: worker(w, a).request(), lies("1", "claimed")),
        Scene("complete", held, lambda w, a: worker(w, a).complete("1"), is_done("1")),
        Scene("release", held, lambda w, a: worker(w, a).release("1"), lies("1", "ready")),
        Scene("fail", held, lambda w, a: worker(w, a).fail("1", "broke"), lies("1", "ready")),
        Scene("fail, the last attempt", poisonous, lambda w, a: worker(w, a).fail("1", "x"), lies("1", "parked")),
        Scene("park", held, lambda w, a: worker(w, a).worker.park("1", "review", "x"), lies("1", "parked")),
        Scene("leave", held, lambda w, a: worker(w, a).leave(), gone("actor")),
        Scene("evict", victim, evict, gone("victim")),
        Scene("sweep", departed, settle_departed, lies("1", "ready", "departed")),
        Scene("join", nothing, lambda w, _: w.join("fourth"), lambda w: not gone("fourth")(w), zombie=False),
        Scene("join, over a dead one", victim, rejoin, lambda w: named(w, "victim").number == 2, zombie=False),
        Scene("beat", nothing, lambda w, a: worker(w, a).membership.beat(), lambda _: True),
        Scene("place", just_done, lambda w, _: w.queue.place_waiting("1"), lies("2", "ready", "waiting"), zombie=False),
        Scene("reassign, from a peer", held, reassign_1, lies("1", "claimed"), zombie=False),
        Scene("reassign, from the queue", one_task, reassign_1, lies("1", "claimed"), zombie=False),
        Scene("reopen, what was done", finished, reopen_1, lies("1", "ready"), undoes=("1",), zombie=False),
        Scene("reopen, what was cancelled", cancelled, reopen_1, lies("1", "ready"), zombie=False),
        Scene("cancel", chain, lambda w, _: w.queue.cancel("1", "x"), lies("1", "parked"), zombie=False),
        Scene("edit, the priority", chain, edit("1", priority="high"), defined("1", "priority", "high"), zombie=False),
        Scene("edit, the dependencies", chain, edit("2", dependencies=["3"]), depends("2", "3"), zombie=False),
        Scene("edit, what no longer waits", hindered, edit("2", dependencies=[]), lies("2", "ready"), zombie=False),
        Scene("tidy", leftovers, lambda w, _: w.janitor("actor").tidy(), lambda _: True, zombie=False),
    ]
