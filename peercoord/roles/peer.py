"""The library door: a peer that joins, asks for tasks, reports and leaves.

    from peercoord import Peer

    with Peer.join("/path/to/project", "worker-1") as peer:
        while task := peer.request():
            peer.report(task, progress=0.5)
            peer.complete(task)

The command line and the agent are its first users. A ``Peer`` is for one thread; a crash of its process is found by
the others, who put its tasks back.
"""

from __future__ import annotations

import os
from contextlib import suppress

from peercoord.core import ids, liveness, names, records, tickets
from peercoord.core.errors import LostError, NotFoundError, StorageError
from peercoord.fs import process
from peercoord.roles import membership as members
from peercoord.roles import root as roots
from peercoord.roles.janitor import Janitor
from peercoord.roles.queue import Queue
from peercoord.roles.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.core.liveness import Verdict
    from peercoord.core.names import Incarnation
    from peercoord.core.records import Definition, Json
    from peercoord.roles.root import Root
    from peercoord.roles.worker import Claim


class Task:
    """A task in a peer's hands.

    Attributes:
        id: Its id.
        epoch: How many times it went into a peer's hands; the fencing token for what lies outside.
        title: One line.
        description: Any text.
        definition: The whole definition, as ``tasks/`` holds it.
        hand_over: What its last holder left; empty if nobody held it before.
        again: It was held already and is answered again.
    """

    def __init__(self, claim: Claim) -> None:
        self.id = claim.task
        self.epoch = claim.ticket.epoch
        self.title = claim.definition.title
        self.description = str(claim.definition.raw.get("description", ""))
        self.definition = claim.definition.raw
        self.hand_over = claim.hand_over
        self.again = claim.again

    def __repr__(self) -> str:
        return f"Task({self.id!r}, epoch={self.epoch})"


class Peer:
    """One incarnation of a peer. Made by ``join`` or ``resume``.

    Args:
        root: The open coordination directory.
        membership: The incarnation's place in the team.
    """

    def __init__(self, root: Root, membership: members.Membership) -> None:
        self.root = root
        self.membership = membership
        self.queue = Queue(root, membership.me.peer)
        self.worker = Worker(self.queue, membership)

    # -- joining and leaving ---------------------------------------------------------------------------------

    @classmethod
    def join(
        cls,
        project: str | os.PathLike[str],
        name: str,
        *,
        record: Json | None = None,
        expected_store: str = "",
        least: int = 1,
    ) -> Peer:
        """Become a peer of a project under the next incarnation of a name.

        Args:
            project: The directory that holds ``.claude-coordination/``.
            name: The peer's name, an id.
            record: More for ``peer.json``; without ``session`` or ``agent`` there, this process stands for the peer.
            expected_store: The store id this project recorded, if it did.
            least: The incarnation's number is at least this.

        Raises:
            NotFoundError: The project is not set up.
            UsageError: A living peer has this name.
        """
        root = roots.open_root(f"{os.path.realpath(project)}/{names.ROOT}", expected_store)
        facts: Json = {**process.here(), "host_name": process.here()["host"], **(record or {})}
        if not facts.get("session") and not facts.get("agent"):
            facts["agent"] = process.identify(os.getpid())
        janitor = Janitor(Queue(root, name), name)
        me = members.join(root, name, facts, lambda who: judge(root, who), janitor.evict, least)
        return cls(root, me)

    @classmethod
    def resume(cls, root: Root, me: Incarnation) -> Peer:
        """Go on as an incarnation that joined before, from another process of the same worktree.

        Raises:
            EvictedError: It is no longer a peer.
        """
        membership = members.Membership(root, me)
        membership.require()
        return cls(root, membership)

    def leave(self) -> None:
        """Give every claim and the leadership back, and stop being a peer. Nothing to do if it was evicted."""
        me = self.membership.me
        if self.root.files.move(names.peer_dir(me), names.departed_dir(me, me)):
            Janitor(self.queue, me.peer).sweep(me, me)
            self.root.event(me.peer, "left", incarnation=str(me))
            self.root.files.ring()

    def beat(self) -> int:
        """Show that this peer lives. Needed only where the team spans machines: there, at every ``heartbeat_seconds``.

        Returns:
            The heartbeat's new number.

        Raises:
            EvictedError: This incarnation was evicted: join again.
        """
        return self.membership.beat()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    @property
    def name(self) -> str:
        """The peer's name."""
        return self.membership.me.peer

    # -- work ------------------------------------------------------------------------------------------------

    def request(self) -> Task | None:
        """Claim the next task: the most urgent whose dependencies are done. Held already: the same again.

        Returns:
            The task; ``None`` if nothing is ready now.

        Raises:
            EvictedError: This incarnation was evicted: join again.
        """
        claim = self.worker.request()
        return Task(claim) if claim else None

    def report(
        self,
        task: Task | str,
        progress: float | None = None,
        *,
        achievements: Sequence[str] = (),
        blockers: Sequence[str] = (),
        steps: Sequence[str] = (),
        time_spent: int | None = None,
        estimate: str | None = None,
    ) -> Json:
        """Report progress on a task this peer holds.

        Args:
            task: The task or its id.
            progress: 0 … 1; where the task has steps, the steps done decide instead.
            achievements: What was reached, added to what was reported before.
            blockers: What is in the way, added likewise.
            steps: Ids of steps done now, ``2.1`` or ``1``.
            time_spent: Seconds in all.
            estimate: What is left, in words.

        Returns:
            The entry of the progress report.

        Raises:
            LostError: The task is not this peer's; the message says whose it is.
            UsageError: A value is not allowed.
        """
        said = {
            "progress": progress,
            "achievements": list(achievements),
            "blockers": list(blockers),
            "steps": list(steps),
            "time_spent": time_spent,
            "estimate": estimate,
        }
        return self.worker.report(_id(task), said)

    def complete(self, task: Task | str, **facts: object) -> Json:
        """Complete a task this peer holds.

        Args:
            task: The task or its id.
            facts: For the result: ``branch``, ``commit``, or anything that shall be on record.

        Returns:
            The result.

        Raises:
            LostError: The task is not this peer's; the message says whose it is.
        """
        return self.worker.complete(_id(task), facts=dict(facts))

    def release(self, task: Task | str, reason: str = "released") -> None:
        """Give a task back; its next holder is told how far it came.

        Raises:
            LostError: The task is not this peer's; the message says whose it is.
        """
        self.worker.release(_id(task), reason)

    def fail(self, task: Task | str, reason: str) -> None:
        """End an attempt that failed; the task is tried again, until ``max_attempts``.

        Raises:
            LostError: The task is not this peer's; the message says whose it is.
        """
        self.worker.fail(_id(task), reason)


