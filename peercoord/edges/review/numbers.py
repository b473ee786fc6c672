"""Short numbers for what waits, given once and never again.

A number that is typed must mean what was shown beside it, however long ago and in whichever terminal that was, and
whatever was decided, made void or added since. So a number is written down the first time it is shown, under a mutex,
and none is ever given to anything else.
"""

from __future__ import annotations

from peercoord.core import ids, names
from peercoord.core.errors import LostError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.roles.root import Root

KEPT = 500  # numbers remembered, to say what became of an old one; none is given twice in any case


class Numbers:
    """The numbers of one project.

    Args:
        root: Its coordination directory.
        path: Absolute path of that.
    """

    def __init__(self, root: Root, path: str) -> None:
        self.files, self.lock = root.files, f"{path}/{names.NUMBERS_LOCK}"

    def give(self, wanted: Iterable[str]) -> dict[str, int]:
        """Give each id its number, a new one if it has none. Where nothing can be written, new ids get none."""
        from peercoord.fs.mutex import held

        known, wanted = self.read(), list(wanted)
        if all(ident in known for ident in wanted):
            return known
        try:
            with held(self.lock, busy="another call is numbering what waits"):
                known = self.read()
                start = max(known.values(), default=0) + 1
                known |= {ident: at for at, ident in enumerate((w for w in wanted if w not in known), start)}
                lines = [f"{number} {ident}\n" for ident, number in known.items()][-KEPT:]
                self.files.put(names.NUMBERS, "".join(lines).encode())
        except (LostError, StorageError):
            return self.read()
        return known

    def read(self) -> dict[str, int]:
        """Give the numbers that were given, by id, in their order."""
        found = {}
        for line in (self.files.read(names.NUMBERS) or b"").decode("ascii", "replace").splitlines():
            said, _, ident = line.partition(" ")
            number = names.number(said)
            if number and ids.is_id(ident):
                found[ident] = number
        return found
