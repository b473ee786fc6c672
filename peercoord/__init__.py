"""peercoord: a filesystem-only peer protocol for teams of AI coding agents.

The public names are ``Peer``, ``Task`` and the errors; see ``peercoord.roles.peer``. They are loaded when they are
first used, so that a command line call pays only for what it needs.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.core.errors import EvictedError, LostError, NotFoundError, PeercoordError, StorageError, UsageError
    from peercoord.roles.peer import Peer, Task

__all__ = ["EvictedError", "LostError", "NotFoundError", "Peer", "PeercoordError", "StorageError", "Task", "UsageError"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'peercoord' has no attribute {name!r}")
    if name in ("Peer", "Task"):
        from peercoord.roles import peer as home
    else:
        from peercoord.core import errors as home  # type: ignore[no-redef]
    return getattr(home, name)
