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


def test_an_addition_goes_to_the_end_of_its_section_and_no_other_byte_changes(run) -> None:
    done = run(note("- uv 0.5", ("Tech context", "Language")))
    assert done.document == TECH.replace(b"- Python 3.11\n", b"- Python 3.11\n- uv 0.5\n")


def test_additions_stand_in_the_order_of_their_making(run) -> None:
    late, early = note("later", time=9), note("earlier", time=2, peer="instance-9")
    assert run(late, early).document == run(early, late).document
    assert text_of(run(late, early).document, *LIMITS).endswith("\n\nearlier\n\nlater")


@pytest.mark.parametrize("again", ["Uploads are at most 9 MB.", "- a\n- b", "```\nx\n```", "[a]: b"])
def test_a_text_that_is_there_is_not_added_again(run, again: str) -> None:
    one, two = note(again), note(again, peer="instance-2")
    first = run(one)
    assert places(run(two, document=first.document)) == {two.id: "duplicate"}
    assert run(two, document=first.document).document == first.document
    assert run(one, two).document == first.document


def test_of_two_lists_the_items_they_share_stand_once(run) -> None:
    done = run(note("- a\n- b", time=1), note("* b\n* c", time=2))
    assert text_of(done.document, *LIMITS).endswith("\n\n- a\n- b\n- c")


def test_a_text_that_is_more_than_a_list_stays_whole(run) -> None:
    done = run(note("- a"), note("Before release:\n\n- a\n- b", time=1))
    assert text_of(done.document, *LIMITS).endswith("- a\n\nBefore release:\n\n- a\n- b")


def test_a_row_joins_the_table_that_it_follows(run) -> None:
    document = DOCUMENTS["table"]
    done = run(note("| 3 | /d | new |", ("API",)), document=document)
    assert done.document == document.replace(b"## no |\n", b"## no |\n| 3 | /d | new |\n")


def test_additions_take_the_line_endings_of_their_document(run) -> None:
    done = run(note("- c\n- d", ("Title", "List")), document=DOCUMENTS["crlf_no_final_newline"])
    assert done.document == DOCUMENTS["crlf_no_final_newline"] + b"\r\n- c\r\n- d"


def test_a_new_section_is_made_below_the_title_and_once_for_all(run) -> None:
    done = run(
        note("- first", ("Tech context", "Caches"), time=1),
        note("- second", ("Tech context", "caches"), time=2),
        note("- deep", ("Tech context", "Caches", "Redis"), time=0),
    )
    assert done.document == TECH + b"\n## Caches\n\n- first\n- second\n\n### Redis\n\n- deep\n"


def test_a_section_that_would_lie_too_deep_is_for_a_person(run) -> None:
    done = run(note("x", ("Six", "Seven")), document=b"###### Six\n")
    assert done.document == b"###### Six\n"
    assert "too deep" in done.candidates[0].why


def test_an_addition_to_an_open_fence_is_for_a_person(run) -> None:
    document = DOCUMENTS["fence_unclosed"]
    one = note("- a", ("Title", "Bad"))
    done = run(one, note("- b", ("Title", "Good")), note("- c", ("Title", "New"), time=3), document=document)
    assert places(done)[one.id] == "candidate"
    assert done.document == document.replace(b"a\n\n## Bad", b"a\n\n- b\n\n## Bad")


def test_spaces_at_the_end_of_a_line_stay_on_it(run) -> None:
    done = run(note("more", ("A",)), document=b"# A\n\nhard break  \n\n# B\n")
    assert done.document == b"# A\n\nhard break  \n\nmore\n\n# B\n"


@pytest.mark.parametrize(
    ("content", "document", "wanted"),
    [
        ("para", b"# A\n```\nx\n```\nB\n---\nend\n", b"# A\n```\nx\n```\n\npara\n\nB\n---\nend\n"),
        ("<div>\nx\n</div>", b"# A\ntext\n## B\n", b"# A\ntext\n\n<div>\nx\n</div>\n\n## B\n"),
        ("- x", b"# A\ntext\n## B\n", b"# A\ntext\n\n- x\n## B\n"),
    ],
)
def test_a_blank_line_keeps_the_next_heading_where_one_is_needed(
    run, content: str, document: bytes, wanted: bytes
) -> None:
    assert run(note(content, ("A",)), document=document).document == wanted


def test_a_new_section_stands_at_the_level_of_its_neighbours(run) -> None:
    done = run(note("x", ("A", "C")), document=b"# A\n\n### B\n")
    assert done.document == b"# A\n\n### B\n\n### C\n\nx\n"


def test_a_new_section_that_cannot_be_filled_leaves_no_heading_behind(run) -> None:
    document = b"# T\n\n### A\n\n  ## B\n"
    done = run(note("- x", ("T", "A", "New")), document=document)
    assert done.document == document
    assert done.candidates


# -- updates -----------------------------------------------------------------------------------------------------


def test_an_update_whose_base_stands_replaces_the_text_and_nothing_else(run) -> None:
    done = run(change(SESSIONS_30))
    assert done.document == TECH.replace(b"20", b"30")


def test_updates_of_different_sections_do_not_meet(run) -> None:
    done = run(change(SESSIONS_30), change("- Python 3.12", ("Tech context", "Language"), peer="instance-2"))
    assert done.document == TECH.replace(b"20", b"30").replace(b"3.11", b"3.12")


def test_two_updates_of_different_lines_are_both_applied(run) -> None:
    done = run(change(SESSIONS_30), change(NAMES_SHORT, peer="instance-2"))
    assert done.document == TECH.replace(b"20", b"30").replace(b"unique", b"short")


