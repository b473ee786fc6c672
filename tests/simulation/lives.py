"""What peers and people do in a simulated team: a few steps, each drawn by chance, through the production code."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.memory import MemoryDisk, refuse

from peercoord.agent.monitor import Observer
from peercoord.errors import EvictedError, LostError, PeercoordError
from peercoord.mailbox import protocol, server, verbs
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.membership.liveness import DEAD, UNKNOWN, Verdict
from peercoord.queue import peer as library
from peercoord.queue import reassign as reassigning
from peercoord.queue.queue import Queue
from peercoord.queue.recovery import Janitor
from peercoord.queue.worker import Worker
from peercoord.store import paths, records
from peercoord.store.beneath import InstanceFiles
from peercoord.store.files import Files
from peercoord.store.root import Root
from peercoord.system.clock import Clock
from simulation.baton import Crashed, ViolationError
from simulation.sea import Client

if TYPE_CHECKING:
    from peercoord.mailbox.protocol import Answer, Request
    from peercoord.store.paths import Incarnation, Ticket
    from simulation.baton import Actor
    from simulation.world import World


class Worktree(MemoryDisk):
    """A worktree in memory, with two more calls than a disk."""

    def open(self, path: str, flags: int) -> int:
        raise refuse(errno.ENOTSUP, path)  # it has no descriptors: a file is replaced, not written in place

    def replace(self, path: str, staged: str, data: bytes, program: bool = False, durable: bool = False) -> None:
        home = path.rpartition("/")[0]
        self.create(f"{home}/{staged}", data, durable)
        self.rename(f"{home}/{staged}", path)


class Watch(Clock):
    """A host's clocks: wall time jumps as it likes, monotonic time has its own origin and goes a little wrong."""

    def __init__(self, world: World) -> None:
        self.world = world
        chance = world.chance
        self.offset, self.rate = 1e5 * chance.random(), 1.0 + 1e-3 * (chance.random() - 0.5)

    def now(self) -> str:
        return f"20{int(self.world.chance.random() * 90) + 10}-01-31T15:30:00Z"

    def monotonic(self) -> float:
        return self.offset + self.rate * self.world.baton.now

    def asleep(self) -> float:
        return 0.0


class Host:
    """Where an actor runs: its disk, its clock, its words; and the doors to the production code."""

    def __init__(self, world: World, name: str, actor: Actor) -> None:
        self.world, self.name, self.actor = world, name, actor
        self.disk = Client(world.sea, actor)
        self.files = Files(self.disk, world.token)
        self.root = Root(self.files, world.protocol, Watch(world), world.number, self.intake)
        self.queue = Queue(self.root, name)

    @contextmanager
    def intake(self) -> Iterator[None]:
        """The mutex for adding and editing, which some filesystems grant twice."""
        world = self.world
        while world.mutex and world.intake not in (None, self) and not world.intake.actor.dead:
            world.baton.sleep(self.actor, 0.1)
        world.intake = self
        try:
            yield
        finally:
            if world.intake is self:
                world.intake = None


class Judge(Janitor):
    """A janitor whose evictions are witnessed."""

    def __init__(self, host: Host, silent: bool = False) -> None:
        super().__init__(host.queue, host.name)
        self.host, self.silent = host, silent

    def evict(self, who: Incarnation, by: Incarnation, because: str) -> bool:
        laws = self.host.world.laws
        silent = laws.silent_for(who)
        if not super().evict(who, by, because):
            return False
        if self.silent:
            ttl = self.root.number("heartbeat_seconds") * self.root.number("ttl_heartbeats")
            laws.says_dead(who, silent, ttl - 1.0)
        if not self.host.world.refusing:
            laws.says_evicted(who)
        return True


