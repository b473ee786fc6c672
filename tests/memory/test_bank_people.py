"""People who save a document at the moment at which it is merged, decided on or taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count

import pytest
from memory.banks import ANN, PLACE, Act, Below, Plain, Scene, always, litter, merge, places
from memory.helpers import TECH, note
from support.faults import Call, Pausing

from peercoord.errors import LostError, PeercoordError
from peercoord.memory.bank import Bank

NAME = "techContext.md"
TOOLS = ("Tech context", "Tools")


pytestmark = pytest.mark.usefixtures("shared")


def saves(
    scene: Scene, save: Callable[[Scene], object], act: Act, kind: type[Below] = Below
) -> Iterator[tuple[Scene, Call]]:
    """Let a person save something before each call of an act."""
    for at in count(1):
        play = scene.twin()
        pausing = Pausing(play.disk, at, lambda play=play: save(play))
        with suppress(PeercoordError):  # what she wrote may be in the way of an undo
            act(play.bank(pausing, kind))
        if pausing.last is None:
            break
        yield play, pausing.last
    assert at > 20


@pytest.mark.parametrize("kind", [Below, Plain])
def test_text_saved_at_any_moment_of_a_merge_stands(scene: Scene, kind: type[Below]) -> None:
    """MEM-10: the merge is computed again on it. Where no files can change places, it is lost at one moment alone,
    right before the rename."""
    one = note("- a fact")
    scene.add(one)
    saved = TECH.replace(b"Use ruff.", b"Use ruff, says Ann.")
    for play, last in saves(scene, lambda play: play.write(saved), merge, kind):
        play.merge()
        document = play.document() or b""
        if kind is Below or (last.name, last.path) != ("rename", f"{PLACE}/{NAME}"):
            assert b"says Ann" in document, last
        assert places(play) == {one.id: "merged"}, last
        assert b"- a fact" in document or play.bank().foreign(), last
        assert document.count(b"- a fact") <= 1, last


def test_a_document_made_while_the_merge_makes_it_stands(scene: Scene) -> None:
    """MEM-10."""
    name = "activeContext.md"
    scene.add(note("- now", (), document=name))
    for play, last in saves(scene, lambda play: play.write(b"# Ann's\n", name), merge):
        play.merge()
        assert b"# Ann's\n" in (play.document(name) or b""), last


def test_a_document_saved_while_an_undo_removes_it_stands(scene: Scene) -> None:
    """MEM-10."""
    name = "activeContext.md"
    scene.add(note("- now", (), document=name))
    (summary,) = scene.merge()
    undo = partial(Bank.undo, entry_id=summary.entry, decider=ANN)
    for play, last in saves(scene, lambda play: play.write(b"- now\n- Ann's\n", name), undo):
        assert b"Ann's" in (play.document(name) or b""), last
        assert [path for path in litter(play) if path.startswith(PLACE)] == [], last


def test_of_two_saves_at_once_the_newer_stands(scene: Scene) -> None:
    """MEM-10: the second one meets the text that took the first one's place for an instant."""
    scene.add(note("- a fact"))
    texts = [TECH.replace(b"Use ruff.", f"Use ruff, {number} times.".encode()) for number in range(5)]

    class Busy(Below):
        def exchange(self, source: str, target: str) -> None:
            if texts:
                scene.write(texts.pop(0))
            super().exchange(source, target)

    scene.bank(kind=Busy).merge("leader", always)
    assert texts == []
    document = scene.document() or b""
    assert b"4 times." in document
    assert document.count(b"- a fact") == 1
    assert litter(scene) == []


def test_a_program_that_writes_all_the_time_is_named(scene: Scene) -> None:
    scene.add(note("- a fact"))
    count = 0
    bank = scene.bank()
    look = bank.files.read

    def read(name: str) -> bytes | None:
        nonlocal count
        count += 1
        scene.write(TECH + f"\n{count}\n".encode())
        return look(name)

    bank.files.read = read  # type: ignore[method-assign]
    with pytest.raises(LostError, match="keeps changing"):
        bank.merge("leader", always)
    assert set(places(scene).values()) == {"queued"}
