from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory.helpers import DOCUMENTS

from peercoord.memory import markdown
from peercoord.memory.document import front_matter_end, lf_text
from peercoord.memory.progress_section import (
    ALL,
    BEGIN,
    END,
    FOCUS,
    PeerLine,
    ProgressFacts,
    escaped,
    is_generated,
    percent,
    with_progress,
    without_progress,
)
from peercoord.team.bank_link import DOCUMENTS as DOCUMENTS_MADE

FACTS = ProgressFacts(
    23, 14, 3, 1, 0.61, [PeerLine("instance-1", "working", "T-14", "OAuth callback", 0.75, note="auth.py")]
)
LATER = ProgressFacts(23, 15, 2, 1, 0.65, [PeerLine("instance-1", "gone")])


def around(document: bytes) -> tuple[bytes, bytes]:
    before, _, rest = document.partition(BEGIN.encode())
    return before, rest.partition(END.encode())[2]


def test_a_new_document_gets_a_title_and_the_section() -> None:
    assert with_progress(b"", FACTS).decode() == (
        "# Progress\n\n## Progress of all instances\n\n<!-- peercoord: progress -->\n"
        "**61 %** · 14 of 23 tasks done · 3 in progress · 1 blocked\n\n"
        "| Instance | State | Task | Progress | Newest |\n| --- | --- | --- | --- | --- |\n"
        "| instance-1 | working | T-14 OAuth callback | 75 % | auth.py |\n<!-- peercoord: end of progress -->\n"
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_only_what_is_between_the_markers_changes(name: str) -> None:
    document = DOCUMENTS[name]
    first = with_progress(document, FACTS)
    assert with_progress(first, FACTS) == first
    second = with_progress(first, LATER)
    assert second != first
    assert around(second) == around(first)
    assert with_progress(second, FACTS) == first
    if BEGIN.encode() not in document:
        assert first.startswith(document) or first.endswith(document[front_matter_end(document) :])


def test_the_section_is_taken_out_again_where_it_was_added() -> None:
    for made in (*DOCUMENTS_MADE.values(), "# Ours\r\n\r\ntext\r\n"):
        document = made.encode()
        assert without_progress(with_progress(with_progress(document, FACTS), LATER)) == document
    edited = with_progress(b"# Ours\n", FACTS) + b"more\n"
    assert without_progress(edited) == edited
    assert without_progress(b"# Ours\n") == b"# Ours\n"


def test_text_that_looks_like_the_section_stays() -> None:
    quoted = f"# How it works\n\n```\n{BEGIN}\nkeep me\n{END}\n```\n".encode()
    assert with_progress(quoted, FACTS).startswith(quoted), "markers in a fence"
    stray = with_progress(f"# P\n\n{BEGIN}\n\nby hand\n\n".encode(), FACTS)
    assert b"by hand" in with_progress(stray, LATER), "text between a stray marker and the section"
    assert with_progress(stray, LATER).count(b"of 23 tasks") == 1
    assert b"\n" not in with_progress(DOCUMENTS["crlf"], FACTS).replace(b"\r\n", b"")


TEXTS = st.one_of(
    st.text(), st.sampled_from([END, BEGIN, "| a | b |", "--> <b>", "`x` *y* [z](q)", "a\n# b", "\\|", "&lt;"])
)


@settings(max_examples=40)
@given(TEXTS, TEXTS, TEXTS)
def test_words_of_others_never_become_markup(peer: str, title: str, note: str) -> None:
    plain = ProgressFacts(1, 0, 1, 0, 0.5, [PeerLine("p", "s", "1", "t", 0.5, note="n")])
    foreign = ProgressFacts(1, 0, 1, 0, 0.5, [PeerLine(peer, title, "1", title, 0.5, note=note)])
    shape = [(block.marker, len(block.text.split("\n"))) for block in blocks_of(plain)]
    assert [(block.marker, len(block.text.split("\n"))) for block in blocks_of(foreign)] == shape
    row = blocks_of(foreign)[1].text.split("\n")[2]
    assert row.replace("\\\\", "").replace("\\|", "").count("|") == 6
    assert with_progress(with_progress(b"", foreign), plain) == with_progress(b"", plain)


def blocks_of(facts: ProgressFacts) -> list[markdown.Block]:
    return markdown.blocks(lf_text(with_progress(b"", facts).partition(BEGIN.encode() + b"\n")[2]))


def test_escaped_text_reads_as_it_was_written() -> None:
    from markdown_it import MarkdownIt

    words = r"a*b_c`d[e](f)<g>&amp;|#~!\{}"
    assert MarkdownIt().render(escaped(words)) == ("<p>a*b_c`d[e](f)&lt;g&gt;&amp;amp;|#~!\\{}</p>\n")


@pytest.mark.parametrize(("share", "text"), [(0.0, "0 %"), (0.005, "1 %"), (0.999, "99 %"), (1.0, "100 %")])
def test_only_what_is_finished_is_a_hundred(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        (ProgressFacts(1, 0, 1, 0, 0.5, [PeerLine("p", "working", "1", "t", 0.4, estimated=True)]), "| ~40 % |"),
        (ProgressFacts(5, 1, 1, 1, 0.3, parked=2), "1 of 5 tasks done · 1 in progress · 1 blocked · 2 parked\n"),
    ],
)
def test_estimates_and_parked_tasks_are_told_apart(facts: ProgressFacts, shown: str) -> None:
    assert shown in with_progress(b"", facts).decode()


# -- the current focus -------------------------------------------------------------------------------------------


def test_the_focus_says_who_works_on_what_since_when() -> None:
    lines = [
        PeerLine("instance-1", "working", "14", "OAuth | callback", 0.75, note="auth.py", since="2026-01-31T15:30:12Z"),
        PeerLine("instance-2", "gone", "15", "Docs", since=""),
        PeerLine("instance-3", "idle"),
    ]
    made = with_progress(b"# Active context\n\nOurs.\n", ProgressFacts(3, 0, 2, 0, 0.5, lines), FOCUS)
    assert made.decode() == (
        "# Active context\n\nOurs.\n\n## Current focus of all instances\n\n<!-- peercoord: focus -->\n"
        "| Instance | Works on | Since | Newest |\n| --- | --- | --- | --- |\n"
        "| instance-1 | 14 OAuth \\| callback | 2026-01-31 15:30 UTC | auth.py |\n"
        "| instance-2 (gone) | 15 Docs | – | – |\n<!-- peercoord: end of focus -->\n"
    )
    nobody = with_progress(made, ProgressFacts(3, 3, 0, 0, 1.0), FOCUS)
    assert b"\nNo instance works on a task now.\n<!--" in nobody
    assert without_progress(nobody) == b"# Active context\n\nOurs.\n"


def test_a_peer_rewrites_no_section_that_is_kept() -> None:
    for kept in ALL:
        assert is_generated(f"text\n{kept.begin}\n")
        assert is_generated(f"  {kept.end}\n")
    assert not is_generated("<!-- peercoord -->")
