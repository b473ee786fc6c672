"""For the tests of the memory bank's files: a coordination directory and a bank on one disk that may crash."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from memory.helpers import TECH, texts
from support.faults import CHANGES as USUAL
from support.faults import Call, Wrapper
from support.memory import MemoryDisk, refuse
from support.worlds import World

from peercoord.memory import bank as banks
from peercoord.memory import markdown, textmerge
from peercoord.memory.bank import Bank, Decider
from peercoord.memory.contribution import Contribution
from peercoord.store import paths

if TYPE_CHECKING:
    from peercoord.memory.journal import Entry
    from peercoord.memory.outcome import Merge3
    from peercoord.system.disk import DiskLike

PLACE = "memory-bank"
NOTES = ("quarantine",)
ANN = Decider("ann", {"host": "h", "pid": 1})


def always() -> bool:
    return True


EXCHANGE = "exchange"
CHANGES = USUAL | {EXCHANGE}


class Exchange(Call):
    """Two names that change places: what the memory bank asks of a disk beyond the calls that all disks have."""

    def __init__(self, disk: DiskLike, source: str, target: str) -> None:
        super().__init__(disk, EXCHANGE, (source, target))

    @property
    def path(self) -> str:
        return str(self.args[1])

    def run(self) -> None:
        if isinstance(self._disk, Wrapper):
            self._disk.around(Exchange(self._disk.disk, *self.args))
            return
        assert isinstance(self._disk, MemoryDisk)
        nodes = [self._disk._node(path) for path in self.args]  # refused if one is missing
        for path, node in zip(self.args, reversed(nodes), strict=True):
            home, name = self._disk._home(path)
            home.entries[name] = node
            self._disk._tick(home)


class Below(Wrapper):
    """A directory of a disk, as a disk that can do all that the memory bank asks for."""

    place = PLACE

    def exchange(self, source: str, target: str) -> None:
        Exchange(self.disk, f"{PLACE}/{source}", f"{PLACE}/{target}").run()

    def match(self, path: str, other: str) -> None:
        pass

    def written(self, path: str) -> bool:
        return False

    def around(self, call: Call) -> Any:
        count = {"link": 2, "rename": 2, "flush": 0}.get(call.name, 1)
        paths = [f"{self.place}/{path}" if path else self.place for path in call.args[:count]]
        return getattr(self.disk, call.name)(*paths, *call.args[count:])


class Plain(Below):
    """The same where no two files can change places."""

    def exchange(self, source: str, target: str) -> None:
        raise refuse(errno.ENOSYS, target)


class Scene:
    """One directory in memory, with a coordination directory and a memory bank in it."""

    def __init__(self, disk: MemoryDisk | None = None, world: World | None = None) -> None:
        self.disk = disk or MemoryDisk()
        self.world = world or World.new(self.disk)
        if disk is None:
            self.disk.mkdir(PLACE)

    def twin(self) -> Scene:
        world = self.world.twin()
        assert isinstance(world.disk, MemoryDisk)
        return Scene(world.disk, world)

    def bank(self, disk: DiskLike | None = None, kind: type[Below] = Below) -> Bank:
        """The bank as a new process sees it."""
        on = disk or self.disk
        return Bank(self.world.on(on).root, kind(on))

    def write(self, data: bytes | None = TECH, name: str = "techContext.md") -> None:
        """A person saves a document, or removes it."""
        path = f"{PLACE}/{name}"
        if path in self.disk.files():
            self.disk.unlink(path)
        if data is not None:
            self.disk.create(path, data, False)

    def add(self, *ones: Contribution, bases: bytes = TECH) -> None:
        store = self.bank().store
        store.texts.keep(texts(bases))
        for one in ones:
            store.publish(one)

    def merge(self) -> list[banks.MergeSummary]:
        return self.bank().merge("leader", always)

    def document(self, name: str = "techContext.md") -> bytes | None:
        return self.disk.files().get(f"{PLACE}/{name}")

    def state(self, state: str) -> set[str]:
        return self.bank().store.idents(state)


class Cutting(Wrapper):
    """Copies a scene before each changing call and in the midst of it: what is left if the process dies there.

    What a crash after a call leaves is what one before the next call leaves. States that were met before are left out.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.disk)
        self.scene = scene
        self.states: dict[object, tuple[str, Scene]] = {}

    def around(self, call: Call) -> Any:
        if call.name in CHANGES:
            self.keep(f"before {call}", self.scene.twin())
            torn = self.scene.twin()
            with suppress(OSError):
                Call(torn.disk, call.name, call.args).torn()
            self.keep(f"within {call}", torn)
        return call.run()

    def keep(self, hint: str, state: Scene) -> None:
        key = (tuple(state.disk.files().items()), frozenset(state.disk.folders()))
        self.states.setdefault(key, (hint, state))


@contextmanager
def quick(merge3: Merge3) -> Iterator[None]:
    """Let merges share one directory for git: a thousand of them are played."""

    @contextmanager
    def shared(git: str = "git") -> Iterator[Merge3]:
        yield merge3

    before = banks.merger
    banks.merger = shared  # type: ignore[assignment]
    try:
        yield
    finally:
        banks.merger = before
    assert textmerge.merger is before


def places(scene: Scene) -> dict[str, str]:
    """Where each contribution is; an assertion fails if one is in two places or named by a broken candidate."""
    bank = scene.bank()
    found: dict[str, str] = {}
    for state in ("queued", "merged", "rejected"):
        for ident in scene.state(state):
            assert ident not in found, f"{ident} is {found[ident]} and {state}"
            found[ident] = state
    members = Counter(one for waiting in bank.waiting() for one in waiting.candidate.members)
    for ident, count in members.items():
        assert count == 1, f"{ident} is in {count} candidates"
        assert found[ident] == "queued", f"a candidate names {ident}, which is {found.get(ident)}"
        found[ident] = "candidate"
    return found


def stands(document: bytes, text: str) -> int:
    """How often a block stands in a document."""
    return sum(block.text.strip() == text for block in markdown.blocks(document.decode()))


def litter(scene: Scene) -> list[str]:
    return [path for path in scene.disk.files() if path.startswith(("tmp/", f"{PLACE}/."))]


def intents(scene: Scene) -> list[str]:
    return [path for path in scene.disk.files() if path.startswith(paths.LEDGER) and path.endswith(".intent")]


def check_chain(entries: list[Entry]) -> None:
    """Each entry of a document names the one before it."""
    assert [one.previous for one in entries] == ["", *(one.id for one in entries)][: len(entries)]


Act = Callable[[Bank], object]


def merge(bank: Bank) -> object:
    return bank.merge("first", always)
