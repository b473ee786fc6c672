"""The agent: one background process per worktree. It beats, watches other peers, serves requests and may lead.

A step that fails (the disk is full, the directory is gone, permission was removed) is logged once and tried again
after growing pauses; the other steps go on meanwhile. An agent whose incarnation was evicted joins again. Between steps
it sleeps until a step is due, a request comes, a watched directory changes, or a watched process ends.

The agent ends when its worktree or project is gone: see ``agent.home``.
"""

from __future__ import annotations

import os
import signal
import traceback
from typing import TYPE_CHECKING

from peercoord.agent import home as homes
from peercoord.agent.duties import Duties
from peercoord.agent.home import Home, Rules
from peercoord.agent.monitor import Observer
from peercoord.agent.sessions import LOCK_SECONDS, SessionWatch
from peercoord.agent.usage import SETTLES_SECONDS, UsageWatch
from peercoord.errors import DownError, EvictedError, PeercoordError
from peercoord.mailbox import protocol
from peercoord.mailbox.server import Outbox
from peercoord.membership import membership as members
from peercoord.membership.leadership import Leadership
from peercoord.queue.prospect import Prospect
from peercoord.queue.recovery import Janitor
from peercoord.queue.retention import Archivist
from peercoord.store import paths
from peercoord.system import process
from peercoord.system.schedule import FAULTS, Schedule, Step
from peercoord.system.watch import Changes, events_come

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.agent.host import Worktree
    from peercoord.foreign import Json
    from peercoord.mailbox.protocol import Answer, Request
    from peercoord.store.beneath import InstanceFiles
    from peercoord.system.watch import Wakeups

STOP, GIVE_BACK, RENEW = signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR1
VANISH, REPLACED = -1, -2  # VANISH: end as if killed, but resign. REPLACED: leave everything to another agent
RESCAN_SECONDS = 30.0  # between full looks, also where events come
POLL_SECONDS = 2.0  # between looks where no events come
WAITERS, WAITERS_LEAST = "callers that wait", 0.25  # a step, and its least seconds between two runs
SETTLE_SECONDS = 0.05  # an edit is several writes
CLEAR_LEAST = 1.0  # seconds between two looks at assignment records
SLEPT_SECONDS = 1.0  # a shorter suspension is not worth a new look at everything


