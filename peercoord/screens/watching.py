"""Wait until something changes that a screen shows, without polling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peercoord.membership import liveness
from peercoord.store import paths
from peercoord.system import process
from peercoord.system.disk import filesystem_type, is_local
from peercoord.system.watch import Changes, Wakeups

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peercoord.foreign import Json
    from peercoord.store.root import Root

CHANGED = "changed"
SHOWN = (paths.BELL, paths.EVENTS, paths.REPORTS, paths.SESSIONS)  # every change that people see touches one of these
LOOK_SECONDS = 15.0  # between two looks while nothing is noticed: a silent peer makes no change
DEAF_SECONDS = 2.0  # the same where changes bring no events
SHARE = 150  # a look that takes long comes so many times its own duration later: it is drawn too


class Watching:
    """The changes of one coordination directory, and the ends of processes, for one waiting thread."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._home = root.files.place
        self._wakeups = Wakeups()
        self._changes = Changes(lambda *_: self.wake())
        self._local = bool(self._home) and is_local(filesystem_type(self._home))
        self._hears = False

    def renew(self, records: Iterable[Json] = ()) -> None:
        """Watch the directories that are there, and the processes that the records of peers name."""
        watched = [self._changes.watch(name, f"{self._home}/{name}") for name in SHOWN]
        self._hears = self._local and watched[SHOWN.index(paths.BELL)] and watched[SHOWN.index(paths.EVENTS)]
        here = process.here()
        ours = [record for record in records if record and liveness.elsewhere(record, here) is None]
        known = [one for record in ours for one in (*liveness.sessions(record), liveness.agent_of(record)) if one]
        self._wakeups.watch_exits([one for one in known if process.running(one)])

    def pause(self, took: float) -> float:
        """Return the seconds until the next look is due, after one that took so long."""
        return max(LOOK_SECONDS if self._hears else DEAF_SECONDS, SHARE * took)

    def wait(self, seconds: float) -> bool:
        """Wait for a change, at most this many seconds; return whether there was one."""
        return bool(self._wakeups.wait(seconds))

    def wake(self) -> None:
        """End the waiting, from any thread."""
        self._wakeups.poke(CHANGED)

    def close(self) -> None:
        """Stop watching; no thread may wait any more."""
        self._changes.close()
        self._wakeups.close()
