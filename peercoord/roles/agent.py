"""The agent: one background process per worktree that beats, watches, answers at the door and, if need be, leads.

Promises: it survives everything but its own end. A step that fails (the disk is full, the directory is gone, a right
was taken away) says so once, is tried again after growing pauses, and goes on by itself when the fault is over; the
other steps go on meanwhile. An agent whose incarnation was evicted joins again and says so. Between steps it sleeps
until something is due, happens at the door, changes, or ends.

It ends with what it serves: see ``roles.home``.
"""

from __future__ import annotations

import signal
import traceback

from peercoord.core import door, liveness, names
from peercoord.core.errors import EvictedError, LostError, PeercoordError
from peercoord.core.schedule import FAULTS, Schedule, Step
from peercoord.fs import process
from peercoord.fs.mutex import held
from peercoord.fs.watch import Changes, events_come
from peercoord.roles import home as homes
from peercoord.roles.archivist import Archivist
from peercoord.roles.home import Home
from peercoord.roles.janitor import Janitor
from peercoord.roles.leader import Duties, Leadership
from peercoord.roles.observer import Observer
from peercoord.roles.outbox import Outbox
from peercoord.roles.rules import Rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from peercoord.core.door import Answer, Request
    from peercoord.core.names import Ticket
    from peercoord.core.records import Json
    from peercoord.fs.files import Files
    from peercoord.fs.watch import Wakeups
    from peercoord.roles.leader import Duty
    from peercoord.roles.peer import Peer

    class Host(Protocol):
        """What the agent needs of the world outside the protocol."""

        def connect(self, sessions: Sequence[Json]) -> Peer: ...  # noqa: D102 - resumes the worktree's peer, or joins
        def standing(self) -> tuple[str, Sequence[Ticket]]: ...  # noqa: D102 - incarnation and tickets, for requests
        def serve(self, request: Request) -> Answer: ...  # noqa: D102 - executes a request from the door
        def pick_up(self) -> float | None: ...  # noqa: D102 - what was edited by hand; seconds to the next look
        def duties(self, peer: Peer, observer: Observer) -> Sequence[Duty]: ...  # noqa: D102 - what the leader does
        def revive(self, worktree: str) -> None: ...  # noqa: D102 - starts another worktree's agent
        def renewed(self) -> bool: ...  # noqa: D102 - a newer program is installed, and works
        def log(self, message: str) -> None: ...  # noqa: D102 - writes a line for people


STOP, GIVE_BACK, RENEW = signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR1
VANISH, REPLACED = -1, -2  # nobody asked for it: end as if killed, but lead no more; or leave all to another agent
RESCAN_SECONDS = 30.0  # between looks at everything, events or not
POLL_SECONDS = 2.0  # between looks where no events come
SETTLE_SECONDS = 0.05  # an edit is several writes: look once they are over


