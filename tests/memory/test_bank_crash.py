"""Processes that die, stop or get wrong answers at any file operation of a merge, a decision or an undo.

The next leader finishes their work: every contribution is in one place, and merged text stands in its document once.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from memory.banks import (
    ANN,
    CHANGES,
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
    intents,
    litter,
    merge,
    places,
    quick,
    stands,
)
from memory.helpers import TECH, change, note
from support.faults import Call, Crash, Crashing, Failing, Fault, Pausing

from peercoord.errors import LostError, PeercoordError
from peercoord.memory.document import digest
from peercoord.memory.progress_section import ProgressFacts
from peercoord.store import paths, records

if TYPE_CHECKING:
    from peercoord.memory.bank import Bank
    from peercoord.memory.outcome import Merge3

NAME = "techContext.md"
TOOLS = ("Tech context", "Tools")
FACTS = [note("- a fact"), note("- another", TOOLS, peer="instance-2", time=1), note("- a fact", peer="instance-3")]
OLD = note("- first thought", time=2)
NEW = note("- second thought", time=3, supersedes=(OLD.id,))
SIDES = [change("8 MB."), change("6 MB.", peer="instance-2", time=1), note("- behind", time=2)]
UNFIT = note("<!-- peercoord: progress -->\nmine", time=4)
MORE = note("- from the successor", time=20, peer="instance-4")


@pytest.fixture(autouse=True)
def _shared(merge3: Merge3) -> Iterator[None]:
    with quick(merge3):
        yield


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
    return bank.progress(ProgressFacts(2, 1, 1, 0, 0.5), "first", always)


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


@pytest.mark.parametrize("name", SCENES)
def test_another_finishes_what_a_crash_leaves(name: str) -> None:
    """MEM-10, MEM-16: before, after and in the midst of every call."""
    make, act = SCENES[name]
    like = settled(make().twin(), act)
    states = crashes(make, act)
    for hint, state in states:
        check(settled(state.twin(), act), like, hint)
    assert len(states) > 4


@pytest.mark.parametrize("done", [False, True], ids=["refused", "done, then answered with an error"])
@pytest.mark.parametrize("name", SCENES)
def test_a_call_that_is_answered_wrongly_loses_nothing(name: str, done: bool) -> None:
    make, act = SCENES[name]
    like = settled(make().twin(), act)
    for at in count(1):
        play, met = make().twin(), 0

        def rule(call: Call, at: int = at) -> Fault | None:
            nonlocal met
            met += call.name in CHANGES or call.name == "sync"
            if met != at or not (call.name in CHANGES or call.name == "sync"):
                return None
            return Fault(errno.ENOSPC if call.writes and not done else errno.EIO, done)

        failing = Failing(play.disk, rule)
        with suppress(PeercoordError):
            act(play.bank(failing))
        if not failing.met:
            break
        check(settled(play, act), like, failing.met)


def test_a_rejection_is_done_wholly_or_not_at_all() -> None:
    """MEM-16: also if the person does not ask again."""
    seen = set()
    for hint, state in crashes(conflict, reject):
        play = state.twin()
        play.merge()
        states = {places(play)[one.id] for one in SIDES[:2]}
        assert states in ({"candidate"}, {"rejected"}), hint
        seen |= states
        whys = {play.bank().store.rejection(one.id).get("reason") for one in SIDES[:2]}
        assert whys == ({"neither"} if states == {"rejected"} else {None}), hint
    assert seen == {"candidate", "rejected"}


def test_a_crash_while_overwritten_entries_are_reverted() -> None:
    """MEM-11: the document does not hold what one of two entries brought; both brought some of the same lines."""
    assert len(overwritten().bank().entries()) == 2
    for hint, state in crashes(overwritten, merge):
        play = state.twin()
        play.merge()
        check_merged(play, hint, "- a fact", "- another", "- only here")
        check_chain(play.bank().entries(NAME))
        assert len(intents(play)) == 1, hint


# -- a person edits while the leader lies dead ---------------------------------------------------------------------


def test_an_edit_after_a_crash_is_never_overwritten() -> None:
    """MEM-10, MEM-12: the text tells whether the document was replaced."""
    for hint, state in crashes(queued, merge):
        play = state.twin()
        play.write((play.document() or b"").replace(b"Use ruff.", b"Use ruff, says Ann."))
        play.merge()
        check_merged(play, hint, "- a fact", "- another")
        assert b"says Ann" in (play.document() or b""), hint


@pytest.mark.parametrize("edited", [b"- a fine fact", b""], ids=["edited", "removed"])
def test_text_edited_after_a_crash_is_not_merged_again(edited: bytes) -> None:
    """MEM-12: the displaced text, which is still staged, proves that the document was replaced."""
    replaced = [each for each in crashes(queued, merge, (Below,)) if b"- a fact" in (each[1].document() or b"")]
    assert len(replaced) > 4
    for hint, state in replaced:
        play = state.twin()
        play.write((play.document() or b"").replace(b"- a fact", edited))
        play.merge()
        check_merged(play, hint, "- another")
        assert b"- a fact" not in (play.document() or b""), hint
        assert edited in (play.document() or b""), hint


def test_text_taken_out_after_a_crash_stays_out() -> None:
    """MEM-12: also where the leader died before it moved the contributions."""
    for hint, state in crashes(queued, merge, (Below,)):
        play = state.twin()
        replaced = play.document() != TECH
        play.write(TECH)
        play.merge()
        assert (b"- a fact" in (play.document() or b"")) != replaced, hint


def test_a_document_that_is_no_text_after_a_crash_is_left_alone() -> None:
    """MEM-13."""
    play = queued().twin()
    with suppress(Crash):
        play.bank(Crashing(play.disk, replacing(play, merge), "before")).merge("first", always)
    play.write(b"\xff\xfe")
    assert [one.document for one in play.merge() if one.note] == [NAME]
    assert play.document() == b"\xff\xfe"
    play.write(TECH)
    play.merge()
    assert b"- a fact" in (play.document() or b"")


# -- two leaders -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("knows", [True, False], ids=["knows that it was replaced", "does not know"])
def test_a_stopped_leader_goes_on_after_its_successor_merged(knows: bool) -> None:
    """MEM-11: wherever it was stopped."""
    for at in count(1):
        play, led = queued().twin(), [True]

        def meanwhile(play: Scene = play, led: list[bool] = led) -> None:
            play.bank().merge("second", always)
            play.add(MORE)
            play.bank().merge("second", always)
            led[0] = not knows

        pausing = Pausing(play.disk, at, meanwhile)
        with suppress(LostError):
            play.bank(pausing).merge("first", lambda led=led: led[0])
        if pausing.last is None:
            break
        play.merge()
        play.merge()
        check_merged(play, pausing.last, "- a fact", "- another", "- second thought", "- from the successor")
        assert b"first thought" not in (play.document() or b""), pausing.last
        assert places(play)[MORE.id] == "merged"
    assert at > 50


@pytest.mark.parametrize("dies", [True, False], ids=["and died", "and went on"])
@pytest.mark.parametrize("kind", [Below, Plain])
def test_a_leader_that_overwrote_its_successor(kind: type[Below], dies: bool) -> None:
    """MEM-11: what it overwrote is back, or merged again, or noted as a foreign change."""
    play = queued().twin()

    class Stopped(Pausing):
        def around(self, call: Call) -> object:
            answer = super().around(call)
            if self.left <= 0 and dies:
                raise Crash(repr(call))
            return answer

    def meanwhile() -> None:
        play.bank().merge("second", always)
        play.add(MORE)
        play.bank().merge("second", always)

    with suppress(Crash):
        play.bank(Stopped(play.disk, replacing(play, merge, kind), meanwhile), kind).merge("first", always)
    assert not dies or b"successor" not in (play.document() or b"")
    play.merge()
    assert b"successor" in (play.document() or b"") or (play.bank().foreign() and kind is Plain and dies)
    assert places(play)[MORE.id] == "merged"


def test_two_leaders_at_once_lose_and_double_nothing() -> None:
    """MEM-11: each reads before the other writes, and sees another queue."""
    late = note("- came late", time=30, peer="instance-5")
    for at in count(1, 2):
        play = queued().twin()

        def meanwhile(play: Scene = play) -> None:
            play.add(late)
            play.bank().merge("second", always)

        pausing = Pausing(play.disk, at, meanwhile)
        play.bank(pausing).merge("first", always)
        if pausing.last is None:
            break
        play.merge()
        check_merged(play, pausing.last, "- a fact", "- another", "- second thought", "- came late")
    assert at > 50


def test_a_leader_that_no_longer_leads_writes_nothing() -> None:
    """MEM-10: it asks at the start, and once more right before it replaces the document."""
    scene = queued().twin()
    before = scene.disk.files()
    with pytest.raises(LostError, match="leads now"):
        scene.bank().merge("first", lambda: False)
    assert scene.disk.files() == before
    for limit in range(2, 6):
        asked, play = count(1), queued().twin()
        with pytest.raises(LostError, match="leads now"):
            play.bank().merge("first", lambda asked=asked, limit=limit: next(asked) < limit)
        assert play.document() == TECH or play.bank().entries(NAME), limit
        assert intents(play) == []
    bank, begun = scene.bank(), []
    begin = bank.store.begin
    bank.store.begin = lambda entry: (begun.append(entry.id), begin(entry))[1]  # type: ignore[func-returns-value,method-assign]
    with pytest.raises(LostError, match="leads now"):
        bank.merge("first", lambda: not begun)
    assert begun
    assert scene.document("activeContext.md") == b"# Active\n"
    assert intents(scene) == []


def test_an_intent_that_never_landed_does_not_count() -> None:
    """MEM-11, MEM-12: the document is as an earlier entry left it, whatever old intents say."""
    play = queued().twin()
    play.merge()
    first = play.document()
    entry = play.bank().entries(NAME)[0]
    play.add(note("- later", time=9))
    play.merge()
    stray = {**entry.record(), "id": "e-00000000000000aa", "by": "a leader that died"}
    play.disk.create(paths.intent(NAME, stray["id"]), records.encode(stray), False)
    play.write(first)
    play.merge()
    assert play.document() == first


def test_lines_from_elsewhere_do_not_make_an_old_intent_land() -> None:
    """MEM-10: its other contributions would be lost."""
    play = queued().twin()
    with suppress(Crash):
        play.bank(Crashing(play.disk, replacing(play, merge), "before")).merge("first", always)
    assert len(intents(play)) == 1
    play.write(SAVED)
    play.add(change("Use ruff and more.", TOOLS, time=0), note("- another", TOOLS, peer="p", critical=True))
    play.merge()
    play.write((play.document() or b"") + b"\nMore.\n")
    play.merge()
    document, found = play.document() or b"", places(play)
    assert stands(document, "- a fact") == 1
    assert all(found[one.id] in ("merged", "candidate", "queued") for one in FACTS)
    assert all(stands(document, one.content) == 1 for one in FACTS if found[one.id] == "merged")


# -- a text that was displaced -------------------------------------------------------------------------------------


def test_a_displaced_text_is_put_back_whatever_the_crash() -> None:
    """MEM-10: the next merge or decision finds the file, also if that merge crashes."""
    for hint, state in crashes(displaced, lambda bank: bank.merge("second", always)):
        play = state.twin()
        play.merge()
        check_merged(play, hint, "- a fact", "- another")
        assert b"says Ann" in (play.document() or b""), hint
    play = displaced().twin()
    play.merge()
    assert litter(play) == []
    check_chain(play.bank().entries(NAME))
    play = displaced().twin()
    play.bank().progress(ProgressFacts(1, 0, 0, 0, 0.0), "second", always, NAME)
    assert b"says Ann" in (play.document() or b"")


def test_a_displaced_text_that_cannot_be_put_back_now_is_kept() -> None:
    """MEM-10: the disk refuses the second exchange; the next attempt finds the text where it lies."""
    play, met = queued().twin(), 0

    class Refusing(Below):
        def exchange(self, source: str, target: str) -> None:
            nonlocal met
            met += target == NAME
            if met == 1:
                play.write(SAVED)
            if met == 2:
                raise OSError(errno.EIO, "refused", target)
            super().exchange(source, target)

    with suppress(PeercoordError):
        play.bank(kind=Refusing).merge("first", always)
    assert met >= 2
    play.merge()
    check_merged(play, "", "- a fact")
    assert b"says Ann" in (play.document() or b"")


def test_a_displaced_text_is_backed_up_where_a_person_saved_again() -> None:
    """MEM-10: the newest text stands; of the other one nothing is lost."""
    play = displaced().twin()
    play.write((play.document() or b"").replace(b"Names are unique.", b"Names are short."))
    play.merge()
    assert b"Names are short." in (play.document() or b"")
    assert play.bank().store.backup(NAME, digest(SAVED)) == SAVED
    assert [path for path in litter(play) if "techContext" in path] == []
    assert b"overtaken" in play.disk.files()["events/memory.jsonl"]
