"""Leadership: one ticket, ``leader~<term>``, that lies in ``queue/leader/`` or in the directory of the peer that leads.

Promises: one rename takes it, so there is one leader at most by the tickets; every taking raises the term, and nothing
lowers it. A leader that was stopped and wakes finds its ticket gone before it writes: whatever it may still do are
folds over files that the next leader repeats, and the database checks the term itself. So to take the ticket from a
leader that does not lead is always safe, and needs no proof that it is dead.
"""

from __future__ import annotations

from peercoord.core import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.names import Incarnation
    from peercoord.roles.membership import Membership


class Leadership:
    """One incarnation's hold on the leadership.

    Args:
        membership: The incarnation's place in the team.
    """

    def __init__(self, membership: Membership) -> None:
        self.root = membership.root
        self.files = membership.root.files
        self.me = membership.me
        self.home = membership.home

    def term(self) -> int | None:
        """Give the term under which this incarnation leads, from a listing; ``None`` if it does not lead."""
        return max(_terms(self.files.scan(self.home)), default=None)

    def take(self, above: int = 0) -> int | None:
        """Take the leadership if it lies free.

        Args:
            above: The new term is higher than this, too (what the database has seen).

        Returns:
            The new term; ``None`` if someone else has it.
        """
        return self._take(names.LEADER, above, "it lay free")

    def take_from(self, who: Incarnation, because: str, above: int = 0) -> int | None:
        """Take the leadership from a peer that has it and does not lead.

        Returns:
            The new term; ``None`` if that peer no longer has it.
        """
        return self._take(names.peer_dir(who), above, because)

    def _take(self, home: str, above: int, because: str) -> int | None:
        for term in sorted(_terms(self.files.scan(home)), reverse=True):
            new = max(term, above) + 1
            if self.files.move(names.leader(home, term), names.leader(self.home, new)):
                self.root.event(self.me.peer, "leads", term=new, incarnation=str(self.me), because=because)
                self.files.ring()
                return new
        return None

    def give(self) -> None:
        """Lay the leadership down for whoever comes first."""
        for term in _terms(self.files.scan(self.home)):
            if self.files.move(names.leader(self.home, term), names.leader(names.LEADER, term)):
                self.root.event(self.me.peer, "resigned", term=term)
                self.files.ring()


def _terms(entries: list[str]) -> list[int]:
    return [term for term in map(names.parse_leader, entries) if term is not None]
