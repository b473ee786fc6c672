"""Processes that die, stop or get wrong answers at any file operation of a merge, a decision or an undo.

The next leader finishes their work: every contribution is in one place, and merged text stands in its document once.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from itertools import count

import pytest
from memory.banks import CHANGES, Below, Scene, always, check_chain, intents, litter, merge, places
from memory.crashes import (
    NAME,
    SAVED,
    SCENES,
    SIDES,
    check,
    check_merged,
    conflict,
    crashes,
    displaced,
    overwritten,
    queued,
    reject,
    replacing,
    settled,
)
from memory.helpers import TECH
from support.faults import Call, Crash, Crashing, Failing, Fault

from peercoord.errors import PeercoordError
from peercoord.memory.document import digest
from peercoord.store import paths

pytestmark = pytest.mark.usefixtures("shared")


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


@pytest.mark.parametrize("many", [3, 20])
def test_a_text_that_a_dead_process_left_survives_a_power_cut(many: int) -> None:
    """Its finder flushes it no more, and writes down that a merge stands on it."""
    made = {digest(text): text for text in (b"text %d" % number for number in range(many))}
    for at in count(1):
        play = Scene()
        crashing = Crashing(play.disk, at)
        try:
            play.bank(crashing).store.texts.keep(made)
        except Crash:
            play.bank().store.texts.keep(made)
            left = play.disk.after_power_cut().files()
            assert {name: left[paths.text(name)] for name in made} == made, crashing.last
        else:
            break
    assert at > many


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
    play.bank().progress("0 of 1\n", "second", always, NAME)
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
