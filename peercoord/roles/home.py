"""What an agent serves: its worktree, as long as it is there and this agent is the one that stands for it.

A worktree that is gone, seen twice, gives its tasks back. One whose ``.claude-instance/`` was cleaned away
(``git clean -fdx``) has a grace in which it can be mended, and keeps its tasks so long. The agent's lock goes with that
directory, so whoever mends it starts another agent: that one stands for the worktree from then on, and the earlier one
ends without a trace.
"""

from __future__ import annotations

import os

from peercoord.core import records
from peercoord.core.errors import BrokenFileError
from peercoord.fs import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from peercoord.fs.files import Files

INFO, AGENT = "info.json", "agent.json"  # which peer the worktree is; which process stands for it
HERE, GONE, ABANDONED, REPLACED = "here", "gone", "abandoned", "replaced"
TWICE_SECONDS = 1.0  # between two looks for a worktree that was not there
LOOK_SECONDS = 30.0


class Home:
    """The worktree of one agent.

    Args:
        instance: Its ``.claude-instance/``.
    """

    def __init__(self, instance: Files) -> None:
        self.instance = instance
        self.path = str(getattr(instance.disk, "root", ""))
        me = process.identify(os.getpid()) or {}
        self._me = (me.get("pid"), me.get("start"))
        self._missed = 0  # looks in a row that did not find the worktree
        self._cleaned: float | None = None  # since when its ``.claude-instance/`` is gone

    def look(self, now: float, grace: float) -> tuple[str, float | None]:
        """Look whether the worktree is there.

        Args:
            now: Monotonic time, seconds.
            grace: Seconds in which a cleaned worktree can be mended.

        Returns:
            ``here``; ``gone``; ``abandoned``: cleaned away, and not mended in time; ``replaced``: another agent stands
            for it. And the seconds after which to look again; ``None`` if that does not press.
        """
        if self.instance.stat(INFO) is None:
            return self._without(now, grace)
        self._missed, self._cleaned = 0, None
        return (REPLACED if self._replaced() else HERE), None

    def _without(self, now: float, grace: float) -> tuple[str, float]:
        if self.path and not os.path.isdir(os.path.dirname(self.path)):
            self._missed += 1
            return (GONE if self._missed > 1 else HERE), TWICE_SECONDS
        self._cleaned = now if self._cleaned is None else self._cleaned
        left = self._cleaned + grace - now
        return (HERE if left > 0 else ABANDONED), min(max(left, 0.0), LOOK_SECONDS)

    def _replaced(self) -> bool:
        """Tell whether another agent was started here after this one's lock was deleted."""
        try:
            data = self.instance.read(AGENT)
            said = records.decode(data, AGENT) if data else {}
        except BrokenFileError:
            return False
        told = bool(said) and (said.get("pid"), said.get("start")) != self._me
        apart = any(said.get(key) != value for key, value in process.here().items())
        return told and (apart or process.running(said))