class Agent:
    """The background process of one worktree."""

    def __init__(self, host: Worktree, instance: InstanceFiles, wake: Wakeups) -> None:
        self.host, self.instance, self.wake = host, instance, wake
        wake.on_signals((STOP, signal.SIGINT, signal.SIGHUP, GIVE_BACK, RENEW))
        self.ending = 0
        self.changes = Changes(self._noticed)
        self.duties: Duties | None = None
        self._sealed: set[str] = set()
        self.sessions = SessionWatch(instance, host.log, host.signs_of_work, host.work_left, host.type_into)
        self.usage = UsageWatch(instance)
        self._ends: list[Json] = []
        self._join()
        self.outbox = Outbox(instance, self._serve, host.standing, self.clock.monotonic, host.closed, host.late)
        listen = self.outbox.open()
        if listen is not None:
            wake.listen("door", listen)
        else:
            host.log("this filesystem has no FIFOs: the mailbox is polled")

    # -- joining ---------------------------------------------------------------------------------------------

    def _join(self) -> None:
        self.peer = peer = self.host.connect(self.sessions.living)
        self.root, self.clock = peer.root, peer.root.clock
        self.sessions.joined(peer)
        self.usage.joined(peer)
        self._slept = self.clock.asleep()
        self.leadership = Leadership(peer.membership)
        self.janitor = Janitor(peer.queue, peer.name)
        host = self.host
        self.observer = Observer(peer.membership, self.janitor, self.leadership, host.log, host.revive)
        self.rules = Rules(self.root)
        self._prospect = Prospect(peer.queue, peer.membership.home)
        self._shows_waiting = False  # joining clears the note
        self.home = Home(self.instance, self.root, peer.name)
        self._arrived = False
        probe = f"probe{self.root.files.token()}"
        folders = ((self.instance.disk, ""), (self.root.files.disk, paths.TMP))
        self.events = self.changes.works = all(events_come(disk, folder, probe) for disk, folder in folders)
        if self.duties is not None:
            self.duties.end()
        self.duties = Duties(self.leadership, host.duties(peer, self.observer), host.log)
        self._plan()
        host.log(f"{peer.membership.me} is at work{'' if self.events else '; no events come here, so it polls'}")

    def _plan(self) -> None:
        beat = float(self.root.number("heartbeat_seconds"))
        often = RESCAN_SECONDS if self.events else POLL_SECONDS
        self.schedule = Schedule()
        self.schedule.add(Step("heartbeat", beat, self.peer.membership.beat))
        pace = min(often, beat / 2, self.root.number("state_seconds"))
        self.schedule.add(Step("watching", pace, self.look))
        self.schedule.add(Step("door", often, self.rescan))
        self.schedule.add(Step(WAITERS, RESCAN_SECONDS, self.serve_waiting, WAITERS_LEAST))
        self.schedule.add(Step("hand edits", often, self.host.pick_up, SETTLE_SECONDS))
        self.schedule.add(Step("session", RESCAN_SECONDS, self.check_sessions))
        self.schedule.add(Step("usage", RESCAN_SECONDS, self.usage.check))
        self.schedule.add(Step("tidying", beat, self.janitor.tidy))
        self.schedule.add(Step("assignment records", beat, self.clear, CLEAR_LEAST))
        self.schedule.add(Step("home", min(homes.LOOK_SECONDS, self.root.number("state_seconds")), self.stay))
        pace = min(RESCAN_SECONDS, self.root.number("state_seconds"))
        self.schedule.add(Step("settings", pace, self.refresh))

    def _watch_directories(self, leads: bool) -> None:
        """Watch the few directories that this peer depends on, never the whole tree."""
        there = self.root.files.place
        watched = {
            "instance": self._own_directory(""),
            "contributions": self._own_directory("memory-contributions"),
            "outbox": "" if self.outbox.wake else self._own_directory(protocol.OUTBOX),
            "peers": f"{there}/{paths.PEERS}",
            "leader": f"{there}/{paths.LEADER}",
            "claims": f"{there}/{paths.claims_dir(self.peer.membership.home)}",
            "bell": f"{there}/{paths.BELL}" if leads or self.outbox.waiting else "",
        }
        for name, path in watched.items():
            if path:
                self.changes.watch(name, path)
            else:
                self.changes.unwatch(name)

    def _own_directory(self, path: str) -> str:
        """Return the absolute path of a directory of the worktree; empty if it is a link or missing."""
        seen = self.instance.stat(path)
        return f"{self.instance.place}/{path}".rstrip("/") if seen is not None and seen.is_dir else ""

    def _noticed(self, name: str, entry: str) -> None:
        """Wake the agent after a change; called from the watching library's thread."""
        if name != "instance" or entry == "progress.json":
            self.wake.poke(name)
        elif entry in (homes.INFO, homes.AGENT):
            self.wake.poke("home")

    # -- the loop --------------------------------------------------------------------------------------------

    def run(self) -> bool:
        """Work until told to stop; return whether to start again, as the program that is installed now."""
        while not self.ending:
            self.steps()
            if self.ending:
                break
            self._react(self.wake.wait(self.schedule.pause(self.clock.monotonic(), RESCAN_SECONDS)))
            self.ending = next(iter(self.wake.signals), self.ending)
        self._end()
        return self.ending == RENEW

    def _react(self, happened: set[str]) -> None:
        now = self.clock.monotonic()
        if "door" in happened and not self._shielded("the door", self.outbox.serve_callers):
            self.outbox.disconnect_callers()
        if "door" in happened:
            self.schedule.soon("session", now)  # a hook rings when a session begins
        if happened & {"exit", "peers", "leader"}:
            self.schedule.soon("watching", now)
            self.schedule.soon("session", now)
        if happened & {"instance", "contributions"}:
            self.schedule.soon("hand edits", now + SETTLE_SECONDS)
        if "home" in happened:
            self.schedule.soon("home", now)
        if "claims" in happened:
            self._shielded("what requests should name", self.outbox.write_current)
            self.schedule.soon("assignment records", now)
            self.schedule.soon("usage", now + SETTLES_SECONDS)
        if "outbox" in happened:
            self.schedule.soon("door", now)
        if self.outbox.waiting and happened & {"door", "outbox", "bell", "peers", "claims"}:
            self.schedule.soon(WAITERS, now)
        if self.duties is not None and happened & {"bell", "peers", "claims", "leader"}:
            self.duties.changed()
        self._look_at_sleep(now)

    def _look_at_sleep(self, now: float) -> None:
        slept = self.clock.asleep()
        if slept - self._slept > SLEPT_SECONDS:
            self.host.log(f"this machine slept for {slept - self._slept:.0f} s: looking at everything again")
            self.observer.reset_observations()
            self.schedule.hasten(now)
        self._slept = slept

    def steps(self) -> None:
        """Run the steps that are due; a failure of one does not stop the others."""
        for step in self.schedule.due(self.clock.monotonic()):
            if self.ending:
                return
            self.schedule.begins(step)
            try:
                again = step.run()
            except EvictedError as error:
                self._rejoin(error)
                return
            except DownError as error:
                self.host.log(error.message)
                self.ending = GIVE_BACK
                return
            except PeercoordError as error:
                self._failed(step, error.message, error.code)
            except FAULTS as error:
                self._failed(step, traceback.format_exc(), f"{type(error).__name__}: {error}")
            else:
                sooner = again if isinstance(again, float) else None
                if self.schedule.ran(step, self.clock.monotonic(), sooner):
                    self.host.log(f"{step.name} works again")

    def _failed(self, step: Step, message: str, kind: str) -> None:
        if step.name == "heartbeat":
            self.observer.reset_observations()
        if self.schedule.failed(step, self.clock.monotonic(), kind):
            self.host.log(f"{step.name} failed: {message}")

    def _shielded(self, name: str, run: Callable[[], object]) -> bool:
        try:
            run()
        except PeercoordError as error:
            self.host.log(f"{name}: {error.message}")
        except FAULTS:
            self.host.log(f"{name}:\n{traceback.format_exc()}")
        else:
            return True
        return False

    def _rejoin(self, cause: EvictedError) -> None:
        self.host.log(f"{cause.message}; joining again")
        self.schedule = Schedule()
        self.schedule.add(Step("home", homes.LOOK_SECONDS, self.stay))  # first: if the worktree is gone, nothing joins
        self.schedule.add(Step("joining again", RESCAN_SECONDS, self._join))
        self.schedule.add(Step("door", RESCAN_SECONDS, self.rescan))

    # -- steps -----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Judge the other peers, evict the dead, sweep, and take over the leadership if it is free."""
        led = self.leadership.term() is not None
        self._watch_directories(led)  # first, so that no change is missed
        self._ends = self.observer.check_peers(everyone=led or not self._arrived)
        self._arrived = True
        leads = self.leadership.term() is not None
        if self.duties is not None and leads and not (led and self.events):
            self.duties.changed()
        self._watch_directories(leads)
        self._sweep()
        self._watch_exits()
        if any(beat and beat[1] for beat in map(paths.parse_beat, self.root.files.scan(self.peer.membership.home))):
            self.peer.membership.beat()  # a challenge

    def _watch_exits(self) -> None:
        if not self.wake.watch_exits([*self._ends, *self.sessions.living]):
            self.schedule.soon("watching", self.clock.monotonic())
            self.schedule.soon("session", self.clock.monotonic())

    def _sweep(self) -> None:
        """Sweep departed peers that are not sealed; a peer seen sealed is not looked at again."""
        found = self.janitor.queue.list_or_empty
        for name in found(paths.DEPARTED):
            both = paths.parse_departed(name)
            if both is None or name in self._sealed:
                continue
            inside = found(f"{paths.DEPARTED}/{name}")
            if "claims" in inside:
                self.janitor.sweep(*both)
            elif inside:
                self._sealed.add(name)

    def clear(self) -> None:
        """Remove assignment records of claims that this peer no longer holds.

        Release tasks, too, that an answer assigned to this peer for a caller that has left.
        """
        with self.instance.held("call.lock", wait=LOCK_SECONDS):
            Archivist(self.root).assignments(self.peer.membership.home)
            awaited = [ticket for ticket in self.peer.worker.held() if self.peer.worker.assignments.is_awaited(ticket)]
            if awaited and not self._caller_waits():
                for ticket in awaited:
                    self.sessions.release(ticket, "its caller left before it was told")

    def _caller_waits(self) -> bool:
        """Check whether a caller waits for a task: through the mailbox, or by itself, as ``peer.json`` shows."""
        waiter = self.peer.membership.record().get("waiting")
        shown = isinstance(waiter, dict) and waiter.get("pid") != os.getpid() and process.running(waiter)
        return self.outbox.waiting or shown

    def rescan(self) -> None:
        """Serve the requests in the mailbox, and update what requests should name."""
        for request in self.outbox.rescan():
            self.host.log(f"served {request.verb} {request.number}, found in the mailbox")
        self.outbox.write_current()

    def check_sessions(self) -> float | None:
        """Check which coding sessions run; release the claims after the last one has ended."""
        return self.sessions.check(self._watch_exits)

    def serve_waiting(self) -> float | None:
        """Serve again the callers that wait for a task, and record that a caller waits; return when to look again."""
        if self.outbox.waiting:
            self.changes.watch("bell", f"{self.root.files.place}/{paths.BELL}")  # before looking
        left = self.outbox.serve_waiting(self._prospect.is_there)
        if self.outbox.waiting != self._shows_waiting:
            here = {"since": self.clock.now(), **(process.identify(os.getpid()) or {})}
            self.sessions.note(waiting=here if self.outbox.waiting else None)
            self._shows_waiting = self.outbox.waiting
            self.schedule.soon("assignment records", self.clock.monotonic())
        return None if left is None else max(0.0, min(left, self._prospect.pause(self.events)))

    def stay(self) -> float | None:
        """End if the worktree or project is gone, or another agent serves the worktree; return when to look again.

        The reason is recorded in the events too: the agent's log is gone with the worktree.
        """
        if self.root.files.stat(paths.DOWN) is not None:
            self.host.log("the team was taken down")
            self.ending = GIVE_BACK
            return None
        grace = min(homes.MEND_SECONDS, self.sessions.ttl())
        found, again = self.home.look(self.clock.monotonic(), grace)
        if found != homes.HERE:
            self.host.log(f"ending: {self.home.because}")
            ends = {homes.GONE: GIVE_BACK, homes.REPLACED: REPLACED, homes.ORPHANED: VANISH}
            self.ending = ends.get(found, VANISH if self.sessions.living else GIVE_BACK)
            if found in (homes.GONE, homes.ABANDONED):
                self.root.event(self.peer.name, "agent-ended", because=self.home.because)
        return again

    def refresh(self) -> None:
        """Start again if the settings changed or another version of the program is installed."""
        if self.ending or self.instance.stat(homes.INFO) is None:
            return  # without its worktree it could not start again
        if self.rules.changed():
            self.host.log("protocol.json has changed")
            self.ending = RENEW
        elif self.host.renewed():
            self.host.log("a newer program is installed")
            self.ending = RENEW

    def _serve(self, request: Request) -> Answer:
        answer = self.host.serve(request)
        self.schedule.soon("session", self.clock.monotonic())
        if not self.events and self.duties is not None:
            self.duties.changed()
        return answer

    # -- ending ----------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """End: resign the leadership; when asked, give every claim back and leave."""
        if self.duties is not None:
            self.duties.end()
        self.changes.close()
        if self.ending == REPLACED:
            self.host.log("stopped")
            return
        self._shielded("closing the mailbox", self.outbox.close)
        if self.ending == RENEW:
            self.host.log("starting again")
            return
        self._shielded("resigning the leadership", self.leadership.resign)
        if self.ending == GIVE_BACK:
            self._shielded("leaving", self.peer.leave)
            self._shielded("the last views", self._publish_last_views)
        elif self.ending != VANISH:
            note = {"agent": None, "stopped_at": self.clock.now()}
            if not self._shielded("noting the stop", lambda: self.sessions.note(**note)):
                # a call that holds the lock for long must not make this peer look dead
                self._shielded("noting the stop", lambda: self.peer.membership.update(**note))
        self.host.log("stopped")

    def _publish_last_views(self) -> None:
        """Publish the views as the last peer of a team that was taken down."""
        from peercoord.status.board import Reader

        if self.root.files.stat(paths.DOWN) is not None and not members.living(self.root):
            Reader(self.peer.queue, self.observer.verdict).publish()
