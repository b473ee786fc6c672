"""The filesystem of a simulated team: one truth, and what each client sees of it, which may be old.

Truth is a ``MemoryDisk``. What changes it (rename, link, mkdir, create …) is arbitrated: it meets the truth of this
moment, for every client. What only looks (listdir, stat, read) may show the state of some seconds ago, as on network
filesystems; never older than what this client has seen or done itself. Further, where a seed says so:

- a listing taken while files move may miss a live one, or show it under both names;
- a client may go on reaching a peer's directory, for seconds after it was moved, under its old path;
- a call may be refused, or done and then answered with an error;
- the second of two clients that rename one source to one target may be told that it won as well;
- a machine that dies in the middle of a rename may leave the file under both names.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from support.memory import Folder, Inode, MemoryDisk, refuse

from peercoord.system.disk import Stat
from simulation.baton import Actor, Baton, Crashed

if TYPE_CHECKING:
    Entries = dict[str, Inode | Folder]

LOOKS = frozenset(("listdir", "read", "stat"))
REFUSALS = (errno.EIO, errno.ENOTCONN, errno.ESTALE, errno.EINTR)
WEIGHTS = {"rename": 4.0, "link": 2.0, "rmdir": 2.0}
"""How much likelier than usual a process stands still or dies at a call: at what decides, it matters most."""
FULL = frozenset(("create", "append", "mkdir"))


class Weather:
    """What goes wrong in one run: the probability of each fault per call, and delays in simulated seconds."""

    stale_stat = 0.0  # a stat or read shows what was, up to so many seconds ago
    stale_list = 0.0  # a listing does
    follow = 0.0  # a moved directory is reached under its old path for so long
    torn_listing = 0.0  # a listing is taken in two halves, others moving files in between
    refused = 0.0  # a call is refused and nothing was done
    unanswered = 0.0  # a call is done and answered with an error
    full = False  # no room for data or directories
    both_win = 0.0  # the second of two equal renames is told that it won
    crash = 0.0  # the process dies before, after or in the middle of the call
    crashes = 0  # how often that may happen in one run
    both_names = 0.0  # a machine dies in the middle of a rename and leaves both names; 1: it dies nowhere else
    pause = 0.0  # the process stands still before the call
    dither = 0.0  # a person's process stands still before a rename
    asleep = 0.0  # it stands still for so long that it is taken for dead
    outage = 0.0  # the file server stands still for everybody

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.__dict__.clear()

    def __repr__(self) -> str:
        return ", ".join(f"{key}={value:g}" for key, value in sorted(self.__dict__.items())) or "calm"


class Sea:
    """The truth, its past, and the weather."""

    def __init__(self, baton: Baton, weather: Weather, changed: Callable[[Client, str, tuple[str, ...]], None]) -> None:
        self.truth = MemoryDisk()
        self.baton, self.weather, self.changed = baton, weather, changed
        self.chance: Random = baton.chance
        self.past: dict[str, list[tuple[float, Entries | None]]] = {}
        self.moved: dict[str, tuple[str, float]] = {}  # a peer's old path, its new one, and when
        self.won: dict[tuple[str, str], tuple[float, Client]] = {}
        self.until = 0.0  # the file server answers nobody before this time
        self.outages: list[tuple[float, float]] = []
        self.trace: list[str] | None = None

    def started(self) -> None:
        """Begin to remember: what is there now was always there."""
        self.past.clear()
        for folder in ("", *self.truth.folders()):
            self._remember(folder, -1e9)

    # -- the past --------------------------------------------------------------------------------------------

    def entries(self, folder: str) -> Entries | None:
        """What is in a directory now; ``None`` if it is none."""
        node: Inode | Folder | None = self.truth.top
        for name in folder.split("/") if folder else ():
            node = node.entries.get(name) if isinstance(node, Folder) else None
        return node.entries if isinstance(node, Folder) else None

    def _remember(self, folder: str, when: float) -> None:
        found = self.entries(folder)
        self.past.setdefault(folder, []).append((when, dict(found) if found is not None else None))

    def remember(self, name: str, paths: tuple[str, ...]) -> None:
        """Note what a change made of the directories it touched."""
        now = self.baton.now
        for path in paths:
            self._remember(path.rpartition("/")[0], now)
            if name in ("mkdir", "rmdir"):
                self._remember(path, now)
        if name == "rename" and self.entries(paths[1]) is not None:
            for folder in [old for old in self.past if old == paths[0] or old.startswith(f"{paths[0]}/")]:
                self._remember(folder, now)
                self._remember(paths[1] + folder[len(paths[0]) :], now)

    def at(self, folder: str, when: float) -> Entries | None:
        """What was in a directory at a time; ``None`` if it was none."""
        for then, found in reversed(self.past.get(folder, ())):
            if then <= when:
                return found
        return None

    # -- renames ---------------------------------------------------------------------------------------------

    def rename(self, client: Client, source: str, target: str) -> bool:
        """Rename, with what clients have been seen to be told."""
        before = self.won.get((source, target))
        try:
            self.truth.rename(source, target)
        except FileNotFoundError:
            fresh = before is not None and self.baton.now - before[0] < 1.0 and before[1] is not client
            if not (fresh and self.entries(target) is None and self.chance.random() < self.weather.both_win):
                raise
            return False
        self.won[source, target] = (self.baton.now, client)
        self.moved.pop(target, None)
        if source.startswith("peers/") and source.count("/") == 1:
            self.moved[source] = (target, self.baton.now)
        return True

    def both(self, paths: tuple[str, ...]) -> bool:
        """Leave a file under both names of a rename."""
        try:
            self.truth.link(*paths)
        except OSError:
            return False
        return True


class Client:
    """The disk of one actor."""

    def __init__(self, sea: Sea, actor: Actor) -> None:
        self.sea, self.actor = sea, actor
        self.known: dict[tuple[str, str], float] = {}  # by kind of look and directory: its state of that time was seen
        self.followed: dict[str, float] = {}  # until when a peer's old path still leads to the moved directory
        self.me = ""  # the incarnation for which the process acts

    # -- the calls of Disk -----------------------------------------------------------------------------------

    def listdir(self, path: str) -> list[str]:
        return self._call("listdir", (path,), lambda p: self._listed(p[0]))  # type: ignore[no-any-return]

    def irregular(self, path: str) -> list[str]:
        """Return nothing: the scenes have no irregular files, and looking for them is no step."""
        return []

    def read(self, path: str, most: int) -> bytes:
        return self._call("read", (path,), lambda p: self._read(p[0], most))  # type: ignore[no-any-return]

    def stat(self, path: str) -> Stat:
        return self._call("stat", (path,), lambda p: self._stat(p[0]))  # type: ignore[no-any-return]

    def create(self, path: str, data: bytes, durable: bool) -> None:
        torn = data[: len(data) // 2]
        truth = self.sea.truth
        self._call(
            "create", (path,), lambda p: truth.create(p[0], data, durable), lambda p: truth.create(p[0], torn, False)
        )

    def append(self, path: str, data: bytes) -> None:
        self._call("append", (path,), lambda p: self.sea.truth.append(p[0], data))

    def link(self, source: str, target: str) -> None:
        self._call("link", (source, target), lambda p: self.sea.truth.link(p[0], p[1]))

    def rename(self, source: str, target: str) -> None:
        both = self.sea.both if self.sea.weather.both_names and not source.startswith("tmp/") else None
        self._call("rename", (source, target), lambda p: self.sea.rename(self, p[0], p[1]), both)

    def unlink(self, path: str) -> None:
        self._call("unlink", (path,), lambda p: self.sea.truth.unlink(p[0]))

    def mkdir(self, path: str) -> None:
        self._call("mkdir", (path,), lambda p: self.sea.truth.mkdir(p[0]))

    def rmdir(self, path: str) -> None:
        self._call("rmdir", (path,), lambda p: self.sea.truth.rmdir(p[0]))

    def sync(self, path: str) -> None:
        self._call("sync", (path,), lambda p: self.sea.truth.sync(p[0]))

    def touch(self, path: str) -> None:
        self._call("touch", (path,), lambda p: self.sea.truth.touch(p[0]))

    def flush(self) -> None:
        return

    # -- one call --------------------------------------------------------------------------------------------

    def _call(
        self,
        name: str,
        paths: tuple[str, ...],
        run: Callable[[tuple[str, ...]], Any],
        torn: Callable[[tuple[str, ...]], Any] | None = None,
    ) -> Any:
        if self.actor.dead:
            raise Crashed
        sea = self.sea
        sea.baton.step(self.actor)
        weight = WEIGHTS.get(name, 0.5)
        self._delays(weight)
        end = self._crashes(weight, torn is not None)
        if end == "before" or (end == "torn" and torn is None):
            raise self._die()
        looks = name in LOOKS
        self._refuse(name, paths, looks)
        paths = tuple(map(self._followed, paths)) if sea.moved else paths
        if sea.trace is not None:
            sea.trace.append(f"{sea.baton.now:9.3f} {self.actor.name:8} {name} {' '.join(paths)}")
        try:
            found = torn(paths) if end == "torn" and torn else run(paths)
        except OSError as error:
            if sea.trace is not None:
                sea.trace[-1] += f" ! {errno.errorcode[error.errno or 0]}"
            if not looks:
                self._learn(paths)
            raise
        if looks:
            return found
        if found is not False and name not in ("sync", "touch", "append"):
            sea.remember(name, paths)
            self._learn(paths)
            sea.changed(self, name, paths)
        if end:
            raise self._die()
        self._unanswered(name, paths)
        return found

    def _delays(self, weight: float) -> None:
        sea, weather = self.sea, self.sea.weather
        if weather.pause and sea.chance.random() < weather.pause * weight:
            sea.baton.sleep(self.actor, sea.chance.choice((2.0, 20.0, 200.0)) * sea.chance.random())
        if weather.dither and weight > 3.0 and not self.me and sea.chance.random() < weather.dither:
            sea.baton.sleep(self.actor, 20.0 * sea.chance.random())
        if weather.asleep and sea.chance.random() < weather.asleep:
            sea.baton.sleep(self.actor, 300.0 + 100.0 * sea.chance.random())
        if weather.outage and sea.chance.random() < weather.outage and sea.until <= sea.baton.now:
            sea.until = sea.baton.now + 300.0 + 900.0 * sea.chance.random()
            sea.outages.append((sea.baton.now, sea.until))
        while sea.until > sea.baton.now:
            sea.baton.sleep(self.actor, sea.until - sea.baton.now + 0.05 * sea.chance.random())

    def _crashes(self, weight: float, tears: bool) -> str:
        sea, weather = self.sea, self.sea.weather
        if not weather.crash or not weather.crashes or sea.chance.random() >= weather.crash * weight:
            return ""
        if weather.both_names == 1.0 and not tears:
            return ""
        weather.crashes -= 1
        return sea.chance.choice(("before", "after", "torn", "torn", "torn") if tears else ("before", "after"))

    def _die(self) -> Crashed:
        self.actor.dead = True
        if self.sea.trace is not None:
            self.sea.trace.append(f"{self.sea.baton.now:9.3f} {self.actor.name:8} crashes")
        return Crashed()

    def _refuse(self, name: str, paths: tuple[str, ...], looks: bool) -> None:
        sea, weather = self.sea, self.sea.weather
        if weather.full and name in FULL and sea.chance.random() < 0.9:
            raise refuse(errno.ENOSPC, paths[-1])
        if weather.refused and sea.chance.random() < weather.refused * (0.3 if looks else 1.0):
            raise refuse(sea.chance.choice(REFUSALS[:2] if looks else REFUSALS), paths[-1])

    def _unanswered(self, name: str, paths: tuple[str, ...]) -> None:
        sea, weather = self.sea, self.sea.weather
        if weather.unanswered and sea.chance.random() < weather.unanswered:
            lie = errno.ENOENT if name in ("rename", "unlink", "rmdir") else errno.EEXIST
            if name == "sync":
                lie = errno.EIO
            if sea.trace is not None:
                sea.trace[-1] += " (answered with an error)"
            raise refuse(sea.chance.choice((lie, errno.ENOTCONN)), paths[-1])

    # -- looking ---------------------------------------------------------------------------------------------

    def _learn(self, paths: tuple[str, ...]) -> None:
        """What the server has just answered about names, the client knows of their directories."""
        for path in paths:
            folder = path.rpartition("/")[0]
            self.known["list", folder] = self.known["stat", folder] = self.sea.baton.now

    def _seen(self, kind: str, folder: str) -> Entries | None:
        sea = self.sea
        delay = sea.weather.stale_list if kind == "list" else sea.weather.stale_stat
        needed = kind == "list" and sea.weather.both_names and folder.endswith("/claims")  # ASM-10 needs ASM-5 there
        if not delay or needed:
            return sea.entries(folder)
        when = max(sea.baton.now - delay * sea.chance.random(), self.known.get((kind, folder), -1e9))
        self.known[kind, folder] = when
        return sea.at(folder, when)

    def _listed(self, path: str) -> list[str]:
        sea = self.sea
        found = self._seen("list", path)
        if found is None:
            raise refuse(errno.ENOENT, path)
        names = list(found)
        if names and sea.weather.torn_listing and sea.chance.random() < sea.weather.torn_listing:
            sea.baton.hand_on(self.actor)
            later = sea.entries(path)
            both = names + [name for name in later or () if name not in found]
            names = [n for n in both if (n in found and later and n in later) or sea.chance.random() < 0.5]
        return names

    def _node(self, path: str) -> Inode | Folder:
        folder, _, name = path.rpartition("/")
        found = self._seen("stat", folder)
        if found is None or name not in found:
            raise refuse(errno.ENOENT, path)
        return found[name]

    def _stat(self, path: str) -> Stat:
        if not path:
            return self.sea.truth.stat(path)
        node = self._node(path)
        if isinstance(node, Folder):
            return Stat(True, 0, node.modified_ns, 1)
        return Stat(False, len(node.data), node.modified_ns, node.links)

    def _read(self, path: str, most: int) -> bytes:
        node = self._node(path)
        if isinstance(node, Folder):
            raise refuse(errno.EISDIR, path)
        if node.links <= 0 and self.sea.chance.random() < 0.5:
            raise refuse(errno.ESTALE, path)
        return node.data[:most]

    # -- reaching what was moved -----------------------------------------------------------------------------

    def _followed(self, path: str) -> str:
        if not path.startswith("peers/"):
            return path
        parts = path.split("/", 2)
        home = "/".join(parts[:2])
        if len(parts) < 3 or home not in self.sea.moved:
            return path
        target, when = self.sea.moved[home]
        if home not in self.followed:
            sea = self.sea
            self.followed[home] = when + sea.weather.follow * sea.chance.random() if sea.chance.random() < 0.7 else 0.0
        return f"{target}/{parts[2]}" if self.sea.baton.now < self.followed[home] else path