class Life:
    """A peer's processes, one after the other, under one name."""

    def __init__(self, world: World, name: str, actor: Actor) -> None:
        self.world, self.name, self.actor = world, name, actor
        self.chance = world.chance
        self.host = Host(world, name, actor)
        self.worker: Worker | None = None
        self.last: Incarnation | None = None
        self.left = world.actions
        self.requests: list[Request] = []
        self.outbox = server.Outbox(InstanceFiles(Worktree(), world.token), self._serve, self._standing, lambda: 0.0)
        self.outbox.files.make_dir(protocol.INBOX)
        self.stood: list[Ticket] = []
        self.beaten = -1e9

    # -- processes -------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Take the steps that this peer has, in as many processes as that takes."""
        world = self.world
        while self.left > 0:
            self.left -= 1
            try:
                self._step()
            except Crashed:
                if not self._started_again():
                    return
            except EvictedError:
                self.worker, self.host.disk.me = None, ""
            except PeercoordError:
                pass  # it says so, and goes on
            except OSError as error:
                raise ViolationError(f"{self.name} met a bare {error!r}") from error
            if not self.actor.dead:
                world.baton.sleep(self.actor, world.rest * self.chance.random())
        if self.worker is not None and self.chance.random() < world.leaving:
            self._try(self._leave)

    def _started_again(self) -> bool:
        """A new process, after a while, of the same worktree; or none."""
        self.world.fallen.add(self.host.disk.me)
        if self.chance.random() < 0.3:
            return False
        self.world.baton.sleep(self.actor, 60.0 * self.chance.random())
        self.actor.dead = False
        self.host = Host(self.world, self.name, self.actor)
        self.worker = None
        return True

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except (PeercoordError, Crashed):
            return

    def _step(self) -> None:
        if self.worker is None:
            self._enter()
            return
        steps, weights = self.world.menu
        getattr(self, self.chance.choices(steps, weights)[0])()

    def _enter(self) -> None:
        """Go on as the incarnation that this worktree remembers, or join."""
        root, last = self.host.root, self.last
        if last is not None and self.chance.random() < 0.7 and members.Membership(root, last).present():
            self.world.fallen.discard(str(last))
            self._is(members.Membership(root, last))
            return
        judge = Judge(self.host)
        record = {key: f"{key} of {self.name}" for key in ("host", "machine", "boot_id", "pid_ns")}
        membership = members.join(root, self.name, record, self._verdict, judge.evict, last.number + 1 if last else 1)
        self.world.laws.says_joined(membership.me)
        self._is(membership)

    def _is(self, membership: members.Membership) -> None:
        self.last = membership.me
        self.host.disk.me = str(membership.me)
        self.worker = Worker(self.host.queue, membership)
        leadership = Leadership(membership)
        judge = Judge(self.host, silent=True)
        self.observer = Observer(membership, judge, leadership, lambda _: None, lambda _: None)
        self.leadership = leadership

    def _verdict(self, who: Incarnation) -> Verdict:
        """Whoever runs on one machine knows which of its processes are gone."""
        gone = str(who) in self.world.fallen
        return Verdict(DEAD, "its process is gone") if gone else Verdict(UNKNOWN, "it may live")

    @property
    def me(self) -> Worker:
        """This peer at work."""
        assert self.worker is not None
        return self.worker

    def _one(self) -> Ticket | None:
        """One of the tasks in its hands."""
        held = self.me.held()
        return self.chance.choice(held) if held else None

    # -- steps -----------------------------------------------------------------------------------------------

    def request(self) -> None:
        claim = self.me.request()
        if claim is not None:
            self.world.laws.says_holding(self.me.me, claim.ticket)
            self.world.claimed(claim)

    def work(self) -> None:
        """Claim, report, end."""
        self.request()
        ticket = self._one()
        if ticket is not None:
            self._end(ticket)

    def end(self) -> None:
        ticket = self._one()
        if ticket is not None:
            self._end(ticket)

    def _end(self, ticket: Ticket) -> None:
        way = self.chance.random()
        if way < self.world.completing:
            self.complete(ticket.task)
        elif way < 0.9:
            self.release(ticket)
        elif way < 0.95:
            self.me.fail(ticket.task, "it did not work")
        else:
            self.me.park(ticket.task, "review", "look at it")

    def complete(self, task: str) -> None:
        try:
            result = self.me.complete(task)
        except EvictedError:
            raise
        except LostError:
            self.world.laws.says_lost(self.me.me, task)
            raise
        self.world.laws.says_done(self.me.me, task, result["epoch"])

    def again(self) -> None:
        """Ask once more for what was completed before, or by someone else."""
        self.complete(self.chance.choice(self.world.tasks))

    def release(self, ticket: Ticket) -> None:
        self.me.release(ticket.task)
        self.world.laws.says_released(self.me.me, ticket.task, ticket.epoch)

    def report(self) -> None:
        ticket = self._one()
        if ticket is not None:
            self.me.report(ticket.task, {"progress": 0.5})

    def beat(self) -> None:
        self.me.membership.beat()

    def tidy(self) -> None:
        self.me.janitor.tidy()

    def evict(self) -> None:
        """Evict any other peer, for no reason: safety does not rest on a verdict being right."""
        others = [who for who in members.living(self.host.root) if who != self.me.me]
        if others:
            Judge(self.host).evict(self.chance.choice(others), self.me.me, "somebody said so")

    def lead(self) -> None:
        if self.leadership.term() is None:
            self.leadership.take()
        elif self.chance.random() < 0.5:
            self.leadership.resign()

    def usurp(self) -> None:
        others = [who for who in members.living(self.host.root) if who != self.me.me]
        if others:
            self.leadership.take_from(self.chance.choice(others), "it does not lead")

    def leave(self) -> None:
        self._leave()

    def _leave(self) -> None:
        worker, self.worker, self.host.disk.me = self.me, None, ""
        library.Peer(self.host.root, worker.membership).leave()

    def watch(self) -> None:
        """One turn of an agent: beat when it is due, look at the others, answer a challenge."""
        now, interval = self.host.root.clock.monotonic(), self.host.root.number("heartbeat_seconds")
        try:
            if now - self.beaten >= interval * (0.9 if self.chance.random() < 0.9 else 1.6):
                self.beaten = now
                self.beat()
        except PeercoordError:
            self.observer.reset_observations()
            raise
        self.observer.check_peers()
        home = self.host.files.scan(self.me.home)
        if any(beat and beat[1] for beat in map(paths.parse_beat, home)):
            self.beat()

    # -- through the door ------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Have a statement executed as the agent does: one just made, or an old one about the same task once more."""
        ticket = self._one()
        if ticket is None:
            return
        old = [request for request in self.requests if verbs.of(request).task == ticket.task]
        if old and self.chance.random() < 0.5:
            self.outbox._execute(self.chance.choice(old))
            return
        words = ["release", ticket.task]
        if self.chance.random() < 0.3:
            words = ["report-progress", ticket.task, "--status", "done"]
        request = protocol.Request(
            f"{len(self.requests):08d}-x", words, incarnation=str(self.me.me), tickets=self.me.held()
        )
        self.requests.append(request)
        self.outbox._execute(request)

    def _standing(self) -> tuple[str, list[Ticket]]:
        self.stood = self.me.held()
        return str(self.me.me), self.stood

    def _serve(self, request: Request) -> Answer:
        task = verbs.of(request).task
        then = {str(ticket) for ticket in request.tickets}
        for ticket in self.me.held():
            fits = str(ticket) in then and request.incarnation == str(self.me.me)
            if ticket.task == task and ticket in self.stood and not fits:
                raise ViolationError(
                    f"a request made for {sorted(then)} of {request.incarnation} ends {ticket} of {self.me.me} (BOX-3)"
                )
            if ticket.task == task and request.verb == "release":
                self.release(ticket)
            elif ticket.task == task:
                self.complete(task)
        return protocol.Answer(0, b"", b"")


