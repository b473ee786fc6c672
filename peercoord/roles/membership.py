"""Being a peer: joining, beating, leaving, and finding out that one was evicted.

A peer is a directory. It appears whole, by one rename, and is evicted by one rename; whoever was evicted, even
while stopped in the middle of anything, finds its paths gone and knows. An incarnation is never used again, so
nothing an earlier life did can touch a later one.
"""

from __future__ import annotations

from peercoord.core import ids, names, records
from peercoord.core.errors import BrokenFileError, EvictedError, StorageError, UsageError
from peercoord.core.liveness import DEAD
from peercoord.core.names import Incarnation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from peercoord.core.liveness import Verdict
    from peercoord.core.records import Json
    from peercoord.roles.root import Root

TRIES = 16  # of a rename that others may come before


class Membership:
    """One incarnation's place in the team.

    Args:
        root: The coordination directory.
        me: The incarnation.
    """

    def __init__(self, root: Root, me: Incarnation) -> None:
        self.root = root
        self.me = me
        self.home = names.peer_dir(me)

    def present(self) -> bool:
        """Tell whether this incarnation is still a peer, from a listing: a stat may be half a minute old."""
        return str(self.me) in self.root.files.scan(names.PEERS)

    def require(self) -> None:
        """Go on only as a peer.

        Raises:
            EvictedError: This incarnation was evicted or has left; the message says by whom.
        """
        if not self.present():
            raise self.evicted()

    def evicted(self) -> EvictedError:
        """Make the error that tells an evicted peer what happened."""
        by = next((by for who, by in departed(self.root) if who == self.me), None)
        cause = "has left" if by == self.me else f"was evicted by {by.peer}" if by else "is gone"
        return EvictedError(f"{self.me} {cause}", hint="rejoin: the next request-task does")

    def beat(self) -> int:
        """Rename the heartbeat to its next number, also from under a challenge.

        Returns:
            The new number.

        Raises:
            EvictedError: This incarnation is no longer a peer.
            StorageError: The filesystem shows a heartbeat and will not let us move it.
        """
        files = self.root.files
        self.require()
        for _ in range(TRIES):
            beats = [b for b in map(names.parse_beat, files.scan(self.home)) if b]
            if not beats:
                self.require()
                files.ticket(names.beat(self.home, 0))
                continue
            seq, challenger = max(beats, key=lambda b: b[0])
            if files.move(names.beat(self.home, seq, challenger), names.beat(self.home, seq + 1)):
                return seq + 1
            self.require()
        raise StorageError(f"{self.home}: its heartbeat does not move", "look with: peercoord doctor")

    def record(self) -> Json:
        """Read this peer's own record; empty if it cannot be read."""
        return read_record(self.root, self.home) or {}

    def update(self, **facts: object) -> None:
        """Write facts into this peer's own record, keeping the others.

        Raises:
            EvictedError: This incarnation is no longer a peer.
        """
        self.require()
        known = self.record()
        if all(known.get(key) == value for key, value in facts.items()):
            return
        try:
            self.root.files.put(names.peer_record(self.home), records.encode_stored({**known, **facts}))
        except StorageError:
            self.require()  # evicted in the middle of this, it should hear that instead
            raise


def read_record(root: Root, home: str) -> Json | None:
    """Read the record of the peer whose directory is ``home``; ``None`` if there is none to be read."""
    path = names.peer_record(home)
    try:
        data = root.files.read(path)
        return None if data is None else records.decode(data, path)
    except BrokenFileError:
        return None  # its writer is the only one who may touch it; by the rules, only its heartbeat counts now


def living(root: Root) -> list[Incarnation]:
    """List the incarnations that are peers now, by name and number."""
    return sorted(filter(None, map(names.parse_incarnation, root.files.scan(names.PEERS))))


def departed(root: Root) -> list[tuple[Incarnation, Incarnation]]:
    """List who is no longer a peer, each with the incarnation that evicted it (itself, if it left)."""
    return sorted(filter(None, map(names.parse_departed, root.files.scan(names.DEPARTED))))


def join(
    root: Root,
    peer: str,
    record: Json,
    judge: Callable[[Incarnation], Verdict],
    evict: Callable[[Incarnation, Incarnation, str], object],
    least: int = 1,
) -> Membership:
    """Become a peer under the next incarnation of a name.

    Args:
        root: The coordination directory.
        peer: The name.
        record: What ``peer.json`` shall say, beside the name and incarnation.
        judge: Gives a verdict on an incarnation.
        evict: Evicts an incarnation: who, by whom, why.
        least: The incarnation's number is at least this (what the worktree remembers).

    Raises:
        UsageError: The name is no id, or a living incarnation of it exists elsewhere.
    """
    ids.check(peer, "peer name")
    known = [*living(root), *(who for who, _ in departed(root))]  # in this order: who departs meanwhile is in both
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
        root.files.move(names.peer_dir(me), names.departed_dir(me, me))
        raise _taken(min(rivals), "it joined at the same moment")
    root.event(peer, "joined", incarnation=str(me))
    root.files.ring()
    return Membership(root, me)


def _others(root: Root, me: Incarnation) -> list[Incarnation]:
    return [i for i in living(root) if i.peer == me.peer and i != me]


def _taken(other: Incarnation, because: str) -> UsageError:
    return UsageError(
        f"there is a peer {other.peer} already ({other}: {because})",
        hint="choose another name, or stop that one first; of a worktree that is gone: peercoord doctor --fix",
        code="name-taken",
    )


def _build(root: Root, me: Incarnation, record: Json) -> None:
    files = root.files
    staged = f"{names.TMP}/{files.token()}"
    whole = {
        "schema_version": records.SCHEMA_VERSION,
        "peer": me.peer,
        "incarnation": str(me),
        "joined_at": root.clock.now(),
        **record,
    }
    files.put(names.peer_record(staged), records.encode_stored(whole))
    files.ticket(names.beat(staged, 0))
    files.make_dir(names.claims_dir(staged))
    files.make_dir(names.assignments_dir(staged))
    if not files.move(staged, names.peer_dir(me), make_home=True):
        raise StorageError(f"{staged} was cleared away while {me} joined", hint="join again")