def judge(root: Root, who: Incarnation) -> Verdict:
    """Give a verdict on an incarnation from its processes, as seen from this one."""
    record = members.read_record(root, names.peer_dir(who))
    return liveness.by_process(record, process.here(), process.running, process.stopped)


def reassign(queue: Queue, task: str, target: str) -> tuple[str, int]:
    """Put a task into another peer's hands, whoever holds it now, by one rename.

    Args:
        queue: The tasks.
        task: Which.
        target: Name of the peer that shall have it.

    Returns:
        Who held it before (empty: nobody) and its epoch now.

    Raises:
        NotFoundError: There is no such task or peer.
        LostError: It moved meanwhile, is done, cancelled, waits for something, or is that peer's already.
    """
    root = queue.root
    home = next((i for i in reversed(members.living(root)) if i.peer == target), None)
    if home is None:
        known = ", ".join(i.peer for i in members.living(root)) or "none"
        raise NotFoundError(f"there is no peer {ids.shown(target)}", hint=f"peers: {known}", code="no-peer")
    sighting = queue.find(task)
    holder = names.parse_incarnation(sighting.detail) if sighting.state == "claimed" else None
    _refuse_reassign(task, sighting.state, sighting.detail, holder == home)
    if str(names.Ticket(task, sighting.epoch)) != sighting.path.rpartition("/")[2]:
        raise LostError(f"task {task} is completed, by {sighting.detail}", hint=f"peercoord task reopen {task}")
    ticket = names.Ticket(task, sighting.epoch)
    target_worker = Worker(queue, members.Membership(root, home))
    definition = queue.definition(task)
    if holder is None:
        _refuse_unready(queue, definition)
    else:
        with suppress(StorageError):  # on a full disk the hand-over is lost, the reassignment is not
            Janitor(queue, queue.actor).note(ticket, holder, "released", f"reassigned to {target}")
    mine = queue.next_claim(ticket)
    if not root.files.move(sighting.path, names.claim(target_worker.home, mine)):
        raise LostError(f"task {task} moved meanwhile", hint=f"look again: peercoord task show {task}")
    with suppress(StorageError):
        target_worker.record(mine, definition)
    root.event(queue.actor, "reassigned", task=task, epoch=mine.epoch, to=target, was=str(holder or ""))
    return (holder.peer if holder else "", mine.epoch)


def _refuse_reassign(task: str, state: str, detail: str, same: bool) -> None:
    if same:
        raise LostError(f"{detail} holds task {task} already", hint="see: claude-coordination-status")
    if state == "done":
        raise LostError(f"task {task} is done", hint=f"peercoord task reopen {task}")
    if state == "waiting":
        raise LostError(f"task {task} waits for task {detail}", hint=f"peercoord task show {detail}")
    if state in ("new", "departed"):
        raise LostError(f"task {task} is on its way back to the queue", hint="try again")


def _refuse_unready(queue: Queue, definition: Definition) -> None:
    """Refuse what nobody may work on now; what a person only set aside, a person may give to someone."""
    free = records.checked({key: value for key, value in definition.raw.items() if key != "parked"})
    spot = tickets.spot(free, queue.standing)
    if spot.state == "waiting":
        raise LostError(f"task {free.task} waits for task {spot.detail}", hint=f"peercoord task show {spot.detail}")
    if spot.state == "parked":
        raise LostError(
            f"task {free.task} is parked: {spot.detail}, {spot.reason}", hint=f"peercoord task reopen {free.task}"
        )


def _id(task: Task | str) -> str:
    return task.id if isinstance(task, Task) else str(task)