class Person:
    """Someone at the command line: adds, edits, cancels, reopens, reassigns."""

    def __init__(self, world: World, name: str, actor: Actor) -> None:
        self.world, self.actor = world, actor
        self.chance = world.chance
        self.host = Host(world, name, actor)

    def live(self) -> None:
        """Do a few things."""
        for _ in range(self.world.doings):
            self.world.baton.sleep(self.actor, self.world.rest * 3 * self.chance.random())
            try:
                getattr(self, self.chance.choice(self.world.deeds))(self.chance.choice(self.world.tasks))
            except Crashed:
                return
            except PeercoordError:
                pass
            except OSError as error:
                raise ViolationError(f"a person met a bare {error!r}") from error

    def add(self, _task: str) -> None:
        task = f"t{len(self.world.tasks)}"
        needs = [one for one in self.world.tasks if self.chance.random() < 0.3]
        self.host.queue.add(records.define(task, f"Task {task}", dependencies=needs))
        self.world.tasks.append(task)

    def edit(self, task: str) -> None:
        self.host.queue.edit(task, priority=self.chance.choice(("high", "low")))

    def cancel(self, task: str) -> None:
        self.host.queue.cancel(task)

    def reopen(self, task: str) -> None:
        self.host.queue.reopen(task)

    def reassign(self, task: str) -> None:
        reassigning.reassign(self.host.queue, task, self.chance.choice(self.world.names))
