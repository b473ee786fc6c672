"""Watching the other peers: judge each by its processes and its heartbeat, evict the dead, take over the leadership.

No peer is evicted without proof (see ``membership.liveness``). Each peer watches two neighbours and the leader, however
large the team. An agent that is gone while its coding session runs loses its leadership but no task: it is started
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from peercoord.foreign import whole
from peercoord.membership import liveness
from peercoord.membership import membership as members
from peercoord.membership.liveness import ALIVE, DEAD, SUSPECT, Silence, Stillness, Verdict
from peercoord.store import paths
from peercoord.system import process
from peercoord.system.disk import filesystem_type, is_local

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.foreign import Json
    from peercoord.membership.leadership import Leadership
    from peercoord.membership.membership import Membership
    from peercoord.queue.recovery import Janitor
    from peercoord.store.paths import Incarnation

SAID_MOST = 86_400  # seconds between heartbeats; a peer's record that says more is not believed
REVIVE_SECONDS = 20.0  # between two attempts to start the same agent again
LEADER_SILENT = 3  # times ``state_seconds`` without a new view: the holder of the leader ticket does not lead


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at a peer showed."""

    who: Incarnation  # the peer's incarnation
    record: Json | None  # its ``peer.json``; ``None`` if it cannot be read
    entries: list[str]  # the names in its directory
    silence: Silence  # what its heartbeat was seen to do until now
    verdict: Verdict  # the verdict on it
    gone: bool  # its processes are proven gone; otherwise a verdict of death rests on its silence

    @property
    def term(self) -> int | None:
        """The term under which the peer leads, if it has the leader ticket."""
        return max(paths.terms(self.entries), default=None)


