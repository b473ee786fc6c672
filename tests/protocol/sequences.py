"""Every sequence of the protocol, run on a directory in memory: its steps, and what a crash before each one comes to.

``vectors/v1/crashes.json`` is held equal to what is found here. To bring its calls and ends up to date, keeping its
notes: ``python tests/protocol/sequences.py``.
"""

from __future__ import annotations

import errno
import json
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):  # called as a script
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from support import tree
from support.faults import CHANGES, Call, Crash, Failing, Fault, Wrapper
from support.memory import MemoryDisk
from support.worlds import World, unknown

from peercoord.agent.monitor import Observation, Observer
from peercoord.errors import StorageError, UsageError
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.membership.liveness import DEAD, Silence, Verdict
from peercoord.queue.peer import Peer
from peercoord.queue.reassign import reassign
from peercoord.queue.retention import DAY_SECONDS, Archivist
from peercoord.status.board import Reader
from peercoord.store import paths, records
from peercoord.store import root as roots
from peercoord.store.paths import Incarnation
from peercoord.tasklists.apply import Applier
from peercoord.tasklists.normalize import TaskStatus
from peercoord.tasklists.reconcile import Resolution
from peercoord.tasklists.snapshot import Tickets
from protocol import document

if TYPE_CHECKING:
    from peercoord.system.disk import DiskLike

ME, OTHER = "amber", "birch"
TASK, AFTER = "7", "8"  # the task of every sequence, and one that waits for it
NOTES = ("events/", "bell/")
STAGED = ("tmp/", f"{paths.ROOT}.")
RIVAL = 9  # the number of the incarnation that joins before another of its name
TABLE = document.VECTORS / "crashes.json"
HEAD = """{
  "$schema": "vectors.schema.json",
  "title": "What a crash before each step leaves, and who goes on",
  "vectors": [
"""


@dataclass(frozen=True)
class Sequence:
    """One sequence.

    Attributes:
        name: What it is called in the table.
        prepare: Makes the world in which it begins.
        run: Does it, in a world like that one.
        by: Who does it: a peer, which is evicted after its crash, or a person.
        judged: What is said of the end: of the task, of the peers, of the views or of the root.
    """

    name: str
    prepare: Callable[[World], None]
    run: Callable[[World], object]
    by: str = ME
    judged: str = "task"


def world() -> World:
    """A world with two peers, and the directories of shards that a sequence needs."""
    made = World.new(MemoryDisk())
    for task in (TASK, AFTER):
        shard = paths.shard(task)
        for home in (paths.BIRTHS, paths.TASKS, paths.RESULTS, paths.DONE):
            made.files.make_dir(f"{home}/{shard}")
    made.join(OTHER)
    return made


def who(world: World, peer: str) -> Incarnation:
    """The incarnation of a name, living or departed."""
    found = [*members.living(world.root), *(one for one, _ in members.departed(world.root))]
    return next(one for one in found if one.peer == peer)


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


def parked(world: World) -> None:
    held(world)
    world.resume(who(world, ME)).park(TASK, "review", "look at it")


def finished(world: World) -> None:
    held(world)
    world.resume(who(world, ME)).complete(TASK)


def waited_for(world: World) -> None:
    """Done; what waited for it was not placed, because its completer crashed."""
    marked(world)
    world.files.move(
        paths.claim(paths.peer_dir(who(world, ME)), paths.Ticket(TASK, 1, done=True)), paths.done(TASK), make_home=True
    )


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
    assert isinstance(world.disk, MemoryDisk)
    world.disk.ticks += 60 * DAY_SECONDS * 10**9


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
    first = World(world.disk.disk, like=world)  # type: ignore[attr-defined]

    def meanwhile(call: Call) -> None:
        if (
            call.name == "rename"
            and call.path.startswith(f"{paths.PEERS}/{ME}~")
            and not members.living(first.root)[1:]
        ):
            first.join(ME, least=RIVAL)

    late = world.on(Meeting(world.disk, meanwhile))
    with suppress(UsageError):
        late.join(ME)


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
    Applier(world.queue, ours, "their list", lambda: None).apply(TASK, ours.snapshot().versions[TASK], found, {})


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
    first = World(world.disk.disk, like=world)  # type: ignore[attr-defined]

    def meanwhile(call: Call) -> None:
        if call.name == "link" and call.path.startswith(paths.BIRTHS) and not first.queue.birth(TASK):
            first.add(TASK)

    late = world.on(Meeting(world.disk, meanwhile))
    with suppress(UsageError):
        late.add(TASK)


