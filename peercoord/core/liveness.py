"""Who is dead: a verdict from what was seen, always with its ``because``.

Wrong either way has been the commonest failure of such tools: dead peers that hold their work for ever, and living
ones that lose it because a single field looked stale. So two independent signals are judged, *process* and
*activity*, and "dead" needs proof:

- a process known to be gone, on this very kernel boot and in this pid and time namespace; or this machine restarted;
- or a silence that was *observed*: the heartbeat's number stood still through several looks on the observer's own
  monotonic clock, never inferred from anybody's timestamps, and only while the observer itself was able to write
  (else a file server that stalled, or one's own sleep, would look like everybody's death). Even then the heartbeat is
  challenged first, and only a challenge left standing counts.

A coding session seen running on this machine is never dead, however silent it is. Nothing in this module looks; it
is told.
"""

from __future__ import annotations

from peercoord.core import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from peercoord.core.names import Incarnation
    from peercoord.core.records import Json

ALIVE, SUSPECT, DEAD, UNKNOWN = "alive", "suspect", "dead", "unknown"
LEAST_LOOKS = 3  # successful listings that a silence must span
PATIENCE = 75.0  # seconds that a challenge stands before it counts, or one heartbeat interval if that is shorter
GAP = 1.5  # heartbeat intervals that may lie between two looks; more, and the observer itself was away
NEIGHBOURS = 2  # each peer watches so many in ring order, and the leader


class Verdict:
    """What a peer is judged to be: ``alive``, ``suspect``, ``dead`` or ``unknown``, and why."""

    __slots__ = ("because", "state")

    def __init__(self, state: str, because: str) -> None:
        self.state, self.because = state, because

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verdict) and (self.state, self.because) == (other.state, other.because)

    def __hash__(self) -> int:
        return hash((self.state, self.because))

    def __repr__(self) -> str:
        return f"Verdict({self.state!r}, {self.because!r})"


# -- the process -------------------------------------------------------------------------------------------------


def sessions(record: Json) -> list[Json]:
    """Give the coding sessions that a record names: processes other than its agent."""
    listed = record.get("sessions")
    found = [record.get("session"), *(listed if isinstance(listed, list) else [])]
    unique = {(one.get("pid"), one.get("start")): one for one in found if isinstance(one, dict)}
    agent = agent_of(record)
    return [one for key, one in unique.items() if agent is None or key != (agent.get("pid"), agent.get("start"))]


def agent_of(record: Json) -> Json | None:
    """Give the background process that a record names, if it names one."""
    agent = record.get("agent")
    return agent if isinstance(agent, dict) else None


def elsewhere(record: Json | None, here: Json) -> Verdict | None:
    """Say why the processes that a record names cannot be looked up from here; ``None`` if they can.

    Args:
        record: A ``peer.json``; ``None`` if it cannot be read.
        here: Where the judge runs: ``host``, ``boot_id``, ``pid_ns``, and where known ``machine``, ``time_ns`` and
            ``shared`` (the coordination directory may be reached from other machines).
    """
    if record is None:
        return Verdict(UNKNOWN, "its record cannot be read")
    if record.get("boot_id") == here["boot_id"]:
        for key in ("pid_ns", "time_ns"):
            if record.get(key, "") != here.get(key, ""):
                return Verdict(UNKNOWN, "it runs in another container of this host")
        return None
    if any(record.get(key, "") != here.get(key, "") for key in ("host", "machine")):
        return Verdict(UNKNOWN, f"it runs on another host, {record.get('host')}")
    if here.get("shared"):  # two machines made from one image share their names, and could both come here
        return Verdict(UNKNOWN, "its host was restarted since, or is another one of that name")
    return Verdict(DEAD, "its host was restarted since")


def by_process(
    record: Json | None,
    here: Json,
    running: Callable[[Json], bool],
    stopped: Callable[[Json], bool] = lambda _: False,
) -> Verdict:
    """Judge a peer by the processes its record names.

    Args:
        record: Its ``peer.json``; ``None`` if that cannot be read.
        here: Where the judge runs, see ``elsewhere``.
        running: Tells whether a process of this machine, ``{"pid", "start"}``, still runs under that very start.
        stopped: Tells whether one that runs is stopped by a signal.

    Returns:
        ``dead`` if the machine was restarted since or every process named is gone; ``alive`` if one runs;
        ``suspect`` if what runs is stopped; ``unknown`` where pids cannot be compared (another host, another
        namespace, no readable record).
    """
    apart = elsewhere(record, here)
    if apart is not None or record is None:
        return apart or Verdict(UNKNOWN, "its record cannot be read")
    known = [("session", one) for one in sessions(record)]
    known += [("agent", agent) for agent in (agent_of(record),) if agent]
    if not known:
        return Verdict(UNKNOWN, "its record names no process")
    up = [(what, one) for what, one in known if running(one)]
    if not up:
        gone = " and ".join(f"its {what}, process {one.get('pid')}" for what, one in known)
        return Verdict(DEAD, f"{gone}, {'is' if len(known) == 1 else 'are'} gone")
    what, one = next(((w, p) for w, p in up if not stopped(p)), up[0])
    if stopped(one):
        return Verdict(SUSPECT, f"its {what}, process {one.get('pid')}, is stopped: kill -CONT {one.get('pid')}")
    return Verdict(ALIVE, f"its {what}, process {one.get('pid')}, runs")


# -- the activity ------------------------------------------------------------------------------------------------


