"""peercoord: a filesystem-only peer protocol for teams of AI coding agents.

The public names are ``Peer``, ``Task`` and the errors; see ``peercoord.queue.peer``. They are loaded when they are
first used, so that a command line call pays only for what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from peercoord.errors import EvictedError, LostError, NotFoundError, PeercoordError, StorageError, UsageError
    from peercoord.queue.peer import Peer, Task

__all__ = ["EvictedError", "LostError", "NotFoundError", "Peer", "PeercoordError", "StorageError", "Task", "UsageError"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'peercoord' has no attribute {name!r}")
    if name in ("Peer", "Task"):
        from peercoord.queue import peer as home
    else:
        from peercoord import errors as home  # type: ignore[no-redef]
    return getattr(home, name)
