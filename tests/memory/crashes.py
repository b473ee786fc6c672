"""For tests: scenes of the memory bank, and the states in which a crash leaves them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from memory.banks import (
    ANN,
    EXCHANGE,
    NOTES,
    PLACE,
    Act,
    Below,
    Cutting,
    Plain,
    Scene,
    always,
    check_chain,
    merge,
    places,
    stands,
)
from memory.helpers import TECH, change, note
from support.faults import Call, Crash, Crashing, Failing

from peercoord.errors import LostError
from peercoord.store import paths

if TYPE_CHECKING:
    from peercoord.memory.bank import Bank

NAME = "techContext.md"
TOOLS = ("Tech context", "Tools")
FACTS = [note("- a fact"), note("- another", TOOLS, peer="instance-2", time=1), note("- a fact", peer="instance-3")]
OLD = note("- first thought", time=2)
NEW = note("- second thought", time=3, supersedes=(OLD.id,))
SIDES = [change("8 MB."), change("6 MB.", peer="instance-2", time=1), note("- behind", time=2)]
UNFIT = note("<!-- peercoord: progress -->\nmine", time=4)
MORE = note("- from the successor", time=20, peer="instance-4")


# -- scenes and acts ---------------------------------------------------------------------------------------------


@cache
def queued() -> Scene:
    scene = Scene()
    scene.write()
    scene.write(b"# Active\n", "activeContext.md")
    scene.add(*FACTS, OLD, NEW, UNFIT, note("- now", (), document="activeContext.md"))
    return scene


@cache
def two_sides() -> Scene:
    scene = Scene()
    scene.write()
    scene.add(*SIDES)
    return scene


@cache
def conflict() -> Scene:
    scene = two_sides().twin()
    scene.merge()
    return scene


@cache
def merged() -> Scene:
    scene = queued().twin()
    scene.merge()
    scene.add(note("- later", time=9))
    scene.merge()
    return scene


@cache
def overwritten() -> Scene:
    """Two leaders that landed their entries without seeing each other; the document is the second one's."""
    scene = Scene()
    scene.write()
    scene.add(*FACTS)
    late = scene.twin()
    scene.merge()
    late.add(note("- only here", time=40))
    late.merge()
    for path, data in late.disk.files().items():
        if path not in scene.disk.files() and path.startswith((paths.LEDGER, paths.TEXTS, paths.MEMORY + "/merged")):
            scene.disk.create(path, data, False)
    return scene


SAVED = TECH.replace(b"Use ruff.", b"Use ruff, says Ann.")


@cache
def displaced() -> Scene:
    """A leader that died when its own text had displaced one that a person saved a moment before."""
    play = queued().twin()

    class Saved(Crashing):
        def around(self, call: Call) -> Any:
            if self.left == 1:
                play.write(SAVED)
            return super().around(call)

    with pytest.raises(Crash):
        play.bank(Saved(play.disk, replacing(play, merge), "after")).merge("first", always)
    assert b"says Ann" not in (play.document() or b"")
    return play


def approve(bank: Bank) -> None:
    for waits in bank.waiting():
        with suppress(LostError):
            bank.approve(waits.candidate.id, waits.candidate.takes["both"], ANN)


def reject(bank: Bank) -> None:
    for waits in bank.waiting():
        bank.reject(waits.candidate.id, "neither", ANN)


def undo(bank: Bank) -> None:
    with suppress(LostError):
        bank.undo(bank.entries(NAME)[0].id, ANN)


def progress(bank: Bank) -> object:
    return bank.progress("1 of 2\n", "first", always)


SCENES: dict[str, tuple[Callable[[], Scene], Act]] = {
    "merge": (queued, merge),
    "merge, with two sides": (two_sides, merge),
    "approve": (conflict, approve),
    "reject": (conflict, reject),
    "undo": (merged, undo),
    "progress": (merged, progress),
}


# -- where a process can die -------------------------------------------------------------------------------------


@cache
def crashes(
    make: Callable[[], Scene], act: Act, kinds: tuple[type[Below], ...] = (Below, Plain)
) -> list[tuple[str, Scene]]:
    """All states that a crash leaves on these kinds of disks; take a ``twin`` of each."""
    found: dict[object, tuple[str, Scene]] = {}
    for kind in kinds:
        scene = make().twin()
        disk = Cutting(scene)
        act(scene.bank(disk, kind))
        disk.keep("after all", scene)
        found = disk.states | found
    return list(found.values())


def replacing(scene: Scene, act: Act, kind: type[Below] = Below) -> int:
    """Which call of an undisturbed act replaces the document, counted from 1."""
    met: list[Call] = []
    twin = scene.twin()
    act(twin.bank(Failing(twin.disk, met.append), kind))  # type: ignore[arg-type]
    name = EXCHANGE if kind is Below else "rename"
    return next(at for at, call in enumerate(met, 1) if call.path == f"{PLACE}/{NAME}" and call.name == name)


def settled(scene: Scene, act: Act) -> Scene:
    """Ask again, and let a leader finish everything."""
    act(scene.bank())
    scene.merge()
    scene.merge()
    return scene


def check(scene: Scene, like: Scene, hint: object) -> None:
    assert scene.document() == like.document(), hint
    assert scene.document("activeContext.md") == like.document("activeContext.md"), hint
    assert places(scene) == places(like), hint
    done = [[(one.kind, sorted(one.contributions)) for one in each.bank().entries()] for each in (scene, like)]
    assert done[0] == done[1], hint
    check_chain(scene.bank().entries(NAME))
    waiting = [[waits.candidate.id for waits in each.bank().waiting()] for each in (scene, like)]
    assert waiting[0] == waiting[1], hint
    assert not [path for path in scene.disk.files() if path.startswith(NOTES)], hint


def check_merged(scene: Scene, hint: object, *texts: str) -> None:
    """All is merged, and these lines stand in the document once each."""
    for text in texts:
        assert stands(scene.document() or b"", text) == 1, (hint, text)
    assert "queued" not in places(scene).values(), hint