class Stillness:
    """How long something has not changed before this observer's eyes, on the observer's own monotonic clock.

    Attributes:
        value: What was seen last.
        looks: Successful looks since it last changed, the first among them.
        last: When the last look was, seconds.
    """

    __slots__ = ("last", "looks", "since", "value")

    def __init__(self) -> None:
        self.value: object = None
        self.forget()

    def forget(self) -> None:
        """Begin anew: what was seen until now proves nothing."""
        self.since = self.last = float("-inf")
        self.looks = 0

    def look(self, now: float, value: object, gap: float) -> bool:
        """Take in one successful look.

        Args:
            now: The observer's monotonic clock, seconds.
            value: What was seen.
            gap: Seconds that may lie between two looks; more, and the observer itself was away.

        Returns:
            Whether the stillness goes on; ``False`` if it begins with this look.
        """
        goes_on = self.looks > 0 and value == self.value and now - self.last <= gap
        if not goes_on:
            self.since, self.looks = now, 0
        self.value, self.last = value, now
        self.looks += 1
        return goes_on

    def seconds(self) -> float:
        """Give the seconds over which nothing was seen to change."""
        return self.last - self.since if self.looks else 0.0

    def proven(self, seconds: float) -> bool:
        """Tell whether nothing changed for so long, over enough looks."""
        return self.looks >= LEAST_LOOKS and self.seconds() >= seconds


class Silence:
    """What one peer's heartbeat was seen to do.

    Attributes:
        still: How long its number has stood still.
        challenger: Who doubts it, as last seen.
        challenged_at: Since when that challenge stands, on the observer's own clock; ``None`` if none stands.
    """

    __slots__ = ("challenged_at", "challenger", "number", "still")

    def __init__(self) -> None:
        self.still = Stillness()
        self.number: int | None = None
        self.challenger: Incarnation | None = None
        self.challenged_at: float | None = None

    def forget(self) -> None:
        """Begin anew."""
        self.still.forget()
        self.challenged_at = None

    def look(self, now: float, entries: Iterable[str], interval: float) -> None:
        """Take in one successful listing of the peer's directory.

        Args:
            now: The observer's monotonic clock, seconds.
            entries: The names listed. None that is a heartbeat means: unchanged.
            interval: Seconds between two heartbeats of that peer.
        """
        beats = [beat for beat in map(names.parse_beat, entries) if beat]
        if beats:
            self.number, challenger = max(beats, key=lambda beat: beat[0])
            if challenger != self.challenger:
                self.challenger, self.challenged_at = challenger, now if challenger else None
        if not self.still.look(now, self.number, GAP * interval):
            self.challenged_at = now if self.challenger else None


def by_activity(silence: Silence, ttl: float, patience: float) -> Verdict:
    """Judge a peer by its heartbeat alone: another machine, another container, or an agent that hangs.

    Args:
        silence: What was seen of its heartbeat.
        ttl: Seconds of silence after which it is doubted.
        patience: Seconds that it has to take its next number from under a challenge.

    Returns:
        ``alive`` if it moved within ``ttl``, or was not watched for so long; ``suspect`` if it did not, and is to be
        challenged; ``dead`` if a challenge stands, whoever made it: two that each believed only their own would take it
        from each other for ever.
    """
    still = silence.still
    if not still.proven(ttl):
        return Verdict(ALIVE, "its heartbeat has not been seen silent for long")
    because = f"its heartbeat has stood still for {still.seconds():.0f} s"
    if silence.challenger is not None and silence.challenged_at is not None:
        waited = still.last - silence.challenged_at
        if waited >= patience and waited > 0:
            return Verdict(DEAD, f"{because}, and it did not answer a challenge")
    return Verdict(SUSPECT, because)


def combined(record: Json | None, process: Verdict, activity: Verdict, session_runs: bool) -> Verdict:
    """Give the verdict from both signals.

    Args:
        record: Its ``peer.json``; ``None`` if that cannot be read.
        process: What ``by_process`` says.
        activity: What ``by_activity`` says.
        session_runs: A coding session of it is seen running on this machine.
    """
    if process.state == DEAD:
        return process
    if session_runs:  # never dead for silence: it may wait for a person, a limit or a long build
        if process.state == ALIVE and activity.state in (SUSPECT, DEAD):
            return Verdict(SUSPECT, f"{process.because}, but {activity.because}")
        return process
    if process.state == UNKNOWN:
        return process if activity.state == ALIVE else Verdict(activity.state, f"{process.because}, {activity.because}")
    if activity.state == ALIVE:
        return process
    agent = agent_of(record or {}) or {}
    return Verdict(activity.state, f"its agent, process {agent.get('pid')}, hangs: {activity.because}")


# -- who watches whom --------------------------------------------------------------------------------------------


def watched(me: Incarnation, peers: Sequence[Incarnation], leader: Incarnation | None) -> list[Incarnation]:
    """Give whom a peer watches: the leader and its next neighbours in ring order.

    So watching costs the peers, not their square, and any one watcher may fail.

    Args:
        me: The watcher.
        peers: All peers now, in any order.
        leader: Who leads, if that was seen.
    """
    ring = sorted({*peers, me})
    at = ring.index(me)
    following = [*ring[at + 1 :], *ring[:at]]
    chosen = following[:NEIGHBOURS]
    if leader is not None and leader != me and leader in following and leader not in chosen:
        chosen.append(leader)
    return chosen
