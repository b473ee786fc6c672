"""What must hold: of the truth after every change, of what peers are told, and of the whole at rest.

These are the invariants of the specification (INV-1 … INV-9), read from the truth itself, and a few that bind words to
deeds: what a peer was told that it holds, completed or evicted must be so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from support.memory import Folder, Inode

from peercoord.store import paths
from simulation.baton import ViolationError

if TYPE_CHECKING:
    from peercoord.store.paths import Incarnation, Ticket
    from simulation.sea import Client, Sea

QUIET = ("tmp/", "events/", "bell/", "locks/", "quarantine/", "progress-reports/")


class Place:
    """Where a ticket lies: its kind (the state of the task), its epoch, in whose hands, the path, and which file."""

    __slots__ = ("done", "epoch", "holder", "kind", "node", "path")

    def __init__(self, kind: str, epoch: int, holder: str, done: bool, path: str, node: object) -> None:
        self.kind, self.epoch, self.holder, self.done, self.path = kind, epoch, holder, done, path
        self.node = node

    @property
    def held(self) -> bool:
        """It is in somebody's hands, of the living or the departed."""
        return self.kind in ("peers", "departed")

    @property
    def last(self) -> tuple[bool, bool, int, int]:
        """Which of two names of one ticket is the later, but for ties (ASM-10)."""
        return (self.kind == "done", self.done, self.epoch, 0 if self.kind == "new" else 1 if self.held else 2)


