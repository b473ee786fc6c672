"""Merges that no file of ``merges/`` or ``stories/`` can show: bytes, calls of git, records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from memory.helpers import DOCUMENTS, TECH, change, note, places, texts

from peercoord.memory.document import split_document
from peercoord.memory.merge import merge
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
    def work(*given: Contribution, document: bytes = TECH, **more: object) -> Outcome:
        return merge(NAME, document, given, texts(document, TECH), merge3, **more)  # type: ignore[arg-type]

    return work


def test_what_is_merged_takes_the_line_endings_of_its_document(run) -> None:
    document = DOCUMENTS["crlf_no_final_newline"]
    assert run(note("- c\n- d", ("Title", "List")), document=document).document == document + b"\r\n- c\r\n- d"
    document = TECH.replace(b"\n", b"\r\n")
    done = run(change(SESSIONS_30, of=document), change(NAMES_SHORT, of=document, peer="i-2"), document=document)
    assert done.document == document.replace(b"20", b"30").replace(b"unique", b"short")


def test_lines_that_stay_keep_their_own_line_endings(run) -> None:
    done = run(note("- c", ("S",)), document=b"# T\n\n## S\n\n- a\r\n- b\n\n---\r\n")
    assert done.document == b"# T\n\n## S\n\n- a\r\n- b\n- c\n\n---\r\n"


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


def test_an_update_whose_base_nobody_kept_is_for_a_person(merge3: Merge3) -> None:
    one = change(SESSIONS_30, of=TECH.replace(b"20", b"10"))
    (candidate,) = merge(NAME, TECH, [one], {}, merge3).candidates
    assert candidate.conflict
    assert candidate.why == "its base text is not known"


def test_a_candidate_is_the_same_after_it_was_written_and_read(run) -> None:
    (candidate,) = run(change(SESSIONS_30, time=1), change(SESSIONS_60, peer="i-2", time=2)).candidates
    assert (candidate.base, candidate.right.authors) == (LINES, (("i-2", "7"),))
    assert Candidate.read(candidate.record("2026-01-01T00:00:00Z"), "x.json") == candidate


def test_what_a_settled_contribution_replaced_stays_out(run) -> None:
    old = note("- old")
    new = note("- new", supersedes=(old.id,), time=1)
    assert run(old, new, settled={new.id}).superseded == {old.id: new.id}