def _mine(world: World) -> members.Membership:
    return world.resume(who(world, ME)).membership


def _leave(world: World) -> None:
    Peer(world.root, _mine(world)).leave()


def _evict(world: World) -> None:
    world.evict(who(world, ME), who(world, OTHER))


SEQUENCES = (
    Sequence("set up", lambda w: None, _set_up, by="person", judged="root"),
    Sequence("add", joined, lambda w: w.add(TASK), by="person"),
    Sequence("add what waits", lambda w: w.add(AFTER), lambda w: w.add(TASK, (AFTER,)), by="person"),
    Sequence("add what is done", joined, _add_done, by="person"),
    Sequence("add too late", joined, _add_too_late, by="person"),
    Sequence("claim", added, lambda w: w.resume(who(w, ME)).request()),
    Sequence("claim what was set aside", edited_by_hand, lambda w: w.resume(who(w, ME)).request()),
    Sequence("report", held, lambda w: w.resume(who(w, ME)).report(TASK, {"progress": 0.5})),
    Sequence("complete", held, lambda w: w.resume(who(w, ME)).complete(TASK)),
    Sequence("complete one of two", one_of_two, lambda w: w.resume(who(w, ME)).complete(TASK)),
    Sequence("release", held, lambda w: w.resume(who(w, ME)).release(TASK)),
    Sequence("fail", held, lambda w: w.resume(who(w, ME)).fail(TASK, "it does not work")),
    Sequence("fail for the last time", poisonous, lambda w: w.resume(who(w, ME)).fail(TASK, "again")),
    Sequence("park", held, lambda w: w.resume(who(w, ME)).park(TASK, "review", "look at it")),
    Sequence("park on a full disk", held, _park_on_a_full_disk),
    Sequence("reassign", held, lambda w: reassign(w.queue, TASK, OTHER), by="person"),
    Sequence("edit", added, lambda w: w.queue.edit(TASK, priority="high"), by="person"),
    Sequence("edit what it waits for", waiting, lambda w: w.queue.edit(TASK, dependencies=[]), by="person"),
    Sequence("cancel", added, lambda w: w.queue.cancel(TASK), by="person"),
    Sequence("reopen", finished, lambda w: w.queue.reopen(TASK), by="person"),
    Sequence("reopen what was cancelled", cancelled, lambda w: w.queue.reopen(TASK), by="person"),
    Sequence("take in what is done elsewhere", held, _take_in, by="person"),
    Sequence("place what cannot be read", broken, _place, by="person"),
    Sequence("join", lambda w: None, lambda w: w.join(ME), judged="peers"),
    Sequence("join too late", lambda w: None, _join_too_late, judged="peers"),
    Sequence("beat", joined, lambda w: _mine(w).beat(), judged="peers"),
    Sequence("challenge", joined, _challenge, by=OTHER, judged="peers"),
    Sequence("beat under a challenge", doubted, lambda w: _mine(w).beat(), judged="peers"),
    Sequence("leave", held, _leave),
    Sequence("evict", leading, _evict, by=OTHER),
    Sequence("evict one that completed", marked, _evict, by=OTHER),
    Sequence("evict for silence", doubted, _evict_for_silence, by=OTHER),
    Sequence("lead", joined, lambda w: Leadership(_mine(w)).take(), judged="peers"),
    Sequence("take from", leading, _take_from, by=OTHER, judged="peers"),
    Sequence("resign", leading, lambda w: Leadership(_mine(w)).resign(), judged="peers"),
    Sequence("views", held, lambda w: Reader(w.queue, unknown).publish(), judged="views"),
    Sequence("clear away", long_ago, lambda w: Archivist(w.root).run(), by="person"),
)


