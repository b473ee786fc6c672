"""Being a peer: join, beat, leave, and notice an eviction.

A peer is a directory. It appears as a whole by one rename, and is evicted by one rename. An evicted peer, even one that
was stopped in the middle of anything, finds its paths gone. An incarnation is never used again, so nothing that an
earlier one did can touch a later one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.errors import DownError, EvictedError, StorageError, UsageError
from peercoord.membership import liveness
from peercoord.membership.liveness import DEAD
from peercoord.store import down, ids, paths, records
from peercoord.store.paths import Incarnation
from peercoord.system import process

if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.foreign import Json
    from peercoord.membership.liveness import Verdict
    from peercoord.store.files import Files
    from peercoord.store.root import Root

TRIES = 16  # of a rename that other peers may win


class Membership:
    """One incarnation's membership in the team."""

    def __init__(self, root: Root, me: Incarnation) -> None:
        self.root = root
        self.me = me
        self.home = paths.peer_dir(me)

    def present(self) -> bool:
        """Check by a listing whether this incarnation is still a peer; a stat may be half a minute old."""
        return str(self.me) in self.root.files.scan(paths.PEERS)

    def require(self) -> None:
        """Raise an error that says by whom, if this incarnation was evicted or has left."""
        if not self.present():
            raise self.evicted()

    def evicted(self) -> EvictedError:
        """The error that tells an evicted peer what happened."""
        by = next((by for who, by in departed(self.root) if who == self.me), None)
        cause = "has left" if by == self.me else f"was evicted by {by.peer}" if by else "is gone"
        return EvictedError(f"{self.me} {cause}", hint="rejoin: the next request-task does")

    def beat(self) -> int:
        """Rename the heartbeat to its next number, also from under a challenge; return the number."""
        files = self.root.files
        self.require()
        for _ in range(TRIES):
            names = [name for name in files.scan(self.home) if name.startswith("beat~")]
            beats = [b for b in map(paths.parse_beat, names) if b]
            if not beats:
                self.require()
                files.ticket(paths.beat(self.home, 0))
                continue
            seq, challenger = max(beats, key=lambda b: b[0])
            if files.move(paths.beat(self.home, seq, challenger), paths.beat(self.home, seq + 1)):
                return seq + 1
            self.require()
        raise StorageError(f"{self.home}: its heartbeat does not move", "look with: peercoord doctor")

    def record(self) -> Json:
        """Read this peer's own record; empty if it cannot be read."""
        return read_record(self.root.files, self.home) or {}

    def update(self, known: Json | None = None, /, **facts: object) -> None:
        """Write facts into this peer's own record, keeping the others, of which ``known`` were just read."""
        if known is None:
            self.require()
        known = known or self.record() or _about(self.me, self.root.clock.now())
        new = {**known, **facts}
        if new == known:
            return
        try:
            self.root.files.put(paths.peer_record(self.home), records.encode_stored(new))
        except StorageError:
            self.require()  # evicted in the middle of this, it should hear that instead
            raise


def read_record(files: Files, home: str) -> Json | None:
    """Read the record of the peer whose directory is ``home``; ``None`` if it cannot be read."""
    return files.record(paths.peer_record(home))  # a broken one stays: without it only the heartbeat counts


def record_of(root: Root, who: Incarnation) -> Json:
    """Read the record of a living peer; empty if it cannot be read."""
    return read_record(root.files, paths.peer_dir(who)) or {}


def living(root: Root) -> list[Incarnation]:
    """List the incarnations that are peers now, by name and number."""
    return sorted(filter(None, map(paths.parse_incarnation, root.files.scan(paths.PEERS))))


def departed(root: Root) -> list[tuple[Incarnation, Incarnation]]:
    """List who is no longer a peer, each with the incarnation that evicted it (itself, if it left)."""
    return sorted(filter(None, map(paths.parse_departed, root.files.scan(paths.DEPARTED))))


def judge(root: Root, who: Incarnation) -> Verdict:
    """Judge an incarnation by its processes, as seen from this one."""
    record = read_record(root.files, paths.peer_dir(who))
    return liveness.by_process(record, process.here(), process.running, process.stopped)


def join(
    root: Root,
    peer: str,
    record: Json,
    judge: Callable[[Incarnation], Verdict],
    evict: Callable[[Incarnation, Incarnation, str], object],
    least: int = 1,
) -> Membership:
    """Become a peer, as the next incarnation of a name.

    Args:
        root: The coordination directory.
        peer: The name.
        record: The content of ``peer.json``, besides the name and incarnation.
        judge: Judges an incarnation.
        evict: Evicts an incarnation: which, by which, why.
        least: The minimum number of the incarnation (what the worktree remembers).

    Raises:
        UsageError: The name is not an id, a living incarnation of it exists elsewhere, or it is new here and differs
            from another only in case.
        DownError: A person took the team down.
    """
    ids.check(peer, "peer name")
    down.require_up(root.files)
    # in this order: a peer that departs between the two listings is in both
    known = [*living(root), *(who for who, _ in departed(root))]
    if all(i.peer != peer for i in known):  # an older team may have two such names
        _refuse_case_twin(peer, known)
    number = max((i.number for i in known if i.peer == peer), default=0) + 1
    me = Incarnation(peer, max(number, least), root.files.token()[:6])
    for other in _others(root, me):
        verdict = judge(other)
        if verdict.state != DEAD:
            raise _taken(other, verdict.because)
        evict(other, me, verdict.because)
    _build(root, me, record)
    rivals = _others(root, me)
    if rivals:  # of two that join at once, the later one sees the other, and may have the lower number
        root.files.move(paths.peer_dir(me), paths.departed_dir(me, me))
        raise _taken(min(rivals), "it joined at the same moment")
    try:
        down.require_up(root.files)  # again: `down` may have listed the peers before this one was there
    except DownError:
        root.files.move(paths.peer_dir(me), paths.departed_dir(me, me))
        raise
    root.event(peer, "joined", incarnation=str(me))
    root.files.ring()
    return Membership(root, me)


def _others(root: Root, me: Incarnation) -> list[Incarnation]:
    return [i for i in living(root) if i.peer == me.peer and i != me]


def _refuse_case_twin(peer: str, known: list[Incarnation]) -> None:
    twin = next((i.peer for i in known if i.peer != peer and i.peer.lower() == peer.lower()), None)
    if twin:
        raise UsageError(
            f"peer name {peer} differs from {twin} only in case",
            hint="some filesystems cannot tell them apart: choose another name",
            code="case-twin",
        )


def _taken(other: Incarnation, because: str) -> UsageError:
    return UsageError(
        f"there is a peer {other.peer} already ({other}: {because})",
        hint="choose another name, or stop that one first; of a worktree that is gone: peercoord doctor --fix",
        code="name-taken",
    )


def _build(root: Root, me: Incarnation, record: Json) -> None:
    files = root.files
    staged = f"{paths.TMP}/{files.token()}"
    data = records.encode_stored({**_about(me, root.clock.now()), **record})
    files.ticket(paths.beat(staged, 0))
    files.make_dir(paths.claims_dir(staged))
    files.make_dir(paths.assignments_dir(staged))
    files.put(paths.peer_record(staged), data, durable=True)  # and with it the names of the others
    if not files.move(staged, paths.peer_dir(me), make_home=True):
        raise StorageError(f"{staged} was cleared away while {me} joined", hint="join again")


def _about(me: Incarnation, now: str) -> Json:
    """What every ``peer.json`` has."""
    return {"schema_version": records.SCHEMA_VERSION, "peer": me.peer, "incarnation": str(me), "joined_at": now}
