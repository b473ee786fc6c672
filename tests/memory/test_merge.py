from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from memory.helpers import DOCUMENTS, LIMITS, TECH, change, note, places, text_of, texts

from peercoord.errors import LostError, UsageError
from peercoord.memory.document import split_document
from peercoord.memory.merge import decide, merge
from peercoord.memory.outcome import Candidate

if TYPE_CHECKING:
    from peercoord.memory.contribution import Contribution
    from peercoord.memory.outcome import Merge3, Merged, Outcome

NAME = "techContext.md"
LINES = "Sessions expire after 20 minutes.\nUploads are at most 5 MB.\nNames are unique."
SESSIONS_30 = LINES.replace("20", "30")
SESSIONS_60 = LINES.replace("20", "60")
NAMES_SHORT = LINES.replace("unique", "short")


@pytest.fixture
def run(merge3: Merge3):
    def work(*given: Contribution, document: bytes | None = TECH, name: str = NAME, **more: object) -> Outcome:
        outcome = merge(name, document, given, texts(document or b"", TECH), merge3, **more)  # type: ignore[arg-type]
        settled = more.get("settled", ())
        assert places(outcome).keys() == {one.id for one in given if one.id not in settled}  # type: ignore[operator]
        return outcome

    return work


# -- additions ---------------------------------------------------------------------------------------------------


def test_additions_take_the_line_endings_of_their_document(run) -> None:
    done = run(note("- c\n- d", ("Title", "List")), document=DOCUMENTS["crlf_no_final_newline"])
    assert done.document == DOCUMENTS["crlf_no_final_newline"] + b"\r\n- c\r\n- d"


# -- updates -----------------------------------------------------------------------------------------------------


def test_two_updates_of_one_line_become_a_candidate(run) -> None:
    one, two = change(SESSIONS_30, time=1), change(SESSIONS_60, peer="instance-2", time=2)
    done = run(one, two)
    (candidate,) = done.candidates
    assert done.document is TECH
    assert candidate.conflict
    assert not candidate.critical
    assert candidate.members == (one.id, two.id)
    assert candidate.base == LINES
    assert (candidate.left.label, candidate.right.label) == ("instance-1", "instance-2")
    assert candidate.right.authors == (("instance-2", "7"),)
    assert candidate.takes["left"] == SESSIONS_30
    assert candidate.takes["right"] == SESSIONS_60
    assert candidate.takes["both"].startswith(SESSIONS_30.split("\n")[0] + "\n" + SESSIONS_60.split("\n")[0])
    assert candidate.proposed.startswith("<<<<<<< instance-1\n")
    assert run(two, one).candidates == done.candidates


def test_git_is_only_asked_where_texts_differ() -> None:
    def never(*given: str) -> Merged:
        raise AssertionError(given)

    one, same = change(SESSIONS_30), change(LINES, peer="instance-2", time=1)
    late = change(SESSIONS_30, of=TECH.replace(b"20", b"10"), peer="instance-3", time=2)
    done = merge(NAME, TECH, [one, same, late], texts(TECH), never)
    assert done.document == TECH.replace(b"20", b"30")
    assert places(done) == {one.id: "applied", same.id: "duplicate", late.id: "duplicate"}


def test_a_document_of_blanks_takes_a_text(run) -> None:
    done = run(note("text", (), kind="update"), document=b"   ")
    assert split_document(done.document).sections[0].core == b"text"


def test_an_update_of_a_section_that_is_gone_is_for_a_person(run) -> None:
    one = change(SESSIONS_30)
    (candidate,) = run(one, document=b"# Tech context\n\nx\n").candidates
    assert candidate.why == "the section that it updates is no longer there"
    done = decide(NAME, b"# Tech context\n\nx\n", candidate, candidate.takes["right"])
    assert done.document == b"# Tech context\n\nx\n\n## Limits\n\n" + SESSIONS_30.encode() + b"\n"


def test_an_update_whose_base_nobody_kept_is_for_a_person(merge3: Merge3) -> None:
    one = change(SESSIONS_30, of=TECH.replace(b"20", b"10"))
    (candidate,) = merge(NAME, TECH, [one], {}, merge3).candidates
    assert candidate.conflict
    assert candidate.why == "its base text is not known"


def test_an_update_of_a_crlf_document_keeps_its_line_endings(run) -> None:
    document = TECH.replace(b"\n", b"\r\n")
    done = run(change(SESSIONS_30, of=document), change(NAMES_SHORT, of=document, peer="i-2"), document=document)
    assert done.document == document.replace(b"20", b"30").replace(b"unique", b"short")


# -- waiting for a person ----------------------------------------------------------------------------------------


