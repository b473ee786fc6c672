"""Who is dead: a verdict from what was seen, always with its ``because``.

Wrong either way has been the commonest failure of such tools: dead peers that hold their work for ever, and living
ones that lose it because a single field looked stale. So two independent signals are judged, *process* and
*activity*, and "dead" needs proof: a process known to be gone on this very machine and boot and in this pid
namespace, or a silence that was observed, never inferred from anybody's clock.

Here is the judgement by process. Nothing in this module looks; it is told.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.core.records import Json

ALIVE, SUSPECT, DEAD, UNKNOWN = "alive", "suspect", "dead", "unknown"


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


def by_process(record: Json | None, here: Json, running: Callable[[Json], bool]) -> Verdict:
    """Judge a peer by the processes its record names.

    Args:
        record: Its ``peer.json``; ``None`` if that cannot be read.
        here: Where the judge runs: ``host``, ``boot_id``, ``pid_ns``.
        running: Tells whether a process of this machine, ``{"pid", "start"}``, still runs under that very start.

    Returns:
        ``dead`` if the machine was rebooted since or every process named is gone; ``alive`` if one runs;
        ``unknown`` where pids cannot be compared (another host, another pid namespace, no readable record).
    """
    if record is None:
        return Verdict(UNKNOWN, "its record cannot be read")
    if record.get("host") != here["host"]:
        return Verdict(UNKNOWN, f"it runs on another host, {record.get('host')}")
    if record.get("boot_id") != here["boot_id"]:
        return Verdict(DEAD, "its host was restarted since")
    if record.get("pid_ns") != here["pid_ns"]:
        return Verdict(UNKNOWN, "it runs in another container of this host")
    known = [(what, record[what]) for what in ("session", "agent") if isinstance(record.get(what), dict)]
    if not known:
        return Verdict(UNKNOWN, "its record names no process")
    for what, process in known:
        if running(process):
            return Verdict(ALIVE, f"its {what}, process {process.get('pid')}, runs")
    gone = " and ".join(f"its {what}, process {process.get('pid')}" for what, process in known)
    return Verdict(DEAD, f"{gone}, {'is' if len(known) == 1 else 'are'} gone")