class Laws:
    """The invariants, and what they need to remember."""

    def __init__(self, sea: Sea, reopening: bool) -> None:
        self.sea, self.reopening = sea, reopening
        self.places: dict[str, Place] = {}
        self.born: dict[str, str] = {}
        self.top: dict[str, int] = {}  # by task: the highest epoch at which it was held
        self.holders: dict[tuple[str, int], str] = {}
        self.seats: set[tuple[str, int, str]] = set()  # every holding there ever was
        self.doers: dict[tuple[str, int], str] = {}  # who completed a task at an epoch
        self.torn: set[str] = set()  # tasks whose ticket once had two names
        self.told: dict[tuple[str, int], str] = {}
        self.finished: dict[str, list[int]] = {}
        self.acknowledged: set[tuple[str, int]] = set()
        self.lives: set[str] = set()  # incarnations that ever stood in peers/
        self.standing: set[str] = set()  # those that stood there last
        self.joined: dict[str, str] = {}
        self.sealed: set[str] = set()
        self.fenced: set[str] = set()
        self.term = 0
        self.beats: dict[str, float] = {}

    # -- after every change ----------------------------------------------------------------------------------

    def changed(self, client: Client, call: str, paths: tuple[str, ...]) -> None:
        """Look at the truth after a change."""
        path = paths[-1]
        if path.startswith(QUIET) or call == "mkdir":
            return
        if path.endswith(".json"):
            self._whole(path)
            if not path.startswith("births/"):
                return
        if call == "rename" and "/beat~" in path:
            self._beat(client, path)
            return
        self._zombie(client, call, paths)
        self._peers()
        self._tickets()
        self._leader()

    def _beat(self, client: Client, path: str) -> None:
        """A heartbeat was renamed: by its own peer to the next number, or by someone who challenges it."""
        home, _, name = path.rpartition("/")
        beat = paths.parse_beat(name)
        if home == f"peers/{client.me}" and beat and beat[1] is None:
            self.beats[client.me] = self.sea.baton.now

    def _whole(self, path: str) -> None:
        node = self.sea.truth.top
        for name in path.split("/"):
            inner = node.entries.get(name) if isinstance(node, Folder) else None
            if inner is None:
                return
            node = inner  # type: ignore[assignment]
        if isinstance(node, Inode):
            try:
                json.loads(node.data)
            except ValueError:
                raise ViolationError(f"{path} is not whole (INV-9)") from None

    def _zombie(self, client: Client, call: str, paths: tuple[str, ...]) -> None:
        """After the seal an incarnation's process moves no task through its own directory any more (INV-5).

        The leader's ticket it may still get hold of, for it lies outside ``claims/``: the next sweep takes it back.
        """
        if call != "rename" or client.me not in self.fenced:
            return
        own = (f"peers/{client.me}/", f"departed/{client.me}~")
        if any(path.startswith(own) and "/claims/" in path for path in paths):
            raise ViolationError(f"{client.me} was evicted, and still moved {paths[0]} to {paths[1]} (INV-5)")

    def _peers(self) -> None:
        entries = self.sea.entries("peers") or {}
        for name, node in entries.items():
            if paths.parse_incarnation(name) is None:
                continue
            if name not in self.lives:
                self.lives.add(name)
                self.beats[name] = self.sea.baton.now
            elif name not in self.standing:
                raise ViolationError(f"the incarnation {name} is used a second time (NAM-5)")
            if not isinstance(node, Folder) or not {"claims", "assignments", "peer.json"} <= node.entries.keys():
                raise ViolationError(f"peers/{name} is half a peer (MBR-2)")
        self.standing = set(entries)
        for name, node in (self.sea.entries("departed") or {}).items():
            both = paths.parse_departed(name)
            if both is None or not isinstance(node, Folder):
                continue
            who = str(both[0])
            if "claims" not in node.entries:
                self.sealed.add(who)
                self.fenced.add(who)
            elif who in self.sealed:
                raise ViolationError(f"departed/{name}/claims is there again after the seal (EVI-5)")

    # -- tickets ---------------------------------------------------------------------------------------------

    def _found(self) -> dict[str, list[Place]]:
        found: dict[str, list[Place]] = {}
        for task, place in (*self._in_queue(), *self._in_new(), *self._in_hands()):
            found.setdefault(task, []).append(place)
        return found

    def _in_queue(self) -> Iterator[tuple[str, Place]]:
        queue = self.sea.entries("queue") or {}
        for kind in ("waiting", "parked"):
            for detail, folder in _folders(queue.get(kind)):
                yield from _tickets_in(folder, kind, detail, f"queue/{kind}/{detail}")
        for level, blocks in _folders(queue.get("ready")):
            for block, folder in _folders(blocks):
                yield from _tickets_in(folder, "ready", level, f"queue/ready/{level}/{block}")
        for shard, folder in _folders(queue.get("done")):
            for name in folder.entries:
                yield name, Place("done", 0, "", False, f"queue/done/{shard}/{name}", folder.entries[name])

    def _in_new(self) -> Iterator[tuple[str, Place]]:
        for name, node in (self.sea.entries("queue/new") or {}).items():
            both = paths.parse_new(name)
            if both and self.born.get(both[0]) == both[1]:
                yield both[0], Place("new", 0, "", False, f"queue/new/{name}", node)

    def _in_hands(self) -> Iterator[tuple[str, Place]]:
        for kind in ("peers", "departed"):
            for home, folder in _folders_of(self.sea.entries(kind)):
                claims = folder.entries.get("claims")
                if isinstance(claims, Folder):
                    who = "~".join(home.split("~")[:2])
                    yield from _tickets_in(claims, kind, who, f"{kind}/{home}/claims")

    def _births(self) -> None:
        for _, folder in _folders_of(self.sea.entries("births")):
            for name, node in folder.entries.items():
                task = paths.parse_record(name)
                if task and task not in self.born and isinstance(node, Inode):
                    self.born[task] = str(json.loads(node.data)["nonce"])

    def _tickets(self) -> None:
        self._births()
        found = self._found()
        for task in self.born:
            places = found.get(task, [])
            if len(places) != 1 or task in self.torn:
                self._of_several(task, places)
                continue
            before, now = self.places.get(task), places[0]
            if before is None or before.path != now.path:
                self._moved(task, before, now)
                self.places[task] = now
        for task in found.keys() - self.born.keys():
            raise ViolationError(f"{found[task][0].path} stands for no task")

    def _of_several(self, task: str, places: list[Place]) -> None:
        """A ticket that has, or had, two names: it is one file, the latest of its names never falls (ASM-10)."""
        if len({id(place.node) for place in places}) != 1:
            raise ViolationError(f"task {task} has {len(places)} tickets: {[p.path for p in places]} (INV-1)")
        self.torn.add(task)
        before, now = self.places.get(task), max(places, key=lambda place: place.last)
        if before is not None and now.last < before.last and not self.reopening:
            raise ViolationError(f"the ticket of task {task} fell from {before.path} to {now.path} (ASM-10)")
        self.places[task] = now
        for place in places:
            if place.held:
                self.seats.add((task, place.epoch, place.holder))
                self.top[task] = max(self.top.get(task, 0), place.epoch)
            if place.done and self.doers.setdefault((task, place.epoch), place.holder) != place.holder:
                raise ViolationError(f"task {task} was completed twice at epoch {place.epoch} (INV-4)")
            if place.done and place.epoch not in self.finished.setdefault(task, []):
                self.finished[task].append(place.epoch)

    def _moved(self, task: str, before: Place | None, now: Place) -> None:
        if before is None:
            return
        if before.done and now.kind != "done" and not (now.done and now.holder == before.holder):
            raise ViolationError(f"the completed task {task} went from {before.path} to {now.path} (CMP-1, INV-4)")
        if before.kind == "done":
            if not self.reopening:
                raise ViolationError(f"task {task} was done and lies at {now.path} (INV-4)")
        elif now.kind == "done":
            self._done(task, before)
        elif now.epoch < before.epoch:
            raise ViolationError(f"the epoch of task {task} fell: {before.path}, {now.path} (INV-3)")
        if now.held:
            self._held(task, before, now)

    def _held(self, task: str, before: Place, now: Place) -> None:
        if before.holder == now.holder and before.held:
            if before.epoch != now.epoch:
                raise ViolationError(f"{now.holder} changed the epoch of task {task} in its own hands")
        elif now.epoch <= self.top.get(task, 0):
            raise ViolationError(f"task {task} was claimed at epoch {now.epoch}, after {self.top.get(task, 0)} (INV-3)")
        self.top[task] = max(self.top.get(task, 0), now.epoch)
        owner = self.holders.setdefault((task, now.epoch), now.holder)
        if owner != now.holder:
            raise ViolationError(f"{owner} and {now.holder} both hold task {task} at epoch {now.epoch} (INV-2)")
        self.seats.add((task, now.epoch, now.holder))
        if now.done and not before.done:
            self.finished.setdefault(task, []).append(now.epoch)
            self.doers[task, now.epoch] = now.holder

    def _done(self, task: str, before: Place) -> None:
        if before.held:
            if not before.done:
                self.finished.setdefault(task, []).append(before.epoch)
                self.doers[task, before.epoch] = before.holder
            if paths.result(task, before.epoch, "done") not in self.sea.truth.files():
                raise ViolationError(f"task {task} is done at epoch {before.epoch} without a result (INV-6)")

    def _leader(self) -> None:
        found = [(f"queue/leader/{name}", node) for name, node in (self.sea.entries("queue/leader") or {}).items()]
        for kind in ("peers", "departed"):
            for home, folder in _folders_of(self.sea.entries(kind)):
                tickets = [(name, node) for name, node in folder.entries.items() if name.startswith("leader~")]
                found += [(f"{kind}/{home}/{name}", node) for name, node in tickets]
        if len({id(node) for _, node in found}) != 1:
            raise ViolationError(f"leader's tickets: {[path for path, _ in found]} (INV-7)")
        term = max(paths.parse_leader(path.rpartition("/")[2]) or 0 for path, _ in found)
        if term < self.term:
            raise ViolationError(f"the term fell from {self.term} to {found} (INV-7)")
        self.term = term

    # -- what peers are told ---------------------------------------------------------------------------------

    def at_rest(self) -> None:
        """Look at the whole, once everything was repaired."""
        self._untorn()
        for task, place in self.places.items():
            if place.kind in ("departed", "new"):
                raise ViolationError(f"at rest: the ticket of task {task} lies at {place.path}")
            if place.kind == "waiting":
                other = self.places.get(place.holder)
                if other is None or other.kind not in ("waiting", "parked"):
                    raise ViolationError(f"at rest: task {task} waits at {place.path}")
            elif place.kind not in ("done", "parked"):
                raise ViolationError(f"at rest: task {task} lies at {place.path}")
        for home, folder in _folders_of(self.sea.entries("departed")):
            if any(name.startswith("leader~") for name in folder.entries):
                raise ViolationError(f"at rest: the leader's ticket lies in departed/{home}")

    def _untorn(self) -> None:
        """A ticket that had two names may have two still, both set aside at one epoch; one is taken away here."""
        found = self._found()
        for task in self.torn:
            if any(place.kind != "parked" for place in found[task][1:]):
                raise ViolationError(f"at rest: task {task} lies at {[place.path for place in found[task]]} (ASM-10)")
            for place in found[task][1:]:
                self.sea.truth.unlink(place.path)

    def says_holding(self, me: Incarnation, ticket: Ticket) -> None:
        """A peer was told that it holds a task: nobody else may ever have been told so of that epoch."""
        owner = self.told.setdefault((ticket.task, ticket.epoch), str(me))
        if owner != str(me):
            raise ViolationError(f"{owner} and {me} were both told that they hold {ticket} (INV-2)")
        if (ticket.task, ticket.epoch, str(me)) not in self.seats:
            raise ViolationError(f"{me} was told that it holds {ticket}, and never did (INV-2)")

    def says_done(self, me: Incarnation, task: str, epoch: int) -> None:
        """A peer was told that it completed a task."""
        if epoch not in self.finished.get(task, ()) or self.doers.get((task, epoch)) != str(me):
            raise ViolationError(f"{me} was told that it completed task {task} at epoch {epoch}, and did not (INV-4)")
        done = {e for t, e in self.acknowledged if t == task} | {epoch}
        if len(done) > 1 and not self.reopening:
            raise ViolationError(f"completions of task {task} at epochs {sorted(done)} were acknowledged (INV-4)")
        self.acknowledged.add((task, epoch))

    def says_lost(self, me: Incarnation, task: str) -> None:
        """A peer was told that a task is not its own, when it wanted to complete it."""
        place = self.places.get(task)
        epochs = self.finished.get(task)
        mine = epochs is not None and self.doers.get((task, epochs[-1])) == str(me)
        present = str(me) in (self.sea.entries("peers") or {})  # else it is told that it was evicted, or nearly
        if mine and present and place and (place.kind == "done" or place.done):
            raise ViolationError(f"{me} completed task {task}, and was told that it is not its own (CMP-3)")

    def says_released(self, me: Incarnation, task: str, epoch: int) -> None:
        """A peer was told that it gave a task back."""
        place = self.places.get(task)
        if place and place.holder == str(me) and place.epoch == epoch and place.kind == "peers":
            raise ViolationError(f"{me} was told that it gave task {task} back, and still holds it")

    def says_joined(self, me: Incarnation) -> None:
        """A peer was told that it joined: nobody else of that name may live."""
        living = self.sea.entries("peers") or {}
        other = self.joined.get(me.peer)
        if other is not None and other in living and str(me) in living:
            raise ViolationError(f"{other} and {me} live under one name (MBR-3)")
        self.joined[me.peer] = str(me)

    def says_evicted(self, who: Incarnation) -> None:
        """A peer was told that it evicted another: from now on that one moves nothing, or from the seal on."""
        departed = _folders_of(self.sea.entries("departed"))
        if not any(home.startswith(f"{who}~") and "claims" in folder.entries for home, folder in departed):
            self.fenced.add(str(who))

    def silent_for(self, who: Incarnation) -> float:
        """Seconds since a peer's last heartbeat, without the time in which nobody could have beaten."""
        last, now = self.beats.get(str(who), 0.0), self.sea.baton.now
        stood = sum(min(end, now) - max(begin, last) for begin, end in self.sea.outages if end > last and begin < now)
        return now - last - stood

    def says_dead(self, who: Incarnation, silent: float, ttl: float) -> None:
        """An observer has evicted a peer for its silence: it must have been silent for long."""
        if silent < ttl:
            raise ViolationError(f"{who} was evicted for its silence {silent:.0f} s after its last heartbeat (LIV-4)")


def _tickets_in(folder: Folder, kind: str, holder: str, path: str) -> Iterator[tuple[str, Place]]:
    for name, node in folder.entries.items():
        ticket = paths.parse_ticket(name) if isinstance(node, Inode) else None
        if ticket:
            yield ticket.task, Place(kind, ticket.epoch, holder, ticket.done, f"{path}/{name}", node)


def _folders(node: Folder | Inode | None) -> list[tuple[str, Folder]]:
    return _folders_of(node.entries) if isinstance(node, Folder) else []


def _folders_of(entries: dict[str, Inode | Folder] | None) -> list[tuple[str, Folder]]:
    return [(name, node) for name, node in (entries or {}).items() if isinstance(node, Folder)]
