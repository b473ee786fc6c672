"""Watching the others: a verdict on each from its processes and its heartbeat, eviction of the dead.

Promises: nobody is evicted without proof (see ``core.liveness``); a process that ends on this machine is noticed by the
kernel; watching costs each peer two neighbours and the leader, however large the team. An agent that is gone while its
coding session runs costs no task: it is started again, and only its leadership is taken.
"""

from __future__ import annotations

from threading import Lock

from peercoord.core import liveness, names
from peercoord.core.liveness import ALIVE, DEAD, SUSPECT, Silence, Stillness, Verdict
from peercoord.fs import mount, process
from peercoord.roles import membership as members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.core.names import Incarnation
    from peercoord.core.records import Json
    from peercoord.roles.janitor import Janitor
    from peercoord.roles.leader import Leadership
    from peercoord.roles.membership import Membership

REVIVE_SECONDS = 20.0  # between two attempts to start the same agent again
LEADER_SILENT = 3  # times ``state_seconds`` without a new view: whoever has the ticket does not lead


class Sight:
    """What one look at a peer showed.

    Attributes:
        who: Which incarnation.
        record: Its ``peer.json``; ``None`` if it cannot be read.
        entries: What its directory holds.
        silence: What its heartbeat was seen to do until now.
        verdict: What it is judged to be.
        gone: Its processes are proven gone; otherwise a verdict of death rests on its silence.
    """

    __slots__ = ("entries", "gone", "record", "silence", "verdict", "who")

    def __init__(
        self,
        who: Incarnation,
        record: Json | None,
        entries: list[str],
        silence: Silence,
        verdict: Verdict,
        gone: bool,
    ) -> None:
        self.who, self.record, self.entries, self.silence = who, record, entries, silence
        self.verdict, self.gone = verdict, gone

    @property
    def term(self) -> int | None:
        """The term under which it leads, if it has the ticket."""
        return max((t for t in map(names.parse_leader, self.entries) if t is not None), default=None)


