"""Whether ``protocol.json``, which people may edit, still says what an agent goes by.

The accident that shaped this: one wrong byte in it, and every agent of the team started again to take the change in,
could not read the file, and was gone. So it is read before anything is made of it, and what was read last holds until
it can be understood again.
"""

from __future__ import annotations

from peercoord.core import names
from peercoord.core.errors import PeercoordError
from peercoord.roles.root import read_protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.roles.root import Root


class Rules:
    """What an agent goes by.

    Args:
        root: The coordination directory as the agent opened it.
    """

    def __init__(self, root: Root) -> None:
        self.root = root
        self.path = str(getattr(root.files.disk, "root", ""))
        self._known: tuple[int, int] | None = None  # which state of the file says so: what it said was looked at

    def changed(self) -> bool:
        """Tell whether the file says something else now, or asks for a newer program.

        Raises:
            PeercoordError: It cannot be understood.
        """
        seen = self.root.files.stat(names.PROTOCOL)
        state = (seen.modified_ns, seen.size) if seen else None
        if state in (None, self._known):
            return False
        try:
            now = read_protocol(self.root.files, self.path, self.root.store_id)
        except PeercoordError as error:
            if error.code == "version":
                return True
            raise PeercoordError(f"{error.message}; what it said before holds", error.hint, error.code) from None
        self._known = state
        return now != self.root.protocol
