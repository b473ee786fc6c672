"""A process that dies, stops or is lied to at any file operation of a merge, a decision or an undo.

Whoever comes next finishes it: every contribution is in one place, and what was merged stands in its document once.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from memory.banks import (
    ANN,
    EXCHANGE,
    NOTES,
    PLACE,
    Act,
    Below,
    Plain,
    Scene,
    always,
    intents,
    litter,
    places,
    quick,
    stands,
)
from memory.helpers import TECH, change, note
from support.faults import CHANGES as USUAL
from support.faults import Call, Crash, Crashing, Failing, Fault, Pausing

from peercoord.errors import LostError, NotFoundError, PeercoordError
from peercoord.memory.document import digest
from peercoord.memory.progress_section import ProgressFacts
from peercoord.store import paths, records

if TYPE_CHECKING:
    from peercoord.memory.bank import Bank
    from peercoord.memory.outcome import Merge3

CHANGES = USUAL | {EXCHANGE}
KINDS = {Below: EXCHANGE, Plain: "rename"}  # how a document is replaced, by the kind of disk
TOOLS = ("Tech context", "Tools")
FACTS = [note("- a fact"), note("- another", TOOLS, peer="instance-2", time=1), note("- a fact", peer="instance-3")]
OLD = note("- first thought", time=2)
NEW = note("- second thought", time=3, supersedes=(OLD.id,))
SIDES = [change("8 MB."), change("6 MB.", peer="instance-2", time=1), note("- behind", time=2)]
UNFIT = note("<!-- peercoord: progress -->\nmine", time=4)


@pytest.fixture(autouse=True)
def _shared(merge3: Merge3) -> Iterator[None]:
    with quick(merge3):
        yield


# -- what is played ----------------------------------------------------------------------------------------------


def queued() -> Scene:
    scene = Scene()
    scene.write()
    scene.write(b"# Active\n", "activeContext.md")
    scene.add(*FACTS, OLD, NEW, UNFIT, note("- now", (), document="activeContext.md"))
    return scene


def conflict() -> Scene:
    scene = Scene()
    scene.write()
    scene.add(*SIDES)
    scene.merge()
    return scene


def merged() -> Scene:
    scene = queued()
    scene.merge()
    scene.add(note("- later", time=9))
    scene.merge()
    return scene


def merge(bank: Bank) -> object:
    return bank.merge("first", always)


def approve(bank: Bank) -> object:
    with suppress(NotFoundError):  # asked again, it is decided already
        (waits,) = bank.waiting()
        return bank.approve(waits.candidate.id, waits.candidate.takes["both"], ANN)
    return None


def approve_if_waiting(bank: Bank) -> object:
    for waits in bank.waiting():
        with suppress(LostError):
            bank.approve(waits.candidate.id, waits.candidate.takes["both"], ANN)
    return None


def reject(bank: Bank) -> object:
    for waits in bank.waiting():
        bank.reject(waits.candidate.id, "neither", ANN)
    return None


def undo(bank: Bank) -> object:
    first = bank.entries("techContext.md")[0]
    with suppress(LostError):
        return bank.undo(first.id, ANN)
    return None


def progress(bank: Bank) -> object:
    return bank.progress(ProgressFacts(2, 1, 1, 0, 0.5), "first", always)


SCENES: dict[str, tuple[Callable[[], Scene], Act]] = {
    "merge": (queued, merge),
    "merge, with two sides": (lambda: _unmerged(conflict), merge),
    "approve": (conflict, approve_if_waiting),
    "reject": (conflict, reject),
    "undo": (merged, undo),
    "progress": (merged, progress),
}


def _unmerged(_of: Callable[[], Scene]) -> Scene:
    scene = Scene()
    scene.write()
    scene.add(*SIDES)
    return scene


@pytest.fixture(params=SCENES.items(), ids=lambda item: item[0])
def played(request: pytest.FixtureRequest) -> tuple[str, Scene, Act]:
    name, (make, act) = request.param
    return name, make(), act


def calls(scene: Scene, act: Act, kind: type[Below] = Below) -> list[Call]:
    """All calls of an undisturbed play."""
    met: list[Call] = []
    act(scene.twin().bank(Failing(scene.twin().disk, lambda call: met.append(call)), kind))
    return met


def replacing(scene: Scene, act: Act, kind: type[Below] = Below) -> int:
    """Which call of an undisturbed play replaces the document, counted from 1."""
    met = enumerate(calls(scene, act, kind), 1)
    return next(at for at, call in met if call.path == f"{PLACE}/techContext.md" and call.name == KINDS[kind])


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
    entries, others = scene.bank().entries(), like.bank().entries()
    assert [(one.kind, sorted(one.contributions)) for one in entries] == [
        (one.kind, sorted(one.contributions)) for one in others
    ], hint
    chain = [one for one in entries if one.document == "techContext.md"]
    assert [one.previous for one in chain] == ["", *(one.id for one in chain)][: len(chain)], hint
    assert [waits.candidate.id for waits in scene.bank().waiting()] == [
        waits.candidate.id for waits in like.bank().waiting()
    ], hint
    assert not [path for path in scene.disk.files() if path.startswith(NOTES)], hint


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["before", "after", "torn"])
def test_another_finishes_what_a_crash_leaves(played: tuple[str, Scene, Act], mode: str, kind: type[Below]) -> None:
    """MEM-10, MEM-16: before, after and in the midst of every call."""
    name, scene, act = played
    if kind is Plain and name not in ("merge", "undo"):
        return  # no other way through the documents
    like = settled(scene.twin(), act)
    at, changed = 0, 0
    while True:
        at += 1
        play = scene.twin()
        crashing = Crashing(play.disk, at, mode)
        with suppress(Crash):
            act(play.bank(crashing, kind))
        if crashing.last is None:
            break
        if crashing.last.name not in CHANGES:
            continue
        changed += 1
        check(settled(play, act), like, f"{mode} {at}: {crashing.last}")
    assert changed > 2


@pytest.mark.parametrize(("number", "done"), [(errno.EIO, False), (errno.EIO, True), (errno.ENOSPC, False)])
def test_a_call_that_is_answered_wrongly_loses_nothing(played: tuple[str, Scene, Act], number: int, done: bool) -> None:
    _, scene, act = played
    like = settled(scene.twin(), act)
    at = 0
    while True:
        at += 1
        play = scene.twin()
        count = 0

        def rule(call: Call, at: int = at) -> Fault | None:
            nonlocal count
            count += call.name in CHANGES or call.name == "sync"
            return Fault(number, done) if count == at and (call.name in CHANGES or call.name == "sync") else None

        failing = Failing(play.disk, rule)
        with suppress(PeercoordError):
            act(play.bank(failing))
        if not failing.met:
            break
        check(settled(play, act), like, failing.met)


@pytest.mark.slow
def test_a_leader_that_was_stopped_goes_on_after_its_successor_merged_more(merge3: Merge3) -> None:
    """MEM-11: wherever it was stopped, and whether or not it still thinks that it leads."""
    more = note("- from the successor", time=20, peer="instance-4")
    for knows in (True, False):
        at, overwritten = 0, 0
        while True:
            at += 1
            play = queued()
            led = [True]

            def meanwhile(play: Scene = play, led: list[bool] = led, knows: bool = knows) -> None:
                play.bank().merge("second", always)
                play.add(more)
                play.bank().merge("second", always)
                led[0] = not knows

            pausing = Pausing(play.disk, at, meanwhile)
            with suppress(LostError):
                play.bank(pausing).merge("first", lambda led=led: led[0])
            if pausing.last is None:
                break
            overwritten += b"successor" not in (play.document() or b"")
            play.merge()
            play.merge()
            document = play.document() or b""
            for text in ("a fact", "another", "second thought", "from the successor"):
                assert document.count(text.encode()) == 1, (knows, at, pausing.last)
            assert document.count(b"first thought") == 0, (knows, at, pausing.last)
            states = places(play)
            assert sorted(states.values()).count("queued") == 0, (knows, at, pausing.last)
            assert states[more.id] == "merged"
        assert at > 50


@pytest.mark.parametrize("kind", KINDS)
def test_a_leader_that_was_stopped_and_killed_right_after_it_overwrote(merge3: Merge3, kind: type[Below]) -> None:
    """MEM-11: what it overwrote is back, or merged again, or noted as a foreign change."""
    more = note("- from the successor", time=20, peer="instance-4")
    play = queued()
    at = replacing(play, merge, kind)

    class Stopped(Pausing):
        def around(self, call: Call) -> object:
            answer = super().around(call)
            if self.left <= 0:
                raise Crash(repr(call))
            return answer

    def meanwhile() -> None:
        play.bank().merge("second", always)
        play.add(more)
        play.bank().merge("second", always)

    with pytest.raises(Crash):
        play.bank(Stopped(play.disk, at, meanwhile), kind).merge("first", always)
    assert b"successor" not in (play.document() or b"")
    play.merge()
    assert b"successor" in (play.document() or b"") or (play.bank().foreign() and kind is Plain)
    assert places(play)[more.id] == "merged"


def test_of_two_leaders_at_once_nothing_is_lost_or_doubled(merge3: Merge3) -> None:
    """MEM-11: each of them reads before the other writes, with another queue before its eyes."""
    late = note("- came late", time=30, peer="instance-5")
    count = len(calls(queued(), merge))
    for at in range(1, count + 1, 2):
        play = queued()

        def meanwhile(play: Scene = play) -> None:
            play.add(late)
            play.bank().merge("second", always)

        play.bank(Pausing(play.disk, at, meanwhile)).merge("first", always)
        play.merge()
        document = play.document() or b""
        for text in ("a fact", "another", "second thought", "came late"):
            assert document.count(text.encode()) == 1, at
        assert "queued" not in places(play).values(), at


def test_one_that_no_longer_leads_writes_neither_entry_nor_document(merge3: Merge3) -> None:
    scene = queued()
    before = scene.disk.files()
    with pytest.raises(LostError, match="leads now"):
        scene.bank().merge("first", lambda: False)
    assert scene.disk.files() == before
    asked = 0

    def leads() -> bool:
        nonlocal asked
        asked += 1
        return asked < limit

    for limit in range(2, 6):
        asked, play = 0, queued()
        with suppress(LostError):
            play.bank().merge("first", leads)
        if asked >= limit:
            assert play.document() == TECH or play.bank().entries("techContext.md"), limit
        assert intents(play) == []


def test_a_person_edits_while_the_leader_lies_dead(merge3: Merge3) -> None:
    """MEM-10, MEM-12: the text decides whether the document was replaced; an edit is never overwritten."""
    at = 0
    while True:
        at += 1
        play = queued()
        crashing = Crashing(play.disk, at, "after")
        with suppress(Crash):
            play.bank(crashing).merge("first", always)
        if crashing.last is None:
            break
        document = play.document() or b""
        replaced = document != TECH
        play.write(document.replace(b"Use ruff.", b"Use ruff, says Ann."))
        play.merge()
        document = play.document() or b""
        assert b"says Ann" in document, crashing.last
        for text in ("- a fact", "- another"):
            assert stands(document, text) == 1, (crashing.last, replaced)
        assert "queued" not in places(play).values(), crashing.last


@pytest.mark.parametrize("edited", [b"- a fine fact", b""], ids=["edited", "removed"])
def test_what_a_dead_leader_merged_and_a_person_changed_is_not_merged_again(merge3: Merge3, edited: bytes) -> None:
    """MEM-12: the displaced text, which is still staged, proves that the document was replaced."""
    steps = 0
    for at in range(1, len(calls(queued(), merge)) + 1):
        play = queued()
        with suppress(Crash):
            play.bank(Crashing(play.disk, at, "after")).merge("first", always)
        document = play.document() or b""
        if b"- a fact" in document:
            steps += 1
            play.write(document.replace(b"- a fact", edited))
            play.merge()
            document = play.document() or b""
            assert (b"- a fact" in document, document.count(b"- another")) == (False, 1), at
            assert edited in document, at
            assert "queued" not in places(play).values(), at
    assert steps > 3


def test_a_document_that_is_no_text_while_the_leader_lies_dead_is_left_alone(merge3: Merge3) -> None:
    """MEM-13."""
    play = queued()
    with suppress(Crash):
        play.bank(Crashing(play.disk, replacing(play, merge), "before")).merge("first", always)
    play.write(b"\xff\xfe")
    assert [one.document for one in play.merge() if one.note] == ["techContext.md"]
    assert play.document() == b"\xff\xfe"
    play.write(TECH)
    play.merge()
    assert b"- a fact" in (play.document() or b"")


def test_what_was_settled_when_a_person_took_the_text_out_stays_out(merge3: Merge3) -> None:
    """MEM-12: also where the leader died before it moved the contributions."""
    for at in range(1, len(calls(queued(), merge)) + 1):
        play = queued()
        with suppress(Crash):
            play.bank(Crashing(play.disk, at, "after")).merge("first", always)
        replaced = play.document() != TECH
        play.write(TECH)
        play.merge()
        again = b"- a fact" in (play.document() or b"")
        assert again != replaced, at


def test_a_rejection_is_done_wholly_or_not_at_all(merge3: Merge3) -> None:
    """MEM-16: also if the person does not ask again."""
    seen = set()
    for at in range(1, len(calls(conflict(), reject)) + 1):
        play = conflict()
        with suppress(Crash):
            play.bank(Crashing(play.disk, at, "after")).reject(play.bank().waiting()[0].candidate.id, "neither", ANN)
        play.merge()
        states = sorted(places(play)[one.id] for one in SIDES[:2])
        assert states in (["candidate", "candidate"], ["rejected", "rejected"]), at
        seen.add(states[0])
        whys = {play.bank().store.rejection(one.id).get("reason") for one in SIDES[:2]}
        assert whys == ({"neither"} if states[0] == "rejected" else {None}), at
    assert seen == {"candidate", "rejected"}


def overwritten() -> Scene:
    """Two leaders that both landed their entry without having seen the other's; the document is the second one's."""
    scene, late = Scene(), Scene()
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


def test_of_two_entries_that_landed_the_one_that_the_document_is_not_was_overwritten(merge3: Merge3) -> None:
    """MEM-11: also where both brought some of the same lines."""
    play = overwritten()
    assert len(play.bank().entries()) == 2
    play.merge()
    assert b"- only here" in (play.document() or b"")
    for text in ("a fact", "another"):
        assert (play.document() or b"").count(text.encode()) == 1
    assert len(intents(play)) == 1
    check_chained(play)


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_crash_while_what_was_overwritten_is_queued_again(merge3: Merge3, mode: str) -> None:
    at = 0
    while True:
        at += 1
        play = overwritten()
        crashing = Crashing(play.disk, at, mode)
        with suppress(Crash):
            play.bank(crashing).merge("first", always)
        if crashing.last is None:
            break
        play.merge()
        document = play.document() or b""
        for text in ("a fact", "another", "only here"):
            assert document.count(text.encode()) == 1, crashing.last
        assert set(places(play).values()) == {"merged"}, crashing.last
        check_chained(play)


def test_one_that_no_longer_leads_when_all_is_written_but_the_document(merge3: Merge3) -> None:
    """MEM-10: it asks once more right before it replaces the document."""
    play = queued()
    bank = play.bank()
    begun: list[str] = []
    begin = bank.store.begin
    bank.store.begin = lambda entry: (begun.append(entry.id), begin(entry))[1]  # type: ignore[func-returns-value,method-assign]
    with pytest.raises(LostError, match="leads now"):
        bank.merge("first", lambda: not begun)
    assert begun
    assert play.document("activeContext.md") == b"# Active\n"
    assert intents(play) == []


def test_an_intent_that_never_landed_does_not_count_when_a_person_puts_the_document_back(merge3: Merge3) -> None:
    """MEM-11, MEM-12: the document is as an earlier entry left it, whatever old intents say."""
    play = queued()
    play.merge()
    first = play.document()
    entry = play.bank().entries("techContext.md")[0]
    play.add(note("- later", time=9))
    play.merge()
    stray = {**entry.record(), "id": "e-00000000000000aa", "by": "a leader that died"}
    play.disk.create(paths.intent("techContext.md", stray["id"]), records.encode(stray), False)
    play.write(first)
    play.merge()
    assert play.document() == first


def test_an_old_intent_is_not_taken_for_landed_because_its_lines_came_otherwise(merge3: Merge3) -> None:
    """MEM-10: its other contributions would be lost."""
    play = queued()
    with suppress(Crash):
        play.bank(Crashing(play.disk, replacing(play, merge), "before")).merge("first", always)
    assert len(intents(play)) == 1
    play.write(TECH.replace(b"Use ruff.", b"Use ruff, says Ann."))
    play.add(change("Use ruff and more.", TOOLS, time=0), note("- another", TOOLS, peer="p", critical=True))
    play.merge()
    play.write((play.document() or b"") + b"\nMore.\n")
    play.merge()
    document = play.document() or b""
    assert document.count(b"- a fact") == 1
    found = places(play)
    assert all(found[one.id] in ("merged", "candidate", "queued") for one in FACTS)
    texts = {one.content for one in FACTS if found[one.id] == "merged"}
    assert all(stands(document, text) == 1 for text in texts)


SAVED = TECH.replace(b"Use ruff.", b"Use ruff, says Ann.")


def displaced() -> Scene:
    """A leader that died when the document that a person had just saved was out, and its own text in."""
    play = queued()
    at = replacing(play, merge)

    class Saved(Crashing):
        def around(self, call: Call) -> object:
            if self.left == 1:
                play.write(SAVED)
            return super().around(call)

    with pytest.raises(Crash):
        play.bank(Saved(play.disk, at, "after")).merge("first", always)
    assert b"says Ann" not in (play.document() or b"")
    return play


def test_what_a_leader_displaced_and_did_not_live_to_put_back_is_put_back(merge3: Merge3) -> None:
    """MEM-10: the file under way is found by the next merge, and by a decision."""
    play = displaced()
    twin = play.twin()
    play.merge()
    document = play.document() or b""
    assert b"says Ann" in document
    for text in ("- a fact", "- another"):
        assert stands(document, text) == 1
    assert litter(play) == []
    check_chained(play)
    twin.bank().progress(ProgressFacts(1, 0, 0, 0, 0.0), "second", always, "techContext.md")
    assert b"says Ann" in (twin.document() or b"")


def test_what_was_displaced_and_cannot_be_put_back_now_is_not_cleared_away(merge3: Merge3) -> None:
    """MEM-10: the disk refuses the second exchange; the next attempt finds the text where it lies."""
    play, count = queued(), 0

    class Refusing(Below):
        def exchange(self, source: str, target: str) -> None:
            nonlocal count
            count += target == "techContext.md"
            if count == 1:
                play.write(SAVED)
            if count == 2:
                raise OSError(errno.EIO, "refused", target)
            super().exchange(source, target)

    with suppress(PeercoordError):
        play.bank(kind=Refusing).merge("first", always)
    assert count >= 2
    play.merge()
    document = play.document() or b""
    assert b"says Ann" in document
    assert stands(document, "- a fact") == 1
    assert "queued" not in places(play).values()


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_crash_while_what_was_displaced_is_put_back(merge3: Merge3, mode: str) -> None:
    """MEM-10."""
    at = 0
    while True:
        at += 1
        play = displaced()
        crashing = Crashing(play.disk, at, mode)
        with suppress(Crash):
            play.bank(crashing).merge("second", always)
        if crashing.last is None:
            break
        play.merge()
        document = play.document() or b""
        assert b"says Ann" in document, crashing.last
        assert stands(document, "- a fact") == 1, crashing.last
        assert "queued" not in places(play).values(), crashing.last


def test_what_was_displaced_is_kept_where_a_person_saved_again_over_what_displaced_it(merge3: Merge3) -> None:
    """MEM-10: the newest text stands; of the other one nothing is lost."""
    play = displaced()
    newer = (play.document() or b"").replace(b"Names are unique.", b"Names are short.")
    play.write(newer)
    play.merge()
    assert b"Names are short." in (play.document() or b"")
    assert play.bank().store.backup("techContext.md", digest(SAVED)) == SAVED
    assert [path for path in litter(play) if "techContext" in path] == []
    assert b"overtaken" in play.disk.files()["events/memory.jsonl"]


def check_chained(scene: Scene) -> None:
    entries = scene.bank().entries("techContext.md")
    assert [one.previous for one in entries] == ["", *(one.id for one in entries)][: len(entries)]