class Agent:
    """The background process of one worktree.

    Args:
        host: The world outside the protocol.
        instance: The worktree's ``.claude-instance/``.
        wake: What to wait on.
    """

    def __init__(self, host: Host, instance: Files, wake: Wakeups) -> None:
        self.host, self.instance, self.wake = host, instance, wake
        wake.on_signals((STOP, signal.SIGINT, signal.SIGHUP, GIVE_BACK, RENEW))
        self.ending = 0
        self.changes = Changes(self._noticed)
        self.duties: Duties | None = None
        self._sealed: set[str] = set()
        self._mourning: float | None = None
        self._living: list[Json] = []
        self._ends: list[Json] = []
        self.home = Home(instance)
        self._join()
        self.outbox = Outbox(instance, self._serve, host.standing, self.clock.monotonic)
        self._open_door()

    # -- joining ---------------------------------------------------------------------------------------------

    def _join(self) -> None:
        self.peer = peer = self.host.connect(self._living)
        self.root, self.clock = peer.root, peer.root.clock
        self._slept = self.clock.asleep()
        self.leadership = Leadership(peer.membership)
        self.janitor = Janitor(peer.queue, peer.name)
        host = self.host
        self.observer = Observer(peer.membership, self.janitor, self.leadership, host.log, host.revive)
        self.rules = Rules(self.root)
        self._arrived = False
        self._try_events()
        if self.duties is not None:
            self.duties.end()
        self.duties = Duties(self.leadership, host.duties(peer, self.observer), host.log)
        self._plan()
        host.log(f"{peer.membership.me} is at work{'' if self.events else '; no events come here, so it polls'}")

    def _plan(self) -> None:
        beat = float(self.root.number("heartbeat_seconds"))
        often = RESCAN_SECONDS if self.events else POLL_SECONDS
        self.schedule = Schedule()
        self.schedule.add(Step("heartbeat", beat, self.beat))
        pace = min(often, beat / 2, self.root.number("state_seconds"))
        self.schedule.add(Step("watching", pace, self.look))
        self.schedule.add(Step("door", often, self.rescan))
        self.schedule.add(Step("hand edits", often, self.host.pick_up, SETTLE_SECONDS))
        self.schedule.add(Step("session", RESCAN_SECONDS, self.mourn))
        self.schedule.add(Step("tidying", beat, self.janitor.tidy))
        self.schedule.add(Step("assignment records", beat, self.clear, 1.0))
        pace = min(RESCAN_SECONDS, self.root.number("state_seconds"))
        self.schedule.add(Step("home", pace, self.stay))
        self.schedule.add(Step("settings", pace, self.refresh))

    def _try_events(self) -> None:
        here, there = _path(self.instance), _path(self.root.files)
        self.events = bool(here and there) and all(
            events_come(folder, f"probe{self.root.files.token()}") for folder in (here, f"{there}/{names.TMP}")
        )
        self.changes.works = self.events

    def _watch_directories(self, leads: bool) -> None:
        """Watch the few small directories that matter to this peer, never the tree."""
        here, there = _path(self.instance), _path(self.root.files)
        watched = {
            "instance": here,
            "contributions": f"{here}/memory-contributions",
            "outbox": "" if self.outbox.wake else f"{here}/{door.OUTBOX}",
            "peers": f"{there}/{names.PEERS}",
            "leader": f"{there}/{names.LEADER}",
            "claims": f"{there}/{names.claims_dir(self.peer.membership.home)}",
            "bell": f"{there}/{names.BELL}" if leads else "",
        }
        for name, path in watched.items():
            if path:
                self.changes.watch(name, path)
            else:
                self.changes.unwatch(name)

    def _noticed(self, name: str, entry: str) -> None:
        """Wake for what changed; called from the watching library's thread."""
        if name != "instance" or entry == "progress.json":
            self.wake.poke(name)
        elif entry in (homes.INFO, homes.AGENT):
            self.wake.poke("home")

    def _open_door(self) -> None:
        listen = self.outbox.open()
        if listen is not None:
            self.wake.listen("door", listen)
        else:
            self.host.log("no FIFOs on this filesystem: the outbox is looked at now and then")

    # -- the loop --------------------------------------------------------------------------------------------

    def run(self) -> bool:
        """Work until told to stop.

        Returns:
            Whether to start again, as the program that is installed now.
        """
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
        if "door" in happened and not self._shielded("the door", self.outbox.heard):
            self.outbox.hang_up()
        if happened & {"exit", "peers", "leader"}:
            self.schedule.soon("watching", now)
            self.schedule.soon("session", now)
        if happened & {"instance", "contributions"}:
            self.schedule.soon("hand edits", now + SETTLE_SECONDS)
        if "home" in happened:
            self.schedule.soon("home", now)
        if "claims" in happened:
            self._shielded("what requests should name", self.outbox.refresh)
            self.schedule.soon("assignment records", now)
        if "outbox" in happened:
            self.schedule.soon("door", now)
        if self.duties is not None and happened & {"bell", "peers", "claims", "leader"}:
            self.duties.changed()
        self._look_at_sleep(now)

    def _look_at_sleep(self, now: float) -> None:
        slept = self.clock.asleep()
        if slept - self._slept > 1.0:
            self.host.log(f"this machine slept for {slept - self._slept:.0f} s: looking at everything anew")
            self.observer.blind()
            self.schedule.hasten(now)
        self._slept = slept

    def steps(self) -> None:
        """Run what is due, each step shielded from the failures of the others."""
        for step in self.schedule.due(self.clock.monotonic()):
            self.schedule.begins(step)
            try:
                again = step.run()
            except EvictedError as error:
                self._rejoin(error)
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
            self.observer.blind()
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
        self.schedule.add(Step("joining again", RESCAN_SECONDS, self._join))
        self.schedule.add(Step("door", RESCAN_SECONDS, self.rescan))

    # -- steps -----------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Show that this peer lives."""
        self.peer.membership.beat()

    def look(self) -> None:
        """Judge the others, evict the dead, sweep, and lead if nobody does."""
        led = self.leadership.term() is not None
        self._watch_directories(led)  # first, so that nothing changes unseen between the look and the watch
        self._ends = self.observer.look(everyone=led or not self._arrived)
        self._arrived = True
        leads = self.leadership.term() is not None
        if self.duties is not None and leads and not (led and self.events):
            self.duties.changed()
        self._watch_directories(leads)
        self._sweep()
        self._watch_exits()
        if any(beat and beat[1] for beat in map(names.parse_beat, self.root.files.scan(self.peer.membership.home))):
            self.beat()  # someone doubts it

    def _watch_exits(self) -> None:
        if not self.wake.watch_exits([*self._ends, *self._living]):
            self.schedule.soon("watching", self.clock.monotonic())
            self.schedule.soon("session", self.clock.monotonic())

    def _sweep(self) -> None:
        """Seal what others left unsealed; one seen sealed needs no second look, one not seen holds up nothing."""
        found = self.janitor.queue.found
        for name in found(names.DEPARTED):
            both = names.parse_departed(name)
            if both is None or name in self._sealed:
                continue
            inside = found(f"{names.DEPARTED}/{name}")
            if "claims" in inside:
                self.janitor.sweep(*both)
            elif inside:
                self._sealed.add(name)

    def clear(self) -> None:
        """Remove the records of claims that this peer has no more: what was reassigned is another one's."""
        with held(f"{self.outbox.root}/call.lock", wait=5.0):
            Archivist(self.root).assignments(self.peer.membership.home)

    def rescan(self) -> None:
        """Serve what lies in the outbox, and keep what requests should name up to date."""
        for request in self.outbox.rescan():
            self.host.log(f"served {request.verb} {request.number}, found in the outbox")
        self.outbox.refresh()

    def stay(self) -> float | None:
        """Stay as long as the worktree is there and this agent stands for it.

        Returns:
            Seconds after which to look again; ``None`` if that does not press.
        """
        found, again = self.home.look(self.clock.monotonic(), self.root.number("session_grace_seconds"))
        if found != homes.HERE:
            self.host.log(f"this worktree is {found}")
            ends = {homes.GONE: GIVE_BACK, homes.ABANDONED: VANISH if self._living else GIVE_BACK}
            self.ending = ends.get(found, REPLACED)
        return again

    def refresh(self) -> None:
        """Take in changed settings, and a newer program: by starting again.

        Raises:
            PeercoordError: ``protocol.json`` cannot be understood: what was read before holds.
        """
        if self.ending or self.instance.stat(homes.INFO) is None:
            return  # without its worktree nothing starts again
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

    # -- the session -----------------------------------------------------------------------------------------

    def mourn(self) -> float | None:
        """Keep count of the coding sessions; when the last one has ended, wait, then give the claims back.

        Returns:
            Seconds after which to look again; ``None`` if that does not press.
        """
        record = self.peer.membership.record()
        known = liveness.sessions(record)
        living = self._living = [one for one in known if process.running(one)]
        self._watch_exits()
        if living and record.get("sessions") != living:
            self._note(sessions=living)
        if living or not known:
            self._mourning = None
            return None
        grace = float(self.root.number("session_grace_seconds"))
        if self._mourning is None:
            self._mourning = self.clock.monotonic()
            self.host.log(f"the coding session has ended; its tasks go back in {grace:.0f} s unless another one comes")
        left = self._mourning + grace - self.clock.monotonic()
        if left > 0:
            return left
        self._give_back()
        self._note(sessions=[], session=None)
        self._mourning = None
        return None

    def _note(self, **facts: object) -> None:
        with held(f"{self.outbox.root}/call.lock", wait=5.0):
            self.peer.membership.update(**facts)

    def _give_back(self) -> None:
        with held(f"{self.outbox.root}/call.lock", wait=5.0):
            for ticket in self.peer.worker.held():
                try:
                    self.peer.worker.release(ticket.task, "its coding session ended")
                    self.host.log(f"gave task {ticket.task} back: its coding session ended")
                except LostError as error:
                    self.host.log(error.message)

    # -- ending ----------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """End: lay the leadership down; when asked, give every claim back and leave."""
        if self.duties is not None:
            self.duties.end()
        self.changes.close()
        if self.ending == REPLACED:
            self.host.log("stopped")
            return
        self._shielded("closing the door", self.outbox.close)
        if self.ending == RENEW:
            self.host.log("starting again")
            return
        self._shielded("laying the leadership down", self.leadership.give)
        if self.ending == GIVE_BACK:
            self._shielded("leaving", self.peer.leave)
        elif self.ending != VANISH:
            note = {"agent": None, "stopped_at": self.clock.now()}
            self._shielded("noting the stop", lambda: self.peer.membership.update(**note))
        self.host.log("stopped")


def _path(files: Files) -> str:
    """Give the absolute path of a real directory; empty for one that only exists in memory."""
    return str(getattr(files.disk, "root", ""))
