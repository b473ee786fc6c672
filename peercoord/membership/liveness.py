"""Judge which peers are dead; every verdict has its ``because``.

Both errors are costly: a dead peer that is kept holds its work for ever, and a living peer that is evicted loses its
work. So two independent signals are judged, *process* and *activity*, and "dead" needs proof:

- a process known to be gone, on this kernel boot and in this pid and time namespace; or this machine restarted;
- or a silence that was *observed*: the heartbeat's number did not change over several looks on the observer's own
  monotonic clock, while the observer itself was able to write. Timestamps of others never count. (Otherwise a stalled
  file server, or the observer's own sleep, would look like every peer's death.) Even then the heartbeat is challenged
  first, and only an unanswered challenge counts.

A coding session seen running on this machine is never dead, however silent it is. This module is pure: callers look.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from peercoord.store import paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from peercoord.foreign import Json
    from peercoord.store.paths import Incarnation

ALIVE, SUSPECT, DEAD, UNKNOWN = "alive", "suspect", "dead", "unknown"
MIN_LISTINGS = 3  # successful listings that a silence must span
CHALLENGE_TIMEOUT_S = 75.0  # seconds before a challenge counts, or one heartbeat interval if that is shorter
GAP = 1.5  # heartbeat intervals allowed between two looks; after more, the observer itself was away
NEIGHBOURS = 2  # peers that each peer watches in ring order, in addition to the leader


class Verdict(NamedTuple):
    """The judgement on a peer: ``alive``, ``suspect``, ``dead`` or ``unknown``, and why."""

    state: str
    because: str


# -- the process -------------------------------------------------------------------------------------------------


def sessions(record: Json) -> list[Json]:
    """The coding sessions that a record names: processes other than its agent."""
    listed = record.get("sessions")
    found = [record.get("session"), *(listed if isinstance(listed, list) else [])]
    unique = {(one.get("pid"), one.get("start")): one for one in found if isinstance(one, dict)}
    agent = agent_of(record)
    return [one for key, one in unique.items() if agent is None or key != (agent.get("pid"), agent.get("start"))]


def known_sessions(record: Json) -> list[Json]:
    """The sessions of a record that are coding agents. Version 0.1.0 recorded unknown callers too."""
    return [one for one in sessions(record) if one.get("program")]


def agent_of(record: Json) -> Json | None:
    """The background process that a record names; ``None`` if it names none."""
    agent = record.get("agent")
    return agent if isinstance(agent, dict) else None


def elsewhere(record: Json | None, here: Json) -> Verdict | None:
    """Why the processes that a record names cannot be looked up from here; ``None`` if they can.

    Args:
        record: A ``peer.json``; ``None`` if it cannot be read.
        here: Where the judge runs: ``host``, ``boot_id``, ``pid_ns``, and where known ``machine``, ``time_ns`` and
            ``shared`` (the coordination directory may be reached from other machines).
    """
    if record is None:
        return Verdict(UNKNOWN, "its record cannot be read")
    if not same_host(record, here):
        return Verdict(UNKNOWN, f"it runs on another host, {record.get('host')}")
    if record.get("boot_id") == here["boot_id"]:
        if any(record.get(key, "") != here.get(key, "") for key in ("pid_ns", "time_ns")):
            return Verdict(UNKNOWN, "it runs in another container of this host")
        return None
    if not (record.get("boot_id") and here["boot_id"]):
        return Verdict(UNKNOWN, "nothing says whether its host was restarted since")
    if here.get("shared"):  # two machines made from one image have one identity, and could both come here
        return Verdict(UNKNOWN, "its host was restarted since, or is another one made from the same image")
    return Verdict(DEAD, "its host was restarted since")


def in_sight(record: Json | None, here: Json) -> bool:
    """Check whether the processes and paths that a record names can be looked up from here, also after a restart."""
    apart = elsewhere(record, here)
    return apart is None or apart.state == DEAD


def same_host(record: Json, here: Json) -> bool:
    """Check whether a record was written on this machine: by its identity and boot, not by its name.

    The name can change while the machine runs. It is asked only where neither side has an identity.
    """
    theirs, ours = record.get("machine") or "", here.get("machine") or ""
    if here["boot_id"] and record.get("boot_id") == here["boot_id"]:
        return theirs == ours or not (theirs and ours)
    return bool(theirs == ours) if theirs or ours else record.get("host") == here.get("host")


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
        running: Whether a process of this machine, ``{"pid", "start"}``, still runs under that start.
        stopped: Whether a running process is stopped by a signal.

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


@dataclass(slots=True)
class Stillness:
    """How long a value has not changed, on the observer's own monotonic clock."""

    value: object = None  # what was seen last
    looks: int = 0  # successful looks since it last changed, including the first
    since: float = float("-inf")  # time of the first of them, seconds
    last: float = float("-inf")  # time of the last look, seconds

    def forget(self) -> None:
        """Start again: what was seen until now proves nothing."""
        self.since = self.last = float("-inf")
        self.looks = 0

    def look(self, now: float, value: object, gap: float) -> bool:
        """Record one successful look.

        Args:
            now: The observer's monotonic clock, seconds.
            value: What was seen.
            gap: Seconds allowed between two looks; after more, the observer itself was away.

        Returns:
            Whether the value is still the same; ``False`` if the count starts with this look.
        """
        goes_on = self.looks > 0 and value == self.value and now - self.last <= gap
        if not goes_on:
            self.since, self.looks = now, 0
        self.value, self.last = value, now
        self.looks += 1
        return goes_on

    def seconds(self) -> float:
        """The seconds over which no change was seen."""
        return self.last - self.since if self.looks else 0.0

    def proven(self, seconds: float) -> bool:
        """Check whether nothing changed for that long, over enough looks."""
        return self.looks >= MIN_LISTINGS and self.seconds() >= seconds


@dataclass(slots=True)
class Silence:
    """The observed heartbeat of one peer, and who challenged it since when, on the observer's own clock."""

    still: Stillness = field(default_factory=Stillness)
    number: int | None = None
    challenger: Incarnation | None = None
    challenged_at: float | None = None

    def forget(self) -> None:
        """Start again."""
        self.still.forget()
        self.challenged_at = None

    def look(self, now: float, entries: Iterable[str], interval: float) -> None:
        """Record one successful listing of the peer's directory.

        Args:
            now: The observer's monotonic clock, seconds.
            entries: The names listed. Without a heartbeat among them the number counts as unchanged.
            interval: Seconds between two heartbeats of that peer.
        """
        beats = [beat for beat in map(paths.parse_beat, entries) if beat]
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
        ttl: Seconds of silence after which it is suspect.
        patience: Seconds in which it must answer a challenge.

    Returns:
        ``alive`` if it moved within ``ttl``, or was not watched that long; ``suspect`` if it did not and has to be
        challenged; ``dead`` if a challenge by any peer is unanswered. (Two observers that each believed only their own
        would take the challenge from each other for ever.)
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
    """Combine what ``by_process`` and ``by_activity`` say into one verdict."""
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
    """The peers that a peer watches: the leader and its next neighbours in ring order.

    The cost of watching grows with the number of peers, not its square, and any one watcher may fail.
    """
    ring = sorted({*peers, me})
    at = ring.index(me)
    following = [*ring[at + 1 :], *ring[:at]]
    chosen = following[:NEIGHBOURS]
    if leader is not None and leader != me and leader in following and leader not in chosen:
        chosen.append(leader)
    return chosen