def test_an_update_from_an_older_text_is_merged_with_what_came_since(run) -> None:
    now = TECH.replace(b"unique", b"short")
    assert run(change(SESSIONS_30), document=now).document == now.replace(b"20", b"30")


def test_two_updates_of_one_line_become_a_candidate_and_neither_is_applied(run) -> None:
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


def test_a_conflict_shows_what_stands_against_what_is_new(run) -> None:
    one = change(SESSIONS_60)
    (candidate,) = run(one, document=TECH.replace(b"20", b"30")).candidates
    assert (candidate.left.label, candidate.left.text) == ("memory bank", SESSIONS_30)
    assert candidate.why == "the section changed since the author saw it"


def test_two_updates_that_say_the_same_are_one(run) -> None:
    one, two = change(SESSIONS_30, time=1), change(SESSIONS_30, peer="instance-2", time=2)
    assert places(run(one, two)) == {one.id: "applied", two.id: "duplicate"}


def test_the_later_word_of_an_author_stands(run) -> None:
    one, two = change(SESSIONS_30, time=1), change(SESSIONS_60, time=2)
    other = change(NAMES_SHORT, time=1, peer="instance-2")
    done = run(one, two, other)
    assert done.document == TECH.replace(b"20", b"60").replace(b"unique", b"short")
    assert done.superseded == {one.id: two.id}


def test_of_many_words_of_one_author_the_last_stands(run) -> None:
    made = [change(LINES.replace("20", word), time=n) for n, word in enumerate(("30", "40", "50", "60"))]
    done = run(*made)
    assert done.document == TECH.replace(b"20", b"60")
    assert done.superseded.keys() == {one.id for one in made[:3]}


def test_an_author_may_stand_on_both_sides(run) -> None:
    one, two = change(NAMES_SHORT, time=1), change(SESSIONS_60, time=2)
    (candidate,) = run(one, two, document=TECH.replace(b"20", b"30")).candidates
    assert candidate.members == (one.id, two.id)
    assert (candidate.left.label, candidate.right.label) == ("instance-1", "instance-1 (later)")


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


def test_two_new_sections_of_one_name_are_one_section(run) -> None:
    path = ("Tech context", "Caches")
    one, two = change("text", path, time=1), change("text", path, peer="instance-2", time=2)
    done = run(one, two)
    assert done.document == TECH + b"\n## Caches\n\ntext\n"
    assert places(done)[two.id] == "duplicate"


# -- waiting for a person ----------------------------------------------------------------------------------------


def test_what_is_critical_is_proposed_on_top_of_what_applies(run) -> None:
    free, critical = note("- free"), note("- critical", critical=True, peer="instance-2")
    done = run(free, critical)
    (candidate,) = done.candidates
    assert done.document == TECH.replace(b"unique.\n", b"unique.\n\n- free\n")
    assert candidate.critical
    assert not candidate.conflict
    assert candidate.proposed == LINES + "\n\n- free\n- critical"
    assert candidate.left.text == LINES + "\n\n- free"


@pytest.mark.parametrize(
    ("name", "document", "path", "why"),
    [
        ("projectbrief.md", TECH, LIMITS, "a static document"),
        ("ProductContext.md", TECH, LIMITS, "a static document"),
        ("other.md", None, LIMITS, "the document does not exist yet"),
        (NAME, DOCUMENTS["approval_marks"], ("Patterns", "Money"), "a person marked this section for approval"),
        (NAME, DOCUMENTS["approval_marks"], ("Patterns", "Money", "New"), "a person marked this section for approval"),
        (NAME, DOCUMENTS["approval_of_everything"], ("Charter", "Scope"), "a person marked this section for approval"),
    ],
)
def test_what_touches_a_guarded_place_waits(run, name: str, document: bytes, path: tuple[str, ...], why: str) -> None:
    done = run(note("x y z", path, document=name), document=document, name=name)
    assert [candidate.why for candidate in done.candidates] == [why]
    assert done.document == (document or b"")


def test_a_usual_document_is_made_without_asking(run) -> None:
    done = run(note("- x", ("Learnings",), document="activeContext.md"), document=None, name="activeContext.md")
    assert done.document == b"## Learnings\n\n- x\n"


def test_emptying_a_section_waits(run) -> None:
    assert [candidate.why for candidate in run(change("")).candidates] == ["it would empty the section"]


def test_later_contributions_queue_behind_a_candidate_and_other_sections_go_on(run) -> None:
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


def test_a_merge_given_again_changes_nothing(run) -> None:
    given = [note("- a"), change(SESSIONS_30, peer="i-2"), note("x", ("New", "Er"), peer="i-3")]
    once = run(*given)
    again = run(*given, document=once.document)
    assert again.document == once.document
    assert set(places(again).values()) == {"duplicate"}


def test_the_section_that_the_leader_keeps_is_not_rewritten_by_a_peer(run) -> None:
    document = DOCUMENTS["kept_progress"]
    path = ("Progress", "Progress of all instances")
    update, forged = change("mine", path, of=document), note("<!-- peercoord: progress -->", time=1)
    addition = note("- a note", path, time=2)
    done = run(update, forged, addition, document=document)
    assert done.rejected.keys() == {update.id, forged.id}
    assert done.document == document.replace(b"Also by hand.\n", b"Also by hand.\n\n- a note\n")


def test_a_document_that_is_no_utf8_is_left_alone(merge3: Merge3) -> None:
    with pytest.raises(UsageError, match=r"techContext\.md is not valid UTF-8"):
        merge(NAME, b"\xff\n", [note("- a")], {}, merge3)
