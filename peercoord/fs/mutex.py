"""OS mutexes for the rare multi-step writes: adding and editing tasks, one agent or one call per worktree.

No promise of the protocol rests on them (on some network filesystems a lock is granted twice): they give order and
save work. The kernel frees them when their holder dies, so none can go stale.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager

from peercoord.core.errors import LostError
from peercoord.fs.files import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PAUSE = 0.005  # first pause between two tries, seconds; doubled up to _LONGEST
_LONGEST = 0.1


@contextmanager
def held(path: str, wait: float = 30.0, busy: str = "") -> Iterator[None]:
    """Hold the mutex at ``path`` while the block runs.

    Tried without blocking and with pauses of our own: a blocking lock has been seen to stall for 43 s on NFSv4
    right after the server's start.

    Args:
        path: An absolute path; the file is made if missing and never removed.
        wait: Seconds to try for; 0 tries once.
        busy: What to say if it stays taken.

    Raises:
        LostError: Someone else holds it; safe to try again.
        StorageError: The file cannot be opened or locked at all.
    """
    from portalocker import LOCK_EX, LOCK_NB, LockException, lock, unlock

    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise refused(error, path) from None
    try:
        pause, end = _PAUSE, time.monotonic() + wait
        while True:
            try:
                lock(handle, LOCK_EX | LOCK_NB)
                break
            except LockException as error:
                cause = error.args[0] if error.args else None
                if isinstance(cause, OSError) and cause.errno not in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
                    raise refused(cause, path) from None
            if time.monotonic() >= end:
                raise LostError(busy or f"{path} is held by another call", "try again", code="busy")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        try:
            yield
        finally:
            unlock(handle)
    finally:
        os.close(handle)
