"""The public library: a peer that joins, asks for tasks, reports and leaves.

    from peercoord import Peer

    with Peer.join("/path/to/project", "worker-1") as peer:
        while task := peer.request():
            peer.report(task, progress=0.5)
            peer.complete(task)

The command line and the agent use it too. A ``Peer`` is for one thread. If its process crashes, other peers notice and
put its tasks back.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from peercoord.errors import StorageError
from peercoord.membership import membership as members
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.queue.worker import Worker
from peercoord.store import paths
from peercoord.store.root import open_root
from peercoord.system import process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peercoord.foreign import Json
    from peercoord.queue.claims import Claim
    from peercoord.store.paths import Incarnation
    from peercoord.store.root import Root


class Task:
    """A task that a peer holds.

    Attributes:
        id: Its id.
        epoch: How often it was claimed; the fencing token for systems outside.
        title: One line.
        description: Any text.
        definition: The whole definition, as ``tasks/`` holds it.
        hand_over: What its last holder left; empty if there was none.
        again: It was held already and is returned again.
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
        membership: The incarnation's membership in the team.
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
        """Become a peer of a project, as the next incarnation of a name.

        Args:
            project: The directory that holds ``.claude-coordination/``.
            name: The peer's name, an id.
            record: More for ``peer.json``; without a key ``session`` or ``agent``, this process stands for the peer.
            expected_store: The store id this project recorded, if it did.
            least: The minimum number of the incarnation.

        Raises:
            NotFoundError: The project is not set up.
            UsageError: A living peer has this name.
        """
        root = open_root(f"{os.path.realpath(project)}/{paths.ROOT}", expected_store)
        facts: Json = {**process.here(), "host_name": process.here()["host"], **(record or {})}
        if "session" not in facts and "agent" not in facts:
            facts["agent"] = process.identify(os.getpid())
        janitor = Janitor(Queue(root, name), name)
        me = members.join(root, name, facts, lambda who: members.judge(root, who), janitor.evict, least)
        return cls(root, me)

    @classmethod
    def resume(cls, root: Root, me: Incarnation) -> Peer:
        """Continue as an incarnation that joined before, from another process of the same worktree."""
        membership = members.Membership(root, me)
        membership.require()
        return cls(root, membership)

    def leave(self) -> None:
        """Return every claim and the leadership, and stop being a peer. Does nothing after an eviction."""
        me = self.membership.me
        if self.root.files.move(paths.peer_dir(me), paths.departed_dir(me, me)):
            Janitor(self.queue, me.peer).sweep(me, me)
            with suppress(StorageError):  # on a full disk its report stays as it was, its tasks go back
                self.worker.reports.interrupt(me.peer)
            self.root.event(me.peer, "left", incarnation=str(me))
            self.root.files.ring()

    def beat(self) -> int:
        """Renew the heartbeat. Needed only in a team that spans machines: at every ``heartbeat_seconds``.

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
        """Claim the most urgent task whose dependencies are done, or return the one that is held.

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
            LostError: This peer does not hold the task; the message says which one does.
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
            facts: For the result: ``branch``, ``commit``, or anything else to record.

        Returns:
            The result.

        Raises:
            LostError: This peer does not hold the task; the message says which one does.
        """
        return self.worker.complete(_id(task), facts=dict(facts))

    def release(self, task: Task | str, reason: str = "released") -> None:
        """Give a task back; its next holder is told how far it came.

        Raises:
            LostError: This peer does not hold the task; the message says which one does.
        """
        self.worker.release(_id(task), reason)

    def fail(self, task: Task | str, reason: str) -> None:
        """End an attempt that failed; the task is tried again, until ``max_attempts``.

        Raises:
            LostError: This peer does not hold the task; the message says which one does.
        """
        self.worker.fail(_id(task), reason)


def _id(task: Task | str) -> str:
    return task.id if isinstance(task, Task) else str(task)
