"""The coding sessions of one worktree: which of them run, what the last one held, and since when it is silent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from peercoord.errors import LostError, PeercoordError
from peercoord.membership import liveness
from peercoord.store import ids, session_records
from peercoord.system import clock, process
from peercoord.system.sessions import ENDED, LIMITED

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.foreign import Json
    from peercoord.queue.peer import Peer
    from peercoord.store.beneath import InstanceFiles
    from peercoord.store.paths import Ticket

RESET_SECONDS = 2.0  # after a reset, which providers round
RETYPE_SECONDS = 30.0  # until it is tried again to type into a window that did not take it
GO_ON = "The rate limit has reset. This shows how the work stands: ./.claude-instance/coordinate.sh check-status"
LOCK_SECONDS = 5.0  # the longest wait for a running call of the worktree


class SessionWatch:
    """Keeps count of the coding sessions of a worktree, for its agent."""

    def __init__(
        self,
        instance: InstanceFiles,
        log: Callable[[str], None],
        signs_of_work: Callable[[], object],
        work_left: Callable[[Ticket], Json],
        type_into: Callable[[str], bool],
    ) -> None:
        self.instance, self.log, self.signs_of_work, self.work_left = instance, log, signs_of_work, work_left
        self.type_into = type_into
        self._typed = ""  # the reset for which the session was told to go on
        self.living: list[Json] = []  # the sessions that ran at the last look
        self.ended: tuple[float, str] | None = None  # when the last one ended, on both clocks; ``None`` while one runs
        self._signs: tuple[object, float, str] | None = None  # of work; unchanged since when, on both clocks

    def joined(self, peer: Peer) -> None:
        """Act as this peer from now on."""
        self.peer, self.root, self.clock = peer, peer.root, peer.root.clock

    def check(self, watch_exits: Callable[[], object]) -> float | None:
        """Note which sessions run; after the last one, wait, then give its claims back. Return when to look again."""
        record = self.peer.membership.record()
        known = liveness.sessions(record)
        living = self.living = [one for one in known if process.running(one)]
        watch_exits()
        news = living and record.get("sessions") != living
        if news and not self._note_if_unchanged(known, lambda: {"sessions": living}):
            return 0.0
        if living or not known:
            self.ended = None
            waits = [self._check_silence(record, living), self._check_limit(living)]
            return min((seconds for seconds in waits if seconds is not None), default=None)
        said = session_records.read(self.root.files, self.peer.name)
        told = said.get("state") == ENDED and session_records.is_of(said, known[-1])  # its hooks said that it ends
        grace = 0.0 if told else float(self.root.number("session_grace_seconds"))
        if self.ended is None:
            self.ended = self.clock.monotonic(), self.clock.now()
            self.log(f"the coding session has ended; its tasks go back in {grace:.0f} s unless another one comes")
        left = self.ended[0] + grace - self.clock.monotonic()
        return left if left > 0 else self._replace_or_end(known, self.ended[1])

    def _replace_or_end(self, known: list[Json], at: str) -> float | None:
        successors = process.coding_agents_in(os.path.dirname(self.instance.place))
        if successors:
            if self._note_if_unchanged(known, lambda: {"session": successors[-1], "sessions": successors}):
                self.log(f"{successors[-1]['program']} was started again here: the tasks stay")
                self.ended = None
            return 0.0
        last: Json = {key: known[-1][key] for key in ("pid", "start", "program") if key in known[-1]}

        def end() -> Json:
            facts = {"at": at, "program": "", **last, "gave_back": self._give_back()}
            return {"sessions": [], "session": None, "session_ended": facts}

        if not self._note_if_unchanged(known, end):
            return 0.0
        self.ended = None
        return None

    # -- notes and claims ------------------------------------------------------------------------------------

    def note(self, **facts: object) -> None:
        """Write facts into the peer's record while no call of the worktree runs."""
        with self.instance.held("call.lock", wait=LOCK_SECONDS):
            self.peer.membership.update(**facts)

    def _note_if_unchanged(self, known: list[Json], facts: Callable[[], Json]) -> bool:
        """Note what ``facts`` returns while no call runs; ``False`` if a call has changed the sessions meanwhile."""
        with self.instance.held("call.lock", wait=LOCK_SECONDS):
            if liveness.sessions(self.peer.membership.record()) != known:
                return False
            self.peer.membership.update(**facts())
        return True

    def _give_back(self) -> list[int | str]:
        """Release what the ended sessions held; return the tasks. Claims of an unknown caller stay."""
        found, worker = [], self.peer.worker
        for ticket in [held for held in worker.held() if not worker.assignments.of_unknown_caller(held)]:
            facts: Json = {}
            try:
                facts = self.work_left(ticket)
            except PeercoordError as error:
                self.log(f"what was not committed of task {ticket.task} is not kept: {error.message}")
            if self.release(ticket, "its coding session ended", facts):
                found.append(ids.public(ticket.task))
        return found

    def release(self, ticket: Ticket, why: str, facts: Json | None = None) -> bool:
        """Give one task back; ``False`` if the peer does not hold it any more."""
        try:
            self.peer.worker.release(ticket.task, why, facts)
        except LostError as error:
            self.log(error.message)
            return False
        self.log(f"gave task {ticket.task} back: {why}")
        return True

    # -- silence ---------------------------------------------------------------------------------------------

    def _check_silence(self, record: Json, living: list[Json]) -> float | None:
        """Record since when the worktree is silent, for people; return when to look again.

        It costs no task. A coding session that runs may be silent for ``silent_minutes``. An unknown caller that
        holds a task has no process to watch, so it is doubted after the time in which a peer's heartbeat would be
        missed.
        """
        limit = 60.0 * self.root.number("silent_minutes")
        if not living and not limit:
            limit = self.ttl()
        now, signs = self.clock.monotonic(), (record.get("last_call"), self.signs_of_work())
        if self._signs is None or self._signs[0] != signs:
            since = str((record.get("last_call") or {}).get("at") or self.clock.now())
            first = self._signs is None
            self._signs = signs, now, since if first else self.clock.now()
            if record.get("silent_since") and not first:
                self.note(silent_since=None)
        _, heard, since = self._signs
        if not limit or record.get("silent_since") or not (living or self.peer.worker.held()):
            return None
        left = heard + limit - now
        if left > 0:
            return left
        self.note(silent_since=since)
        self.log(f"nothing was heard since {since} of who works here")
        return None

    def _check_limit(self, living: list[Json]) -> float | None:
        """Type into the window of a session whose limit has reset, once, if no hook can wake it.

        It is idle then: its last word was that it ran into the limit. Typing into a dialog could accept it. Return the
        seconds until the reset; ``None`` if there is nothing to wait for.
        """
        said = session_records.read(self.root.files, self.peer.name)
        until = str(said.get("until") or "")
        here = any(session_records.is_of(said, one) for one in living)
        if said.get("state") != LIMITED or said.get("waiter") is not False or not here or until in ("", self._typed):
            return None
        left = clock.seconds(until) + RESET_SECONDS - clock.seconds(self.clock.now())
        if 0 < left <= session_records.LONGEST_SECONDS + RESET_SECONDS:
            return left
        if not self.type_into(GO_ON):
            return RETYPE_SECONDS  # a dialog may be open
        self._typed = until
        self.log("the rate limit of the session has reset: typed into its window that it may go on")
        return None

    def ttl(self) -> float:
        """Return the seconds after which a peer without a heartbeat is doubted."""
        return float(self.root.number("heartbeat_seconds") * self.root.number("ttl_heartbeats"))