def test_later_contributions_queue_behind_a_candidate(run) -> None:
    one, two = change(SESSIONS_30, time=1), change(SESSIONS_60, peer="instance-2", time=2)
    (candidate,) = run(one, two).candidates
    later, other = note("- later", time=3), note("- uv", ("Tech context", "Language"), time=4)
    below = note("- below", (*LIMITS, "New"), time=5)
    done = run(one, two, later, other, below, candidates=[candidate])
    assert done.standing == [candidate]
    assert not done.candidates
    assert done.waiting == {later.id: candidate.id}
    assert sorted(done.applied) == sorted([other.id, below.id])


def test_what_goes_below_a_section_that_is_only_proposed_waits(run) -> None:
    first = note("x", ("Tech context", "New"), critical=True, time=1)
    below = note("y", ("Tech context", "New", "Below"), time=2)
    done = run(first, below)
    assert places(done) == {first.id: "candidate", below.id: "waiting"}
    assert run(first, below, candidates=done.candidates).waiting == done.waiting


def test_a_candidate_of_a_section_that_changed_is_worked_out_anew(run) -> None:
    one, two = change(SESSIONS_30, time=1), change(SESSIONS_60, peer="instance-2", time=2)
    (old,) = run(one, two).candidates
    now = TECH.replace(b"unique", b"short")
    done = run(one, two, document=now, candidates=[old])
    assert done.void == [old.id]
    assert done.candidates[0].takes["left"] == SESSIONS_30.replace("unique", "short")
    with pytest.raises(LostError, match=r"techContext\.md, Tech context › Limits changed"):
        decide(NAME, now, old, old.takes["left"])


def test_a_candidate_falls_apart_when_an_author_takes_a_side_back(run) -> None:
    one, two = change(SESSIONS_30, time=1), change(SESSIONS_60, peer="instance-2", time=2)
    (old,) = run(one, two).candidates
    three = change(NAMES_SHORT, peer="instance-2", time=3, supersedes=(two.id,))
    done = run(one, two, three, candidates=[old])
    assert done.void == [old.id]
    assert done.superseded == {two.id: three.id}
    assert done.document == TECH.replace(b"20", b"30").replace(b"unique", b"short")


def test_a_peer_cannot_take_back_what_another_said(run) -> None:
    one = note("- mine")
    two = note("- yours", peer="instance-2", supersedes=(one.id,), time=1)
    assert sorted(run(one, two).applied) == sorted([one.id, two.id])


@pytest.mark.parametrize("choice", ["left", "right", "both"])
def test_a_decision_is_applied_and_settles_its_members(run, choice: str) -> None:
    one, two = change(SESSIONS_30, time=1), change(SESSIONS_60, peer="instance-2", time=2)
    (candidate,) = run(one, two).candidates
    done = decide(NAME, TECH, candidate, candidate.takes[choice])
    assert text_of(done.document, *LIMITS) == candidate.takes[choice]
    assert split_document(done.document).sections[-1].span == split_document(TECH).sections[-1].span
    assert sorted(done.applied) == sorted([one.id, two.id])


def test_a_person_may_write_headings_but_not_swallow_the_next(run) -> None:
    (candidate,) = run(change(SESSIONS_30, critical=True)).candidates
    done = decide(NAME, TECH, candidate, "new\n\n### More\n\ntext\n")
    assert split_document(done.document).find((*LIMITS, "More"))
    with pytest.raises(UsageError, match="cannot stand there"):
        decide(NAME, TECH, candidate, "```\nopen")


def test_a_text_with_conflict_markers_is_no_decision(run) -> None:
    one, two = change(SESSIONS_30, time=1), change(SESSIONS_60, peer="instance-2", time=2)
    (candidate,) = run(one, two).candidates
    with pytest.raises(UsageError, match="conflict markers"):
        decide(NAME, TECH, candidate, candidate.proposed)


def test_a_candidate_is_the_same_after_it_was_written_and_read(run) -> None:
    (candidate,) = run(change(SESSIONS_30, time=1), change(SESSIONS_60, peer="i-2", time=2)).candidates
    assert Candidate.read(candidate.record("2026-01-01T00:00:00Z"), "x.json") == candidate


# -- again, and never --------------------------------------------------------------------------------------------


def test_what_is_settled_is_never_applied_again(run) -> None:
    one, two = note("- a"), change(SESSIONS_30, peer="instance-2")
    done = run(one, two, settled={one.id, two.id})
    assert done.document is TECH
    assert not done.edits


def test_what_a_settled_contribution_replaced_stays_out(run) -> None:
    old = note("- old")
    new = note("- new", supersedes=(old.id,), time=1)
    assert run(old, new, settled={new.id}).superseded == {old.id: new.id}


def test_a_document_that_is_no_utf8_is_left_alone(merge3: Merge3) -> None:
    with pytest.raises(UsageError, match=r"techContext\.md is not valid UTF-8"):
        merge(NAME, b"\xff\n", [note("- a")], {}, merge3)
