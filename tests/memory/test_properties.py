"""What must hold for every document and every set of contributions."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory.helpers import DOCUMENTS, TECH, note, places, texts

from peercoord.errors import UsageError
from peercoord.memory.document import BOM, fold_path, lf_text, split_document
from peercoord.memory.journal import new_entry, undo_entry
from peercoord.memory.merge import decide, merge

if TYPE_CHECKING:
    from peercoord.memory.contribution import Contribution
    from peercoord.memory.outcome import Candidate, Merge3, Outcome

NAME = "techContext.md"
NEW = ("Something new", "And below it")
OPEN = b"# T\n\n- a\n- b\n\npara\nx | y\n\n> q\n\n## S\n\none\n\ntwo | three\n"
BULLET = re.compile(r"^(?:[-*+]|\d+[.)])\s+")
WORDS = ("- item", "* star", "1. one", "Text of two\nlines.", "```\n# code\n```", "| a |\n|---|\n| 1 |", "> # quote")
CHANGES = ("first line", "last line", "all of it")
RELAXED = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def situations(draw: st.DrawFn) -> tuple[bytes, list[Contribution]]:
    """A document of the corpus, and contributions of four peers to a few of its sections and to new ones."""
    document = DOCUMENTS[draw(st.sampled_from(sorted(DOCUMENTS)))]
    found = split_document(document).sections
    spots = draw(st.lists(st.sampled_from(found), min_size=1, max_size=3))
    made = []
    for number in range(draw(st.integers(1, 7))):
        spot = draw(st.sampled_from([*spots, None]))
        peer = f"instance-{draw(st.integers(1, 4))}"
        common = {"peer": peer, "time": draw(st.integers(0, 5)), "critical": draw(st.integers(0, 4)) == 0}
        if spot is None or draw(st.booleans()):
            text = f"{draw(st.sampled_from(WORDS))} {draw(st.integers(0, 3))}"
            path, occurrence = (spot.path, spot.occurrence) if spot else (NEW[: draw(st.integers(1, 2))], 1)
            add = {"kind": "addition", "occurrence": occurrence}
        else:
            text, path = _changed(spot.text, draw(st.sampled_from(CHANGES)), f"by {number}"), spot.path
            add = {"kind": "update", "base": spot.hash, "occurrence": spot.occurrence}
        try:
            made.append(note(text, path, **common, **add, source=f"call:{number}"))  # type: ignore[arg-type]
        except UsageError:
            continue  # the text of that section is open at its end, or its heading is too long to be named
    return document, made


def _changed(text: str, where: str, word: str) -> str:
    lines = text.split("\n")
    if where == "first line":
        return "\n".join([f"{word} {lines[0].lstrip(' #>-|`~')}", *lines[1:]])
    return "\n".join([*lines, "", word]) if where == "last line" else word


def run(document: bytes, given_: list[Contribution], merge3: Merge3, **more: object) -> Outcome:
    return merge(NAME, document, given_, texts(document), merge3, **more)  # type: ignore[arg-type]


def outside(document: bytes, outcome: Outcome) -> tuple[list[bytes], list[bytes]]:
    """The sections that the outcome does not name as changed, before and after."""
    named = {(fold_path(edit.section), edit.occurrence) for edit in outcome.edits}
    before, after = (
        [s.span for s in split_document(one).sections if (fold_path(s.path), s.occurrence) not in named]
        for one in (document, outcome.document)
    )
    return before, after


@settings(parent=RELAXED, max_examples=100)
@given(situations(), st.randoms(use_true_random=False), st.booleans())
def test_a_merge_keeps_its_promises(
    merge3: Merge3, situation: tuple[bytes, list[Contribution]], chance: random.Random, with_backup: bool
) -> None:
    document, made = situation
    outcome = run(document, made, merge3)
    check_each_contribution_is_in_one_place(made, outcome)
    check_only_sections_with_contributions_change(document, outcome)
    shuffled = chance.sample(made, len(made))
    other = run(document, shuffled, merge3)
    assert (other.document, places(other), other.candidates) == (outcome.document, places(outcome), outcome.candidates)
    check_nothing_is_applied_twice(document, made, outcome, merge3)
    entry = new_entry(NAME, "merge", document, outcome, previous="", by="i", at="t")
    backup = document if with_backup else None
    assert undo_entry(entry, outcome.document, outcome.texts, merge3, backup).document == document
    check_a_decision_touches_its_section_alone(outcome)


def check_each_contribution_is_in_one_place(made: list[Contribution], outcome: Outcome) -> None:
    assert places(outcome).keys() == {one.id for one in made}
    lines = {line.strip() for line in lf_text(outcome.document.removeprefix(BOM)).split("\n")}
    words = {BULLET.sub("", line) for line in lines}  # an item takes the bullet or the number of its section
    updated = {one.section for one in made if one.kind == "update"}
    for one in made:
        if one.kind == "addition" and one.id in outcome.applied:
            assert {BULLET.sub("", line.strip()) for line in one.content.split("\n") if line.strip()} <= words
        if one.kind == "update" and one.id in outcome.applied and len(updated) == len(made) == 1:
            assert {line.strip() for line in one.content.split("\n")} <= lines | {""}


def check_only_sections_with_contributions_change(document: bytes, outcome: Outcome) -> None:
    before, after = outside(document, outcome)
    assert before == after
    found = {(fold_path(s.path), s.occurrence): s.span for s in split_document(outcome.document).sections}
    for edit in outcome.edits:
        if not edit.contributions and edit.before:
            assert outcome.texts[edit.before].rstrip() == outcome.texts[edit.after].rstrip()
        assert found[fold_path(edit.section), edit.occurrence] == outcome.texts[edit.after]


def check_nothing_is_applied_twice(document: bytes, made: list[Contribution], once: Outcome, merge3: Merge3) -> None:
    settled = {*once.applied, *once.duplicates, *once.superseded}
    store = texts(document, once.document)
    again = merge(NAME, once.document, made, store, merge3, candidates=once.candidates, settled=settled)
    assert (again.document, again.standing, again.waiting) == (once.document, once.candidates, once.waiting)
    assert (again.candidates, again.void) == ([], [])
    replayed = [one for one in made if one.kind == "addition" and one.id in once.applied]
    assert run(once.document, replayed, merge3).document == once.document


def check_a_decision_touches_its_section_alone(outcome: Outcome) -> None:
    for candidate in outcome.candidates:
        try:
            done = decide(NAME, outcome.document, candidate, candidate.takes["right"])
        except UsageError as error:
            if "cannot stand there" not in error.message:
                raise
            continue
        before, after = outside(outcome.document, done)
        assert before == after
        assert sorted(done.applied) == sorted(candidate.members)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_section_takes_an_addition_and_gives_it_back(name: str, merge3: Merge3) -> None:
    document = DOCUMENTS[name]
    for spot in split_document(document).sections:
        if any(len(part) > 300 for part in spot.path):
            continue
        one = note("- an addition", spot.path, occurrence=spot.occurrence)
        outcome = run(document, [one], merge3)
        if outcome.candidates:
            assert spot.guarded or name in ("fence_unclosed", "comment_unclosed", "heading_indented")
            outcome = decide(NAME, document, outcome.candidates[0], spot.text) if spot.guarded else outcome
            continue
        assert outcome.applied == [one.id]
        before, after = outside(document, outcome)
        assert before == after
        pairs = enumerate(zip(document, outcome.document, strict=False))
        same = next((at for at, (one, other) in pairs if one != other), len(document))
        assert outcome.document.endswith(document[same:]), "one run of bytes was put in"
        entry = new_entry(NAME, "merge", document, outcome, previous="", by="i", at="t")
        assert undo_entry(entry, outcome.document, outcome.texts, merge3).document == document


@settings(parent=RELAXED, max_examples=25)
@given(st.data())
def test_over_many_merges_and_decisions_each_text_stands_once(merge3: Merge3, data: st.DataObject) -> None:
    """Peers work from old and new states, people decide and edit, and leaders repeat what was done before."""
    document = data.draw(st.sampled_from([TECH, TECH.replace(b"\n", b"\r\n"), DOCUMENTS["setext_tight"]]))
    states, store = [document], texts(document)
    made: dict[str, Contribution] = {}
    settled: dict[str, str] = {}
    candidates: list[Candidate] = []
    for turn in range(data.draw(st.integers(2, 6))):
        for number in range(data.draw(st.integers(0, 4))):
            seen = data.draw(st.sampled_from(states))
            spot = data.draw(st.sampled_from(split_document(seen).sections[1:]))
            word, more = f"word-{turn}-{number}", {"peer": f"i-{number}", "time": turn, "source": f"call:{turn}"}
            more["critical"] = data.draw(st.integers(0, 5)) == 0
            if data.draw(st.booleans()):
                one = note(f"- {word}", spot.path, **more)  # type: ignore[arg-type]
            else:
                text = _changed(spot.text, "first line", word)
                one = note(text, spot.path, kind="update", base=spot.hash, **more)  # type: ignore[arg-type]
            made[one.id] = one
        pending = [one for one in made.values() if one.id not in settled]
        given_ = list(made.values()) if data.draw(st.booleans()) else pending
        outcome = merge(NAME, document, given_, store, merge3, candidates=candidates, settled=settled)
        assert places(outcome).keys() == {one.id for one in pending}
        document, candidates = outcome.document, [*outcome.standing, *outcome.candidates]
        settled |= dict.fromkeys((*outcome.applied, *outcome.duplicates), "merged")
        settled |= dict.fromkeys(outcome.superseded, "superseded")
        if candidates and data.draw(st.booleans()):
            chosen = candidates.pop(data.draw(st.integers(0, len(candidates) - 1)))
            if data.draw(st.booleans()):
                document = decide(NAME, document, chosen, chosen.takes["both"]).document
                settled |= dict.fromkeys(chosen.members, "decided")
            else:
                settled |= dict.fromkeys(chosen.members, "rejected")
        elif data.draw(st.booleans()):
            document += f"by hand {turn}\n".encode()
        states.append(document)
        store |= texts(document)
    for one in made.values():
        if one.kind == "addition":
            stands = lf_text(document).split("\n").count(one.content)
            assert stands == (settled.get(one.id) in ("merged", "decided")), (one.content, settled.get(one.id))
