"""Leadership: one ticket, ``leader~<term>``, in ``queue/leader/`` or in the directory of the peer that leads.

One rename takes it, so by the tickets there is at most one leader; every taking raises the term, and nothing lowers it.
A leader that was stopped and wakes finds its ticket gone before it writes. What it may still do are folds over files
that the next leader repeats, and the database checks the term itself. So taking the ticket from a leader that does not
lead is always safe and needs no proof that it is dead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.errors import LostError
from peercoord.membership import membership as members
from peercoord.store import paths

if TYPE_CHECKING:
    from peercoord.membership.membership import Membership
    from peercoord.store.files import Files
    from peercoord.store.paths import Incarnation
    from peercoord.store.root import Root


class Leadership:
    """The leadership as one incarnation sees it."""

    def __init__(self, membership: Membership) -> None:
        self.root = membership.root
        self.files = membership.root.files
        self.me = membership.me
        self.home = membership.home

    def term(self) -> int | None:
        """The term under which this incarnation leads, from a listing; ``None`` if it does not lead.

        A ticket with two names, which a machine's crash may leave, does not count, because another peer may take the
        other one. A look that shows nothing may be old, so the listing counts; two leaders at once do no harm.
        """
        term = max(paths.terms(self.files.scan(self.home)), default=None)
        seen = None if term is None else self.files.stat(paths.leader(self.home, term))
        return None if seen is not None and (seen.links > 1 or not seen.is_file) else term

    def take(self, above: int = 0) -> int | None:
        """Take the leadership at a new highest term; ``None`` if another peer has it."""
        return self._take(paths.LEADER, "no instance led", above)

    def take_from(self, who: Incarnation, because: str) -> int | None:
        """Take the leadership from a peer that does not lead; return the new term, ``None`` if another was faster."""
        return self._take(paths.peer_dir(who), because)

    def _take(self, home: str, because: str, above: int = 0) -> int | None:
        for term in sorted(paths.terms(self.files.scan(home)), reverse=True):
            if self.files.set_irregular_aside(paths.leader(home, term)):
                continue
            new = max(term, above) + 1
            if self.files.move(paths.leader(home, term), paths.leader(self.home, new)):
                self.root.event(self.me.peer, "leads", term=new, incarnation=str(self.me), because=because)
                self.files.ring()
                return new
        return None

    def resign(self) -> None:
        """Return the leader's ticket, for any peer to take."""
        for term in paths.terms(self.files.scan(self.home)):
            if self.files.move(paths.leader(self.home, term), paths.leader(paths.LEADER, term)):
                self.root.event(self.me.peer, "resigned", term=term)
                self.files.ring()


def current_term(root: Root) -> int:
    """The highest term of the leader's ticket, held or not; ``LostError`` while the ticket moves."""
    files = root.files
    terms = paths.terms(files.scan(paths.LEADER))
    for base in (paths.PEERS, paths.DEPARTED):
        for name in files.scan(base):
            found = paths.terms(files.scan(f"{base}/{name}"))
            terms += found if found and (base == paths.DEPARTED or paths.parse_incarnation(name)) else []
    if not terms:
        raise LostError("the leadership is changing hands at this moment", hint="try again", code="no-leader")
    return max(terms)


def raise_term(root: Root, home: str, term: int, above: int) -> int:
    """Raise a leader's term above the highest that the database has seen, and return it.

    One rename of the ticket in place; if it is not there any more, another peer leads and nothing happens.
    """
    new = max(term, above) + 1
    return new if root.files.move(paths.leader(home, term), paths.leader(home, new)) else term


def leader_home(root: Root, term: int) -> str:
    """The directory in which the leader's ticket of a term lies; empty if it is in none."""
    homes = [paths.LEADER, *map(paths.peer_dir, members.living(root))]
    return next((home for home in homes if term in paths.terms(root.files.scan(home))), "")


def leader_name(files: Files) -> str:
    """The name of the peer that has the leader's ticket; empty if none has."""
    for home in files.scan(paths.PEERS):
        who = paths.parse_incarnation(home)
        if who and paths.terms(files.scan(f"{paths.PEERS}/{home}")):
            return who.peer
    return ""