class Observer:
    """Watches the other peers on behalf of one; ``revive`` starts the agent of a worktree, without waiting for it."""

    def __init__(
        self,
        membership: Membership,
        janitor: Janitor,
        leadership: Leadership,
        log: Callable[[str], None],
        revive: Callable[[str], object],
    ) -> None:
        self.membership = membership
        self.root = membership.root
        self.files = self.root.files
        self.me = membership.me
        self.janitor, self.leadership, self.log, self.revive = janitor, leadership, log, revive
        self.here = {**process.here(), "shared": _shared(self.root.files.disk)}
        self._lock = Lock()  # the leader's duties look as well, from their thread
        self._silences: dict[Incarnation, Silence] = {}
        self._views = Stillness()
        self._leader: Incarnation | None = None
        self._revived: dict[Incarnation, float] = {}

    # -- looking ---------------------------------------------------------------------------------------------

    def check_peers(self, everyone: bool = False) -> list[Json]:
        """Judge the watched peers, or everyone, and act; return the processes whose end should wake the observer."""
        seen = dict.fromkeys(members.living(self.root))
        if self.me not in seen:
            raise self.membership.evicted()
        with self._lock:
            for gone in self._silences.keys() - seen.keys():
                del self._silences[gone]
        chosen = [p for p in seen if p != self.me] if everyone else liveness.watched(self.me, list(seen), self._leader)
        ends: list[Json] = []
        for who in chosen:
            peer = self.observe(who)
            if peer.verdict.state == DEAD:
                self._evict(peer)
            else:
                ends += self._living(peer)
        self._lead(list(seen))
        return ends

    def observe(self, who: Incarnation) -> Observation:
        """Observe one peer: its processes and its heartbeat."""
        home = paths.peer_dir(who)
        entries = self.files.scan(home)
        record = members.read_record(self.root.files, home)
        interval = self._interval(record)
        with self._lock:
            silence = self._silences.setdefault(who, Silence())
            silence.look(self.root.clock.monotonic(), entries, interval)
        ttl = interval * self.root.number("ttl_heartbeats")
        activity = liveness.by_activity(silence, ttl, min(liveness.CHALLENGE_TIMEOUT_S, interval))
        pids = liveness.by_process(record, self.here, process.running, process.stopped)
        runs = self._session_runs(record)
        verdict = liveness.combined(record, pids, activity, runs)
        return Observation(who, record, entries, silence, verdict, pids.state == DEAD)

    def verdict(self, who: Incarnation) -> Verdict:
        """Return the verdict on one peer, for views."""
        if who == self.me:
            return Verdict(ALIVE, "this agent")
        return self.observe(who).verdict

    def _interval(self, record: Json | None) -> int:
        """Return the seconds between a peer's heartbeats: its own setting, if slower than the team's."""
        own = self.root.number("heartbeat_seconds")
        said = whole((record or {}).get("heartbeat_seconds"))
        return max(own, said) if said is not None and 0 < said < SAID_MOST else own

    def _session_runs(self, record: Json | None) -> bool:
        if record is None or liveness.elsewhere(record, self.here) is not None:
            return False
        return any(process.running(one) for one in liveness.sessions(record))

    def reset_observations(self) -> None:
        """Forget every silence: the observer's own heartbeat failed, so the silence of others proves nothing."""
        with self._lock:
            for silence in self._silences.values():
                silence.forget()
        self._views.forget()

    # -- acting ----------------------------------------------------------------------------------------------

    def _evict(self, peer: Observation) -> None:
        if not peer.gone and not self._withdraw_challenge(peer):
            return
        if self.janitor.evict(peer.who, self.me, peer.verdict.because):
            self.log(f"evicted {peer.who}: {peer.verdict.because}")

    def _withdraw_challenge(self, peer: Observation) -> bool:
        """Withdraw a challenge, by any observer; if that succeeds, the challenge was not answered."""
        home, silence = paths.peer_dir(peer.who), peer.silence
        if silence.number is not None and silence.challenger is not None:
            standing = paths.beat(home, silence.number, silence.challenger)
            if self.files.move(standing, paths.beat(home, silence.number)):
                return True
        with self._lock:
            silence.forget()
        return False

    def _living(self, peer: Observation) -> list[Json]:
        silence = peer.silence
        if peer.verdict.state == SUSPECT and silence.still.proven(0) and self._doubted(peer, silence):
            self._challenge(peer.who, silence)
        if peer.record is None or liveness.elsewhere(peer.record, self.here) is not None:
            return []
        agent = liveness.agent_of(peer.record)
        sessions = [one for one in liveness.sessions(peer.record) if process.running(one)]
        if agent and not process.running(agent):
            if peer.term is not None and self.leadership.take_from(peer.who, f"the agent of {peer.who} is gone"):
                self.log(f"leading: the agent of {peer.who} is gone")
            self._restart(peer, bool(sessions))
            return sessions
        return [*([agent] if agent else []), *sessions]

    def _doubted(self, peer: Observation, silence: Silence) -> bool:
        """Check whether to challenge a suspect: silent for long, and no coding session of it seen running."""
        ttl = self._interval(peer.record) * self.root.number("ttl_heartbeats")
        return silence.still.proven(ttl) and not self._session_runs(peer.record)

    def _challenge(self, who: Incarnation, silence: Silence) -> None:
        home, number = paths.peer_dir(who), silence.number
        if number is None or silence.challenger is not None:
            return
        if self.files.move(paths.beat(home, number), paths.beat(home, number, self.me)):
            silence.challenger, silence.challenged_at = self.me, self.root.clock.monotonic()
            self.root.event(self.me.peer, "challenged", who=str(who), heartbeat=number)

    def _restart(self, peer: Observation, session_runs: bool) -> None:
        now = self.root.clock.monotonic()
        worktree = (peer.record or {}).get("worktree")
        due = now - self._revived.get(peer.who, float("-inf")) >= REVIVE_SECONDS
        if session_runs and due and isinstance(worktree, str) and not (peer.record or {}).get("stopped_at"):
            self._revived[peer.who] = now
            self.log(f"starting the agent of {peer.who} again: it is gone, its coding session runs")
            self.revive(worktree)

    # -- leading ---------------------------------------------------------------------------------------------

    def _lead(self, peers: list[Incarnation]) -> None:
        """Take the leader ticket if it is free, or if its holder publishes nothing."""
        if self.leadership.term() is not None:
            self._leader = self.me
            return
        if self.leadership.take() is not None:
            self._leader = self.me
            self.log("leading")
            return
        holder = self._find_leader(peers)
        if holder is None:
            return
        mark = self.files.stat(paths.STATE)
        seconds = self.root.number("state_seconds")
        value = (holder, mark and (mark.modified_ns, mark.size))
        self._views.look(self.root.clock.monotonic(), value, LEADER_SILENT * seconds)
        if self._views.proven(LEADER_SILENT * seconds):
            because = f"{holder} has published nothing for {self._views.seconds():.0f} s"
            if self.leadership.take_from(holder, because) is not None:
                self._leader = self.me
                self.log(f"leading: {because}")

    def _find_leader(self, peers: list[Incarnation]) -> Incarnation | None:
        """Find the holder of the leader ticket; most often it is the last one known."""
        ordered = [self._leader] if self._leader and self._leader in peers else []
        for who in dict.fromkeys([*ordered, *peers]):
            if who != self.me and any(n.startswith("leader~") for n in self.files.scan(paths.peer_dir(who))):
                self._leader = who
                return who
        self._leader = None
        return None


def _shared(disk: object) -> bool:
    """Check whether the coordination directory may be reached from other machines."""
    path = getattr(disk, "root", "")
    return bool(path) and not is_local(filesystem_type(path))