class Meeting(Wrapper):
    """Lets something happen before each call."""

    def __init__(self, disk: DiskLike, meanwhile: Callable[[Call], None]) -> None:
        super().__init__(disk)
        self.meanwhile = meanwhile

    def around(self, call: Call) -> object:
        self.meanwhile(call)
        return call.run()


class Recording(Wrapper):
    """Writes down the steps that pass: the calls that change what others see, without notes and staging."""

    def __init__(self, disk: MemoryDisk) -> None:
        super().__init__(disk)
        self.directory = disk
        self.steps: list[Call] = []

    def around(self, call: Call) -> object:
        if _is_step(call, self.directory):
            self.steps.append(call)
        return call.run()


class CrashingAtStep(Recording):
    """A disk whose process dies just before its n-th step."""

    def __init__(self, disk: MemoryDisk, at: int) -> None:
        super().__init__(disk)
        self.at = at

    def around(self, call: Call) -> object:
        if len(self.steps) >= self.at or (len(self.steps) == self.at - 1 and _is_step(call, self.directory)):
            raise Crash(repr(call))
        return super().around(call)


def _is_step(call: Call, disk: MemoryDisk) -> bool:
    if call.name not in CHANGES or call.name == "mkdir" or call.path.startswith((*NOTES, *STAGED)):
        return False
    try:
        getattr(disk.copy(), call.name)(*call.args)
    except OSError:
        return False
    return True


def steps(sequence: Sequence) -> list[str]:
    """The steps of a sequence, as the table shows them."""
    prepared = world()
    sequence.prepare(prepared)
    assert isinstance(prepared.disk, MemoryDisk)
    recording = Recording(prepared.disk)
    sequence.run(prepared.on(recording))
    return [shown(call, prepared) for call in recording.steps]


def end(sequence: Sequence, at: int, power: bool = False) -> str:
    """What a crash just before a step comes to, once the others have repaired what it left.

    Args:
        sequence: Which.
        at: Which step, from 1.
        power: The power failed, and every file that was not flushed is blank.
    """
    prepared = world()
    sequence.prepare(prepared)
    assert isinstance(prepared.disk, MemoryDisk)
    try:
        sequence.run(prepared.on(CrashingAtStep(prepared.disk, at)))
    except Crash:
        pass
    else:
        raise AssertionError(f"{sequence.name} has no step {at}")
    if power:
        prepared = World(prepared.disk.after_power_cut(), like=prepared)
    if sequence.by in (ME, OTHER):
        _bury(prepared, sequence.by)
    prepared.janitor("cedar").tidy()
    assert isinstance(prepared.disk, MemoryDisk)
    if sequence.judged not in ("views", "root") and not power:
        tree.check_at_rest(prepared.disk)
    return _said(prepared, sequence)


def _bury(world: World, peer: str) -> None:
    """Evict the crashed peer, as a third one."""
    crashed = [one for one in members.living(world.root) if one.peer == peer and one.number != RIVAL]
    by = world.join("cedar").me
    for one in crashed:
        world.evict(one, by)


