"""Two leaders of one memory bank: stopped, overtaken, replaced. Nothing is lost, and nothing stands twice."""

from __future__ import annotations

from contextlib import suppress
from itertools import count

import pytest
from memory.banks import Below, Plain, Scene, always, intents, merge, places, stands
from memory.crashes import FACTS, MORE, NAME, SAVED, TOOLS, check_merged, queued, replacing
from memory.helpers import TECH, change, note
from support.faults import Call, Crash, Crashing, Pausing

from peercoord.errors import LostError
from peercoord.store import paths, records

pytestmark = pytest.mark.usefixtures("shared")


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
