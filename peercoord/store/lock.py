"""OS mutexes for the rare multi-step writes: adding and editing tasks, one agent or one call per worktree.

The protocol does not rely on them, because some network filesystems grant a lock twice: they give order and save work.
The kernel releases them when their holder dies, so none can go stale.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from peercoord.errors import LostError
from peercoord.store.refusals import refused
from peercoord.system.clock import wait_until
from peercoord.system.disk import open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PAUSE = 0.005  # first pause between two tries, seconds; doubled up to _LONGEST
_LONGEST = 0.1


@contextmanager
def held(path: str, wait: float = 30.0, busy: str = "", opened: Callable[[], int] | None = None) -> Iterator[int]:
    """Hold the mutex at ``path`` while the block runs; yield the descriptor, as another file may stand there by then.

    It is tried without blocking, with pauses: a blocking lock was seen to stall for 43 s on NFSv4 after a server start.
    A ``LostError`` says that another call holds it all the time.

    Args:
        path: An absolute path; the file is created if missing and never removed.
        wait: Seconds to try for; 0 tries once.
        busy: The message if it stays taken.
        opened: Opens the file, where ``path`` must not be followed; see ``beneath``.
    """
    from portalocker import LOCK_EX, LOCK_NB, LockException, lock, unlock

    def taken() -> bool:
        try:
            lock(handle, LOCK_EX | LOCK_NB)
        except LockException as error:
            cause = error.args[0] if error.args else None
            if isinstance(cause, OSError) and cause.errno not in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
                raise refused(cause, path) from None
            return False
        return True

    try:
        handle = opened() if opened else open_file(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise refused(error, path) from None
    try:
        if not wait_until(taken, wait, _PAUSE, _LONGEST):
            raise LostError(busy or f"{path} is held by another call", _who(handle), code="busy")
        try:
            yield handle
        finally:
            unlock(handle)
    finally:
        os.close(handle)


def _who(handle: int) -> str:
    """The hint for a lock that stays taken; names its holder where the system tells it (Linux)."""
    try:
        seen = os.fstat(handle)
        device = f"{os.major(seen.st_dev):02x}:{os.minor(seen.st_dev):02x}:{seen.st_ino}"
        with open("/proc/locks", encoding="ascii", errors="replace") as listed:
            pids = [words[4] for words in map(str.split, listed) if words[1] == "FLOCK" and words[5] == device]
    except (OSError, IndexError):
        pids = []
    return f"try again; process {pids[0]} holds it, see: ps -fp {pids[0]}" if pids else "try again"