class Observer:
    """One incarnation's eyes on the others.

    Args:
        membership: The observer's place in the team.
        janitor: Evicts.
        leadership: Takes the leadership.
        log: Writes a line for people.
        revive: Starts the agent of a worktree again, without waiting for it.
    """

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

    def look(self, everyone: bool = False) -> list[Json]:
        """Judge the peers that are this one's to watch, and act on it.

        Args:
            everyone: Judge all of them: on arriving, and now and then by the leader.

        Returns:
            The processes whose end should wake this peer.
        """
        seen = dict.fromkeys(members.living(self.root))
        if self.me not in seen:
            raise self.membership.evicted()
        with self._lock:
            for gone in self._silences.keys() - seen.keys():
                del self._silences[gone]
        chosen = [p for p in seen if p != self.me] if everyone else liveness.watched(self.me, list(seen), self._leader)
        ends: list[Json] = []
        for who in chosen:
            sight = self.sight(who)
            if sight.verdict.state == DEAD:
                self._evict(sight)
            else:
                ends += self._living(sight)
        self._lead(list(seen))
        return ends

    def sight(self, who: Incarnation) -> Sight:
        """Look at one peer: its processes now, and its heartbeat once more."""
        home = names.peer_dir(who)
        entries = self.files.scan(home)
        record = members.read_record(self.root, home)
        interval = self._interval(record)
        with self._lock:
            silence = self._silences.setdefault(who, Silence())
            silence.look(self.root.clock.monotonic(), entries, interval)
        ttl = interval * self.root.number("ttl_heartbeats")
        activity = liveness.by_activity(silence, ttl, min(liveness.PATIENCE, interval))
        pids = liveness.by_process(record, self.here, process.running, process.stopped)
        runs = self._session_runs(record)
        verdict = liveness.combined(record, pids, activity, runs)
        return Sight(who, record, entries, silence, verdict, pids.state == DEAD)

    def verdict(self, who: Incarnation) -> Verdict:
        """Give the verdict on one peer, for views."""
        if who == self.me:
            return Verdict(ALIVE, "this agent")
        return self.sight(who).verdict

    def _interval(self, record: Json | None) -> int:
        """Seconds between a peer's heartbeats: what it says itself, if it is slower than the rule here."""
        own = self.root.number("heartbeat_seconds")
        said = (record or {}).get("heartbeat_seconds")
        return max(own, said) if isinstance(said, int) and 0 < said < 86400 else own

    def _session_runs(self, record: Json | None) -> bool:
        if record is None or liveness.elsewhere(record, self.here) is not None:
            return False
        return any(process.running(one) for one in liveness.sessions(record))

    def blind(self) -> None:
        """Forget every silence: this peer's own heartbeat failed, so what it saw of others proves nothing."""
        with self._lock:
            for silence in self._silences.values():
                silence.forget()
        self._views.forget()

    # -- acting ----------------------------------------------------------------------------------------------

    def _evict(self, sight: Sight) -> None:
        if not sight.gone and not self._settle(sight):
            return
        if self.janitor.evict(sight.who, self.me, sight.verdict.because):
            self.log(f"evicted {sight.who}: {sight.verdict.because}")

    def _settle(self, sight: Sight) -> bool:
        """Take a challenge back, whoever's it is: if that can be done, it was not answered until now."""
        home, silence = names.peer_dir(sight.who), sight.silence
        if silence.number is not None and silence.challenger is not None:
            standing = names.beat(home, silence.number, silence.challenger)
            if self.files.move(standing, names.beat(home, silence.number)):
                return True
        with self._lock:
            silence.forget()
        return False

    def _living(self, sight: Sight) -> list[Json]:
        silence = sight.silence
        if sight.verdict.state == SUSPECT and silence.still.proven(0) and self._doubted(sight, silence):
            self._challenge(sight.who, silence)
        if sight.record is None or liveness.elsewhere(sight.record, self.here) is not None:
            return []
        agent = liveness.agent_of(sight.record)
        sessions = [one for one in liveness.sessions(sight.record) if process.running(one)]
        if agent and not process.running(agent):
            if sight.term is not None and self.leadership.take_from(sight.who, f"the agent of {sight.who} is gone"):
                self.log(f"leading: the agent of {sight.who} is gone")
            self._restart(sight, bool(sessions))
            return sessions
        return [*([agent] if agent else []), *sessions]

    def _doubted(self, sight: Sight, silence: Silence) -> bool:
        """Tell whether a suspect is to be challenged: silent for long, and no session of it seen running."""
        ttl = self._interval(sight.record) * self.root.number("ttl_heartbeats")
        return silence.still.proven(ttl) and not self._session_runs(sight.record)

    def _challenge(self, who: Incarnation, silence: Silence) -> None:
        home, number = names.peer_dir(who), silence.number
        if number is None or silence.challenger is not None:
            return
        if self.files.move(names.beat(home, number), names.beat(home, number, self.me)):
            silence.challenger, silence.challenged_at = self.me, self.root.clock.monotonic()
            self.root.event(self.me.peer, "challenged", who=str(who), heartbeat=number)

    def _restart(self, sight: Sight, session_runs: bool) -> None:
        now = self.root.clock.monotonic()
        worktree = (sight.record or {}).get("worktree")
        due = now - self._revived.get(sight.who, float("-inf")) >= REVIVE_SECONDS
        if session_runs and due and isinstance(worktree, str) and not (sight.record or {}).get("stopped_at"):
            self._revived[sight.who] = now
            self.log(f"starting the agent of {sight.who} again: it is gone, its coding session runs")
            self.revive(worktree)

    # -- leading ---------------------------------------------------------------------------------------------

    def _lead(self, peers: list[Incarnation]) -> None:
        """Take the leadership where it lies free, or where whoever has it does not lead."""
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
        mark = self.files.stat(names.STATE)
        seconds = self.root.number("state_seconds")
        value = (holder, mark and (mark.modified_ns, mark.size))
        self._views.look(self.root.clock.monotonic(), value, LEADER_SILENT * seconds)
        if self._views.proven(LEADER_SILENT * seconds):
            because = f"{holder} has published nothing for {self._views.seconds():.0f} s"
            if self.leadership.take_from(holder, because) is not None:
                self._leader = self.me
                self.log(f"leading: {because}")

    def _find_leader(self, peers: list[Incarnation]) -> Incarnation | None:
        """Find who has the ticket: most often who had it last."""
        ordered = [self._leader] if self._leader and self._leader in peers else []
        for who in dict.fromkeys([*ordered, *peers]):
            if who != self.me and any(n.startswith("leader~") for n in self.files.scan(names.peer_dir(who))):
                self._leader = who
                return who
        self._leader = None
        return None


def _shared(disk: object) -> bool:
    """Tell whether the coordination directory may be reached from other machines."""
    path = getattr(disk, "root", "")
    return bool(path) and not mount.local(mount.kind(path))
