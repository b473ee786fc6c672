"""What an agent needs to go on: its worktree, its project, and the settings of the team.

Each of these ends an agent. None ends it at the first look, since a filesystem may be away for a moment:

- its worktree is gone: it gives its tasks back;
- its ``.claude-instance/`` was cleaned away (``git clean -fdx``) and not mended in time. The agent keeps its tasks
  until then. The agent's lock goes with that directory, so setting up again starts another agent;
- the record of its peer names another agent, which serves the worktree now: this one ends and changes nothing;
- its project is gone;
- its coordination directory is gone for long, or is another store. An empty one is a mount point without its
  filesystem: the agent waits for it, and makes no directory there.

Unreadable settings end no agent: the settings read last apply until the file is mended.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from peercoord.errors import PeercoordError
from peercoord.membership import liveness
from peercoord.membership import membership as members
from peercoord.store import paths
from peercoord.store.root import read_protocol
from peercoord.system import process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peercoord.store.files import Files
    from peercoord.store.root import Root

INFO, AGENT = "info.json", "agent.json"  # a change of either is a reason to look
HERE, GONE, ABANDONED, REPLACED, ORPHANED = "here", "gone", "abandoned", "replaced", "orphaned"
LEAST_LOOKS = 3
GONE_SECONDS = 3.0  # a worktree
MEND_SECONDS = 120.0  # a ``.claude-instance/`` that was cleaned away
PROJECT_SECONDS = 10.0
STORE_SECONDS = 600.0  # a coordination directory that was deleted while its project is there: it may be rebuilt
SOON_SECONDS = 1.0  # between two looks while a worktree or project is missing
LOOK_SECONDS = 15.0  # between two looks otherwise


class Home:
    """The worktree of one agent, and the project that it belongs to; ``because`` says why the agent must end."""

    def __init__(self, instance: Files, root: Root, peer: str) -> None:
        self.instance, self.root, self.peer = instance, root, peer
        self.path = instance.place
        self.because = ""
        self._me = process.identify(os.getpid())
        self._missing: dict[str, tuple[float, int]] = {}  # by what is missing: since when, and how often in a row
        self._cleaned: float | None = None  # since when ``.claude-instance/`` is gone

    def look(self, now: float, grace: float) -> tuple[str, float | None]:
        """Return what became of the worktree, and the seconds until the next look; ``None`` if there is no hurry.

        ``abandoned`` is a worktree that was cleaned away and not mended within ``grace`` seconds; ``replaced``: another
        agent serves it; ``orphaned``: its project or coordination directory is gone.
        """
        soon = None
        for state, because, missing, seconds in self._places():
            if not missing:
                self._missing.pop(because, None)
                continue
            since, looks = self._missing.get(because, (now, 0))
            self._missing[because] = since, looks + 1
            if looks + 1 >= LEAST_LOOKS and now - since >= seconds:
                self.because = because
                return state, None
            soon = SOON_SECONDS if seconds < STORE_SECONDS else soon
        if soon is not None:
            return HERE, soon
        if self.instance.stat(INFO) is None:
            self.because = f"{self.path} was cleaned away and not mended"
            self._cleaned = now if self._cleaned is None else self._cleaned
            left = self._cleaned + grace - now
            return (HERE if left > 0 else ABANDONED), min(max(left, 0.0), LOOK_SECONDS)
        self._cleaned = None
        return (REPLACED if self._replaced() else HERE), None

    def _places(self) -> Iterator[tuple[str, str, bool, float]]:
        """Yield for each place what its absence means, why, whether it is missing, and the grace in seconds."""
        if self.path:
            tree = os.path.dirname(self.path)
            yield GONE, f"its worktree {tree} is gone", _absent(tree), GONE_SECONDS
        state = self.root.files.place
        if state:
            project = os.path.dirname(state)
            yield ORPHANED, f"its project {project} is gone", _absent(project), PROJECT_SECONDS
            yield ORPHANED, f"{state} is gone", _absent(state), STORE_SECONDS
            yield ORPHANED, f"{state} is another team's now", self._is_another(), STORE_SECONDS

    def _is_another(self) -> bool:
        try:
            found = (self.root.files.record(paths.PROTOCOL) or {}).get("store_id")
        except PeercoordError:
            return False
        return found is not None and found != self.root.store_id

    def _replaced(self) -> bool:
        """Check whether the coordination directory names another agent for this worktree, and not this one."""
        here, tree = process.here(), os.path.dirname(self.path)
        mine = [who for who in members.living(self.root) if who.peer == self.peer]
        found = [members.record_of(self.root, who) for who in mine]
        agents = [(record, liveness.agent_of(record)) for record in found if record.get("worktree") == tree]
        if any(agent == self._me for _, agent in agents):
            return False
        self.because = "another agent serves its worktree"
        return any(
            agent and (not liveness.in_sight(record, here) or process.running(agent)) for record, agent in agents
        )


def _absent(path: str) -> bool:
    """Check whether a path is gone. A filesystem that does not answer proves nothing."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


class Rules:
    """The team's settings, in ``protocol.json``, which people may edit."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.path = root.files.place
        self._known: tuple[int, int] | None = None  # the state of the file that was read last

    def changed(self) -> bool:
        """Check whether the file says something else now, or needs a newer program."""
        seen = self.root.files.stat(paths.PROTOCOL)
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