def _said(world: World, sequence: Sequence) -> str:
    if sequence.judged == "views":
        return ", ".join(name for name in (paths.TASK_QUEUE, paths.STATE) if world.files.stat(name)) or "no view"
    if sequence.judged == "root":
        return "a root" if world.files.stat(f"{paths.ROOT}/{paths.PROTOCOL}") else "no root"
    if sequence.judged == "task":
        return _task(world)
    living = sum(one.peer == ME for one in members.living(world.root))
    past = sum(one.peer == ME for one, _ in members.departed(world.root))
    lies = [name for name in world.files.scan(paths.LEADER) if paths.parse_leader(name) is not None]
    return f"{'a peer' if living else 'departed' if past else 'no peer'}; {lies[0] if lies else 'led'}"


def _task(world: World) -> str:
    sighting = world.queue.locate(TASK)
    if sighting is None or world.queue.birth(TASK) is None:
        return "no task"
    where = sighting.state + (f"/{sighting.detail}" if sighting.state in ("waiting", "parked") else "")
    epoch = "" if sighting.state == "done" else f" {sighting.epoch}"
    outcomes = ", ".join(f"{number} {outcome}" for number, outcome in world.outcomes(TASK))
    return f"{where}{epoch}" + (f"; {outcomes}" if outcomes else "")


def shown(call: Call, world: World) -> str:
    """A call as the table shows it: what differs from run to run as a placeholder."""
    text = " ".join([call.name, *(arg for arg in call.args if isinstance(arg, str))])
    text = re.sub(rf"{ME}~\d+\.\w+", "<me>", text)
    text = re.sub(rf"{OTHER}~\d+\.\w+", "<by>", text)
    text = text.replace(f"reports/{ME}", "reports/<me>").replace(f"reports/{OTHER}", "reports/<by>")
    text = re.sub(rf"(tmp/|{paths.ROOT}\.|quarantine/\S*~)\d{{6}}token", r"\1<token>", text)
    text = re.sub(r"\d{6}token", "<nonce>", text)
    for task, word in ((TASK, "<id>"), (AFTER, "<next>"), ("6", "<other>")):
        text = re.sub(rf"([/+]){paths.shard(task)}(?=[/+])", r"\1<shard>", text)
        text = re.sub(rf"(?<=[/+]){task}(?=[~./]|$| )", word, text)
    text = re.sub(r"(leader|beat)~(\d+)", lambda m: f"{m[1]}~{_counted(m[2], 't' if m[1] == 'leader' else 'n')}", text)
    text = re.sub(r">~(\d+)(?=$|[ .]|~done)", lambda m: f">~{_counted(m[1], 'e')}", text)
    return re.sub(r"ready/\d/\d{6}", "ready/<level>/<block>", text)


def _counted(number: str, letter: str) -> str:
    return f"<{letter}>" if number == "0" else f"<{letter}+{number}>"


@cache
def rows() -> dict[str, tuple[str, str]]:
    """Call and end of every step, by sequence and number."""
    return {
        f"{each.name} {number}": (step, end(each, number))
        for each in SEQUENCES
        for number, step in enumerate(steps(each), 1)
    }


def table() -> list[dict[str, Any]]:
    """The crash table of the specification, one vector for each step."""
    found: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))["vectors"]
    return found


def rewritten() -> str:
    """The crash table with the calls and ends that are found now; clauses and notes stay."""
    known = {(vector["description"], vector["then"]["call"]): vector for vector in table()}
    blocks = []
    for name, (call, found) in rows().items():
        old = known.get((name, call), {"clause": "CRA-1", "note": "?"})
        sequence, _, number = name.rpartition(" ")
        lines = (
            {"description": name, "clause": old["clause"], "rule": "crash"},
            {"given": {"sequence": sequence, "step": int(number)}},
            {"then": {"call": call, "end": found}},
            {"note": old["note"]},
        )
        text = ",\n      ".join(json.dumps(line, ensure_ascii=False)[1:-1] for line in lines)
        blocks.append(f"    {{\n      {text}\n    }}")
    return HEAD + ",\n".join(blocks) + "\n  ]\n}\n"


if __name__ == "__main__":
    TABLE.write_text(rewritten(), encoding="utf-8")
